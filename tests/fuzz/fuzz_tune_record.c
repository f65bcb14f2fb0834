/* SPDX-License-Identifier: Apache-2.0 */
/* The record of old values: what is read from it stays inside, and is written as it was read. */
#include "fuzz.h"

#include "assertion.h"
#include "tune.h"

static void old_check(void *user, const struct tune_old *old)
{
    char line[TUNE_TARGET_TEXT + TUNE_VALUE_TEXT + 32];
    size_t *count = user;

    (*count)++;
    ASSERT(old->target[0] && old->value[0] && !strchr(old->value, '\n'));
    if (old->kind == TUNE_KIND_FILE || old->kind == TUNE_KIND_MASK)
        ASSERT(old->target[0] != '/' && strncmp(old->target, "../", 3) != 0);
    ASSERT(tune_record_encode(old, line, sizeof(line)) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t count = 0, lines = 0;

    for (size_t i = 0; i < len; i++)
        lines += data[i] == '\n';
    if (tune_record_decode(span_make(data, len), old_check, &count) == ERR_OK && lines > 0)
        ASSERT(count == lines - 1);
    return 0;
}
