/* SPDX-License-Identifier: Apache-2.0 */
/* Every implementation of the scan finds what the scalar one finds, and that one is right. */
#include "../cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "body_scan.h"

static size_t expected(const uint8_t *data, size_t len, bool dots)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
            return i;
        if (data[i] == '\r' && (i + 1 == len || data[i + 1] != '\n'))
            return i;
        if (dots && i >= 2 && data[i] == '.' && data[i - 1] == '\n' && data[i - 2] == '\r')
            return i;
    }
    return len;
}

static void check_all(const uint8_t *data, size_t len)
{
    for (int dots = 0; dots < 2; dots++) {
        size_t want = expected(data, len, dots);
        for (size_t i = 0; body_scans[i]; i++) {
            if (body_scans[i]->usable())
                assert_int_equal(body_scans[i]->find(data, len, dots), want);
        }
        assert_int_equal(body_scan_find(data, len, dots), want);
    }
}

/* Each pattern at each place of a clean text, so that it crosses every block's edge. */
static void each_pattern_at_each_place(void **state)
{
    static const char *const patterns[] = {"\r",        "\n",     "\r\n.",  "\n.",
                                           "\r.",       "\r\r\n", "\r\n\n", "\r\n\r",
                                           "\r\n\r\n.", "\n\r",   ".\r\n."};
    uint8_t text[300];

    for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
        size_t n = strlen(patterns[p]);
        for (size_t len = 0; len < sizeof(text); len++) {
            for (size_t at = 0; at + n <= len; at++) {
                memset(text, 'x', sizeof(text));
                memcpy(text + at, patterns[p], n);
                check_all(text, len);
            }
        }
    }
}

static void clean_lines_of_every_length(void **state)
{
    uint8_t text[2048];

    for (size_t line = 2; line < 140; line++) {
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = i % line == line - 2 ? '\r' : i % line == line - 1 ? '\n' : 'a';
        size_t whole = sizeof(text) / line * line;
        check_all(text, whole);
        assert_int_equal(body_scan_find(text, whole, true), whole);
    }
}

static void random_bytes(void **state)
{
    static const char letters[] = "\r\n.a\r\n";
    uint8_t text[512];

    srandom(1);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)random() % sizeof(text), noise = 1 + (size_t)random() % 40;
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)((size_t)random() % noise == 0 ? letters[random() % 6] : 'b');
        for (size_t i = 1; i < len; i++) { /* mostly whole line ends */
            if (text[i - 1] == '\r' && random() % 8 != 0)
                text[i] = '\n';
        }
        check_all(text, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pattern_at_each_place),
        cmocka_unit_test(clean_lines_of_every_length),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
