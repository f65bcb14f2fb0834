/* SPDX-License-Identifier: Apache-2.0 */
/* The mail that carries a report: what RFC 8460 section 5.3 asks of it is there, and we read it
 * ourselves. */
#include "tlsrpt_message.h"

#include "gzip.h"
#include "tlsrpt_mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void mail_make(struct buf *header, struct buf *body)
{
    struct tlsrpt_mail mail = {.from = "tlsrpt@mail.sndr.example.com",
                               .to = "reports@example.net",
                               .domain = "example.net",
                               .submitter = "mail.sndr.example.com",
                               .report_id = "2016-08-03.example.net@mail.sndr.example.com",
                               .start = 1470013207,
                               .end = 1470186007,
                               .now = 1470200000};
    struct buf gzip;

    buf_init(&gzip, 0);
    assert_int_equal(gzip_deflate(SPAN_LIT("{\"report-id\": \"1\"}"), &gzip), ERR_OK);
    mail.gzip = buf_span(&gzip);
    assert_int_equal(tlsrpt_mail_write(&mail, header, body), ERR_OK);
    buf_release(&gzip);
}

static bool has(const struct buf *b, const char *text)
{
    return memmem(buf_span(b).ptr, buf_len(b), text, strlen(text)) != NULL;
}

static void test_mail(void **state)
{
    struct buf header, body;

    buf_init(&header, 0);
    buf_init(&body, 0);
    mail_make(&header, &body);
    assert_true(has(&header, "From: <tlsrpt@mail.sndr.example.com>\r\n"));
    assert_true(has(&header, "To: <reports@example.net>\r\n"));
    assert_true(has(&header, "Date: Wed, 3 Aug 2016 04:53:20 +0000\r\n"));
    assert_true(has(&header, "TLS-Report-Domain: example.net\r\n"
                             "TLS-Report-Submitter: mail.sndr.example.com\r\n"));
    assert_true(has(&header, "Subject: Report Domain: example.net\r\n"
                             " Submitter: mail.sndr.example.com\r\n"
                             " Report-ID: <2016-08-03.example.net@mail.sndr.example.com>\r\n"));
    assert_true(has(&header, "multipart/report; report-type=\"tlsrpt\";\r\n"));
    assert_true(has(&body, "\r\nThis is an aggregate TLS report from mail.sndr.example.com\r\n"));
    /* The RFC's own example of a name, without its unique part. */
    assert_true(
        has(&body, "filename=\"mail.sndr.example.com!example.net!1470013207!1470186007.json.gz\""));
    for (size_t i = 0; i < buf_len(&body); i++)
        assert_true(buf_span(&body).ptr[i] != '\n' ||
                    (i > 0 && buf_span(&body).ptr[i - 1] == '\r'));
    buf_release(&header);
    buf_release(&body);
}

static void test_we_read_it(void **state)
{
    struct buf mail, body, json;
    char why[256];

    buf_init(&mail, 0);
    buf_init(&body, 0);
    buf_init(&json, TLSRPT_JSON_MAX);
    mail_make(&mail, &body);
    assert_int_equal(buf_append(&mail, "\r\n", 2), ERR_OK);
    assert_int_equal(buf_append_span(&mail, buf_span(&body)), ERR_OK);
    if (tlsrpt_unpack(buf_span(&mail), &json, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    assert_true(span_equal(buf_span(&json), SPAN_LIT("{\"report-id\": \"1\"}")));
    buf_release(&mail);
    buf_release(&body);
    buf_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_we_read_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
