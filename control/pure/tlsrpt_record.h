/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a domain publishes to have TLS reports (RFC 8460 section 3): the TXT record at _smtp._tls. Pure; the
 * resolver process looks it up. Whoever publishes one says where we send to, so that nothing but an
 * address of a mailbox, or a URL without user and fragment, comes of it.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum { TLSRPT_URIS_MAX = 4, TLSRPT_URI_MAX = 512 };

enum tlsrpt_uri_kind { TLSRPT_MAILTO, TLSRPT_HTTPS };

struct tlsrpt_uri {
    enum tlsrpt_uri_kind kind;
    char text[TLSRPT_URI_MAX]; /* "reports@example.org"; or the whole URL */
    char host[256];            /* of the URL, lower case; an address has its brackets */
    uint16_t port;             /* of the URL */
};

struct tlsrpt_record {
    unsigned len; /* in the record's order; further ones are left out */
    struct tlsrpt_uri uris[TLSRPT_URIS_MAX];
};

/* "local@domain", of a mailbox whose name needs no quotes. */
bool tlsrpt_address_valid(const char *text);
/* One TXT record's text. ERR_NOTFOUND: not a record of TLSRPT at all, which does not count; ERR_SYNTAX: one,
 * and malformed, or without a place that can be sent to. Whoever has several that are not ERR_NOTFOUND
 * has none. */
int tlsrpt_record_parse(struct span text, struct tlsrpt_record *ret) ERR_CHECK;
