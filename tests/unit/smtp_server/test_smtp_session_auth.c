/* SPDX-License-Identifier: Apache-2.0 */
/* Is AUTH what RFC 4954 says, inside TLS only, and does it give what it should and no more? */
#include "script.h"

#include "cmocka_all.h"

#include <stdio.h>

static struct script_setup setup;

#define TLS HELLO "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n" HELLO
#define PLAIN "C: AUTH PLAIN YW5uYQ==\nA: AUTH PLAIN =anna\n"
#define DONE "S: 235 2.7.0 Authentication successful\n"
#define LOGGED_IN TLS PLAIN "E: auth accepted anna\n" DONE

static void run(const char *text)
{
    script_run(&setup, text);
}

static int fresh(void **state)
{
    script_setup(&setup);
    setup.listener.auth_users = "users";
    setup.conf.limits.max_auth_failures = 3;
    return 0;
}

/* RFC 4954 section 4, and DESIGN: never before TLS, never where it is not offered. */
static void test_offered_in_tls_only(void **state)
{
    run("C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\nS: 250-SIZE ...\n"
        "S: 250-STARTTLS\nS: 250-ENHANCEDSTATUSCODES\nS: 250-8BITMIME\nS: 250-SMTPUTF8\n"
        "S: 250-CHUNKING\nS: 250-LIMITS ...\nS: 250 HELP\n"
        "C: AUTH PLAIN YW5uYQ==\nS: 530 5.7.0 Must issue a STARTTLS command first\n"
        "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n"
        "C: AUTH PLAIN YW5uYQ==\nS: 503 5.5.1 Send EHLO first\n"
        "C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\nS: 250-SIZE ...\n"
        "S: 250-ENHANCEDSTATUSCODES\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\n"
        "S: 250-AUTH SCRAM-SHA-256 PLAIN LOGIN\nS: 250-LIMITS ...\nS: 250 HELP\n" QUIT);
    run(HELLO "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\nC: HELO client.example\nS*\n"
              "C: AUTH LOGIN\nS: 503 5.5.1 Send EHLO first\n" QUIT);
    setup.listener.auth_users = NULL;
    run(HELLO "C: AUTH PLAIN YW5uYQ==\nS: 502 5.5.1 ...\n" QUIT);
    run(TLS "C: AUTH PLAIN YW5uYQ==\nS: 502 5.5.1 ...\n" READY);
}

/* Section 4: initial responses, "=" for an empty one, challenges, and the end. */
static void test_exchange(void **state)
{
    run(LOGGED_IN READY);
    run(TLS "C: auth plain\nA: AUTH PLAIN -\nE: auth challenge\nS: 334 \nC: YW5uYQ==\n"
            "A: AUTH PLAIN =anna\nE: auth accepted anna\n" DONE READY);
    run(TLS "C: AUTH LOGIN =\nA: AUTH LOGIN =\nE: auth challenge User\nS: 334 VXNlcg==\nC: YQ==\n"
            "A: AUTH LOGIN =a\nE: auth challenge Pass\nS: 334 UGFzcw==\nC: \nA: AUTH LOGIN =\n"
            "E: auth refused\nS: 535 5.7.8 Authentication credentials invalid\n" READY);
    /* What is pipelined behind it waits for its end. */
    run(TLS "C: AUTH PLAIN YW5uYQ==\nC: MAIL FROM:<a@client.example>\nA: AUTH PLAIN =anna\n"
            "E: auth accepted anna\n" DONE "S: 250 2.1.0 Ok\n" QUIT);
    /* A success has no place for data: they go ahead, and the client says nothing to them. */
    run(TLS "C: AUTH SCRAM-SHA-256 bg==\nA: AUTH SCRAM-SHA-256 =n\nE: auth accepted anna v=x\n"
            "S: 334 dj14\nC: \n" DONE READY);
    run(TLS "C: AUTH SCRAM-SHA-256 bg==\nA: AUTH SCRAM-SHA-256 =n\nE: auth accepted anna v=x\n"
            "S: 334 dj14\nC: *\nS: 501 5.7.0 ...\nA: AUTH_END\nC: MAIL FROM:<> AUTH=<>\n"
            "S: 250 2.1.0 Ok\nC: RCPT TO:<x@elsewhere.example>\nS: 550 5.7.1 ...\n"
            "A: REFUSED 550 x@elsewhere.example\n" QUIT);
    run(TLS "C: AUTH SCRAM-SHA-256 bg==\nA: AUTH SCRAM-SHA-256 =n\nE: auth accepted anna v=x\n"
            "S: 334 dj14\nC: YQ==\nS: 501 5.5.2 ...\nA: AUTH_END\n" READY);
    run(TLS PLAIN "E: auth unavailable\nS: 454 4.7.0 ...\n" READY);
}

/* "*", what is no base64, what is no mechanism: each with its code, and the session goes on. */
static void test_refused_lines(void **state)
{
    run(TLS "C: AUTH LOGIN\nA: AUTH LOGIN -\nE: auth challenge x\nS: 334 eA==\nC: *\n"
            "S: 501 5.7.0 Authentication cancelled\nA: AUTH_END\n" READY);
    run(TLS "C: AUTH LOGIN\nA: AUTH LOGIN -\nE: auth challenge x\nS: 334 eA==\nC: NOOP now\n"
            "S: 501 5.5.2 ...\nA: AUTH_END\n" READY);
    run(TLS "C: AUTH LOGIN\nA: AUTH LOGIN -\nE: auth challenge x\nS: 334 eA==\nc: Y\\0==\\r\\n\n"
            "S: 501 5.5.2 ...\nA: AUTH_END\n" READY);
    run(TLS "C: AUTH PLAIN YW5uYQ\nS: 501 5.5.2 Not base64\nC: AUTH PLAIN YQ== YQ==\n"
            "S: 501 5.5.2 Not base64\nC: AUTH\nS: 501 5.5.4 ...\nC: AUTH CRAM-MD5\n"
            "S: 504 5.5.4 ...\nC: AUTH SCRAM-SHA-256-PLUS bg==\nS: 504 5.5.4 ...\n" READY);
}

/* Section 4: not in a transaction, and not twice. */
static void test_order(void **state)
{
    run(TLS "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok\nC: AUTH PLAIN YW5uYQ==\n"
            "S: 503 5.5.1 A transaction is open\nC: RSET\nS: 250 2.0.0 Ok\n" PLAIN
            "E: auth accepted anna\n" DONE "C: AUTH PLAIN YW5uYQ==\n"
            "S: 503 5.5.1 Already authenticated\n" HELLO
            "C: AUTH LOGIN\nS: 503 5.5.1 Already...\n" READY);
}

/* Section 4.3: 12288 bytes with CRLF, of the command too. */
static void test_long_lines(void **state)
{
    static char text[65536], response[SMTP_AUTH_LINE_MAX + 1];
    const size_t most = SMTP_AUTH_LINE_MAX - 4; /* a multiple of four that leaves room for CRLF */

    setup.conf.limits.max_line = 512;
    memset(response, 'A', sizeof(response));
    response[most] = '\0';
    snprintf(text, sizeof(text),
             TLS
             "C: AUTH LOGIN\nA: AUTH LOGIN -\nE: auth challenge x\nS: 334 eA==\nC: %s\n"
             "A: AUTH LOGIN =\nE: auth challenge x\nS: 334 eA==\nC: %sAAAA\n"
             "S: 500 5.5.6 Authentication exchange line too long\nA: AUTH_END\n"
             "C: AUTH LOGIN %s\nS: 500 5.5.2 Line too long\nC: NOOP %s\nS: 500 5.5.2 ...\n" READY,
             response, response, response, response);
    script_run_whole(&setup, text);
}

/* Failed logins end the session; so does nothing that a good one has. */
static void test_attempts(void **state)
{
    setup.conf.limits.max_auth_failures = 2;
    run(TLS PLAIN "E: auth refused\nS: 535 5.7.8 ...\n" PLAIN
                  "E: auth refused\nS: 535 5.7.8 ...\nS: 421 4.7.0 Too many failed logins\n"
                  "A: CLOSE too_many_logins\n");
    run(TLS PLAIN "E: auth refused\nS: 535 5.7.8 ...\n" PLAIN "E: auth accepted anna\n" DONE READY);
    run(TLS "C: AUTH LOGIN\nA: AUTH LOGIN -\nE: auth challenge x\nS: 334 eA==\nE: timeout\n"
            "S: 421 4.4.2 ...\nA: CLOSE idle_timeout\n");
}

static void test_require_auth(void **state)
{
    setup.listener.require_auth = true;
    run(HELLO
        "C: MAIL FROM:<>\nS: 530 5.7.0 Authentication required\nC: NOOP\nS: 250 2.0.0 Ok\n" QUIT);
    run(TLS "C: MAIL FROM:<>\nS: 530 5.7.0 Authentication required\n" PLAIN
            "E: auth refused\nS: 535 5.7.8 ...\nC: MAIL FROM:<>\nS: 530 5.7.0 ...\n" QUIT);
    run(LOGGED_IN READY);
}

/* Who has logged in may relay; AUTH= is taken and not passed on; a proxy's login is not a client's.
 */
static void test_rights(void **state)
{
    static const char *const anna[] = {"anna"};
    static const struct conf_sender rules[] = {
        {.domain = "anna.example", .level = CONF_SENDER_VERIFY, .users = {anna, 1}}};

    run(LOGGED_IN "C: MAIL FROM:<a@client.example> AUTH=e+3Dmc2@example.com\nS: 250 2.1.0 Ok\n"
                  "C: RCPT TO:<x@else.example>\nA: OPEN * else.example\nA: RCPT 0 x@else.example\n"
                  "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n"
                  "C: MAIL FROM:<a@client.example> AUTH=a=b\nS: 501 5.5.2 ...\n"
                  "C: MAIL FROM:<a@client.example> AUTH=+3\nS: 501 5.5.2 ...\n" READY);
    run("FROM 192.0.2.7\n" LOGGED_IN "C: XCLIENT ADDR=192.0.2.9\nS: 220 ...\n" MAIL
        "C: RCPT TO:<x@else.example>\nS: 550 5.7.1 ...\nA: REFUSED 550 x@else.example\n" QUIT);
    setup.conf.senders = (struct conf_sender *)rules;
    setup.conf.senders_len = 1;
    run(TLS "C: MAIL FROM:<a@anna.example>\nS: 550 5.7.1 Mail from this domain has to prove...\n"
            "A: REFUSED_SENDER 550 a@anna.example anna.example\n" PLAIN
            "E: auth accepted bert\n" DONE "C: MAIL FROM:<a@anna.example>\nS: 550 5.7.1 ...\n"
            "A: REFUSED_SENDER 550 a@anna.example anna.example\n" READY);
    run(LOGGED_IN "C: MAIL FROM:<a@other.example>\n"
                  "S: 550 5.7.1 You may send mail from other domains only\n"
                  "A: REFUSED_SENDER 550 a@other.example anna.example\n"
                  "C: MAIL FROM:<a@anna.example>\nS: 250 2.1.0 Ok\n" QUIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_offered_in_tls_only, fresh),
        cmocka_unit_test_setup(test_exchange, fresh),
        cmocka_unit_test_setup(test_refused_lines, fresh),
        cmocka_unit_test_setup(test_order, fresh),
        cmocka_unit_test_setup(test_long_lines, fresh),
        cmocka_unit_test_setup(test_attempts, fresh),
        cmocka_unit_test_setup(test_require_auth, fresh),
        cmocka_unit_test_setup(test_rights, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
