/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to a message body between the sender's framing and the next hop's: its end is
 * found, bare CR and LF are refused (or a bare LF normalized), dots are stuffed where a chunk goes
 * out as DATA, and unstuffed the other way round (RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2; RFC
 * 3030). Pure; a plain value that survives from one buffer to the next, from control's header phase
 * into dp_relay, and from one BDAT chunk to the next. Works with vector instructions (body_scan.h),
 * fed in any fragmentation.
 *
 * Only CRLF "." CRLF ends a DATA body. The terminating "." CRLF is never passed on: body_flow_finish
 * says what ends the body on the way out, and control sends it, so that it alone decides that a
 * message is complete. A DATA source is transparent as it stands: its stuffed dots stay where the
 * output is DOT, and are taken off where it goes out in chunks.
 */
#pragma once

#include "span.h"

enum body_frame {
    BODY_FRAME_DOT,    /* ends in CRLF "." CRLF */
    BODY_FRAME_LENGTH, /* a BDAT chunk */
};

enum body_place { /* where in the line the next byte stands */
    BODY_LINE_START, /* after CRLF, or at the very beginning */
    BODY_IN_LINE,
    BODY_AFTER_CR,
    BODY_DOT,    /* "." at the start of a line of a DOT source */
    BODY_DOT_CR, /* "." CR there */
};

struct body_flow {
    enum body_frame in, out;
    bool scan;          /* LENGTH to LENGTH: refuse bare CR and LF (always done towards or from DOT) */
    bool normalize;     /* DOT in: a bare LF becomes CRLF. A line that would become a lone "." by
                           that is refused: it would end the message at the next hop. */
    bool last;          /* LENGTH in: this chunk is BDAT LAST */
    uint64_t length;    /* LENGTH in: bytes of this chunk still to come; set for each chunk */
    uint64_t max_bytes; /* bytes may not pass it; 0: no bound */
    uint64_t bytes;     /* passed on so far, without framing (nor dots of transparency) */
    enum body_place place;
    bool cr_passed;     /* at BODY_AFTER_CR: that CR went out at the end of the chunk before */
    bool after_bare_lf; /* normalize: the line began after a bare LF */
};

enum body_result {
    BODY_MORE,    /* pass the piece; where used < len call again with the rest, else with new bytes */
    BODY_END,     /* pass the piece; the body, or the chunk, ended with the used bytes */
    BODY_BARE_CR, /* refused: pass nothing more, ever; used says where draining goes on */
    BODY_BARE_LF,
    BODY_TOO_BIG,
};

struct body_piece {
    struct span pass; /* a view of the input, or of a literal ("\r\n", ".", held bytes) */
    size_t used;      /* input bytes dealt with */
};

void body_flow_init(struct body_flow *f, enum body_frame in, enum body_frame out);
/* The next BDAT chunk of the same message. */
void body_flow_chunk(struct body_flow *f, uint64_t length, bool last);
/* One step over at most len bytes. A clean buffer is one piece. Bytes that can't be judged yet (a CR,
 * or "." at a line's start, at the end of the buffer) are used and held, and come out later; a
 * CR at the end of a chunk that is not the last goes out where the output is LENGTH. */
enum body_result body_flow_step(struct body_flow *f, const uint8_t *in, size_t len,
                                struct body_piece *ret);
/* What to send after the last piece: ".\r\n", "\r\n.\r\n" (a chunk that did not end in CRLF) or
 * nothing (LENGTH out). */
struct span body_flow_finish(const struct body_flow *f);
/* Only finds the end: for draining what was refused. Results are MORE and END. The state may come
 * from a flow that was refused in mid-body. */
enum body_result body_flow_drain(struct body_flow *f, const uint8_t *in, size_t len,
                                 size_t *ret_used);
