/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An update's bundle, read from a file or a pipe: images/bundle.sh says what it is. Its list and the
 * list's signature come first, so that nothing of it is kept before it is known to be ours; each file
 * that follows is written under another name until its hash is the list's.
 */
#pragma once

#include "errcode.h"
#include "slot_bundle.h"

enum { BUNDLE_WHY = 512 };

struct bundle {
    int fd; /* the caller's */
    struct slot_bundle_list list;
    uint64_t came; /* bytes so far */
    char why[BUNDLE_WHY];
};

/* Reads list and signature; the public keys are the *.pem in keys (a folder's path), any of which may
 * have signed. ERR_SYNTAX: no bundle; ERR_TLS: not signed by such a key; ERR_IO. why says more. */
int bundle_open(struct bundle *b, int fd, const char *keys) ERR_CHECK;

/* What the rest may need. */
struct bundle_room {
    uint64_t part_max[SLOT_BUNDLE_PARTS]; /* bytes */
    uint64_t spare;                       /* that stay free in the folder */
};

/* done of all bytes of this part are there. */
typedef void bundle_progress(void *user, enum slot_bundle_part part, uint64_t done, uint64_t all);

/* Writes the files into the folder, synced, after what is there of an earlier try is removed.
 * ERR_FULL: a part has no room; ERR_SYNTAX: it is cut short, or is not what the list says; ERR_IO. */
int bundle_unpack(struct bundle *b, int folder, const struct bundle_room *room,
                  bundle_progress *progress, void *user) ERR_CHECK;
/* Removes what bundle_unpack wrote, whole or not. */
void bundle_clear(int folder);
