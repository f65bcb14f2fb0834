/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One error type for the whole tree: 0 is success, a failure is a negative code with one row
 * in errcode.def. Functions that can fail return int and are marked ERR_CHECK, so that a result
 * that nobody looks at does not compile. Texts are for people; code never reads them.
 */
#pragma once

enum err_row {
#define ERR(name, text) ERR_ROW_##name,
#include "errcode.def"
#undef ERR
    ERR_ROW_COUNT
};

enum err {
    ERR_OK = 0,
#define ERR(name, text) ERR_##name = -(ERR_ROW_##name + 1),
#include "errcode.def"
#undef ERR
};

#define ERR_CHECK __attribute__((warn_unused_result))

/* The text of a code; a static string, also for a code that no row has. */
const char *err_text(int code);
