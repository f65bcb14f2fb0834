/* SPDX-License-Identifier: Apache-2.0 */
/* Records at _smtp._tls (RFC 8460 section 3): a table, a row a record. */
#include "tlsrpt_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *text;
    int err;
    const char *uris; /* a blank between them */
} rows[] = {
    /* The RFC's own. */
    {"v=TLSRPTv1;rua=mailto:reports@example.com", ERR_OK, "reports@example.com"},
    {"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", ERR_OK,
     "https://reporting.example.com/v1/tlsrpt"},
    {"v=TLSRPTv1; rua=https://a.example/x,mailto:b@c.example", ERR_OK,
     "https://a.example/x b@c.example"},
    {"v=TLSRPTv1;rua=MAILTO:a@b.example , HTTPS://c.example ;", ERR_OK,
     "a@b.example HTTPS://c.example"},
    {"v=TLSRPTv1 ; x-1.y_z=abc; rua=mailto:a@b.example;later=%21", ERR_OK, "a@b.example"},
    {"v=TLSRPTv1;rua=mailto:a%2cb@c.example", ERR_SYNTAX, ""}, /* a comma needs quotes */
    {"v=TLSRPTv1;rua=mailto:a%2Bb@c.example?subject=hello", ERR_OK, "a+b@c.example"},
    {"v=TLSRPTv1;rua=ftp://x.example,mailto:a@b.example", ERR_OK, "a@b.example"},
    /* Not ours. */
    {"", ERR_NOTFOUND, ""},
    {"v=spf1 -all", ERR_NOTFOUND, ""},
    {"v=TLSRPTv1", ERR_NOTFOUND, ""},
    {"v=TLSRPTv2; rua=mailto:a@b.example", ERR_NOTFOUND, ""},
    {"V=TLSRPTv1; rua=mailto:a@b.example", ERR_NOTFOUND, ""},
    {" v=TLSRPTv1; rua=mailto:a@b.example", ERR_NOTFOUND, ""},
    /* Malformed, or nowhere to send to. */
    {"v=TLSRPTv1;", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; =x; rua=mailto:a@b.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1;; rua=mailto:a@b.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=http://a.example/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a@b", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:@b.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a..b@c.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a.@c.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:\"a b\"@c.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a%0d%0aRCPT@c.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a%3e@c.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a%4@c.example", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=mailto:a@[192.0.2.1]", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://user@a.example/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://a.example:0/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://a.example:65536/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://127.0.0.1/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://127.0x1/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://127.0.0.x1/", ERR_OK, "https://127.0.0.x1/"},
    {"v=TLSRPTv1; rua=mailto:a@192.0.2.1", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://[::1]/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://localhost/", ERR_SYNTAX, ""},
    {"v=TLSRPTv1; rua=https://a.example/#x", ERR_SYNTAX, ""},
};

static void test_rows(void **state)
{
    struct tlsrpt_record record;
    char uris[1024];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = tlsrpt_record_parse(span_str(rows[i].text), &record);
        size_t len = 0;
        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].text, err_text(err));
        uris[0] = '\0';
        for (unsigned u = 0; u < record.len; u++)
            len += (size_t)snprintf(uris + len, sizeof(uris) - len, "%s%s", u > 0 ? " " : "",
                                    record.uris[u].text);
        assert_string_equal(uris, rows[i].uris);
    }
}

static void test_urls(void **state)
{
    struct tlsrpt_record record;

    assert_int_equal(
        tlsrpt_record_parse(SPAN_LIT("v=TLSRPTv1; rua=https://A.Example:8443?x"), &record), ERR_OK);
    assert_string_equal(record.uris[0].host, "a.example");
    assert_int_equal(record.uris[0].port, 8443);
    assert_int_equal(record.uris[0].kind, TLSRPT_HTTPS);
    assert_int_equal(tlsrpt_record_parse(SPAN_LIT("v=TLSRPTv1; rua=https://a.example:/x"), &record),
                     ERR_OK);
    assert_int_equal(record.uris[0].port, 443);
}

static void test_bounds(void **state)
{
    char text[2048] = "v=TLSRPTv1; rua=mailto:a1@b.example";
    struct tlsrpt_record record;

    for (int i = 2; i < 10; i++)
        snprintf(text + strlen(text), 32, ",mailto:a%d@b.example", i);
    assert_int_equal(tlsrpt_record_parse(span_str(text), &record), ERR_OK);
    assert_int_equal(record.len, TLSRPT_URIS_MAX);
    assert_string_equal(record.uris[TLSRPT_URIS_MAX - 1].text, "a4@b.example");
    snprintf(text, sizeof(text), "v=TLSRPTv1; rua=https://a.example/%01000d", 7);
    assert_int_equal(tlsrpt_record_parse(span_str(text), &record), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
