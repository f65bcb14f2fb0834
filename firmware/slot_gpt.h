/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partitions that a GPT names (UEFI specification, section 5.3). Read from the disk itself: what
 * the kernel says of a partition's label is from when the machine was started, and an update writes
 * new ones. Pure: bytes in, values out.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum {
    SLOT_GPT_SECTOR = 512,
    SLOT_GPT_PARTITIONS_MAX = 128,
    /* Protective MBR, header, entries: what is read of a disk. */
    SLOT_GPT_BYTES = SLOT_GPT_SECTOR * 2 + SLOT_GPT_PARTITIONS_MAX * 128,
    SLOT_GPT_LABEL = 36 + 1,
    SLOT_GPT_GUID = 36 + 1,
};

struct slot_partition {
    char label[SLOT_GPT_LABEL]; /* what is no printable ASCII in it is '?' */
    char type[SLOT_GPT_GUID];   /* lower case, as the next */
    char guid[SLOT_GPT_GUID];   /* the partition's own */
    uint64_t bytes;
};

struct slot_gpt {
    size_t len;
    struct slot_partition partitions[SLOT_GPT_PARTITIONS_MAX];
};

/* disk: its first SLOT_GPT_BYTES. ERR_SYNTAX: no GPT, or one whose checksums are wrong. */
int slot_gpt_parse(struct span disk, struct slot_gpt *ret) ERR_CHECK;
