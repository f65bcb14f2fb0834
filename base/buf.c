/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include "assertion.h"

#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    size_t used = buf_len(b);

    if (len > SIZE_MAX / 4 || (b->max != 0 && len > b->max - (used < b->max ? used : b->max)))
        return NULL;
    if (b->cap - b->end >= len)
        return b->data + b->end;
    if (b->start > 0) {
        if (used > 0)
            memmove(b->data, b->data + b->start, used);
        b->start = 0;
        b->end = used;
    }
    if (b->cap - b->end < len) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap < used + len)
            cap *= 2;
        uint8_t *data = realloc(b->data, cap);
        if (!data)
            return NULL;
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->end;
}

void buf_commit(struct buf *b, size_t len)
{
    ASSERT(b->cap - b->end >= len);
    b->end += len;
}

int buf_append_grown(struct buf *b, const void *data, size_t len)
{
    uint8_t *to = buf_reserve(b, len);
    if (!to)
        return ERR_FULL;
    memcpy(to, data, len);
    b->end += len;
    return ERR_OK;
}

int buf_append_span(struct buf *b, struct span s)
{
    return buf_append(b, s.ptr, s.len);
}

/* Formatted straight into what room there is; again only where that was too little. */
int buf_vprintf(struct buf *b, const char *format, va_list args)
{
    size_t room = b->cap - b->end;
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(room ? (char *)b->data + b->end : NULL, room, format, again);
    va_end(again);
    if (len < 0)
        return ERR_SYNTAX;
    bool fits = (size_t)len < room && (b->max == 0 || buf_len(b) + (size_t)len < b->max);
    if (!fits) {
        uint8_t *to = buf_reserve(b, (size_t)len + 1);
        if (!to)
            return ERR_FULL;
        vsnprintf((char *)to, (size_t)len + 1, format, args);
    }
    b->end += (size_t)len;
    return ERR_OK;
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int err = buf_vprintf(b, format, args);
    va_end(args);
    return err;
}

void buf_consume(struct buf *b, size_t len)
{
    ASSERT(len <= buf_len(b));
    b->start += len;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}
