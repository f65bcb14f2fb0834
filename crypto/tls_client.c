/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_client.h"

#include "tls_cert.h"
#include "tls_handshake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

struct tls_client_ctx {
    SSL_CTX *ssl_ctx;
    enum tls_profile profile;
    char groups_text[TLS_GROUPS_TEXT];
    bool names; /* there are CAs */
    char *ca;   /* for texts */
    uint8_t (*spki_pins)[32];
    size_t spki_pins_len;
    uint8_t (*cert_pins)[32];
    size_t cert_pins_len;
};

SSL_CTX *tls_client_ssl_ctx(const struct tls_client_ctx *ctx)
{
    return ctx->ssl_ctx;
}

enum tls_profile tls_client_profile(const struct tls_client_ctx *ctx)
{
    return ctx->profile;
}

const char *tls_client_groups_text(const struct tls_client_ctx *ctx)
{
    return ctx->groups_text;
}

/* ---- judging a certificate ---- */

static bool judgement_failed(struct tls_judgement *j, enum tls_cert_fault fault)
{
    j->verify = TLS_VERIFY_FAILED;
    j->fault = fault;
    return false;
}

static enum tls_cert_fault chain_fault(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return TLS_CERT_EXPIRED;
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return TLS_CERT_NAME;
    case X509_V_ERR_OUT_OF_MEM:
        return TLS_CERT_OTHER;
    default:
        return TLS_CERT_UNTRUSTED;
    }
}

static bool pin_judge(const struct tls_client_ctx *ctx, X509 *leaf, struct tls_judgement *ret)
{
    uint8_t spki[32], whole[32];
    char text[48];

    ret->verify = TLS_VERIFY_OK;
    snprintf(ret->text, sizeof(ret->text), "pin");
    if (!tls_cert_spki_sha256(leaf, spki) || !tls_cert_sha256(leaf, whole)) {
        snprintf(ret->text, sizeof(ret->text), "the server's certificate can't be hashed");
        return judgement_failed(ret, TLS_CERT_OTHER);
    }
    for (size_t i = 0; i < ctx->spki_pins_len; i++)
        if (CRYPTO_memcmp(ctx->spki_pins[i], spki, sizeof(spki)) == 0)
            return true;
    for (size_t i = 0; i < ctx->cert_pins_len; i++)
        if (CRYPTO_memcmp(ctx->cert_pins[i], whole, sizeof(whole)) == 0)
            return true;
    EVP_EncodeBlock((uint8_t *)text, spki, sizeof(spki));
    snprintf(ret->text, sizeof(ret->text),
             "none of %zu pins matches; the server's key is sha256/%s",
             ctx->spki_pins_len + ctx->cert_pins_len, text);
    return judgement_failed(ret, TLS_CERT_OTHER);
}

static bool names_judge(const struct tls_handshake *h, X509 *leaf, struct tls_judgement *ret)
{
    char has[64], asked[49] = "(no name)";

    for (size_t at = 0; at < h->names_len; at += strlen(h->names + at) + 1)
        if (tls_cert_matches(leaf, h->names + at)) {
            ret->verify = TLS_VERIFY_OK;
            snprintf(ret->text, sizeof(ret->text), "name %.*s", (int)sizeof(ret->text) - 8,
                     h->names + at);
            return true;
        }
    if (h->names_len > 0)
        tls_text_escape(h->names, strlen(h->names), asked, sizeof(asked));
    snprintf(ret->text, sizeof(ret->text), "the certificate is for %s, not for %s",
             tls_cert_names_text(leaf, has, sizeof(has)), asked);
    return judgement_failed(ret, TLS_CERT_NAME);
}

static void common_name_text(const X509_NAME *name, char *out, size_t room)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const ASN1_STRING *cn = at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));

    snprintf(out, room, "without CN");
    if (cn)
        tls_text_escape(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn), out, room);
}

static void chain_explain(const struct tls_client_ctx *ctx, X509_STORE_CTX *store, char *out,
                          size_t room)
{
    int error = X509_STORE_CTX_get_error(store);
    X509 *at = X509_STORE_CTX_get_current_cert(store);
    char issuer[40];
    struct tm tm;

    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        if (at && ASN1_TIME_to_tm(X509_get0_notAfter(at), &tm) == 1) {
            snprintf(out, room, "%s expired on %04d-%02d-%02d",
                     X509_STORE_CTX_get_error_depth(store) == 0 ? "the server's certificate"
                                                                : "a CA certificate of its chain",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
            return;
        }
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        snprintf(out, room, "self-signed certificate; put it into the ca file, or use level pin");
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        if (at) {
            common_name_text(X509_get_issuer_name(at), issuer, sizeof(issuer));
            snprintf(out, room, "issuer \"%s\" is neither sent by the server nor in %.36s", issuer,
                     ctx->ca);
            return;
        }
        break;
    default:
        break;
    }
    snprintf(out, room, "%.*s", (int)room - 1, X509_verify_cert_error_string(error));
}

static bool chain_judge(struct tls_handshake *h, X509_STORE_CTX *store)
{
    if (!h->client->names) {
        snprintf(h->judgement.text, sizeof(h->judgement.text), "this route has no CAs to judge by");
        return judgement_failed(&h->judgement, TLS_CERT_OTHER);
    }
    if (X509_verify_cert(store) == 1)
        return true;
    chain_explain(h->client, store, h->judgement.text, sizeof(h->judgement.text));
    return judgement_failed(&h->judgement, chain_fault(X509_STORE_CTX_get_error(store)));
}

/* RFC 7671 section 5: of usage 3 the certificate is all there is to judge; of usage 2 the chain to
 * the anchor, dates and name too. store has the records (X509_STORE_CTX_set0_dane), and trusts
 * nothing else then. */
static bool dane_judge(struct tls_handshake *h, X509_STORE_CTX *store, X509 *leaf)
{
    struct tls_judgement *j = &h->judgement, name = {0};
    uint8_t usage;

    /* Without a record OpenSSL would judge by the CAs. */
    if (h->tlsa_usable > 0 && X509_verify_cert(store) == 1 &&
        tls_dane_matched(h, j->text, sizeof(j->text), &usage)) {
        j->verify = TLS_VERIFY_OK;
        if (usage == TLSA_DANE_EE)
            return true;
        if (names_judge(h, leaf, &name)) {
            size_t len = strlen(j->text);
            snprintf(j->text + len, sizeof(j->text) - len, ", %.128s", name.text);
            return true;
        }
        *j = name;
        return false;
    }
    int error = X509_STORE_CTX_get_error(store);
    if (error == X509_V_OK || error == X509_V_ERR_DANE_NO_MATCH) {
        tls_dane_explain(h, leaf, j->text, sizeof(j->text));
        return judgement_failed(j, TLS_CERT_TLSA);
    }
    chain_explain(h->client, store, j->text, sizeof(j->text));
    return judgement_failed(j, chain_fault(error));
}

static bool check_judge(struct tls_handshake *h, X509_STORE_CTX *store)
{
    const struct tls_client_ctx *ctx = h->client;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    h->judgement = (struct tls_judgement){0};
    switch (h->check) {
    case TLS_CHECK_NOTHING:
        h->judgement = (struct tls_judgement){.verify = TLS_VERIFY_UNCHECKED};
        return true;
    case TLS_CHECK_PIN:
        return pin_judge(ctx, leaf, &h->judgement);
    case TLS_CHECK_NAME:
        return chain_judge(h, store) && names_judge(h, leaf, &h->judgement);
    case TLS_CHECK_DANE:
        return dane_judge(h, store, leaf);
    }
    return judgement_failed(&h->judgement, TLS_CERT_OTHER);
}

/* store: ready for X509_verify_cert, its certificate the leaf. True: the handshake may go on. */
static bool client_judge(struct tls_handshake *h, X509_STORE_CTX *store)
{
    return check_judge(h, store) || h->lenient;
}

static int verify_callback(X509_STORE_CTX *store, void *user)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_handshake *h = SSL_get_app_data(ssl);
    bool good = client_judge(h, store);

    /* What a bad signature leaves in the queue would be taken for the handshake's own error. */
    ERR_clear_error();
    if (good) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    /* What the chain's check left as X509_V_OK failed by its name or pin. */
    if (X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

bool tls_client_judge_stored(struct tls_handshake *h)
{
    X509 *leaf = SSL_get0_peer_certificate(h->ssl);
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    bool good = false;

    if (leaf && store &&
        X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(h->client->ssl_ctx), leaf,
                            SSL_get_peer_cert_chain(h->ssl)) == 1 &&
        X509_STORE_CTX_set_default(store, "ssl_server") == 1) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store),
                                         SSL_get_security_level(h->ssl));
        if (h->tlsa_usable > 0)
            X509_STORE_CTX_set0_dane(store, SSL_get0_dane(h->ssl));
        good = client_judge(h, store);
    }
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    return good;
}

/* ---- the context ---- */

/* TLS 1.3 calls it for each ticket, TLS 1.2 at the end of a full handshake. */
static int new_session_callback(SSL *ssl, SSL_SESSION *session)
{
    struct tls_handshake *h = SSL_get_app_data(ssl);

    SSL_SESSION_free(h->session_new);
    h->session_new = session;
    return 1; /* the reference is ours */
}

/* The system's CAs take a megabyte and milliseconds to load: once in a process, for all routes.
 * They are loaded here because a worker has no file system later. */
static X509_STORE *system_store;

static void system_store_load(void)
{
    system_store = X509_STORE_new();
    if (system_store && X509_STORE_load_file(system_store, SYSTEM_CA) != 1) {
        X509_STORE_free(system_store);
        system_store = NULL;
    }
}

static int ca_apply(const struct tls_client_conf *conf, SSL_CTX *ctx, char *why, size_t why_room)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!conf->names)
        return ERR_OK;
    if (conf->ca) {
        /* What the administrator put there is trusted as it stands, also an intermediate CA or a
         * server's own certificate. */
        X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
        if (SSL_CTX_load_verify_file(ctx, conf->ca) == 1)
            return ERR_OK;
        snprintf(why, why_room, "ca file %s has no usable PEM certificates: %s", conf->ca,
                 tls_openssl_reason());
        return ERR_TLS;
    }
    pthread_once(&once, system_store_load);
    if (!system_store) {
        snprintf(why, why_room,
                 "%s can't be loaded; install the package ca-certificates, or set ca", SYSTEM_CA);
        return ERR_TLS;
    }
    SSL_CTX_set1_cert_store(ctx, system_store);
    return ERR_OK;
}

static int own_cert_apply(const struct tls_client_conf *conf, SSL_CTX *ctx, char *why,
                          size_t why_room)
{
    const struct tls_cert_files files = {.cert = conf->cert, .key = conf->key};
    struct tls_cert cert;

    if (!conf->cert)
        return ERR_OK;
    if (!conf->key) {
        snprintf(why, why_room, "certificate file %s has no key beside it: set key", conf->cert);
        return ERR_TLS;
    }
    int err = tls_cert_load(&files, &cert, why, why_room);
    if (err)
        return err;
    err = tls_cert_use(&cert, ctx);
    if (err)
        snprintf(why, why_room, "certificate file %s can't be used with profile %s: %s", conf->cert,
                 tls_profile_name(conf->profile), tls_openssl_reason());
    tls_cert_free(&cert);
    return err;
}

static int pins_copy(const uint8_t (*pins)[32], size_t len, uint8_t (**ret)[32], size_t *ret_len)
{
    if (len == 0)
        return ERR_OK;
    *ret = calloc(len, sizeof(**ret));
    if (!*ret)
        return ERR_NOMEM;
    memcpy(*ret, pins, len * sizeof(**ret));
    *ret_len = len;
    return ERR_OK;
}

static int client_ctx_fill(struct tls_client_ctx *ctx, const struct tls_client_conf *conf,
                           char *why, size_t why_room)
{
    ctx->profile = conf->profile;
    tls_groups_text(&conf->groups, ctx->groups_text, sizeof(ctx->groups_text));
    ctx->names = conf->names;
    ctx->ca = strdup(conf->ca ? conf->ca : "the system's CAs");
    ctx->ssl_ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx->ca || !ctx->ssl_ctx || SSL_CTX_dane_enable(ctx->ssl_ctx) != 1)
        return ERR_NOMEM;
    int err = pins_copy(conf->spki_pins, conf->spki_pins_len, &ctx->spki_pins, &ctx->spki_pins_len);
    if (!err)
        err = pins_copy(conf->cert_pins, conf->cert_pins_len, &ctx->cert_pins, &ctx->cert_pins_len);
    if (err)
        return err;
    err = tls_profile_apply(conf->profile, conf->min_version, ctx->ssl_ctx);
    if (!err)
        err = tls_suites_apply(&conf->suites, ctx->ssl_ctx);
    if (!err)
        err = tls_groups_apply(&conf->groups, ctx->ssl_ctx);
    if (err) {
        snprintf(why, why_room,
                 "profile %s with these suites, groups and min_version leaves no TLS: %s",
                 tls_profile_name(conf->profile), tls_openssl_reason());
        return err;
    }
    err = ca_apply(conf, ctx->ssl_ctx, why, why_room);
    if (!err)
        err = own_cert_apply(conf, ctx->ssl_ctx, why, why_room);
    SSL_CTX_set_verify(ctx->ssl_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx->ssl_ctx, verify_callback, NULL);
    SSL_CTX_set_max_cert_list(ctx->ssl_ctx, TLS_HANDSHAKE_MAX);
    SSL_CTX_set_session_cache_mode(ctx->ssl_ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx->ssl_ctx, new_session_callback);
    tls_export_prepare(ctx->ssl_ctx);
    return err;
}

int tls_client_ctx_new(const struct tls_client_conf *conf, struct tls_client_ctx **ret, char *why,
                       size_t why_room)
{
    struct tls_client_ctx *ctx = calloc(1, sizeof(*ctx));

    *ret = NULL;
    snprintf(why, why_room, "out of memory");
    if (!ctx)
        return ERR_NOMEM;
    ERR_clear_error();
    int err = client_ctx_fill(ctx, conf, why, why_room);
    ERR_clear_error();
    if (err)
        tls_client_ctx_free(ctx);
    else
        *ret = ctx;
    return err;
}

void tls_client_ctx_free(struct tls_client_ctx *ctx)
{
    if (!ctx)
        return;
    SSL_CTX_free(ctx->ssl_ctx);
    free(ctx->ca);
    free(ctx->spki_pins);
    free(ctx->cert_pins);
    free(ctx);
}
