/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_lab.h"

#include "tls_cert.h"

static struct lab_cert ca, other_ca, mx, wild, partial, address, old, alone, cn_only, no_names;

static int setup(void **state)
{
    if (lab_setup(state))
        return -1;
    lab_cert_make(&ca, &(struct lab_cert_spec){.cn = "Test CA", .ca = true});
    lab_cert_make(&other_ca, &(struct lab_cert_spec){.cn = "Other CA", .ca = true});
    lab_cert_make(&mx, &(struct lab_cert_spec){.cn = "a\nb\"",
                                               .san = "DNS:mx.example, DNS:mail.example.org",
                                               .issuer = &ca});
    lab_cert_make(&wild, &(struct lab_cert_spec){.san = "DNS:*.example.net", .issuer = &ca});
    lab_cert_make(&partial, &(struct lab_cert_spec){.san = "DNS:mx*.example.net", .issuer = &ca});
    lab_cert_make(&address,
                  &(struct lab_cert_spec){.san = "IP:192.0.2.1, IP:2001:db8::1", .issuer = &ca});
    lab_cert_make(&old,
                  &(struct lab_cert_spec){.san = "DNS:mx.example", .issuer = &ca, .days = -10});
    lab_cert_make(&alone, &(struct lab_cert_spec){.san = "DNS:mx.example"});
    lab_cert_make(&cn_only, &(struct lab_cert_spec){.cn = "mx.example", .issuer = &ca});
    lab_cert_make(&no_names, &(struct lab_cert_spec){.issuer = &ca});
    return 0;
}

static int teardown(void **state)
{
    struct lab_cert *all[] = {&ca,      &other_ca, &mx,    &wild,    &partial,
                              &address, &old,      &alone, &cn_only, &no_names};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        lab_cert_free(all[i]);
    return lab_teardown(state);
}

static void visit(struct lab *l, const struct tls_client_request *request, SSL_CTX *peer_ctx)
{
    SSL *peer = lab_peer(peer_ctx, true);
    struct lab_wire wire = {.early = "220 x\r\n"};

    lab_client(l, request);
    lab_run(l, peer, &wire);
    if (l->done) {
        lab_records(l);
        lab_hear(l, peer, "220 x\r\n");
        SSL_set_shutdown(peer, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(peer);
}

static void names_are_checked_as_the_level_asks(void **state)
{
    static const struct {
        const struct lab_cert *cert;
        const char *names[3];
        const char *matched, *why;
    } rows[] = {
        {&mx, {"mx.example"}, "name mx.example", NULL},
        {&mx, {"MX.example"}, "name MX.example", NULL},
        {&mx, {"other.example", "mail.example.org"}, "name mail.example.org", NULL},
        {&mx, {"other.example"}, NULL, "mx.example, mail.example.org"},
        {&mx, {".example.org"}, "name .example.org", NULL},
        {&mx, {"example.org"}, NULL, "not for example.org"},
        {&mx, {"example.org", ".example.org"}, "name .example.org", NULL},
        {&mx, {".ample.org"}, NULL, "not for"},
        {&mx, {".mail.example.org"}, NULL, "not for"},
        {&mx, {NULL}, NULL, "no name"},
        {&wild, {"mx.example.net"}, "name mx.example.net", NULL},
        {&wild, {"a.mx.example.net"}, NULL, "not for"},
        {&wild, {"example.net"}, NULL, "not for"},
        {&wild, {".example.net"}, "name .example.net", NULL},
        {&partial, {"mx1.example.net"}, NULL, "not for"},
        {&address, {"192.0.2.1"}, "name 192.0.2.1", NULL},
        {&address, {"2001:db8:0:0::1"}, "name 2001:db8:0:0::1", NULL},
        {&address, {"192.0.2.2"}, NULL, "no name at all"},
        {&cn_only, {"mx.example"}, "name mx.example", NULL},
        {&no_names, {"mx.example"}, NULL, "no name at all"},
        {&old, {"mx.example"}, NULL, "the server's certificate expired on 20"},
        {&alone, {"mx.example"}, NULL, "self-signed certificate; put it into the ca file"},
    };
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = ca.cert_file});
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct tls_client_request request = {
                .ctx = ctx, .check = TLS_CHECK_NAME, .names = rows[i].names};
            SSL_CTX *peer_ctx = lab_peer_ctx(true, version, rows[i].cert);

            while (rows[i].names[request.names_len])
                request.names_len++;
            memcpy(request.session_key, &i, sizeof(i));
            visit(&l, &request, peer_ctx);
            assert_int_equal(l.done, rows[i].matched != NULL);
            if (l.done) {
                assert_int_equal(l.facts.verify, TLS_VERIFY_OK);
                assert_string_equal(l.facts.verify_text, rows[i].matched);
            } else {
                assert_int_equal(l.failure.kind, TLS_FAIL_VERIFY);
                if (!strstr(l.failure.text, rows[i].why))
                    fail_msg("\"%s\" lacks \"%s\"", l.failure.text, rows[i].why);
            }
            lab_next(&l);
            SSL_CTX_free(peer_ctx);
        }
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

static void an_unknown_ca_is_named(void **state)
{
    const char *name = "mx.example";
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = other_ca.cert_file});
    struct tls_client_request request = {
        .ctx = ctx, .check = TLS_CHECK_NAME, .names = &name, .names_len = 1};
    SSL_CTX *peer_ctx = lab_peer_ctx(true, 0, &mx);
    struct lab l;

    lab_open(&l);
    visit(&l, &request, peer_ctx);
    assert_true(l.failed);
    assert_int_equal(l.failure.kind, TLS_FAIL_VERIFY);
    assert_non_null(strstr(l.failure.text, "issuer \"Test CA\" is neither sent by the server"));
    SSL_CTX_free(peer_ctx);
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

/* A lenient check of the chain passes and tells, also of a session that is resumed: it is judged
 * again. Whoever does not let it pass does not get that session. */
static void a_chain_that_may_be_wrong(void **state)
{
    const char *name = "mx.example";
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = other_ca.cert_file});
    struct tls_client_request request = {
        .ctx = ctx, .check = TLS_CHECK_NAME, .names = &name, .names_len = 1};
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(true, version, &mx);

        request.session_key[0] = (uint8_t)version;
        request.lenient = true;
        for (int i = 0; i < 2; i++) {
            visit(&l, &request, peer_ctx);
            assert_true(l.done);
            assert_int_equal(l.facts.resumed, i);
            assert_int_equal(l.facts.verify, TLS_VERIFY_FAILED);
            assert_non_null(strstr(l.facts.verify_text, "issuer"));
            lab_next(&l);
        }
        request.lenient = false;
        visit(&l, &request, peer_ctx);
        assert_true(l.failed);
        assert_int_equal(l.failure.kind, TLS_FAIL_VERIFY);
        lab_next(&l);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

static void what_stands_in_the_ca_file_is_trusted(void **state)
{
    const char *name = "mx.example";
    const struct lab_cert *anchors[] = {&ca, &mx}; /* the CA, or the very certificate */
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(lab_file("anchor.pem"), "w");

        assert_int_equal(PEM_write_X509(file, anchors[i]->cert), 1);
        fclose(file);
        struct tls_client_ctx *ctx =
            lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = lab_file("anchor.pem")});
        struct tls_client_request request = {.ctx = ctx,
                                             .check = TLS_CHECK_NAME,
                                             .names = &name,
                                             .names_len = 1,
                                             .session_key = {(uint8_t)i}};
        SSL_CTX *peer_ctx = lab_peer_ctx(true, 0, &mx);
        for (int visits = 0; visits < 2; visits++) {
            visit(&l, &request, peer_ctx);
            assert_true(l.done);
            assert_int_equal(l.facts.resumed, visits);
            lab_next(&l);
        }
        SSL_CTX_free(peer_ctx);
        tls_client_ctx_free(ctx);
    }
    lab_close(&l);
}

static void the_systems_cas_do_not_know_a_stranger(void **state)
{
    const char *name = "mx.example";
    struct tls_client_ctx *ctx;
    char why[256];

    if (tls_client_ctx_new(&(struct tls_client_conf){.names = true}, &ctx, why, sizeof(why))) {
        assert_non_null(strstr(why, "install the package ca-certificates"));
        return;
    }
    struct tls_client_request request = {
        .ctx = ctx, .check = TLS_CHECK_NAME, .names = &name, .names_len = 1};
    SSL_CTX *peer_ctx = lab_peer_ctx(true, 0, &mx);
    struct lab l;
    lab_open(&l);
    visit(&l, &request, peer_ctx);
    assert_int_equal(l.failure.kind, TLS_FAIL_VERIFY);
    assert_non_null(strstr(l.failure.text, "the system's CAs"));
    SSL_CTX_free(peer_ctx);
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

static void a_level_without_check_takes_any_certificate(void **state)
{
    const struct lab_cert *certs[] = {&old, &alone, &no_names};
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.profile = TLS_PROFILE_MODERN});
    struct tls_client_request request = {.ctx = ctx};
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < 3; i++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(true, 0, certs[i]);

        request.session_key[0] = (uint8_t)i;
        visit(&l, &request, peer_ctx);
        assert_true(l.done);
        assert_int_equal(l.facts.verify, TLS_VERIFY_UNCHECKED);
        lab_next(&l);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

static void pins_are_of_the_leaf(void **state)
{
    static const struct {
        const struct lab_cert *pinned, *served;
        bool good;
    } rows[] = {{&mx, &mx, true},
                {&old, &old, true},
                {&alone, &alone, true},
                {&ca, &mx, false},
                {&alone, &mx, false}};
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t pins[2][32] = {{1}};
        struct tls_client_conf conf = {0};
        X509 *pinned = rows[i / 2].pinned->cert;

        if (i % 2) {
            assert_true(tls_cert_spki_sha256(pinned, pins[1]));
            conf.spki_pins = (const uint8_t(*)[32])pins;
            conf.spki_pins_len = 2;
        } else {
            assert_true(tls_cert_sha256(pinned, pins[1]));
            conf.cert_pins = (const uint8_t(*)[32])pins;
            conf.cert_pins_len = 2;
        }
        struct tls_client_ctx *ctx = lab_client_ctx(&conf);
        struct tls_client_request request = {
            .ctx = ctx, .check = TLS_CHECK_PIN, .session_key = {(uint8_t)i}};
        SSL_CTX *peer_ctx = lab_peer_ctx(true, 0, rows[i / 2].served);
        visit(&l, &request, peer_ctx);
        assert_int_equal(l.done, rows[i / 2].good);
        if (l.done) {
            assert_int_equal(l.facts.verify, TLS_VERIFY_OK);
            assert_string_equal(l.facts.verify_text, "pin");
            assert_memory_equal(i % 2 ? l.facts.spki_sha256 : l.facts.cert_sha256, pins[1], 32);
        } else {
            assert_int_equal(l.failure.kind, TLS_FAIL_VERIFY);
            assert_non_null(strstr(l.failure.text, "none of 2 pins matches"));
            assert_non_null(strstr(l.failure.text, "sha256/"));
        }
        lab_next(&l);
        SSL_CTX_free(peer_ctx);
        tls_client_ctx_free(ctx);
    }
    lab_close(&l);
}

/* The same key for sessions, but a context that does not accept the stored chain: it is judged
 * before it is offered, and a full handshake judges what the server has now. */
static void a_stored_chain_is_judged_again(void **state)
{
    const char *name = "mx.example";
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = ca.cert_file});
    struct tls_client_ctx *strict =
        lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = other_ca.cert_file});
    struct tls_client_request request = {
        .ctx = ctx, .check = TLS_CHECK_NAME, .names = &name, .names_len = 1};
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(true, version, &mx);

        request.session_key[0] = (uint8_t)version;
        request.ctx = ctx;
        for (int i = 0; i < 2; i++) {
            visit(&l, &request, peer_ctx);
            assert_true(l.done);
            assert_int_equal(l.facts.resumed, i);
            assert_string_equal(l.facts.verify_text, "name mx.example");
            lab_next(&l);
        }
        request.ctx = strict;
        visit(&l, &request, peer_ctx);
        assert_true(l.failed);
        assert_int_equal(l.failure.kind, TLS_FAIL_VERIFY);
        lab_next(&l);
        /* It was dropped: nobody resumes it any more. */
        request.ctx = ctx;
        visit(&l, &request, peer_ctx);
        assert_true(l.done && !l.facts.resumed);
        lab_next(&l);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_client_ctx_free(ctx);
    tls_client_ctx_free(strict);
}

static void our_own_certificate_is_shown(void **state)
{
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.cert = mx.cert_file, .key = mx.key_file});
    struct tls_client_ctx *bare =
        lab_client_ctx(&(struct tls_client_conf){.profile = TLS_PROFILE_MODERN});
    struct tls_client_request request = {.ctx = ctx};
    struct lab l;

    lab_open(&l);
    SSL_CTX *peer_ctx = lab_peer_ctx(true, TLS1_2_VERSION, &alone);
    SSL_CTX_load_verify_file(peer_ctx, ca.cert_file);
    SSL_CTX_set_verify(peer_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    visit(&l, &request, peer_ctx);
    assert_true(l.done);
    lab_next(&l);
    request = (struct tls_client_request){.ctx = bare, .session_key = {1}};
    visit(&l, &request, peer_ctx);
    assert_true(l.failed);
    assert_int_equal(l.failure.kind, TLS_FAIL_PROTOCOL);
    assert_non_null(strstr(l.failure.text, "alert 40"));
    SSL_CTX_free(peer_ctx);
    lab_close(&l);
    tls_client_ctx_free(ctx);
    tls_client_ctx_free(bare);
}

static void a_peers_bytes_are_escaped_in_facts(void **state)
{
    struct tls_facts facts = {0};

    tls_cert_facts(mx.cert, &facts);
    assert_string_equal(facts.peer_name, "a\\x0ab\\x22");
    tls_cert_facts(wild.cert, &facts);
    assert_string_equal(facts.peer_name, "*.example.net");
    assert_true(facts.not_after > 1700000000);
}

static void refused(const struct tls_client_conf *conf, const char *text)
{
    struct tls_client_ctx *ctx = (void *)conf;
    char why[256] = "";

    assert_int_equal(tls_client_ctx_new(conf, &ctx, why, sizeof(why)), ERR_TLS);
    assert_null(ctx);
    if (!strstr(why, text))
        fail_msg("\"%s\" lacks \"%s\"", why, text);
}

static void what_cannot_work_is_refused_with_a_reason(void **state)
{
    refused(&(struct tls_client_conf){.names = true, .ca = "/nonexistent.pem"}, "/nonexistent.pem");
    refused(&(struct tls_client_conf){.cert = mx.cert_file}, "set key");
    refused(&(struct tls_client_conf){.cert = mx.cert_file, .key = wild.key_file},
            "does not belong");
}

static void profiles_bound_versions_and_suites(void **state)
{
    static const struct {
        enum tls_profile profile;
        enum tls_version min;
        int version;
        const char *suite; /* of the peer */
        bool good;
    } rows[] = {
        {TLS_PROFILE_MODERN, 0, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
        {TLS_PROFILE_MODERN, 0, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
        {TLS_PROFILE_MODERN, 0, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false},
        {TLS_PROFILE_MODERN, TLS_VERSION_1_3, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256",
         false},
        {TLS_PROFILE_NIST_800_52R2, 0, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", true},
        {TLS_PROFILE_NIST_800_52R2, 0, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", false},
        {TLS_PROFILE_COMPATIBLE, 0, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false},
    };
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_client_ctx *ctx = lab_client_ctx(
            &(struct tls_client_conf){.profile = rows[i].profile, .min_version = rows[i].min});
        struct tls_client_request request = {.ctx = ctx, .session_key = {(uint8_t)i}};
        SSL_CTX *peer_ctx = lab_peer_ctx(true, rows[i].version, &mx);

        assert_int_equal(SSL_CTX_set_cipher_list(peer_ctx, rows[i].suite), 1);
        visit(&l, &request, peer_ctx);
        assert_int_equal(l.done, rows[i].good);
        lab_next(&l);
        SSL_CTX_free(peer_ctx);
        tls_client_ctx_free(ctx);
    }
    lab_close(&l);
    assert_string_equal(tls_profile_name(TLS_PROFILE_MODERN), "modern");
    assert_string_equal(tls_profile_name(TLS_PROFILE_NIST_800_52R2), "nist-800-52r2");
    assert_string_equal(tls_profile_name(TLS_PROFILE_COMPATIBLE), "compatible");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked_as_the_level_asks),
        cmocka_unit_test(an_unknown_ca_is_named),
        cmocka_unit_test(what_stands_in_the_ca_file_is_trusted),
        cmocka_unit_test(the_systems_cas_do_not_know_a_stranger),
        cmocka_unit_test(a_level_without_check_takes_any_certificate),
        cmocka_unit_test(pins_are_of_the_leaf),
        cmocka_unit_test(a_stored_chain_is_judged_again),
        cmocka_unit_test(a_chain_that_may_be_wrong),
        cmocka_unit_test(our_own_certificate_is_shown),
        cmocka_unit_test(a_peers_bytes_are_escaped_in_facts),
        cmocka_unit_test(what_cannot_work_is_refused_with_a_reason),
        cmocka_unit_test(profiles_bound_versions_and_suites),
    };
    return lab_group_run("tls_client", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
