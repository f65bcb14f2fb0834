/* SPDX-License-Identifier: Apache-2.0 */
/* A line that is typed: do only printable bytes get into it, and back to the terminal? */
#include "../cmocka_all.h"

#include "console_line.h"

#include <stdlib.h>
#include <string.h>

/* What is echoed of all bytes. The line is judged at its end. */
static enum console_typed type(struct console_line *l, const char *bytes, bool secret, char *echoed)
{
    enum console_typed typed = CONSOLE_TYPED_MORE;
    char echo[CONSOLE_ECHO];

    echoed[0] = '\0';
    for (; *bytes && typed == CONSOLE_TYPED_MORE; bytes++) {
        typed = console_line_feed(l, (uint8_t)*bytes, secret, echo);
        strncat(echoed, echo, CONSOLE_ECHO);
    }
    return typed;
}

static const struct {
    const char *bytes, *line, *echo;
    enum console_typed typed;
} cases[] = {
    {"1\r", "1", "1\r\n", CONSOLE_TYPED_LINE},
    {"yes\n", "yes", "yes\r\n", CONSOLE_TYPED_LINE},
    {"a b", "a b", "a b", CONSOLE_TYPED_MORE},
    {"ab\x7f"
     "c\r",
     "ac", "ab\b \bc\r\n", CONSOLE_TYPED_LINE},
    {"\b\b\x7f"
     "a\r",
     "a", "a\r\n", CONSOLE_TYPED_LINE},
    {"a\x03", "a", "a\r\n", CONSOLE_TYPED_CANCEL},
    {"a\x04", "a", "a\r\n", CONSOLE_TYPED_CANCEL},
    {"\x1b[A\x1b[31;1mred\r", "red", "red\r\n", CONSOLE_TYPED_LINE},
    {"\x1bOPx\r", "x", "x\r\n", CONSOLE_TYPED_LINE},
    {"\x1bxy\r", "y", "y\r\n", CONSOLE_TYPED_LINE},
    {"\x1b\r", "", "\r\n", CONSOLE_TYPED_LINE},
    {"\x1b[\r", "", "\r\n", CONSOLE_TYPED_LINE},
    {"\x1b[1\x03", "", "\r\n", CONSOLE_TYPED_CANCEL},
    {"\x1b\x1b[Ax\r", "x", "x\r\n", CONSOLE_TYPED_LINE},
    {"a\x01\x07\x0e\x9b\xff\xc3\xa9z\r", "az", "az\r\n", CONSOLE_TYPED_LINE},
    {"a\tb\r", "ab", "ab\r\n", CONSOLE_TYPED_LINE},
    {"\x1b[01234567890123456789012345678901234x\r", "1234x", "1234x\r\n", CONSOLE_TYPED_LINE},
};

static void only_printable_bytes_count(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct console_line l = {.len = 0};
        char echoed[256];

        assert_int_equal(type(&l, cases[i].bytes, false, echoed), cases[i].typed);
        assert_string_equal(l.text, cases[i].line);
        assert_string_equal(echoed, cases[i].echo);
        for (const char *p = echoed; *p; p++)
            assert_true((*p >= ' ' && *p <= '~') || *p == '\r' || *p == '\n' || *p == '\b');
        assert_int_equal(strlen(l.text), l.len);
    }
}

static void one_key_is_one_line(void **state)
{
    struct console_line l = {.len = 0};
    char echoed[64];

    assert_int_equal(type(&l, "a\r", false, echoed), CONSOLE_TYPED_LINE);
    console_line_clear(&l);
    assert_int_equal(l.len, 0);
    assert_int_equal(type(&l, "\nb\n", false, echoed), CONSOLE_TYPED_LINE);
    assert_string_equal(l.text, "b");
    console_line_clear(&l);
    assert_int_equal(type(&l, "\n", false, echoed), CONSOLE_TYPED_LINE);
}

static void a_secret_is_not_shown(void **state)
{
    struct console_line l = {.len = 0};
    char echoed[64];

    assert_int_equal(type(&l,
                          "secre\x7f"
                          "t\r",
                          true, echoed),
                     CONSOLE_TYPED_LINE);
    assert_string_equal(l.text, "secrt");
    assert_string_equal(echoed, "\r\n");
    console_line_clear(&l);
    for (size_t i = 0; i < sizeof(l.text); i++)
        assert_int_equal(l.text[i], 0);
}

static void a_line_has_a_bound(void **state)
{
    struct console_line l = {.len = 0};
    char echo[CONSOLE_ECHO];

    for (int i = 0; i < 3 * CONSOLE_LINE_MAX; i++) {
        assert_int_equal(console_line_feed(&l, 'x', false, echo), CONSOLE_TYPED_MORE);
        assert_string_equal(echo, i < CONSOLE_LINE_MAX - 1 ? "x" : "");
    }
    assert_int_equal(strlen(l.text), CONSOLE_LINE_MAX - 1);
    assert_int_equal(console_line_feed(&l, '\r', false, echo), CONSOLE_TYPED_LINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_printable_bytes_count),
        cmocka_unit_test(one_key_is_one_line),
        cmocka_unit_test(a_secret_is_not_shown),
        cmocka_unit_test(a_line_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
