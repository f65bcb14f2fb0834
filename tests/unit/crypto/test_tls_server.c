/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_lab.h"

#include <unistd.h>

static struct lab_cert ca, other_ca, mx_ecdsa, mx_rsa, shop, wild, client, stranger, expired,
    forged;
static const struct tls_ticket_seed seed = {.seed = "one seed"}, other_seed = {.seed = "another"};

static int setup(void **state)
{
    if (lab_setup(state))
        return -1;
    lab_cert_make(&ca, &(struct lab_cert_spec){.cn = "Test CA", .ca = true});
    lab_cert_make(&other_ca, &(struct lab_cert_spec){.cn = "Other CA", .ca = true});
    lab_cert_make(&mx_ecdsa,
                  &(struct lab_cert_spec){.cn = "ecdsa", .san = "DNS:mx.example, DNS:mx2.example"});
    lab_cert_make(&mx_rsa,
                  &(struct lab_cert_spec){.cn = "rsa", .san = "DNS:mx.example", .rsa = true});
    lab_cert_make(&shop, &(struct lab_cert_spec){.cn = "shop", .san = "DNS:MX.shop.example"});
    lab_cert_make(&wild, &(struct lab_cert_spec){.cn = "wild", .san = "DNS:*.shop.example"});
    lab_cert_make(&client, &(struct lab_cert_spec){.cn = "printer.example", .issuer = &ca});
    lab_cert_make(&stranger, &(struct lab_cert_spec){.cn = "stranger", .issuer = &other_ca});
    lab_cert_make(&expired,
                  &(struct lab_cert_spec){.cn = "old.example", .issuer = &ca, .days = -10});
    lab_cert_make(&forged, &(struct lab_cert_spec){.cn = "printer.example", .issuer = &ca});
    assert_true(X509_sign(forged.cert, other_ca.key, EVP_sha256()) > 0);
    return 0;
}

static int teardown(void **state)
{
    struct lab_cert *all[] = {&ca,   &other_ca, &mx_ecdsa, &mx_rsa,  &shop,
                              &wild, &client,   &stranger, &expired, &forged};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        lab_cert_free(all[i]);
    return lab_teardown(state);
}

static struct tls_server_conf conf_make(void)
{
    static struct tls_cert_files certs[4];

    certs[0] = (struct tls_cert_files){mx_ecdsa.cert_file, mx_ecdsa.key_file};
    certs[1] = (struct tls_cert_files){mx_rsa.cert_file, mx_rsa.key_file};
    certs[2] = (struct tls_cert_files){wild.cert_file, wild.key_file};
    certs[3] = (struct tls_cert_files){shop.cert_file, shop.key_file};
    return (struct tls_server_conf){.name = "internet",
                                    .certs = certs,
                                    .certs_len = 4,
                                    .tickets = &seed,
                                    .ticket_rotate_s = 3600};
}

struct visit {
    const char *sni;
    int version;
    bool rsa_only;
    const uint8_t *alpn;
    unsigned alpn_len;
    const struct lab_cert *cert;
    SSL_SESSION *session;
    /* What came of it. */
    char peer_cn[32];
    bool alpn_chosen;
};

static void visit_run(struct lab *l, const struct tls_server_ctx *ctx, struct visit *v)
{
    SSL_CTX *peer_ctx = lab_peer_ctx(false, v->version, v->cert);
    struct lab_wire wire = {.early = "EHLO x\r\n"};
    const unsigned char *chosen;
    unsigned chosen_len;

    if (v->rsa_only)
        SSL_CTX_set1_sigalgs_list(peer_ctx, "RSA-PSS+SHA256:RSA+SHA256");
    SSL *peer = lab_peer(peer_ctx, false);
    if (v->sni)
        SSL_set_tlsext_host_name(peer, v->sni);
    if (v->alpn)
        SSL_set_alpn_protos(peer, v->alpn, v->alpn_len);
    if (v->session)
        SSL_set_session(peer, v->session);
    lab_server(l, ctx);
    lab_run(l, peer, &wire);
    X509 *leaf = SSL_get0_peer_certificate(peer);
    if (leaf)
        X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, v->peer_cn,
                                  sizeof(v->peer_cn));
    SSL_get0_alpn_selected(peer, &chosen, &chosen_len);
    v->alpn_chosen = chosen_len == 4 && memcmp(chosen, "smtp", 4) == 0;
    if (l->done) {
        lab_records(l);
        lab_hear(l, peer, "EHLO x\r\n");
        lab_say(l, peer, "250 x\r\n");
        SSL_SESSION_free(v->session);
        v->session = SSL_get1_session(peer);
        SSL_set_shutdown(peer, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
}

static void the_certificate_follows_sni_and_key_type(void **state)
{
    static const struct {
        const char *sni;
        bool rsa_only;
        const char *cn; /* NULL: the handshake fails */
    } rows[] = {
        {NULL, false, "ecdsa"},
        {NULL, true, "rsa"},
        {"mx.example", false, "ecdsa"},
        {"MX.Example", true, "rsa"},
        {"mx2.example", false, "ecdsa"},
        {"mx2.example", true, NULL}, /* only ECDSA has that name */
        {"unknown.example", false, "ecdsa"},
        {"unknown.example", true, "rsa"},
        {"mx.shop.example", false, "shop"},
        {"www.shop.example", false, "wild"},
        {"a.www.shop.example", false, "ecdsa"}, /* a wildcard is one label */
        {"shop.example", false, "ecdsa"},
        {".shop.example", false, "ecdsa"},
    };
    const struct tls_server_conf conf = conf_make();
    struct tls_server_ctx *ctx = lab_server_ctx(&conf);
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct visit v = {.sni = rows[i].sni, .version = version, .rsa_only = rows[i].rsa_only};

            visit_run(&l, ctx, &v);
            assert_int_equal(l.done, rows[i].cn != NULL);
            if (rows[i].cn)
                assert_string_equal(v.peer_cn, rows[i].cn);
            SSL_SESSION_free(v.session);
            lab_next(&l);
        }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void a_foreign_alpn_is_declined(void **state)
{
    static const struct {
        const char *protos;
        bool good, chosen;
    } rows[] = {
        {"\x08http/1.1", false, false},
        {"\x02h2\x08http/1.1", false, false},
        {"\x04smtp", true, true},
        {"\x02h2\x04smtp", true, true},
        {NULL, true, false},
    };
    const struct tls_server_conf conf = conf_make();
    struct tls_server_ctx *ctx = lab_server_ctx(&conf);
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct visit v = {.alpn = (const uint8_t *)rows[i].protos,
                          .alpn_len = rows[i].protos ? (unsigned)strlen(rows[i].protos) : 0};

        visit_run(&l, ctx, &v);
        assert_int_equal(l.done, rows[i].good);
        assert_int_equal(v.alpn_chosen, rows[i].chosen);
        if (!rows[i].good)
            assert_non_null(strstr(l.failure.text, "ALPN"));
        SSL_SESSION_free(v.session);
        lab_next(&l);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void what_the_client_lacks_is_said(void **state)
{
    const struct tls_server_conf conf = conf_make();
    struct tls_server_ctx *ctx = lab_server_ctx(&conf);
    struct lab l;
    struct lab_wire wire = {0};
    static const struct {
        int version;
        const char *suite, *groups, *text;
    } rows[] = {
        {TLS1_1_VERSION, "ALL:@SECLEVEL=0", "P-256", "no TLS version in common"},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", "P-256", "no cipher suite in common"},
        {TLS1_3_VERSION, "DEFAULT", "X448", "no key exchange group in common"},
    };

    lab_open(&l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(false, rows[i].version, NULL);

        SSL_CTX_set_cipher_list(peer_ctx, rows[i].suite);
        SSL_CTX_set1_groups_list(peer_ctx, rows[i].groups);
        SSL *peer = lab_peer(peer_ctx, false);
        lab_server(&l, ctx);
        lab_run(&l, peer, &wire);
        assert_true(l.failed && wire.peer_failed);
        assert_int_equal(l.failure.kind, TLS_FAIL_PROTOCOL);
        if (!strstr(l.failure.text, rows[i].text))
            fail_msg("\"%s\" lacks \"%s\"", l.failure.text, rows[i].text);
        lab_next(&l);
        SSL_free(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void client_certificates_are_judged_as_the_listener_says(void **state)
{
    static const struct {
        enum tls_client_cert mode;
        bool has_ca;
        const struct lab_cert *cert;
        bool good;
        enum tls_verify verify;
    } rows[] = {
        {TLS_CLIENT_CERT_NONE, false, &client, true, TLS_VERIFY_NONE},
        {TLS_CLIENT_CERT_ASK, true, NULL, true, TLS_VERIFY_NONE},
        {TLS_CLIENT_CERT_ASK, true, &client, true, TLS_VERIFY_OK},
        {TLS_CLIENT_CERT_ASK, true, &stranger, true, TLS_VERIFY_FAILED},
        {TLS_CLIENT_CERT_ASK, true, &expired, true, TLS_VERIFY_FAILED},
        {TLS_CLIENT_CERT_ASK, true, &forged, true, TLS_VERIFY_FAILED},
        {TLS_CLIENT_CERT_ASK, false, &stranger, true, TLS_VERIFY_UNCHECKED},
        {TLS_CLIENT_CERT_REQUIRE, true, NULL, false, TLS_VERIFY_NONE},
        {TLS_CLIENT_CERT_REQUIRE, true, &client, true, TLS_VERIFY_OK},
        {TLS_CLIENT_CERT_REQUIRE, true, &stranger, false, TLS_VERIFY_FAILED},
        {TLS_CLIENT_CERT_REQUIRE, true, &expired, false, TLS_VERIFY_FAILED},
        {TLS_CLIENT_CERT_REQUIRE, true, &forged, false, TLS_VERIFY_FAILED},
        {TLS_CLIENT_CERT_REQUIRE, false, &stranger, true, TLS_VERIFY_UNCHECKED},
        {TLS_CLIENT_CERT_REQUIRE, false, NULL, false, TLS_VERIFY_NONE},
    };
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_server_conf conf = conf_make();
        struct visit v = {.version = i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION,
                          .cert = rows[i / 2].cert};

        conf.client_cert = rows[i / 2].mode;
        conf.client_ca = rows[i / 2].has_ca ? ca.cert_file : NULL;
        struct tls_server_ctx *ctx = lab_server_ctx(&conf);
        for (int visit = 0; visit < 2; visit++) { /* the second one resumes */
            visit_run(&l, ctx, &v);
            assert_int_equal(l.done, rows[i / 2].good);
            if (l.done) {
                /* What has expired is judged by a full handshake each time. */
                assert_int_equal(l.facts.resumed, visit && v.cert != &expired);
                assert_int_equal(l.facts.verify, rows[i / 2].verify);
                if (l.facts.verify == TLS_VERIFY_OK)
                    assert_string_equal(l.facts.peer_name, "printer.example");
            } else {
                assert_int_equal(l.failure.kind, TLS_FAIL_CLIENT_CERT);
            }
            lab_next(&l);
        }
        SSL_SESSION_free(v.session);
        tls_server_ctx_free(ctx);
    }
    lab_close(&l);
}

/* What policy may go by: DNS names alone, in lower case, and none that a list can't tell apart. */
static void names_of_client_certificates_are_facts(void **state)
{
    static const struct {
        const char *cn, *san, *names;
    } rows[] = {
        {"printer.example", NULL, ""},
        {"cn.example", "DNS:MX.Example,email:a@b.example,IP:192.0.2.1,DNS:*.b.example",
         "mx.example *.b.example "},
        {"cn.example", "DNS:a.*.example,DNS:*,DNS:.a.example,DNS:*x.example,DNS:ok.example",
         "ok.example "},
        {"cn.example", "DNS:a b.example,DNS:a_b.example", "a_b.example "},
    };
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_server_conf conf = conf_make();
        struct lab_cert cert;

        lab_cert_make(&cert,
                      &(struct lab_cert_spec){.cn = rows[i].cn, .san = rows[i].san, .issuer = &ca});
        conf.client_cert = TLS_CLIENT_CERT_ASK;
        conf.client_ca = ca.cert_file;
        struct tls_server_ctx *ctx = lab_server_ctx(&conf);
        struct visit v = {.version = TLS1_3_VERSION, .cert = &cert};
        for (int visit = 0; visit < 2; visit++) { /* the second one resumes */
            visit_run(&l, ctx, &v);
            assert_true(l.done && l.facts.verify == TLS_VERIFY_OK);
            assert_int_equal(l.facts.resumed, visit);
            const char *n = l.facts.cert_names, *left = rows[i].names;
            for (; *n && strncmp(n, left, strlen(n)) == 0; n += strlen(n) + 1)
                left += strlen(n) + 1;
            if (*n || *left)
                fail_msg("row %zu: \"%s\" where \"%s\" is expected", i, n, left);
            lab_next(&l);
        }
        SSL_SESSION_free(v.session);
        tls_server_ctx_free(ctx);
        lab_cert_free(&cert);
    }
    lab_close(&l);
}

/* More names than there is room for: those that fit, each of them whole. */
static void names_beyond_the_room_are_left_out(void **state)
{
    static char san[4096];
    struct tls_server_conf conf = conf_make();
    struct lab_cert cert;
    struct lab l;
    size_t len = 0, count = 0;

    for (int i = 0; i < 100; i++)
        len +=
            (size_t)snprintf(san + len, sizeof(san) - len, "%sDNS:mx%02d.example", i ? "," : "", i);
    lab_cert_make(&cert, &(struct lab_cert_spec){.san = san, .issuer = &ca});
    conf.client_cert = TLS_CLIENT_CERT_ASK;
    conf.client_ca = ca.cert_file;
    struct tls_server_ctx *ctx = lab_server_ctx(&conf);
    struct visit v = {.version = TLS1_3_VERSION, .cert = &cert};
    lab_open(&l);
    visit_run(&l, ctx, &v);
    assert_true(l.done);
    for (const char *n = l.facts.cert_names; *n; n += strlen(n) + 1, count++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "mx%02zu.example", count);
        assert_string_equal(n, expected);
    }
    assert_int_equal(count, (TLS_CERT_NAMES - 1) / 13);
    lab_close(&l);
    SSL_SESSION_free(v.session);
    tls_server_ctx_free(ctx);
    lab_cert_free(&cert);
}

/* A session made at one context, brought to another. */
static bool resumes(const struct tls_server_conf *first, const struct tls_server_conf *second,
                    int version)
{
    struct tls_server_ctx *one = lab_server_ctx(first), *two = lab_server_ctx(second);
    struct lab l, m;
    struct visit v = {.version = version};

    lab_open(&l);
    lab_open(&m); /* as in another worker */
    visit_run(&l, one, &v);
    assert_true(l.done && !l.facts.resumed);
    visit_run(&m, two, &v);
    assert_true(m.done);
    bool resumed = m.facts.resumed;
    SSL_SESSION_free(v.session);
    lab_close(&l);
    lab_close(&m);
    tls_server_ctx_free(one);
    tls_server_ctx_free(two);
    return resumed;
}

static void tickets_are_good_in_each_worker_and_at_their_listener_only(void **state)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_server_conf a = conf_make(), b = conf_make();

        assert_true(resumes(&a, &b, version));
        b.name = "inside";
        assert_false(resumes(&a, &b, version));
        b = a;
        b.tickets = &other_seed;
        assert_false(resumes(&a, &b, version));
        b = a;
        b.profile = TLS_PROFILE_COMPATIBLE;
        assert_false(resumes(&a, &b, version));
        b = a;
        b.client_cert = TLS_CLIENT_CERT_ASK;
        assert_false(resumes(&a, &b, version));
        struct tls_server_conf c = b;
        c.client_ca = ca.cert_file;
        assert_false(resumes(&b, &c, version));
        b = a;
        b.tickets = NULL;
        assert_false(resumes(&a, &b, version));
    }
}

static void ticket_keys_rotate(void **state)
{
    struct tls_server_conf conf = conf_make();
    struct lab l;
    struct visit v = {.version = TLS1_3_VERSION};

    conf.ticket_rotate_s = 1;
    struct tls_server_ctx *ctx = lab_server_ctx(&conf);
    lab_open(&l);
    visit_run(&l, ctx, &v);
    lab_next(&l);
    /* OpenSSL's client would not even offer it after the lifetime that we announced. */
    SSL_SESSION_set_timeout(v.session, 100);
    sleep(3);
    SSL_SESSION *old = SSL_SESSION_dup(v.session);
    visit_run(&l, ctx, &v);
    assert_true(l.done && !l.facts.resumed);
    SSL_SESSION_free(v.session);
    SSL_SESSION_free(old);
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void refused(const struct tls_server_conf *conf, const char *file, const char *text)
{
    struct tls_server_ctx *ctx = (void *)conf;
    char why[256] = "";

    assert_int_equal(tls_server_ctx_new(conf, &ctx, why, sizeof(why)), ERR_TLS);
    assert_null(ctx);
    if (!strstr(why, file) || !strstr(why, text))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", why, file, text);
}

static void broken_files_are_named(void **state)
{
    struct tls_cert_files files = {"/nonexistent.pem", mx_rsa.key_file};
    struct tls_server_conf conf = {.name = "internet", .certs = &files, .certs_len = 1};

    refused(&conf, "/nonexistent.pem", "No such file");
    files = (struct tls_cert_files){mx_rsa.cert_file, "/nonexistent.key"};
    refused(&conf, "/nonexistent.key", "No such file");
    files = (struct tls_cert_files){mx_rsa.cert_file, mx_ecdsa.key_file};
    refused(&conf, mx_ecdsa.key_file, "does not belong");
    files = (struct tls_cert_files){mx_rsa.key_file, mx_rsa.key_file};
    refused(&conf, mx_rsa.key_file, "no usable PEM certificates");
    files = (struct tls_cert_files){mx_rsa.cert_file, mx_rsa.cert_file};
    refused(&conf, mx_rsa.cert_file, "no usable PEM private key");
    conf.certs_len = 0;
    refused(&conf, "internet", "no certificate");
    conf = conf_make();
    conf.client_ca = mx_rsa.key_file;
    refused(&conf, mx_rsa.key_file, "no usable PEM certificates");

    char encrypted[96];
    snprintf(encrypted, sizeof(encrypted), "%s", lab_file("encrypted.key"));
    FILE *file = fopen(encrypted, "w");
    PEM_write_PrivateKey(file, mx_rsa.key, EVP_aes_128_cbc(), (const uint8_t *)"secret", 6, NULL,
                         NULL);
    fclose(file);
    files = (struct tls_cert_files){mx_rsa.cert_file, encrypted};
    conf = (struct tls_server_conf){.name = "internet", .certs = &files, .certs_len = 1};
    refused(&conf, encrypted, "without a passphrase");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_certificate_follows_sni_and_key_type),
        cmocka_unit_test(a_foreign_alpn_is_declined),
        cmocka_unit_test(what_the_client_lacks_is_said),
        cmocka_unit_test(client_certificates_are_judged_as_the_listener_says),
        cmocka_unit_test(names_of_client_certificates_are_facts),
        cmocka_unit_test(names_beyond_the_room_are_left_out),
        cmocka_unit_test(tickets_are_good_in_each_worker_and_at_their_listener_only),
        cmocka_unit_test(ticket_keys_rotate),
        cmocka_unit_test(broken_files_are_named),
    };
    return lab_group_run("tls_server", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
