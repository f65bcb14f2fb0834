/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of state_dir that one kind of process keeps files in. A file is replaced by rename, so
 * that it is whole or the one before.
 *
 * Process: the resolver's, and the ratchet's; each has the descriptors of its folders and no other
 * right to write.
 */
#pragma once

#include "buf.h"

#include <sys/types.h>

/* state_dir/name, made where it is missing, for uid and gid, as are the files that its owner before
 * had in it. -1: none to be had, why says why. Called with the rights that state_dir asks for,
 * before they are given up. */
int state_folder_open(const char *state_dir, const char *name, uid_t uid, gid_t gid, char *why,
                      size_t why_room);
/* No name starts with a dot: such are the starts of files. Not synced: what a power failure takes
 * is made anew, or lost. ERR_IO; errno says why. */
int state_folder_write(int folder, const char *name, struct span bytes) ERR_CHECK;
/* Its bytes are on the disk before it takes the old one's place. For a folder with a single writer.
 */
int state_folder_write_synced(int folder, const char *name, struct span bytes) ERR_CHECK;
/* Appends what a regular file holds. ERR_NOTFOUND; ERR_FULL: larger than out's bound; ERR_IO. */
int state_folder_read(int folder, const char *name, struct buf *out) ERR_CHECK;
void state_folder_remove(int folder, const char *name);
/* Kept under another name, where what had that one makes room. ERR_IO. */
int state_folder_set_aside(int folder, const char *name, const char *aside) ERR_CHECK;
