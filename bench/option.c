/* SPDX-License-Identifier: Apache-2.0 */
#include "option.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row *row_find(const struct option_row *rows, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

static bool u64_read(const char *text, uint64_t *ret)
{
    static const char units[] = "KMG";
    char *end;

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 18)
        return false;
    *ret = strtoull(text, &end, 10);
    if (*end == '\0')
        return true;
    const char *unit = strchr(units, *end);
    if (!unit || end[1] != '\0')
        return false;
    return !__builtin_mul_overflow(*ret, UINT64_C(1) << 10 * (unit - units + 1), ret);
}

static int value_read(const struct option_row *row, const char *text, void *ret)
{
    char *at = (char *)ret + row->place;
    char *end;
    uint64_t number;
    double real;

    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)at = true;
        return ERR_OK;
    case OPTION_CHOICE:
        if (*(int *)at != 0 && *(int *)at != (int)row->min)
            return ERR_SYNTAX;
        *(int *)at = (int)row->min;
        return ERR_OK;
    case OPTION_U64:
        if (!u64_read(text, &number) || number < row->min || number > row->max)
            return ERR_RANGE;
        *(uint64_t *)at = number;
        return ERR_OK;
    case OPTION_REAL:
        real = strtod(text, &end);
        if (end == text || *end != '\0' || !isfinite(real) || real < (double)row->min ||
            real > (double)row->max)
            return ERR_RANGE;
        *(double *)at = real;
        return ERR_OK;
    case OPTION_TEXT:
        if (strlen(text) > row->max)
            return ERR_RANGE;
        *(const char **)at = text;
        return ERR_OK;
    }
    return ERR_SYNTAX;
}

static void error_write(const struct option_row *row, const char *found, char *error, size_t room)
{
    if (row->kind == OPTION_CHOICE)
        snprintf(error, room, "--%s: excluded by an option before it", row->name);
    else if (row->kind == OPTION_TEXT)
        snprintf(error, room, "--%s: longer than %" PRIu64 " bytes", row->name, row->max);
    else
        snprintf(error, room, "--%s: found \"%.64s\", allowed %" PRIu64 " to %" PRIu64, row->name,
                 found, row->min, row->max);
}

int options_read(const struct option_row *rows, size_t count, int argc, char **argv, void *ret,
                 char *error, size_t room)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return ERR_CLOSED;
        const struct option_row *row =
            strncmp(argv[i], "--", 2) == 0 ? row_find(rows, count, argv[i] + 2) : NULL;
        if (!row) {
            snprintf(error, room, "unknown option \"%.64s\"; --help lists all", argv[i]);
            return ERR_SYNTAX;
        }
        const char *value = NULL;
        if (row->arg) {
            if (i + 1 == argc) {
                snprintf(error, room, "--%s: needs %s", row->name, row->arg);
                return ERR_SYNTAX;
            }
            value = argv[++i];
        }
        int err = value_read(row, value, ret);
        if (err != ERR_OK) {
            error_write(row, value, error, room);
            return err;
        }
    }
    return ERR_OK;
}

void options_help(const struct option_row *rows, size_t count, FILE *to)
{
    for (size_t i = 0; i < count; i++) {
        char left[40];
        snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
                 rows[i].arg ? rows[i].arg : "");
        fprintf(to, "  %-24s %s\n", left, rows[i].help);
    }
}
