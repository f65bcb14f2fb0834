/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser for a path in angle brackets (RFC 5321 section 4.1.2, RFC 6531 section 3.3). Pure; views
 * in and out. An address that it lets pass has no control byte, no blank or bracket outside
 * quotes, and valid UTF-8, so that it can be written into a command as it is.
 */
#pragma once

#include "errcode.h"
#include "span.h"

struct smtp_path {
    struct span address; /* without <> and source route; empty for <> */
    struct span domain;  /* after the '@' that ends the local part; empty where there is none */
    bool eightbit;       /* UTF-8 in it */
};

/* ERR_SYNTAX: no path in brackets. ERR_RANGE: what they hold is no address. */
int smtp_path_parse(struct span in, struct smtp_path *ret, size_t *ret_used) ERR_CHECK;
/* "[192.0.2.1]" or "[IPv6:2001:db8::1]", with the brackets. */
bool smtp_literal_valid(struct span literal);
bool smtp_utf8_valid(struct span s);

enum { SMTP_DOMAIN_MAX = 255 };
/* A domain as DNS and routes have it: what is not ASCII becomes A-labels (RFC 6531 section 3.2, RFC
 * 5891); all else stays as it is. ERR_RANGE where there is no such form, ERR_NOMEM. */
int smtp_domain_ascii(struct span domain, char ret[SMTP_DOMAIN_MAX + 1]) ERR_CHECK;
