/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "dot_reader.h"
#include "message.h"

#include <stdlib.h>

static struct message_form form;

static void made(struct buf *out, uint64_t size, uint64_t number, bool stuffed)
{
    struct message_maker maker;

    message_form_init(&form, UINT64_C(0x1234abcd), size, "from@bench.invalid", "to@bench.invalid",
                      "Sat, 21 Nov 2026 18:00:00 +0000");
    message_maker_init(&maker, number);
    buf_init(out, 0);
    while (!message_made(&maker, &form))
        assert_int_equal(message_make(&maker, &form, stuffed, out), ERR_OK);
}

static enum message_verdict judged(struct span bytes, size_t step, struct message_check *check)
{
    message_check_init(check);
    for (size_t at = 0; at < bytes.len; at += step)
        message_check_feed(
            check, span_make(bytes.ptr + at, bytes.len - at < step ? bytes.len - at : step));
    return message_check_finish(check);
}

static void every_size_is_met_and_intact(void **state)
{
    struct message_check check;
    struct buf out;

    (void)state;
    for (uint64_t size = MESSAGE_SIZE_MIN; size<20000; size += size> 4200 && size < 9800 ? 1 : 97) {
        made(&out, size, size, false);
        assert_int_equal(buf_len(&out), size);
        assert_int_equal(judged(buf_span(&out), 4096, &check), MESSAGE_INTACT);
        assert_int_equal(check.number, size);
        assert_true(check.run == form.run);
        buf_release(&out);
    }
}

/* Only CRLF anywhere: a gateway that finds a bare CR or LF in it put it there. */
static void lines_end_with_crlf_only(void **state)
{
    struct buf out;

    (void)state;
    for (uint64_t size = 4300; size < 9800; size++) {
        made(&out, size, 1, false);
        struct span s = buf_span(&out);
        for (size_t i = 0; i < s.len; i++) {
            if (s.ptr[i] == '\r')
                assert_true(i + 1 < s.len && s.ptr[i + 1] == '\n');
            if (s.ptr[i] == '\n')
                assert_true(i > 0 && s.ptr[i - 1] == '\r');
        }
        assert_true(s.ptr[s.len - 1] == '\n');
        buf_release(&out);
    }
}

static void stuffing_is_undone(void **state)
{
    struct buf plain, stuffed;

    (void)state;
    made(&plain, 100000, 7, false);
    made(&stuffed, 100000, 7, true);
    assert_true(buf_len(&stuffed) > buf_len(&plain)); /* there are lines that start with a dot */
    assert_int_equal(buf_append(&stuffed, ".\r\n", 3), ERR_OK);
    struct dot_reader dot;
    struct span in = buf_span(&stuffed), piece;
    size_t at = 0;
    dot_reader_init(&dot);
    while (in.len > 0 && dot.state != DOT_END) {
        in = span_from(in, dot_reader_take(&dot, in, &piece));
        assert_true(at + piece.len <= buf_len(&plain));
        assert_memory_equal(buf_span(&plain).ptr + at, piece.ptr, piece.len);
        at += piece.len;
    }
    assert_int_equal(dot.state, DOT_END);
    assert_int_equal(at, buf_len(&plain));
    assert_int_equal(dot.bares, 0);
    buf_release(&plain);
    buf_release(&stuffed);
}

static void trace_fields_may_stand_before_it(void **state)
{
    static const char trace[] =
        "Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\n  for z; now\r\n"
        "received: again\r\n";
    struct message_check check;
    struct buf out, whole;

    (void)state;
    made(&out, 5000, 3, false);
    buf_init(&whole, 0);
    assert_int_equal(buf_append(&whole, trace, sizeof(trace) - 1), ERR_OK);
    assert_int_equal(buf_append_span(&whole, buf_span(&out)), ERR_OK);
    for (size_t step = 1; step < 200; step++) {
        assert_int_equal(judged(buf_span(&whole), step, &check), MESSAGE_INTACT);
        assert_int_equal(check.trace_lines, 3);
    }
    buf_release(&out);
    buf_release(&whole);
}

static void damage_is_named(void **state)
{
    struct message_check check;
    struct buf out;

    (void)state;
    made(&out, 6000, 3, false);
    struct span whole = buf_span(&out);
    /* A flipped bit anywhere behind the stamp's name is found. */
    for (size_t i = sizeof("X-Postern-Bench:") - 1; i < whole.len; i++) {
        out.data[i] ^= 1;
        assert_int_not_equal(judged(whole, 1000, &check), MESSAGE_INTACT);
        out.data[i] ^= 1;
    }
    assert_int_equal(judged(span_make(whole.ptr, whole.len - 1), 99, &check), MESSAGE_SHORT);
    assert_int_equal(judged(span_make(whole.ptr, 0), 99, &check), MESSAGE_FOREIGN);
    assert_int_equal(judged(SPAN_LIT("X-Other: 1\r\n"), 99, &check), MESSAGE_TRACE);
    assert_int_equal(judged(SPAN_LIT("\r\nbody\r\n"), 99, &check), MESSAGE_FOREIGN);
    assert_int_equal(judged(SPAN_LIT(" folded\r\n"), 99, &check), MESSAGE_TRACE);
    assert_int_equal(buf_append(&out, "\r\n", 2), ERR_OK);
    assert_int_equal(judged(buf_span(&out), 99, &check), MESSAGE_LONG);
    buf_release(&out);
}

/* A gateway that mixes up two sessions' buffers keeps each length and each line ending. */
static void blocks_of_another_message_are_found(void **state)
{
    struct message_check check;
    struct buf one, two;

    (void)state;
    made(&one, 20000, 1, false);
    made(&two, 20000, 2, false);
    memcpy(one.data + 9000, two.data + 9000, 4096);
    assert_int_equal(judged(buf_span(&one), 4096, &check), MESSAGE_DIGEST);
    assert_true(message_check_named(&check));
    buf_release(&one);
    buf_release(&two);
}

static void endless_trace_is_bounded(void **state)
{
    struct message_check check;

    (void)state;
    message_check_init(&check);
    message_check_feed(&check, SPAN_LIT("Received: "));
    for (unsigned i = 0; i < MESSAGE_TRACE_MAX; i++)
        message_check_feed(&check, SPAN_LIT("xx"));
    assert_int_equal(message_check_finish(&check), MESSAGE_TRACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_met_and_intact),
        cmocka_unit_test(lines_end_with_crlf_only),
        cmocka_unit_test(stuffing_is_undone),
        cmocka_unit_test(trace_fields_may_stand_before_it),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(blocks_of_another_message_are_found),
        cmocka_unit_test(endless_trace_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
