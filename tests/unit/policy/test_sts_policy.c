/* SPDX-License-Identifier: Apache-2.0 */
/* Are records and policies of RFC 8461 read as its grammar has them, and nothing else? */
#include "sts_policy.h"

#include "cmocka_all.h"

#include <stdlib.h>

static const struct {
    const char *text;
    int err;
    const char *id;
} records[] = {
    {"v=STSv1; id=20160831085700Z;", 0, "20160831085700Z"},
    {"v=STSv1;id=1", 0, "1"},
    {"v=STSv1 ; id=1 ; ", 0, "1"},
    {"v=STSv1;\tid=1\t;", 0, "1"},
    {"v=STSv1; x-y.z_1=a!b; id=1;", 0, "1"},
    {"v=STSv1; id=1; id=2;", 0, "1"},
    {"v=STSv1; id=12345678901234567890123456789012;", 0, "12345678901234567890123456789012"},
    {"v=STSv1; id=123456789012345678901234567890123;", ERR_SYNTAX, ""},
    {"v=STSv1; id=;", ERR_SYNTAX, ""},
    {"v=STSv1; id=a-b;", ERR_SYNTAX, ""},
    {"v=STSv1; id=a b;", ERR_SYNTAX, ""},
    {"v=STSv1;", ERR_SYNTAX, ""},
    {"v=STSv1; ID=1;", ERR_SYNTAX, ""},
    {"v=STSv1; id;", ERR_SYNTAX, ""},
    {"v=STSv1; id =1;", ERR_SYNTAX, ""},
    {"v=STSv1; id=1;; a=b", ERR_SYNTAX, ""},
    {"v=STSv1; id=1; -a=b;", ERR_SYNTAX, ""},
    {"v=STSv1; id=1; a=b=c;", ERR_SYNTAX, ""},
    {"v=STSv1; id=1; a=\x80;", ERR_SYNTAX, ""},
    {"v=STSv1; id=1; "
     "a23456789012345678901234567890123=b;",
     ERR_SYNTAX, ""},
    {"v=STSv1", ERR_NOTFOUND, ""},
    {"v=STSv1 id=1;", ERR_NOTFOUND, ""},
    {"v=STSv2; id=1;", ERR_NOTFOUND, ""},
    {"v=STSv11; id=1;", ERR_NOTFOUND, ""},
    {"V=STSv1; id=1;", ERR_NOTFOUND, ""},
    {"v=stsv1; id=1;", ERR_NOTFOUND, ""},
    {" v=STSv1; id=1;", ERR_NOTFOUND, ""},
    {"id=1; v=STSv1;", ERR_NOTFOUND, ""},
    {"v=spf1 -all", ERR_NOTFOUND, ""},
    {"", ERR_NOTFOUND, ""},
};

static void test_records(void **state)
{
    char id[STS_ID_MAX + 1];

    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        int err = sts_record_parse(span_str(records[i].text), id);
        if (err != records[i].err || strcmp(id, records[i].id) != 0)
            fail_msg("\"%s\": %d, id \"%s\"", records[i].text, err, id);
    }
    assert_int_equal(sts_record_parse(span_make("v=STSv1; id=1\0;", 15), id), ERR_SYNTAX);
}

#define GOOD "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 86400\n"

/* What RFC 8461 section 3.2 shows, and every way to write the same. */
static const char *const good[] = {
    GOOD,
    "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 86400\r\n",
    "version: STSv1\nmode: enforce\r\nmx: mx.example.com\nmax_age: 86400",
    "version:STSv1\nmode:\tenforce \nmx:   MX.Example.COM\t\nmax_age:86400\n",
    "max_age: 86400\nmx: mx.example.com\nmode: enforce\nversion: STSv1\n",
    GOOD "x-other_1.2: any text: of ours\n",
    GOOD "other: h\xc3\xa9\n",
    GOOD "\n \n\r\n",
    GOOD "mode: none\nmax_age: 1\nversion: STSv2\n", /* the first one counts */
};

static const struct {
    const char *text;
    int err;
    const char *why;
} bad[] = {
    {"", ERR_SYNTAX, "no version"},
    {"mode: enforce\nmx: a\nmax_age: 1\n", ERR_SYNTAX, "no version"},
    {"version: STSv1\nmx: a\nmax_age: 1\n", ERR_SYNTAX, "no mode"},
    {"version: STSv1\nmode: enforce\nmx: a\n", ERR_SYNTAX, "no max_age"},
    {"version: STSv1\nmode: enforce\nmax_age: 1\n", ERR_SYNTAX, "no mx"},
    {"version: STSv1\nmode: testing\nmax_age: 1\n", ERR_SYNTAX, "no mx"},
    {"version: STSv2\nmode: none\nmax_age: 1\n", ERR_SYNTAX, "version is not"},
    {"version: stsv1\nmode: none\nmax_age: 1\n", ERR_SYNTAX, "version is not"},
    {"version: STSv1\nmode: Enforce\nmx: a\nmax_age: 1\n", ERR_SYNTAX, "mode is none of"},
    {"version: STSv1\nmode: report\nmx: a\nmax_age: 1\n", ERR_SYNTAX, "mode is none of"},
    {"version: STSv1\nMode: none\nmax_age: 1\n", ERR_SYNTAX, "no mode"},
    {"version: STSv1\nmode: none\nmax_age: -1\n", ERR_SYNTAX, "max_age is no number"},
    {"version: STSv1\nmode: none\nmax_age: 1d\n", ERR_SYNTAX, "max_age is no number"},
    {"version: STSv1\nmode: none\nmax_age: 10000000000\n", ERR_SYNTAX, "max_age is no number"},
    {"version: STSv1\nmode: none\nmax_age:\n", ERR_SYNTAX, "no field"},
    {GOOD "mx: *.\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: *\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: *.*.example.com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: a.*.example.com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: m*.example.com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: .example.com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: example..com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: example.com.\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: -a.example.com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: m\xc3\xbc.example.com\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: a b\n", ERR_SYNTAX, "no host name"},
    {GOOD "mx: [192.0.2.1]\n", ERR_SYNTAX, "no host name"},
    {GOOD "what is this\n", ERR_SYNTAX, "no field"},
    {GOOD "a b: c\n", ERR_SYNTAX, "no field"},
    {GOOD "mode : none\n", ERR_SYNTAX, "no field"},
    {GOOD " mode: none\n", ERR_SYNTAX, "no field"},
    {GOOD "other: a\x01\n", ERR_SYNTAX, "no field"},
    {GOOD ": a\n", ERR_SYNTAX, "no field"},
    {"<html>\n<body>Welcome</body>\n", ERR_SYNTAX, "no field"},
};

static void test_policies(void **state)
{
    struct sts_policy p;
    char why[160];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int err = sts_policy_parse(span_str(good[i]), &p, why, sizeof(why));
        if (err || p.mode != STS_MODE_ENFORCE || p.max_age_s != 86400 || p.mx_len != 1 ||
            strcmp(p.mx[0], "mx.example.com") != 0)
            fail_msg("good %zu: %s", i, err ? why : "read as another");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int err = sts_policy_parse(span_str(bad[i].text), &p, why, sizeof(why));
        if (err != bad[i].err || !strstr(why, bad[i].why))
            fail_msg("bad %zu: %d %s", i, err, why);
    }
}

static void test_modes(void **state)
{
    struct sts_policy p;
    char why[160];

    assert_int_equal(sts_policy_parse(SPAN_LIT("version: STSv1\nmode: none\nmax_age: 0\n"), &p, why,
                                      sizeof(why)),
                     0);
    assert_int_equal(p.mode, STS_MODE_NONE);
    assert_int_equal(p.max_age_s, 0);
    assert_int_equal(p.mx_len, 0);
    assert_int_equal(
        sts_policy_parse(
            SPAN_LIT("version: STSv1\nmode: testing\nmx: *.a\nmx: b.c\nmax_age: 31557600\n"), &p,
            why, sizeof(why)),
        0);
    assert_int_equal(p.mode, STS_MODE_TESTING);
    assert_int_equal(p.max_age_s, 31557600);
    assert_int_equal(p.mx_len, 2);
    assert_string_equal(p.mx[0], "*.a");
    assert_string_equal(p.mx[1], "b.c");
}

/* A max_age beyond the RFC's bound is that bound: the policy still holds. */
static void test_max_age_is_bounded(void **state)
{
    struct sts_policy p;
    char why[160];

    assert_int_equal(sts_policy_parse(SPAN_LIT("version: STSv1\nmode: none\nmax_age: 31557601\n"),
                                      &p, why, sizeof(why)),
                     0);
    assert_int_equal(p.max_age_s, 31557600);
    assert_int_equal(sts_policy_parse(SPAN_LIT("version: STSv1\nmode: none\nmax_age: 9999999999\n"),
                                      &p, why, sizeof(why)),
                     0);
    assert_int_equal(p.max_age_s, 31557600);
}

static void test_size_is_bounded(void **state)
{
    static char text[STS_POLICY_MAX + 2];
    struct sts_policy p;
    char why[160];
    size_t len = strlen(GOOD);

    memset(text, '\n', sizeof(text));
    memcpy(text, GOOD, len);
    assert_int_equal(sts_policy_parse(span_make(text, STS_POLICY_MAX), &p, why, sizeof(why)), 0);
    assert_int_equal(sts_policy_parse(span_make(text, STS_POLICY_MAX + 1), &p, why, sizeof(why)),
                     ERR_RANGE);
    for (unsigned i = 1; i < STS_MX_MAX; i++, len += 6)
        memcpy(text + len, "mx: b\n", 6);
    assert_int_equal(sts_policy_parse(span_make(text, len), &p, why, sizeof(why)), 0);
    assert_int_equal(p.mx_len, STS_MX_MAX);
    memcpy(text + len, "mx: b\n", 6);
    assert_int_equal(sts_policy_parse(span_make(text, len + 6), &p, why, sizeof(why)), ERR_LIMIT);
    len = strlen(GOOD);
    memcpy(text + len, "mx: ", 4);
    len += 4;
    for (unsigned i = 0; i < 127; i++, len += 2)
        memcpy(text + len, "a.", 2);
    assert_int_equal(sts_policy_parse(span_make(text, len - 1), &p, why, sizeof(why)), 0);
    assert_int_equal(strlen(p.mx[1]), 253);
    text[len - 1] = 'b';
    assert_int_equal(sts_policy_parse(span_make(text, len), &p, why, sizeof(why)), ERR_SYNTAX);
}

static const struct {
    const char *pattern, *host;
    bool matches;
} patterns[] = {
    {"mx.example.com", "mx.example.com", true},
    {"mx.example.com", "MX.Example.Com", true},
    {"mx.example.com", "mx.example.com.", true},
    {"mx.example.com", "mx2.example.com", false},
    {"mx.example.com", "a.mx.example.com", false},
    {"mx.example.com", "example.com", false},
    {"mx.example.com", "", false},
    {"*.example.com", "mx.example.com", true},
    {"*.example.com", "MX.EXAMPLE.com.", true},
    {"*.example.com", "a.mx.example.com", false},
    {"*.example.com", "example.com", false},
    {"*.example.com", ".example.com", false},
    {"*.example.com", "mx.example.com.evil.org", false},
    {"*.example.com", "mxexample.com", false},
    {"*.com", "example.com", true},
    {"*.com", "com", false},
    {"", "", false},
    {"", "a", false},
};

static void test_patterns(void **state)
{
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        if (sts_mx_matches(patterns[i].pattern, patterns[i].host) != patterns[i].matches)
            fail_msg("%s, %s", patterns[i].pattern, patterns[i].host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),         cmocka_unit_test(test_policies),
        cmocka_unit_test(test_modes),           cmocka_unit_test(test_max_age_is_bounded),
        cmocka_unit_test(test_size_is_bounded), cmocka_unit_test(test_patterns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
