/* SPDX-License-Identifier: Apache-2.0 */
/* Does a message end with the next hop's own word, and is what was refused read to its end? */
#include "script.h"

#include "cmocka_all.h"

static struct script_setup setup;

static void run(const char *text)
{
    script_run(&setup, text);
}

static int fresh(void **state)
{
    script_setup(&setup);
    return 0;
}

/* DESIGN: DATA without an accepted recipient: 554 5.5.1. */
static void test_data_without_recipients(void **state)
{
    run(MAIL "C: DATA\nS: 554 5.5.1 ...\n" QUIT);
    run(MAIL "C: RCPT TO:<x@example.org>\n" OPEN "H: rcpt 550 5.1.1 No\nS: 550 5.1.1 No\n"
             "C: DATA\nS: 554 5.5.1 ...\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
    /* RFC 2920 section 3.1: it went out behind them, and the next hop even says 354: no dot. */
    run(MAIL "C: RCPT TO:<x@example.org>\nC: DATA\n" OPEN
             "A: DATA\nH: rcpt 550 5.1.1 No\nS: 550 5.1.1 No\n"
             "H: data 354 0.0.0 go\nS: 554 5.5.1 ...\nA: ABORT\n" READY);
    run(MAIL "C: RCPT TO:<x@example.org>\nC: DATA\n" OPEN
             "A: DATA\nH: rcpt 550 5.1.1 No\nS: 550 5.1.1 No\n"
             "H: data 503 5.5.1 No\nS: 554 5.5.1 ...\nA: ABORT\n" READY);
}

static void test_data_refused(void **state)
{
    run(OPENED "C: DATA\nA: DATA\nH: data 451 4.3.0 Later\nS: 451 4.3.0 Later\nA: END\n" READY);
    run(OPENED "C: DATA\nA: DATA\nH: data 250 2.0.0 What\nS: 451 4.3.5 ...\nA: ABORT\n" READY);
}

/* RFC 5321 section 4.2.5: the final answer is the next hop's. */
static void test_final_answers(void **state)
{
    run(BODY "C: .\nH: final 550 5.7.1 Spam\nS: 550 5.7.1 Spam\nA: END\n" READY);
    run(BODY "C: .\nH: final 452 4.3.1 Full\nS: 452 4.3.1 Full\nA: END\n" READY);
    run(BODY "C: .\nH: final 354 0.0.0 What\nS: 451 4.3.5 ...\nA: END\n" READY);
    /* Failure table: "next hop vanishes before its final reply": 451 4.4.2. */
    run(BODY "C: .\nH: lost 451 4.4.2 Gone\nS: 451 4.4.2 Gone\nA: END\n" READY);
    /* What the client pipelines behind the dot waits for it. */
    run(BODY "C: .\nC: MAIL FROM:<>\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\nS: 250 2.1.0 "
             "Ok\n" QUIT);
}

/* DESIGN, "we refuse in mid-body": the next hop is cut, the sender drained to its end of data, and
 * then it hears 5yz. */
static void test_refused_in_body(void **state)
{
    run(BODY "C: one\nE: refused 552 5.3.4 Big\nA: ABORT\nA: DRAIN_BODY\nC: two\nC: RSET\nC: .\n"
             "S: 552 5.3.4 Big\n" READY);
    run(BODY "C: one\nH: lost 451 4.4.2 Gone\nA: ABORT\nA: DRAIN_BODY\nC: QUIT\nC: .\n"
             "S: 451 4.4.2 Gone\n" READY);
    /* An early answer is never a success. */
    run(BODY
        "C: one\nH: final 250 2.0.0 Ok\nA: ABORT\nA: DRAIN_BODY\nC: .\nS: 451 4.3.5 ...\n" READY);
    run(BODY "C: one\nH: final 554 5.7.1 Spam\nA: ABORT\nA: DRAIN_BODY\nC: .\nS: 554 5.7.1 "
             "Spam\n" READY);
}

static void test_chunks(void **state)
{
    run(OPENED
        "C: BDAT 4\nc: QUIT\nA: CHUNK 4\nH: chunk 250 2.0.0 Got\nS: 250 2.0.0 Got\n"
        "C: BDAT 0\nS: 250 2.0.0 0 octets received\nC: NOOP\nS: 250 2.0.0 Ok\n"
        "C: bdat 6 last\nc: QUIT\\r\\n\nA: CHUNK 6 LAST\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\n"
        "A: END\n" READY);
    run(OPENED
        "C: BDAT 4\nc: QUIT\nA: CHUNK 4\nH: chunk 250 2.0.0 Got\nS: 250 2.0.0 Got\n"
        "C: BDAT 0 LAST\nA: CHUNK 0 LAST\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n" READY);
    /* Pipelined: the next chunk waits for the answer to this one. */
    run(OPENED "C: BDAT 2\nc: abBDAT 2 LAST\\r\\ncdQUIT\\r\\n\nA: CHUNK 2\nH: chunk 250 2.0.0 Got\n"
               "S: 250 2.0.0 Got\nA: CHUNK 2 LAST\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n"
               "S: 221 2.0.0 Bye\nA: CLOSE quit\n");
}

/* BDAT with unanswered recipients waits. */
static void test_chunk_behind_recipients(void **state)
{
    run(MAIL "C: RCPT TO:<x@example.org>\nC: BDAT 4 LAST\nc: QUIT\n" OPEN
             "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nA: CHUNK 4 LAST\nH: final 250 2.0.0 k\n"
             "S: 250 2.0.0 k\nA: END\n" READY);
    run(MAIL "C: RCPT TO:<x@example.org>\nC: BDAT 4 LAST\nc: QUIT\n" OPEN
             "H: rcpt 550 5.1.1 No\nS: 550 5.1.1 No\nA: DRAIN_CHUNK\nS: 554 5.5.1 ...\nA: "
             "ABORT\n" READY);
}

/* RFC 3030 section 2: after BDAT LAST, and DATA after BDAT: 503. */
static void test_chunk_order(void **state)
{
    run(OPENED
        "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 250 2.0.0 k\nS: 250 2.0.0 k\n"
        "C: DATA\nS: 503 5.5.1 Only...\nC: MAIL FROM:<>\nS: 503 5.5.1 ...\n"
        "C: RCPT TO:<x@example.org>\nS: 503 5.5.1 ...\nC: EHLO x\nS: 503 Only...\n"
        "C: BDAT 1 LAST\nc: x\nA: CHUNK 1 LAST\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n"
        "C: BDAT 4 LAST\nc: QUIT\nA: DRAIN_CHUNK\nS: 503 5.5.1 ...\n" READY);
    run(OPENED "C: BDAT 0\nS: 250 2.0.0 ...\nC: DATA\nS: 503 5.5.1 ...\nC: RSET\nS: 250 2.0.0 "
               "Ok\nA: ABORT\n" READY);
}

/* RFC 3030 section 2: on failure still consume the chunk. */
static void test_chunk_consumed_on_failure(void **state)
{
    run(MAIL "C: BDAT 6\nc: QUIT\\r\\n\nA: DRAIN_CHUNK\nS: 554 5.5.1 ...\n"
             "C: RCPT TO:<x@example.org>\n" OPEN "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
             "C: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
    run(HELLO "C: BDAT 6 LAST\nc: QUIT\\r\\n\nA: DRAIN_CHUNK\nS: 503 5.5.1 ...\nC: BDAT 0 LAST\nS: "
              "503 5.5.1 ...\n" READY);
    /* A refused message: its later chunks are read too, until LAST or RSET. */
    run(OPENED "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 552 5.3.4 Big\nS: 552 5.3.4 Big\nA: ABORT\n"
               "C: BDAT 6\nc: QUIT\\r\\n\nA: DRAIN_CHUNK\nS: 552 5.3.4 Big\n"
               "C: BDAT 0\nS: 552 5.3.4 Big\nC: DATA\nS: 503 5.5.1 ...\n"
               "C: BDAT 6 LAST\nc: QUIT\\r\\n\nA: DRAIN_CHUNK\nS: 552 5.3.4 Big\n" READY);
    run(OPENED "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 552 5.3.4 Big\nS: 552 5.3.4 Big\nA: ABORT\n"
               "C: RSET\nS: 250 2.0.0 Ok\n" READY);
}

static void test_chunk_refused_in_it(void **state)
{
    run(OPENED
        "C: BDAT 9\nc: abc\nA: CHUNK 9\nE: refused 554 5.6.0 Loop\nA: ABORT\nA: DRAIN_CHUNK\n"
        "c: QUIT\\r\\n\nS: 554 5.6.0 Loop\nC: BDAT 1 LAST\nc: x\nA: DRAIN_CHUNK\n"
        "S: 554 5.6.0 Loop\n" READY);
    run(OPENED "C: BDAT 9 LAST\nc: abc\nA: CHUNK 9 LAST\nH: lost 451 4.4.2 Gone\nA: ABORT\n"
               "A: DRAIN_CHUNK\nc: QUIT\\r\\n\nS: 451 4.4.2 Gone\n" READY);
    /* Between chunks, and while one waits for its answer. */
    run(OPENED "C: BDAT 1\nc: x\nA: CHUNK 1\nH: lost 451 4.4.2 Gone\nS: 451 4.4.2 Gone\nA: ABORT\n"
               "C: BDAT 1 LAST\nc: x\nA: DRAIN_CHUNK\nS: 451 4.4.2 Gone\n" READY);
    run(OPENED "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 250 2.0.0 k\nS: 250 2.0.0 k\n"
               "H: lost 451 4.4.2 Gone\nA: ABORT\nC: BDAT 0 LAST\nS: 451 4.4.2 Gone\n" READY);
}

/* The report that a chunk was passed on can be overtaken by the answer to it. */
static void test_chunk_answered_early(void **state)
{
    run(OPENED "C: BDAT 3\nc: ab\nA: CHUNK 3\nH: chunk 250 2.0.0 k\nc: c\nS: 250 2.0.0 k\n"
               "C: BDAT 3 LAST\nc: ab\nA: CHUNK 3 LAST\nH: final 250 2.0.0 all\nc: c\n"
               "S: 250 2.0.0 all\nA: END\n" READY);
    run(OPENED
        "C: BDAT 3\nc: ab\nA: CHUNK 3\nH: chunk 452 4.3.1 Full\nA: ABORT\nA: DRAIN_CHUNK\nc: c\n"
        "S: 452 4.3.1 Full\nC: RSET\nS: 250 2.0.0 Ok\n" READY);
    /* An answer to the whole message before its last chunk is never a success. */
    run(OPENED
        "C: BDAT 3\nc: ab\nA: CHUNK 3\nH: final 250 2.0.0 k\nA: ABORT\nA: DRAIN_CHUNK\nc: c\n"
        "S: 451 4.3.5 ...\nC: BDAT 0 LAST\nS: 451 4.3.5 ...\n" READY);
}

/* Sizes: the sum is bounded, an absurd one ends the session, what can't be read as a count too. */
static void test_chunk_sizes(void **state)
{
    setup.conf.limits.max_message = 10;
    run(OPENED "C: BDAT 8\nc: 12345678\nA: CHUNK 8\nH: chunk 250 2.0.0 k\nS: 250 2.0.0 k\n"
               "C: BDAT 3 LAST\nc: abc\nA: ABORT\nA: DRAIN_CHUNK\nS: 552 5.3.4 ...\n" READY);
    run(OPENED "C: BDAT 11\nc: 12345678901\nA: ABORT\nA: DRAIN_CHUNK\nS: 552 5.3.4 ...\n"
               "C: BDAT 0 LAST\nS: 552 5.3.4 ...\n" READY);
    run(OPENED "C: BDAT 44\nS: 501 5.5.4 ...\nA: ABORT\nA: CLOSE too_many_errors\n");
    run(OPENED "C: BDAT 99999999999999999999999 LAST\nS: 501 5.5.4 ...\nA: ABORT\n"
               "A: CLOSE too_many_errors\n");
    run(OPENED
        "C: BDAT 5 LASTING\nC: QUIT\nS: 501 5.5.4 ...\nA: ABORT\nA: CLOSE too_many_errors\n");
    run(HELLO "C: BDAT 5x\nC: QUIT\nS: 501 5.5.4 ...\nA: CLOSE too_many_errors\n");
    run(HELLO "C: BDAT\nS: 501 5.5.4 ...\nC: BDAT x LAST\nS: 501 5.5.4 ...\n" READY);
}

static void test_chunking_not_offered(void **state)
{
    setup.listener.chunking = false;
    run(OPENED "C: BDAT 6 LAST\nc: QUIT\\r\\n\nA: DRAIN_CHUNK\nS: 502 5.5.1 ...\n"
               "C: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
}

/* RFC 3030 section 3: BINARYMIME goes by BDAT only. */
static void test_binarymime(void **state)
{
    setup.offers.binarymime = true;
    run(HELLO "C: MAIL FROM:<> BODY=BINARYMIME\nS: 250 2.1.0 Ok\nC: RCPT TO:<x@example.org>\nC: "
              "DATA\n" OPEN "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nS: 503 5.5.1 ...\n"
              "C: BDAT 1 LAST\nc: \\0\nA: CHUNK 1 LAST\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: "
              "END\n" READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_data_without_recipients, fresh),
        cmocka_unit_test_setup(test_data_refused, fresh),
        cmocka_unit_test_setup(test_final_answers, fresh),
        cmocka_unit_test_setup(test_refused_in_body, fresh),
        cmocka_unit_test_setup(test_chunks, fresh),
        cmocka_unit_test_setup(test_chunk_behind_recipients, fresh),
        cmocka_unit_test_setup(test_chunk_order, fresh),
        cmocka_unit_test_setup(test_chunk_consumed_on_failure, fresh),
        cmocka_unit_test_setup(test_chunk_refused_in_it, fresh),
        cmocka_unit_test_setup(test_chunk_answered_early, fresh),
        cmocka_unit_test_setup(test_chunk_sizes, fresh),
        cmocka_unit_test_setup(test_chunking_not_offered, fresh),
        cmocka_unit_test_setup(test_binarymime, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
