/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_cert.h"

#include "ascii.h"
#include "tls_cert_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

const char *tls_openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason ? reason : "no reason given by OpenSSL";
}

void tls_text_escape(const void *bytes, size_t len, char *out, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = bytes;
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        bool plain = from[i] >= 0x20 && from[i] < 0x7f && from[i] != '\\' && from[i] != '"';

        if (used + (plain ? 1 : 4) >= room)
            break;
        if (plain) {
            out[used++] = (char)from[i];
        } else {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = digits[from[i] >> 4];
            out[used++] = digits[from[i] & 15];
        }
    }
    out[used] = '\0';
}

/* ---- loading ---- */

/* Without it OpenSSL would ask on the terminal. */
static int passphrase_none(char *out, int room, int writing, void *user)
{
    return -1;
}

static int chain_load(const char *file, struct tls_cert *cert, char *why, size_t why_room)
{
    BIO *in = BIO_new_file(file, "r");

    if (!in) {
        snprintf(why, why_room, "certificate file %s can't be read: %s", file, strerror(errno));
        return ERR_TLS;
    }
    cert->leaf = PEM_read_bio_X509(in, NULL, passphrase_none, NULL);
    cert->chain = sk_X509_new_null();
    bool ok = cert->leaf && cert->chain;
    for (X509 *next; ok && (next = PEM_read_bio_X509(in, NULL, passphrase_none, NULL));)
        ok = sk_X509_push(cert->chain, next) > 0;
    unsigned long error = ERR_peek_last_error();
    /* The end of the file shows as a missing start line; anything else is a broken certificate. */
    if (ok && ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        ok = false;
    BIO_free(in);
    if (!ok) {
        snprintf(why, why_room,
                 "certificate file %s has no usable PEM certificates (leaf first): %s", file,
                 tls_openssl_reason());
        return ERR_TLS;
    }
    return ERR_OK;
}

static int key_load(const char *file, struct tls_cert *cert, char *why, size_t why_room)
{
    BIO *in = BIO_new_file(file, "r");

    if (!in) {
        snprintf(why, why_room, "key file %s can't be read: %s", file, strerror(errno));
        return ERR_TLS;
    }
    cert->key = PEM_read_bio_PrivateKey(in, NULL, passphrase_none, NULL);
    BIO_free(in);
    if (cert->key)
        return ERR_OK;
    if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_BAD_PASSWORD_READ ||
        ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_BAD_PASSWORD_READ)
        snprintf(
            why, why_room,
            "key file %s is encrypted; store it without a passphrase, readable only by postern",
            file);
    else
        snprintf(why, why_room, "key file %s has no usable PEM private key: %s", file,
                 tls_openssl_reason());
    return ERR_TLS;
}

int tls_cert_load(const struct tls_cert_files *files, struct tls_cert *ret, char *why,
                  size_t why_room)
{
    *ret = (struct tls_cert){0};
    ERR_clear_error();
    int err = chain_load(files->cert, ret, why, why_room);
    ERR_clear_error();
    if (!err)
        err = key_load(files->key, ret, why, why_room);
    ERR_clear_error();
    if (!err && X509_check_private_key(ret->leaf, ret->key) != 1) {
        snprintf(why, why_room, "key file %s does not belong to the first certificate in %s",
                 files->key, files->cert);
        err = ERR_TLS;
    }
    if (err)
        tls_cert_free(ret);
    ERR_clear_error();
    return err;
}

void tls_cert_free(struct tls_cert *cert)
{
    X509_free(cert->leaf);
    sk_X509_pop_free(cert->chain, X509_free);
    EVP_PKEY_free(cert->key);
    *cert = (struct tls_cert){0};
}

int tls_cert_use(const struct tls_cert *cert, SSL_CTX *ctx)
{
    return SSL_CTX_use_cert_and_key(ctx, cert->leaf, cert->key, cert->chain, 1) == 1 ? ERR_OK
                                                                                     : ERR_TLS;
}

/* ---- names ---- */

/* A certificate's string as a C string in lower case; false for one with a NUL in it (an old
 * trick against name checks), or one that is too long for a DNS name. */
static bool name_copy(const ASN1_STRING *from, char out[256])
{
    const uint8_t *bytes = ASN1_STRING_get0_data(from);
    int len = ASN1_STRING_length(from);

    if (len <= 0 || len > 255 || memchr(bytes, 0, (size_t)len))
        return false;
    for (int i = 0; i < len; i++)
        out[i] = (char)ascii_lower(bytes[i]);
    out[len] = '\0';
    return true;
}

static const ASN1_STRING *common_name(X509 *leaf)
{
    X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    return at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
}

/* False where each stopped it. *ret_any: there are DNS names. */
static bool dns_names(X509 *leaf, bool (*each)(void *user, const char *name), void *user,
                      bool *ret_any)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool any = false, go_on = true;
    char name[256];

    for (int i = 0; go_on && i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);

        if (san->type != GEN_DNS)
            continue;
        any = true;
        if (name_copy(san->d.dNSName, name))
            go_on = each(user, name);
    }
    GENERAL_NAMES_free(sans);
    *ret_any = any;
    return go_on;
}

bool tls_cert_names(X509 *leaf, bool (*each)(void *user, const char *name), void *user)
{
    char name[256];
    bool any;
    bool go_on = dns_names(leaf, each, user, &any);
    const ASN1_STRING *cn = any ? NULL : common_name(leaf);

    if (cn && name_copy(cn, name))
        go_on = each(user, name);
    return go_on;
}

struct text_room {
    char *out;
    size_t room, used;
};

static bool name_join(void *user, const char *name)
{
    struct text_room *t = user;
    size_t before = t->used;

    if (t->used > 0 && t->used + 2 < t->room) {
        memcpy(t->out + t->used, ", ", 2);
        t->used += 2;
    }
    tls_text_escape(name, strlen(name), t->out + t->used, t->room - t->used);
    t->used += strlen(t->out + t->used);
    return t->used > before && t->used + 4 < t->room;
}

const char *tls_cert_names_text(X509 *leaf, char *out, size_t room)
{
    struct text_room t = {.out = out, .room = room};

    out[0] = '\0';
    tls_cert_names(leaf, name_join, &t);
    return out[0] ? out : "no name at all";
}

/* A wildcard is the whole leftmost label (RFC 6125 section 6.4.3). An address is never a host name,
 * also where a certificate has it as one (RFC 9525 section 6.5), and a name that is not in A-labels
 * is none (section 6.3): both would be compared byte by byte with whatever a CA let pass. */
bool tls_cert_matches(X509 *leaf, const char *name)
{
    int address = X509_check_ip_asc(leaf, name, 0); /* -2: not an address */

    if (address != -2)
        return address == 1;
    for (const char *c = name; *c; c++)
        if (*c & 0x80)
            return false;
    return X509_check_host(leaf, name, strlen(name), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) ==
           1;
}

/* ---- facts ---- */

static bool name_first(void *user, const char *name)
{
    struct tls_facts *facts = user;

    tls_text_escape(name, strlen(name), facts->peer_name, sizeof(facts->peer_name));
    return false;
}

static bool is_dns_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";

    if (name[0] == '*' && name[1] == '.')
        name += 2;
    return name[0] != '\0' && name[0] != '.' && name[strspn(name, allowed)] == '\0';
}

/* A name that has no room does not keep a shorter one out. */
static bool name_collect(void *user, const char *name)
{
    struct text_room *t = user;
    size_t len = strlen(name) + 1;

    if (is_dns_name(name) && len < t->room - t->used) { /* one byte is the list's end */
        memcpy(t->out + t->used, name, len);
        t->used += len;
    }
    return true;
}

bool tls_cert_spki_sha256(X509 *leaf, uint8_t ret[32])
{
    uint8_t *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
    bool ok = len > 0 && EVP_Digest(der, (size_t)len, ret, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

bool tls_cert_sha256(X509 *leaf, uint8_t ret[32])
{
    return X509_digest(leaf, EVP_sha256(), ret, NULL) == 1;
}

void tls_cert_facts(X509 *leaf, struct tls_facts *ret)
{
    struct text_room names = {.out = ret->cert_names, .room = sizeof(ret->cert_names)};
    const ASN1_STRING *cn = common_name(leaf);
    struct tm tm;
    bool any;

    if (cn)
        tls_text_escape(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn), ret->peer_name,
                        sizeof(ret->peer_name));
    else
        tls_cert_names(leaf, name_first, ret);
    dns_names(leaf, name_collect, &names, &any);
    ret->cert_names[names.used] = '\0';
    if (!tls_cert_sha256(leaf, ret->cert_sha256))
        memset(ret->cert_sha256, 0, sizeof(ret->cert_sha256));
    if (!tls_cert_spki_sha256(leaf, ret->spki_sha256))
        memset(ret->spki_sha256, 0, sizeof(ret->spki_sha256));
    if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1)
        ret->not_after = (int64_t)timegm(&tm);
}

/* choose: which of the file's certificates. */
static int file_facts(const char *file, X509 *(*choose)(const struct tls_cert *cert),
                      struct tls_facts *ret, char *why, size_t why_room)
{
    struct tls_cert cert = {0};

    *ret = (struct tls_facts){0};
    ERR_clear_error();
    int err = chain_load(file, &cert, why, why_room);
    if (!err)
        tls_cert_facts(choose(&cert), ret);
    tls_cert_free(&cert);
    ERR_clear_error();
    return err;
}

static X509 *choose_leaf(const struct tls_cert *cert)
{
    return cert->leaf;
}

static X509 *choose_first_end(const struct tls_cert *cert)
{
    X509 *first = cert->leaf;

    for (int i = 0; i < sk_X509_num(cert->chain); i++) {
        X509 *other = sk_X509_value(cert->chain, i);
        if (ASN1_TIME_compare(X509_get0_notAfter(other), X509_get0_notAfter(first)) == -1)
            first = other;
    }
    return first;
}

int tls_cert_file_facts(const char *file, struct tls_facts *ret, char *why, size_t why_room)
{
    return file_facts(file, choose_leaf, ret, why, why_room);
}

int tls_cert_file_first_end(const char *file, struct tls_facts *ret, char *why, size_t why_room)
{
    return file_facts(file, choose_first_end, ret, why, why_room);
}
