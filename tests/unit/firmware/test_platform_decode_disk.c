/* SPDX-License-Identifier: Apache-2.0 */
/* Is what disks say of their health read right, and nothing said of what can't be read? */
#include "../cmocka_all.h"

#include "platform_host.h"

#include <stdlib.h>

/* A log as NVM Express lays it out, of a disk in good order: 38 C, all spare there, 3 % used. */
static void log_make(uint8_t log[NVME_SMART_LOG_SIZE])
{
    memset(log, 0, NVME_SMART_LOG_SIZE);
    log[1] = 0x37; /* 311 K */
    log[2] = 0x01;
    log[3] = 100;
    log[4] = 10;
    log[5] = 3;
}

static void nvme_logs_are_read(void **state)
{
    uint8_t log[NVME_SMART_LOG_SIZE];
    struct platform_disk disk = {0};

    log_make(log);
    assert_int_equal(platform_nvme_decode(span_make(log, sizeof(log)), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_GOOD);
    assert_string_equal(disk.why, "3 % used, 100 % spare, 38 C, 0 media errors");

    log[5] = 105;
    log[160] = 2;
    assert_int_equal(platform_nvme_decode(span_make(log, sizeof(log)), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_WARNS);
    assert_string_equal(disk.why, "it has been written more than it was made for: 105 % used, "
                                  "100 % spare, 38 C, 2 media errors");
    log[0] = 0x02;
    assert_int_equal(platform_nvme_decode(span_make(log, sizeof(log)), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_WARNS);
    assert_memory_equal(disk.why, "its temperature", 15);
    log[0] = 0x0b; /* the worst is told */
    assert_int_equal(platform_nvme_decode(span_make(log, sizeof(log)), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_FAILS);
    assert_memory_equal(disk.why, "it has become read-only", 23);
    memset(log, 0xff, sizeof(log));
    assert_int_equal(platform_nvme_decode(span_make(log, sizeof(log)), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_FAILS);
    assert_int_equal(platform_nvme_decode(span_make(log, sizeof(log) - 1), &disk), ERR_SYNTAX);
}

static int ata(const uint8_t *bytes, size_t len, struct platform_disk *disk)
{
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int result = platform_ata_decode(span_make(copy, len), disk);
    free(copy);
    return result;
}

/* Sense bytes as SAT describes them: descriptors, and the older fixed format. */
static void ata_answers_are_read(void **state)
{
    uint8_t sense[22] = {0x72, 0x01, 0, 0x1d, 0, 0, 0,    14, 0x09, 12, 0,
                         0,    0,    0, 0,    0, 0, 0x4f, 0,  0xc2, 0,  0x50};
    uint8_t fixed[18] = {0x70, 0, 0x01, 0, 0x50, 0, 0, 10, 0, 0, 0x4f, 0xc2, 0, 0x1d, 0, 0, 0, 0};
    struct platform_disk disk = {0};

    assert_int_equal(ata(sense, sizeof(sense), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_GOOD);
    sense[17] = 0xf4;
    sense[19] = 0x2c;
    assert_int_equal(ata(sense, sizeof(sense), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_FAILS);
    sense[19] = 0xc2; /* neither of the two */
    assert_int_equal(ata(sense, sizeof(sense), &disk), ERR_SYNTAX);
    for (size_t cut = 0; cut < sizeof(sense); cut++)
        assert_int_equal(ata(sense, cut, &disk), ERR_SYNTAX);
    sense[9] = 11; /* too short for the registers */
    assert_int_equal(ata(sense, sizeof(sense), &disk), ERR_SYNTAX);

    assert_int_equal(ata(fixed, sizeof(fixed), &disk), ERR_OK);
    assert_int_equal(disk.health, DISK_GOOD);
    fixed[2] = 0x05; /* illegal request: no registers */
    assert_int_equal(ata(fixed, sizeof(fixed), &disk), ERR_SYNTAX);
    assert_int_equal(ata(fixed, 0, &disk), ERR_SYNTAX);
}

static void health_has_names(void **state)
{
    assert_string_equal(platform_disk_health(DISK_NOT_ASKED), "not asked");
    assert_string_equal(platform_disk_health(DISK_FAILS), "fails");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nvme_logs_are_read),
        cmocka_unit_test(ata_answers_are_read),
        cmocka_unit_test(health_has_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
