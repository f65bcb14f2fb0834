/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "dot_reader.h"

/* Feeds step bytes at a time; returns how many were used, the message in out. */
static size_t read_all(const char *text, size_t step, char *out, struct dot_reader *dot)
{
    size_t used = 0, len = strlen(text), room = 0;

    dot_reader_init(dot);
    while (used < len && dot->state != DOT_END) {
        size_t part = len - used < step ? len - used : step;
        struct span piece;
        used += dot_reader_take(dot, span_make(text + used, part), &piece);
        memcpy(out + room, piece.ptr, piece.len);
        room += piece.len;
    }
    out[room] = '\0';
    return used;
}

static void only_crlf_dot_crlf_ends(void **state)
{
    static const struct {
        const char *in, *out;
        bool ends;
        unsigned bares;
    } rows[] = {
        {".\r\n", "", true, 0},
        {"a\r\n.\r\n", "a\r\n", true, 0},
        {"a\r\n..\r\n.\r\n", "a\r\n.\r\n", true, 0},
        {"..a\r\n.b\r\n.\r\n", ".a\r\nb\r\n", true, 0},
        {"a\n.\n", "a\n.\n", false, 2},
        {"a\n.\r\n", "a\n.\r\n", false, 1},
        {"a\r\n.\n", "a\r\n\n", false, 1},
        {"a\r.\r\n", "a\r.\r\n", false, 0},
        {"a\r\n.\r\r\n", "a\r\n\r\r\n", false, 0},
        {"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", true, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step < 16; step++) {
            struct dot_reader dot;
            char out[64];
            size_t used = read_all(rows[i].in, step, out, &dot);
            assert_string_equal(out, rows[i].out);
            assert_int_equal(dot.state == DOT_END, rows[i].ends);
            assert_int_equal(dot.bares, rows[i].bares);
            assert_int_equal(used, strlen(rows[i].in));
        }
    }
}

static void commands_behind_the_end_are_left(void **state)
{
    struct dot_reader dot;
    char out[64];

    (void)state;
    assert_int_equal(read_all("a\r\n.\r\nQUIT\r\n", 64, out, &dot), 6);
    assert_int_equal(dot.state, DOT_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_crlf_dot_crlf_ends),
        cmocka_unit_test(commands_behind_the_end_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
