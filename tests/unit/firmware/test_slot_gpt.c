/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define GUID "8d5ee8a1-0b6f-4a9e-9f6c-0123456789ab"

static const struct fake_partition parts[] = {
    {FAKE_ESP, GUID, "esp", 2048},
    {FAKE_ROOT, "8d5ee8a1-0b6f-4a9e-9f6c-0123456789ac", "postern_1", 4096},
    {FAKE_VERITY, "8d5ee8a1-0b6f-4a9e-9f6c-0123456789ad", "123456789012345678901234567890123456",
     1},
};

static void test_partitions(void **state)
{
    static uint8_t disk[SLOT_GPT_BYTES];
    static struct slot_gpt gpt;

    fake_gpt(parts, 3, disk);
    assert_int_equal(slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt), ERR_OK);
    assert_int_equal(gpt.len, 3);
    assert_string_equal(gpt.partitions[0].guid, GUID);
    assert_string_equal(gpt.partitions[0].type, FAKE_ESP);
    assert_string_equal(gpt.partitions[0].label, "esp");
    assert_int_equal(gpt.partitions[1].bytes, 4096 * 512);
    assert_string_equal(gpt.partitions[1].label, "postern_1");
    assert_string_equal(gpt.partitions[2].label, "123456789012345678901234567890123456");
    assert_int_equal(gpt.partitions[2].bytes, 512);
}

/* A gap in the table is no partition. */
static void test_gap(void **state)
{
    static uint8_t disk[SLOT_GPT_BYTES];
    static struct slot_gpt gpt;

    fake_gpt(parts, 3, disk);
    memset(disk + 1024 + 128, 0, 128);
    disk[1024 + 256 + 56] = 0x07; /* a bell in a label */
    fake_gpt_seal(disk);
    assert_int_equal(slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt), ERR_OK);
    assert_int_equal(gpt.len, 2);
    assert_int_equal(gpt.partitions[1].label[0], '?');
}

/* Any flipped bit of header or entries shows. */
static void test_damage(void **state)
{
    static uint8_t disk[SLOT_GPT_BYTES];
    static struct slot_gpt gpt;

    fake_gpt(parts, 3, disk);
    for (size_t i = 512; i < sizeof(disk); i += i < 604 ? 1 : 97) {
        if (i >= 604 && i < 1024)
            continue; /* behind the header */
        disk[i] ^= 1;
        if (slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt) != ERR_SYNTAX)
            fail_msg("byte %zu", i);
        disk[i] ^= 1;
    }
    assert_int_equal(slot_gpt_parse(span_make(disk, sizeof(disk) - 1), &gpt), ERR_SYNTAX);
    assert_int_equal(slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt), ERR_OK);
}

/* Sound checksums around values that nobody may follow. */
static void test_lies(void **state)
{
    static const struct {
        size_t place;
        uint8_t value;
    } rows[] = {
        {512 + 12, 200},  /* a header of another size: its checksum no longer fits */
        {512 + 13, 0xff}, /* one larger than its sector */
        {512 + 72, 3},    /* entries elsewhere */
        {512 + 81, 1},    /* more entries than are read */
        {512 + 80, 0},    /* none */
        {512 + 84, 64},   /* smaller entries */
        {512 + 85, 1},    /* larger */
    };
    static uint8_t disk[SLOT_GPT_BYTES];
    static struct slot_gpt gpt;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_gpt(parts, 3, disk);
        disk[rows[i].place] = rows[i].value;
        fake_gpt_seal(disk);
        if (slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt) != ERR_SYNTAX)
            fail_msg("row %zu", i);
    }
    fake_gpt(parts, 3, disk);
    disk[1024 + 40] = 0; /* ends before it begins */
    disk[1024 + 41] = 0;
    fake_gpt_seal(disk);
    assert_int_equal(slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt), ERR_OK);
    assert_int_equal(gpt.len, 2);
    memset(disk + 1024 + 40, 0xff, 8); /* larger than any disk */
    fake_gpt_seal(disk);
    assert_int_equal(slot_gpt_parse(span_make(disk, sizeof(disk)), &gpt), ERR_OK);
    assert_int_equal(gpt.len, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
