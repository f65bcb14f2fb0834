/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the kernel and of disks about the machine: whatever they hold, texts end, and what is
 * written out again is read as the same. The first byte chooses the decoder. */
#include "fuzz.h"

#include "assertion.h"
#include "platform.h"
#include "platform_netlink.h"

#include <stdlib.h>

static bool ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static void nic(struct span s)
{
    struct platform_nic nic;
    struct nic_numbers numbers;

    if (platform_nic_decode(s, &nic) == ERR_OK)
        ASSERT(nic.name[0] != '\0');
    ASSERT(ends(nic.name, sizeof(nic.name)));
    if (platform_nic_numbers_decode(s, &numbers) == ERR_OK) {
        platform_nic_channels_take(&numbers, &nic);
        platform_nic_rings_take(&numbers, &nic);
        platform_nic_speed_take(&numbers, &nic);
        ASSERT(nic.speed_mbps != UINT32_MAX);
    }
}

static void devlink(struct span s)
{
    struct platform_devlink devlink;
    char text[96], tiny[8];

    int result = platform_devlink_decode(s, &devlink);
    ASSERT(devlink.len <= DEVLINK_VERSIONS_MAX);
    if (result != ERR_OK)
        return;
    platform_devlink_firmware(&devlink, text, sizeof(text));
    platform_devlink_firmware(&devlink, tiny, sizeof(tiny));
    ASSERT(ends(text, sizeof(text)) && ends(tiny, sizeof(tiny)));
}

static void refusal(struct span s)
{
    char text[NETLINK_WHY_TEXT];

    (void)!netlink_why_decode(s, NLM_F_ACK_TLVS, text, sizeof(text));
    ASSERT(ends(text, sizeof(text)));
    (void)!netlink_why_decode(s, NLM_F_ACK_TLVS | NLM_F_CAPPED, text, sizeof(text));
    ASSERT(ends(text, sizeof(text)));
}

static void irq(struct span s)
{
    struct span name = span_cut(&s, '\n');
    enum nic_direction direction;
    unsigned queue;

    if (platform_nic_irq_decode(s, name, &queue, &direction))
        ASSERT(queue <= UINT16_MAX);
}

static void cpus(struct span s)
{
    struct platform_cpus set, again;
    char text[8192];

    if (platform_cpus_list_decode(s, &set) == ERR_OK ||
        platform_cpus_mask_decode(s, &set) == ERR_OK) {
        platform_cpus_list(&set, text, sizeof(text));
        ASSERT(platform_cpus_list_decode(span_str(text), &again) == ERR_OK);
        ASSERT(memcmp(&set, &again, sizeof(set)) == 0);
        ASSERT(platform_cpus_mask(&set, text, sizeof(text)) == ERR_OK);
        ASSERT(platform_cpus_mask_decode(span_str(text), &again) == ERR_OK);
        ASSERT(memcmp(&set, &again, sizeof(set)) == 0);
    }
}

static void files(struct span s)
{
    struct platform_tls_counter counters[4];
    struct platform_memory memory;
    uint64_t value;

    size_t len = platform_tls_stat_decode(s, counters, 4);
    ASSERT(len <= 4);
    for (size_t i = 0; i < len; i++)
        ASSERT(counters[i].name[0] && ends(counters[i].name, sizeof(counters[i].name)));
    (void)!platform_memory_decode(s, &memory);
    (void)!platform_hex_decode(s, &value);
}

static void disks(struct span s)
{
    struct platform_disk disk = {0};

    if (platform_nvme_decode(s, &disk) == ERR_OK)
        ASSERT(disk.health != DISK_NOT_ASKED);
    if (platform_ata_decode(s, &disk) == ERR_OK)
        ASSERT(disk.health == DISK_GOOD || disk.health == DISK_FAILS);
    ASSERT(ends(disk.why, sizeof(disk.why)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const decoders[])(struct span) = {nic, devlink, refusal, irq, cpus, files, disks};

    if (len == 0)
        return 0;
    /* Attributes are aligned in a message, and what is beyond the last byte is not ours. */
    uint8_t *copy = malloc(len);
    ASSERT(copy);
    memcpy(copy, data + 1, len - 1);
    decoders[data[0] % (sizeof(decoders) / sizeof(decoders[0]))](span_make(copy, len - 1));
    free(copy);
    return 0;
}
