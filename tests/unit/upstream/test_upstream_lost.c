/* SPDX-License-Identifier: Apache-2.0 */
/* A transaction's answers, and DESIGN's failure table: the next hop, or the sender, vanishes at
 * each point. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HELLO "EHLO gw.test\n"
#define MAIL "MAIL FROM:<s@client.test>\n"
#define RCPT(x) "RCPT TO:<" x "@example.org>\n"

static struct world w;

static struct sender *begin(unsigned rcpts)
{
    world_start(&w);
    return sender_open(&w, 0, 0, rcpts);
}

/* --- lost at each point --- */

static void test_next_hop_vanishes_before_an_answer(void **state)
{
    static const char *const verbs[] = {"CONNECT", "EHLO", "MAIL", "RCPT"};

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        /* One host: 451. Two: the other takes it. */
        world_init(&w, 1);
        w.mtas[0].cut_at = verbs[i];
        struct sender *s = begin(1);
        world_run(&w, 1000);
        assert_int_equal(s->last.code, 451);
        assert_int_equal(s->last.enhanced.subject, 4);
        world_end(&w);

        world_init(&w, 2);
        w.mtas[0].cut_at = verbs[i];
        s = begin(1);
        world_run(&w, 1000);
        sender_expect(s, "rcpt 250 2.1.5\n");
        assert_int_equal(w.mtas[0].connections, 1);
        world_end(&w);
    }
}

static void test_no_failover_after_an_answer(void **state)
{
    world_init(&w, 2);
    w.mtas[0].ehlo = "250 mx\r\n"; /* no PIPELINING: one by one */
    struct sender *s = begin(2);
    w.mtas[0].close_after = "RCPT";
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\nlost 451 4.4.2\n");
    assert_int_equal(w.mtas[1].connections, 0);
    world_end(&w);
}

static void test_421_among_recipients(void **state)
{
    world_init(&w, 2);
    w.mtas[0].rcpt[1] = "421 4.3.2 enough\r\n";
    struct sender *s = begin(3);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\nrcpt 451 4.3.2\nlost 451 4.4.2\n");
    assert_int_equal(w.mtas[1].connections, 0);
    world_end(&w);

    world_init(&w, 2);
    w.mtas[0].rcpt[0] = "421 4.3.2 enough\r\n";
    s = begin(1);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    assert_int_equal(w.mtas[1].connections, 1);
    world_end(&w);
}

static void body(struct sender *s)
{
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\ndata 354 0.0.0\n");
    assert_int_equal(hop_send(s->hop, SPAN_LIT("Subject: x\r\n\r\nhello\r\n")), ERR_OK);
}

static void test_lost_at_data_body_and_dot(void **state)
{
    world_init(&w, 2);
    w.mtas[0].cut_at = "DATA";
    struct sender *s = begin(1);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.2\n");
    world_end(&w);

    world_init(&w, 2);
    w.mtas[0].cut_at = "BODY";
    s = begin(1);
    body(s);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.2\n");
    world_end(&w);

    /* The whole message had gone: a duplicate is possible, a loss is not. */
    world_init(&w, 2);
    w.mtas[0].cut_at = "DOT";
    s = begin(1);
    body(s);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.2 indeterminate\n");
    assert_int_equal(w.mtas[1].connections, 0);
    world_end(&w);
}

static void test_final_reply_takes_too_long(void **state)
{
    world_init(&w, 1);
    w.mtas[0].final = "250-wait\r\n";
    struct sender *s = begin(1);
    body(s);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    world_run(&w, 299000);
    sender_expect(s, "");
    world_run(&w, 2000);
    sender_expect(s, "lost 451 4.4.2 indeterminate\n");
    world_end(&w);
}

static void test_answer_takes_too_long(void **state)
{
    world_init(&w, 1);
    w.mtas[0].rcpt[1] = "250-wait\r\n";
    struct sender *s = begin(2);
    world_run(&w, 59000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    world_run(&w, 2000);
    sender_expect(s, "lost 451 4.4.2\n");
    world_end(&w);
}

static void test_early_final(void **state)
{
    world_init(&w, 1);
    w.mtas[0].early = "552 5.3.4 too big\r\n";
    struct sender *s = begin(1);
    body(s);
    world_run(&w, 1000);
    sender_expect(s, "final 552 5.3.4 early\n");
    sender_close(s);
    world_run(&w, 1000);
    assert_true(w.conns[0].reset);
    world_end(&w);

    /* A success in mid-body is none. */
    world_init(&w, 1);
    w.mtas[0].early = "250 2.0.0 fine\r\n";
    s = begin(1);
    body(s);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.2\n");
    world_end(&w);
}

/* --- the sender leaves --- */

static void test_sender_leaves_before_data(void **state)
{
    world_init(&w, 1);
    struct sender *s = begin(2);
    world_run(&w, 1000);
    sender_close(s);
    world_run(&w, 1000);
    mta_expect(&w.mtas[0], HELLO MAIL RCPT("a") RCPT("b") "RSET\n");
    sender_message(&w, 1, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);

    world_init(&w, 1);
    w.mtas[0].rset = "502 5.5.1 what\r\n";
    s = begin(1);
    world_run(&w, 1000);
    sender_close(s);
    world_run(&w, 1000);
    assert_int_equal(w.mtas[0].open, 0);
    world_end(&w);
}

static void test_sender_leaves_in_the_body(void **state)
{
    world_init(&w, 1);
    struct sender *s = begin(1);
    body(s);
    world_run(&w, 100);
    sender_close(s);
    world_run(&w, 1000);
    mta_expect(&w.mtas[0], HELLO MAIL RCPT("a") "DATA\n(cut in the body)\n");
    assert_true(w.conns[0].reset);
    assert_int_equal(buf_len(&w.mtas[0].bodies), 0);
    world_end(&w);
}

static void test_sender_leaves_while_data_is_unanswered(void **state)
{
    world_init(&w, 1);
    w.mtas[0].data = "354-wait\r\n";
    struct sender *s = begin(1);
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    sender_close(s);
    world_run(&w, 1000);
    assert_int_equal(w.mtas[0].open, 0);
    world_end(&w);
}

static void test_sender_leaves_after_the_dot(void **state)
{
    world_init(&w, 1);
    struct sender *s = begin(1);
    body(s);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    sender_close(s);
    world_run(&w, 1000);
    assert_int_equal(buf_len(&w.mtas[0].bodies), 21);
    sender_message(&w, 1, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);
}

static void test_closed_from_inside_an_event(void **state)
{
    world_init(&w, 1);
    struct sender *s = begin(1);
    s->close_on_final = true;
    body(s);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "final 250 2.6.0\n");
    assert_null(s->hop);
    sender_message(&w, 1, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);

    world_init(&w, 1);
    w.mtas[0].cut_at = "EHLO";
    s = begin(1);
    s->close_on_final = true;
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.2\n");
    assert_null(s->hop);
    world_end(&w);
}

/* --- answers --- */

static void test_mail_refusal_goes_to_each_recipient(void **state)
{
    world_init(&w, 1);
    w.mtas[0].mail = "451 4.7.1 sender looks odd\r\n";
    w.mtas[0].rcpt[0] = w.mtas[0].rcpt[1] = "503 5.5.1 MAIL first\r\n";
    struct sender *s = begin(2);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 451 4.7.1\nrcpt 451 4.7.1\n");
    sender_close(s);
    w.mtas[0].mail = NULL;
    w.mtas[0].rcpt[0] = w.mtas[0].rcpt[1] = NULL;
    world_run(&w, 1000);
    sender_message(&w, 1, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_ALARMS), 0);
    world_end(&w);
}

static void test_protocol_error_is_no_bounce(void **state)
{
    world_init(&w, 1);
    w.mtas[0].rcpt[0] = "530 5.7.0 STARTTLS first\r\n";
    w.mtas[0].rcpt[1] = "550 5.1.1 unknown\r\n";
    struct sender *s = begin(2);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 451 4.3.5\nrcpt 550 5.1.1\n");
    assert_int_equal(counter_sum(w.shared, COUNTER_ALARMS), 1);
    world_end(&w);
}

static void test_all_refused_but_data_pipelined(void **state)
{
    world_init(&w, 1);
    w.mtas[0].rcpt[0] = "550 5.1.1 unknown\r\n";
    struct sender *s = begin(1);
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 550 5.1.1\ndata 554 5.5.1\n");
    mta_expect(&w.mtas[0], HELLO MAIL RCPT("a") "DATA\n.\n");
    sender_close(s);
    world_run(&w, 100);
    w.mtas[0].rcpt[0] = NULL;
    sender_message(&w, 1, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);
}

static void test_what_the_next_hop_lacks(void **state)
{
    world_init(&w, 1);
    w.senders[0].txn.mail = (struct smtp_mail){.body = SMTP_BODY_8BITMIME, .has_body = true};
    struct sender *s = begin(2);
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 554 5.6.3\nrcpt 554 5.6.3\ndata 554 5.5.1\n");
    mta_expect(&w.mtas[0], HELLO);
    w.senders[0].txn.mail = (struct smtp_mail){0};
    world_end(&w);
    w.senders[0].txn.mail = (struct smtp_mail){0};

    /* One recipient of three: the answers keep their order. */
    world_init(&w, 1);
    w.senders[0].recipients[1].rcpt.notify = SMTP_NOTIFY_SUCCESS;
    s = begin(3);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\nrcpt 550 5.3.3\nrcpt 250 2.1.5\n");
    mta_expect(&w.mtas[0], HELLO MAIL RCPT("a") RCPT("c"));
    world_end(&w);

    world_init(&w, 1);
    w.mtas[0].ehlo = "250-mx\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2\r\n";
    s = begin(3);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\nrcpt 250 2.1.5\nrcpt 452 4.5.3\n");
    world_end(&w);
}

static void test_chunks(void **state)
{
    world_init(&w, 1);
    struct sender *s = begin(1);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    assert_true(hop_has_chunking(s->hop));
    assert_int_equal(hop_chunk(s->hop, 5, false), ERR_OK);
    assert_int_equal(hop_send(s->hop, SPAN_LIT("hello")), ERR_OK);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT("")), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "chunk 250 2.0.0\n");
    assert_int_equal(hop_chunk(s->hop, 3, true), ERR_OK);
    assert_int_equal(hop_send(s->hop, SPAN_LIT("bye")), ERR_OK);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT("")), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "final 250 2.6.0\n");
    assert_int_equal(buf_len(&w.mtas[0].bodies), 8);
    sender_close(s);
    buf_clear(&w.mtas[0].log);

    /* Between chunks: RSET. */
    s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    assert_int_equal(hop_chunk(s->hop, 5, false), ERR_OK);
    assert_int_equal(hop_send(s->hop, SPAN_LIT("hello")), ERR_OK);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT("")), ERR_OK);
    world_run(&w, 1000);
    sender_close(s);
    world_run(&w, 1000);
    mta_expect(&w.mtas[0], MAIL RCPT("a") "BDAT 5\nRSET\n");
    assert_int_equal(w.mtas[0].open, 1);

    /* In a chunk: cut, also where it was answered early. */
    s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    assert_int_equal(hop_chunk(s->hop, 9, true), ERR_OK);
    assert_int_equal(hop_send(s->hop, SPAN_LIT("hello")), ERR_OK);
    world_run(&w, 1000);
    sender_close(s);
    world_run(&w, 1000);
    mta_expect(&w.mtas[0], MAIL RCPT("a") "BDAT 9 LAST\n(cut in the body)\n");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_hop_vanishes_before_an_answer),
        cmocka_unit_test(test_no_failover_after_an_answer),
        cmocka_unit_test(test_421_among_recipients),
        cmocka_unit_test(test_lost_at_data_body_and_dot),
        cmocka_unit_test(test_final_reply_takes_too_long),
        cmocka_unit_test(test_answer_takes_too_long),
        cmocka_unit_test(test_early_final),
        cmocka_unit_test(test_sender_leaves_before_data),
        cmocka_unit_test(test_sender_leaves_in_the_body),
        cmocka_unit_test(test_sender_leaves_while_data_is_unanswered),
        cmocka_unit_test(test_sender_leaves_after_the_dot),
        cmocka_unit_test(test_closed_from_inside_an_event),
        cmocka_unit_test(test_mail_refusal_goes_to_each_recipient),
        cmocka_unit_test(test_protocol_error_is_no_bounce),
        cmocka_unit_test(test_all_refused_but_data_pipelined),
        cmocka_unit_test(test_what_the_next_hop_lacks),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
