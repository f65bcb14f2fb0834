/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program of the appliance's and waits for it, with a bound on its time and on what it says:
 * what it is given is a list of words, never a shell's line. root stands in front of the program's
 * path, so that tests can have one of their own there.
 */
#pragma once

#include "buf.h"

#include <sys/types.h>

enum { SYSTEM_RUN_LINE = 512 };

struct system_run {
    const char *root;         /* "" for the machine itself */
    const char *const *words; /* the program's path first, NULL last */
    int timeout_s;
    void (*line)(void *user, const char *text); /* each line of its output as it comes; or NULL */
    void *user;
    struct buf *out; /* its standard output, or both where line is set or with_errors; NULL: none */
    bool with_errors;
    const char *input; /* all of its standard input, shorter than PIPE_BUF; NULL: none */
    const char *variable; /* one more for its environment, "NAME=VALUE"; NULL: none */
};

/* Its exit status, 128 and the signal that ended it; ERR_TIMEOUT (it is killed then), ERR_SYSTEM:
 * it could not be started; ERR_FULL: it said more than out holds, and was let run on. */
int system_run(const struct system_run *run) ERR_CHECK;

/* Starts a program that runs on, with all that it says going to output (a descriptor). The pid, or
 * ERR_SYSTEM. */
pid_t system_start(const char *root, const char *const *words, int output);
/* Whether it still runs. */
bool system_alive(pid_t pid);
/* Asks it to end, and after timeout_s makes it. */
void system_stop(pid_t pid, int timeout_s);
