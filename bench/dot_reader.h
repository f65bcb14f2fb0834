/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the end of a message after DATA and takes the stuffed dots out (RFC 5321 section 4.5.2).
 * Only CRLF ends a line. Pure: it gives views of its input, piece by piece, in any
 * fragmentation.
 */
#pragma once

#include "span.h"

struct dot_reader {
    enum { DOT_LINE_START, DOT_MIDDLE, DOT_AFTER_DOT, DOT_AFTER_DOT_CR, DOT_END } state;
    bool after_cr;  /* the byte before was CR */
    uint64_t bares; /* LFs without a CR before them */
};

/* For a new message. */
void dot_reader_init(struct dot_reader *d);
/* Takes a piece of in, which is not empty, and returns how many bytes that was; *ret_out is what
 * of it belongs to the message, maybe nothing. d->state is DOT_END after the end: the bytes that
 * follow are commands. */
size_t dot_reader_take(struct dot_reader *d, struct span in, struct span *ret_out);
