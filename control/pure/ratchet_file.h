/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ratchet remembers (ratchet_book.h) as a file, which people may read too: a title with the
 * version, a line an entry, least recently used first, and a sum, so that a file that was cut or
 * altered by accident is not believed.
 *
 *   postern ratchet 1
 *   DESTINATION HOST LEVEL SOURCE SINCE LAST [lent] [dropped LEVEL SOURCE SINCE LAST COUNT]
 *   sum HEX
 */
#pragma once

#include "buf.h"
#include "ratchet_book.h"

enum { RATCHET_FILE_MAX = 64 << 20 };

/* Entries go into book, which is empty. ERR_SYNTAX: why says which line and what about it, and what
 * came before it is in the book; ERR_NOMEM the same. */
int ratchet_file_parse(struct span file, struct ratchet_book *book, char *why,
                       size_t why_room) ERR_CHECK;
int ratchet_file_write(const struct ratchet_book *book, struct buf *out) ERR_CHECK;
/* The lines alone, without title and sum, which stop a fuzzer. */
int ratchet_file_lines(struct span lines, struct ratchet_book *book, char *why,
                       size_t why_room) ERR_CHECK;
