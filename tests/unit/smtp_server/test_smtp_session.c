/* SPDX-License-Identifier: Apache-2.0 */
/* Does the dispatcher keep order, TLS rules, lines, limits and ends as the RFCs and DESIGN say? */
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

static void test_whole_message_by_data(void **state)
{
    run(BODY "C: Subject: x\nC: \nC: body\nC: .\n"
             "H: final 250 2.0.0 Queued\nS: 250 2.0.0 Queued\nA: END\n" QUIT);
}

/* RFC 3207 section 4: STARTTLS is the last in a pipelined group; bytes after it are an attack:
 * disconnect, never flush silently. */
static void test_starttls_injection(void **state)
{
    script_run_whole(&setup, HELLO "C: STARTTLS\nC: MAIL FROM:<evil@client.example>\n"
                                   "S: 554 5.5.1 ...\nA: CLOSE starttls_injection\n");
    script_run_whole(&setup, HELLO "C: STARTTLS\nc: R\nS: 554 ...\nA: CLOSE starttls_injection\n");
    script_run_whole(&setup, HELLO "C: NOOP\nC: STARTTLS\nc: \\r\nS: 250 2.0.0 Ok\nS: 554 ...\n"
                                   "A: CLOSE starttls_injection\n");
}

/* RFC 3207 section 4: the same bytes, cut at every place: what comes after the line alone is never
 * taken for commands, it belongs to the handshake. */
static void test_starttls_injection_at_every_split(void **state)
{
    static const char bytes[] = "EHLO a.example\r\nSTARTTLS\r\nMAIL FROM:<evil@b.example>\r\n";
    const size_t len = sizeof(bytes) - 1, line_end = 16 + 10;

    script_setup_bind(&setup);
    for (size_t cut = 0; cut <= len; cut++) {
        struct smtp_session s;
        struct buf replies;
        struct smtp_out out = {.bytes = &replies};
        struct smtp_peer peer = {
            .conf = &setup.conf, .listener = &setup.listener, .offers = &setup.offers};
        size_t used = 0, before;
        buf_init(&replies, 0);
        smtp_session_init(&s, &peer);
        smtp_session_greet(&s, &out);
        do {
            before = used;
            used += smtp_session_input(&s, (const uint8_t *)bytes + used, cut - used, &out);
        } while (used > before);
        do {
            before = used;
            used += smtp_session_input(&s, (const uint8_t *)bytes + used, len - used, &out);
        } while (used > before);
        assert_int_equal(used, line_end);
        assert_int_equal(s.state, cut == line_end ? SMTP_STATE_TLS : SMTP_STATE_CLOSED);
        assert_false(s.txn.open);
        smtp_session_free(&s);
        buf_release(&replies);
    }
}

/* RFC 3207 section 4.2: after it both sides forget all they knew and never offer it again. */
static void test_starttls_forgets(void **state)
{
    run(HELLO
        "C: STARTTLS\nS: 220 2.0.0 ...\nA: STARTTLS\nE: tls\n"
        "C: MAIL FROM:<a@client.example>\nS: 503 5.5.1 Send EHLO first\n"
        "C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\nS: 250-SIZE 1000000\n"
        "S: 250-ENHANCEDSTATUSCODES\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\n"
        "S: 250-LIMITS ...\nS: 250 HELP\n"
        "C: STARTTLS\nS: 503 5.5.1 TLS is active already\n" QUIT);
}

static void test_starttls_where_not_offered(void **state)
{
    setup.listener.tls = CONF_LISTENER_NONE;
    run(HELLO "C: STARTTLS\nS: 502 5.5.1 ...\nC: STARTTLS now\nS: 501 5.5.4 ...\n" QUIT);
}

/* RFC 3207 section 4: requiring it is a choice per listener; then 530 to all but NOOP, EHLO,
 * STARTTLS, QUIT. */
static void test_require_tls(void **state)
{
    setup.listener.require_tls = true;
    run(HELLO "C: HELO client.example\nS: 530 Must...\nC: MAIL FROM:<>\nS: 530 5.7.0 ...\n"
              "C: RSET\nS: 530 5.7.0 ...\nC: XCLIENT ADDR=1.2.3.4\nS: 530 5.7.0 ...\n"
              "C: BDAT 6 LAST\nc: QUIT\\r\\n\nS: 530 5.7.0 ...\nA: DRAIN_CHUNK\n"
              "C: NOOP\nS: 250 2.0.0 Ok\nC: NOSUCH\nS: 530 5.7.0 ...\n"
              "C: STARTTLS\nS: 220 2.0.0 ...\nA: STARTTLS\nE: tls\n"
              "C: EHLO client.example\nS*\n" READY);
    setup.listener.require_tls = false;
    run(MAIL QUIT);
}

static void test_ehlo_offers(void **state)
{
    setup.offers = (struct smtp_offers){.dsn = true, .binarymime = true, .size = 500000};
    setup.conf.limits.max_messages = 50;
    run("C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\n"
        "S: 250-SIZE 498976\nS: 250-STARTTLS\nS: 250-ENHANCEDSTATUSCODES\nS: 250-8BITMIME\n"
        "S: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-BINARYMIME\nS: 250-DSN\n"
        "S: 250-LIMITS RCPTMAX=100 MAILMAX=50\nS: 250 HELP\n" QUIT);
    /* RFC 9422: one domain a transaction where every route has one. */
    setup.routes[1].domain = "other.example";
    setup.listener.chunking = false;
    setup.listener.tls = CONF_LISTENER_NONE;
    setup.offers = (struct smtp_offers){0};
    run("C: EHLO [192.0.2.1]\nS: 250-gw.example.org\nS: 250-PIPELINING\nS: 250-SIZE 1000000\n"
        "S: 250-ENHANCEDSTATUSCODES\nS: 250-8BITMIME\nS: 250-SMTPUTF8\n"
        "S: 250-LIMITS RCPTMAX=100 MAILMAX=50 RCPTDOMAINMAX=1\nS: 250 HELP\n" QUIT);
}

/* RFC 2034 section 4: on each line of 2xx, 4xx, 5xx, but not to the greeting, EHLO and HELO. */
static void test_enhanced_codes(void **state)
{
    run("C: EHLO (comment)\nS: 501 Syntax...\nC: HELO\nS: 501 Syntax...\n"
        "C: HELO client.example\nS: 250 gw.example.org\nC: NOOP x\nS: 250 2.0.0 Ok\n"
        "C: VRFY x@example.org\nS: 252 2.0.0 ...\nC: HELP\nS: 214 2.0.0 ...\n" QUIT);
    run(MAIL "C: RCPT TO:<x@example.org>\n" OPEN "H: rcpt 550 0.0.0 Gone\nS: 550 5.0.0 Gone\n"
             "C: QUIT\nS: 221 2.0.0 Bye\nA: ABORT\nA: CLOSE quit\n");
}

static void test_order(void **state)
{
    run("C: MAIL FROM:<a@client.example>\nS: 503 5.5.1 Send EHLO first\nC: RSET\nS: 250 2.0.0 Ok\n"
        "C: BDAT 4\nc: QUIT\nS: 503 5.5.1 ...\nA: DRAIN_CHUNK\n" HELLO
        "C: RCPT TO:<x@example.org>\nS: 503 5.5.1 Send MAIL first\nC: DATA\nS: 503 5.5.1 ...\n"
        "C: NOSUCH\nS: 500 5.5.1 ...\nC: \nS: 500 5.5.1 ...\n"
        "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok\n"
        "C: MAIL FROM:<b@client.example>\nS: 503 5.5.1 A transaction is open\n"
        "C: STARTTLS\nS: 503 5.5.1 ...\nC: EHLO again.example\nS*\n"
        "C: RCPT TO:<x@example.org>\nS: 503 5.5.1 ...\n" READY);
    run(OPENED "C: RSET now\nS: 501 5.5.4 ...\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
    run(OPENED "C: EHLO again.example\nS*\nA: ABORT\n" READY);
    run(OPENED "C: QUIT\nS: 221 2.0.0 Bye\nA: ABORT\nA: CLOSE quit\n");
}

/* RFC 5321 sections 2.3.8, 4.1.1.4: only CRLF ends a line. */
static void test_lines(void **state)
{
    run(HELLO "c: NOOP\\nQUIT\\r\\n\nS: 500 5.5.2 Bare...\n"
              "c: NOOP\\rQUIT\\r\\n\nS: 500 5.5.2 ...\nc: NOOP\\0\\r\\n\nS: 500 5.5.2 ...\n"
              "c: NOOP\\r\\r\\n\nS: 500 5.5.2 ...\nc: \\nNOOP\\r\\n\nS: 500 5.5.2 ...\n"
              "C: noop  \nS: 250 2.0.0 Ok\n" QUIT);
}

static void test_line_too_long(void **state)
{
    setup.conf.limits.max_line = 40;
    run(HELLO "C: NOOP 4567890123456789012345678901234567\nS: 500 5.5.2 Line too long\n"
              "C: NOOP 456789012345678901234567890123\\rNOOP\nS: 500 5.5.2 Line too long\n"
              "C: NOOP 4567890123456789012345678901234567890123456789012345678901234567890\n"
              "S: 500 5.5.2 Line too long\nC: NOOP 345678901234567890123456789012\n"
              "S: 250 2.0.0 Ok\n" QUIT);
}

/* A line without an end is read to a bound, then the session ends. */
static void test_line_endless(void **state)
{
    static const char text[4096] = {'x'};
    struct smtp_session s;
    struct buf replies;
    struct smtp_out out = {.bytes = &replies};
    struct smtp_peer peer = {.conf = &setup.conf, .listener = &setup.listener};
    unsigned rounds = 0;

    buf_init(&replies, 0);
    smtp_session_init(&s, &peer);
    smtp_session_greet(&s, &out);
    while (smtp_session_wants_input(&s) && rounds < 100) {
        assert_int_equal(smtp_session_input(&s, (const uint8_t *)text, sizeof(text), &out),
                         sizeof(text));
        rounds++;
    }
    assert_int_equal(rounds, 17);
    assert_int_equal(out.actions[0].end, SESSION_END_TOO_MANY_ERRORS);
    smtp_session_free(&s);
    buf_release(&replies);
}

/* Cross protocol: a session whose first command is an HTTP method is dropped. */
static void test_http(void **state)
{
    run("C: GET / HTTP/1.1\nC: Host: x\nC: EHLO x\nS: 554 5.5.1 ...\nA: CLOSE cross_protocol\n");
    run("C: CONNECT x:25 HTTP/1.1\nS: 554 5.5.1 ...\nA: CLOSE cross_protocol\n");
    setup.listener.require_tls = true;
    run("C: POST /x HTTP/1.1\nS: 554 5.5.1 ...\nA: CLOSE cross_protocol\n");
}

/* Limits are enforced with a clear code. */
static void test_limit_errors(void **state)
{
    setup.conf.limits.max_errors = 3;
    run(HELLO "C: NOSUCH\nC: NOSUCH\nC: MAIL\nC: QUIT\nS: 500 5.5.1 ...\nS: 500 5.5.1 ...\n"
              "S: 501 5.5.2 ...\nS: 421 4.7.0 Too many errors\nA: CLOSE too_many_errors\n");
    /* A message that was taken begins the count anew. */
    run(HELLO "C: NOSUCH\nC: NOSUCH\nS: 500 5.5.1 ...\nS: 500 5.5.1 ...\n"
              "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok\nC: RCPT TO:<x@example.org>\n" OPEN
              "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: BDAT 0 LAST\nA: CHUNK 0 LAST\n"
              "H: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\nC: NOSUCH\nC: NOSUCH\n"
              "S: 500 5.5.1 ...\nS: 500 5.5.1 ...\n" QUIT);
    /* They wait behind what is owed. */
    run(MAIL
        "C: RCPT TO:<x@example.org>\nC: RCPT TO:<\nC: RCPT TO:<>\nC: RCPT <>\nC: NOOP\n" OPEN
        "H: rcpt 250 2.1.5 Fine\nS: 250 2.1.5 Fine\nS: 501 5.5.2 ...\nS: 501 5.1.3 ...\n"
        "S: 501 5.5.2 ...\nS: 421 4.7.0 Too many errors\nA: ABORT\nA: CLOSE too_many_errors\n");
}

static void test_limit_commands(void **state)
{
    setup.conf.limits.max_commands = 5;
    run(HELLO "C: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nS: 250 2.0.0 Ok\n"
              "S: 250 2.0.0 Ok\nS: 250 2.0.0 Ok\nS: 250 2.0.0 Ok\nS: 250 2.0.0 Ok\n"
              "S: 421 4.7.0 Too many commands\nA: CLOSE too_many_commands\n");
    /* A message begins the count anew, its recipients and chunks are not counted. */
    run(OPENED
        "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 250 2.0.0 k\nS: 250 2.0.0 k\n"
        "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 250 2.0.0 k\nS: 250 2.0.0 k\n"
        "C: BDAT 1\nc: x\nA: CHUNK 1\nH: chunk 250 2.0.0 k\nS: 250 2.0.0 k\n"
        "C: BDAT 1 LAST\nc: x\nA: CHUNK 1 LAST\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n"
        "C: NOOP\nS: 250 2.0.0 Ok\nC: NOOP\nS: 250 2.0.0 Ok\nC: NOOP\nS: 250 2.0.0 Ok\n" QUIT);
}

/* Recipients that the next hop refuses are counted: addresses can't be guessed without end. */
static void test_limit_guesses(void **state)
{
    setup.conf.limits.max_commands = 3;
    run(MAIL
        "C: RCPT TO:<x@example.org>\n" OPEN "H: rcpt 550 5.1.1 No\nS: 550 5.1.1 No\n"
        "C: RCPT TO:<y@example.org>\nA: RCPT 1 y@example.org\nH: rcpt 550 5.1.1 No\n"
        "S: 550 5.1.1 No\nS: 421 4.7.0 Too many commands\nA: ABORT\nA: CLOSE too_many_commands\n");
}

static void test_timeouts(void **state)
{
    run(HELLO "E: timeout\nS: 421 4.4.2 Timeout\nA: CLOSE idle_timeout\n");
    run(OPENED "E: timeout\nS: 421 4.4.2 Timeout\nA: ABORT\nA: CLOSE idle_timeout\n");
    run(BODY "c: part\nE: timeout\nS: 421 4.4.2 Timeout\nA: ABORT\nA: CLOSE idle_timeout\n");
    run(HELLO "C: STARTTLS\nS: 220 2.0.0 ...\nA: STARTTLS\nE: timeout\nA: CLOSE idle_timeout\n");
    /* The final answer has its own timeout: nobody hears 421 for a message that may be taken. */
    run(BODY "C: .\nE: timeout\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n"
             "S: 421 4.4.2 Timeout\nA: CLOSE idle_timeout\n");
}

static void test_shutdown(void **state)
{
    run(HELLO "E: shutdown\nS: 421 4.3.2 ...\nA: CLOSE shutdown\n");
    run(BODY "E: shutdown\nC: .\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n"
             "S: 421 4.3.2 ...\nA: CLOSE shutdown\n");
    run(OPENED
        "E: shutdown\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\nS: 421 4.3.2 ...\nA: CLOSE shutdown\n");
    run(HELLO "C: STARTTLS\nS: 220 2.0.0 ...\nA: STARTTLS\nE: shutdown\nE: tls\n"
              "S: 421 4.3.2 ...\nA: CLOSE shutdown\n");
}

/* Failure table, "overload": 421 4.3.2, in time, for new sessions first. */
static void test_refuse(void **state)
{
    static const struct {
        enum session_end end;
        const char *reply;
    } rows[] = {{SESSION_END_OVERLOAD, "421 4.3.2 "},
                {SESSION_END_ADDRESS_LIMIT, "421 4.3.2 "},
                {SESSION_END_SHUTDOWN, "421 4.3.2 "},
                {SESSION_END_BAD_PROXY, "421 4.3.0 "}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_session s;
        struct buf replies;
        struct smtp_out out = {.bytes = &replies};
        struct smtp_peer peer = {.conf = &setup.conf, .listener = &setup.listener};
        buf_init(&replies, 0);
        smtp_session_init(&s, &peer);
        smtp_session_refuse(&s, rows[i].end, &out);
        assert_memory_equal(buf_span(&replies).ptr, rows[i].reply, strlen(rows[i].reply));
        assert_int_equal(out.actions_len, 1);
        assert_int_equal(out.actions[0].end, rows[i].end);
        assert_int_equal(smtp_session_input(&s, (const uint8_t *)"NOOP\r\n", 6, &out), 0);
        smtp_session_free(&s);
        buf_release(&replies);
    }
}

/* A client that sends commands and reads no replies is not served without end. */
static void test_output_bounded(void **state)
{
    static char noops[6 * 20000 + 1];
    struct smtp_session s;
    struct buf replies;
    struct smtp_out out = {.bytes = &replies};
    struct smtp_peer peer = {.conf = &setup.conf, .listener = &setup.listener};

    setup.conf.limits.max_commands = 0;
    for (size_t i = 0; i < 20000; i++)
        memcpy(noops + 6 * i, "NOOP\r\n", 6);
    buf_init(&replies, 32768);
    smtp_session_init(&s, &peer);
    smtp_session_greet(&s, &out);
    size_t used = smtp_session_input(&s, (const uint8_t *)noops, sizeof(noops) - 1, &out);
    assert_true(used > 0 && used < sizeof(noops) - 1);
    assert_int_equal(smtp_session_input(&s, (const uint8_t *)noops, 6, &out), 0);
    assert_int_equal(s.state, SMTP_STATE_GREETED);
    buf_clear(&replies);
    assert_int_equal(smtp_session_input(&s, (const uint8_t *)noops, 6, &out), 6);
    smtp_session_free(&s);
    buf_release(&replies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_whole_message_by_data, fresh),
        cmocka_unit_test_setup(test_starttls_injection, fresh),
        cmocka_unit_test_setup(test_starttls_injection_at_every_split, fresh),
        cmocka_unit_test_setup(test_starttls_forgets, fresh),
        cmocka_unit_test_setup(test_starttls_where_not_offered, fresh),
        cmocka_unit_test_setup(test_require_tls, fresh),
        cmocka_unit_test_setup(test_ehlo_offers, fresh),
        cmocka_unit_test_setup(test_enhanced_codes, fresh),
        cmocka_unit_test_setup(test_order, fresh),
        cmocka_unit_test_setup(test_lines, fresh),
        cmocka_unit_test_setup(test_line_too_long, fresh),
        cmocka_unit_test_setup(test_line_endless, fresh),
        cmocka_unit_test_setup(test_http, fresh),
        cmocka_unit_test_setup(test_limit_errors, fresh),
        cmocka_unit_test_setup(test_limit_commands, fresh),
        cmocka_unit_test_setup(test_limit_guesses, fresh),
        cmocka_unit_test_setup(test_timeouts, fresh),
        cmocka_unit_test_setup(test_shutdown, fresh),
        cmocka_unit_test_setup(test_refuse, fresh),
        cmocka_unit_test_setup(test_output_bounded, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
