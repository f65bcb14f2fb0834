/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "errcode.h"
#include "log.h"
#include "session_end.h"

static void assert_line(const struct log_line *l, const char *expected)
{
    assert_int_equal(l->len, strlen(expected));
    assert_memory_equal(l->text, expected, l->len);
}

static void peer_bytes_are_escaped(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_LEVEL_INFO, "id1", "message");
    log_peer(&l, "helo", SPAN_LIT("a\r\nid2 forged=\"\\\xc3\xa9\x7f"));
    assert_line(&l, "id1 message helo=\"a\\x0d\\x0aid2 forged=\\x22\\x5c\\xc3\\xa9\\x7f\"");
}

static void values_are_plain_or_quoted(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_LEVEL_INFO, "id", "e");
    log_str(&l, "a", "plain");
    log_str(&l, "b", "two words");
    log_str(&l, "c", "");
    log_u64(&l, "d", 18446744073709551615ull);
    log_fixed(&l, "e", 1234, 3);
    log_fixed(&l, "f", 5, 3);
    assert_line(&l, "id e a=plain b=\"two words\" c=\"\" d=18446744073709551615 e=1.234 f=0.005");
}

static void a_long_line_is_cut_not_overrun(void **state)
{
    static const uint8_t zeros[4096];
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_LEVEL_INFO, "id", "e");
    for (int i = 0; i < 20; i++)
        log_peer(&l, "k", span_make(zeros, sizeof(zeros)));
    assert_true(l.len < LOG_LINE_MAX);
}

static void tables_have_a_text_in_each_row(void **state)
{
    (void)state;
    for (int code = -ERR_ROW_COUNT; code <= 0; code++)
        assert_true(strlen(err_text(code)) > 0);
    assert_string_equal(err_text(-ERR_ROW_COUNT - 1), "unknown error");
    for (int end = 0; end < SESSION_END_COUNT; end++) {
        assert_true(strlen(session_end_word((enum session_end)end)) > 0);
        assert_true(strlen(session_end_text((enum session_end)end)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_bytes_are_escaped),
        cmocka_unit_test(values_are_plain_or_quoted),
        cmocka_unit_test(a_long_line_is_cut_not_overrun),
        cmocka_unit_test(tables_have_a_text_in_each_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
