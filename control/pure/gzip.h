/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952) of whole files in memory, by zlib. What comes out is bounded by the bound of the buffer
 * that it goes to, however small the input is.
 */
#pragma once

#include "buf.h"

/* Whether bytes begin as a gzip file does. */
bool gzip_is(struct span in);
/* ERR_SYNTAX: not gzip, or damaged; ERR_AGAIN: its end is missing; ERR_FULL: larger than out's
 * bound; ERR_NOMEM. Further members of the file follow one another. */
int gzip_inflate(struct span in, struct buf *out) ERR_CHECK;
/* The same bytes give the same file: no time and no name are in it. ERR_FULL, ERR_NOMEM. */
int gzip_deflate(struct span in, struct buf *out) ERR_CHECK;
