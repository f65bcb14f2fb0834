/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_lab.h"

static const struct tls_ticket_seed seed = {.seed = "seed of the tickets"};

static struct tls_server_ctx *server_ctx(const struct tls_ticket_seed *tickets)
{
    const struct tls_cert_files certs[] = {{lab_ecdsa.cert_file, lab_ecdsa.key_file},
                                           {lab_rsa.cert_file, lab_rsa.key_file}};

    return lab_server_ctx(&(struct tls_server_conf){.name = "inside",
                                                    .profile = TLS_PROFILE_COMPATIBLE,
                                                    .certs = certs,
                                                    .certs_len = 2,
                                                    .tickets = tickets,
                                                    .ticket_rotate_s = 3600});
}

static struct tls_client_ctx *client_ctx(void)
{
    return lab_client_ctx(&(struct tls_client_conf){
        .profile = TLS_PROFILE_COMPATIBLE, .names = true, .ca = lab_ecdsa.cert_file});
}

static void release_sessions(SSL *peer)
{
    SSL_set_shutdown(peer, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(peer);
}

/* Every suite that we speak, as OpenSSL and as IANA name it. */
static const struct suite_row {
    int version;
    const char *openssl, *iana;
    uint16_t bits;
    const char *group;
} suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", 128, "X25519"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", 256, "P-256"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", 256, "P-521"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
     128, "X25519"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
     256, "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305",
     "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 256, "P-256"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 128,
     "P-256"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 256,
     "X25519"},
    {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
     256, "X25519"},
    {TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 128, NULL},
    {TLS1_2_VERSION, "DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", 256, NULL},
    {TLS1_2_VERSION, "DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 256,
     NULL},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256", 128, ""},
    {TLS1_2_VERSION, "AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384", 256, ""},
};
enum { SUITES = sizeof(suites) / sizeof(suites[0]) };

static void suite_choose(SSL_CTX *ctx, const struct suite_row *row)
{
    if (row->version == TLS1_3_VERSION)
        assert_int_equal(SSL_CTX_set_ciphersuites(ctx, row->openssl), 1);
    else
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, row->openssl), 1);
    if (row->group && *row->group) {
        /* In TLS 1.2 the list has to name the ECDSA key's curve as well. */
        bool curve_missing = row->version == TLS1_2_VERSION && strcmp(row->group, "X25519") == 0;

        assert_int_equal(SSL_CTX_set1_groups_list(ctx, curve_missing ? "X25519:P-256" : row->group),
                         1);
    }
    SSL_CTX_set_dh_auto(ctx, 1);
}

static void facts_check(const struct lab *l, const struct suite_row *row)
{
    assert_int_equal(l->facts.version, row->version);
    assert_string_equal(l->facts.suite, row->iana);
    assert_int_equal(l->facts.bits, row->bits);
    if (row->group)
        assert_string_equal(l->facts.group, row->group);
    assert_int_equal(l->keys.max_plaintext, TLS_PLAINTEXT_MAX);
    assert_int_equal(l->keys.version, row->version);
}

static void talk(struct lab *l, SSL *peer)
{
    for (int i = 0; i < 3; i++) {
        lab_say(l, peer, "250 2.0.0 OK\r\n");
        lab_peer_say(peer, "NOOP\r\n");
        lab_hear(l, peer, "NOOP\r\n");
    }
}

static void a_server_hands_over_its_keys(void **state)
{
    static const size_t fragments[] = {0, 1, 7, 1000};
    struct tls_server_ctx *ctx = server_ctx(&seed);
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < SUITES * 4; i++) {
        const struct suite_row *row = &suites[i / 4];
        SSL_CTX *peer_ctx = lab_peer_ctx(false, row->version, NULL);
        struct lab_wire wire = {.fragment = fragments[i % 4], .early = "EHLO early\r\n"};

        suite_choose(peer_ctx, row);
        SSL *peer = lab_peer(peer_ctx, false);
        SSL_set_tlsext_host_name(peer, "MX.example");
        lab_server(&l, ctx);
        lab_run(&l, peer, &wire);
        assert_true(l.done);
        facts_check(&l, row);
        assert_string_equal(l.facts.sni, "MX.example");
        assert_int_equal(l.facts.verify, TLS_VERIFY_NONE);
        assert_int_equal(l.keys.tx.seq, 1); /* a ticket, or in TLS 1.2 the Finished */
        assert_int_equal(l.keys.rx.seq, row->version == TLS1_3_VERSION ? 0 : 1);
        lab_records(&l);
        lab_hear(&l, peer, "EHLO early\r\n");
        talk(&l, peer);
        lab_next(&l);
        SSL_free(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void a_client_hands_over_its_keys(void **state)
{
    static const size_t fragments[] = {0, 1, 7, 1000};
    const char *name = "mx.example";
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.profile = TLS_PROFILE_COMPATIBLE});
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < SUITES * 4; i++) {
        const struct suite_row *row = &suites[i / 4];
        struct tls_client_request request = {
            .ctx = ctx, .sni = name, .names = &name, .names_len = 1};
        SSL_CTX *peer_ctx =
            lab_peer_ctx(true, row->version, strstr(row->openssl, "ECDSA") ? &lab_ecdsa : &lab_rsa);
        struct lab_wire wire = {.fragment = fragments[i % 4], .early = "220 early\r\n"};

        memcpy(request.session_key, &i, sizeof(i));
        suite_choose(peer_ctx, row);
        SSL *peer = lab_peer(peer_ctx, true);
        lab_client(&l, &request);
        lab_run(&l, peer, &wire);
        assert_true(l.done);
        facts_check(&l, row);
        assert_string_equal(l.facts.peer_name, "mx.example");
        assert_int_equal(l.facts.verify, TLS_VERIFY_UNCHECKED);
        assert_int_equal(l.keys.tx.seq, row->version == TLS1_3_VERSION ? 0 : 1);
        assert_int_equal(l.keys.rx.seq, row->version == TLS1_3_VERSION ? 0 : 1);
        lab_records(&l);
        /* OpenSSL's own server sends two tickets, and what it says goes after them. */
        assert_int_equal(lab_hear(&l, peer, "220 early\r\n"),
                         row->version == TLS1_3_VERSION ? 3 : 1);
        talk(&l, peer);
        lab_next(&l);
        SSL_free(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

/* One session with a plain client that brings session (or none); its ticket is in the result. */
static SSL_SESSION *serve(struct lab *l, const struct tls_server_ctx *ctx, int version,
                          SSL_SESSION *session)
{
    SSL_CTX *peer_ctx = lab_peer_ctx(false, version, NULL);
    struct lab_wire wire = {.early = "EHLO again\r\n"};

    assert_int_equal(SSL_CTX_set1_groups_list(peer_ctx, "X25519:P-256"), 1);
    SSL *peer = lab_peer(peer_ctx, false);
    if (session)
        assert_int_equal(SSL_set_session(peer, session), 1);
    lab_server(l, ctx);
    lab_run(l, peer, &wire);
    assert_true(l->done);
    lab_records(l);
    lab_hear(l, peer, "EHLO again\r\n");
    talk(l, peer);
    SSL_SESSION *result = SSL_get1_session(peer);
    assert_int_equal(l->facts.resumed, SSL_session_reused(peer));
    release_sessions(peer);
    SSL_CTX_free(peer_ctx);
    SSL_SESSION_free(session);
    return result;
}

static void a_server_resumes_from_its_ticket(void **state)
{
    struct tls_server_ctx *ctx = server_ctx(&seed);
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *session = serve(&l, ctx, version, NULL);

        assert_false(l.facts.resumed);
        lab_next(&l);
        for (int i = 0; i < 3; i++) {
            session = serve(&l, ctx, version, session);
            assert_true(l.facts.resumed);
            assert_string_equal(l.facts.group, version == TLS1_3_VERSION ? "X25519" : "");
            lab_next(&l);
        }
        SSL_SESSION_free(session);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void a_client_resumes_from_the_next_hops_ticket(void **state)
{
    struct tls_client_ctx *ctx = client_ctx();
    const char *name = "mx.example";
    struct tls_client_request request = {
        .ctx = ctx, .check = TLS_CHECK_NAME, .sni = name, .names = &name, .names_len = 1};
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(true, version, &lab_ecdsa);

        request.session_key[0] = (uint8_t)version;
        request.session_key[1] = 0;
        for (int i = 0; i < 4; i++) {
            struct lab_wire wire = {.early = "220 ready\r\n"};
            SSL *peer = lab_peer(peer_ctx, true);

            lab_client(&l, &request);
            lab_run(&l, peer, &wire);
            assert_true(l.done);
            assert_int_equal(l.facts.resumed, i > 0);
            assert_int_equal(SSL_session_reused(peer), i > 0);
            assert_int_equal(l.facts.verify, TLS_VERIFY_OK);
            assert_string_equal(l.facts.verify_text, "name mx.example");
            lab_records(&l);
            lab_hear(&l, peer, "220 ready\r\n");
            talk(&l, peer);
            lab_next(&l);
            release_sessions(peer);
        }
        request.session_key[1] = 1; /* another policy: nothing to resume */
        struct lab_wire wire = {0};
        SSL *peer = lab_peer(peer_ctx, true);
        lab_client(&l, &request);
        lab_run(&l, peer, &wire);
        assert_true(l.done && !l.facts.resumed);
        lab_next(&l);
        release_sessions(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_client_ctx_free(ctx);
}

/* Each of these groups is there at the first try: a HelloRetryRequest would be another flight of
 * ours. The hybrid ones came with OpenSSL 3.5. */
static void no_group_costs_another_round_trip(void **state)
{
    static const char *const lists[] = {"X25519", "X25519:X25519MLKEM768", "X25519MLKEM768",
                                        "X25519MLKEM768:X25519"};
    struct tls_server_ctx *server = server_ctx(NULL);
    struct tls_client_ctx *client = client_ctx();
    const char *name = "mx.example";
    struct tls_client_request request = {
        .ctx = client, .check = TLS_CHECK_NAME, .names = &name, .names_len = 1};
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < 8; i++) {
        bool is_server = i % 2;
        SSL_CTX *peer_ctx = lab_peer_ctx(!is_server, TLS1_3_VERSION, &lab_ecdsa);
        struct lab_wire wire = {0};

        if (SSL_CTX_set1_groups_list(peer_ctx, lists[i / 2]) == 1) {
            SSL *peer = lab_peer(peer_ctx, !is_server);

            request.session_key[0] = (uint8_t)i;
            if (is_server)
                lab_server(&l, server);
            else
                lab_client(&l, &request);
            lab_run(&l, peer, &wire);
            assert_true(l.done);
            assert_int_equal(l.outputs, is_server ? 1 : 2);
            lab_next(&l);
            SSL_free(peer);
        }
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_server_ctx_free(server);
    tls_client_ctx_free(client);
}

/* The peer's KeyUpdate, and our answer, as a record layer deals with them. */
static void a_key_update_goes_on_with_openssl(void **state)
{
    static const uint8_t answer[] = {24, 0, 0, 1, 0};
    struct tls_server_ctx *ctx = server_ctx(NULL);
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < 3; i++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(false, TLS1_3_VERSION, NULL);
        struct lab_wire wire = {0};
        uint8_t record[256];
        struct tls_record got;
        size_t len;

        suite_choose(peer_ctx, &suites[i]);
        SSL *peer = lab_peer(peer_ctx, false);
        lab_server(&l, ctx);
        lab_run(&l, peer, &wire);
        assert_int_equal(l.keys.tx.seq, 0); /* no tickets */
        lab_records(&l);
        talk(&l, peer);
        assert_int_equal(SSL_key_update(peer, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(peer), 1);
        int n = BIO_read(SSL_get_wbio(peer), record, sizeof(record));
        assert_int_equal(tls_record_open(&l.rx, record, (size_t)n, &got), ERR_OK);
        assert_int_equal(got.type, TLS_CONTENT_HANDSHAKE);
        assert_int_equal(got.len, 5);
        assert_int_equal(got.data[0], 24);
        assert_int_equal(tls_record_rekey(&l.rx), ERR_OK);
        assert_int_equal(
            tls_record_seal(&l.tx, TLS_CONTENT_HANDSHAKE, answer, sizeof(answer), record, &len),
            ERR_OK);
        assert_int_equal(tls_record_rekey(&l.tx), ERR_OK);
        assert_int_equal(BIO_write(SSL_get_rbio(peer), record, (int)len), len);
        talk(&l, peer);
        lab_next(&l);
        SSL_free(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void a_max_fragment_length_is_carried_over(void **state)
{
    struct tls_server_ctx *ctx = server_ctx(&seed);
    struct lab l;

    lab_open(&l);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (uint8_t mode = 1; mode <= 4; mode++) {
            SSL_CTX *peer_ctx = lab_peer_ctx(false, version, NULL);
            struct lab_wire wire = {.early = "EHLO small\r\n"};

            SSL_CTX_set_tlsext_max_fragment_length(peer_ctx, mode);
            SSL *peer = lab_peer(peer_ctx, false);
            lab_server(&l, ctx);
            lab_run(&l, peer, &wire);
            assert_true(l.done);
            assert_int_equal(l.keys.max_plaintext, 256 << mode);
            lab_records(&l);
            lab_hear(&l, peer, "EHLO small\r\n");
            talk(&l, peer);
            lab_next(&l);
            SSL_free(peer);
            SSL_CTX_free(peer_ctx);
        }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void early_data_is_not_taken(void **state)
{
    SSL_CTX *other = lab_peer_ctx(true, TLS1_3_VERSION, &lab_ecdsa);
    struct tls_server_ctx *ctx = server_ctx(&seed);
    struct lab l;

    lab_open(&l);
    SSL_SESSION *session = serve(&l, ctx, TLS1_3_VERSION, NULL);
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    lab_next(&l);
    /* A client that sends it all the same. */
    SSL_SESSION_set_max_early_data(session, 1000);
    SSL_CTX *peer_ctx = lab_peer_ctx(false, TLS1_3_VERSION, NULL);
    SSL *peer = lab_peer(peer_ctx, false);
    struct lab_wire wire = {0};
    size_t written;
    SSL_set_session(peer, session);
    assert_int_equal(SSL_write_early_data(peer, "EVIL\r\n", 6, &written), 1);
    lab_server(&l, ctx);
    lab_run(&l, peer, &wire);
    assert_true(l.done);
    assert_int_equal(SSL_get_early_data_status(peer), SSL_EARLY_DATA_REJECTED);
    lab_records(&l);
    talk(&l, peer);
    SSL_SESSION_free(session);
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
    SSL_CTX_free(other);
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void what_is_not_tls_fails_at_once(void **state)
{
    static const char *const strange[] = {"EHLO mail.example\r\n", "GET / HTTP/1.1\r\n\r\n",
                                          "\x80\x2e\x01\x03\x01",  "\x16\x02\x00\x00\x10",
                                          "\x16\x03\x01\x50\x00",  "\x17\x03\x03\x00\x01z"};
    struct tls_server_ctx *ctx = server_ctx(NULL);
    struct lab l;

    lab_open(&l);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        size_t len = i == 3 || i == 4 ? 5 : i == 5 ? 6 : strlen(strange[i]);

        lab_server(&l, ctx);
        lab_feed(&l, strange[i], len);
        assert_true(l.failed);
        assert_int_equal(l.failure.kind, i == 4 ? TLS_FAIL_LIMIT : TLS_FAIL_PROTOCOL);
        if (i < 3)
            assert_non_null(strstr(l.failure.text, "does not speak TLS"));
        lab_next(&l);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void an_endless_handshake_ends(void **state)
{
    /* A ClientHello of 16 MiB that comes in records of 16 KiB. */
    static uint8_t record[TLS_RECORD_HEADER + TLS_PLAINTEXT_MAX] = {22, 3,    1,    0x40, 0,
                                                                    1,  0xff, 0xff, 0xff};
    struct tls_server_ctx *ctx = server_ctx(NULL);
    struct lab l;

    lab_open(&l);
    lab_server(&l, ctx);
    for (int i = 0; i < 10 && !l.failed; i++)
        lab_feed(&l, record, sizeof(record));
    assert_true(l.failed);
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void handshakes_in_flight_are_bounded(void **state)
{
    struct tls_server_ctx *ctx = server_ctx(NULL);
    struct lab l;

    lab_open(&l);
    const struct tls_service_ops *ops = l.service->ops;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(ops->start_server(l.service, (struct leg_id){i, 1}, ctx), ERR_OK);
    assert_int_equal(ops->start_server(l.service, (struct leg_id){4, 1}, ctx), ERR_LIMIT);
    assert_int_equal(ops->start_server(l.service, (struct leg_id){1, 1}, ctx), ERR_STATE);
    /* A new generation takes the place of a leg that is gone. */
    assert_int_equal(ops->start_server(l.service, (struct leg_id){1, 2}, ctx), ERR_OK);
    ops->release(l.service, (struct leg_id){0, 1});
    ops->release(l.service, (struct leg_id){0, 1});
    assert_int_equal(ops->start_server(l.service, (struct leg_id){4, 1}, ctx), ERR_OK);
    assert_int_equal(ops->start_server(l.service, (struct leg_id){8, 1}, ctx), ERR_RANGE);
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

static void a_leg_may_go_away_while_it_is_told_about(void **state)
{
    struct tls_server_ctx *ctx = server_ctx(&seed);
    struct tls_client_ctx *client = client_ctx();
    struct tls_client_request request = {.ctx = client, .check = TLS_CHECK_NAME};
    struct lab l;

    lab_open(&l);
    l.release_on_output = true;
    for (int i = 0; i < 6; i++) { /* more than may be in flight */
        SSL_CTX *peer_ctx = lab_peer_ctx(false, 0, NULL);
        SSL *peer = lab_peer(peer_ctx, false);
        struct lab_wire wire = {0};

        lab_server(&l, ctx);
        lab_run(&l, peer, &wire);
        assert_false(l.done || l.failed);
        lab_next(&l);
        lab_client(&l, &request);
        assert_false(l.done || l.failed);
        lab_next(&l);
        SSL_free(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
    tls_client_ctx_free(client);
}

static void a_truncated_or_flipped_handshake_never_succeeds(void **state)
{
    struct tls_server_ctx *ctx = server_ctx(NULL);
    struct lab l;

    lab_open(&l);
    for (size_t at = 0; at < 60; at++) {
        SSL_CTX *peer_ctx = lab_peer_ctx(false, TLS1_3_VERSION, NULL);
        SSL *peer = lab_peer(peer_ctx, false);
        char *data;
        long len;

        lab_server(&l, ctx);
        SSL_do_handshake(peer);
        len = BIO_get_mem_data(SSL_get_wbio(peer), &data);
        lab_feed(&l, data, (size_t)len);
        BIO_reset(SSL_get_wbio(peer));
        BIO_write(SSL_get_rbio(peer), buf_span(&l.out).ptr, (int)buf_len(&l.out));
        buf_clear(&l.out);
        assert_int_equal(SSL_do_handshake(peer), 1);
        len = BIO_get_mem_data(SSL_get_wbio(peer), &data);
        data[(size_t)len - 1 - at % (size_t)len] ^= 1;
        lab_feed(&l, data, (size_t)len);
        /* The CCS record of the compatibility mode is plaintext, and 1 or refused. */
        assert_false(l.done);
        lab_next(&l);
        SSL_free(peer);
        SSL_CTX_free(peer_ctx);
    }
    lab_close(&l);
    tls_server_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_hands_over_its_keys),
        cmocka_unit_test(a_client_hands_over_its_keys),
        cmocka_unit_test(a_server_resumes_from_its_ticket),
        cmocka_unit_test(a_client_resumes_from_the_next_hops_ticket),
        cmocka_unit_test(no_group_costs_another_round_trip),
        cmocka_unit_test(a_key_update_goes_on_with_openssl),
        cmocka_unit_test(a_max_fragment_length_is_carried_over),
        cmocka_unit_test(early_data_is_not_taken),
        cmocka_unit_test(what_is_not_tls_fails_at_once),
        cmocka_unit_test(an_endless_handshake_ends),
        cmocka_unit_test(handshakes_in_flight_are_bounded),
        cmocka_unit_test(a_leg_may_go_away_while_it_is_told_about),
        cmocka_unit_test(a_truncated_or_flipped_handshake_never_succeeds),
    };
    return lab_group_run("tls_service_openssl", tests, sizeof(tests) / sizeof(tests[0]),
                         lab_pair_setup, lab_pair_teardown);
}
