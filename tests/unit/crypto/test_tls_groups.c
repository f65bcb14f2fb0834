/* SPDX-License-Identifier: Apache-2.0 */
/* Does a list of key exchange groups hold, for servers and clients, and is nothing weaker taken? */
#include "tls_lab.h"

static const char *const p384[] = {"P-384"};
static const char *const classic[] = {"P-256", "X25519"};
static const char *const hybrid[] = {"X25519MLKEM768"};
static const char *const hybrid_first[] = {"X25519MLKEM768", "P-384", "X25519"};

static const struct tls_groups of_p384 = {p384, 1}, of_classic = {classic, 2},
                               of_hybrid = {hybrid, 1}, of_hybrid_first = {hybrid_first, 3};

static bool has_hybrid(void)
{
    char why[512];

    return tls_groups_check(&of_hybrid, why, sizeof(why)) == ERR_OK;
}

static void what_the_library_lacks_is_refused(void **state)
{
    static const char *const bad[][2] = {{"X25519", "x25519"},
                                         {"P-256", "P-256"},
                                         {"P-256", "*X25519"},
                                         {"", "P-256"},
                                         {"P-256:X448", "X25519"}};
    static const char *const all[] = {"X25519", "X448", "P-256", "P-384", "P-521", "ffdhe2048"};
    char why[512];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct tls_groups groups = {bad[i], 2};
        assert_int_equal(tls_groups_check(&groups, why, sizeof(why)), ERR_TLS);
        assert_non_null(strstr(why, "allowed"));
        assert_non_null(strstr(why, i == 1 ? "twice" : "X25519, P-256, P-384"));
    }
    const struct tls_groups good = {all, 6}, none = {NULL, 0};
    assert_int_equal(tls_groups_check(&good, why, sizeof(why)), ERR_OK);
    assert_int_equal(tls_groups_check(&none, why, sizeof(why)), ERR_OK);
    /* Never left out in silence: refused by the check and by the context. */
    assert_int_equal(OpenSSL_version_num() >= 0x30500000L, has_hybrid());
    if (!has_hybrid()) {
        struct tls_client_ctx *ctx;
        const struct tls_client_conf conf = {.groups = of_hybrid_first};

        assert_int_equal(tls_groups_check(&of_hybrid_first, why, sizeof(why)), ERR_TLS);
        assert_non_null(strstr(why, "\"X25519MLKEM768\", which this system's OpenSSL lacks"));
        assert_int_equal(tls_client_ctx_new(&conf, &ctx, why, sizeof(why)), ERR_TLS);
    }
}

struct row {
    const struct tls_groups *ours;
    const char *theirs, *want; /* NULL: no TLS */
    int version;
    int flights; /* of ours, as a server; 0: not looked at */
    size_t fragment;
};

static const struct row rows[] = {
    {&of_p384, "P-384", "P-384", TLS1_3_VERSION, 2, 0},
    {&of_p384, "P-384", "P-384", TLS1_2_VERSION, 2, 0},
    /* A share of another group: HelloRetryRequest, which is one flight more. */
    {&of_p384, "X25519:P-384", "P-384", TLS1_3_VERSION, 3, 0},
    {&of_p384, "X25519:P-384", "P-384", TLS1_3_VERSION, 3, 1},
    {&of_p384, "X25519:P-256", NULL, TLS1_3_VERSION, 0, 0},
    {&of_p384, "X25519:P-256", NULL, TLS1_2_VERSION, 0, 0},
    {&of_classic, "P-256:X25519", "P-256", TLS1_3_VERSION, 2, 0},
    {&of_classic, "X448:P-521", NULL, TLS1_3_VERSION, 0, 0},
};

static const struct row hybrid_rows[] = {
    {&of_hybrid, "X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 2, 0},
    {&of_hybrid, "X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 2, 1},
    {&of_hybrid, "X25519:X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 3, 0},
    {&of_hybrid, "X25519:X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 3, 1},
    {&of_hybrid, "X25519:P-256", NULL, TLS1_3_VERSION, 0, 0},
    {&of_hybrid, "X25519:P-256", NULL, TLS1_2_VERSION, 0, 0},
    {&of_p384, "X25519MLKEM768:P-384", "P-384", TLS1_3_VERSION, 3, 0},
    {&of_p384, "X25519MLKEM768:P-384", "P-384", TLS1_2_VERSION, 0, 0},
    {&of_classic, "X25519MLKEM768", NULL, TLS1_3_VERSION, 0, 0},
    {&of_hybrid_first, "X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 2, 0},
    {&of_hybrid_first, "P-384", "P-384", TLS1_3_VERSION, 2, 0},
    {&of_hybrid_first, "P-384", "P-384", TLS1_2_VERSION, 2, 0},
};

static void outcome_check(const struct lab *l, const struct row *row, const char *role)
{
    if (row->want && l->done && strcmp(l->facts.group, row->want) == 0)
        return;
    if (!row->want && !l->done)
        return;
    fail_msg("%s, peer %s, version %x: %s %s", role, row->theirs, (unsigned)row->version,
             l->done ? l->facts.group : "failed:", l->failed ? l->failure.text : "");
}

static void assert_failure_names(const struct lab *l, const struct tls_groups *ours)
{
    assert_non_null(strstr(l->failure.text, "in common"));
    assert_non_null(strstr(l->failure.text, "; our profile is modern, our groups are "));
    for (size_t i = 0; i < ours->len; i++)
        assert_non_null(strstr(l->failure.text, ours->names[i]));
}

/* In TLS 1.2 the peer's groups are also the curves that it takes in a certificate. */
static const struct lab_cert *cert_for(const struct row *row)
{
    return row->version == TLS1_2_VERSION ? &lab_rsa : &lab_ecdsa;
}

static void serve(const struct row *row)
{
    const struct lab_cert *cert = cert_for(row);
    const struct tls_cert_files files = {.cert = cert->cert_file, .key = cert->key_file};
    struct tls_server_ctx *ctx = lab_server_ctx(&(struct tls_server_conf){
        .name = "in", .groups = *row->ours, .certs = &files, .certs_len = 1});
    SSL_CTX *peer_ctx = lab_peer_ctx(false, row->version, NULL);
    struct lab_wire wire = {.fragment = row->fragment};
    struct lab l;

    assert_int_equal(SSL_CTX_set1_groups_list(peer_ctx, row->theirs), 1);
    SSL *peer = lab_peer(peer_ctx, false);
    lab_open(&l);
    lab_server(&l, ctx);
    lab_run(&l, peer, &wire);
    outcome_check(&l, row, "server");
    /* Without tickets our last flight of TLS 1.3 is the one with Finished. */
    if (row->flights && row->version == TLS1_3_VERSION)
        assert_int_equal(l.outputs, row->flights - 1);
    if (!row->want)
        assert_failure_names(&l, row->ours);
    lab_close(&l);
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
    tls_server_ctx_free(ctx);
}

static void ask(const struct row *row)
{
    struct tls_client_ctx *ctx = lab_client_ctx(&(struct tls_client_conf){.groups = *row->ours});
    const struct tls_client_request request = {.ctx = ctx};
    SSL_CTX *peer_ctx = lab_peer_ctx(true, row->version, cert_for(row));
    struct lab_wire wire = {.fragment = row->fragment};
    struct lab l;

    assert_int_equal(SSL_CTX_set1_groups_list(peer_ctx, row->theirs), 1);
    SSL *peer = lab_peer(peer_ctx, true);
    lab_open(&l);
    lab_client(&l, &request);
    lab_run(&l, peer, &wire);
    outcome_check(&l, row, "client");
    lab_close(&l);
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
    tls_client_ctx_free(ctx);
}

static void a_list_holds_on_both_legs(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        serve(&rows[i]);
        ask(&rows[i]);
    }
}

static void a_list_of_hybrid_groups_holds_on_both_legs(void **state)
{
    if (!has_hybrid())
        skip();
    for (size_t i = 0; i < sizeof(hybrid_rows) / sizeof(hybrid_rows[0]); i++) {
        serve(&hybrid_rows[i]);
        ask(&hybrid_rows[i]);
    }
}

/* By the profile and by a list, also where a client would rather have X25519. Whoever
 * sends no share of it does not want it enough for another round trip. */
static void the_hybrid_group_is_preferred(void **state)
{
    static const struct tls_groups none = {NULL, 0};
    static const struct row served[] = {
        {&none, "X25519MLKEM768:X25519", "X25519MLKEM768", TLS1_3_VERSION, 2, 0},
        {&none, "*X25519:*X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 2, 0},
        {&none, "X25519:X25519MLKEM768", "X25519", TLS1_3_VERSION, 2, 0},
        {&of_hybrid_first, "*X25519:*X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 2, 0},
    };
    static const struct row asked[] = {
        {&none, "X25519MLKEM768:X25519", "X25519MLKEM768", TLS1_3_VERSION, 0, 0},
        {&none, "P-384:X25519MLKEM768", "X25519MLKEM768", TLS1_3_VERSION, 0, 0},
        {&of_hybrid_first, "X25519MLKEM768:P-384", "X25519MLKEM768", TLS1_3_VERSION, 0, 0},
    };

    if (!has_hybrid())
        skip();
    for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++)
        serve(&served[i]);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
        ask(&asked[i]);
}

/* The compatible profile has suites without any group. */
static void no_suite_goes_round_a_list(void **state)
{
    const struct tls_cert_files files = {.cert = lab_rsa.cert_file, .key = lab_rsa.key_file};

    for (int with = 0; with < 2; with++) {
        struct tls_server_conf conf = {.name = "in",
                                       .profile = TLS_PROFILE_COMPATIBLE,
                                       .groups = with ? of_p384 : (struct tls_groups){0},
                                       .certs = &files,
                                       .certs_len = 1};
        struct tls_server_ctx *ctx = lab_server_ctx(&conf);
        for (int i = 0; i < 2; i++) {
            SSL_CTX *peer_ctx = lab_peer_ctx(false, TLS1_2_VERSION, NULL);
            struct lab_wire wire = {0};
            struct lab l;

            SSL_CTX_set_cipher_list(peer_ctx,
                                    i ? "DHE-RSA-AES128-GCM-SHA256" : "AES128-GCM-SHA256");
            SSL *peer = lab_peer(peer_ctx, false);
            lab_open(&l);
            lab_server(&l, ctx);
            lab_run(&l, peer, &wire);
            assert_int_equal(l.done, !with);
            lab_close(&l);
            SSL_free(peer);
            SSL_CTX_free(peer_ctx);
        }
        tls_server_ctx_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_library_lacks_is_refused),
        cmocka_unit_test(a_list_holds_on_both_legs),
        cmocka_unit_test(a_list_of_hybrid_groups_holds_on_both_legs),
        cmocka_unit_test(the_hybrid_group_is_preferred),
        cmocka_unit_test(no_suite_goes_round_a_list),
    };
    return lab_group_run("tls_groups", tests, sizeof(tests) / sizeof(tests[0]), lab_pair_setup,
                         lab_pair_teardown);
}
