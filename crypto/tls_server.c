/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_server.h"

#include "ascii.h"
#include "assertion.h"
#include "tls_cert.h"
#include "tls_handshake.h"
#include "tls_ticket.h"

#include <stdio.h>
#include <stdlib.h>

/* Types of keys that may stand side by side for one name. */
enum key_type { KEY_ECDSA, KEY_RSA, KEY_ED25519, KEY_TYPES };

/* For each type of key, which of the certificates, or -1. */
struct combo {
    int cert[KEY_TYPES];
    SSL_CTX *ctx;
};

struct name_row {
    char *name; /* lower case; may start with "*." */
    uint32_t combo;
};

struct tls_server_ctx {
    enum tls_profile profile;
    char groups_text[TLS_GROUPS_TEXT];
    enum tls_client_cert client_cert;
    bool has_client_ca;
    struct tls_ticket ticket;
    struct combo *combos; /* the first is the default */
    size_t combos_len;
    struct name_row *names; /* sorted */
    size_t names_len, names_room;
};

SSL_CTX *tls_server_ssl_ctx(const struct tls_server_ctx *ctx)
{
    return ctx->combos[0].ctx;
}

const struct tls_ticket *tls_server_ticket(const struct tls_server_ctx *ctx)
{
    return &ctx->ticket;
}

enum tls_profile tls_server_profile(const struct tls_server_ctx *ctx)
{
    return ctx->profile;
}

const char *tls_server_groups_text(const struct tls_server_ctx *ctx)
{
    return ctx->groups_text;
}

/* ---- callbacks ---- */

static int row_compare(const void *a, const void *b)
{
    return strcmp(((const struct name_row *)a)->name, ((const struct name_row *)b)->name);
}

static const struct name_row *name_find(const struct tls_server_ctx *ctx, const char *name)
{
    const struct name_row key = {.name = (char *)name};

    if (ctx->names_len == 0) /* C forbids NULL here even for no element */
        return NULL;
    return bsearch(&key, ctx->names, ctx->names_len, sizeof(*ctx->names), row_compare);
}

/* RFC 6066 section 3; a name that nobody has gets the default, never an alert. */
static int sni_callback(SSL *ssl, int *alert, void *user)
{
    const struct tls_handshake *h = SSL_get_app_data(ssl);
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct name_row *row = NULL;
    char name[256];
    size_t n = 0;

    for (; sni && sni[n] && n < sizeof(name) - 1; n++)
        name[n] = (char)ascii_lower((uint8_t)sni[n]);
    name[n] = '\0';
    char *dot = strchr(name, '.');
    if (n > 0)
        row = name_find(h->server, name);
    if (!row && dot && dot > name) {
        dot[-1] = '*';
        row = name_find(h->server, dot - 1);
    }
    if (!row)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX *ctx = h->server->combos[row->combo].ctx;
    if (ctx != SSL_get_SSL_CTX(ssl) && !SSL_set_SSL_CTX(ssl, ctx))
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 section 3.2: a client that asks for protocols, but not for ours, is another's. */
static int alpn_callback(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                         const unsigned char *in, unsigned int in_len, void *user)
{
    for (unsigned i = 0; i < in_len && in[i] < in_len - i; i += 1u + in[i])
        if (in[i] == 4 && memcmp(in + i + 1, "smtp", 4) == 0) {
            *out = in + i + 1;
            *out_len = 4;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void judge(const struct tls_server_ctx *ctx, int error, struct tls_judgement *ret)
{
    if (!ctx->has_client_ca) {
        ret->verify = TLS_VERIFY_UNCHECKED;
        snprintf(ret->text, sizeof(ret->text), "no client_ca is set");
    } else if (error == X509_V_OK) {
        ret->verify = TLS_VERIFY_OK;
        snprintf(ret->text, sizeof(ret->text), "client_ca");
    } else {
        ret->verify = TLS_VERIFY_FAILED;
        snprintf(ret->text, sizeof(ret->text), "client certificate: %s",
                 X509_verify_cert_error_string(error));
    }
}

/* Where the listener only asks, a certificate that does not check is a fact, not a failure. */
static int verify_callback(X509_STORE_CTX *store, void *user)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_handshake *h = SSL_get_app_data(ssl);

    if (!h->server->has_client_ca)
        X509_STORE_CTX_set_error(store, X509_V_OK);
    else if (X509_verify_cert(store) != 1 && X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    /* What a bad signature leaves in the queue would be taken for the handshake's own error. */
    ERR_clear_error();
    judge(h->server, X509_STORE_CTX_get_error(store), &h->judgement);
    return h->judgement.verify != TLS_VERIFY_FAILED ||
           h->server->client_cert == TLS_CLIENT_CERT_ASK;
}

void tls_server_judge_resumed(const struct tls_server_ctx *ctx, SSL *ssl, struct tls_judgement *ret)
{
    if (SSL_get0_peer_certificate(ssl))
        judge(ctx, (int)SSL_get_verify_result(ssl), ret);
}

/* A ticket whose client certificate has expired since opens a full handshake, which judges anew. */
static SSL_TICKET_RETURN ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                       size_t name_len, SSL_TICKET_STATUS status, void *user)
{
    X509 *leaf = session ? SSL_SESSION_get0_peer(session) : NULL;

    switch (status) {
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
        if (leaf && X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        /* A TLS 1.3 client uses a ticket once (RFC 8446 appendix C.4): it gets a new one. */
        return status == SSL_TICKET_SUCCESS && SSL_version(ssl) < TLS1_3_VERSION
                   ? SSL_TICKET_RETURN_USE
                   : SSL_TICKET_RETURN_USE_RENEW;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    default:
        return SSL_TICKET_RETURN_ABORT;
    }
}

/* ---- one SSL_CTX ---- */

static int client_cert_apply(const struct tls_server_conf *conf, X509_STORE *client_ca,
                             SSL_CTX *ctx)
{
    int mode = SSL_VERIFY_NONE;

    switch (conf->client_cert) {
    case TLS_CLIENT_CERT_NONE:
        return ERR_OK;
    case TLS_CLIENT_CERT_ASK:
        mode = SSL_VERIFY_PEER;
        break;
    case TLS_CLIENT_CERT_REQUIRE:
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        break;
    }
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_callback, NULL);
    if (client_ca)
        SSL_CTX_set1_verify_cert_store(ctx, client_ca);
    return ERR_OK;
}

static int ssl_ctx_new(const struct tls_server_ctx *server, const struct tls_server_conf *conf,
                       X509_STORE *client_ca, SSL_CTX **ret)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    *ret = NULL;
    if (!ctx)
        return ERR_NOMEM;
    int err = tls_profile_apply(conf->profile, conf->min_version, ctx);
    if (!err)
        err = tls_suites_apply(&conf->suites, ctx);
    if (!err)
        err = tls_groups_apply(&conf->groups, ctx);
    if (!err)
        err = client_cert_apply(conf, client_ca, ctx);
    if (!err && conf->tickets)
        err = tls_ticket_enable(&server->ticket, ctx);
    else
        tls_ticket_disable(ctx);
    if (!err && SSL_CTX_set_session_ticket_cb(ctx, NULL, ticket_opened, NULL) != 1)
        err = ERR_TLS;
    /* Also without tickets: OpenSSL wants one wherever client certificates are asked for. */
    if (!err && SSL_CTX_set_session_id_context(ctx, server->ticket.context,
                                               sizeof(server->ticket.context)) != 1)
        err = ERR_TLS;
    SSL_CTX_set_max_cert_list(ctx, TLS_HANDSHAKE_MAX);
    SSL_CTX_set_tlsext_servername_callback(ctx, sni_callback);
    SSL_CTX_set_alpn_select_cb(ctx, alpn_callback, NULL);
    tls_export_prepare(ctx);
    if (err)
        SSL_CTX_free(ctx);
    else
        *ret = ctx;
    return err;
}

/* ---- certificates by name ---- */

static int key_type(const struct tls_cert *cert)
{
    switch (EVP_PKEY_get_base_id(cert->key)) {
    case EVP_PKEY_EC:
        return KEY_ECDSA;
    case EVP_PKEY_RSA:
        return KEY_RSA;
    case EVP_PKEY_ED25519:
        return KEY_ED25519;
    default:
        return -1;
    }
}

struct cover {
    const char *name;
    bool exact, wildcard;
};

static bool cover_check(void *user, const char *has)
{
    struct cover *c = user;
    const char *dot = strchr(c->name, '.');

    if (strcmp(has, c->name) == 0)
        c->exact = true;
    else if (has[0] == '*' && dot && c->name[0] != '*' && strcmp(has + 1, dot) == 0)
        c->wildcard = true;
    return true;
}

/* The first certificate of each type that has the name itself, else by a wildcard. */
static struct combo combo_for(const struct tls_cert *certs, size_t len, const char *name)
{
    struct combo exact = {.cert = {-1, -1, -1}}, wildcard = exact;

    for (size_t i = 0; i < len; i++) {
        struct cover c = {.name = name};
        int type = key_type(&certs[i]);

        tls_cert_names(certs[i].leaf, cover_check, &c);
        if (c.exact && exact.cert[type] < 0)
            exact.cert[type] = (int)i;
        if (c.wildcard && wildcard.cert[type] < 0)
            wildcard.cert[type] = (int)i;
    }
    for (int type = 0; type < KEY_TYPES; type++)
        if (exact.cert[type] < 0)
            exact.cert[type] = wildcard.cert[type];
    return exact;
}

struct building {
    struct tls_server_ctx *ctx;
    const struct tls_server_conf *conf;
    X509_STORE *client_ca;
    const struct tls_cert *certs;
    char *why;
    size_t why_room;
    int err;
};

/* The number of an equal combo, made where there is none. */
static int combo_add(struct building *b, struct combo combo, uint32_t *ret)
{
    struct tls_server_ctx *ctx = b->ctx;

    for (size_t i = 0; i < ctx->combos_len; i++)
        if (memcmp(ctx->combos[i].cert, combo.cert, sizeof(combo.cert)) == 0) {
            *ret = (uint32_t)i;
            return ERR_OK;
        }
    struct combo *combos = reallocarray(ctx->combos, ctx->combos_len + 1, sizeof(*combos));
    if (!combos)
        return ERR_NOMEM;
    ctx->combos = combos;
    int err = ssl_ctx_new(ctx, b->conf, b->client_ca, &combo.ctx);
    if (err) {
        snprintf(b->why, b->why_room, "listener %s: TLS profile %s can't be set up: %s",
                 b->conf->name, tls_profile_name(b->conf->profile), tls_openssl_reason());
        return err;
    }
    *ret = (uint32_t)ctx->combos_len;
    combos[ctx->combos_len++] = combo;
    for (int type = 0; type < KEY_TYPES; type++)
        if (combo.cert[type] >= 0 && tls_cert_use(&b->certs[combo.cert[type]], combo.ctx)) {
            snprintf(b->why, b->why_room, "certificate file %s can't be used with profile %s: %s",
                     b->conf->certs[combo.cert[type]].cert, tls_profile_name(b->conf->profile),
                     tls_openssl_reason());
            return ERR_TLS;
        }
    return ERR_OK;
}

static bool name_add(void *user, const char *name)
{
    struct building *b = user;
    struct tls_server_ctx *ctx = b->ctx;
    struct name_row row = {0};

    for (size_t i = 0; i < ctx->names_len; i++)
        if (strcmp(ctx->names[i].name, name) == 0)
            return true;
    b->err = combo_add(b, combo_for(b->certs, b->conf->certs_len, name), &row.combo);
    if (b->err)
        return false;
    if (ctx->names_len == ctx->names_room) {
        size_t room = ctx->names_room ? ctx->names_room * 2 : 16;
        struct name_row *names = reallocarray(ctx->names, room, sizeof(*names));
        if (names)
            ctx->names = names;
        ctx->names_room = names ? room : ctx->names_room;
        b->err = names ? ERR_OK : ERR_NOMEM;
    }
    if (!b->err && !(row.name = strdup(name)))
        b->err = ERR_NOMEM;
    if (b->err)
        return false;
    ctx->names[ctx->names_len++] = row;
    return true;
}

static bool first_name(void *user, const char *name)
{
    *(char **)user = strdup(name);
    return false;
}

/* The default is the first certificate, and those of other types that share its first name. */
static int names_build(struct building *b)
{
    struct combo combo = {.cert = {-1, -1, -1}};
    char *name = NULL;
    uint32_t number;

    tls_cert_names(b->certs[0].leaf, first_name, &name);
    if (name)
        combo = combo_for(b->certs, b->conf->certs_len, name);
    free(name);
    combo.cert[key_type(&b->certs[0])] = 0;
    b->err = combo_add(b, combo, &number);
    for (size_t i = 0; i < b->conf->certs_len && !b->err; i++)
        tls_cert_names(b->certs[i].leaf, name_add, b);
    if (!b->err && b->ctx->names_len > 0) /* qsort takes no NULL, not even for none */
        qsort(b->ctx->names, b->ctx->names_len, sizeof(*b->ctx->names), row_compare);
    return b->err;
}

/* ---- the whole ---- */

static int certs_load(const struct tls_server_conf *conf, struct tls_cert *certs, char *why,
                      size_t why_room)
{
    for (size_t i = 0; i < conf->certs_len; i++) {
        int err = tls_cert_load(&conf->certs[i], &certs[i], why, why_room);

        if (err)
            return err;
        if (key_type(&certs[i]) < 0) {
            snprintf(why, why_room, "key file %s: its type is not ECDSA, RSA or Ed25519",
                     conf->certs[i].key);
            return ERR_TLS;
        }
    }
    return ERR_OK;
}

/* What a ticket may be used for: nothing that judges a client otherwise. */
static int context_hash(const struct tls_server_conf *conf, X509_STORE *client_ca, uint8_t out[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t digest[32];
    const uint32_t settings[] = {conf->profile, conf->min_version, conf->client_cert,
                                 (uint32_t)conf->groups.len, (uint32_t)conf->suites.len};
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, settings, sizeof(settings)) == 1 &&
              EVP_DigestUpdate(md, conf->name, strlen(conf->name) + 1) == 1;
    for (size_t i = 0; ok && i < conf->groups.len; i++)
        ok = EVP_DigestUpdate(md, conf->groups.names[i], strlen(conf->groups.names[i]) + 1) == 1;
    for (size_t i = 0; ok && i < conf->suites.len; i++)
        ok = EVP_DigestUpdate(md, conf->suites.names[i], strlen(conf->suites.names[i]) + 1) == 1;
    STACK_OF(X509) *all = client_ca ? X509_STORE_get1_all_certs(client_ca) : NULL;

    for (int i = 0; ok && i < sk_X509_num(all); i++)
        ok = tls_cert_sha256(sk_X509_value(all, i), digest) &&
             EVP_DigestUpdate(md, digest, sizeof(digest)) == 1;
    ok = ok && EVP_DigestFinal_ex(md, out, NULL) == 1;
    sk_X509_pop_free(all, X509_free);
    EVP_MD_CTX_free(md);
    return ok ? ERR_OK : ERR_NOMEM;
}

static int client_ca_load(const char *file, X509_STORE **ret, char *why, size_t why_room)
{
    *ret = X509_STORE_new();
    if (!*ret)
        return ERR_NOMEM;
    ERR_clear_error();
    if (X509_STORE_load_file(*ret, file) != 1) {
        snprintf(why, why_room, "client_ca file %s has no usable PEM certificates: %s", file,
                 tls_openssl_reason());
        return ERR_TLS;
    }
    return ERR_OK;
}

int tls_server_ctx_new(const struct tls_server_conf *conf, struct tls_server_ctx **ret, char *why,
                       size_t why_room)
{
    struct tls_server_ctx *ctx = calloc(1, sizeof(*ctx));
    struct tls_cert *certs = calloc(conf->certs_len ? conf->certs_len : 1, sizeof(*certs));
    struct building b = {
        .ctx = ctx, .conf = conf, .certs = certs, .why = why, .why_room = why_room};
    int err = ctx && certs ? ERR_OK : ERR_NOMEM;

    *ret = NULL;
    snprintf(why, why_room, "out of memory");
    if (!err && conf->certs_len == 0) {
        snprintf(why, why_room, "listener %s has TLS but no certificate", conf->name);
        err = ERR_TLS;
    }
    if (!err && conf->client_ca)
        err = client_ca_load(conf->client_ca, &b.client_ca, why, why_room);
    if (!err)
        err = certs_load(conf, certs, why, why_room);
    if (!err) {
        ctx->profile = conf->profile;
        tls_groups_text(&conf->groups, ctx->groups_text, sizeof(ctx->groups_text));
        ctx->client_cert = conf->client_cert;
        ctx->has_client_ca = conf->client_ca != NULL;
        err = tls_ticket_init(&ctx->ticket, conf->tickets, conf->ticket_rotate_s);
    }
    if (!err)
        err = context_hash(conf, b.client_ca, ctx->ticket.context);
    if (!err)
        err = names_build(&b);
    for (size_t i = 0; certs && i < conf->certs_len; i++)
        tls_cert_free(&certs[i]);
    free(certs);
    X509_STORE_free(b.client_ca);
    ERR_clear_error();
    if (err)
        tls_server_ctx_free(ctx);
    else
        *ret = ctx;
    return err;
}

void tls_server_ctx_free(struct tls_server_ctx *ctx)
{
    if (!ctx)
        return;
    for (size_t i = 0; i < ctx->combos_len; i++)
        SSL_CTX_free(ctx->combos[i].ctx);
    for (size_t i = 0; i < ctx->names_len; i++)
        free(ctx->names[i].name);
    tls_ticket_free(&ctx->ticket);
    free(ctx->combos);
    free(ctx->names);
    free(ctx);
}
