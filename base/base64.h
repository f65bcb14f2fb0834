/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 section 4), read strictly: whole groups of four, padding where it belongs, no
 * other byte, and no bits that padding should have left zero, so that each text has one meaning.
 */
#pragma once

#include "errcode.h"
#include "span.h"

/* The characters that len bytes take, without the NUL. */
static inline size_t base64_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Writes base64_len(in.len) characters and a NUL. Returns out. */
char *base64_encode(struct span in, char *out);
/* ERR_SYNTAX; ERR_FULL where room is too small. */
int base64_decode(struct span in, uint8_t *out, size_t room, size_t *ret_len) ERR_CHECK;
