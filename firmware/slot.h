/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appliance's slots, as facts: which versions are on the disk that the machine was booted from,
 * in what state each is, which one runs, which one comes next. A slot is a root partition, its verity
 * partition, and a UKI in the EFI partition; the version ties them together.
 *
 * Read from the disk's partition table, the names in the EFI partition and the firmware's variables;
 * nothing is changed. root: "" for the machine, else a folder that stands for it.
 */
#pragma once

#include "slot_gpt.h"
#include "slot_name.h"

enum {
    SLOTS_MAX = 8, /* two, and what somebody else may have left */
    SLOT_ENTRY_TEXT = 256,
};

enum slot_state {
    SLOT_EMPTY,
    SLOT_INCOMPLETE, /* one of its three parts is missing: an update was cut off */
    SLOT_BAD,        /* its tries are used up, and no start of it was found healthy */
    SLOT_TRIAL,      /* tries are left, and none has been found healthy yet */
    SLOT_GOOD,       /* was found healthy */
};

struct slot {
    enum slot_state state;
    char version[SLOT_VERSION_TEXT]; /* "" where empty */
    uint64_t root_bytes, verity_bytes; /* of the partitions; 0: none */
    bool has_uki;
    char uki_file[SLOT_ENTRY_TEXT]; /* its name now, with counters */
    struct slot_uki uki;
    bool runs; /* this is the system that runs */
    bool next; /* the next start is of this one */
};

struct slots {
    char running[SLOT_VERSION_TEXT];   /* "": no appliance */
    char disk[64];                     /* "sda"; "" where none was found */
    char esp[64];                      /* where the EFI partition is mounted, below root; "": nowhere */
    char once[SLOT_ENTRY_TEXT];        /* the entry of the next start alone; "": none is set */
    char chosen[SLOT_ENTRY_TEXT];      /* the entry that an administrator chose; "": newest first */
    bool efi;                          /* there are variables of a UEFI firmware */
    bool trial;                        /* this start is one of a version not yet found healthy */
    size_t len;
    struct slot slots[SLOTS_MAX];      /* filled ones first, newest first */
};

/* ERR_NOTFOUND: no os-release with IMAGE_ID=postern, this is no appliance; ret->running is "" then.
 * Whatever else can't be read is left out. */
int slots_read(const char *root, struct slots *ret) ERR_CHECK;
/* The running one; NULL where the disk does not say. The other one: the newest that does not run and
 * is not empty, NULL where there is none. */
const struct slot *slots_running(const struct slots *s);
const struct slot *slots_other(const struct slots *s);
/* How large the partitions are that an update may be written to: the largest of each kind that does
 * not run. An update that was cut off may have left one of them with a name and the other without. False:
 * there is none of one kind. */
bool slots_room(const struct slots *s, uint64_t *ret_root_bytes, uint64_t *ret_verity_bytes);
/* "empty", "incomplete", "bad", "trial", "good". */
const char *slot_state_text(enum slot_state state);
