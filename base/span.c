/* SPDX-License-Identifier: Apache-2.0 */
#include "span.h"

#include "ascii.h"
#include "errcode.h"

struct span span_trim_start(struct span s)
{
    while (s.len > 0 && ascii_is_blank(s.ptr[0]))
        s = span_from(s, 1);
    return s;
}

struct span span_trim_end(struct span s)
{
    while (s.len > 0 && ascii_is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct span span_trim(struct span s)
{
    return span_trim_end(span_trim_start(s));
}

struct span span_cut(struct span *rest, uint8_t byte)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->ptr, byte, rest->len) : NULL;
    struct span before = span_make(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);

    *rest = span_from(*rest, before.len + (end != NULL));
    return before;
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
    if (s.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++) {
        if (ascii_lower(s.ptr[i]) != ascii_lower(prefix.ptr[i]))
            return false;
    }
    return true;
}

bool span_equal_nocase(struct span a, struct span b)
{
    return a.len == b.len && span_starts_nocase(a, b);
}

bool span_ends_nocase(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_starts_nocase(span_from(s, s.len - suffix.len), suffix);
}

int span_to_u64(struct span s, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (s.len == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return ERR_SYNTAX;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.ptr[i] - '0');
        if (value > (max - digit) / 10 || digit > max)
            return ERR_RANGE;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return ERR_OK;
}

int span_to_cstr(struct span s, char *out, size_t room)
{
    if (s.len + 1 > room) {
        if (room > 0)
            out[0] = '\0';
        return ERR_FULL;
    }
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return ERR_OK;
}
