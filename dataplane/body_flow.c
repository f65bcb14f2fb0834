/* SPDX-License-Identifier: Apache-2.0 */
#include "body_flow.h"

#include "body_scan.h"

static const struct span literal_crlf = SPAN_LIT("\r\n");
static const struct span literal_dot = SPAN_LIT(".");

void body_flow_init(struct body_flow *f, enum body_frame in, enum body_frame out)
{
    *f = (struct body_flow){.in = in, .out = out, .place = BODY_LINE_START};
}

void body_flow_chunk(struct body_flow *f, uint64_t length, bool last)
{
    f->length = length;
    f->last = last;
}

static bool judged(const struct body_flow *f)
{
    return f->in == BODY_FRAME_DOT || f->out == BODY_FRAME_DOT || f->scan;
}

static enum body_result refuse(struct body_flow *f, struct body_piece *ret, size_t used,
                               enum body_place place, enum body_result why)
{
    *ret = (struct body_piece){.used = used};
    if (f->in == BODY_FRAME_LENGTH)
        f->length -= used;
    f->place = place;
    return why;
}

/* The end of the input of this step is also the chunk's. */
static enum body_result chunk_result(const struct body_flow *f)
{
    return f->in == BODY_FRAME_LENGTH && f->length == 0 ? BODY_END : BODY_MORE;
}

/* Commits a piece. framing: bytes of pass that are dots of transparency, not content. */
static enum body_result emit(struct body_flow *f, struct body_piece *ret, struct span pass,
                             size_t used, size_t framing, enum body_place place)
{
    uint64_t content = pass.len - framing;

    if (f->max_bytes != 0 && (f->bytes > f->max_bytes || content > f->max_bytes - f->bytes)) {
        *ret = (struct body_piece){.used = 0};
        return BODY_TOO_BIG;
    }
    f->bytes += content;
    f->place = place;
    if (place == BODY_LINE_START)
        f->after_bare_lf = false;
    if (f->in == BODY_FRAME_LENGTH)
        f->length -= used;
    *ret = (struct body_piece){.pass = pass, .used = used};
    return chunk_result(f);
}

static enum body_result step_after_cr(struct body_flow *f, const uint8_t *in,
                                      struct body_piece *ret)
{
    if (in[0] != '\n')
        return refuse(f, ret, 0, BODY_AFTER_CR, BODY_BARE_CR);
    struct span pass = f->cr_passed ? span_make(in, 1) : literal_crlf;
    enum body_result result = emit(f, ret, pass, 1, 0, BODY_LINE_START);
    if (result != BODY_TOO_BIG)
        f->cr_passed = false;
    return result;
}

static enum body_result step_dot(struct body_flow *f, const uint8_t *in, struct body_piece *ret)
{
    if (in[0] == '\n')
        return refuse(f, ret, 0, BODY_IN_LINE, BODY_BARE_LF);
    if (in[0] == '\r') {
        f->place = BODY_DOT_CR;
        *ret = (struct body_piece){.used = 1};
        return BODY_MORE;
    }
    if (f->out == BODY_FRAME_LENGTH) /* a chunk has no transparency */
        return emit(f, ret, span_make(in, 0), 0, 0, BODY_IN_LINE);
    return emit(f, ret, literal_dot, 0, 1, BODY_IN_LINE);
}

static enum body_result step_dot_cr(struct body_flow *f, const uint8_t *in, struct body_piece *ret)
{
    if (in[0] != '\n')
        return refuse(f, ret, 0, BODY_AFTER_CR, BODY_BARE_CR);
    if (f->after_bare_lf)
        return refuse(f, ret, 0, BODY_AFTER_CR, BODY_BARE_LF);
    *ret = (struct body_piece){.used = 1};
    f->place = BODY_LINE_START;
    return BODY_END;
}

/* A CR that ends the input: held, unless it also ends the chunk. */
static enum body_result step_last_cr(struct body_flow *f, const uint8_t *in, size_t n,
                                     size_t framing, struct body_piece *ret)
{
    bool chunk_ends = f->in == BODY_FRAME_LENGTH && n == f->length;

    if (chunk_ends && f->last)
        return refuse(f, ret, n, BODY_AFTER_CR, BODY_BARE_CR);
    bool pass_it = chunk_ends && f->out == BODY_FRAME_LENGTH;
    enum body_result result =
        emit(f, ret, span_make(in, pass_it ? n : n - 1), n, framing, BODY_AFTER_CR);
    if (result != BODY_TOO_BIG)
        f->cr_passed = pass_it;
    return result;
}

static enum body_result step_bare_lf(struct body_flow *f, const uint8_t *in, size_t at,
                                     size_t framing, struct body_piece *ret)
{
    if (!f->normalize || f->in != BODY_FRAME_DOT)
        return refuse(f, ret, at, BODY_IN_LINE, BODY_BARE_LF);
    if (at > 0) { /* the line first, the LF in the next step */
        enum body_place place = at >= 2 && in[at - 1] == '\n' ? BODY_LINE_START : BODY_IN_LINE;
        return emit(f, ret, span_make(in, at), at, framing, place);
    }
    enum body_result result = emit(f, ret, literal_crlf, 1, 0, BODY_LINE_START);
    if (result != BODY_TOO_BIG)
        f->after_bare_lf = true;
    return result;
}

/*
 * A "." at the start of a line of a DOT source, at in[at]. Either it decides the step (true), or
 * it is an ordinary line's and the scan goes on.
 */
static bool step_line_dot(struct body_flow *f, const uint8_t *in, size_t n, size_t at,
                          size_t framing, struct body_piece *ret, enum body_result *ret_result)
{
    struct span before = span_make(in, at);
    bool bare = at == 0 && f->after_bare_lf;
    size_t next = at + 1;

    if (next < n && in[next] == '\n') {
        *ret_result = refuse(f, ret, next, BODY_IN_LINE, BODY_BARE_LF);
        return true;
    }
    if (next < n && in[next] != '\r')
        return false;
    if (next < n && next + 1 < n) {
        if (in[next + 1] != '\n')
            *ret_result = refuse(f, ret, next + 1, BODY_AFTER_CR, BODY_BARE_CR);
        else if (bare)
            *ret_result = refuse(f, ret, next + 1, BODY_AFTER_CR, BODY_BARE_LF);
        else if ((*ret_result = emit(f, ret, before, next + 2, framing, BODY_LINE_START)) ==
                 BODY_MORE)
            *ret_result = BODY_END;
        return true;
    }
    *ret_result = emit(f, ret, before, n, framing, next < n ? BODY_DOT_CR : BODY_DOT);
    if (*ret_result == BODY_MORE)
        f->after_bare_lf = bare;
    return true;
}

/* From a place where nothing is held. */
static enum body_result step_text(struct body_flow *f, const uint8_t *in, size_t n,
                                  struct body_piece *ret)
{
    bool dots = f->in == BODY_FRAME_DOT || f->out == BODY_FRAME_DOT;
    bool line_dot = dots && f->place == BODY_LINE_START && in[0] == '.';
    size_t start = 0, framing = 0;
    enum body_result result;

    if (line_dot && f->in == BODY_FRAME_LENGTH)
        return emit(f, ret, literal_dot, 0, 1, BODY_IN_LINE);
    for (;;) {
        size_t at = line_dot ? 0 : start + body_scan_find(in + start, n - start, dots);
        line_dot = false;
        if (at == n) {
            bool line_ends = n >= 2 && in[n - 1] == '\n';
            return emit(f, ret, span_make(in, n), n, framing,
                        line_ends ? BODY_LINE_START : BODY_IN_LINE);
        }
        if (in[at] == '\n')
            return step_bare_lf(f, in, at, framing, ret);
        if (in[at] == '\r' && at + 1 < n)
            return refuse(f, ret, at + 1, BODY_AFTER_CR, BODY_BARE_CR);
        if (in[at] == '\r')
            return step_last_cr(f, in, n, framing, ret);
        if (f->in == BODY_FRAME_LENGTH) /* stuffed in the next step */
            return emit(f, ret, span_make(in, at), at, framing, BODY_LINE_START);
        if (step_line_dot(f, in, n, at, framing, ret, &result))
            return result;
        if (f->out == BODY_FRAME_LENGTH) /* the stuffed dot stays behind */
            return emit(f, ret, span_make(in, at), at + 1, 0, BODY_IN_LINE);
        framing++;
        start = at + 1;
    }
}

enum body_result body_flow_step(struct body_flow *f, const uint8_t *in, size_t len,
                                struct body_piece *ret)
{
    size_t n = len;

    *ret = (struct body_piece){.used = 0};
    if (f->in == BODY_FRAME_LENGTH && n > f->length)
        n = (size_t)f->length;
    if (n == 0) {
        if (chunk_result(f) == BODY_END && f->last && judged(f) && f->place == BODY_AFTER_CR)
            return BODY_BARE_CR;
        return chunk_result(f);
    }
    if (!judged(f))
        return emit(f, ret, span_make(in, n), n, 0, BODY_IN_LINE);
    switch (f->place) {
    case BODY_AFTER_CR:
        return step_after_cr(f, in, ret);
    case BODY_DOT:
        return step_dot(f, in, ret);
    case BODY_DOT_CR:
        return step_dot_cr(f, in, ret);
    case BODY_LINE_START:
    case BODY_IN_LINE:
        break;
    }
    return step_text(f, in, n, ret);
}

struct span body_flow_finish(const struct body_flow *f)
{
    if (f->out == BODY_FRAME_LENGTH)
        return span_make(NULL, 0);
    return f->place == BODY_LINE_START ? SPAN_LIT(".\r\n") : SPAN_LIT("\r\n.\r\n");
}

static enum body_place drain_place(enum body_place place, uint8_t c)
{
    switch (place) {
    case BODY_LINE_START:
        if (c == '.')
            return BODY_DOT;
        break;
    case BODY_AFTER_CR:
        if (c == '\n')
            return BODY_LINE_START;
        break;
    case BODY_DOT:
        if (c == '\r')
            return BODY_DOT_CR;
        break;
    case BODY_IN_LINE:
    case BODY_DOT_CR:
        break;
    }
    return c == '\r' ? BODY_AFTER_CR : BODY_IN_LINE;
}

/* A line after a bare LF is no line: its "." can't end the body. */
static void drain_forget_bare_lf(struct body_flow *f)
{
    if (!f->after_bare_lf)
        return;
    f->after_bare_lf = false;
    if (f->place == BODY_LINE_START || f->place == BODY_DOT)
        f->place = BODY_IN_LINE;
    else if (f->place == BODY_DOT_CR)
        f->place = BODY_AFTER_CR;
}

enum body_result body_flow_drain(struct body_flow *f, const uint8_t *in, size_t len,
                                 size_t *ret_used)
{
    if (f->in == BODY_FRAME_LENGTH) {
        size_t n = len < f->length ? len : (size_t)f->length;
        f->length -= n;
        *ret_used = n;
        return chunk_result(f);
    }
    drain_forget_bare_lf(f);
    for (size_t i = 0; i < len; i++) {
        if (f->place == BODY_IN_LINE) {
            const uint8_t *cr = memchr(in + i, '\r', len - i);
            if (!cr)
                break;
            i = (size_t)(cr - in);
        }
        if (f->place == BODY_DOT_CR && in[i] == '\n') {
            f->place = BODY_LINE_START;
            *ret_used = i + 1;
            return BODY_END;
        }
        f->place = drain_place(f->place, in[i]);
    }
    *ret_used = len;
    return BODY_MORE;
}
