/* SPDX-License-Identifier: Apache-2.0 */
/* Moments as RFC 3339 writes them, and as seconds since 1970. Pure: no clock is read here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MOMENT_TEXT = 32 };

/* "2014-06-06T14:30:16+00:00", also with a fraction of the second, and with "Z". False: it is none,
 * or before 1970. */
bool moment_read(const char *text, int64_t *ret);
/* "2014-06-06T14:30:16Z"; what is before 1970 or after the year 9999, as a certificate's end may
 * be, is the first or the last second of these. Returns out. */
char *moment_text(int64_t at, char out[MOMENT_TEXT]);
