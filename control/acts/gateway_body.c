/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body's way from the client's leg to the next hop's. Our Received line goes first; the header
 * passes through user space (hop_send), where Received lines are counted, its size is held and
 * Message-ID is read; the rest is the dataplane's (dp_relay), which calls back once. The final dot
 * is sent from here alone, after the whole body passed every check; so is the last chunk's command,
 * where a DATA goes out in chunks. The header then waits for what comes behind it, so that a small
 * message is one chunk and one send.
 */
#include "gateway_priv.h"

#include "assertion.h"

enum {
    LEAD_STEP = 16 * 1024, /* looked at in one go */
    LEAD_MAX = 32 * 1024,  /* a header from this size on goes out by itself */
};

static bool as_chunks(const struct client *c)
{
    return c->body.flow.in == BODY_FRAME_DOT && c->body.flow.out == BODY_FRAME_LENGTH;
}

static bool lost_in_body(struct client *c, bool more)
{
    struct smtp_reply reply;

    smtp_reply_make(&reply, 451, 4, 2, "connection to the next hop lost, try again");
    return body_refuse(c, &reply, more);
}

/* --- beginning --- */

static int make_received(struct client *c, struct buf *line)
{
    return received_write(&c->smtp, client_ptr(c), dp_wall_us(c->gateway->dp), line);
}

static int send_received(struct client *c, const struct buf *line)
{
    int err = hop_send_held(c->hop, buf_span(line));

    c->body.begun = err == ERR_OK;
    return err;
}

static void header_begin(struct client *c)
{
    const struct conf_limits *l = &c->gateway->conf.conf->limits;

    header_scan_init(&c->body.header, l->max_header, (uint16_t)l->max_hops);
}

static bool received_out(struct client *c)
{
    struct buf line;
    int err;

    if (as_chunks(c)) {
        buf_init(&c->body.lead, 0);
        return make_received(c, &c->body.lead) == ERR_OK;
    }
    buf_init(&line, 0);
    err = make_received(c, &line);
    if (err == ERR_OK)
        err = send_received(c, &line);
    buf_release(&line);
    return err == ERR_OK;
}

bool body_begin_data(struct client *c)
{
    bool chunks = c->hop && hop_takes_chunks(c->hop);

    c->body.ended = false; /* of a chunk that was drained */
    body_flow_init(&c->body.flow, BODY_FRAME_DOT, chunks ? BODY_FRAME_LENGTH : BODY_FRAME_DOT);
    c->body.flow.normalize = c->smtp.peer.listener->bare_newline == CONF_BARE_NEWLINE_NORMALIZE;
    c->body.flow.max_bytes = c->gateway->conf.conf->limits.max_message;
    header_begin(c);
    if (!c->hop || !received_out(c))
        return lost_in_body(c, true);
    client_enter(c, CLIENT_BODY);
    return true;
}

static bool chunk_pass_empty(struct client *c);

/* The chunk's bytes may flow: BDAT or 354 is behind us. */
static bool chunk_flow(struct client *c)
{
    client_enter(c, CLIENT_BODY);
    if (c->body.flow.length == 0)
        return chunk_pass_empty(c);
    client_resume(c);
    return true;
}

static bool first_chunk(struct client *c)
{
    uint64_t size = c->body.flow.length;
    struct buf line;
    int err;

    if (c->body.as_data) {
        client_enter(c, CLIENT_BODY_WAIT);
        return hop_data(c->hop) == ERR_OK ? true : lost_in_body(c, true);
    }
    buf_init(&line, 0);
    err = make_received(c, &line);
    if (err == ERR_OK)
        err = hop_chunk(c->hop, size + buf_len(&line), c->body.last);
    if (err == ERR_OK)
        err = send_received(c, &line);
    buf_release(&line);
    return err == ERR_OK ? chunk_flow(c) : lost_in_body(c, true);
}

bool body_begin_chunk(struct client *c, uint64_t size, bool last)
{
    bool first = !c->body.begun;

    c->body.ended = false;
    if (first) {
        c->body.as_data = c->hop && !hop_has_chunking(c->hop);
        body_flow_init(&c->body.flow, BODY_FRAME_LENGTH,
                       c->body.as_data ? BODY_FRAME_DOT : BODY_FRAME_LENGTH);
        c->body.flow.scan = c->smtp.peer.listener->bdat_scan;
        c->body.flow.max_bytes = c->gateway->conf.conf->limits.max_message;
        header_begin(c);
    }
    c->body.last = last;
    body_flow_chunk(&c->body.flow, size, last);
    if (!c->hop)
        return lost_in_body(c, true);
    if (first)
        return first_chunk(c);
    if (!c->body.as_data && hop_chunk(c->hop, size, last) != ERR_OK)
        return lost_in_body(c, true);
    return chunk_flow(c);
}

bool body_data_answer(struct client *c, const struct smtp_reply *reply)
{
    if (smtp_reply_class(reply) != 3)
        return body_refuse(c, reply, true);
    if (!received_out(c))
        return lost_in_body(c, true);
    c->left_over = true; /* whatever came meanwhile was not used */
    return chunk_flow(c);
}

/* --- end --- */

static bool chunk_answer_here(struct client *c)
{
    struct smtp_reply reply;
    struct smtp_out out;

    smtp_reply_make(&reply, 250, 0, 0, "chunk received");
    client_out_init(c, &out);
    smtp_session_body_done(&c->smtp, &out);
    smtp_session_chunk_answer(&c->smtp, &reply, &out);
    return client_apply(c, &out);
}

/* What was collected goes out. ERR_AGAIN: the next hop has to do something first. */
static int lead_send(struct client *c, bool last)
{
    int err = hop_data_chunk(c->hop, buf_span(&c->body.lead), 0, last);

    if (err == ERR_OK)
        buf_release(&c->body.lead);
    return err;
}

/* Everything of this body, or chunk, is in the next hop's output. */
static bool body_passed(struct client *c)
{
    const struct body_flow *f = &c->body.flow;
    bool message_ends = f->in == BODY_FRAME_DOT || c->body.last;
    struct smtp_out out;

    client_enter(c, CLIENT_COMMAND);
    if (!message_ends && c->body.as_data)
        return chunk_answer_here(c);
    if (hop_finish(c->hop, message_ends ? body_flow_finish(f) : span_make(NULL, 0)) != ERR_OK)
        return lost_in_body(c, false);
    c->body.finished = message_ends;
    client_out_init(c, &out);
    smtp_session_body_done(&c->smtp, &out);
    return client_apply(c, &out);
}

/* The end of a body that goes out in chunks, while it was still control's. */
static bool body_last_chunk(struct client *c)
{
    int err = c->hop ? lead_send(c, true) : ERR_STATE;

    c->body.ended = true;
    if (err == ERR_OK)
        return body_passed(c);
    if (err != ERR_AGAIN)
        return lost_in_body(c, false);
    client_enter(c, CLIENT_BODY_WAIT);
    return true;
}

void body_go_on(struct client *c)
{
    struct dp *dp = c->gateway->dp;

    if (c->mode == CLIENT_BODY)
        (void)!dp_resume(dp, c->leg);
    else if (c->mode == CLIENT_RELAY && as_chunks(c))
        (void)!dp_relay_resume(dp, c->leg);
    else if (c->mode == CLIENT_BODY_WAIT && c->body.ended) {
        c->left_over = true; /* whatever came meanwhile was not used */
        body_last_chunk(c);
    }
}

/* --- refusal --- */

void body_leave(struct client *c)
{
    bool relaying = c->mode == CLIENT_RELAY;

    if (!relaying && c->mode != CLIENT_BODY && c->mode != CLIENT_BODY_WAIT)
        return;
    client_enter(c, CLIENT_COMMAND); /* so that the stop's own call of done goes no further */
    if (relaying)
        (void)!dp_relay_stop(c->gateway->dp, c->leg);
}

bool body_refuse(struct client *c, const struct smtp_reply *reply, bool more)
{
    struct smtp_out out;

    body_leave(c);
    client_said(c, reply);
    c->result = smtp_reply_class(reply) == 5 ? MESSAGE_REFUSED : MESSAGE_DEFERRED;
    client_out_init(c, &out);
    smtp_session_body_refused(&c->smtp, reply, more, &out);
    return client_apply(c, &out);
}

static bool refuse_flow(struct client *c, enum body_result result)
{
    struct smtp_reply reply;

    if (result == BODY_TOO_BIG) {
        smtp_reply_make(&reply, 552, 3, 4, "message larger than this gateway takes");
    } else {
        client_count(c, COUNTER_SMUGGLING);
        smtp_reply_make(&reply, 554, 6, 0,
                        result == BODY_BARE_CR
                            ? "bare <CR> in the message, RFC 5321 section 2.3.8"
                            : "bare <LF> in the message, RFC 5321 section 2.3.8");
    }
    return body_refuse(c, &reply, true);
}

/* BDAT 0: there is no byte to wait for, but what was held before may be judged now. */
static bool chunk_pass_empty(struct client *c)
{
    struct body_piece piece;
    enum body_result result = body_flow_step(&c->body.flow, NULL, 0, &piece);

    if (result != BODY_END)
        return refuse_flow(c, result);
    if (piece.pass.len > 0 && hop_send(c->hop, piece.pass) != ERR_OK)
        return lost_in_body(c, false);
    return body_passed(c);
}

static bool refuse_header(struct client *c, enum header_result result, bool more)
{
    struct smtp_reply reply;

    if (result == HEADER_LOOP) {
        client_count(c, COUNTER_LOOPS);
        smtp_reply_make(&reply, 554, 4, 6, "too many hops: this message is in a loop");
    } else {
        smtp_reply_make(&reply, 552, 3, 4, "header larger than this gateway takes");
    }
    return body_refuse(c, &reply, more);
}

/* The client whose relay ended, with the body as it stands; NULL where it is gone, or where whoever
 * stopped the relay goes on himself. */
static struct client *relay_client(struct gateway *g, const struct dp_relay *relay,
                                   const struct dp_relay_result *result)
{
    struct client *c = client_find(g, relay->from);

    if (!c)
        return NULL;
    c->body.flow = result->flow;
    c->body.ended = result->body_ended;
    if (c->mode != CLIENT_RELAY)
        return NULL;
    client_enter(c, CLIENT_COMMAND);
    return c;
}

static void drain_done(void *user, const struct dp_relay *relay,
                       const struct dp_relay_result *result)
{
    struct client *c = relay_client(user, relay, result);
    struct smtp_out out;

    if (!c)
        return;
    if (result->end == DP_RELAY_FROM_LOST)
        return;
    client_out_init(c, &out);
    if (result->end == DP_RELAY_DONE)
        smtp_session_drained(&c->smtp, &out);
    else
        smtp_session_timeout(&c->smtp, SESSION_END_IDLE_TIMEOUT, &out);
    client_apply(c, &out);
}

/* There is nothing left of it. */
static bool drained(struct client *c)
{
    struct smtp_out out;

    c->left_over = true; /* whatever is behind it was not used */
    client_out_init(c, &out);
    smtp_session_drained(&c->smtp, &out);
    return client_apply(c, &out);
}

bool body_begin_drain(struct client *c, bool chunk, uint64_t size)
{
    struct gateway *g = c->gateway;
    struct dp_relay drain = {.from = c->leg, .to = LEG_NONE};

    body_leave(c);
    if (!chunk && c->body.ended)
        return drained(c);
    if (chunk && size != UINT64_MAX) {
        body_flow_init(&c->body.flow, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
        body_flow_chunk(&c->body.flow, size, true);
    }
    drain.flow = c->body.flow;
    drain.idle_timeout_ms = g->conf.conf->limits.data_timeout_s * 1000u;
    if (dp_relay(g->dp, &drain, drain_done, g) != ERR_OK) {
        client_close(c, SESSION_END_BODY_REFUSED, DP_CLOSE_CUT);
        return false;
    }
    client_enter(c, CLIENT_RELAY);
    return true;
}

/* --- passage --- */

static void relay_done(void *user, const struct dp_relay *relay,
                       const struct dp_relay_result *result)
{
    struct client *c = relay_client(user, relay, result);
    struct smtp_out out;

    if (!c)
        return;
    switch (result->end) {
    case DP_RELAY_DONE:
        body_passed(c);
        break;
    case DP_RELAY_TOO_BIG:
        refuse_flow(c, BODY_TOO_BIG);
        break;
    case DP_RELAY_BARE_CR:
        refuse_flow(c, BODY_BARE_CR);
        break;
    case DP_RELAY_BARE_LF:
        refuse_flow(c, BODY_BARE_LF);
        break;
    case DP_RELAY_TIMEOUT_FROM:
        client_out_init(c, &out);
        smtp_session_timeout(&c->smtp, SESSION_END_IDLE_TIMEOUT, &out);
        client_apply(c, &out);
        break;
    case DP_RELAY_TIMEOUT_TO:
        lost_in_body(c, true);
        break;
    case DP_RELAY_FROM_LOST:
    case DP_RELAY_TO_LOST:
    case DP_RELAY_STOPPED:
        break; /* the leg's lost event, or who stopped it, goes on from here */
    }
}

/* The dataplane has a chunk: the header goes in front of the first. */
static bool relay_chunk(void *user, const struct dp_relay *relay, size_t len, bool last)
{
    struct client *c = client_find(user, relay->from);

    ASSERT(c && c->hop);
    if (hop_data_chunk(c->hop, buf_span(&c->body.lead), len, last) != ERR_OK)
        return false; /* writable or lost goes on, or the time for the body is over */
    buf_release(&c->body.lead);
    return true;
}

static bool relay_begin(struct client *c, struct leg_id to)
{
    struct gateway *g = c->gateway;
    struct dp_relay relay = {
        .from = c->leg,
        .to = to,
        .flow = c->body.flow,
        .idle_timeout_ms = g->conf.conf->limits.data_timeout_s * 1000u,
        .chunk = as_chunks(c) ? relay_chunk : NULL,
    };

    if (dp_relay(g->dp, &relay, relay_done, g) != ERR_OK)
        return lost_in_body(c, true);
    client_enter(c, CLIENT_RELAY);
    return true;
}

/* One piece towards the next hop. ERR_AGAIN: its output is full, nothing was changed. */
static int pass_piece(struct client *c, const uint8_t *data, size_t len, struct body_piece *piece,
                      enum body_result *ret_result, enum header_result *ret_header)
{
    struct body_flow before = c->body.flow;
    bool chunks = as_chunks(c);

    *ret_header = c->body.header_done ? HEADER_END : HEADER_MORE;
    if (chunks && buf_len(&c->body.lead) >= LEAD_MAX) {
        int full = lead_send(c, false);
        if (full != ERR_OK)
            return full;
    }
    if (chunks && len > LEAD_STEP)
        len = LEAD_STEP;
    *ret_result = body_flow_step(&c->body.flow, data, len, piece);
    if (piece->pass.len == 0)
        return ERR_OK;
    int err = chunks ? buf_append_span(&c->body.lead, piece->pass) : hop_send(c->hop, piece->pass);
    if (err == ERR_FULL) {
        c->body.flow = before;
        return ERR_AGAIN;
    }
    if (err == ERR_OK && !c->body.header_done)
        *ret_header = header_scan_feed(&c->body.header, piece->pass);
    return err;
}

size_t body_input(struct client *c, const uint8_t *data, size_t len, bool *ret_alive)
{
    size_t used = 0;

    while (used < len) {
        struct body_piece piece = {.used = 0};
        enum body_result result;
        enum header_result header;
        int err = pass_piece(c, data + used, len - used, &piece, &result, &header);
        if (err == ERR_AGAIN)
            return used;
        if (err != ERR_OK) {
            *ret_alive = lost_in_body(c, true);
            return used;
        }
        used += piece.used;
        if (result == BODY_BARE_CR || result == BODY_BARE_LF || result == BODY_TOO_BIG) {
            *ret_alive = refuse_flow(c, result);
            return used;
        }
        if (header == HEADER_LOOP || header == HEADER_TOO_BIG) {
            *ret_alive = refuse_header(c, header, result != BODY_END);
            return used;
        }
        c->body.header_done = header == HEADER_END;
        if (result == BODY_END) {
            *ret_alive = as_chunks(c) ? body_last_chunk(c) : body_passed(c);
            return used;
        }
    }
    if (c->body.header_done)
        *ret_alive = relay_begin(c, hop_leg(c->hop));
    return used;
}
