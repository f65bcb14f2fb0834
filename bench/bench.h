/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of postern-bench share: exit codes as in sysexits.h, help, and their mains. */
#pragma once

#include <stdio.h>
#include <sysexits.h>

enum {
    BENCH_OK = EX_OK,
    BENCH_USAGE = EX_USAGE,
    BENCH_NOHOST = EX_NOHOST,
    BENCH_UNAVAILABLE = EX_UNAVAILABLE, /* not one message was accepted */
    BENCH_OSERR = EX_OSERR,
    BENCH_IOERR = EX_IOERR,
    BENCH_TEMPFAIL = EX_TEMPFAIL, /* some messages were not accepted, or sessions were lost */
    BENCH_DATAERR = EX_DATAERR    /* the sink received a message that is not intact */
};

/* The help of a verb, or of all where verb is NULL. */
void bench_help(const char *verb);

int load_main(int argc, char **argv);
void load_help(FILE *to);
int sink_main(int argc, char **argv);
void sink_help(FILE *to);
int limit_main(int argc, char **argv);
void limit_help(FILE *to);
/* Becomes bench/compare.py, which has the options and their help. */
int compare_main(int argc, char **argv);
void compare_help(FILE *to);
