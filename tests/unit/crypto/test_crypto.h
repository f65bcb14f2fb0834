/* SPDX-License-Identifier: Apache-2.0 */
/* What every test of this floor starts with: cmocka in its order, and bytes written as hex. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "errcode.h"

/* Fills out from hex (blanks are skipped) and returns how many bytes that were. */
static inline size_t bytes_of(const char *hex, uint8_t *out, size_t room)
{
    size_t n = 0;

    while (*hex) {
        unsigned value;

        if (*hex == ' ') {
            hex++;
            continue;
        }
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        assert_true(n < room);
        out[n++] = (uint8_t)value;
        hex += 2;
    }
    return n;
}
