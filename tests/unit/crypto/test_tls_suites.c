/* SPDX-License-Identifier: Apache-2.0 */
/* Does a list of suites hold, for servers and clients, with groups and versions beside it, and is
 * nothing else taken? */
#include "tls_lab.h"

#define LIST(name, ...)                                                                            \
    static const char *const name##_names[] = {__VA_ARGS__};                                       \
    static const struct tls_suites name = {name##_names, sizeof(name##_names) / sizeof(char *)}

LIST(chacha, "TLS_CHACHA20_POLY1305_SHA256");
LIST(aes256, "TLS_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
     "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
LIST(of_12, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
     "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
LIST(static_rsa, "TLS_RSA_WITH_AES_128_GCM_SHA256");
LIST(dhe, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384");
LIST(all, "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
     "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
     "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
     "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
     "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
     "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256",
     "TLS_RSA_WITH_AES_256_GCM_SHA384");

static void only_known_names_are_taken(void **state)
{
    static const char *const bad[][2] = {
        {"TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
        {"TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256"},
        {"TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_AES_128_GCM_SHA256"},
        {"AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"},
        {"", "TLS_AES_128_GCM_SHA256"},
    };
    const struct tls_suites none = {0};
    char why[1024];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct tls_suites suites = {bad[i], 2};
        assert_int_equal(tls_suites_check(&suites, 0, why, sizeof(why)), ERR_TLS);
        assert_non_null(strstr(why, i == 0 ? "twice" : "TLS_RSA_WITH_AES_256_GCM_SHA384"));
    }
    assert_int_equal(tls_suites_check(&all, TLS_VERSION_1_3, why, sizeof(why)), ERR_OK);
    assert_int_equal(tls_suites_check(&none, TLS_VERSION_1_3, why, sizeof(why)), ERR_OK);
    assert_int_equal(tls_suites_check(&of_12, TLS_VERSION_1_2, why, sizeof(why)), ERR_OK);
    assert_int_equal(tls_suites_check(&of_12, TLS_VERSION_1_3, why, sizeof(why)), ERR_TLS);
    assert_non_null(strstr(why, "min_version"));
}

/* Lists, groups and versions that exclude each other make no context, rather than a weaker one. */
static void what_leaves_nothing_is_refused(void **state)
{
    static const char *const p256[] = {"P-256"}, *const ffdhe[] = {"ffdhe3072"};
    const struct tls_client_conf confs[] = {
        {.suites = of_12, .min_version = TLS_VERSION_1_3},
        {.suites = of_12, .groups = {ffdhe, 1}}, /* for TLS 1.3 alone */
        {.suites = static_rsa, .groups = {p256, 1}},
    };
    struct tls_client_ctx *ctx;
    char why[1024];

    for (size_t i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
        assert_int_equal(tls_client_ctx_new(&confs[i], &ctx, why, sizeof(why)), ERR_TLS);
        assert_non_null(strstr(why, "suites, groups and min_version"));
        const struct tls_cert_files files = {.cert = lab_rsa.cert_file, .key = lab_rsa.key_file};
        const struct tls_server_conf server = {.name = "in",
                                               .suites = confs[i].suites,
                                               .groups = confs[i].groups,
                                               .min_version = confs[i].min_version,
                                               .certs = &files,
                                               .certs_len = 1};
        struct tls_server_ctx *server_ctx;
        assert_int_equal(tls_server_ctx_new(&server, &server_ctx, why, sizeof(why)), ERR_TLS);
    }
}

struct row {
    const struct tls_suites *ours;
    const struct lab_cert *cert;
    int version;      /* of the peer; 0: any */
    const char *peer; /* its suite of TLS 1.2, by OpenSSL's name; NULL: its usual ones */
    const char *want; /* NULL: no TLS */
    enum tls_profile profile;
};

static const struct row rows[] = {
    {&chacha, &lab_ecdsa, 0, NULL, "TLS_CHACHA20_POLY1305_SHA256", TLS_PROFILE_MODERN},
    {&chacha, &lab_ecdsa, 0, NULL, "TLS_CHACHA20_POLY1305_SHA256", TLS_PROFILE_NIST_800_52R2},
    {&chacha, &lab_ecdsa, TLS1_2_VERSION, NULL, NULL, TLS_PROFILE_MODERN},
    {&aes256, &lab_ecdsa, 0, NULL, "TLS_AES_256_GCM_SHA384", TLS_PROFILE_MODERN},
    {&aes256, &lab_ecdsa, TLS1_2_VERSION, NULL, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
     TLS_PROFILE_MODERN},
    {&aes256, &lab_rsa, TLS1_2_VERSION, NULL, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
     TLS_PROFILE_MODERN},
    {&aes256, &lab_rsa, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", NULL, TLS_PROFILE_MODERN},
    {&of_12, &lab_ecdsa, 0, NULL, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
     TLS_PROFILE_MODERN},
    {&of_12, &lab_rsa, 0, NULL, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", TLS_PROFILE_HIPAA},
    {&of_12, &lab_rsa, TLS1_3_VERSION, NULL, NULL, TLS_PROFILE_MODERN},
    {&static_rsa, &lab_rsa, 0, "AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256",
     TLS_PROFILE_MODERN},
    {&static_rsa, &lab_ecdsa, 0, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, TLS_PROFILE_COMPATIBLE},
    {&dhe, &lab_rsa, TLS1_2_VERSION, "DHE-RSA-CHACHA20-POLY1305",
     "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", TLS_PROFILE_MODERN},
    {&dhe, &lab_rsa, TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", NULL, TLS_PROFILE_COMPATIBLE},
};

static void run(const struct row *row, bool as_server)
{
    const struct tls_cert_files files = {.cert = row->cert->cert_file, .key = row->cert->key_file};
    SSL_CTX *peer_ctx = lab_peer_ctx(!as_server, row->version, as_server ? NULL : row->cert);
    struct tls_server_ctx *server = NULL;
    struct tls_client_ctx *client = NULL;
    struct lab_wire wire = {0};
    struct lab l;

    if (row->peer)
        assert_int_equal(SSL_CTX_set_cipher_list(peer_ctx, row->peer), 1);
    SSL_CTX_set_dh_auto(peer_ctx, 1);
    SSL *peer = lab_peer(peer_ctx, !as_server);
    lab_open(&l);
    if (as_server) {
        server = lab_server_ctx(&(struct tls_server_conf){.name = "in",
                                                          .profile = row->profile,
                                                          .suites = *row->ours,
                                                          .certs = &files,
                                                          .certs_len = 1});
        lab_server(&l, server);
    } else {
        client = lab_client_ctx(
            &(struct tls_client_conf){.profile = row->profile, .suites = *row->ours});
        lab_client(&l, &(struct tls_client_request){.ctx = client});
    }
    lab_run(&l, peer, &wire);
    if (l.done != (row->want != NULL) || (l.done && strcmp(l.facts.suite, row->want) != 0))
        fail_msg("row %td as %s: %s", row - rows, as_server ? "server" : "client",
                 l.done ? l.facts.suite : l.failure.text);
    lab_close(&l);
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
    tls_server_ctx_free(server);
    tls_client_ctx_free(client);
}

static void a_list_holds_on_both_legs(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run(&rows[i], true);
        run(&rows[i], false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_known_names_are_taken),
        cmocka_unit_test(what_leaves_nothing_is_refused),
        cmocka_unit_test(a_list_holds_on_both_legs),
    };
    return lab_group_run("tls_suites", tests, sizeof(tests) / sizeof(tests[0]), lab_pair_setup,
                         lab_pair_teardown);
}
