/* SPDX-License-Identifier: Apache-2.0 */
/* tests/process/test_update.py has archives that others make. */
#include "tar_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIZE_AT = 124, SUM_AT = 148, TYPE_AT = 156, LINK_AT = 157, MAGIC_AT = 257, PREFIX_AT = 345 };

static void seal(uint8_t block[TAR_BLOCK])
{
    unsigned sum = 0;

    memset(block + SUM_AT, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    snprintf((char *)block + SUM_AT, 8, "%06o", sum);
}

static void make(uint8_t block[TAR_BLOCK], const char *name, uint64_t size)
{
    struct tar_header header = {.size = size, .mtime = 1};

    snprintf(header.name, sizeof(header.name), "%s", name);
    assert_int_equal(tar_header_write(&header, block), ERR_OK);
}

static void test_round(void **state)
{
    static const uint64_t sizes[] = {0, 1, 511, 512, 513, TAR_SIZE_MAX};
    uint8_t block[TAR_BLOCK];
    struct tar_header header;
    char longest[TAR_NAME];

    memset(longest, 'n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        make(block, longest, sizes[i]);
        assert_int_equal(tar_header_read(block, &header), ERR_OK);
        assert_string_equal(header.name, longest);
        assert_int_equal(header.size, sizes[i]);
    }
    assert_int_equal(tar_padding(0), 0);
    assert_int_equal(tar_padding(1), 511);
    assert_int_equal(tar_padding(512), 0);
    assert_int_equal(tar_padding(513), 511);
}

static void test_not_written(void **state)
{
    static const struct tar_header rows[] = {
        {.name = ""},
        {.name = ".hidden"},
        {.name = "a/b"},
        {.name = "a b"},
        {.name = "\xc3\xa4"},
        {.name = "a", .size = TAR_SIZE_MAX + 1ull},
        {.name = "a", .mtime = -1},
    };
    uint8_t block[TAR_BLOCK];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(tar_header_write(&rows[i], block), ERR_RANGE);
}

static void test_end(void **state)
{
    static const uint8_t zeros[TAR_BLOCK];
    struct tar_header header;

    assert_int_equal(tar_header_read(zeros, &header), ERR_NOTFOUND);
}

/* Any bit of a header that is another. */
static void test_damage(void **state)
{
    uint8_t block[TAR_BLOCK];
    struct tar_header header;

    make(block, "file", 1000);
    for (size_t bit = 0; bit < TAR_BLOCK * 8; bit++) {
        if (bit / 8 >= SUM_AT + 6 && bit / 8 < SUM_AT + 8)
            continue; /* NUL and a blank behind the sum: either ends it */
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (tar_header_read(block, &header) != ERR_SYNTAX)
            fail_msg("bit %zu", bit);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* Sound sums around what is not taken: a row is a place and what is there. */
static void test_refused(void **state)
{
    static const struct {
        size_t at;
        const char *bytes;
        size_t len;
    } rows[] = {
        {TYPE_AT, "\0", 1},
        {TYPE_AT, "1", 1},
        {TYPE_AT, "2", 1},
        {TYPE_AT, "3", 1},
        {TYPE_AT, "5", 1},
        {TYPE_AT, "L", 1},
        {TYPE_AT, "x", 1},
        {TYPE_AT, "g", 1},
        {LINK_AT, "x", 1},
        {PREFIX_AT, "x", 1},
        {MAGIC_AT, "ustar  ", 8},
        {0, "../x", 4},
        {0, "/x", 2},
        {0, ".", 1},
        {0, "a\nb", 3},
        {SIZE_AT, "\x80\0\0\0", 4},
        {SIZE_AT, "-0000000001", 11},
        {SIZE_AT, "77777777777", 11},
        {SIZE_AT, "00000000008", 11},
        {SIZE_AT, "\0", 1},
        {SIZE_AT, "            ", 12},
    };
    struct tar_header header;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t block[TAR_BLOCK];
        make(block, "file", 1);
        memcpy(block + rows[i].at, rows[i].bytes, rows[i].len);
        seal(block);
        if (tar_header_read(block, &header) != ERR_SYNTAX)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),   cmocka_unit_test(test_not_written),
        cmocka_unit_test(test_end),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
