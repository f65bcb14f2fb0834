/* SPDX-License-Identifier: Apache-2.0 */
#include "dkim.h"

#include "ascii.h"
#include "base64.h"
#include "tls_openssl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RSA_BITS_MIN = 1024, SIGNATURE_MAX = 2048, FOLD = 72, HASH_TEXT = 45 };

struct dkim_key {
    EVP_PKEY *key;
    bool ed25519;
};

/* --- keys --- */

/* Without it OpenSSL would ask on the terminal. */
static int passphrase_none(char *out, int room, int writing, void *user)
{
    return -1;
}

int dkim_key_load(const char *file, struct dkim_key **ret, char *why, size_t why_room)
{
    struct dkim_key *k = calloc(1, sizeof(*k));
    BIO *in = k ? BIO_new_file(file, "r") : NULL;

    *ret = NULL;
    ERR_clear_error();
    if (in)
        k->key = PEM_read_bio_PrivateKey(in, NULL, passphrase_none, NULL);
    BIO_free(in);
    ERR_clear_error();
    if (!k || !k->key) {
        snprintf(why, why_room, "%s is no private key in PEM that can be read without a passphrase",
                 file);
        dkim_key_free(k);
        return ERR_CONFIG;
    }
    k->ed25519 = EVP_PKEY_get_base_id(k->key) == EVP_PKEY_ED25519;
    if (!k->ed25519 && (EVP_PKEY_get_base_id(k->key) != EVP_PKEY_RSA ||
                        EVP_PKEY_get_bits(k->key) < RSA_BITS_MIN)) {
        snprintf(why, why_room, "%s is neither a key of RSA, of %d bits or more, nor of Ed25519",
                 file, RSA_BITS_MIN);
        dkim_key_free(k);
        return ERR_CONFIG;
    }
    *ret = k;
    return ERR_OK;
}

void dkim_key_free(struct dkim_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->key);
    free(key);
}

const char *dkim_algorithm(const struct dkim_key *key)
{
    return key->ed25519 ? "ed25519-sha256" : "rsa-sha256";
}

/* --- canonical forms (RFC 6376 section 3.4) --- */

/* Up to its line end, which is taken too. */
static struct span line_take(struct span *s)
{
    struct span line = span_cut(s, '\n');

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Runs of blanks become one, those at the end none. */
static int blanks_reduce(struct span line, struct buf *out)
{
    bool pending = false;
    int err = ERR_OK;

    for (size_t i = 0; i < line.len && !err; i++) {
        if (ascii_is_blank(line.ptr[i])) {
            pending = true;
            continue;
        }
        if (pending)
            err = buf_append(out, " ", 1);
        pending = false;
        if (!err)
            err = buf_append(out, line.ptr + i, 1);
    }
    return err;
}

static int body_relax(struct span body, struct buf *out)
{
    size_t empty = 0;
    int err = ERR_OK;

    while (body.len > 0 && !err) {
        struct span line = line_take(&body);
        struct buf reduced;

        buf_init(&reduced, 0);
        err = blanks_reduce(line, &reduced);
        if (!err && buf_len(&reduced) == 0) {
            empty++; /* at the end of the body they do not count */
        } else if (!err) {
            for (; empty > 0 && !err; empty--)
                err = buf_append(out, "\r\n", 2);
            if (!err)
                err = buf_append_span(out, buf_span(&reduced));
            if (!err)
                err = buf_append(out, "\r\n", 2);
        }
        buf_release(&reduced);
    }
    return err;
}

static int sha256(struct span s, uint8_t ret[32])
{
    return EVP_Digest(s.ptr, s.len, ret, NULL, EVP_sha256(), NULL) == 1 ? ERR_OK : ERR_NOMEM;
}

int dkim_body_hash(struct span body, uint8_t ret[32])
{
    struct buf text;

    buf_init(&text, 0);
    int err = body_relax(body, &text);
    if (!err)
        err = sha256(buf_span(&text), ret);
    buf_release(&text);
    return err;
}

/* A field's lines, folded ones with it; empty at the end. */
static struct span field_take(struct span *s)
{
    struct span field = *s;

    if (s->len == 0)
        return *s;
    (void)line_take(s);
    while (s->len > 0 && ascii_is_blank(s->ptr[0]))
        (void)line_take(s);
    field.len -= s->len;
    return field;
}

static struct span field_name(struct span field)
{
    const uint8_t *colon = memchr(field.ptr, ':', field.len);

    return span_make(field.ptr, colon ? (size_t)(colon - field.ptr) : 0);
}

/* "name:value" in one line, with CRLF where end says so (the signature's own field has none). */
static int field_relax(struct span field, bool end, struct buf *out)
{
    struct span name = field_name(field), rest = span_from(field, name.len + 1);
    struct buf value;
    int err = ERR_OK;

    buf_init(&value, 0);
    for (size_t i = 0; i < name.len && !err; i++) {
        uint8_t c = ascii_lower(name.ptr[i]);
        if (!ascii_is_blank(c))
            err = buf_append(out, &c, 1);
    }
    if (!err)
        err = buf_append(out, ":", 1);
    while (rest.len > 0 && !err)
        err = buf_append_span(&value, line_take(&rest)); /* a fold begins with a blank */
    if (!err)
        err = blanks_reduce(span_trim_start(buf_span(&value)), out);
    if (!err && end)
        err = buf_append(out, "\r\n", 2);
    buf_release(&value);
    return err;
}

/* Each name takes the field that stands lowest of those not taken (section 5.4.2). */
static int headers_relax(const char *const *names, struct span header, struct buf *out)
{
    int err = ERR_OK;

    for (const char *const *name = names; *name && !err; name++) {
        struct span rest = header, field, found = {0};
        unsigned again = 0;
        for (const char *const *earlier = names; earlier < name; earlier++)
            again += strcmp(*earlier, *name) == 0;
        unsigned count = 0;
        while ((field = field_take(&rest)).len > 0)
            count += span_equal_nocase(field_name(field), span_str(*name));
        if (again >= count)
            continue; /* there is none: that is signed too */
        rest = header;
        for (unsigned left = count - again; left > 0;) {
            found = field_take(&rest);
            left -= span_equal_nocase(field_name(found), span_str(*name));
        }
        err = field_relax(found, true, out);
    }
    return err;
}

/* --- the signature --- */

static int signature_make(const struct dkim_key *key, struct span text, struct buf *out)
{
    uint8_t sum[32], signature[SIGNATURE_MAX];
    size_t len = sizeof(signature);
    char *base64 = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int err = ctx ? sha256(text, sum) : ERR_NOMEM;

    /* RFC 8463 section 3: Ed25519 signs the hash; RSA makes its own. */
    if (!err &&
        (EVP_DigestSignInit(ctx, NULL, key->ed25519 ? NULL : EVP_sha256(), NULL, key->key) != 1 ||
         EVP_DigestSign(ctx, signature, &len, key->ed25519 ? sum : text.ptr,
                        key->ed25519 ? sizeof(sum) : text.len) != 1))
        err = ERR_TLS;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!err)
        base64 = malloc(base64_len(len) + 1);
    if (!err && !base64)
        err = ERR_NOMEM;
    if (!err)
        base64_encode(span_make(signature, len), base64);
    /* Folds within b= do not count. */
    for (size_t at = 0; !err && at < base64_len(len); at += FOLD) {
        size_t left = base64_len(len) - at;
        err = buf_printf(out, "%s%.*s", at > 0 ? "\r\n\t" : "", (int)(left < FOLD ? left : FOLD),
                         base64 + at);
    }
    free(base64);
    return err;
}

static int field_begin(const struct dkim_request *r, const uint8_t body[32], struct buf *out)
{
    char hash[HASH_TEXT];
    int err = buf_printf(out,
                         "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed; d=%s; s=%s;\r\n"
                         "\tt=%" PRId64 "; bh=%s;\r\n\th=",
                         dkim_algorithm(r->key), r->domain, r->selector, r->now,
                         base64_encode(span_make(body, 32), hash));

    for (const char *const *name = r->headers; *name && !err; name++)
        err = buf_printf(out, "%s%s", name > r->headers ? ":" : "", *name);
    return err ? err : buf_printf(out, ";\r\n\tb=");
}

int dkim_sign(const struct dkim_request *request, struct span header, struct span body,
              struct buf *out)
{
    struct buf field, text;
    uint8_t sum[32];
    int err;

    buf_init(&field, 0);
    buf_init(&text, 0);
    err = dkim_body_hash(body, sum);
    if (!err)
        err = field_begin(request, sum, &field);
    if (!err)
        err = headers_relax(request->headers, header, &text);
    if (!err)
        err = field_relax(buf_span(&field), false, &text);
    if (!err)
        err = signature_make(request->key, buf_span(&text), &field);
    if (!err)
        err = buf_append_span(out, buf_span(&field));
    if (!err)
        err = buf_append(out, "\r\n", 2);
    buf_release(&field);
    buf_release(&text);
    return err;
}
