/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span is a view of bytes that somebody else owns: no NUL at its end is promised, and it is
 * valid as long as its owner says. Comparisons are on bytes; the _nocase ones fold ASCII only,
 * as SMTP verbs and domains want (RFC 5321 section 2.4), whatever the locale.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *ptr;
    size_t len;
};

#define SPAN_LIT(literal) ((struct span){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline struct span span_make(const void *ptr, size_t len)
{
    return (struct span){(const uint8_t *)ptr, len};
}

static inline struct span span_str(const char *text)
{
    return span_make(text, strlen(text));
}

/* The rest of s from offset on; an offset past the end gives an empty span. */
static inline struct span span_from(struct span s, size_t offset)
{
    if (offset > s.len)
        offset = s.len;
    return (struct span){s.ptr + offset, s.len - offset};
}

/* Without the blanks (space, tab) at its start, at its end, at both. */
struct span span_trim_start(struct span s);
struct span span_trim_end(struct span s);
struct span span_trim(struct span s);
/* What comes before the byte, or all of it; *rest begins behind the byte. */
struct span span_cut(struct span *rest, uint8_t byte);
bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b);
bool span_starts_nocase(struct span s, struct span prefix);
/* True where s ends with suffix, ASCII case folded. */
bool span_ends_nocase(struct span s, struct span suffix);
/* Decimal digits only, the whole span; ERR_SYNTAX otherwise, ERR_RANGE above max. */
int span_to_u64(struct span s, uint64_t max, uint64_t *ret_value);
/* Copies s with a NUL into room bytes; ERR_FULL (and an empty string) where it does not fit. */
int span_to_cstr(struct span s, char *out, size_t room);
