/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int parse(const char *text, struct smtp_reply *ret, size_t *used)
{
    return smtp_reply_parse((const uint8_t *)text, strlen(text), ret, used);
}

static void expect(const char *text, unsigned code, const char *said, const char *enhanced)
{
    struct smtp_reply r;
    size_t used;
    char e[32];

    assert_int_equal(parse(text, &r, &used), ERR_OK);
    assert_int_equal(used, strlen(text));
    assert_int_equal(r.code, code);
    assert_int_equal(r.len, strlen(said));
    assert_memory_equal(r.text, said, r.len);
    snprintf(e, sizeof(e), "%u.%u.%u", r.enhanced.class, r.enhanced.subject, r.enhanced.detail);
    assert_string_equal(e, enhanced);
    /* Whatever is missing at the end: not yet a reply, and never a wrong one. */
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(smtp_reply_parse((const uint8_t *)text, len, &r, &used), ERR_AGAIN);
}

static void test_replies(void **state)
{
    expect("220 mx.example.org ESMTP\r\n", 220, "mx.example.org ESMTP", "0.0.0");
    expect("250\r\n", 250, "", "0.0.0");
    expect("250 \r\n", 250, "", "0.0.0");
    expect("250 2.1.5 Ok\r\n", 250, "Ok", "2.1.5");
    expect("550 5.7.1\r\n", 550, "", "5.7.1");
    expect("550-5.1.1 No such\r\n550 5.1.1 user\r\n", 550, "No such\nuser", "5.1.1");
    expect("250-a\r\n250-b\r\n250 c\r\n", 250, "a\nb\nc", "0.0.0");
    expect("354 go\r\n", 354, "go", "0.0.0");
}

static void test_enhanced_of_another_class_is_text(void **state)
{
    expect("550 4.7.1 later\r\n", 550, "4.7.1 later", "0.0.0");
    expect("550 5.1 x\r\n", 550, "5.1 x", "0.0.0");
    expect("550 5.1.1x y\r\n", 550, "5.1.1x y", "0.0.0");
    expect("550 5.1234.1 y\r\n", 550, "5.1234.1 y", "0.0.0");
}

static void test_odd_bytes_are_replaced(void **state)
{
    expect("550 a\x01\xc3\xa9 b\t\r\n", 550, "a??? b?", "0.0.0");
}

static void test_not_replies(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "100 x\r\n",
        "600 x\r\n",
        "25\r\n",
        "2500 x\r\n",
        "250_x\r\n",
        "250 x\n",
        "250-a\r\n251 b\r\n",
        "250 a\rb\r\n",
        "250-a\r\n\r\n",
        "250\n",
        "\r\n",
        " 250 x\r\n",
        "250 a\r\r\n",
        "SSH-2.0-x\r\n",
        "-",
    };
    struct smtp_reply r;
    size_t used;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(bad[i], &r, &used), ERR_SYNTAX);
}

static void test_bounds(void **state)
{
    struct smtp_reply r;
    size_t used;
    static char text[200 * 10 + 64 * 1024];

    /* A line without an end. */
    memset(text, 'x', sizeof(text));
    memcpy(text, "250 ", 4);
    assert_int_equal(smtp_reply_parse((uint8_t *)text, SMTP_REPLY_LINE - 1, &r, &used), ERR_AGAIN);
    assert_int_equal(smtp_reply_parse((uint8_t *)text, SMTP_REPLY_LINE, &r, &used), ERR_SYNTAX);
    /* Lines without an end. */
    for (unsigned i = 0; i < 200; i++)
        memcpy(text + i * 7, "250-x\r\n", 7);
    assert_int_equal(smtp_reply_parse((uint8_t *)text, 7 * 128, &r, &used), ERR_AGAIN);
    assert_int_equal(smtp_reply_parse((uint8_t *)text, 7 * 129, &r, &used), ERR_SYNTAX);
    /* Long lines, fewer than are allowed: the whole has a bound, too. */
    for (unsigned i = 0; i < 20; i++) {
        memset(text + i * 2000, 'x', 2000);
        memcpy(text + i * 2000, "250-", 4);
        memcpy(text + i * 2000 + 1998, "\r\n", 2);
    }
    assert_int_equal(smtp_reply_parse((uint8_t *)text, 40000, &r, &used), ERR_SYNTAX);
    /* Text is cut at its room. */
    assert_int_equal(smtp_reply_parse((uint8_t *)text, 2000, &r, &used), ERR_AGAIN);
    text[3] = ' ';
    assert_int_equal(smtp_reply_parse((uint8_t *)text, 2000, &r, &used), ERR_OK);
    assert_int_equal(r.len, SMTP_REPLY_TEXT);
}

static void test_only_the_first_reply_is_used(void **state)
{
    struct smtp_reply r;
    size_t used;

    assert_int_equal(parse("250 a\r\n550 b\r\n", &r, &used), ERR_OK);
    assert_int_equal(used, 7);
    assert_int_equal(r.code, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_enhanced_of_another_class_is_text),
        cmocka_unit_test(test_odd_bytes_are_replaced),
        cmocka_unit_test(test_not_replies),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_only_the_first_reply_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
