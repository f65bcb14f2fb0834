/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of postern-platform, one file each; platform_main.c has their table. */
#pragma once

#include "platform_args.h"

struct verb {
    const char *name;
    const char *summary; /* a line */
    const char *text;    /* what it does, and examples */
    const struct arg_row *rows;
    size_t rows_len;
    int (*main)(const struct arg_value *values); /* by row; returns a status of sysexits.h */
};

extern const struct verb verb_probe, verb_tune, verb_watchdog;

/* Writes "postern-platform: ..." to standard error, and a line's end. */
void verb_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* To standard output; EX_OK, or EX_IOERR. Frees the text. */
int verb_print(char *text, bool newline);
