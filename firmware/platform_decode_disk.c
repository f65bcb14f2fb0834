/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_host.h"

#include <stdio.h>

const char *platform_disk_health(enum disk_health health)
{
    static const char *const texts[] = {
        [DISK_NOT_ASKED] = "not asked",
        [DISK_GOOD] = "good",
        [DISK_WARNS] = "warns",
        [DISK_FAILS] = "fails",
    };

    return texts[health];
}

/* --- NVMe --------------------------------------------------------------------------------- */

/* Bits of the first byte, the critical warning; what each means for a disk's future. */
static const struct {
    uint8_t bit;
    enum disk_health health;
    const char *text;
} nvme_warnings[] = {
    {0x04, DISK_FAILS, "its reliability is degraded"},
    {0x08, DISK_FAILS, "it has become read-only"},
    {0x01, DISK_FAILS, "its spare blocks are used up"},
    {0x10, DISK_WARNS, "its memory backup has failed"},
    {0x02, DISK_WARNS, "its temperature is out of bounds"},
    {0x20, DISK_WARNS, "its persistent memory is read-only or unreliable"},
};

enum {
    NVME_WARNING = 0,
    NVME_TEMPERATURE = 1, /* kelvin, two bytes */
    NVME_SPARE = 3,
    NVME_USED = 5,
    NVME_MEDIA_ERRORS = 160, /* sixteen bytes */
};

static uint64_t little_endian(struct span s, size_t offset, size_t len)
{
    uint64_t value = 0;

    for (size_t i = len; i > 0; i--)
        value = value << 8 | s.ptr[offset + i - 1];
    return value;
}

int platform_nvme_decode(struct span log, struct platform_disk *ret)
{
    if (log.len < NVME_SMART_LOG_SIZE)
        return ERR_SYNTAX;
    uint8_t warning = log.ptr[NVME_WARNING], used = log.ptr[NVME_USED];
    int celsius = (int)little_endian(log, NVME_TEMPERATURE, 2) - 273;
    const char *said = NULL;

    ret->health = DISK_GOOD;
    for (size_t i = 0; i < sizeof(nvme_warnings) / sizeof(nvme_warnings[0]); i++) {
        if (!(warning & nvme_warnings[i].bit) || nvme_warnings[i].health <= ret->health)
            continue;
        ret->health = nvme_warnings[i].health;
        said = nvme_warnings[i].text;
    }
    if (ret->health == DISK_GOOD && used >= 100) {
        ret->health = DISK_WARNS;
        said = "it has been written more than it was made for";
    }
    snprintf(ret->why, sizeof(ret->why), "%s%s%u %% used, %u %% spare, %d C, %llu media errors",
             said ? said : "", said ? ": " : "", used, log.ptr[NVME_SPARE], celsius,
             (unsigned long long)little_endian(log, NVME_MEDIA_ERRORS, 8));
    return ERR_OK;
}

/* --- ATA ---------------------------------------------------------------------------------- */

/* Sense data in descriptors (SPC-4, 0x72): the one of type 9 returns the disk's registers (SAT). In
 * the older fixed format (0x70) the registers stand in the bytes for information. SMART RETURN
 * STATUS leaves LBA at c24f00h where all is well, and 2cf400h where a threshold is passed (ACS). */
static int registers_find(struct span sense, uint8_t *ret_mid, uint8_t *ret_high)
{
    if (sense.len < 8)
        return ERR_SYNTAX;
    uint8_t code = sense.ptr[0] & 0x7f;
    if (code == 0x70 && sense.len >= 12 && (sense.ptr[2] & 0x0f) <= 1) {
        *ret_mid = sense.ptr[10];
        *ret_high = sense.ptr[11];
        return ERR_OK;
    }
    for (size_t at = 8; code == 0x72 && at + 2 <= sense.len; at += 2u + sense.ptr[at + 1]) {
        if (sense.ptr[at] != 0x09 || sense.ptr[at + 1] < 12)
            continue;
        if (at + 14 > sense.len)
            return ERR_SYNTAX;
        *ret_mid = sense.ptr[at + 9];
        *ret_high = sense.ptr[at + 11];
        return ERR_OK;
    }
    return ERR_SYNTAX;
}

int platform_ata_decode(struct span sense, struct platform_disk *ret)
{
    uint8_t mid, high;
    int result = registers_find(sense, &mid, &high);

    if (result != ERR_OK)
        return result;
    if (mid == 0x4f && high == 0xc2) {
        ret->health = DISK_GOOD;
        snprintf(ret->why, sizeof(ret->why), "SMART: no threshold is passed");
    } else if (mid == 0xf4 && high == 0x2c) {
        ret->health = DISK_FAILS;
        snprintf(ret->why, sizeof(ret->why),
                 "SMART: a threshold is passed, the disk expects to fail");
    } else {
        return ERR_SYNTAX;
    }
    return ERR_OK;
}
