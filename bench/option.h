/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a verb as a table: one row holds name, argument, range, place and help, and gives
 * the parser and the --help text.
 */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_CHOICE, /* int: set to min; rows with the same place exclude each other */
    OPTION_U64,    /* uint64_t within min and max; K, M, G for 1024 and so on */
    OPTION_REAL,   /* double within min and max */
    OPTION_TEXT    /* const char *, at most max bytes */
};

struct option_row {
    const char *name, *arg; /* arg: NULL where it takes none */
    enum option_kind kind;
    size_t place; /* offset in the verb's options */
    uint64_t min, max;
    const char *help;
};

/* A row whose place is the field of struct type. */
#define OPTION_ROW(type, name_, arg_, kind_, field, min_, max_, help_)                             \
    {.name = (name_), .arg = (arg_), .kind = (kind_), .place = offsetof(struct type, field),       \
     .min = (min_), .max = (max_), .help = (help_)}

/* Fills the struct at ret from argv[1] on; on ERR_SYNTAX or ERR_RANGE error says what is wrong
 * and what is allowed. ERR_CLOSED: --help was asked for. */
int options_read(const struct option_row *rows, size_t count, int argc, char **argv, void *ret,
                 char *error, size_t error_room) ERR_CHECK;
void options_help(const struct option_row *rows, size_t count, FILE *to);
