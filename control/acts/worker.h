/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker process: one ring, one gateway. It reads the configuration, keys and certificates while
 * it may still do so, makes its ring, gives up root and most system calls, and then serves until it
 * is drained or the supervisor is gone.
 */
#pragma once

#include "plan.h"
#include "ratchet_table.h"
#include "shared.h"

struct worker_start {
    unsigned slot;
    const char *name; /* "worker/0" */
    const char *conf_file;
    int conf_fd;
    const struct plan *plan;
    int channel;
    int resolver_fd;
    struct ratchet_line ratchet;
    int listen_fds[PLAN_LISTENERS_MAX]; /* of its slot, in the order of the plan's listeners */
    struct shared_column shared;
    pid_t parent;
};

/* Returns the exit code: 0 after a drain. What stops it from starting is said over the channel
 * (CHANNEL_FAILED). */
int worker_main(const struct worker_start *start);
