/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading SMTP replies (RFC 5321 section 4.2) from a run of received bytes. Pure, and apart from
 * the gateway's own reader on purpose: what measures it must not share its mistakes.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum { REPLY_MAX = 16384, REPLY_LINES_MAX = 256 };

struct reply {
    unsigned code;     /* 200 to 599 */
    struct span bytes; /* all of its lines, each with CRLF; views of the input */
    struct span text;  /* the last line, without code and CRLF */
};

/* Reads the reply at the start of in. ERR_AGAIN: not complete yet. ERR_SYNTAX: not a reply, or
 * lines with different codes. ERR_RANGE: longer than REPLY_MAX or REPLY_LINES_MAX. */
int reply_read(struct span in, struct reply *ret) ERR_CHECK;
/* Whether a line of an EHLO reply, after the first, starts with that keyword. */
bool reply_has_keyword(const struct reply *r, struct span keyword);
