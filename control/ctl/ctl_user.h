/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl user add: makes the line of a user for a listener's auth_users. The password comes from the
 * terminal, or is the first line of stdin; it is never an argument, which others could see, and never
 * written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Into file, in place of the name's line where it has one; to stdout where file is NULL. The file
 * is replaced as a whole, with its owner and mode, so that a gateway never reads half of it. Returns
 * a code of sysexits; where that is not 0, why says more. */
int ctl_user_add(const char *name, const char *file, char *why, size_t why_room);
