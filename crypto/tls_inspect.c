/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_inspect.h"

#include "tls_cert.h"
#include "tls_handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DAY_S = 86400, CHAIN_MAX = 10 };

struct tls_inspect {
    struct tls_client_ctx *trust; /* its CAs */
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;                            /* the SSL object's */
    int chain_error, chain_depth, date_depth; /* the first of each kind; depth -1: none */
    char *name;
    struct tls_inspection seen;
};

/* ---- the chain ---- */

static bool is_of_dates(int error)
{
    return error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID ||
           error == X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD ||
           error == X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD;
}

/* Goes on after each error, so that all that is wrong is found in one handshake. */
static int verify_callback(int good, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_inspect *t = SSL_get_app_data(ssl);
    int error = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);

    if (good)
        return 1;
    if (is_of_dates(error)) {
        if (t->date_depth < 0)
            t->date_depth = depth;
    } else if (t->chain_depth < 0) {
        t->chain_depth = depth;
        t->chain_error = error;
    }
    return 1;
}

static void name_text(const X509_NAME *name, char *out, size_t room)
{
    static const int kinds[] = {NID_commonName, NID_organizationName};

    snprintf(out, room, "(no name)");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int at = X509_NAME_get_index_by_NID(name, kinds[i], -1);
        const ASN1_STRING *part =
            at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
        if (part) {
            tls_text_escape(ASN1_STRING_get0_data(part), (size_t)ASN1_STRING_length(part), out,
                            room);
            return;
        }
    }
}

static void chain_judge(struct tls_inspect *t, X509 *leaf)
{
    struct tls_finding *f = &t->seen.chain;
    STACK_OF(X509) *chain = SSL_get0_verified_chain(t->ssl);
    X509 *last =
        chain && sk_X509_num(chain) > 0 ? sk_X509_value(chain, sk_X509_num(chain) - 1) : leaf;
    char issuer[64];

    f->grade = t->chain_depth < 0 ? TLS_GRADE_GOOD : TLS_GRADE_BAD;
    if (f->grade == TLS_GRADE_GOOD) {
        name_text(X509_get_subject_name(last), issuer, sizeof(issuer));
        snprintf(f->text, sizeof(f->text), "the chain leads to \"%s\", which is trusted", issuer);
    } else if (t->chain_error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
        snprintf(f->text, sizeof(f->text), "the certificate is self-signed");
    } else {
        name_text(X509_get_issuer_name(last), issuer, sizeof(issuer));
        snprintf(f->text, sizeof(f->text), "the chain ends at issuer \"%s\": %s", issuer,
                 X509_verify_cert_error_string(t->chain_error));
    }
}

/* ---- the certificate ---- */

static void date_text(const ASN1_TIME *at, char out[16])
{
    struct tm tm;

    snprintf(out, 16, "?");
    if (ASN1_TIME_to_tm(at, &tm) == 1)
        strftime(out, 16, "%Y-%m-%d", &tm);
}

static void dates_judge(struct tls_inspect *t, X509 *leaf)
{
    struct tls_finding *f = &t->seen.dates;
    time_t now = time(NULL), soon = now + TLS_INSPECT_SOON_DAYS * DAY_S;
    char from[16], until[16];

    date_text(X509_get0_notBefore(leaf), from);
    date_text(X509_get0_notAfter(leaf), until);
    f->grade = TLS_GRADE_BAD;
    if (X509_cmp_time(X509_get0_notAfter(leaf), &now) <= 0) {
        snprintf(f->text, sizeof(f->text), "the certificate expired on %s", until);
    } else if (X509_cmp_time(X509_get0_notBefore(leaf), &now) >= 0) {
        snprintf(f->text, sizeof(f->text), "the certificate is valid from %s on", from);
    } else if (t->date_depth > 0) {
        snprintf(f->text, sizeof(f->text), "a CA certificate of its chain is out of date");
    } else if (X509_cmp_time(X509_get0_notAfter(leaf), &soon) <= 0) {
        f->grade = TLS_GRADE_WEAK;
        snprintf(f->text, sizeof(f->text), "valid only until %s", until);
    } else {
        f->grade = TLS_GRADE_GOOD;
        snprintf(f->text, sizeof(f->text), "valid from %s until %s", from, until);
    }
}

static void name_judge(struct tls_inspect *t, X509 *leaf)
{
    struct tls_finding *f = &t->seen.name;
    bool has_sans = t->seen.facts.cert_names[0] != '\0' || X509_check_ip_asc(leaf, t->name, 0) == 1;
    char names[128];

    if (!tls_cert_matches(leaf, t->name)) {
        f->grade = TLS_GRADE_BAD;
        snprintf(f->text, sizeof(f->text), "the certificate is for %s, not for %.64s",
                 tls_cert_names_text(leaf, names, sizeof(names)), t->name);
        return;
    }
    f->grade = has_sans ? TLS_GRADE_GOOD : TLS_GRADE_WEAK;
    snprintf(f->text, sizeof(f->text), "%.128s%s", t->name,
             has_sans ? "" : ", by the CN alone, which many do not look at (RFC 9525)");
}

static void key_text(X509 *cert, char *out, size_t room, int *ret_bits)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;

    *ret_bits = key ? EVP_PKEY_get_security_bits(key) : 0;
    if (type)
        snprintf(out, room, "%s %d", type, EVP_PKEY_get_bits(key));
    else
        snprintf(out, room, "a key that this OpenSSL does not know");
}

/* The leaf's strength, or that of the weakest above it where that is too little. What a root signed
 * itself with proves nothing. */
static void strength_judge(struct tls_inspect *t)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);
    struct tls_finding *key = &t->seen.key, *digest = &t->seen.digest;

    for (int i = 0; i < sk_X509_num(chain) && i < CHAIN_MAX; i++) {
        X509 *cert = sk_X509_value(chain, i);
        int bits, nid = X509_get_signature_nid(cert), digest_bits = 0;
        bool root = i > 0 && (X509_get_extension_flags(cert) & EXFLAG_SS);
        char text[64], name[64] = "the certificate";

        if (i > 0)
            name_text(X509_get_subject_name(cert), name, sizeof(name));
        key_text(cert, text, sizeof(text), &bits);
        if (i == 0 || (bits < TLS_INSPECT_BITS && key->grade == TLS_GRADE_GOOD)) {
            key->grade = bits < TLS_INSPECT_BITS ? TLS_GRADE_BAD : TLS_GRADE_GOOD;
            snprintf(key->text, sizeof(key->text), "%s has %s, %d bits of security", name, text,
                     bits);
        }
        X509_get_signature_info(cert, NULL, NULL, &digest_bits, NULL);
        if (i == 0 ||
            (!root && digest_bits < TLS_INSPECT_BITS && digest->grade == TLS_GRADE_GOOD)) {
            digest->grade = digest_bits < TLS_INSPECT_BITS ? TLS_GRADE_BAD : TLS_GRADE_GOOD;
            snprintf(digest->text, sizeof(digest->text), "%s is signed by %s, %d bits of security",
                     name, OBJ_nid2sn(nid) ? OBJ_nid2sn(nid) : "nobody knows what", digest_bits);
        }
    }
}

/* ---- the session ---- */

static void session_judge(struct tls_inspect *t)
{
    struct tls_finding *f = &t->seen.session;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    int version = SSL_version(t->ssl), exchange = SSL_CIPHER_get_kx_nid(cipher);
    bool forward = version == TLS1_3_VERSION || exchange == NID_kx_ecdhe || exchange == NID_kx_dhe;
    const char *note = "";

    f->grade = TLS_GRADE_GOOD;
    if (version < TLS1_2_VERSION) {
        f->grade = TLS_GRADE_BAD;
        note = ": nothing newer is spoken";
    } else if (!SSL_CIPHER_is_aead(cipher)) {
        f->grade = TLS_GRADE_WEAK;
        note = ": no suite with AEAD is spoken, and senders that demand one can't come";
    } else if (!forward) {
        f->grade = TLS_GRADE_WEAK;
        note = ": whoever gets the key later can read what was recorded (no ECDHE)";
    }
    snprintf(f->text, sizeof(f->text), "%s %s%s%s%s", SSL_get_version(t->ssl),
             SSL_CIPHER_standard_name(cipher), t->seen.facts.group[0] ? " " : "",
             t->seen.facts.group, note);
}

static void judge(struct tls_inspect *t)
{
    X509 *leaf = SSL_get0_peer_certificate(t->ssl);

    t->seen.done = true;
    tls_export_group(t->ssl, t->seen.facts.group, sizeof(t->seen.facts.group));
    tls_cert_facts(leaf, &t->seen.facts);
    session_judge(t);
    chain_judge(t, leaf);
    dates_judge(t, leaf);
    name_judge(t, leaf);
    strength_judge(t);
    ERR_clear_error();
}

static int fail(struct tls_inspect *t)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    const char *text = error ? ERR_reason_error_string(error) : NULL;

    if (reason >= SSL_AD_REASON_OFFSET)
        snprintf(t->seen.failure, sizeof(t->seen.failure), "the server ended it with alert %d (%s)",
                 reason - SSL_AD_REASON_OFFSET,
                 SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
    else if (reason == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(t->seen.failure, sizeof(t->seen.failure), "what came is no TLS record");
    else
        snprintf(t->seen.failure, sizeof(t->seen.failure), "%.150s",
                 text ? text : "the server ended it");
    ERR_clear_error();
    return ERR_TLS;
}

/* ---- making ---- */

/* All that the library has, however old: what is too old is to be told, not to fail. */
static int ctx_make(struct tls_inspect *t)
{
    SSL_CTX *ctx = t->ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx)
        return ERR_NOMEM;
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(tls_client_ssl_ctx(t->trust)));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, verify_callback);
    SSL_CTX_set_max_cert_list(ctx, TLS_HANDSHAKE_MAX);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION) == 1 &&
                   SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_cipher_list(ctx, "ALL:!aNULL:!eNULL") == 1
               ? ERR_OK
               : ERR_TLS;
}

static int ssl_make(struct tls_inspect *t, const char *sni)
{
    t->ssl = SSL_new(t->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        return ERR_NOMEM;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    SSL_set_connect_state(t->ssl);
    return !sni || SSL_set_tlsext_host_name(t->ssl, sni) == 1 ? ERR_OK : ERR_TLS;
}

int tls_inspect_new(const struct tls_inspect_conf *conf, struct tls_inspect **ret, char *why,
                    size_t why_room)
{
    const struct tls_client_conf trust = {
        .profile = TLS_PROFILE_COMPATIBLE, .names = true, .ca = conf->ca};
    struct tls_inspect *t = calloc(1, sizeof(*t));

    *ret = NULL;
    snprintf(why, why_room, "out of memory");
    if (!t)
        return ERR_NOMEM;
    t->chain_depth = t->date_depth = -1;
    t->name = strdup(conf->name);
    int err = t->name ? tls_client_ctx_new(&trust, &t->trust, why, why_room) : ERR_NOMEM;
    if (!err)
        err = ctx_make(t);
    if (!err)
        err = ssl_make(t, conf->sni);
    ERR_clear_error();
    if (err)
        tls_inspect_free(t);
    else
        *ret = t;
    return err;
}

void tls_inspect_free(struct tls_inspect *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    tls_client_ctx_free(t->trust);
    free(t->name);
    free(t);
}

/* ---- bytes ---- */

static int output_take(struct tls_inspect *t, struct buf *out)
{
    uint8_t *bytes;
    long len = BIO_get_mem_data(t->out, &bytes);
    int err = len > 0 ? buf_append(out, bytes, (size_t)len) : ERR_OK;

    (void)BIO_reset(t->out);
    return err;
}

static int plain_take(struct tls_inspect *t, struct buf *plain)
{
    uint8_t bytes[4096];
    int n, err = ERR_OK;

    while (!err && (n = SSL_read(t->ssl, bytes, sizeof(bytes))) > 0)
        err = buf_append(plain, bytes, (size_t)n);
    if (!err && SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ)
        err = fail(t);
    return err;
}

int tls_inspect_feed(struct tls_inspect *t, struct span bytes, struct buf *out, struct buf *plain)
{
    int err = ERR_OK;

    ERR_clear_error();
    if (bytes.len > 0 && BIO_write(t->in, bytes.ptr, (int)bytes.len) != (int)bytes.len)
        return ERR_NOMEM;
    if (!t->seen.done) {
        int n = SSL_do_handshake(t->ssl);
        if (n == 1)
            judge(t);
        else if (SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ)
            err = fail(t);
    }
    if (!err && t->seen.done)
        err = plain_take(t, plain);
    int sent = output_take(t, out);
    return err ? err : sent;
}

int tls_inspect_send(struct tls_inspect *t, struct span plain, struct buf *out)
{
    ERR_clear_error();
    if (SSL_write(t->ssl, plain.ptr, (int)plain.len) != (int)plain.len)
        return fail(t);
    return output_take(t, out);
}

const struct tls_inspection *tls_inspect_seen(const struct tls_inspect *t)
{
    return &t->seen;
}
