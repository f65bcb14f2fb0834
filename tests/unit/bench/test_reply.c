/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "reply.h"

#include <string.h>

static int read_text(const char *text, struct reply *r)
{
    return reply_read(span_str(text), r);
}

static void replies_are_read_whole_only(void **state)
{
    static const char text[] = "250-gw.example.org\r\n250-SIZE 100\r\n250 CHUNKING\r\n";
    struct reply r;

    (void)state;
    for (size_t len = 0; len < sizeof(text) - 1; len++)
        assert_int_equal(reply_read(span_make(text, len), &r), ERR_AGAIN);
    assert_int_equal(read_text(text, &r), ERR_OK);
    assert_int_equal(r.code, 250);
    assert_int_equal(r.bytes.len, sizeof(text) - 1);
    assert_true(span_equal(r.text, SPAN_LIT("CHUNKING")));
}

static void the_next_reply_is_left(void **state)
{
    struct reply r;

    (void)state;
    assert_int_equal(read_text("250 ok\r\n354 go\r\n", &r), ERR_OK);
    assert_int_equal(r.bytes.len, 8);
    assert_int_equal(read_text("221\r\n", &r), ERR_OK);
    assert_int_equal(r.text.len, 0);
}

static void what_is_no_reply_is_refused(void **state)
{
    static const char *const wrong[] = {
        "\r\n",    "25 x\r\n",           "250x\r\n",         "150 x\r\n", "650 x\r\n",
        "250 x\n", "250-a\r\n251 b\r\n", "HTTP/1.1 400\r\n", "2x0 a\r\n"};
    struct reply r;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(read_text(wrong[i], &r), ERR_SYNTAX);
}

static void length_is_bounded(void **state)
{
    static char text[REPLY_MAX + 2000];
    struct reply r;
    size_t len = 0;

    (void)state;
    memset(text, '2', sizeof(text));
    assert_int_equal(reply_read(span_make(text, REPLY_MAX + 1), &r), ERR_RANGE);
    for (unsigned i = 0; i < REPLY_LINES_MAX + 1; i++)
        len = (size_t)(stpcpy(text + len, "250-x\r\n") - text);
    assert_int_equal(reply_read(span_make(text, len), &r), ERR_RANGE);
}

static void keywords_are_whole_words(void **state)
{
    struct reply r;

    (void)state;
    assert_int_equal(
        read_text("250-STARTTLS.example\r\n250-size 5\r\n250-CHUNKINGS\r\n250 PIPELINING\r\n", &r),
        ERR_OK);
    assert_true(reply_has_keyword(&r, SPAN_LIT("SIZE")));
    assert_true(reply_has_keyword(&r, SPAN_LIT("PIPELINING")));
    assert_false(reply_has_keyword(&r, SPAN_LIT("CHUNKING")));
    assert_int_equal(read_text("250-STARTTLS\r\n250 SIZE\r\n", &r), ERR_OK);
    assert_false(reply_has_keyword(&r, SPAN_LIT("STARTTLS"))); /* the first line is a name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_whole_only), cmocka_unit_test(the_next_reply_is_left),
        cmocka_unit_test(what_is_no_reply_is_refused), cmocka_unit_test(length_is_bounded),
        cmocka_unit_test(keywords_are_whole_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
