/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a child of the supervisor gives up what it no longer needs: root, groups, capabilities, and
 * most of the kernel. Called in this order, once, before the first byte from the network is read.
 */
#pragma once

#include "errcode.h"

#include <stddef.h>
#include <sys/types.h>

enum sandbox {
    SANDBOX_WORKER,   /* sockets it was given and makes, its ring, files read only */
    SANDBOX_RESOLVER, /* sockets, threads, files read only but for its own folders */
    SANDBOX_METRICS,  /* the sockets it was given */
    SANDBOX_RATCHET,  /* the same, and files of its directory */
};

/* From root to user (whose ids were looked up before): groups, ids, every capability, and none to
 * be had again. Without root only the capabilities go. Ends with PR_SET_PDEATHSIG, which the change
 * of ids clears: the process dies with parent. ERR_SYSTEM, why says what. */
int sandbox_drop_root(uid_t uid, gid_t gid, pid_t parent, char *why, size_t why_room) ERR_CHECK;
/* The seccomp filter, for all threads. What is on no list fails with ENOSYS, as on an older kernel;
 * what only an intruder would call (execve, ptrace, ...) kills the process. */
int sandbox_enter(enum sandbox kind, char *why, size_t why_room) ERR_CHECK;
/* SANDBOX_RESOLVER's and SANDBOX_RATCHET's: files are made, replaced and removed by calls that name the descriptor of one of
 * these directories (-1: none), and by no others. */
int sandbox_enter_with(enum sandbox kind, const int *directories, size_t len, char *why,
                       size_t why_room) ERR_CHECK;
/* Nothing is written but below these directories (-1: nowhere), by Landlock, where the kernel has it
 * (from 5.13 on): a path that starts with a slash does not mind a descriptor. After
 * sandbox_drop_root, and before the first thread, which it would not reach. ERR_SYSTEM. */
int sandbox_write_below(const int *directories, size_t len, char *why,
                        size_t why_room) ERR_CHECK;
