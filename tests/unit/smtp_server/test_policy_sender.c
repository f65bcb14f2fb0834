/* SPDX-License-Identifier: Apache-2.0 */
/* Does a partner's mail come as its rule says, and does its certificate bring no other's? */
#include "policy_sender.h"
#include "tls_name.h"

#include "cmocka_all.h"

static const char *const partner_names[] = {"mx.partner.example", ".out.partner.example"};
static const char *const inside_only[] = {"inside"};
static const char *const anna[] = {"anna"};
static struct conf_hash partner_cert[1], other_cert[1];
static const struct conf_sender rules[] = {
    {.domain = "plain.example"},
    {.domain = ".plain.example", .level = CONF_SENDER_VERIFY},
    {.domain = "partner.example",
     .level = CONF_SENDER_VERIFY,
     .certs = partner_cert,
     .certs_len = 1,
     .names = {partner_names, 2}},
    {.domain = "also.example", .certs = partner_cert, .certs_len = 1},
    {.domain = "insider.example",
     .level = CONF_SENDER_VERIFY,
     .certs = other_cert,
     .certs_len = 1,
     .listeners = {inside_only, 1}},
    {.domain = "anna.example", .level = CONF_SENDER_VERIFY, .users = {anna, 1}},
};
static const struct conf conf = {.senders = (struct conf_sender *)rules,
                                 .senders_len = sizeof(rules) / sizeof(rules[0])};
static const struct conf_listener internet = {.name = "internet"}, inside = {.name = "inside"};

enum tls { PLAINTEXT, NO_CERT, UNCHECKED, FAILED, VERIFIED };

static const struct {
    enum tls tls;
    int cert; /* what the bytes of its SHA-256 are: 7 the partner's, 8 the other's */
    const char *names, *sender;
    enum policy_sender_verdict verdict;
    int rule; /* -1: none */
    bool inside;
    const char *user;
} rows[] = {
    /* No rule for the domain. */
    {PLAINTEXT, 0, "", "free.example", POLICY_SENDER_OK, -1},
    {PLAINTEXT, 0, "", "notplain.example", POLICY_SENDER_OK, -1},
    {VERIFIED, 0, "mx.free.example\0", "free.example", POLICY_SENDER_OK, -1},
    /* encrypt: any TLS. */
    {PLAINTEXT, 0, "", "plain.example", POLICY_SENDER_NEEDS_TLS, 0},
    {PLAINTEXT, 0, "", "PLAIN.example", POLICY_SENDER_NEEDS_TLS, 0},
    {NO_CERT, 0, "", "plain.example", POLICY_SENDER_OK, 0},
    {FAILED, 0, "", "plain.example", POLICY_SENDER_OK, 0},
    /* verify without lists: any certificate that is vouched for. */
    {PLAINTEXT, 0, "", "a.plain.example", POLICY_SENDER_NEEDS_TLS, 1},
    {NO_CERT, 0, "", "a.plain.example", POLICY_SENDER_NEEDS_CERT, 1},
    {UNCHECKED, 0, "", "a.plain.example", POLICY_SENDER_NEEDS_CERT, 1},
    {FAILED, 0, "", "a.plain.example", POLICY_SENDER_NEEDS_CERT, 1},
    {VERIFIED, 0, "", "a.b.plain.example", POLICY_SENDER_OK, 1},
    /* verify by fingerprint, which needs no authority, or by name, which does. */
    {PLAINTEXT, 7, "", "partner.example", POLICY_SENDER_NEEDS_TLS, 2},
    {NO_CERT, 7, "", "partner.example", POLICY_SENDER_NEEDS_CERT, 2},
    {UNCHECKED, 7, "", "partner.example", POLICY_SENDER_OK, 2},
    {FAILED, 7, "", "partner.example", POLICY_SENDER_OK, 2},
    {VERIFIED, 8, "", "partner.example", POLICY_SENDER_NEEDS_CERT, 2},
    {VERIFIED, 0, "mx.partner.example\0", "partner.example", POLICY_SENDER_OK, 2},
    {VERIFIED, 0, "x.example\0a.out.partner.example\0", "partner.example", POLICY_SENDER_OK, 2},
    {VERIFIED, 0, "partner.example\0", "partner.example", POLICY_SENDER_NEEDS_CERT, 2},
    {UNCHECKED, 0, "mx.partner.example\0", "partner.example", POLICY_SENDER_NEEDS_CERT, 2},
    {FAILED, 0, "mx.partner.example\0", "partner.example", POLICY_SENDER_NEEDS_CERT, 2},
    /* Below the domain is another domain. */
    {PLAINTEXT, 0, "", "a.partner.example", POLICY_SENDER_OK, -1},
    /* A certificate that rules name brings their domains, and no other; <> is free. */
    {UNCHECKED, 7, "", "free.example", POLICY_SENDER_BOUND, 2},
    {VERIFIED, 0, "mx.partner.example\0", "free.example", POLICY_SENDER_BOUND, 2},
    {VERIFIED, 0, "mx.partner.example\0", "a.partner.example", POLICY_SENDER_BOUND, 2},
    {UNCHECKED, 7, "", "plain.example", POLICY_SENDER_BOUND, 2},
    {UNCHECKED, 7, "", "also.example", POLICY_SENDER_OK, 3},
    {VERIFIED, 0, "mx.partner.example\0", "also.example", POLICY_SENDER_BOUND, 2},
    {UNCHECKED, 7, "", "[192.0.2.1]", POLICY_SENDER_BOUND, 2},
    {UNCHECKED, 7, "", "", POLICY_SENDER_OK, -1},
    {PLAINTEXT, 0, "", "", POLICY_SENDER_OK, -1},
    {NO_CERT, 7, "", "free.example", POLICY_SENDER_OK, -1},
    {FAILED, 0, "mx.partner.example\0", "free.example", POLICY_SENDER_OK, -1},
    /* Users are named and bound as certificates are. */
    {PLAINTEXT, 0, "", "anna.example", POLICY_SENDER_NEEDS_TLS, 5},
    {VERIFIED, 0, "", "anna.example", POLICY_SENDER_NEEDS_CERT, 5},
    {NO_CERT, 0, "", "anna.example", POLICY_SENDER_OK, 5, false, "anna"},
    {NO_CERT, 0, "", "anna.example", POLICY_SENDER_NEEDS_CERT, 5, false, "bert"},
    {NO_CERT, 0, "", "free.example", POLICY_SENDER_OK, -1, false, "bert"},
    {NO_CERT, 0, "", "free.example", POLICY_SENDER_BOUND, 5, false, "anna"},
    {NO_CERT, 0, "", "plain.example", POLICY_SENDER_BOUND, 5, false, "anna"},
    {UNCHECKED, 7, "", "partner.example", POLICY_SENDER_OK, 2, false, "anna"},
    {NO_CERT, 0, "", "", POLICY_SENDER_OK, -1, false, "anna"},
    /* A rule of another listener neither asks nor binds. */
    {PLAINTEXT, 0, "", "insider.example", POLICY_SENDER_OK, -1},
    {PLAINTEXT, 0, "", "insider.example", POLICY_SENDER_NEEDS_TLS, 4, true},
    {UNCHECKED, 8, "", "free.example", POLICY_SENDER_OK, -1},
    {UNCHECKED, 8, "", "free.example", POLICY_SENDER_BOUND, 4, true},
    {UNCHECKED, 8, "", "insider.example", POLICY_SENDER_OK, 4, true},
};

static void facts_make(size_t i, struct tls_facts *ret)
{
    static const enum tls_verify verify[] = {[NO_CERT] = TLS_VERIFY_NONE,
                                             [UNCHECKED] = TLS_VERIFY_UNCHECKED,
                                             [FAILED] = TLS_VERIFY_FAILED,
                                             [VERIFIED] = TLS_VERIFY_OK};
    size_t len = 0;

    *ret = (struct tls_facts){.verify = verify[rows[i].tls]};
    memset(ret->cert_sha256, rows[i].cert, sizeof(ret->cert_sha256));
    for (const char *name = rows[i].names; *name;
         name += strlen(name) + 1, len = (size_t)(name - rows[i].names))
        memcpy(ret->cert_names + len, name, strlen(name) + 1);
}

static void test_table(void **state)
{
    memset(partner_cert[0].sha256, 7, 32);
    memset(other_cert[0].sha256, 8, 32);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_facts tls;
        facts_make(i, &tls);
        const struct policy_client client = {.listener = rows[i].inside ? &inside : &internet,
                                             .tls = rows[i].tls == PLAINTEXT ? NULL : &tls,
                                             .user = rows[i].user};
        struct policy_sender_decision d =
            policy_sender_decide(&conf, &client, span_str(rows[i].sender));
        int rule = d.rule ? (int)(d.rule - rules) : -1;
        if (d.verdict != rows[i].verdict || rule != rows[i].rule)
            fail_msg("row %zu (%s): verdict %d, rule %d", i, rows[i].sender, (int)d.verdict, rule);
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *wanted, *name;
        bool fits;
    } names[] = {
        {"mx.a.example", "mx.a.example", true},
        {"mx.a.example", "*.a.example", true},
        {"mx.a.example", "a.example", false},
        {"a.example", "*.a.example", false},
        {"x.mx.a.example", "*.a.example", false},
        {"mx.a.example", "*.mx.a.example", false},
        {".a.example", "mx.a.example", true},
        {".a.example", "x.mx.a.example", true},
        {".a.example", "*.a.example", true},
        {".a.example", "a.example", false},
        {".a.example", ".a.example", false},
        {".a.example", "mxa.example", false},
        {"example", "*.", false},
        {"example", "*.example", false},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tls_name_fits(names[i].wanted, names[i].name) != names[i].fits)
            fail_msg("%s, %s", names[i].wanted, names[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
