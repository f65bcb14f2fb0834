/* SPDX-License-Identifier: Apache-2.0 */
/* RFC-RULES REQUIRETLS, "After STARTTLS only": when is it offered, and what does MAIL hear that
 * asks for it? (RFC 8689 section 2; RFC 5321 section 4.1.1.11 for what is not offered.) */
#include "script.h"

#include <stdio.h>

#include "cmocka_all.h"

#define PLAIN HELLO
#define TLS "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n" HELLO
#define BASIC "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\nC: HELO client.example\nS: 250 ...\n"

#define TAKEN "250 2.1.0 Ok"
#define UNKNOWN "555 5.5.4 ..."
#define MALFORMED "501 5.5.2 ..."

static struct script_setup setup;

static const struct cell {
    bool offered; /* every next hop of the listener has it */
    const char *hello, *parameter, *reply;
} cells[] = {
    {true, TLS, " REQUIRETLS", TAKEN},
    {true, TLS, " requiretls", TAKEN},
    {true, TLS, " SIZE=100 REQUIRETLS BODY=8BITMIME", TAKEN},
    {true, TLS, "", TAKEN},
    {true, TLS, " REQUIRETLS=YES", MALFORMED},
    {true, TLS, " REQUIRETLS=", MALFORMED},
    {true, TLS, " REQUIRETLS REQUIRETLS", MALFORMED},
    {true, TLS, " REQUIRETLSX", UNKNOWN},
    {true, BASIC, " REQUIRETLS", UNKNOWN}, /* HELO has no extensions */
    {true, PLAIN, " REQUIRETLS", UNKNOWN},
    {true, PLAIN, " REQUIRETLS=YES", MALFORMED},
    {true, PLAIN, "", TAKEN},
    {false, TLS, " REQUIRETLS", UNKNOWN},
    {false, TLS, " REQUIRETLS=YES", MALFORMED},
    {false, PLAIN, " REQUIRETLS", UNKNOWN},
    {false, TLS, "", TAKEN},
};

static int fresh(void **state)
{
    script_setup(&setup);
    return 0;
}

static void test_mail(void **state)
{
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        const struct cell *c = &cells[i];
        char text[512];
        setup.offers.requiretls = c->offered;
        snprintf(text, sizeof(text), "%sC: MAIL FROM:<a@b.example>%s\nS: %s\n" QUIT, c->hello,
                 c->parameter, c->reply);
        script_run(&setup, text);
    }
}

/* The same for a listener whose sessions begin with TLS: there, too, it is TLS that counts. */
static void test_ehlo(void **state)
{
    const char *before = "C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\n"
                         "S: 250-SIZE 1000000\nS: 250-STARTTLS\nS: 250-ENHANCEDSTATUSCODES\n"
                         "S: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\n"
                         "S: 250-LIMITS ...\nS: 250 HELP\n";
    char text[2048];

    setup.offers.requiretls = true;
    snprintf(text, sizeof(text),
             "%sC: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n"
             "C: EHLO client.example\nS: 250-gw.example.org\nS: 250-PIPELINING\n"
             "S: 250-SIZE 1000000\nS: 250-ENHANCEDSTATUSCODES\n"
             "S: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-REQUIRETLS\n"
             "S: 250-LIMITS ...\nS: 250 HELP\n" QUIT,
             before);
    script_run(&setup, text);
}

/* It is the transaction's: the next one does not have it. */
static void test_it_ends_with_the_transaction(void **state)
{
    setup.offers.requiretls = true;
    script_run(&setup, TLS "C: MAIL FROM:<a@b.example> REQUIRETLS\nS: 250 2.1.0 Ok\n"
                           "C: RSET\nS: 250 2.0.0 Ok\n"
                           "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok\n" QUIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_mail, fresh),
        cmocka_unit_test_setup(test_ehlo, fresh),
        cmocka_unit_test_setup(test_it_ends_with_the_transaction, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
