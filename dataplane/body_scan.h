/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the bytes of a mail body that need a decision, with vector instructions: everything
 * before the found place is plain text in well-formed lines. Pure. body_flow decides what such a
 * byte means; nothing here does. It works on bit masks of 64 bytes at a time, never line by
 * line: a clean body costs the same whatever the length of its lines.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The first i where data[i] is
 *   LF, and data[i - 1] is not CR (also at 0: the byte before data must not be a CR),
 *   CR, and data[i + 1] is not LF (also at len - 1),
 *   "." right after CRLF, where dots is set (both bytes of the CRLF in data);
 * len where there is none.
 */
size_t body_scan_find(const uint8_t *data, size_t len, bool dots);

/* One implementation, for tests; body_scan_find uses the best that the machine has. */
struct body_scan {
    const char *name;
    size_t (*find)(const uint8_t *data, size_t len, bool dots);
    bool (*usable)(void);
};
/* Best first, the last one ("scalar") is usable everywhere; NULL at the end. */
extern const struct body_scan *const body_scans[];
