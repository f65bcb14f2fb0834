/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a file as it came, by mail or by HTTPS, to the JSON of a TLS report (RFC 8460 section 5): a mail
 * with the report in one of its parts, the report in gzip, or the JSON itself. Pure, and bounded in
 * size and depth, for anybody may send such a mail. Of MIME just what such mails need is read.
 */
#pragma once

#include "buf.h"

enum {
    TLSRPT_MAIL_MAX = 32 << 20, /* bytes of a file */
    TLSRPT_JSON_MAX = 8 << 20,  /* of the report in it */
    TLSRPT_MAIL_DEPTH = 8,      /* parts within parts */
    TLSRPT_MAIL_PARTS = 256,
};

/* Appends the JSON to ret_json, whose bound is TLSRPT_JSON_MAX at most. On failure why says what is
 * wrong, and what would be right: ERR_SYNTAX, ERR_NOTFOUND (a mail without a report), ERR_FULL,
 * ERR_NOMEM. */
int tlsrpt_unpack(struct span file, struct buf *ret_json, char *why, size_t why_room) ERR_CHECK;
