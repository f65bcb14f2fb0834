/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"

#include <stdio.h>
#include <stdlib.h>

enum { FLUSH_PIECE = 64 * 1024 };

static const struct smtp_reply no_reply;

struct upstream_leg *upstream_leg_find(const struct upstream *u, struct leg_id id)
{
    struct upstream_leg *leg = id.slot < u->conf.max_legs ? u->legs[id.slot] : NULL;

    return leg && leg_same(leg->id, id) ? leg : NULL;
}

/* --- its end --- */

static void leg_free(struct upstream_leg *leg)
{
    smtp_client_free(leg->client);
    buf_release(&leg->out);
    free(leg->who);
    free(leg);
}

void leg_unpin(struct upstream_leg *leg)
{
    ASSERT(leg->pins > 0);
    if (--leg->pins == 0 && leg->state == LEG_CLOSED)
        leg_free(leg);
}

void leg_close(struct upstream_leg *leg, enum dp_close how)
{
    struct upstream *u = leg->u;

    if (leg->state == LEG_CLOSED)
        return;
    upstream_pool_remove(leg);
    dp_timer_stop(u->conf.dp, &leg->timer);
    u->conf.tls->ops->release(u->conf.tls, leg->id);
    (void)!dp_close(u->conf.dp, leg->id, how); /* one that is gone is closed */
    u->legs[leg->id.slot] = NULL;
    u->legs_len--;
    counter_add(&u->conf.shared, COUNTER_HOP_CONNECTIONS_OPEN, -1);
    shared_drop(&u->conf.shared, SHARED_HOP, leg->host->key);
    leg->host->open--;
    upstream_pool_wake(u, leg->host);
    upstream_host_drop(u, leg->host);
    leg->host = NULL;
    if (leg->hop)
        leg->hop->leg = NULL;
    leg->hop = NULL;
    leg->state = LEG_CLOSED;
    if (leg->pins == 0)
        leg_free(leg);
}

void leg_quit(struct upstream_leg *leg)
{
    leg_pin(leg);
    smtp_client_quit(leg->client);
    leg_flush(leg);
    leg_close(leg, DP_CLOSE_FLUSH);
    leg_unpin(leg);
}

void leg_failed(struct upstream_leg *leg, enum smtp_client_phase phase,
                const struct smtp_reply *reply, const char *why, bool unreachable)
{
    struct hop *h = leg->hop;
    struct smtp_reply said = reply ? *reply : no_reply;
    char text[UPSTREAM_WHY];

    ASSERT(!leg->ready);
    upstream_why(text, "%s", why); /* may be the leg's own */
    upstream_count(leg->u, COUNTER_HOP_CONNECTIONS_FAILED);
    if (h)
        upstream_race_front(leg);
    /* What was sent, an alert above all, still goes out. */
    leg_close(leg, DP_CLOSE_FLUSH);
    if (h)
        upstream_dial_failed(h, phase, &said, text, unreachable);
}

/* A leg that worked is of no more use. */
static void leg_gone(struct upstream_leg *leg, enum smtp_client_phase phase,
                     const struct smtp_reply *reply, const char *why)
{
    static const struct smtp_reply later = {.code = 451};
    struct hop *h = leg->hop;

    if (!leg->ready) {
        bool tls = phase == SMTP_PHASE_TLS;
        /* That it went in mid-handshake does not say that it can't give TLS. */
        leg_failed(leg, phase, tls ? &later : reply, why, !tls && !leg->has_tls);
        return;
    }
    leg_close(leg, DP_CLOSE_CUT);
    if (h)
        hop_on_leg_lost(h, reply, why);
}

void leg_leave(struct upstream_leg *leg)
{
    struct hop *h = leg->hop;

    leg->hop = NULL;
    h->leg = NULL;
    if (!leg->ready || ((h->body || h->chunk) && !h->finished)) {
        /* In mid-body: it must not look complete. */
        leg_close(leg, DP_CLOSE_CUT);
    } else if (smtp_client_ready(leg->client)) {
        upstream_pool_put(leg);
    } else if (smtp_client_rset(leg->client) == ERR_OK) {
        leg_flush(leg);
        leg_expect(leg, leg->u->limits->hop_command_timeout_s);
    } else if (smtp_client_outstanding(leg->client) == 0 || (!h->finished && !h->data_refused)) {
        /* No answer is due that could free it (it said 421); or DATA is unanswered, and a 354 would
         * ask for a body. */
        leg_close(leg, DP_CLOSE_CUT);
    }
    /* Else its last answer is still to come; then it goes to the pool. */
}

/* --- time --- */

static void leg_timeout(void *user, struct dp_timer *timer)
{
    struct upstream_leg *leg = user;

    leg_pin(leg);
    if (leg->idle)
        upstream_pool_tired(leg);
    else if (leg->state == LEG_CONNECTING)
        leg_gone(leg, SMTP_PHASE_CONNECT, &no_reply, "no connection in time");
    else if (leg->state == LEG_HANDSHAKE)
        leg_gone(leg, SMTP_PHASE_TLS, &no_reply, "the TLS handshake took too long");
    else
        leg_gone(leg, smtp_client_lost_phase(leg->client), &no_reply, "no answer in time");
    leg_unpin(leg);
}

void leg_expect(struct upstream_leg *leg, unsigned seconds)
{
    if (leg->state == LEG_CLOSED)
        return;
    if (seconds == 0)
        dp_timer_stop(leg->u->conf.dp, &leg->timer);
    else /* without memory for it the session's own limits end the wait */
        (void)!dp_timer_start(leg->u->conf.dp, &leg->timer, seconds * 1000ull);
}

/* After events: is something still due? The final reply has its own time, begun with the dot. */
void leg_expect_next(struct upstream_leg *leg)
{
    const struct hop *h = leg->hop;

    if (leg->state == LEG_CLOSED || leg->idle || (h && h->finished && !h->final))
        return;
    bool waits = h && h->chunk_wait && !h->final;
    bool moves = h && (h->chunk || (h->as_chunks && !waits && !h->final));
    bool due = !leg->ready || waits || (smtp_client_outstanding(leg->client) > 0 && !moves);
    leg_expect(leg, due ? leg->u->limits->hop_command_timeout_s : 0);
}

/* --- bytes --- */

void leg_flush(struct upstream_leg *leg)
{
    while (leg->state != LEG_CLOSED && buf_len(&leg->out) > 0) {
        struct span s = buf_span(&leg->out);
        size_t n = s.len < FLUSH_PIECE ? s.len : FLUSH_PIECE;
        /* ERR_FULL: writable goes on. Others: lost follows. */
        if (dp_send(leg->u->conf.dp, leg->id, s.ptr, n) != ERR_OK)
            return;
        buf_consume(&leg->out, n);
    }
}

static void leg_input_smtp(struct upstream_leg *leg, const uint8_t *data, size_t len,
                           size_t *ret_used)
{
    unsigned before = smtp_client_outstanding(leg->client);
    bool was_ready = leg->ready;

    *ret_used = smtp_client_input(leg->client, data, len);
    if (leg->state == LEG_CLOSED) {
        *ret_used = len;
        return;
    }
    leg_flush(leg);
    if (leg->ready && !leg->hop && !leg->idle && smtp_client_ready(leg->client))
        upstream_pool_put(leg);
    else if (*ret_used > 0 || before != smtp_client_outstanding(leg->client) || !was_ready)
        leg_expect_next(leg);
}

void leg_input(struct upstream_leg *leg, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct upstream *u = leg->u;

    *ret_used = len;
    leg_pin(leg);
    if (leg->state == LEG_HANDSHAKE) {
        u->conf.tls->ops->feed(u->conf.tls, leg->id, span_make(data, len));
    } else if (leg->state == LEG_TALKING) {
        leg->got_data = true;
        if (leg->tickets) {
            /* RFC 8446: tickets come before the first data; the session is complete. */
            leg->tickets = false;
            u->conf.tls->ops->release(u->conf.tls, leg->id);
        }
        leg_input_smtp(leg, data, len, ret_used);
    }
    leg_unpin(leg);
}

/* --- the SMTP machine's events --- */

static void on_ready(struct upstream_leg *leg)
{
    leg->ready = true;
    upstream_host_alive(leg->host);
    if (leg->fixed >= 0 && !(leg->hop && leg->hop->probe)) {
        leg->route->caps[leg->fixed] = *smtp_client_caps(leg->client);
        leg->route->seen[leg->fixed] = true;
    }
    if (leg->hop)
        hop_activate(leg->hop, leg);
}

static void on_event(void *user, struct smtp_client *client, const struct smtp_client_event *e)
{
    struct upstream_leg *leg = user;

    switch (e->kind) {
    case SMTP_CLIENT_START_TLS:
        leg_flush(leg);
        upstream_tls_begin(leg);
        break;
    case SMTP_CLIENT_READY:
        on_ready(leg);
        break;
    case SMTP_CLIENT_ANSWER:
        if (e->phase == SMTP_PHASE_FINAL)
            leg->messages++;
        if (leg->hop)
            hop_on_answer(leg->hop, e);
        else if (e->reply.code == 421 ||
                 (e->phase == SMTP_PHASE_RSET && smtp_reply_class(&e->reply) != 2))
            leg_close(leg, DP_CLOSE_FLUSH);
        break;
    case SMTP_CLIENT_NO_TLS:
        if (leg->hop)
            upstream_report_failed(leg->hop, SMTP_PHASE_STARTTLS, e->text);
        leg->plaintext_retry = true;
        upstream_why(leg->why, "%s", e->text);
        break;
    case SMTP_CLIENT_FAILED:
        smtp_client_quit(leg->client);
        leg_flush(leg);
        leg_failed(leg, e->phase, &e->reply, e->text, false);
        break;
    case SMTP_CLIENT_BROKEN:
        /* Whoever breaks the protocol is not taken for a next hop without TLS: no plaintext. */
        leg_gone(leg, leg->conf.tls == SMTP_CLIENT_TLS_TRY ? SMTP_PHASE_EHLO : e->phase, &no_reply,
                 e->text);
        break;
    case SMTP_CLIENT_CLOSING:
        leg_gone(leg, SMTP_PHASE_EHLO, &e->reply, "the next hop closes the connection");
        break;
    }
}

static const struct smtp_client_events client_events = {.event = on_event};

/* --- its beginning --- */

static struct upstream_leg *leg_new(struct hop *h, const union net_addr *addr)
{
    struct upstream *u = h->u;
    const struct conf_route *route = h->route->conf;
    struct upstream_leg *leg = calloc(1, sizeof(*leg));

    if (!leg)
        return NULL;
    leg->u = u;
    leg->state = LEG_CONNECTING;
    leg->route = h->route;
    leg->key = h->key;
    leg->addr = *addr;
    leg->fixed = route->mx ? -1 : (int)h->target;
    leg->level = h->verdict->level;
    leg->judges_dates = upstream_judges_dates(h);
    leg->timer = (struct dp_timer){.fire = leg_timeout, .user = leg};
    buf_init(&leg->out, 0);
    leg->conf = (struct smtp_client_conf){
        .helo = route->helo ? route->helo : u->conf.conf->gateway.hostname,
        .tls = upstream_tls_mode(route, h->verdict->level, h->plaintext),
        .auth = h->probe ? CONF_AUTH_NONE : route->auth.mechanism,
        .user = route->auth.user,
        .password = route->auth.password,
    };
    if (h->plaintext) {
        leg->plaintext_retry = true;
        upstream_why(leg->why, "%s", h->why);
    }
    if (h->who) {
        leg->who = malloc(sizeof(*leg->who));
        if (!leg->who)
            goto fail;
        *leg->who = *h->who;
        leg->who->speaks_for.name = leg->who->name;
        leg->who->speaks_for.helo = leg->who->helo;
        leg->who->speaks_for.addr = &leg->who->addr;
        leg->conf.xclient = &leg->who->speaks_for;
    }
    if (smtp_client_new(&leg->conf, &leg->out, &client_events, leg, &leg->client) == ERR_OK)
        return leg;
fail:
    leg_free(leg);
    return NULL;
}

static const union net_addr *source_for(const struct conf_route *route, const union net_addr *to)
{
    if (net_addr_is_v6(to))
        return route->has_source6 ? &route->source6 : NULL;
    return route->has_source4 ? &route->source4 : NULL;
}

int upstream_leg_dial(struct hop *h, const union net_addr *addr, struct upstream_leg **ret)
{
    struct upstream *u = h->u;
    struct upstream_leg *leg = leg_new(h, addr);

    upstream_room_make(u);
    int err =
        leg ? dp_connect(u->conf.dp, addr, source_for(h->route->conf, addr), &leg->id) : ERR_NOMEM;

    if (err) {
        shared_drop(&u->conf.shared, SHARED_HOP, h->host->key);
        if (leg)
            leg_free(leg);
        return err;
    }
    ASSERT(leg->id.slot < u->conf.max_legs && !u->legs[leg->id.slot]);
    u->legs[leg->id.slot] = leg;
    u->legs_len++;
    leg->host = h->host;
    leg->host->uses++;
    leg->host->open++;
    leg->hop = h;
    *ret = leg;
    h->fault = TLS_CERT_FINE;
    counter_add(&u->conf.shared, COUNTER_HOP_CONNECTIONS_OPEN, 1);
    leg_expect(leg, u->limits->hop_connect_timeout_s);
    return ERR_OK;
}

void leg_connected(struct upstream_leg *leg, int error)
{
    char text[UPSTREAM_WHY];

    leg_pin(leg);
    if (error) {
        upstream_why(text, "%s", strerror(error));
        leg_failed(leg, SMTP_PHASE_CONNECT, NULL, text, true);
    } else {
        upstream_count(leg->u, COUNTER_HOP_CONNECTIONS);
        leg->state = LEG_TALKING;
        upstream_race_won(leg);
        leg_expect(leg, leg->u->limits->hop_command_timeout_s);
        if (leg->conf.tls == SMTP_CLIENT_TLS_IMPLICIT)
            upstream_tls_begin(leg);
    }
    leg_unpin(leg);
}

void leg_secured(struct upstream_leg *leg, const struct tls_facts *facts)
{
    upstream_count(leg->u, COUNTER_TLS_OUT);
    if (facts->resumed)
        upstream_count(leg->u, COUNTER_TLS_OUT_RESUMED);
    leg->has_tls = true;
    leg->facts = *facts;
    leg->state = LEG_TALKING;
    leg_expect(leg, leg->u->limits->hop_command_timeout_s);
    smtp_client_tls_done(leg->client);
    leg_flush(leg);
}

static void lost_text(const struct dp_lost_info *info, char out[UPSTREAM_WHY])
{
    switch (info->why) {
    case DP_LOST_EOF:
        upstream_why(out, "closed by the next hop");
        break;
    case DP_LOST_TRUNCATED:
        upstream_why(out, "closed by the next hop without close_notify");
        break;
    case DP_LOST_RESET:
    case DP_LOST_SEND:
        upstream_why(out, "%s", info->error ? strerror(info->error) : "connection reset");
        break;
    case DP_LOST_ALERT:
        upstream_why(out, "TLS alert %u from the next hop", info->alert);
        break;
    case DP_LOST_BAD_RECORD:
        upstream_why(out, "a TLS record is malformed or not authentic");
        break;
    case DP_LOST_LIMIT:
        upstream_why(out, "too many TLS messages without data");
        break;
    case DP_LOST_REKEY:
        upstream_why(out, "the next hop changed its TLS keys, which this kernel can't follow");
        break;
    }
}

void leg_lost(struct upstream_leg *leg, const struct dp_lost_info *info)
{
    const struct upstream_conf *conf = &leg->u->conf;
    enum smtp_client_phase phase = smtp_client_lost_phase(leg->client);
    char text[UPSTREAM_WHY];

    /* What it sent last may say why it went: its alert, most of all. */
    if (leg->state == LEG_HANDSHAKE && !leg->lost && conf->tls->ops->end(conf->tls, leg->id)) {
        leg->lost = true;
        leg->lost_info = *info;
        return;
    }
    leg_pin(leg);
    lost_text(info, text);
    if (info->why == DP_LOST_REKEY) {
        struct shared *shared = leg->u->conf.shared.shared;
        upstream_count(leg->u, COUNTER_REKEYS_LOST);
        shared_rekeyed(shared, shared_address_key(shared, &leg->addr),
                       dp_now_ms(leg->u->conf.dp) / 1000);
    }
    /* An alert on a TLS 1.3 leg's first read refuses the handshake, our certificate say. */
    if (leg->state == LEG_HANDSHAKE ||
        (leg->has_tls && !leg->got_data && info->why == DP_LOST_ALERT)) {
        upstream_count(leg->u, COUNTER_TLS_OUT_FAILED);
        phase = SMTP_PHASE_TLS;
    }
    leg_gone(leg, phase, &no_reply, text);
    leg_unpin(leg);
}
