/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of bytes as the grammars of mail have them (RFC 5234 appendix B.1), whatever the locale;
 * and texts that are printable ASCII only.
 */
#pragma once

#include "span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* WSP: space, or tab. */
static inline bool ascii_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static inline bool ascii_is_alpha(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ascii_is_alnum(uint8_t c)
{
    return ascii_is_alpha(c) || (c >= '0' && c <= '9');
}

static inline uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

void ascii_lower_all(char *text);
/* Of one hexadecimal digit; -1: it is none. */
int ascii_hex_value(uint8_t c);
/* Writes in with each escape and its two hexadecimal digits as the byte that they stand for, and a
 * NUL. False: an escape without digits, a byte that is no printable one (a space is none here), or
 * no room. */
bool ascii_unescape(struct span in, char escape, char *out, size_t room);
/* A '?' for each byte that is not printable, such as a peer's in a text for people. */
void ascii_mask(char *text);
