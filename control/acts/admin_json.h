/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket's answers contain, as JSON values. Process: the supervisor's. */
#pragma once

#include "supervisor_priv.h"

#include <jansson.h>

/* NULL where memory is out. */
json_t *admin_status_json(const struct supervisor *s);

/* Appends the rows that a worker wrote into fd to array; number is what it claims. Whatever the
 * file holds: texts end, and bytes that are not printable ASCII become '?'. Returns how many were
 * added. */
size_t admin_rows_json(json_t *array, enum channel_kind kind, const char *worker, int fd,
                       uint64_t number);
/* The object that a worker wrote into fd, bytes long as it claims. NULL where it is none, is too
 * large or too deep, or has a text that is not printable ASCII. */
json_t *admin_object_json(int fd, uint64_t bytes);
