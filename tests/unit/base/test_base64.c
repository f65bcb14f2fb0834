/* SPDX-License-Identifier: Apache-2.0 */
/* Is base64 written and read as RFC 4648 says, and is nothing else read? */
#include "base64.h"

#include "../cmocka_all.h"

/* RFC 4648 section 10, and all digits. */
static void test_vectors(void **state)
{
    static const struct {
        const char *plain, *text;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"},
                {"\xfb\xff\xbf", "+/+/"}};
    uint8_t plain[8];
    char text[16];
    size_t len;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(base64_encode(span_str(rows[i].plain), text), rows[i].text);
        assert_int_equal(strlen(text), base64_len(strlen(rows[i].plain)));
        assert_int_equal(base64_decode(span_str(rows[i].text), plain, 6, &len), ERR_OK);
        assert_int_equal(len, strlen(rows[i].plain));
        assert_memory_equal(plain, rows[i].plain, len);
    }
}

static void test_every_byte(void **state)
{
    uint8_t all[256], back[256];
    char text[345];
    size_t len;

    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    for (size_t n = 253; n <= 256; n++) {
        base64_encode(span_make(all, n), text);
        assert_int_equal(base64_decode(span_str(text), back, n, &len), ERR_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, all, n);
        assert_int_equal(base64_decode(span_str(text), back, n - 1, &len), ERR_FULL);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",  "Zg==Zg==", "=",      "====",
                                      "Z===", "Zh==", "Zm9=", "Zm 9",     "Zm9v\n", "Zm9*",
                                      "Zm-_", "Z=9v", "Zg=v", "Zm9v=",    "*"};
    uint8_t room[16];
    size_t len;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (base64_decode(span_str(bad[i]), room, sizeof(room), &len) != ERR_SYNTAX)
            fail_msg("\"%s\" is read", bad[i]);
    }
    assert_int_equal(base64_decode(span_make("Zm9\0", 4), room, sizeof(room), &len), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
