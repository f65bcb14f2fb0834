/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_lab.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- certificates ---- */

static char lab_dir[64];
static unsigned lab_files;

int lab_setup(void **state)
{
    snprintf(lab_dir, sizeof(lab_dir), "/tmp/postern-crypto-XXXXXX");
    return mkdtemp(lab_dir) ? 0 : -1;
}

int lab_teardown(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", lab_dir);
    return system(command);
}

const char *lab_file(const char *name)
{
    static char path[96];

    snprintf(path, sizeof(path), "%s/%s", lab_dir, name);
    return path;
}

static void extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void sans_add(X509 *cert, const struct lab_san *sans, size_t len)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();

    for (size_t i = 0; i < len; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = ASN1_STRING_type_new(sans[i].type == GEN_IPADD ? V_ASN1_OCTET_STRING
                                                                            : V_ASN1_IA5STRING);

        assert_int_equal(ASN1_STRING_set(value, sans[i].bytes,
                                         (int)(sans[i].len ? sans[i].len : strlen(sans[i].bytes))),
                         1);
        GENERAL_NAME_set0_value(name, sans[i].type, value);
        assert_true(sk_GENERAL_NAME_push(names, name) > 0);
    }
    assert_int_equal(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0), 1);
    GENERAL_NAMES_free(names);
}

const char *lab_chain_file(const struct lab_cert *const *certs, size_t len)
{
    FILE *file = fopen(lab_file("chain.pem"), "w");

    for (size_t i = 0; i < len; i++)
        assert_int_equal(PEM_write_X509(file, certs[i]->cert), 1);
    fclose(file);
    return lab_file("chain.pem");
}

static void cert_write(struct lab_cert *c, const struct lab_cert *issuer)
{
    snprintf(c->cert_file, sizeof(c->cert_file), "%s/%u.pem", lab_dir, lab_files);
    snprintf(c->key_file, sizeof(c->key_file), "%s/%u.key", lab_dir, lab_files++);
    FILE *file = fopen(c->cert_file, "w");
    assert_int_equal(PEM_write_X509(file, c->cert), 1);
    if (issuer)
        assert_int_equal(PEM_write_X509(file, issuer->cert), 1);
    fclose(file);
    file = fopen(c->key_file, "w");
    assert_int_equal(PEM_write_PrivateKey(file, c->key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

void lab_cert_make(struct lab_cert *ret, const struct lab_cert_spec *spec)
{
    static long serial = 1;
    X509 *cert = X509_new(), *issuer = spec->issuer ? spec->issuer->cert : cert;
    EVP_PKEY *key = spec->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");

    assert_non_null(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 3600);
    X509_gmtime_adj(X509_getm_notAfter(cert),
                    (long)(spec->days ? spec->days - 1 : 365) * 24 * 3600);
    X509_set_pubkey(cert, key);
    if (spec->cn)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                   (const uint8_t *)spec->cn, spec->cn_len ? (int)spec->cn_len : -1,
                                   -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    extension_add(cert, issuer, NID_basic_constraints, spec->ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->san)
        extension_add(cert, issuer, NID_subject_alt_name, spec->san);
    if (spec->sans_len > 0)
        sans_add(cert, spec->sans, spec->sans_len);
    if (spec->usage)
        extension_add(cert, issuer, NID_ext_key_usage, spec->usage);
    assert_true(X509_sign(cert, spec->issuer ? spec->issuer->key : key, EVP_sha256()) > 0);
    ret->cert = cert;
    ret->key = key;
    cert_write(ret, spec->issuer);
}

void lab_cert_free(struct lab_cert *cert)
{
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
}

struct lab_cert lab_ecdsa, lab_rsa;

int lab_pair_setup(void **state)
{
    struct lab_cert_spec spec = {.cn = "mx.example", .san = "DNS:mx.example"};

    if (lab_setup(state))
        return -1;
    lab_cert_make(&lab_ecdsa, &spec);
    spec.rsa = true;
    lab_cert_make(&lab_rsa, &spec);
    return 0;
}

int lab_pair_teardown(void **state)
{
    lab_cert_free(&lab_ecdsa);
    lab_cert_free(&lab_rsa);
    return lab_teardown(state);
}

/* ---- the service ---- */

static void on_output(void *user, struct leg_id leg, struct span bytes)
{
    struct lab *l = user;

    assert_true(leg_same(leg, l->leg));
    assert_false(l->done || l->failed);
    assert_int_equal(buf_append_span(&l->out, bytes), ERR_OK);
    l->outputs++;
    if (l->release_on_output)
        l->service->ops->release(l->service, leg);
}

static void on_done(void *user, struct leg_id leg, const struct tls_keys *keys,
                    const struct tls_facts *facts, struct span rest)
{
    struct lab *l = user;

    assert_true(leg_same(leg, l->leg));
    assert_false(l->done || l->failed);
    l->done = true;
    l->keys = *keys;
    l->facts = *facts;
    assert_int_equal(buf_append_span(&l->rest, rest), ERR_OK);
}

static void on_failed(void *user, struct leg_id leg, const struct tls_failure *failure)
{
    struct lab *l = user;

    assert_true(leg_same(leg, l->leg));
    assert_false(l->done || l->failed);
    l->failed = true;
    l->failure = *failure;
}

static const struct tls_service_events events = {
    .output = on_output, .done = on_done, .failed = on_failed};

enum lab_where lab_where;

static bool on_idle(void *user)
{
    struct lab *l = user;
    bool here = lab_where == LAB_TURNS && l->asked % 2;

    l->asked++;
    l->away += !here;
    return here;
}

void lab_open(struct lab *l)
{
    const struct tls_service_conf conf = {
        .max_legs = 8, .max_handshakes = 4, .max_sessions = 4, .idle = on_idle};

    *l = (struct lab){.leg = {3, 1}};
    assert_int_equal(tls_service_openssl_new(&conf, &events, l, &l->service), ERR_OK);
    if (lab_where != LAB_INLINE)
        assert_int_equal(tls_service_openssl_thread(l->service, &l->fd), ERR_OK);
}

/* One leg has one step under way at most, and each has its answer. */
static void settle(struct lab *l)
{
    while (l->away > 0) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};

        l->away--;
        assert_int_equal(poll(&p, 1, -1), 1);
        l->service->ops->answer(l->service);
    }
}

void lab_feed(struct lab *l, const void *data, size_t len)
{
    l->service->ops->feed(l->service, l->leg, span_make(data, len));
    settle(l);
}

int lab_group_run(const char *name, const struct CMUnitTest *tests, size_t len,
                  CMFixtureFunction setup, CMFixtureFunction teardown)
{
    static const char *const where[] = {"inline", "thread", "turns"};
    char group[64];
    int failed = 0;

    for (lab_where = 0; lab_where < LAB_WHERE_COUNT; lab_where++) {
        snprintf(group, sizeof(group), "%s, %s", name, where[lab_where]);
        failed += _cmocka_run_group_tests(group, tests, len, setup, teardown);
    }
    return failed;
}

static void lab_forget(struct lab *l)
{
    tls_record_free(&l->tx);
    tls_record_free(&l->rx);
    tls_keys_wipe(&l->keys);
    buf_release(&l->out);
    buf_release(&l->rest);
    l->done = l->failed = false;
    l->outputs = 0;
}

void lab_close(struct lab *l)
{
    lab_forget(l);
    l->service->ops->free(l->service);
}

void lab_next(struct lab *l)
{
    l->service->ops->release(l->service, l->leg);
    lab_forget(l);
    l->leg.generation++;
}

void lab_server(struct lab *l, const struct tls_server_ctx *ctx)
{
    assert_int_equal(l->service->ops->start_server(l->service, l->leg, ctx), ERR_OK);
}

void lab_client(struct lab *l, const struct tls_client_request *request)
{
    assert_int_equal(l->service->ops->start_client(l->service, l->leg, request), ERR_OK);
    settle(l);
}

struct tls_server_ctx *lab_server_ctx(const struct tls_server_conf *conf)
{
    struct tls_server_ctx *ctx;
    char why[256];

    if (tls_server_ctx_new(conf, &ctx, why, sizeof(why)))
        fail_msg("%s", why);
    return ctx;
}

struct tls_client_ctx *lab_client_ctx(const struct tls_client_conf *conf)
{
    struct tls_client_ctx *ctx;
    char why[256];

    if (tls_client_ctx_new(conf, &ctx, why, sizeof(why)))
        fail_msg("%s", why);
    return ctx;
}

static void pass(struct lab *from, struct lab *to)
{
    struct buf moved = from->out;

    from->out = (struct buf){0};
    if (to->done || to->failed)
        assert_int_equal(buf_append_span(&to->rest, buf_span(&moved)), ERR_OK);
    else if (buf_len(&moved) > 0)
        lab_feed(to, buf_span(&moved).ptr, buf_len(&moved));
    buf_release(&moved);
}

void lab_pair(struct lab *client, struct lab *server)
{
    while (buf_len(&client->out) + buf_len(&server->out) > 0) {
        pass(client, server);
        pass(server, client);
    }
    struct span rest = buf_span(&client->rest);
    while (client->done && rest.len > 0) {
        size_t len = TLS_RECORD_HEADER + ((size_t)rest.ptr[3] << 8 | rest.ptr[4]);

        assert_true(len <= rest.len);
        client->service->ops->ticket_record(client->service, client->leg, span_make(rest.ptr, len));
        rest = span_from(rest, len);
    }
}

/* ---- the peer ---- */

SSL_CTX *lab_peer_ctx(bool is_server, int version, const struct lab_cert *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());

    assert_non_null(ctx);
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"peer", 4);
    if (cert)
        assert_int_equal(SSL_CTX_use_cert_and_key(ctx, cert->cert, cert->key, NULL, 1), 1);
    return ctx;
}

SSL *lab_peer(SSL_CTX *ctx, bool is_server)
{
    SSL *ssl = SSL_new(ctx);

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (is_server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

static bool to_peer(struct lab *l, SSL *peer)
{
    struct span out = buf_span(&l->out);

    if (out.len == 0)
        return false;
    assert_int_equal(BIO_write(SSL_get_rbio(peer), out.ptr, (int)out.len), out.len);
    buf_clear(&l->out);
    return true;
}

static bool from_peer(struct lab *l, SSL *peer, size_t fragment)
{
    char *data;
    size_t len = (size_t)BIO_get_mem_data(SSL_get_wbio(peer), &data), at = 0;

    if (len == 0)
        return false;
    while (at < len && !l->done && !l->failed) {
        size_t n = fragment && fragment < len - at ? fragment : len - at;

        lab_feed(l, data + at, n);
        at += n;
    }
    /* What comes after the switch is the dataplane's. */
    assert_int_equal(buf_append(&l->rest, data + at, len - at), ERR_OK);
    BIO_reset(SSL_get_wbio(peer));
    return true;
}

void lab_run(struct lab *l, SSL *peer, struct lab_wire *wire)
{
    const char *early = wire->early;
    bool moved = true;

    wire->peer_failed = false;
    while (moved && !wire->peer_failed) {
        moved = to_peer(l, peer);
        ERR_clear_error();
        int result = SSL_do_handshake(peer);
        if (result == 1 && early) {
            assert_int_equal(SSL_write(peer, early, (int)strlen(early)), strlen(early));
            early = NULL;
        }
        if (result != 1 && SSL_get_error(peer, result) != SSL_ERROR_WANT_READ)
            wire->peer_failed = true;
        moved = from_peer(l, peer, wire->fragment) || moved;
    }
}

void lab_records(struct lab *l)
{
    assert_true(l->done);
    assert_int_equal(tls_record_init(&l->tx, &l->keys, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(&l->rx, &l->keys, TLS_DIR_RX), ERR_OK);
}

void lab_say(struct lab *l, SSL *peer, const char *text)
{
    uint8_t record[512], got[256];
    size_t len;

    assert_int_equal(tls_record_seal(&l->tx, TLS_CONTENT_DATA, (const uint8_t *)text, strlen(text),
                                     record, &len),
                     ERR_OK);
    to_peer(l, peer); /* tickets that the handshake made go before */
    assert_int_equal(BIO_write(SSL_get_rbio(peer), record, (int)len), len);
    int n = SSL_read(peer, got, sizeof(got));
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

int lab_hear(struct lab *l, SSL *peer, const char *text)
{
    static uint8_t record[TLS_RECORD_MAX], sealed[TLS_RECORD_MAX];
    struct tls_record got;
    int records = 0;

    from_peer(l, peer, 0);
    for (;;) {
        struct span rest = buf_span(&l->rest);
        size_t len;

        assert_int_equal(tls_record_length(&l->rx, rest.ptr, rest.len, &len), ERR_OK);
        assert_true(len <= rest.len);
        memcpy(record, rest.ptr, len);
        memcpy(sealed, rest.ptr, len);
        buf_consume(&l->rest, len);
        records++;
        assert_int_equal(tls_record_open(&l->rx, record, len, &got), ERR_OK);
        if (got.type == TLS_CONTENT_DATA)
            break;
        assert_int_equal(got.type, TLS_CONTENT_HANDSHAKE);
        l->service->ops->ticket_record(l->service, l->leg, span_make(sealed, len));
    }
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.data, text, got.len);
    return records;
}

void lab_peer_say(SSL *peer, const char *text)
{
    assert_int_equal(SSL_write(peer, text, (int)strlen(text)), strlen(text));
}
