/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what the SMTP machine asks for, and brings the next hop's answers back to it. An
 * action may end the session: every function here that returns bool says whether it lives.
 */
#include "gateway_priv.h"

#include "assertion.h"
#include "log.h"

void client_said(struct client *c, const struct smtp_reply *reply)
{
    size_t len = reply->len < sizeof(c->said.text) ? reply->len : sizeof(c->said.text);

    c->said.code = reply->code;
    c->said.enhanced = reply->enhanced;
    memcpy(c->said.text, reply->text, len);
    c->said.len = len;
}

static enum message_result result_of(unsigned class)
{
    if (class == 2)
        return MESSAGE_RELAYED;
    return class == 5 ? MESSAGE_REFUSED : MESSAGE_DEFERRED;
}

static void count_message(const struct client *c, enum message_result result)
{
    switch (result) {
    case MESSAGE_RELAYED:
        client_count(c, COUNTER_MESSAGES_RELAYED);
        counter_add(&c->gateway->conf.shared, COUNTER_BODY_BYTES, (int64_t)c->body.flow.bytes);
        break;
    case MESSAGE_REFUSED:
        client_count(c, COUNTER_MESSAGES_REFUSED);
        break;
    case MESSAGE_DEFERRED:
        client_count(c, COUNTER_MESSAGES_DEFERRED);
        break;
    case MESSAGE_INDETERMINATE:
        client_count(c, COUNTER_MESSAGES_INDETERMINATE);
        break;
    case MESSAGE_NONE:
    case MESSAGE_ABORTED:
        client_count(c, COUNTER_MESSAGES_ABORTED);
        break;
    }
}

void client_message_end(struct client *c, enum message_result otherwise)
{
    struct hop_facts facts = {.host = "", .why = ""};
    enum message_result result = c->result;

    if (result == MESSAGE_NONE && c->smtp.txn.accepted == 0 && c->said.code >= 400)
        result = result_of(c->said.code / 100); /* no recipient was taken */
    else if (result == MESSAGE_NONE)
        result = otherwise;
    if (c->hop)
        hop_facts(c->hop, &facts);
    count_message(c, result);
    gateway_log_message(c, result, &facts);
    gateway_log_hop_expiry(c, &facts);
    hop_close(&c->hop);
    buf_release(&c->body.lead);
    c->body.finished = false;
    c->result = MESSAGE_NONE;
    c->said.code = 0;
}

/* --- the next hop's events --- */

static void on_hop_rcpt(void *user, const struct smtp_reply *reply)
{
    struct client *c = user;
    struct smtp_out out;

    client_count(c, smtp_reply_class(reply) == 2 ? COUNTER_RECIPIENTS_ACCEPTED
                                                 : COUNTER_RECIPIENTS_REFUSED);
    client_said(c, reply);
    client_out_init(c, &out);
    smtp_session_rcpt_answer(&c->smtp, reply, &out);
    client_apply(c, &out);
}

static void on_hop_data(void *user, const struct smtp_reply *reply)
{
    struct client *c = user;
    struct smtp_out out;

    if (c->mode == CLIENT_BODY_WAIT) {
        body_data_answer(c, reply);
        return;
    }
    if (smtp_reply_class(reply) != 3) {
        client_said(c, reply);
        c->result = result_of(smtp_reply_class(reply));
    }
    client_out_init(c, &out);
    smtp_session_data_answer(&c->smtp, reply, &out);
    client_apply(c, &out);
}

static void on_hop_chunk(void *user, const struct smtp_reply *reply)
{
    struct client *c = user;
    struct smtp_out out;

    client_said(c, reply);
    if (smtp_reply_class(reply) != 2)
        c->result = result_of(smtp_reply_class(reply));
    client_out_init(c, &out);
    smtp_session_chunk_answer(&c->smtp, reply, &out);
    client_apply(c, &out);
}

static void on_hop_final(void *user, const struct smtp_reply *reply, bool early)
{
    struct client *c = user;
    struct smtp_out out;

    if (early) {
        /* Not by the mode: a relay may be over already because this hop is being lost. As long as
         * the body is not passed, the rest of it is still to come, and must not be commands. */
        body_refuse(c, reply, true);
        return;
    }
    client_said(c, reply);
    c->result = result_of(smtp_reply_class(reply));
    client_out_init(c, &out);
    smtp_session_final_answer(&c->smtp, reply, &out);
    client_apply(c, &out);
}

/* The hop can't be used any more: it stays open for its facts until the machine ends the message.
 */
static void on_hop_lost(void *user, const struct smtp_reply *reply, bool indeterminate)
{
    struct client *c = user;
    struct smtp_out out;

    if (c->smtp.state != SMTP_STATE_DRAIN) /* a drain goes on: it needs no hop */
        body_leave(c);
    client_said(c, reply);
    c->result = indeterminate ? MESSAGE_INDETERMINATE : result_of(smtp_reply_class(reply));
    client_out_init(c, &out);
    smtp_session_hop_lost(&c->smtp, reply, &out);
    client_apply(c, &out);
}

static void on_hop_writable(void *user)
{
    body_go_on(user);
}

static const struct hop_events hop_events = {
    .rcpt = on_hop_rcpt,
    .data = on_hop_data,
    .chunk = on_hop_chunk,
    .final = on_hop_final,
    .lost = on_hop_lost,
    .writable = on_hop_writable,
};

/* --- the machine's actions --- */

static bool act_starttls(struct client *c)
{
    if (!handshake_begin(c)) {
        client_count(c, COUNTER_SESSIONS_REFUSED);
        client_close(c, SESSION_END_OVERLOAD, DP_CLOSE_FLUSH);
        return false;
    }
    client_enter(c, CLIENT_TLS);
    return true;
}

static bool hop_unusable(struct client *c)
{
    struct smtp_reply reply;
    struct smtp_out out;

    smtp_reply_make(&reply, 451, 3, 0, "the gateway has no room for this message now, try again");
    client_said(c, &reply);
    c->result = MESSAGE_DEFERRED;
    client_out_init(c, &out);
    smtp_session_hop_lost(&c->smtp, &reply, &out);
    return client_apply(c, &out);
}

static bool act_open(struct client *c)
{
    const struct smtp_session *s = &c->smtp;
    struct hop_client who = {
        .name = client_ptr(c),
        .helo = smtp_session_helo(s),
        .addr = smtp_session_client(s),
        .esmtp = s->era.extended,
    };

    ASSERT(!c->hop);
    c->body = (struct client_body){0};
    c->smtp.txn.started_us = dp_wall_us(c->gateway->dp); /* the log's delay begins here */
    if (hop_open(c->gateway->upstream, &s->txn, SMTP_RECEIVED_MAX, &who, &hop_events, c, &c->hop) ==
        ERR_OK)
        return true;
    return hop_unusable(c);
}

/* The next hop's answer to a recipient is still to come. What is said before it, to a client that
 * pipelined, waits for it: RFC 2920 section 3.2 (5). */
static bool answer_follows(const struct smtp_out *out)
{
    for (unsigned i = 0; i < out->actions_len; i++) {
        if (out->actions[i].kind == SMTP_DO_RCPT)
            return true;
    }
    return false;
}

int client_reply_out(struct client *c, const struct smtp_out *out)
{
    struct span bytes = buf_span(out->bytes);

    if (c->mode == CLIENT_GONE || bytes.len == 0)
        return ERR_OK;
    return answer_follows(out) ? dp_send_held(c->gateway->dp, c->leg, bytes.ptr, bytes.len)
                               : dp_send(c->gateway->dp, c->leg, bytes.ptr, bytes.len);
}

bool client_act(struct client *c, const struct smtp_action *action)
{
    int err = ERR_OK;

    switch (action->kind) {
    case SMTP_DO_STARTTLS:
        return act_starttls(c);
    case SMTP_DO_OPEN:
        return act_open(c);
    case SMTP_DO_RCPT:
        if (c->hop)
            err = hop_rcpt(c->hop, action->index);
        break;
    case SMTP_DO_DATA:
        if (c->hop)
            err = hop_data(c->hop);
        break;
    case SMTP_DO_CHUNK:
        return body_begin_chunk(c, action->size, action->last);
    case SMTP_DO_BODY:
        return body_begin_data(c);
    case SMTP_DO_DRAIN_BODY:
        return body_begin_drain(c, false, 0);
    case SMTP_DO_DRAIN_CHUNK:
        return body_begin_drain(c, true, action->size);
    case SMTP_DO_ABORT:
    case SMTP_DO_END:
        client_message_end(c, MESSAGE_ABORTED);
        return true;
    case SMTP_DO_REFUSED:
        client_count(c, COUNTER_RECIPIENTS_REFUSED);
        gateway_log_refused(c, action);
        return true;
    case SMTP_DO_REFUSED_SENDER:
        client_count(c, COUNTER_SENDERS_REFUSED);
        gateway_log_refused(c, action);
        return true;
    case SMTP_DO_AUTH:
        return client_act_auth(c);
    case SMTP_DO_AUTH_END:
        client_auth_end(c);
        return true;
    case SMTP_DO_CLOSE:
        client_close(c, action->end, DP_CLOSE_FLUSH);
        return false;
    }
    return err == ERR_OK ? true : hop_unusable(c);
}
