/* SPDX-License-Identifier: Apache-2.0 */
#include "redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *without(const char *text)
{
    static char out[4096];
    size_t len = strlen(text);
    char *exact = malloc(len + 1); /* a look behind its end shows */
    struct buf b;

    assert_non_null(exact);
    memcpy(exact, text, len);
    buf_init(&b, sizeof(out));
    assert_int_equal(redact(span_make(exact, len), &b), ERR_OK);
    assert_int_equal(span_to_cstr(buf_span(&b), out, sizeof(out)), ERR_OK);
    buf_release(&b);
    free(exact);
    return out;
}

#define RECOVERY "cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv"
#define CRYPT "$y$j9T$abcdefghijklmnop$0123456789abcdefghijklmnopqrstuvwxyz"

static void test_taken_out(void **state)
{
    static const struct {
        const char *text, *left;
    } rows[] = {
        {"password = \"s3cret\";", "password =[removed];"},
        {"password=s3cret;", "password=[removed];"},
        {"auth = { user = \"u\"; password = \"a\" \"b\"\n  \"c\"; };",
         "auth = { user = \"u\"; password =[removed]; };"},
        {"password = \"with \\\" and ; in it\"; x", "password =[removed]; x"},
        {"password = \"no end", "password =[removed]"},
        {"admin_password = \"" CRYPT "\";", "admin_password =[removed];"},
        {"{\"password\": \"x\", \"user\": \"y\"}", "{\"password\":[removed], \"user\": \"y\"}"},
        {"Passphrase: hello there", "Passphrase:[removed] there"},
        {"SHARED_SECRET=abc", "SHARED_SECRET=[removed]"},
        {"the hash " CRYPT " is gone", "the hash [removed] is gone"},
        {"root:" CRYPT ":1:2", "root:[removed]"},
        {"user SCRAM-SHA-256$4096$abcdefgh$ijklmnop end", "user [removed] end"},
        {"key " RECOVERY ".", "key [removed]."},
        {RECOVERY, "[removed]"},
        {"a\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nb", "a\n[removed]\nb"},
        {"-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----", "[removed]"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "[removed]"},
        {"log: -----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----\ny",
         "log: [removed]\ny"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(without(rows[i].text), rows[i].left);
}

static void test_left_as_it_is(void **state)
{
    static const char *const rows[] = {
        "",
        "a line\nand another\n",
        "password_file = \"/etc/postern/relay.password\";",
        "no password was given",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
        "costs $5 or $6$",
        "cbdefghi-jklnrtuv",
        "key = \"tls/mx.key\";",
        "id=abc from=<a@b.example> status=250",
        "\xff\xfe\x01",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(without(rows[i]), rows[i]);
}

static void test_bounds(void **state)
{
    static const char text[] = "a password = \"x\"; and " RECOVERY;
    struct buf b;

    for (size_t len = 0; len < sizeof(text); len++) {
        char start[sizeof(text)];
        memcpy(start, text, len);
        start[len] = '\0';
        assert_null(strstr(without(start), "\"x"));
    }
    buf_init(&b, 8);
    assert_int_equal(redact(SPAN_LIT("more than eight bytes"), &b), ERR_FULL);
    buf_release(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_out),
        cmocka_unit_test(test_left_as_it_is),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
