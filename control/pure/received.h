/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace: writes our Received line (RFC 5321 section 4.4, RFC 3848, RFC 6531 section 4.3, the
 * tls clause of RFC 8314 section 4.3), and reads a message's header as it streams by: Received
 * lines are counted against loops, limits hold, Message-ID is read. Alters no other line. Pure.
 */
#pragma once

#include "buf.h"
#include "errcode.h"
#include "smtp_session.h"

/* Appends the folded line with its CRLF, at most SMTP_RECEIVED_MAX bytes. ptr: the client's name
 * by reverse look-up, or by XCLIENT's word, "" for unknown. wall_us: seconds and microseconds since
 * 1970, shown in UTC. ERR_NOMEM: out can't get that room. */
int received_write(const struct smtp_session *s, const char *ptr, uint64_t wall_us,
                   struct buf *out) ERR_CHECK;

enum header_result { HEADER_MORE, HEADER_END, HEADER_LOOP, HEADER_TOO_BIG };

struct header_scan {
    uint32_t bytes, max_bytes;
    uint16_t received, max_received;
    uint8_t field_len; /* of the field name's start, below */
    bool in_name, name_over, in_message_id, line_start;
    bool seen_field;      /* a folded line can follow */
    char field[16];       /* lower case */
    char message_id[256]; /* with its <>, cut at the room */
    uint16_t message_id_len;
};

void header_scan_init(struct header_scan *h, uint32_t max_bytes, uint16_t max_received);
/* Body bytes as body_flow passes them, any fragmentation. END once the empty line (or a line that
 * is no header field) was seen; nothing more need be fed then. Bytes before it may all be passed
 * on, whatever it says, unless LOOP or TOO_BIG. */
enum header_result header_scan_feed(struct header_scan *h, struct span bytes);
