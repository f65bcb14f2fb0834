/* SPDX-License-Identifier: Apache-2.0 */
/* Reports that others sent: RFC 8460's own example says what it says there, and what is none is
 * told with its place, what is there, and what would be right. */
#include "tlsrpt_report.h"

#include "moment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Appendix B; its one long text is folded there. */
static const char appendix_b[] =
    "{\n"
    "  \"organization-name\": \"Company-X\",\n"
    "  \"date-range\": {\n"
    "    \"start-datetime\": \"2016-04-01T00:00:00Z\",\n"
    "    \"end-datetime\": \"2016-04-01T23:59:59Z\"\n"
    "  },\n"
    "  \"contact-info\": \"sts-reporting@company-x.example\",\n"
    "  \"report-id\": \"5065427c-23d3-47ca-b6e0-946ea0e8c4be\",\n"
    "  \"policies\": [{\n"
    "    \"policy\": {\n"
    "      \"policy-type\": \"sts\",\n"
    "      \"policy-string\": [\"version: STSv1\",\"mode: testing\",\n"
    "            \"mx: *.mail.company-y.example\",\"max_age: 86400\"],\n"
    "      \"policy-domain\": \"company-y.example\",\n"
    "      \"mx-host\": [\"*.mail.company-y.example\"]\n"
    "    },\n"
    "    \"summary\": {\n"
    "      \"total-successful-session-count\": 5326,\n"
    "      \"total-failure-session-count\": 303\n"
    "    },\n"
    "    \"failure-details\": [{\n"
    "      \"result-type\": \"certificate-expired\",\n"
    "      \"sending-mta-ip\": \"2001:db8:abcd:0012::1\",\n"
    "      \"receiving-mx-hostname\": \"mx1.mail.company-y.example\",\n"
    "      \"failed-session-count\": 100\n"
    "    }, {\n"
    "      \"result-type\": \"starttls-not-supported\",\n"
    "      \"sending-mta-ip\": \"2001:db8:abcd:0013::1\",\n"
    "      \"receiving-mx-hostname\": \"mx2.mail.company-y.example\",\n"
    "      \"receiving-ip\": \"203.0.113.56\",\n"
    "      \"failed-session-count\": 200,\n"
    "      \"additional-information\": \"https://reports.company-x.example/"
    "report_info ? id = 5065427 c - 23 d3# StarttlsNotSupported \"\n"
    "    }, {\n"
    "      \"result-type\": \"validation-failure\",\n"
    "      \"sending-mta-ip\": \"198.51.100.62\",\n"
    "      \"receiving-ip\": \"203.0.113.58\",\n"
    "      \"receiving-mx-hostname\": \"mx-backup.mail.company-y.example\",\n"
    "      \"failed-session-count\": 3,\n"
    "      \"failure-reason-code\": \"X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED\"\n"
    "    }]\n"
    "  }]\n"
    "}\n";

static struct tlsrpt_report *read_report(const char *text)
{
    struct tlsrpt_report *report;
    char why[256] = "";

    if (tlsrpt_report_parse(span_str(text), &report, why, sizeof(why)) != ERR_OK)
        fail_msg("%s: %s", text, why);
    return report;
}

static void test_appendix_b(void **state)
{
    struct tlsrpt_report *r = read_report(appendix_b);
    const struct tlsrpt_policy *p = &r->policies[0];

    assert_string_equal(r->organization, "Company-X");
    assert_string_equal(r->contact, "sts-reporting@company-x.example");
    assert_string_equal(r->id, "5065427c-23d3-47ca-b6e0-946ea0e8c4be");
    assert_int_equal(r->start, 1459468800);
    assert_int_equal(r->end, 1459555199);
    assert_int_equal(r->policies_len, 1);
    assert_string_equal(p->type, "sts");
    assert_string_equal(p->domain, "company-y.example");
    assert_int_equal(p->policy.len, 4);
    assert_string_equal(p->policy.items[2], "mx: *.mail.company-y.example");
    assert_int_equal(p->mx.len, 1);
    assert_int_equal(p->good, 5326);
    assert_int_equal(p->failed, 303);
    assert_int_equal(p->failures_len, 3);
    assert_int_equal(tlsrpt_result_find(p->failures[0].result), TLSRPT_EXPIRED);
    assert_int_equal(p->failures[0].sessions, 100);
    assert_string_equal(p->failures[0].receiving_ip, "");
    assert_int_equal(tlsrpt_result_find(p->failures[1].result), TLSRPT_STARTTLS_NOT_SUPPORTED);
    assert_string_equal(p->failures[1].receiving_ip, "203.0.113.56");
    assert_string_equal(p->failures[2].reason, "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED");
    assert_string_equal(p->failures[2].sending_ip, "198.51.100.62");
    tlsrpt_report_free(r);
}

#define RANGE                                                                                      \
    "\"date-range\": {\"start-datetime\": \"2025-05-23T00:00:00+00:00\", "                         \
    "\"end-datetime\": \"2025-05-23T23:59:59Z\"}, \"report-id\": \"1\""
#define POLICY "\"policy\": {\"policy-type\": \"sts\", \"policy-domain\": \"a.example\"}"
#define SUMMARY                                                                                    \
    "\"summary\": {\"total-successful-session-count\": 1, \"total-failure-session-count\": 0}"

static void test_lenient(void **state)
{
    struct tlsrpt_report *r = read_report(
        "{" RANGE
        ", \"organization-name\": \"a\\u202eb\\u001b[1m\\u009bc\\u00fc\", \"policies\": [{"
        "\"policy\": {\"policy-type\": \"sts\", \"policy-domain\": \"a.example\", \"mx-host\": "
        "\"mx\","
        " \"policy-string\": null}, " SUMMARY ", \"failure-details\": null}]}");

    assert_string_equal(r->organization, "a?b?[1m?c\xc3\xbc");
    assert_string_equal(r->contact, "");
    assert_int_equal(r->policies[0].mx.len, 1);
    assert_string_equal(r->policies[0].mx.items[0], "mx");
    assert_int_equal(r->policies[0].policy.len, 0);
    assert_int_equal(r->policies[0].failures_len, 0);
    tlsrpt_report_free(r);
}

static void bad(const char *text, int err, const char *part)
{
    struct tlsrpt_report *report;
    char why[256] = "";

    assert_int_equal(tlsrpt_report_parse(span_str(text), &report, why, sizeof(why)), err);
    assert_null(report);
    if (!strstr(why, part))
        fail_msg("\"%s\" has no \"%s\"", why, part);
}

static void test_refused(void **state)
{
    bad("", ERR_SYNTAX, "line 1");
    bad("{\"a\":}", ERR_SYNTAX, "no JSON");
    bad("[]", ERR_SYNTAX, "must be an object, is a list");
    bad("{}", ERR_SYNTAX, "report-id: must be a text, is missing");
    bad("{\"report-id\": 1}", ERR_SYNTAX, "report-id: must be a text, is an integer");
    bad("{\"report-id\": \"1\"}", ERR_SYNTAX, "date-range: must be an object, is missing");
    bad("{\"report-id\": \"1\", \"date-range\": {\"start-datetime\": \"yesterday\"}}", ERR_SYNTAX,
        "date-range.start-datetime: must be a time like 2016-04-01T00:00:00Z, is \"yesterday\"");
    bad("{" RANGE "}", ERR_SYNTAX, "policies: must be a list, is missing");
    bad("{" RANGE ", \"policies\": [1]}", ERR_SYNTAX, "policies[0].policy: must be an object");
    bad("{" RANGE ", \"policies\": [{" POLICY "}]}", ERR_SYNTAX,
        "policies[0].summary: must be an object, is missing");
    bad("{" RANGE ", \"policies\": [{" POLICY ", \"summary\": "
        "{\"total-successful-session-count\": -1}}]}",
        ERR_SYNTAX, "policies[0].summary.total-successful-session-count: must be a number of");
    bad("{" RANGE ", \"policies\": [{" POLICY ", \"summary\": "
        "{\"total-successful-session-count\": 1.5}}]}",
        ERR_SYNTAX, "is a fraction");
    bad("{" RANGE ", \"policies\": [{" POLICY ", " SUMMARY ", \"failure-details\": [{}]}]}",
        ERR_SYNTAX, "policies[0].failure-details[0].result-type: must be a text, is missing");
    bad("{" RANGE ", \"policies\": [{" POLICY ", " SUMMARY ", \"failure-details\": [7]}]}",
        ERR_SYNTAX, "policies[0].failure-details[0]: must be an object, is an integer");
    bad("{\"report-id\": \"1\", \"report-id\": \"2\"}", ERR_SYNTAX, "duplicate");
}

static void test_bounds(void **state)
{
    static char text[TLSRPT_VALUES_MAX + 64];
    size_t len = 0;

    bad("{\"a\": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", ERR_FULL,
        "more than 16 values within values");
    /* In a text they are none. */
    bad("{\"a\": \"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"}", ERR_SYNTAX, "report-id");
    len += (size_t)snprintf(text, sizeof(text), "{\"a\": [1");
    memset(text + len, ',', TLSRPT_VALUES_MAX);
    bad(text, ERR_FULL, "values");
}

static void test_results(void **state)
{
    assert_int_equal(tlsrpt_result_find("sts-webpki-invalid"), TLSRPT_STS_WEBPKI_INVALID);
    assert_int_equal(tlsrpt_result_find("something-else"), TLSRPT_RESULTS);
    for (int i = 0; i < TLSRPT_RESULTS; i++)
        assert_int_equal(tlsrpt_result_find(tlsrpt_result_text((enum tlsrpt_result)i)), i);
}

static void test_moments(void **state)
{
    static const char *const moments[] = {
        "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2000-02-29T12:00:01Z",
        "2026-11-22T08:00:00Z", "2100-03-01T00:00:00Z", "9999-12-31T23:59:59Z",
    };
    char text[MOMENT_TEXT];
    int64_t at;

    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        assert_true(moment_read(moments[i], &at));
        assert_string_equal(moment_text(at, text), moments[i]);
    }
    /* A certificate may end before the first of them. */
    static const int64_t early[] = {-1, -631152000 /* 1950-01-01 */, INT64_MIN};
    for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
        assert_string_equal(moment_text(early[i], text), "1970-01-01T00:00:00Z");
    assert_string_equal(moment_text(at + 1, text), "9999-12-31T23:59:59Z");
    assert_string_equal(moment_text(INT64_MAX, text), "9999-12-31T23:59:59Z");
    assert_false(moment_read("2026-02-29T00:00:00Z", &at));
    assert_false(moment_read("2026-02-28T00:00:00", &at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appendix_b), cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_results),    cmocka_unit_test(test_moments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
