/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMTP replies (RFC 5321 section 4.2, RFC 2034, RFC 3463): the parser for what a next hop says, and
 * the writer of our own. Pure. A reply is bounded: SMTP_REPLY_LINES lines of at most
 * SMTP_REPLY_LINE bytes; more is a protocol error of the next hop.
 */
#pragma once

#include "buf.h"
#include "errcode.h"
#include "span.h"

enum { SMTP_REPLY_LINE = 2048, SMTP_REPLY_LINES = 128, SMTP_REPLY_TEXT = 1024 };

struct smtp_enhanced { /* 0.0.0: none */
    uint16_t class, subject, detail;
};

struct smtp_reply {
    uint16_t code;                 /* 200..599 */
    struct smtp_enhanced enhanced; /* of the first line, where its class matches the code's */
    uint16_t lines;
    size_t len;                 /* of text */
    char text[SMTP_REPLY_TEXT]; /* the lines' texts without code and enhanced code, '\n' between
                                   them, cut at the room; control bytes and 8-bit replaced by '?' */
};

/* Reads one whole reply from data. ERR_AGAIN: not all there yet. ERR_SYNTAX: not a reply (bare LF,
 * mixed codes, no digits, lines too long or too many): the connection is of no use any more. */
int smtp_reply_parse(const uint8_t *data, size_t len, struct smtp_reply *ret,
                     size_t *ret_used) ERR_CHECK;

/* A reply of our own with one line of text. */
void smtp_reply_make(struct smtp_reply *ret, uint16_t code, uint16_t subject, uint16_t detail,
                     const char *text);
/* Writes it as lines; each gets code and, unless without_enhanced, an enhanced code, made up from
 * the class where the reply has none (RFC 2034 section 4: x.0.0). */
int smtp_reply_write(const struct smtp_reply *reply, bool without_enhanced,
                     struct buf *out) ERR_CHECK;
static inline unsigned smtp_reply_class(const struct smtp_reply *r)
{
    return r->code / 100;
}
