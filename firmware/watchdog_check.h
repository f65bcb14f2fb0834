/* SPDX-License-Identifier: Apache-2.0 */
/* One run of the program that says whether the gateway is well: status 0 is well, all else is not. */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <sys/types.h>

struct watchdog_check {
    pid_t pid; /* 0: none runs */
    int pidfd; /* readable at its end */
};

/* Starts it in a process group of its own, its output thrown away, its complaints where ours go.
 * ERR_SYSTEM with errno. */
int watchdog_check_start(char *const *words, struct watchdog_check *ret) ERR_CHECK;
/* All of its process group. */
void watchdog_check_kill(const struct watchdog_check *check);
/* After its end, waits for it; true where it said that all is well. */
bool watchdog_check_end(struct watchdog_check *check);
