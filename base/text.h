/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text put together piece by piece in memory of a known size, for what is written with each
 * message: replies, commands, the Received line, the log line. printf takes longer for these than
 * everything else that a relayed message needs of control.
 *
 * A piece that does not fit is left out as a whole, and so is all that comes after it: full says
 * that. Where text_end is called, one byte of the room is for its NUL.
 */
#pragma once

#include "span.h"

struct text {
    char *out;
    size_t len, room;
    bool full;
};

static inline struct text text_into(void *out, size_t room)
{
    return (struct text){.out = out, .room = room};
}

static inline void text_put(struct text *t, const void *data, size_t len)
{
    if (t->full || len > t->room - t->len) {
        t->full = true;
        return;
    }
    if (len > 0)
        memcpy(t->out + t->len, data, len);
    t->len += len;
}

static inline void text_str(struct text *t, const char *s)
{
    text_put(t, s, strlen(s));
}

static inline void text_span(struct text *t, struct span s)
{
    text_put(t, s.ptr, s.len);
}

/* Decimal, with zeros in front up to so many digits (at most 20). */
void text_u64(struct text *t, uint64_t value, unsigned min_digits);
/* Lower case, without zeros in front. */
void text_hex(struct text *t, uint64_t value);
/* A C string of what was put; out has room for at least one byte. */
const char *text_end(struct text *t);
