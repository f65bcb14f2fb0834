/* SPDX-License-Identifier: Apache-2.0 */
/* From what came to the report's JSON: bare, in gzip, in a mail as RFC 8460 section 5.3 shows it,
 * and what of all that is refused. */
#include "tlsrpt_mail.h"

#include "base64.h"
#include "gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define JSON "{\"report-id\": \"a=b\"}"

static int unpack(struct span file, char *out, size_t room, char why[256])
{
    struct buf json;
    int err;

    buf_init(&json, TLSRPT_JSON_MAX);
    err = tlsrpt_unpack(file, &json, why, 256);
    assert_int_equal(err == ERR_OK, why[0] == '\0');
    if (span_to_cstr(buf_span(&json), out, room) != ERR_OK)
        assert_true(err != ERR_OK || room < buf_len(&json));
    buf_release(&json);
    return err;
}

static void good(const char *file)
{
    char out[256], why[256];

    if (unpack(span_str(file), out, sizeof(out), why) != ERR_OK)
        fail_msg("%s: %s", file, why);
    assert_string_equal(out, JSON);
}

static void bad(const char *file, int err, const char *part)
{
    char out[256], why[256];

    assert_int_equal(unpack(span_str(file), out, sizeof(out), why), err);
    if (!strstr(why, part))
        fail_msg("\"%s\" has no \"%s\"", why, part);
}

static void test_bare(void **state)
{
    good(JSON);
    good("\xef\xbb\xbf\r\n " JSON);
    bad("", ERR_SYNTAX, "neither JSON, nor gzip of it, nor a mail");
    bad("<xml/>", ERR_SYNTAX, "neither JSON");
    bad("[1]", ERR_SYNTAX, "neither JSON");
}

static char *gzip_base64(const char *text, size_t drop)
{
    struct buf zip;
    char *out;

    buf_init(&zip, 0);
    assert_int_equal(gzip_deflate(span_str(text), &zip), ERR_OK);
    struct span s = span_make(buf_span(&zip).ptr, buf_len(&zip) - drop);
    out = malloc(base64_len(s.len) + 1);
    assert_non_null(out);
    base64_encode(s, out);
    buf_release(&zip);
    return out;
}

#define MAIL_HEAD                                                                                  \
    "From: tlsrpt@mail.sender.example.com\r\nTLS-Report-Domain: example.net\r\n"                   \
    "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n"             \
    "    boundary=\"----=_NextPart_000_024E_01CC9B0A.AFE54C00\"\r\nContent-Language: "             \
    "en-us\r\n\r\n"
#define MAIL_TEXT                                                                                  \
    "This is a multipart message in MIME format.\r\n\r\n"                                          \
    "------=_NextPart_000_024E_01CC9B0A.AFE54C00\r\n"                                              \
    "Content-Type: text/plain; charset=\"us-ascii\"\r\n\r\n"                                       \
    "This is an aggregate TLS report from mail.sender.example.com\r\n\r\n"                         \
    "------=_NextPart_000_024E_01CC9B0A.AFE54C00\r\n"
#define MAIL_END "\r\n------=_NextPart_000_024E_01CC9B0A.AFE54C00--\r\n"

static void mail_of(char *out, size_t room, const char *type, size_t drop)
{
    char *text = gzip_base64(JSON, drop);
    int half = (int)strlen(text) / 2;

    assert_true(snprintf(out, room,
                         MAIL_HEAD MAIL_TEXT "Content-Type: %s\r\nContent-Transfer-Encoding: "
                                             "base64\r\n\r\n%.*s\r\n%s" MAIL_END,
                         type, half, text, text + half) < (int)room);
    free(text);
}

static void test_mail(void **state)
{
    char mail[2048];

    mail_of(mail, sizeof(mail), "application/tlsrpt+gzip", 0);
    good(mail);
    mail_of(mail, sizeof(mail), "Application/GZIP; name=\"x;y.gz\"", 0);
    good(mail);
    mail_of(mail, sizeof(mail), "image/png", 0);
    bad(mail, ERR_NOTFOUND, "none of its parts is application/tlsrpt+gzip");
    mail_of(mail, sizeof(mail), "application/tlsrpt+gzip", 3);
    bad(mail, ERR_SYNTAX, "cut off");
    /* Not in a report, its type must say what it is. */
    good("A: b\nContent-Type: application/tlsrpt+json\n\n" JSON);
    bad("A: b\nContent-Type: application/json\n\n" JSON, ERR_NOTFOUND, "no report");
    bad("A: b\n\n" JSON, ERR_NOTFOUND, "no report");
    good("From a@b.example Mon\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n--x\n"
         "Content-Type: multipart/alternative; boundary=\"y\\z\"\n\n--yz\n"
         "Content-Type: application/tlsrpt+json\n\n" JSON "\n--yz--\n--x--");
}

static void test_encodings(void **state)
{
#define PART "A: b\nContent-Type: application/tlsrpt+json\nContent-Transfer-Encoding: "
    good(PART "8bit \n\n" JSON);
    good(PART "quoted-printable\n\n{\"report=\n-id\": \"a=3Db\"}");
    bad(PART "quoted-printable\n\n{\"report-id\": \"a=3\n\"}", ERR_SYNTAX, "quoted-printable");
    bad(PART "quoted-printable\n\n{=G0}", ERR_SYNTAX, "quoted-printable");
    good(PART "BASE64\n\neyJyZXBvcnQtaWQiOiAi\r\nYT1iIn0=\n");
    bad(PART "base64\n\neyJ*", ERR_SYNTAX, "base64");
    bad(PART "base64\n\neyJ", ERR_SYNTAX, "base64");
    bad(PART "x-uuencode\n\n{}", ERR_SYNTAX, "Content-Transfer-Encoding");
}

static void test_bounds(void **state)
{
    static char deep[8192];
    char *at = deep;
    struct buf zip, plain;

    at += snprintf(at, 64, "A: b\n");
    for (int i = 0; i < 12; i++)
        at += snprintf(at, 128, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
    bad(deep, ERR_FULL, "more parts");
    at = deep + snprintf(deep, 128, "A: b\nContent-Type: multipart/mixed; boundary=x\n\n");
    for (int i = 0; i < 400; i++)
        at += snprintf(at, 16, "--x\n\n");
    bad(deep, ERR_FULL, "more parts");
    bad("A: b\nContent-Type: multipart/mixed\n\n--\n", ERR_SYNTAX, "no boundary");

    buf_init(&plain, 0);
    buf_init(&zip, 0);
    uint8_t *room = buf_reserve(&plain, TLSRPT_JSON_MAX + 1);
    assert_non_null(room);
    memset(room, ' ', TLSRPT_JSON_MAX + 1);
    buf_commit(&plain, TLSRPT_JSON_MAX + 1);
    assert_int_equal(gzip_deflate(buf_span(&plain), &zip), ERR_OK);
    char out[8], why[256];
    assert_int_equal(unpack(buf_span(&zip), out, sizeof(out), why), ERR_FULL);
    assert_non_null(strstr(why, "more than 8 MiB"));
    buf_clear(&zip);
    assert_int_equal(gzip_deflate(span_make(buf_span(&plain).ptr, TLSRPT_JSON_MAX), &zip), ERR_OK);
    assert_int_equal(unpack(buf_span(&zip), out, sizeof(out), why), ERR_OK);
    buf_release(&plain);
    buf_release(&zip);
}

static void test_gzip(void **state)
{
    struct buf zip, out;

    buf_init(&zip, 0);
    buf_init(&out, 64);
    assert_int_equal(gzip_deflate(SPAN_LIT("one,"), &zip), ERR_OK);
    size_t first = buf_len(&zip);
    assert_int_equal(gzip_deflate(SPAN_LIT("two"), &zip), ERR_OK);
    assert_true(gzip_is(buf_span(&zip)));
    assert_int_equal(gzip_inflate(buf_span(&zip), &out), ERR_OK);
    assert_int_equal(buf_len(&out), 7);
    assert_memory_equal(buf_span(&out).ptr, "one,two", 7);
    for (size_t len = 0; len < first; len++) { /* each cut is one */
        buf_clear(&out);
        assert_int_equal(gzip_inflate(span_make(buf_span(&zip).ptr, len), &out), ERR_AGAIN);
    }
    buf_clear(&out);
    buf_span(&zip);
    zip.data[zip.start + 12] ^= 0x55;
    assert_int_equal(gzip_inflate(buf_span(&zip), &out), ERR_SYNTAX);
    buf_release(&zip);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare),      cmocka_unit_test(test_mail),
        cmocka_unit_test(test_encodings), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_gzip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
