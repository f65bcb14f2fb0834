/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arguments of a verb of postern-platform, by a table of its own: one row an option. Parser and
 * help are made from the same rows.
 */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum arg_shape {
    ARG_FLAG,
    ARG_TEXT,
    ARG_NUMBER,
    ARG_REST, /* this option's words are all that follow; it ends the options */
};

struct arg_row {
    const char *name; /* "--dry-run" */
    enum arg_shape shape;
    const char *value; /* "N", "FILE": what the help calls it */
    uint64_t least, most, preset; /* of a number */
    const char *help;
};

enum { ARG_ROWS_MAX = 24 };

struct arg_value {
    bool given;
    const char *text;
    uint64_t number; /* the preset where it was not given */
    char **words;    /* of ARG_REST, ends in NULL */
};

/* Fills values, one a row, from the words; ERR_SYNTAX with a sentence in why. The texts are those of
 * the words. */
int platform_args(const struct arg_row *rows, size_t len, char **words, struct arg_value *values,
                  char *why, size_t why_room) ERR_CHECK;
/* One line an option. */
void platform_args_help(const struct arg_row *rows, size_t len, FILE *out);
