/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ratchet's book on disk: one file, "hosts", in the folder "ratchet" of state_dir. It is replaced
 * as a whole, by rename, after its bytes are on the disk: a crash leaves the old or the new one.
 *
 * Process: the ratchet's, which has the folder's descriptor and no other right to write.
 */
#pragma once

#include "buf.h"

#include <sys/types.h>

/* The folder, made where it is missing, for uid and gid. -1: none to be had, why says why. Called
 * with the rights that state_dir asks for, before they are given up. */
int ratchet_store_open(const char *state_dir, uid_t uid, gid_t gid, char *why, size_t why_room);
/* The file, at most max bytes. ERR_NOTFOUND: there is none; ERR_RANGE: more than that; ERR_IO. */
int ratchet_store_read(int store, size_t max, struct buf *out) ERR_CHECK;
/* ERR_IO; errno says why. */
int ratchet_store_write(int store, struct span file) ERR_CHECK;
/* The file is kept under another name, where the one before it makes room. */
int ratchet_store_set_aside(int store) ERR_CHECK;
#define RATCHET_STORE_ASIDE "hosts.damaged"
