/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names by which a disk says what is on it: labels of partitions, and file names of UKIs with
 * the boot loader's counters (systemd's Automatic Boot Assessment). Pure: names in, values out. A name
 * that is not one of ours is ERR_SYNTAX, and nobody's to touch.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum { SLOT_VERSION_TEXT = 64 };

/* Letters, digits and . ~ ^ -, a digit first: what file names, labels and systemd-sysupdate can all
 * carry, without the + and _ that stand around versions. */
bool slot_version_valid(struct span version);
/* As systemd-sysupdate orders them (the UAPI group's version format): below 0 where a is older.
 * Both are valid. */
int slot_version_compare(const char *a, const char *b);

enum slot_part { SLOT_PART_EMPTY, SLOT_PART_ROOT, SLOT_PART_VERITY };

/* "postern_VERSION", "postern_VERSION_verity", "_empty". */
int slot_label_parse(struct span label, enum slot_part *ret_part,
                     char ret_version[SLOT_VERSION_TEXT]) ERR_CHECK;

struct slot_uki {
    char version[SLOT_VERSION_TEXT];
    bool counted;         /* by the boot loader, until it is blessed */
    unsigned left, done; /* tries, where counted */
};

enum { SLOT_TRIES_MAX = 999 };

/* "postern_VERSION.efi", "postern_VERSION+LEFT.efi", "postern_VERSION+LEFT-DONE.efi". */
int slot_uki_parse(struct span file, struct slot_uki *ret) ERR_CHECK;
