/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink attributes, read with bounds: of decoders only. An answer comes from the kernel, and from
 * fixtures and a fuzzer: each length in it is checked.
 */
#pragma once

#include "span.h"

#include <libmnl/libmnl.h>

/* Calls each attribute; false where the bytes are not whole attributes. */
bool platform_attr_walk(struct span attributes,
                        void (*each)(void *user, const struct nlattr *attr), void *user);
bool platform_attr_nested(const struct nlattr *nest,
                          void (*each)(void *user, const struct nlattr *attr), void *user);
/* A text, which need not end in NUL; what is not printable becomes "?", what does not fit is cut. */
void platform_attr_text(const struct nlattr *attr, char *out, size_t room);
/* False where it is no 32 bit number. */
bool platform_attr_u32(const struct nlattr *attr, uint32_t *ret);
