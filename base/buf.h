/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes with a bound: appended at its end, consumed at its front. It owns its
 * memory, and holds none while it is empty after buf_release, so that an idle session costs
 * nothing. An append that would pass the bound fails with ERR_FULL and changes nothing.
 */
#pragma once

#include "errcode.h"
#include "span.h"

#include <stdarg.h>

struct buf {
    uint8_t *data; /* start of the allocation */
    size_t start;  /* consumed bytes at its front */
    size_t end;    /* used up to here */
    size_t cap;
    size_t max; /* the most bytes that may be held; 0: no bound */
};

void buf_init(struct buf *b, size_t max);
static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}
static inline struct span buf_span(const struct buf *b)
{
    return span_make(b->data ? b->data + b->start : NULL, b->end - b->start);
}
/* Of buf_append, where there is no room. */
int buf_append_grown(struct buf *b, const void *data, size_t len) ERR_CHECK;
static inline ERR_CHECK int buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return ERR_OK;
    if (len > b->cap - b->end || b->max != 0)
        return buf_append_grown(b, data, len);
    memcpy(b->data + b->end, data, len);
    b->end += len;
    return ERR_OK;
}
int buf_append_span(struct buf *b, struct span s) ERR_CHECK;
int buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3))) ERR_CHECK;
int buf_vprintf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0))) ERR_CHECK;
/* Makes room for len more bytes and returns where they go, NULL where that fails; buf_commit
 * then says how many were written there. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);
void buf_consume(struct buf *b, size_t len);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
/* Of buf_release, where there is memory. */
void buf_free(struct buf *b);
/* Empties it and gives the memory back; the bound stays. */
static inline void buf_release(struct buf *b)
{
    if (b->data)
        buf_free(b);
}
