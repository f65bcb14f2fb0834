/* SPDX-License-Identifier: Apache-2.0 */
/* tests/process/test_certificate.py has an authority ask it. */
#include "acme_responder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PLACE "GET /.well-known/acme-challenge/"

static void test_token(void **state)
{
    char token[ACME_TOKEN];

    assert_true(
        acme_responder_token(PLACE "LoqXcYV8q5ONbJQxbmR7_-9 HTTP/1.1\r\nHost: a\r\n\r\n", token));
    assert_string_equal(token, "LoqXcYV8q5ONbJQxbmR7_-9");
    assert_true(acme_responder_token(PLACE "a \r\n", token));
    assert_string_equal(token, "a");
}

static void test_nothing_else(void **state)
{
    static const char *const rows[] = {
        "",
        "GET / HTTP/1.1",
        PLACE " HTTP/1.1",
        PLACE "../../../etc/shadow HTTP/1.1",
        PLACE "a/b HTTP/1.1",
        PLACE ".hidden HTTP/1.1",
        PLACE "a%2e HTTP/1.1",
        PLACE "a?b HTTP/1.1",
        PLACE "a",
        PLACE "a\r\n",
        "get /.well-known/acme-challenge/a HTTP/1.1",
        "POST /.well-known/acme-challenge/a HTTP/1.1",
        " " PLACE "a HTTP/1.1",
    };
    char token[ACME_TOKEN], longest[sizeof(PLACE) + ACME_TOKEN + 16];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (acme_responder_token(rows[i], token))
            fail_msg("row %zu: %s", i, token);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, PLACE, sizeof(PLACE) - 1);
    longest[sizeof(PLACE) - 1 + ACME_TOKEN] = ' ';
    longest[sizeof(longest) - 1] = '\0';
    assert_false(acme_responder_token(longest, token));
    longest[sizeof(PLACE) - 1 + ACME_TOKEN - 1] = ' ';
    assert_true(acme_responder_token(longest, token));
    assert_int_equal(strlen(token), ACME_TOKEN - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
