/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA, BDAT and how a message ends. The client never hears a better answer than the next hop
 * gave to the whole message, and whatever is refused in mid-body is read to its end first
 * (RFC 3030 section 2; DESIGN, "we refuse in mid-body").
 */
#include "smtp_session_priv.h"

#include <inttypes.h>
#include <stdio.h>

const struct smtp_local smtp_bad_chunk = {501, 5, 4, "Syntax: BDAT size [LAST]"};
static const struct smtp_local go_ahead = {354, 0, 0, "End data with <CR><LF>.<CR><LF>"};
static const struct smtp_local no_recipients = {554, 5, 1, "No valid recipients"};
static const struct smtp_local need_bdat = {503, 5, 1, "BINARYMIME needs BDAT"};
static const struct smtp_local not_offered = {502, 5, 1, "CHUNKING is not offered here"};
static const struct smtp_local too_big = {552, 3, 4, "Message size exceeds the limit"};
static const struct smtp_local chunk_ok = {250, 0, 0, "0 octets received"};
static const struct smtp_local confused = {451, 3, 5, "The next hop broke the protocol"};

static bool is_refusal(const struct smtp_reply *reply)
{
    return smtp_reply_class(reply) == 4 || smtp_reply_class(reply) == 5;
}

const struct smtp_reply *smtp_answer_sane(const struct smtp_reply *reply, struct smtp_reply *room)
{
    if (smtp_reply_class(reply) == 2 || is_refusal(reply))
        return reply;
    smtp_local_make(&confused, room);
    return room;
}

/* What must be a refusal: whatever it is, it can't become a success. */
static const struct smtp_reply *refusal_only(const struct smtp_reply *reply,
                                             struct smtp_reply *room)
{
    if (is_refusal(reply))
        return reply;
    smtp_local_make(&confused, room);
    return room;
}

void smtp_do_data(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    if (s->txn.mail.body == SMTP_BODY_BINARYMIME) { /* RFC 3030 section 3 */
        smtp_say_in_order(s, &need_bdat, out);
    } else if (s->refused) {
        smtp_say(s, smtp_verdict(s), out);
        smtp_transaction_over(s, SMTP_DO_ABORT, out);
    } else if (s->txn.accepted == 0 && !smtp_outstanding(s)) {
        smtp_say_local(s, &no_recipients, out);
    } else {
        smtp_enter_state(s, SMTP_STATE_DATA_WAIT);
        smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_DATA});
    }
}

void smtp_session_data_answer(struct smtp_session *s, const struct smtp_reply *reply,
                              struct smtp_out *out)
{
    if (s->state != SMTP_STATE_DATA_WAIT || smtp_outstanding(s))
        return;
    if (s->txn.accepted == 0) {
        /* A 354 without a recipient (RFC 2920 section 3.1): nothing may follow it. */
        smtp_say_local(s, &no_recipients, out);
        smtp_transaction_over(s, SMTP_DO_ABORT, out);
    } else if (smtp_reply_class(reply) == 3) {
        smtp_say_local(s, &go_ahead, out);
        if (s->state == SMTP_STATE_CLOSED)
            return;
        smtp_enter_state(s, SMTP_STATE_BODY);
        smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_BODY});
    } else if (is_refusal(reply)) {
        smtp_say(s, reply, out);
        smtp_transaction_over(s, SMTP_DO_END, out);
    } else {
        smtp_say_local(s, &confused, out);
        smtp_transaction_over(s, SMTP_DO_ABORT, out);
    }
    smtp_check_limits(s, out);
}

bool smtp_chunk_absurd(const struct smtp_session *s, uint64_t size)
{
    uint64_t max = s->peer.conf->limits.max_message;

    return max != 0 && size / 4 > max;
}

void smtp_drain_chunk(struct smtp_session *s, uint64_t size, enum smtp_state state,
                      struct smtp_out *out)
{
    smtp_enter_state(s, SMTP_STATE_DRAIN);
    s->drain_to = state;
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_DRAIN_CHUNK, .size = size});
}

/* The message is refused from here on: verdict answers this chunk and those that follow. */
static void refuse_message(struct smtp_session *s, const struct smtp_reply *reply,
                           struct smtp_out *out)
{
    s->refused = true;
    smtp_verdict_set(s, reply);
    smtp_abort(s, out);
}

/* A chunk that is refused as a command: dropped, then answered with the verdict. The last one
 * ends the transaction, the others leave it to RSET (RFC 3030 section 2). */
static void chunk_refuse(struct smtp_session *s, uint64_t size, bool last, enum smtp_state state,
                         struct smtp_out *out)
{
    if (smtp_reply_class(smtp_verdict(s)) == 5)
        s->peer.errors++;
    if (last)
        state = SMTP_STATE_READY;
    if (size > 0) {
        smtp_drain_chunk(s, size, state, out);
        return;
    }
    smtp_say(s, smtp_verdict(s), out);
    if (state == SMTP_STATE_READY)
        smtp_transaction_over(s, SMTP_DO_ABORT, out);
    else if (s->state != SMTP_STATE_CLOSED)
        smtp_enter_state(s, state);
}

static bool chunk_too_big(const struct smtp_session *s, uint64_t size)
{
    uint64_t max = s->peer.conf->limits.max_message;

    return max != 0 && (size > max || s->chunk_bytes > max - size);
}

static void chunk_pass(struct smtp_session *s, uint64_t size, bool last, struct smtp_out *out)
{
    s->chunked = true;
    s->chunk_last = last;
    s->chunk_bytes += size;
    s->answered_early = false;
    if (size == 0 && !last) { /* says nothing to the next hop */
        smtp_enter_state(s, SMTP_STATE_CHUNKS);
        smtp_say_local(s, &chunk_ok, out);
        return;
    }
    s->peer.commands--; /* bounded by max_message */
    smtp_enter_state(s, SMTP_STATE_CHUNK);
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_CHUNK, .size = size, .last = last});
}

void smtp_do_bdat(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    uint64_t size;
    bool last;

    if (smtp_parse_bdat(rest, &size, &last) != ERR_OK || smtp_chunk_absurd(s, size) ||
        !s->peer.listener->chunking) {
        smtp_refuse_command(s, SMTP_VERB_BDAT, rest, &not_offered, out);
        return;
    }
    if (s->refused) {
        chunk_refuse(s, size, last, SMTP_STATE_CHUNKS, out);
    } else if (s->txn.accepted == 0) {
        smtp_verdict_local(s, &no_recipients);
        chunk_refuse(s, size, last, SMTP_STATE_MAIL, out);
    } else if (chunk_too_big(s, size)) {
        struct smtp_reply reply;
        smtp_local_make(&too_big, &reply);
        refuse_message(s, &reply, out);
        chunk_refuse(s, size, last, SMTP_STATE_CHUNKS, out);
    } else {
        chunk_pass(s, size, last, out);
    }
}

static void chunk_answered(struct smtp_session *s, const struct smtp_reply *reply,
                           struct smtp_out *out)
{
    smtp_say(s, reply, out);
    if (s->state == SMTP_STATE_CLOSED)
        return;
    smtp_enter_state(s, SMTP_STATE_CHUNKS);
    if (smtp_reply_class(reply) != 2)
        refuse_message(s, reply, out);
}

static void message_answered(struct smtp_session *s, const struct smtp_reply *reply,
                             struct smtp_out *out)
{
    smtp_say(s, reply, out);
    if (smtp_reply_class(reply) == 2) {
        s->peer.messages++;
        s->peer.commands = s->peer.errors = 0;
    }
    smtp_transaction_over(s, SMTP_DO_END, out);
}

void smtp_session_body_done(struct smtp_session *s, struct smtp_out *out)
{
    bool waits = s->state == SMTP_STATE_BODY || s->state == SMTP_STATE_CHUNK;
    bool final = s->state == SMTP_STATE_BODY || s->chunk_last;

    if (s->state == SMTP_STATE_DRAIN) /* it was refused while its end was on the way */
        smtp_session_drained(s, out);
    if (!waits)
        return;
    smtp_enter_state(s, final ? SMTP_STATE_FINAL : SMTP_STATE_CHUNK_WAIT);
    if (!s->answered_early)
        return;
    struct smtp_reply early = *smtp_verdict(s);
    s->answered_early = false;
    if (final)
        message_answered(s, &early, out);
    else
        chunk_answered(s, &early, out);
}

/* An answer to a chunk before its end was reported here: a refusal holds at once; a success can
 * overtake that report, and holds after it. */
static void answer_early(struct smtp_session *s, const struct smtp_reply *reply,
                         struct smtp_out *out)
{
    if (is_refusal(reply)) {
        smtp_session_body_refused(s, reply, true, out);
        return;
    }
    s->answered_early = true;
    smtp_verdict_set(s, reply);
}

void smtp_session_chunk_answer(struct smtp_session *s, const struct smtp_reply *reply,
                               struct smtp_out *out)
{
    struct smtp_reply room;

    if (s->state == SMTP_STATE_CHUNK_WAIT)
        chunk_answered(s, smtp_answer_sane(reply, &room), out);
    else if (s->state == SMTP_STATE_CHUNK && !s->chunk_last)
        answer_early(s, smtp_answer_sane(reply, &room), out);
    smtp_check_limits(s, out);
}

void smtp_session_final_answer(struct smtp_session *s, const struct smtp_reply *reply,
                               struct smtp_out *out)
{
    struct smtp_reply room;

    reply = smtp_answer_sane(reply, &room);
    if (s->state == SMTP_STATE_FINAL) {
        message_answered(s, reply, out);
    } else if (s->state == SMTP_STATE_CHUNK && s->chunk_last) {
        answer_early(s, reply, out);
    } else if (s->state == SMTP_STATE_BODY || s->state == SMTP_STATE_CHUNK ||
               s->state == SMTP_STATE_CHUNK_WAIT || s->state == SMTP_STATE_CHUNKS) {
        /* The whole message can't have been taken before its end: never a success. */
        smtp_session_body_refused(s, refusal_only(reply, &room), true, out);
    }
    smtp_check_limits(s, out);
}

/* A body or chunk that is on its way is refused. more: some of it is still to be read. */
static void body_refuse(struct smtp_session *s, bool more, struct smtp_out *out)
{
    bool chunk = s->state == SMTP_STATE_CHUNK;

    s->answered_early = false;
    s->drain_to = chunk && !s->chunk_last ? SMTP_STATE_CHUNKS : SMTP_STATE_READY;
    smtp_enter_state(s, SMTP_STATE_DRAIN);
    if (!more) {
        smtp_session_drained(s, out);
        return;
    }
    smtp_act(out, &(struct smtp_action){.kind = chunk ? SMTP_DO_DRAIN_CHUNK : SMTP_DO_DRAIN_BODY,
                                        .size = UINT64_MAX});
}

void smtp_session_body_refused(struct smtp_session *s, const struct smtp_reply *reply, bool more,
                               struct smtp_out *out)
{
    struct smtp_reply room;

    reply = refusal_only(reply, &room);
    switch (s->state) {
    case SMTP_STATE_BODY:
    case SMTP_STATE_CHUNK:
        refuse_message(s, reply, out);
        body_refuse(s, more, out);
        break;
    case SMTP_STATE_CHUNK_WAIT:
        chunk_answered(s, reply, out);
        break;
    case SMTP_STATE_CHUNKS:
        if (!s->refused)
            refuse_message(s, reply, out);
        break;
    case SMTP_STATE_FINAL:
        smtp_say(s, reply, out);
        smtp_transaction_over(s, SMTP_DO_END, out);
        break;
    case SMTP_STATE_CONNECTED:
    case SMTP_STATE_GREETED:
    case SMTP_STATE_READY:
    case SMTP_STATE_MAIL:
    case SMTP_STATE_DATA_WAIT:
    case SMTP_STATE_DRAIN:
    case SMTP_STATE_TLS:
    case SMTP_STATE_AUTH:
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_COUNT:
        break;
    }
}

void smtp_session_drained(struct smtp_session *s, struct smtp_out *out)
{
    if (s->state != SMTP_STATE_DRAIN)
        return;
    smtp_say(s, smtp_verdict(s), out);
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (s->drain_to == SMTP_STATE_READY)
        smtp_transaction_over(s, SMTP_DO_ABORT, out);
    else
        smtp_enter_state(s, s->drain_to);
    smtp_check_limits(s, out);
}

void smtp_session_hop_lost(struct smtp_session *s, const struct smtp_reply *reply,
                           struct smtp_out *out)
{
    struct smtp_reply room;

    if (!s->hop_open)
        return;
    reply = refusal_only(reply, &room);
    if (s->state == SMTP_STATE_MAIL || s->state == SMTP_STATE_DATA_WAIT) {
        bool data = s->state == SMTP_STATE_DATA_WAIT;
        smtp_answer_outstanding(s, reply, out);
        refuse_message(s, reply, out);
        if (data) {
            smtp_say(s, reply, out);
            smtp_transaction_over(s, SMTP_DO_ABORT, out);
        }
    } else if (s->state == SMTP_STATE_DRAIN) {
        refuse_message(s, reply, out); /* also the answer to the chunk that is being dropped */
    } else {
        smtp_session_body_refused(s, reply, true, out);
    }
    smtp_check_limits(s, out);
}
