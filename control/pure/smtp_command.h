/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser for one SMTP command line (RFC 5321 section 4.1, and the extensions we offer). Pure: a
 * view of the line in, views of its parts out. The line comes without its CRLF and never contains
 * CR, LF or NUL (smtp_session refuses those before).
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum smtp_verb {
    SMTP_VERB_EHLO,
    SMTP_VERB_HELO,
    SMTP_VERB_STARTTLS,
    SMTP_VERB_MAIL,
    SMTP_VERB_RCPT,
    SMTP_VERB_DATA,
    SMTP_VERB_BDAT,
    SMTP_VERB_RSET,
    SMTP_VERB_NOOP,
    SMTP_VERB_VRFY,
    SMTP_VERB_HELP,
    SMTP_VERB_QUIT,
    SMTP_VERB_XCLIENT,
    SMTP_VERB_AUTH,
    SMTP_VERB_HTTP, /* GET, POST, PUT, HEAD, OPTIONS, CONNECT, ...: another protocol */
    SMTP_VERB_UNKNOWN,
    SMTP_VERB_COUNT,
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

enum smtp_notify { /* RFC 3461 section 4.1; bits */
                   SMTP_NOTIFY_NEVER = 1,
                   SMTP_NOTIFY_SUCCESS = 2,
                   SMTP_NOTIFY_FAILURE = 4,
                   SMTP_NOTIFY_DELAY = 8,
};

struct smtp_mail {
    struct span
        address; /* without <>; empty for the null reverse-path; may be UTF-8 with smtputf8 */
    struct span domain; /* after its last '@'; empty for the null reverse-path */
    enum smtp_body body;
    bool has_body, smtputf8;
    bool requiretls; /* RFC 8689 */
    bool has_size;
    uint64_t size;
    struct span ret;     /* "FULL", "HDRS" or empty */
    struct span envid;   /* xtext, or empty */
    struct span auth;    /* xtext or "<>" (RFC 4954 section 5), or empty */
    struct span unknown; /* the first parameter we do not know: 555 5.5.4 */
};

struct smtp_rcpt {
    struct span address; /* without <>, source route removed (RFC 5321 section 4.1.1.3) */
    struct span domain;  /* after the last '@'; empty for <postmaster> */
    unsigned notify;     /* bits of enum smtp_notify; 0: not given */
    struct span orcpt;   /* addr-type;xtext, or empty */
    struct span unknown;
};

/* The verb of a line, and what follows it with the blanks trimmed. */
enum smtp_verb smtp_command_verb(struct span line, struct span *ret_rest);
enum { SMTP_ADDRESS_MAX = 512 }; /* more than RFC 5321 section 4.5.3.1.3 asks, for VERP and SRS */

/* rest: what follows the verb. ERR_SYNTAX: 501 5.5.2 (5.1.7 or 5.1.3 for the address itself, which
 * is ERR_RANGE; ERR_UNSUPPORTED: 553 5.6.7, UTF-8 in it without SMTPUTF8). Addresses: quoted local
 * parts, address literals, UTF-8 only if allowed. */
int smtp_parse_mail(struct span rest, struct smtp_mail *ret) ERR_CHECK;
int smtp_parse_rcpt(struct span rest, bool smtputf8, struct smtp_rcpt *ret) ERR_CHECK;
/* "n" or "n LAST" (RFC 3030). ERR_RANGE: above INT64_MAX. */
int smtp_parse_bdat(struct span rest, uint64_t *ret_size, bool *ret_last) ERR_CHECK;
/* Domain or address literal, at most 255 bytes (RFC 5321 section 4.1.3); underscores are let pass.
 */
int smtp_parse_helo(struct span rest, struct span *ret_name) ERR_CHECK;
