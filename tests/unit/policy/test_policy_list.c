/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of policies: what EFF's format has is read as it is meant, and a list that can't be
 * honoured as a whole is none. */
#include "policy_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD "{\"timestamp\": 1, \"author\": \"us\", \"version\": \"0.1\", "
#define EXPIRES "\"expires\": \"2026-11-22T06:30:00+00:00\", "
#define AT 1795329000 /* that moment */
#define GOOD                                                                                       \
    "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\"mx.example.org\"]}}}"

static struct policy_list *read_list(const char *text)
{
    struct policy_list *list;
    char why[256] = "";

    if (policy_list_parse(span_str(text), &list, why, sizeof(why)) != ERR_OK)
        fail_msg("%s: %s", text, why);
    return list;
}

static void test_policies(void **state)
{
    struct policy_list *list = read_list(
        HEAD EXPIRES "\"pinsets\": {\"eff\": {}}, "
                     "\"policy-aliases\": {\"big\": {\"mode\": \"testing\", \"mxs\": "
                     "[\".Mail.example.com\"], \"report\": [\"mailto:a@b.example\"]}}, "
                     "\"policies\": {\"Example.ORG\": {\"mode\": \"enforce\", "
                     "\"mxs\": [\"mx.example.org\", \".example.net\"], \"mta-sts\": true}, "
                     "\"one.example\": {\"policy-alias\": \"big\"}, "
                     "\"two.example\": {\"policy-alias\": \"big\", \"pin\": \"eff\"}}}");
    static struct sts_answer a;

    assert_int_equal(policy_list_len(list), 3);
    assert_true(policy_list_find(list, "example.org", AT - 1, &a));
    assert_true(a.listed && a.status == DNS_OK && a.mode == STS_MODE_ENFORCE && a.mx_len == 2);
    assert_string_equal(a.mx[0], "mx.example.org");
    assert_string_equal(a.mx[1], ".example.net");
    assert_true(policy_list_find(list, "two.example", AT - 1, &a));
    assert_true(a.mode == STS_MODE_TESTING && a.mx_len == 1);
    assert_string_equal(a.mx[0], ".mail.example.com");
    /* Exactly the domain (RULES.md, policies). */
    assert_false(policy_list_find(list, "sub.example.org", AT - 1, &a));
    assert_false(policy_list_find(list, "org", AT - 1, &a));
    assert_false(policy_list_find(list, "", AT - 1, &a));
    policy_list_free(list);
}

static void test_expiry(void **state)
{
    static const struct {
        const char *expires;
        int64_t at;
    } times[] = {
        {"\"2026-11-22T06:30:00+00:00\"", AT},
        {"\"2026-11-22T06:30:00Z\"", AT},
        {"\"2026-11-22T06:30:00.999Z\"", AT},
        {"\"2026-11-22T08:30:00+0200\"", AT},
        {"\"2026-11-21T23:00:00-07:30\"", AT},
        {"1795329000", AT},
        {"0", 0},
        {"\"1970-01-01T00:00:00Z\"", 0},
        {"\"2000-02-29T00:00:00Z\"", 951782400},
        {"\"2100-03-01T00:00:00Z\"", 4107542400},
    };
    static struct sts_answer a;
    char text[512];

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        snprintf(text, sizeof(text), HEAD "\"expires\": %s, " GOOD, times[i].expires);
        struct policy_list *list = read_list(text);
        assert_int_equal(policy_list_expires(list), times[i].at);
        assert_true(policy_list_find(list, "example.org", times[i].at - 1, &a));
        a.listed = false;
        assert_false(policy_list_find(list, "example.org", times[i].at, &a));
        assert_false(a.listed);
        policy_list_free(list);
    }
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        HEAD GOOD,
        "{" EXPIRES GOOD,
        "{\"version\": \"0.2\", " EXPIRES GOOD,
        HEAD "\"expires\": \"tomorrow\", " GOOD,
        HEAD "\"expires\": -1, " GOOD,
        HEAD "\"expires\": 1.5, " GOOD,
        HEAD "\"expires\": \"2026-02-29T00:00:00Z\", " GOOD,
        HEAD "\"expires\": \"2100-02-29T00:00:00Z\", " GOOD,
        HEAD "\"expires\": \"2026-11-31T00:00:00Z\", " GOOD,
        HEAD "\"expires\": \"2026-13-01T00:00:00Z\", " GOOD,
        HEAD "\"expires\": \"2026-11-22T06:30:00\", " GOOD,
        HEAD "\"expires\": \"2026-11-22T06:30:00.Z\", " GOOD,
        HEAD "\"expires\": \"2026-11-22T06:30:00Z \", " GOOD,
        HEAD EXPIRES "\"more\": 1, " GOOD,
        HEAD EXPIRES "\"policies\": []}",
        HEAD EXPIRES "\"policies\": {\"example.org\": []}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mode\": \"none\", \"mxs\": [\"a.b\"]}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mxs\": [\"a.b\"]}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mode\": \"enforce\"}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": []}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [1]}}}",
        HEAD EXPIRES
        "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\"*.a.b\"]}}}",
        HEAD EXPIRES
        "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\"..a.b\"]}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\".\"]}}}",
        HEAD EXPIRES
        "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\"com\"]}}}",
        HEAD EXPIRES
        "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\"a-.b\"]}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"mode\": \"enforce\", \"mxs\": [\"a.b\"], "
                     "\"pin\": \"eff\"}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"policy-alias\": \"big\"}}}",
        HEAD EXPIRES "\"policies\": {\"example.org\": {\"policy-alias\": 1}}}",
        HEAD EXPIRES "\"policy-aliases\": {\"a\": {\"policy-alias\": \"a\"}}, " GOOD,
        HEAD EXPIRES "\"policy-aliases\": [], " GOOD,
        HEAD EXPIRES "\"policies\": {\"a.b\": {\"mode\": \"enforce\", \"mxs\": [\"a.b\"]}, "
                     "\"A.b\": {\"mode\": \"testing\", \"mxs\": [\"a.b\"]}}}",
        HEAD EXPIRES "\"policies\": {\"a.b\": {\"mode\": \"enforce\", \"mxs\": [\"a.b\"]}, "
                     "\"a.b\": {\"mode\": \"testing\", \"mxs\": [\"a.b\"]}}}",
        HEAD EXPIRES "\"policies\": {\"a b.c\": {\"mode\": \"enforce\", \"mxs\": [\"a.b\"]}}}",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct policy_list *list;
        char why[256] = "";
        if (policy_list_parse(span_str(texts[i]), &list, why, sizeof(why)) != ERR_SYNTAX)
            fail_msg("%s passed", texts[i]);
        assert_null(list);
        assert_true(why[0]);
    }
}

static void test_too_many_hosts(void **state)
{
    char text[8192];
    size_t used = (size_t)snprintf(text, sizeof(text),
                                   HEAD EXPIRES "\"policies\": {\"a.b\": {\"mode\": \"enforce\", "
                                                "\"mxs\": [\"x.y\"");
    struct policy_list *list;
    char why[256];

    for (int i = 0; i < STS_MX_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, ", \"m%d.example\"", i);
    snprintf(text + used, sizeof(text) - used, "]}}}");
    assert_int_equal(policy_list_parse(span_str(text), &list, why, sizeof(why)), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
