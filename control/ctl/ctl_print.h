/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl's tables: rows of JSON in columns. */
#pragma once

#include "ctl.h"

#include <stdio.h>
#include <string.h>

/* A column: its title, and how a row's cell is written. */
struct ctl_column {
    const char *title;
    void (*write)(char *out, size_t room, const json_t *row);
    bool right; /* numbers */
};

/* "-" where there is none. */
const char *ctl_text(const json_t *row, const char *key);
long long ctl_number(const json_t *row, const char *key);
/* As JSON, and frees it. */
void ctl_print_json(json_t *data);
/* Says why, which may have its line's end already. Returns code. */
int ctl_failed(bool json, const char *why, int code);
void ctl_print_table(const json_t *rows, const struct ctl_column *columns, size_t columns_len);

#define CTL_TEXT_CELL(key)                                                                         \
    static void write_##key(char *out, size_t room, const json_t *row)                             \
    {                                                                                              \
        snprintf(out, room, "%s", ctl_text(row, #key));                                            \
    }
