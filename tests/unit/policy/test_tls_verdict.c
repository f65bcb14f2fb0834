/* SPDX-License-Identifier: Apache-2.0 */
/* Does every level, with every answer of DNS and of MTA-STS, demand of a host what it must, and
 * never less? The matrices are written out: a letter a cell. */
#include "tls_verdict.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

/* --- what there is to be answered --- */

enum tlsa_case { T_NULL, T_USABLE, T_UNUSABLE, T_NODATA, T_NXDOMAIN, T_FAILED, T_BOGUS, T_CASES };
static const char *const tlsa_texts[] = {"not asked", "usable", "unusable", "NODATA",
                                         "NXDOMAIN",  "FAILED", "BOGUS"};

enum sts_case {
    S_NULL,
    S_NODATA,
    S_NXDOMAIN,
    S_FAILED,
    S_BOGUS,
    S_NONE,
    S_ENFORCE_MATCH,
    S_ENFORCE_OTHER,
    S_TESTING_MATCH,
    S_TESTING_OTHER,
    S_CASES
};
static const char *const sts_texts[] = {
    "not asked", "NODATA",        "NXDOMAIN",      "FAILED",        "BOGUS",
    "mode none", "enforce match", "enforce other", "testing match", "testing other"};

static const struct dns_tlsa_answer *tlsa_of(enum tlsa_case which)
{
    static struct dns_tlsa_answer answer;

    answer = (struct dns_tlsa_answer){.base = "mx.example.org"};
    switch (which) {
    case T_NULL:
        return NULL;
    case T_USABLE:
        answer.records[0] = (struct dns_tlsa){0, 0, 1, 0, 32};
        answer.records[1] = (struct dns_tlsa){3, 1, 1, 32, 32};
        answer.len = 2;
        break;
    case T_UNUSABLE:
        answer.records[0] = (struct dns_tlsa){1, 1, 1, 0, 32};
        answer.records[1] = (struct dns_tlsa){3, 1, 1, 32, 31};
        answer.len = 2;
        break;
    case T_NODATA:
        answer.status = DNS_NODATA;
        break;
    case T_NXDOMAIN:
        answer.status = DNS_NXDOMAIN;
        break;
    case T_FAILED:
        answer.status = DNS_FAILED;
        break;
    case T_BOGUS:
        answer.status = DNS_BOGUS;
        break;
    case T_CASES:
        break;
    }
    return &answer;
}

static const struct sts_answer *sts_of(enum sts_case which)
{
    static struct sts_answer answer;
    static const struct {
        enum dns_status status;
        enum sts_mode mode;
        const char *mx;
    } rows[] = {
        [S_NODATA] = {DNS_NODATA},
        [S_NXDOMAIN] = {DNS_NXDOMAIN},
        [S_FAILED] = {DNS_FAILED},
        [S_BOGUS] = {DNS_BOGUS},
        [S_NONE] = {DNS_OK, STS_MODE_NONE},
        [S_ENFORCE_MATCH] = {DNS_OK, STS_MODE_ENFORCE, "*.example.org"},
        [S_ENFORCE_OTHER] = {DNS_OK, STS_MODE_ENFORCE, "*.example.net"},
        [S_TESTING_MATCH] = {DNS_OK, STS_MODE_TESTING, "mx.example.org"},
        [S_TESTING_OTHER] = {DNS_OK, STS_MODE_TESTING, "mx.example.net"},
    };

    if (which == S_NULL)
        return NULL;
    answer = (struct sts_answer){
        .status = rows[which].status, .mode = rows[which].mode, .id = "20261122", .why = ""};
    if (rows[which].mx) {
        snprintf(answer.mx[0], sizeof(answer.mx[0]), "other.example");
        snprintf(answer.mx[1], sizeof(answer.mx[1]), "%s", rows[which].mx);
        answer.mx_len = 2;
    }
    return &answer;
}

/* --- what may come of it --- */

static const struct outcome {
    char letter;
    enum tls_verdict_use use;
    enum conf_level level;
    enum tls_source source;
    bool failed, testing;
    const char *why; /* is in it */
} outcomes[] = {
    {'D', TLS_USE, CONF_LEVEL_DANE, TLS_SOURCE_DANE, false, false, "1 of the 2 TLSA records"},
    {'E', TLS_USE, CONF_LEVEL_ENCRYPT, TLS_SOURCE_DANE, false, false, "TLS is required"},
    {'e', TLS_USE, CONF_LEVEL_ENCRYPT, TLS_SOURCE_DANE, false, true, "TLS is required"},
    {'V', TLS_USE, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, false, false, "names mx.example.org"},
    {'T', TLS_USE, CONF_LEVEL_MAY, TLS_SOURCE_STS, false, true, "testing mode and names"},
    {'t', TLS_USE, CONF_LEVEL_MAY, TLS_SOURCE_STS, false, true, "does not name mx.example.org"},
    {'M', TLS_USE, CONF_LEVEL_MAY, TLS_SOURCE_NONE, false, false, "has neither"},
    {'m', TLS_USE, CONF_LEVEL_MAY, TLS_SOURCE_NONE, false, false, "can't be had"},
    /* refused */
    {'u', TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE, false, false, "none of the 2 at mx"},
    {'n', TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE, false, false, "mx.example.org has none"},
    {'i', TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE, false, false, "those that name mx"},
    {'q', TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE, true, false, "was not asked"},
    {'f', TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE, true, false, "failed"},
    {'b', TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE, true, false, "forged"},
    {'x', TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, false, false, "does not name"},
    {'y', TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, false, false, "mode none"},
    {'z', TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, false, false, "the domain has none"},
    {'Q', TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, true, false, "none was asked for"},
    {'F', TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, true, false, "can't be had"},
    {'B', TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, true, false, "is not known"},
};

static unsigned cells;

static void cell(enum conf_level level, bool mx_secure, enum tlsa_case tlsa, enum sts_case sts,
                 char letter)
{
    const struct outcome *want = outcomes;
    struct tls_verdict got;

    while (want->letter != letter)
        assert_true(++want < outcomes + sizeof(outcomes) / sizeof(outcomes[0]));
    memset(&got, 0xee, sizeof(got));
    tls_verdict_make(level, mx_secure, "mx.example.org", tlsa_of(tlsa), sts_of(sts), &got);
    if (got.use != want->use || got.level != want->level || got.source != want->source ||
        got.failed != want->failed || got.testing != want->testing || !strstr(got.why, want->why))
        fail_msg("level %s, MX %s, TLSA %s, STS %s: not '%c' but use %d, %s by %s%s%s: %s",
                 conf_level_text(level), mx_secure ? "secure" : "insecure", tlsa_texts[tlsa],
                 sts_texts[sts], letter, got.use, conf_level_text(got.level),
                 tls_source_text(got.source), got.failed ? ", failed" : "",
                 got.testing ? ", testing" : "", got.why);
    /* What each verdict promises whatever it is of. */
    assert_true(got.level != CONF_LEVEL_AUTO && got.level != CONF_LEVEL_STS);
    cells++;
}

/* --- the matrices --- */

static void a_level_of_the_route_alone_stays_what_it_is(void **state)
{
    for (enum conf_level level = CONF_LEVEL_NONE; level <= CONF_LEVEL_PIN; level++)
        for (int at = 0; at < 2 * T_CASES * S_CASES; at++) {
            struct tls_verdict got;
            char why[64];

            tls_verdict_make(level, at % 2, "mx.example.org", tlsa_of(at / 2 % T_CASES),
                             sts_of(at / 2 / T_CASES), &got);
            snprintf(why, sizeof(why), "the route says level %s", conf_level_text(level));
            assert_string_equal(got.why, why);
            assert_int_equal(got.level, level);
            assert_int_equal(got.source, TLS_SOURCE_ROUTE);
            assert_int_equal(got.use, TLS_USE);
            assert_false(got.failed || got.testing);
            cells++;
        }
}

/* RFC-RULES DANE: "A failed TLSA look-up defers, never downgrades (7672 section 2.1)"; "Records
 * count only from a DNSSEC-secure answer for the MX and the TLSA". Nothing that MTA-STS says makes
 * up for either. */
static void level_dane_takes_nothing_else(void **state)
{
    for (enum sts_case sts = 0; sts < S_CASES; sts++)
        for (enum tlsa_case tlsa = 0; tlsa < T_CASES; tlsa++) {
            cell(CONF_LEVEL_DANE, true, tlsa, sts, "qDunnfb"[tlsa]);
            cell(CONF_LEVEL_DANE, false, tlsa, sts, 'i');
        }
}

static void level_sts_takes_a_policy_that_names_the_host(void **state)
{
    for (enum tlsa_case tlsa = 0; tlsa < T_CASES; tlsa++)
        for (enum sts_case sts = 0; sts < S_CASES; sts++)
            for (int secure = 0; secure < 2; secure++)
                cell(CONF_LEVEL_STS, secure, tlsa, sts, "QzzFByVxVx"[sts]);
}

static void auto_takes_dane_then_sts_then_what_it_gets(void **state)
{
    /* With MX records that DNSSEC proves, or a fixed next hop. The columns are sts_texts. */
    static const char *const secure[] = {
        [T_NULL] = "qqqqqqqqqq",
        /* DANE wins over a policy, of whatever kind. */
        [T_USABLE] = "DDDDDDDDDD",
        /* RFC-RULES DANE: "all records unusable means TLS is required, unauthenticated"; a policy
         * that is enforced demands more than that, for DANE does not fail. */
        [T_UNUSABLE] = "EEEEBEVxee",
        [T_NODATA] = "MMMmBMVxTt",
        [T_NXDOMAIN] = "MMMmBMVxTt",
        /* RFC-RULES MTA-STS: "Never overrides failing DANE (8461 section 2)". */
        [T_FAILED] = "ffffffffff",
        [T_BOGUS] = "bbbbbbbbbb",
    };

    for (enum tlsa_case tlsa = 0; tlsa < T_CASES; tlsa++)
        for (enum sts_case sts = 0; sts < S_CASES; sts++) {
            cell(CONF_LEVEL_AUTO, true, tlsa, sts, secure[tlsa][sts]);
            /* Without that, TLSA records are anybody's. */
            cell(CONF_LEVEL_AUTO, false, tlsa, sts, "MMMmBMVxTt"[sts]);
        }
    assert_int_equal(cells, 8 * 2 * T_CASES * S_CASES);
}

/* RFC-RULES MTA-STS: "a valid cached policy applies when the fetch fails (section 3.3)": such an
 * answer is OK. Where there is none, the domain is taken for one without MTA-STS; but not where the
 * administrator demands it. */
static void without_a_policy_to_be_had_the_level_decides(void **state)
{
    struct sts_answer sts = {.status = DNS_FAILED, .why = "mta-sts.example.org: status 404"};
    struct tls_verdict got;

    tls_verdict_make(CONF_LEVEL_AUTO, false, "mx.example.org", NULL, &sts, &got);
    assert_int_equal(got.use, TLS_USE);
    assert_int_equal(got.level, CONF_LEVEL_MAY);
    assert_string_equal(got.why, "no TLSA records, and the MTA-STS policy can't be had: "
                                 "mta-sts.example.org: status 404");
    tls_verdict_make(CONF_LEVEL_STS, false, "mx.example.org", NULL, &sts, &got);
    assert_int_equal(got.use, TLS_SKIP);
    assert_string_equal(got.why, "the domain's MTA-STS policy can't be had: "
                                 "mta-sts.example.org: status 404");
    sts = *sts_of(S_ENFORCE_OTHER);
    sts.from_cache = true;
    tls_verdict_make(CONF_LEVEL_AUTO, false, "mx.example.org", NULL, &sts, &got);
    assert_int_equal(got.use, TLS_SKIP);
    assert_string_equal(got.why, "MTA-STS policy 20261122 does not name mx.example.org");
}

/* RFC-RULES MTA-STS: "Testing mode delivers and reports"; a route at level sts is stricter. */
static void testing_delivers_but_at_level_sts(void **state)
{
    struct tls_verdict got;

    tls_verdict_make(CONF_LEVEL_AUTO, false, "mx.example.org", NULL, sts_of(S_TESTING_OTHER), &got);
    assert_true(got.testing && got.unlisted && got.use == TLS_USE);
    tls_verdict_make(CONF_LEVEL_AUTO, false, "mx.example.org", NULL, sts_of(S_TESTING_MATCH), &got);
    assert_true(got.testing && !got.unlisted && got.use == TLS_USE);
    tls_verdict_make(CONF_LEVEL_STS, false, "mx.example.org", NULL, sts_of(S_TESTING_OTHER), &got);
    assert_true(!got.testing && got.use == TLS_SKIP);
    assert_string_equal(got.why, "MTA-STS policy 20261122 (testing, but level sts enforces it) "
                                 "does not name mx.example.org");
}

/* RFC-RULES MTA-STS: "a wildcard is the whole leftmost label". */
static void a_wildcard_of_a_policy_is_one_label(void **state)
{
    struct tls_verdict got;

    tls_verdict_make(CONF_LEVEL_AUTO, false, "a.mx.example.org", NULL, sts_of(S_ENFORCE_MATCH),
                     &got);
    assert_int_equal(got.use, TLS_SKIP);
    tls_verdict_make(CONF_LEVEL_AUTO, false, "example.org", NULL, sts_of(S_ENFORCE_MATCH), &got);
    assert_int_equal(got.use, TLS_SKIP);
}

/* A list of policies stands where the domain has none: it says the same of hosts, by its own
 * patterns, and the verdict says whose word it is. */
static void a_list_has_a_say(void **state)
{
    static const struct {
        const char *mx, *host;
        bool names;
    } rows[] = {
        {"mx.example.org", "mx.example.org", true},    {"mx.example.org", "MX.example.org", true},
        {"mx.example.org", "a.mx.example.org", false}, {".example.org", "mx.example.org", true},
        {".example.org", "a.mx.example.org", true},    {".example.org", "example.org", false},
        {".example.org", "notexample.org", false},     {"*.example.org", "mx.example.org", false},
    };
    struct sts_answer sts = {.listed = true, .mx_len = 1};
    struct tls_verdict got;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(sts.mx[0], sizeof(sts.mx[0]), "%s", rows[i].mx);
        sts.mode = STS_MODE_ENFORCE;
        tls_verdict_make(CONF_LEVEL_AUTO, false, rows[i].host, NULL, &sts, &got);
        assert_int_equal(got.level, CONF_LEVEL_VERIFY);
        assert_int_equal(got.source, TLS_SOURCE_LIST);
        assert_int_equal(got.use, rows[i].names ? TLS_USE : TLS_SKIP);
        assert_false(got.failed || got.testing);
        sts.mode = STS_MODE_TESTING;
        tls_verdict_make(CONF_LEVEL_AUTO, false, rows[i].host, NULL, &sts, &got);
        assert_true(got.use == TLS_USE && got.testing && got.level == CONF_LEVEL_MAY);
        assert_int_equal(got.source, TLS_SOURCE_LIST);
    }
    sts.mode = STS_MODE_ENFORCE;
    tls_verdict_make(CONF_LEVEL_AUTO, false, "mx.example.org", NULL, &sts, &got);
    assert_string_equal(got.why, "the policy list does not name mx.example.org");
    assert_string_equal(tls_source_text(got.source), "list");
    /* DANE wins over it as over MTA-STS. */
    tls_verdict_make(CONF_LEVEL_AUTO, true, "mx.example.org", tlsa_of(T_USABLE), &sts, &got);
    assert_int_equal(got.source, TLS_SOURCE_DANE);
    tls_verdict_make(CONF_LEVEL_AUTO, true, "mx.example.org", tlsa_of(T_BOGUS), &sts, &got);
    assert_true(got.use == TLS_SKIP && got.source == TLS_SOURCE_DANE);
}

/* RFC-RULES DANE: "0 and 1 are unusable". */
static void what_makes_a_record_usable(void **state)
{
    static const struct {
        struct dns_tlsa record;
        bool usable;
    } rows[] = {
        {{0, 0, 1, 0, 32}, false},
        {{1, 1, 1, 0, 32}, false},
        {{2, 0, 1, 0, 32}, true},
        {{2, 1, 2, 0, 64}, true},
        {{3, 0, 1, 0, 32}, true},
        {{3, 1, 2, 0, 64}, true},
        {{4, 1, 1, 0, 32}, false},
        {{255, 1, 1, 0, 32}, false},
        {{3, 2, 1, 0, 32}, false},
        {{3, 255, 1, 0, 32}, false},
        {{3, 1, 3, 0, 32}, false},
        {{3, 1, 255, 0, 32}, false},
        {{3, 1, 1, 0, 31}, false},
        {{3, 1, 1, 0, 33}, false},
        {{3, 1, 2, 0, 32}, false},
        {{3, 1, 1, 0, 0}, false},
        {{3, 1, 0, 0, 0}, false},
        {{3, 0, 0, 0, 100}, false},
        /* Data that is not there: the answer came over a socket. */
        {{3, 1, 1, DNS_TLSA_BYTES - 31, 32}, false},
        {{3, 1, 1, DNS_TLSA_BYTES - 32, 32}, true},
        {{3, 1, 1, 65535, 32}, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_tlsa_answer answer = {.len = 1, .records = {rows[i].record}};
        struct tls_verdict got;

        tls_verdict_make(CONF_LEVEL_DANE, true, "mx.example.org", &answer, NULL, &got);
        if ((got.use == TLS_USE) != rows[i].usable)
            fail_msg("row %zu: %s", i, got.why);
    }
    struct dns_tlsa_answer many = {.len = 1000};
    struct tls_tlsa records[DNS_TLSA_MAX];
    assert_int_equal(tls_verdict_records(&many, records), DNS_TLSA_MAX);
}

static void what_does_not_print_is_in_no_text(void **state)
{
    struct sts_answer sts = {.status = DNS_FAILED, .why = "evil\r\n250 ok\x1b[2J\xff"};
    struct tls_verdict got;

    tls_verdict_make(CONF_LEVEL_AUTO, false, "mx.example.org", NULL, &sts, &got);
    assert_non_null(strstr(got.why, "evil??250 ok?[2J?"));
    /* The longest names leave a text that ends. */
    struct dns_tlsa_answer tlsa = {.len = 0};
    memset(tlsa.base, 'a', DNS_NAME_MAX);
    tls_verdict_make(CONF_LEVEL_AUTO, true, tlsa.base, &tlsa, NULL, &got);
    assert_non_null(strstr(got.why, "unauthenticated"));
}

static void what_is_asked_at_which_level(void **state)
{
    for (enum conf_level level = CONF_LEVEL_NONE; level <= CONF_LEVEL_AUTO; level++) {
        assert_int_equal(tls_verdict_wants_tlsa(level, true),
                         level == CONF_LEVEL_DANE || level == CONF_LEVEL_AUTO);
        assert_false(tls_verdict_wants_tlsa(level, false));
        assert_int_equal(tls_verdict_wants_sts(level),
                         level == CONF_LEVEL_STS || level == CONF_LEVEL_AUTO);
    }
    assert_string_equal(tls_source_text(TLS_SOURCE_ROUTE), "route");
    assert_string_equal(tls_source_text(TLS_SOURCE_DANE), "dane");
    assert_string_equal(tls_source_text(TLS_SOURCE_STS), "sts");
    assert_string_equal(tls_source_text(TLS_SOURCE_NONE), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_of_the_route_alone_stays_what_it_is),
        cmocka_unit_test(level_dane_takes_nothing_else),
        cmocka_unit_test(level_sts_takes_a_policy_that_names_the_host),
        cmocka_unit_test(auto_takes_dane_then_sts_then_what_it_gets),
        cmocka_unit_test(without_a_policy_to_be_had_the_level_decides),
        cmocka_unit_test(testing_delivers_but_at_level_sts),
        cmocka_unit_test(a_wildcard_of_a_policy_is_one_label),
        cmocka_unit_test(a_list_has_a_say),
        cmocka_unit_test(what_makes_a_record_usable),
        cmocka_unit_test(what_does_not_print_is_in_no_text),
        cmocka_unit_test(what_is_asked_at_which_level),
    };
    return cmocka_run_group_tests_name("tls_verdict", tests, NULL, NULL);
}
