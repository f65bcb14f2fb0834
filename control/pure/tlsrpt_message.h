/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mail that carries a TLS report (RFC 8460 section 5.3): a multipart/report with the report in gzip.
 * Pure: whose it is and when, the caller says. Lines end with CRLF.
 */
#pragma once

#include "buf.h"

struct tlsrpt_mail {
    const char *from, *to;  /* addresses */
    const char *domain;     /* whom it is for */
    const char *submitter;  /* our domain */
    const char *report_id;  /* "left@right" */
    int64_t start, end;     /* of the report, seconds since 1970 */
    int64_t now;
    struct span gzip;
};

enum { TLSRPT_FILE_NAME = 600 };

/* "mail.sender.example!example.net!1470013207!1470186007.json.gz" (section 5.1). Returns out. */
const char *tlsrpt_file_name(const char *submitter, const char *domain, int64_t start, int64_t end,
                             char out[TLSRPT_FILE_NAME]);
/* The header's fields go to header, without the empty line behind them. ERR_NOMEM. */
int tlsrpt_mail_write(const struct tlsrpt_mail *mail, struct buf *header, struct buf *body) ERR_CHECK;
/* Names of fields to sign, NULL behind the last; "from" twice, so that none can be added. */
extern const char *const tlsrpt_mail_signed[];
