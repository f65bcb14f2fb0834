/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which client's handshake gets a place, and what the service for handshakes tells, of clients and
 * of next hops alike: a leg that is no client's is passed on to upstream_tls.c. It may come later
 * than the call that asked for it. A client's leg may be lost meanwhile; c->lost keeps that until
 * the answer is there.
 */
#include "gateway_priv.h"

#include "assertion.h"

enum {
    HANDSHAKE_STALE_MS = 2000, /* from its beginning */
    ADDRESS_PARTS = 8,
    ADDRESS_MIN = 8, /* of all places, where half of them are taken */
};

/* With one client there is nobody else whom a step of a handshake could keep waiting. Measured with
 * eight sessions of one message each, all in the thread cost 7% more CPU a message than none. */
bool gateway_idle(void *user)
{
    const struct gateway *g = user;

    return g->clients_len <= 1;
}

unsigned gateway_handshakes_max(const struct conf *conf)
{
    return 2 * conf->limits.max_handshakes;
}

/* The one that has waited for its client for the longest, and long enough for any that goes on. */
static struct client *stalest(struct gateway *g)
{
    uint64_t now_ms = dp_now_ms(g->dp);
    struct client *c;

    TAILQ_FOREACH (c, &g->handshakes, in_handshakes) {
        if (now_ms - c->handshake_ms < HANDSHAKE_STALE_MS)
            break;
        if (g->tls->ops->quiet(g->tls, c->leg))
            return c;
    }
    return NULL;
}

/* One address does not get all places that are left. */
static bool address_has_part(const struct gateway *g, const struct client *c)
{
    unsigned max = gateway_handshakes_max(g->conf.conf);
    unsigned part = max / ADDRESS_PARTS > ADDRESS_MIN ? max / ADDRESS_PARTS : ADDRESS_MIN;
    const struct client *other;
    unsigned its = 0;

    if (g->handshakes_len < max / 2)
        return true;
    TAILQ_FOREACH (other, &g->handshakes, in_handshakes)
        its += other->address_key == c->address_key;
    return its < part;
}

bool handshake_has_place(struct gateway *g, const struct client *c)
{
    return address_has_part(g, c) &&
           (g->handshakes_len < gateway_handshakes_max(g->conf.conf) || stalest(g));
}

bool handshake_begin(struct client *c)
{
    struct gateway *g = c->gateway;
    struct client *stale = NULL;

    if (!address_has_part(g, c))
        return false;
    /* Half of the places are those in flight: from there on others wait behind them. */
    if (g->handshakes_len >= gateway_handshakes_max(g->conf.conf) / 2 && (stale = stalest(g))) {
        client_count(stale, COUNTER_TLS_IN_FAILED);
        client_close(stale, SESSION_END_OVERLOAD, DP_CLOSE_CUT);
    }
    if (g->handshakes_len >= gateway_handshakes_max(g->conf.conf) ||
        g->tls->ops->start_server(g->tls, c->leg, g->listeners[c->listener].tls) != ERR_OK)
        return false;
    c->handshake_ms = dp_now_ms(g->dp);
    g->handshakes_len++;
    TAILQ_INSERT_TAIL(&g->handshakes, c, in_handshakes);
    return true;
}

void handshake_end(struct client *c)
{
    c->gateway->handshakes_len--;
    TAILQ_REMOVE(&c->gateway->handshakes, c, in_handshakes);
}

static void on_tls_output(void *user, struct leg_id leg, struct span bytes)
{
    struct gateway *g = user;

    if (!client_find(g, leg)) {
        upstream_tls_output(g->upstream, leg, bytes);
        return;
    }
    /* A handshake is smaller than a leg's output bound; a leg that is gone is told by lost. */
    (void)!dp_send(g->dp, leg, bytes.ptr, bytes.len);
}

static void on_tls_done(void *user, struct leg_id leg, const struct tls_keys *keys,
                        const struct tls_facts *facts, struct span rest)
{
    struct gateway *g = user;
    struct client *c = client_find(g, leg);
    struct smtp_out out;

    if (!c) {
        upstream_tls_done(g->upstream, leg, keys, facts, rest);
        return;
    }
    ASSERT(c->mode == CLIENT_TLS);
    handshake_end(c);
    client_enter(c, CLIENT_COMMAND);
    client_count(c, COUNTER_TLS_IN);
    if (facts->resumed)
        client_count(c, COUNTER_TLS_IN_RESUMED);
    if (c->lost) {
        client_close(c, SESSION_END_CLIENT_RESET, DP_CLOSE_CUT);
        return;
    }
    bool rekeys = shared_rekeys(g->conf.shared.shared, c->address_key, dp_now_ms(g->dp) / 1000);
    if (dp_set_keys(g->dp, leg, keys, rest, rekeys ? DP_KEYS_USER : 0) != ERR_OK) {
        client_close(c, SESSION_END_INTERNAL, DP_CLOSE_CUT);
        return;
    }
    client_out_init(c, &out);
    smtp_session_tls_done(&c->smtp, facts, &out);
    if (c->smtp.state == SMTP_STATE_CONNECTED)
        smtp_session_greet(&c->smtp, &out);
    client_apply(c, &out);
}

static void on_tls_failed(void *user, struct leg_id leg, const struct tls_failure *failure)
{
    struct gateway *g = user;
    struct client *c = client_find(g, leg);

    if (!c) {
        upstream_tls_failed(g->upstream, leg, failure);
        return;
    }
    client_count(c, COUNTER_TLS_IN_FAILED);
    if (failure->kind != TLS_FAIL_ENDED) /* else the session's own line says it */
        gateway_log_tls_failure(c, failure);
    client_close(c, SESSION_END_TLS_FAILED, c->lost ? DP_CLOSE_CUT : DP_CLOSE_FLUSH);
}

const struct tls_service_events gateway_tls_events = {
    .output = on_tls_output,
    .done = on_tls_done,
    .failed = on_tls_failed,
};
