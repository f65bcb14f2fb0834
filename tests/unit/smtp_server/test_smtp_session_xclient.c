/* SPDX-License-Identifier: Apache-2.0 */
/* Does only a trusted proxy speak for others, and does what it says hold until STARTTLS? */
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

#define TRUSTED "FROM 192.0.2.7\n"
#define ANEW "S: 220 gw.example.org ESMTP postern\n"

static void test_untrusted(void **state)
{
    run("C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\nS: 250-SIZE 1000000\n"
        "S: 250-STARTTLS\nS: 250-ENHANCEDSTATUSCODES\nS: 250-8BITMIME\nS: 250-SMTPUTF8\n"
        "S: 250-CHUNKING\nS: 250-LIMITS RCPTMAX=100\nS: 250 HELP\n"
        "C: XCLIENT ADDR=10.0.0.1\nS: 550 5.7.0 ...\n" MAIL QUIT);
}

/* XCLIENT_README: back to the greeting; rights are those of the address that it gave. */
static void test_rights_follow(void **state)
{
    run(TRUSTED HELLO
        "C: XCLIENT NAME=[UNAVAILABLE] ADDR=10.0.0.1\n" ANEW
        "C: MAIL FROM:<>\nS: 503 5.5.1 Send EHLO first\n" MAIL
        "C: RCPT TO:<x@else.example>\nA: OPEN * else.example\nA: RCPT 0 x@else.example\n"
        "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: XCLIENT ADDR=192.0.2.9\nS: 503 5.5.1 ...\n"
        "C: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n"
        /* The trust is the connection's, not that of the address it spoke for. */
        "C: XCLIENT ADDR=192.0.2.9 PORT=99\n" ANEW MAIL
        "C: RCPT TO:<x@else.example>\nS: 550 5.7.1 ...\nA: REFUSED 550 x@else.example\n" QUIT);
    /* STARTTLS forgets it (RFC 3207 section 4.2), and so does an unknown address. */
    run(TRUSTED HELLO
        "C: XCLIENT ADDR=10.0.0.1\n" ANEW HELLO
        "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n" MAIL
        "C: RCPT TO:<x@else.example>\nS: 550 5.7.1 ...\nA: REFUSED 550 x@else.example\n" QUIT);
    run("FROM 10.0.0.7\n" HELLO "C: XCLIENT ADDR=10.0.0.1\nS: 550 5.7.0 ...\n" QUIT);
}

static void test_attributes(void **state)
{
    run(TRUSTED HELLO
        "C: XCLIENT\nS: 501 5.5.4 ...\nC: XCLIENT ADDR\nS: 501 5.5.4 ...\n"
        "C: XCLIENT ADDR=nonsense\nS: 501 5.5.4 ...\nC: XCLIENT NAME=a+0Db\nS: 501 5.5.4 ...\n"
        "C: XCLIENT NAME=a+4\nS: 501 5.5.4 ...\nC: XCLIENT PORT=65536\nS: 501 5.5.4 ...\n"
        "C: XCLIENT PROTO=HTTP\nS: 501 5.5.4 ...\nC: XCLIENT WHAT=x\nS: 501 5.5.4 ...\n"
        "C: XCLIENT NAME=a.example ADDR=IPV6:2001:db8::1 PORT=[UNAVAILABLE] PROTO=ESMTP "
        "HELO=b+2Eexample "
        "DESTADDR=192.0.2.1 DESTPORT=25 LOGIN=[UNAVAILABLE]\n" ANEW MAIL QUIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_untrusted, fresh),
        cmocka_unit_test_setup(test_rights_follow, fresh),
        cmocka_unit_test_setup(test_attributes, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
