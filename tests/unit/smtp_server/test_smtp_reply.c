/* SPDX-License-Identifier: Apache-2.0 */
/* Is each line of a reply well formed, with its enhanced code, whatever its text? */
#include "smtp_reply.h"

#include "cmocka_all.h"

static void check(const struct smtp_reply *reply, bool without, const char *wanted)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(smtp_reply_write(reply, without, &out), ERR_OK);
    assert_int_equal(buf_len(&out), strlen(wanted));
    assert_memory_equal(buf_span(&out).ptr, wanted, strlen(wanted));
    buf_release(&out);
}

static void test_one_line(void **state)
{
    struct smtp_reply reply;

    smtp_reply_make(&reply, 250, 1, 5, "Ok");
    check(&reply, false, "250 2.1.5 Ok\r\n");
    check(&reply, true, "250 Ok\r\n");
    smtp_reply_make(&reply, 354, 0, 0, "Go");
    check(&reply, false, "354 Go\r\n");
    smtp_reply_make(&reply, 550, 7, 1, "");
    check(&reply, false, "550 5.7.1 \r\n");
}

/* RFC 2034 section 4: on each continuation line, class matching, supplied where there is none. */
static void test_enhanced_supplied(void **state)
{
    struct smtp_reply reply = {.code = 451, .lines = 2, .len = 7, .text = "one\ntwo"};

    check(&reply, false, "451-4.0.0 one\r\n451 4.0.0 two\r\n");
    reply.enhanced = (struct smtp_enhanced){5, 1, 1};
    check(&reply, false, "451-4.0.0 one\r\n451 4.0.0 two\r\n");
    reply.enhanced = (struct smtp_enhanced){4, 2, 100};
    check(&reply, false, "451-4.2.100 one\r\n451 4.2.100 two\r\n");
    check(&reply, true, "451-one\r\n451 two\r\n");
}

/* A next hop's bytes can't become lines of ours. */
static void test_bytes(void **state)
{
    struct smtp_reply reply = {.code = 550, .len = 8, .text = "a\rb\0c\x80\td"};

    check(&reply, false, "550 5.0.0 a?b?c??d\r\n");
    reply = (struct smtp_reply){.code = 550, .len = 2, .text = "a\n"};
    check(&reply, false, "550-5.0.0 a\r\n550 5.0.0 \r\n");
}

/* RFC 5321 section 4.5.3.1.5: lines of at most 512 bytes. */
static void test_long_text(void **state)
{
    struct smtp_reply reply = {.code = 250, .len = SMTP_REPLY_TEXT};
    struct buf out;
    size_t line = 0, lines = 0;

    memset(reply.text, 'x', sizeof(reply.text));
    buf_init(&out, 0);
    assert_int_equal(smtp_reply_write(&reply, false, &out), ERR_OK);
    for (struct span s = buf_span(&out); s.len > 0; s = span_from(s, 1)) {
        line++;
        if (s.ptr[0] == '\n') {
            assert_true(line <= 512);
            line = 0;
            lines++;
        }
    }
    assert_int_equal(lines, 3);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_enhanced_supplied),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_long_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
