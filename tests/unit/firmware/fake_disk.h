/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that stands for an appliance: a disk's partition table, an EFI partition, variables. */
#pragma once

#include "slot_efi.h"
#include "slot_gpt.h"

#define FAKE_ROOT "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
#define FAKE_VERITY "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
#define FAKE_ESP "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

struct fake_partition {
    const char *type, *guid, *label;
    uint64_t sectors;
};

/* The first bytes of a disk with these partitions, one behind the other. */
void fake_gpt(const struct fake_partition *partitions, size_t len, uint8_t out[SLOT_GPT_BYTES]);
/* Anew after somebody changed out. */
void fake_gpt_seal(uint8_t out[SLOT_GPT_BYTES]);

/* An empty folder of its own below TMPDIR; removed by fake_remove. */
const char *fake_root_make(void);
void fake_remove(const char *root);
/* Folders on the way are made. */
void fake_file(const char *root, const char *path, const void *bytes, size_t len);
void fake_disk(const char *root, const char *name, const struct fake_partition *partitions,
               size_t len);
/* The variable as a firmware has it: of the boot loader. */
void fake_loader_variable(const char *root, const char *name, const char *text);
