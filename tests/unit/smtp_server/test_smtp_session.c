/* SPDX-License-Identifier: Apache-2.0 */
/* Does a session keep the order, the states and the limits that SMTP and DESIGN demand? */
#include "script.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

static void run(const char *text)
{
    struct script_setup setup;

    script_setup(&setup);
    script_run(&setup, text);
}

#define HELLO "C: EHLO client.example\nS*\n"
#define OPENED                                                                                     \
    HELLO "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok\n"                                     \
          "C: RCPT TO:<x@example.org>\nA: OPEN example.org example.org\nA: RCPT 0 x@example.org\n" \
          "H: rcpt 250 2.1.5 Fine\nS: 250 2.1.5 Fine\n"

static void test_whole_message_by_data(void **state)
{
    run(OPENED
        "C: DATA\nA: DATA\nH: data 354 0.0.0 go\nS: 354 End data with <CR><LF>.<CR><LF>\nA: BODY\n"
        "C: Subject: x\nC: \nC: body\nC: .\n"
        "H: final 250 2.0.0 Queued\nS: 250 2.0.0 Queued\nA: END\n"
        "C: QUIT\nS: 221 2.0.0 Bye\nA: CLOSE quit\n");
}

static void test_whole_message_pipelined(void **state)
{
    run(HELLO
        "C: MAIL FROM:<a@client.example>\nC: RCPT TO:<x@example.org>\nC: RCPT TO:<y@example.org>\n"
        "C: DATA\nS: 250 2.1.0 Ok\n"
        "A: OPEN example.org example.org\nA: RCPT 0 x@example.org\nA: RCPT 1 y@example.org\nA: "
        "DATA\n"
        "H: rcpt 250 2.1.5 One\nS: 250 2.1.5 One\nH: rcpt 550 5.1.1 Two\nS: 550 5.1.1 Two\n"
        "H: data 354 0.0.0 go\nS: 354 ...\nA: BODY\n"
        "C: body\nC: .\nC: QUIT\nH: final 250 2.0.0 Queued\nS: 250 2.0.0 Queued\nA: END\n"
        "S: 221 2.0.0 Bye\nA: CLOSE quit\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_message_by_data),
        cmocka_unit_test(test_whole_message_pipelined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
