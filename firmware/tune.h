/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets a machine up for the gateway: a plan of changes is a pure function of what platform_probe
 * found and of what the administrator wants; each change says why. Applying records every old value
 * before it is changed, so that a revert, also after a crash half-way, brings each back. A change
 * that the kernel refuses is told of, and the others are made.
 *
 * A card of which no row of tune_nic.def knows is left as it is. Limits are raised, never lowered.
 * Nothing here outlives a reboot.
 */
#pragma once

#include "platform.h"

enum {
    TUNE_TARGET_TEXT = 128,
    TUNE_VALUE_TEXT = 64,
    TUNE_WHY_TEXT = 192,
    TUNE_NOTES_MAX = 64,
};

enum tune_group {
#define TUNE_GROUP(name, text, what) TUNE_##name,
#include "tune_group.def"
#undef TUNE_GROUP
    TUNE_GROUP_COUNT
};

enum tune_kind {
#define TUNE_KIND(name, text) TUNE_KIND_##name,
#include "tune_kind.def"
#undef TUNE_KIND
    TUNE_KIND_COUNT
};

const char *tune_group_name(enum tune_group group);
const char *tune_kind_name(enum tune_kind kind);

struct tune_settings {
    unsigned workers; /* 0: one a processor */
    bool skip[TUNE_GROUP_COUNT];
    bool tls_rx;           /* also open records in the card */
    unsigned busy_poll_us; /* 0: no busy polling is switched on */
};

struct tune_change {
    enum tune_group group;
    enum tune_kind kind;
    char target[TUNE_TARGET_TEXT];
    char from[TUNE_VALUE_TEXT], to[TUNE_VALUE_TEXT];
    const char *why; /* of a table */
};

/* What is left alone that somebody may expect to be changed, and why. */
struct tune_note {
    bool warns; /* more than information: a card that is not known, an offload that is lost */
    char text[TUNE_WHY_TEXT];
};

struct tune_plan {
    size_t len, cap;
    struct tune_change *changes;
    size_t notes_len;
    struct tune_note notes[TUNE_NOTES_MAX];
};

/* "tls,rings": sets those rows of skip. ERR_NOTFOUND where a word names no group; ret_bad is it. */
int tune_skip_decode(const char *list, struct tune_settings *ret, struct span *ret_bad) ERR_CHECK;

/* tune_plan_free takes what it leaves, also after a failure. */
int tune_plan(const struct platform *p, const struct tune_settings *settings,
              struct tune_plan *ret) ERR_CHECK;
void tune_plan_free(struct tune_plan *plan);

/* --- reading and writing settings --------------------------------------------------------- */

/* How settings of this machine are read and written; a test has its own. Both return 0 or an errno;
 * why takes the kernel's words for a refusal, or "". */
struct tune_io {
    void *user;
    int (*read)(void *user, enum tune_kind kind, const char *target, char *out, size_t room);
    int (*write)(void *user, enum tune_kind kind, const char *target, const char *value, char *why,
                 size_t room);
};

/* root: as platform_probe's parts have it. ERR_SYSTEM with errno. */
struct tune_kernel;
int tune_kernel_open(int root, struct tune_kernel **ret, struct tune_io *ret_io) ERR_CHECK;
void tune_kernel_close(struct tune_kernel *kernel);

/* --- the record of old values ------------------------------------------------------------- */

struct tune_old {
    enum tune_kind kind;
    char target[TUNE_TARGET_TEXT], value[TUNE_VALUE_TEXT];
};

/* The lines of a record, in the order in which they were written. What follows the last line's end
 * is of a write that was cut, and did not come before any change: it is left away. ERR_SYNTAX. */
int tune_record_decode(struct span text, void (*each)(void *user, const struct tune_old *old),
                       void *user) ERR_CHECK;
/* One line; ERR_FULL where it does not fit, ERR_SYNTAX where a text has no place in a line. */
int tune_record_encode(const struct tune_old *old, char *out, size_t room) ERR_CHECK;

struct tune_record {
    int fd;
    size_t len, cap;
    struct tune_old *olds;
};

/* The file tune.state in the folder, which is made; only one program may have it. ERR_STATE where
 * another has it, ERR_SYNTAX where it can't be read, ERR_SYSTEM with errno. */
int tune_record_open(const char *folder, struct tune_record *ret) ERR_CHECK;
/* Keeps the oldest value of each setting; on the disk when it returns. */
int tune_record_add(struct tune_record *record, const struct tune_old *old) ERR_CHECK;
/* Nothing is changed any more. The file stays: who waits for it may have opened it. */
int tune_record_clear(struct tune_record *record) ERR_CHECK;
void tune_record_close(struct tune_record *record);

/* --- applying ----------------------------------------------------------------------------- */

enum tune_outcome {
    TUNE_DONE,
    TUNE_ALREADY, /* it is so */
    TUNE_OTHER,   /* the kernel took it and made something else of it */
    TUNE_REFUSED,
    TUNE_GONE, /* there is no such setting (any more) */
};

const char *tune_outcome_text(enum tune_outcome outcome);

struct tune_result {
    enum tune_outcome outcome;
    char is[TUNE_VALUE_TEXT]; /* after it */
    char why[TUNE_WHY_TEXT];  /* of a refusal */
};

/* One change: reads, records, writes, reads again. A failure is one of the record, with errno;
 * nothing was changed then. */
int tune_apply(const struct tune_change *change, const struct tune_io *io,
               struct tune_record *record, struct tune_result *ret) ERR_CHECK;
/* One old value, back. */
void tune_restore(const struct tune_old *old, const struct tune_io *io, struct tune_result *ret);
