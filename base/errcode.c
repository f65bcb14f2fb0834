/* SPDX-License-Identifier: Apache-2.0 */
#include "errcode.h"

static const char *const err_texts[] = {
#define ERR(name, text) text,
#include "errcode.def"
#undef ERR
};

const char *err_text(int code)
{
    if (code == ERR_OK)
        return "success";
    if (code > 0 || code < -ERR_ROW_COUNT)
        return "unknown error";
    return err_texts[-code - 1];
}
