/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"

#include <stdio.h>
#include <stdlib.h>

enum { RCPTS_START = 8, CHUNKS_AHEAD = 16 };

/* --- lifetime --- */

static void hop_free(struct hop *h)
{
    if (h->host)
        upstream_host_drop(h->u, h->host);
    if (h->recalled)
        upstream_recall_drop(h);
    if (h->targets_owned)
        free(h->targets);
    upstream_said_free(h->said);
    free(h->probe);
    free(h->who);
    free(h->rcpts);
    free(h);
}

void hop_unpin(struct hop *h)
{
    ASSERT(h->pins > 0);
    if (--h->pins == 0 && h->closed)
        hop_free(h);
}

static struct upstream_who *who_copy(const struct hop_client *client)
{
    struct upstream_who *who = calloc(1, sizeof(*who));

    if (!who)
        return NULL;
    snprintf(who->name, sizeof(who->name), "%s", client->name ? client->name : "");
    snprintf(who->helo, sizeof(who->helo), "%s", client->helo ? client->helo : "");
    who->addr = *client->addr;
    who->speaks_for.esmtp = client->esmtp;
    return who;
}

struct hop *hop_new(struct upstream *u, const struct conf_route *route)
{
    size_t place = (size_t)(route - u->conf.conf->routes);
    struct hop *h = calloc(1, sizeof(*h));

    ASSERT(place < u->conf.conf->routes_len);
    if (!h)
        return NULL;
    h->u = u;
    h->route = &u->routes[place];
    return h;
}

int hop_open(struct upstream *u, const struct smtp_transaction *txn, uint64_t size_added,
             const struct hop_client *client, const struct hop_events *events, void *user,
             struct hop **ret)
{
    struct hop *h = hop_new(u, txn->route);

    if (!h)
        return ERR_NOMEM;
    h->txn = txn;
    h->size_added = size_added;
    h->events = events;
    h->user = user;
    int err = ERR_OK;
    if (h->route->conf->xclient) {
        h->who = who_copy(client);
        err = h->who ? ERR_OK : ERR_NOMEM;
    }
    if (!err)
        err = upstream_dial_begin(h);
    if (err) {
        upstream_dial_stop(h);
        hop_free(h);
        return err;
    }
    *ret = h;
    return ERR_OK;
}

void hop_close(struct hop **hop)
{
    struct hop *h = *hop;

    *hop = NULL;
    if (!h)
        return;
    hop_pin(h);
    h->closed = true;
    upstream_dial_stop(h);
    if (h->leg)
        leg_leave(h->leg);
    hop_unpin(h);
}

void hop_give_up(struct hop *h, const struct smtp_reply *reply, bool indeterminate)
{
    if (h->state == HOP_LOST || h->closed)
        return;
    upstream_dial_stop(h);
    h->state = HOP_LOST;
    if (h->leg)
        leg_close(h->leg, DP_CLOSE_CUT);
    hop_pin(h);
    h->events->lost(h->user, reply, indeterminate);
    hop_unpin(h);
}

/* --- out --- */

static void mail_push(struct hop *h)
{
    ASSERT(!h->probe);
    h->mail_sent = true;
    h->mail_refused = false;
    h->mail_unsupported = smtp_client_mail(h->leg->client, h->txn, h->size_added) != ERR_OK;
}

static enum hop_rcpt_state rcpt_push(struct hop *h, unsigned index)
{
    if (h->mail_unsupported)
        return HOP_RCPT_UNSUPPORTED;
    switch (smtp_client_rcpt(h->leg->client, h->txn, index)) {
    case ERR_OK:
        return HOP_RCPT_SENT;
    case ERR_LIMIT:
        return HOP_RCPT_LIMIT;
    default:
        return HOP_RCPT_UNSUPPORTED;
    }
}

static bool any_rcpt_sent(const struct hop *h)
{
    for (unsigned i = 0; i < h->rcpts_len; i++)
        if (h->rcpts[i].state == HOP_RCPT_SENT)
            return true;
    return false;
}

/* Something is due that only we can say. */
static bool own_answer_due(const struct hop *h)
{
    if (h->rcpts_answered < h->rcpts_pushed)
        return h->rcpts[h->rcpts_answered].state != HOP_RCPT_SENT;
    return h->data_wanted && !h->data_sent && !h->data_refused && !h->as_chunks;
}

/* DATA is not said then, and its 354 is ours. */
static bool wants_chunks(const struct hop *h)
{
    return h->route->conf->data_to_bdat && h->facts.caps.chunking;
}

/* All that was asked for and can be said by now, in one flush. */
static void hop_push(struct hop *h)
{
    if (!h->mail_sent)
        mail_push(h);
    for (; h->rcpts_pushed < h->rcpts_len; h->rcpts_pushed++) {
        struct hop_rcpt *r = &h->rcpts[h->rcpts_pushed];
        r->state = rcpt_push(h, r->index);
    }
    if (h->data_wanted && !h->data_sent && !wants_chunks(h) && any_rcpt_sent(h))
        h->data_sent = smtp_client_data(h->leg->client) == ERR_OK;
    leg_flush(h->leg);
    leg_expect_next(h->leg);
    if (own_answer_due(h) && dp_timer_start(h->u->conf.dp, &h->turn, 0) != ERR_OK)
        leg_close(h->leg, DP_CLOSE_CUT); /* no memory: the session's own time ends it */
}

void hop_activate(struct hop *h, struct upstream_leg *leg)
{
    if (!leg->reused && upstream_ratchet_holds(h, leg))
        return;
    if (h->probe) {
        upstream_probe_ready(h, leg);
        return;
    }
    if (h->txn->mail.requiretls && !smtp_client_caps(leg->client)->requiretls) {
        upstream_dial_unfit(h);
        return;
    }
    upstream_report_ready(leg);
    upstream_recall_keep(h);
    h->state = HOP_ACTIVE;
    dp_timer_stop(h->u->conf.dp, &h->turn);
    dp_timer_stop(h->u->conf.dp, &h->budget);
    h->facts.addr = leg->addr;
    h->facts.connected = true;
    h->facts.has_tls = leg->has_tls;
    h->facts.reused = leg->reused;
    h->facts.plaintext_retry = leg->plaintext_retry;
    h->facts.tls = leg->facts;
    h->facts.caps = *smtp_client_caps(leg->client);
    h->facts.ratchet_was = leg->ratchet_was;
    upstream_why(h->why, "%s", leg->why);
    h->mail_sent = h->data_sent = false;
    h->rcpts_pushed = 0;
    hop_push(h);
}

static bool hop_usable(const struct hop *h)
{
    return h->state != HOP_LOST && !(h->state == HOP_ACTIVE && !h->leg);
}

int hop_rcpt(struct hop *h, unsigned index)
{
    if (!hop_usable(h) || h->data_wanted)
        return ERR_STATE;
    if (h->rcpts_len == h->rcpts_cap) {
        unsigned cap = h->rcpts_cap ? h->rcpts_cap * 2 : RCPTS_START;
        struct hop_rcpt *rcpts = realloc(h->rcpts, cap * sizeof(*rcpts));
        if (!rcpts)
            return ERR_NOMEM;
        h->rcpts = rcpts;
        h->rcpts_cap = cap;
    }
    h->rcpts[h->rcpts_len++] = (struct hop_rcpt){.index = index};
    if (h->state == HOP_ACTIVE)
        hop_push(h);
    return ERR_OK;
}

int hop_data(struct hop *h)
{
    if (!hop_usable(h) || h->data_wanted)
        return ERR_STATE;
    h->data_wanted = true;
    if (h->state == HOP_ACTIVE)
        hop_push(h);
    return ERR_OK;
}

bool hop_has_chunking(const struct hop *h)
{
    return h->state == HOP_ACTIVE && h->facts.caps.chunking;
}

int hop_chunk(struct hop *h, uint64_t size, bool last)
{
    if (h->state != HOP_ACTIVE || !h->leg)
        return ERR_STATE;
    int err = smtp_client_chunk(h->leg->client, size, last);
    if (err)
        return err;
    h->chunk = true;
    h->chunk_last = last;
    leg_flush(h->leg);
    leg_expect(h->leg, 0); /* as long as its bytes are on their way */
    return ERR_OK;
}

bool hop_takes_chunks(const struct hop *h)
{
    return h->as_chunks;
}

static bool chunk_must_wait(const struct hop *h)
{
    unsigned due = smtp_client_outstanding(h->leg->client);

    return due >= (h->facts.caps.pipelining ? CHUNKS_AHEAD : 1);
}

/* The next chunk can't go yet: the next hop has its time to read, or to answer. */
static int chunk_wait(struct hop *h, int err)
{
    h->chunk_wait = true;
    leg_expect(h->leg, h->u->limits->hop_command_timeout_s);
    return err;
}

int hop_data_chunk(struct hop *h, struct span lead, size_t more, bool last)
{
    if (h->state != HOP_ACTIVE || !h->leg || !h->as_chunks || h->finished || h->final)
        return ERR_STATE;
    leg_flush(h->leg);
    if (buf_len(&h->leg->out) > 0 || chunk_must_wait(h))
        return chunk_wait(h, ERR_AGAIN);
    /* In one piece: a command without its bytes would take the next one's for them. */
    if (!buf_reserve(&h->leg->out, SMTP_CLIENT_CHUNK_LINE + lead.len))
        return chunk_wait(h, ERR_NOMEM);
    int err = smtp_client_chunk(h->leg->client, lead.len + more, last);
    if (err)
        return chunk_wait(h, err);
    err = buf_append_span(&h->leg->out, lead);
    ASSERT(!err);
    h->chunk_wait = false;
    h->chunk = last;
    h->chunk_last = last;
    leg_flush(h->leg);
    leg_expect(h->leg, 0); /* as long as the body is on its way */
    return ERR_OK;
}

/* The leg's own output went before; ERR_FULL where some of it is still here. */
static int send_ready(struct hop *h)
{
    if (h->state != HOP_ACTIVE || !h->leg)
        return ERR_STATE;
    leg_flush(h->leg);
    return buf_len(&h->leg->out) > 0 ? ERR_FULL : ERR_OK;
}

int hop_send(struct hop *h, struct span bytes)
{
    int err = send_ready(h);

    return err ? err : dp_send(h->u->conf.dp, h->leg->id, bytes.ptr, bytes.len);
}

int hop_send_held(struct hop *h, struct span bytes)
{
    int err = send_ready(h);

    return err ? err : dp_send_held(h->u->conf.dp, h->leg->id, bytes.ptr, bytes.len);
}

struct leg_id hop_leg(const struct hop *h)
{
    return h->leg ? h->leg->id : LEG_NONE;
}

int hop_finish(struct hop *h, struct span finish)
{
    const struct conf_limits *limits = h->u->limits;

    if (h->state != HOP_ACTIVE || !h->leg || h->finished || !(h->body || h->chunk))
        return ERR_STATE;
    if (h->chunk) {
        h->chunk = false;
        h->finished = h->chunk_last;
    } else {
        int err = buf_append_span(&h->leg->out, finish);
        if (err)
            return err;
        smtp_client_dot(h->leg->client);
        h->finished = true;
        leg_flush(h->leg);
    }
    leg_expect(h->leg, h->finished ? limits->hop_final_timeout_s : limits->hop_command_timeout_s);
    return ERR_OK;
}

void hop_facts(const struct hop *h, struct hop_facts *ret)
{
    *ret = h->facts;
    ret->host = h->fact_host;
    ret->why = h->why;
    ret->alarm = h->alarm;
    ret->verdict = h->verdict;
    ret->sts_id = upstream_verdict_sts_id(h);
    if (h->facts.connected)
        ret->would_refuse =
            upstream_verdict_refusal(h->verdict, h->facts.has_tls ? &h->facts.tls : NULL);
}

/* --- back --- */

static void translate(struct hop *h, const struct smtp_client_event *e, struct smtp_reply *ret)
{
    if (smtp_answer_translate(e->phase, &e->reply, ret)) {
        h->alarm = true;
        upstream_count(h->u, COUNTER_ALARMS);
        upstream_why(h->why, "%u %.*s", e->reply.code, (int)e->reply.len, e->reply.text);
    }
}

static void own_reply(struct hop *h, const struct hop_rcpt *r, struct smtp_reply *ret)
{
    if (r->state == HOP_RCPT_LIMIT)
        upstream_reply(ret, 452, 5, 3, "Too many recipients for the next hop");
    else if (!smtp_answer_unsupported(&h->facts.caps, h->txn, &h->txn->recipients[r->index].rcpt,
                                      h->size_added, ret))
        upstream_reply(ret, 451, 3, 0, "The command can't be sent to the next hop");
}

static void rcpt_tell(struct hop *h, const struct smtp_reply *reply)
{
    h->rcpts_answered++;
    h->rcpts_accepted += smtp_reply_class(reply) == 2;
    h->events->rcpt(h->user, reply);
}

void hop_deliver(struct hop *h)
{
    struct smtp_reply reply;

    hop_pin(h);
    while (!h->closed && h->state == HOP_ACTIVE && own_answer_due(h)) {
        if (h->rcpts_answered < h->rcpts_pushed) {
            own_reply(h, &h->rcpts[h->rcpts_answered], &reply);
            rcpt_tell(h, &reply);
        } else if (wants_chunks(h) && h->rcpts_accepted > 0) {
            h->as_chunks = true;
            upstream_reply(&reply, 354, 0, 0, "go ahead");
            h->events->data(h->user, &reply);
        } else {
            h->data_refused = true;
            upstream_reply(&reply, 554, 5, 1, "No valid recipients");
            h->events->data(h->user, &reply);
        }
    }
    hop_unpin(h);
}

void hop_on_leg_lost(struct hop *h, const struct smtp_reply *said, const char *why)
{
    struct smtp_reply reply;

    if (h->closed || h->final || h->state == HOP_LOST)
        return;
    if (h->rcpts_answered == 0 && !h->body && !h->chunk && !h->finished && !h->data_refused) {
        upstream_dial_again(h, h->facts.reused, said, why);
        return;
    }
    upstream_why(h->why, "%s", why);
    upstream_reply(&reply, 451, 4, 2, "%s: connection lost: %s", h->fact_host, why);
    hop_give_up(h, &reply, h->finished);
}

/* The leg said 421, or something that is worse than nothing. */
static void drop_leg(struct hop *h, const struct smtp_reply *said, const char *why)
{
    if (h->leg)
        leg_close(h->leg, DP_CLOSE_CUT);
    hop_on_leg_lost(h, said, why);
}

static void on_rcpt(struct hop *h, const struct smtp_client_event *e)
{
    struct smtp_reply reply;

    hop_deliver(h); /* what we said ourselves to recipients before it */
    if (h->closed)
        return;
    if (h->mail_refused)
        reply = h->mail_reply;
    else
        translate(h, e, &reply);
    rcpt_tell(h, &reply);
    hop_deliver(h);
}

static void on_data(struct hop *h, const struct smtp_client_event *e)
{
    struct smtp_reply reply;

    translate(h, e, &reply);
    h->body = smtp_reply_class(&e->reply) == 3;
    h->data_refused = !h->body;
    h->events->data(h->user, &reply);
}

static void on_final(struct hop *h, const struct smtp_client_event *e)
{
    bool early = !h->finished;
    struct smtp_reply reply;

    if (early && smtp_reply_class(&e->reply) == 2) {
        drop_leg(h, &e->reply, "a success before the end of the message");
        return;
    }
    translate(h, e, &reply);
    h->final = true;
    if (smtp_reply_class(&reply) == 2) {
        upstream_ratchet_proved(h);
        if (!h->facts.has_tls)
            upstream_count(h->u, COUNTER_HOP_PLAINTEXT);
    }
    if (e->reply.code == 421)
        leg_close(h->leg, early ? DP_CLOSE_CUT : DP_CLOSE_FLUSH);
    h->events->final(h->user, &reply, early);
}

/* The first refusal is the message's answer. Whatever is still said to chunks behind it, and to the
 * last one, is of no interest, and nobody has to know how such a next hop goes on. */
static void chunk_refused(struct hop *h, const struct smtp_reply *reply)
{
    bool early = !h->finished;

    if (h->final)
        return;
    h->final = true;
    if (!early)
        leg_close(h->leg, DP_CLOSE_CUT);
    h->events->final(h->user, reply, early);
}

static void on_chunk(struct hop *h, const struct smtp_client_event *e)
{
    struct smtp_reply reply;

    translate(h, e, &reply);
    if (!h->as_chunks)
        h->events->chunk(h->user, &reply);
    else if (smtp_reply_class(&e->reply) != 2)
        chunk_refused(h, &reply);
    else if (h->chunk_wait) {
        h->chunk_wait = false;
        h->events->writable(h->user);
    }
}

void hop_on_answer(struct hop *h, const struct smtp_client_event *e)
{
    bool closing = e->reply.code == 421;

    hop_pin(h);
    if (closing && h->rcpts_answered == 0) {
        drop_leg(h, &e->reply, "the next hop closes the connection");
        hop_unpin(h);
        return;
    }
    switch (e->phase) {
    case SMTP_PHASE_MAIL:
        h->mail_refused = smtp_reply_class(&e->reply) != 2;
        if (h->mail_refused)
            translate(h, e, &h->mail_reply);
        break;
    case SMTP_PHASE_RCPT:
        on_rcpt(h, e);
        break;
    case SMTP_PHASE_DATA:
        on_data(h, e);
        break;
    case SMTP_PHASE_CHUNK:
        on_chunk(h, e);
        break;
    case SMTP_PHASE_FINAL:
        on_final(h, e);
        break;
    case SMTP_PHASE_CONNECT:
    case SMTP_PHASE_GREETING:
    case SMTP_PHASE_EHLO:
    case SMTP_PHASE_STARTTLS:
    case SMTP_PHASE_TLS:
    case SMTP_PHASE_XCLIENT:
    case SMTP_PHASE_AUTH:
    case SMTP_PHASE_RSET:
    case SMTP_PHASE_QUIT:
        break;
    }
    if (closing && !h->closed && e->phase != SMTP_PHASE_FINAL)
        drop_leg(h, &e->reply, "the next hop closes the connection");
    hop_unpin(h);
}
