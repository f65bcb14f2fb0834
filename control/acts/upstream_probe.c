/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PROBE_HOST_MS = 15 * 1000
}; /* for one host, so that a dead one does not cost all the rest */

struct upstream_probe {
    struct smtp_transaction txn; /* route and domain alone */
    char domain[DNS_NAME_MAX + 1];
    bool connects;
    const struct upstream_probe_events *events;
    void *user;

    bool has_mx;
    struct dns_mx_answer mx;
    unsigned good; /* hosts that mail could go to */

    /* Of the target in turn. */
    bool judged, has_addrs, has_addr, has_tls;
    struct dns_addr_answer addrs;
    enum upstream_probe_result result;
    enum smtp_client_phase phase;
    union net_addr addr;
    struct tls_facts facts;
    struct smtp_caps caps;
    char drop[RATCHET_TEXT]; /* "": it has what it had */
};

uint64_t upstream_probe_time(const struct hop *h, uint64_t mail_ms)
{
    const uint64_t most_ms = UPSTREAM_PROBE_S * 1000ull;

    return h->probe && mail_ms > most_ms ? most_ms : mail_ms;
}

bool upstream_probe_only_asks(const struct hop *h)
{
    if (!h->probe || h->probe->connects)
        return false;
    h->probe->result = UPSTREAM_PROBE_USABLE;
    return true;
}

void upstream_probe_mx(struct hop *h, const struct dns_mx_answer *answer)
{
    h->probe->mx = *answer;
    h->probe->has_mx = true;
}

void upstream_probe_enter(struct hop *h)
{
    struct upstream_probe *p = h->probe;
    uint64_t now = dp_now_ms(h->u->conf.dp);
    uint64_t left = h->deadline_ms > now ? h->deadline_ms - now : 0;

    p->judged = p->has_addrs = p->has_addr = p->has_tls = false;
    p->drop[0] = '\0';
    p->result = UPSTREAM_PROBE_LATE;
    upstream_why(h->why, "%s", "");
    /* Without memory for it the timer that runs ends the host. */
    (void)!dp_timer_start(h->u->conf.dp, &h->budget, left < PROBE_HOST_MS ? left : PROBE_HOST_MS);
}

void upstream_probe_judged(struct hop *h)
{
    h->probe->judged = true;
    h->probe->phase = SMTP_PHASE_CONNECT;
    h->probe->result = h->verdict->use == TLS_SKIP ? UPSTREAM_PROBE_SKIPPED : UPSTREAM_PROBE_FAILED;
}

void upstream_probe_addresses(struct hop *h, const struct dns_addr_answer *answer)
{
    h->probe->addrs = *answer;
    h->probe->has_addrs = true;
}

void upstream_probe_failed(struct hop *h, enum smtp_client_phase phase)
{
    h->probe->result = UPSTREAM_PROBE_FAILED;
    h->probe->phase = phase;
    h->probe->addr = h->addrs[h->addr];
    h->probe->has_addr = true;
}

static void names_tell(const struct hop *h, struct upstream_names *names,
                       struct upstream_probe_host *ret)
{
    const struct upstream_aim aim = upstream_aim_of(h);

    upstream_names_find(h->route->conf, &aim, names);
    ret->names = names->items;
    ret->names_len = names->len;
    ret->sni = upstream_sni(h->route->conf, &aim);
}

void upstream_probe_leave(struct hop *h)
{
    struct upstream_probe *p = h->probe;
    const struct upstream_target *t = &h->targets[h->target];
    bool met = p->result == UPSTREAM_PROBE_MET;
    bool shown = met || p->result == UPSTREAM_PROBE_HELD;
    uint64_t now = dp_now_ms(h->u->conf.dp);
    struct upstream_names names;
    struct upstream_probe_host host = {
        .host = t->host,
        .port = t->port,
        .result = p->result,
        .verdict = p->judged ? h->verdict : NULL,
        .sts = h->said ? h->said->sts : NULL,
        .tlsa = h->said && h->said->tlsa_of == h->target + 1 ? h->said->tlsa : NULL,
        .addrs = p->has_addrs ? &p->addrs : NULL,
        .addr = p->has_addr ? &p->addr : NULL,
        .phase = p->phase,
        .why = h->why,
        .caps = met ? &p->caps : NULL,
        .tls = shown && p->has_tls ? &p->facts : NULL,
        .drop = met && p->drop[0] ? p->drop : NULL,
    };

    if (met)
        host.would_refuse = upstream_verdict_refusal(h->verdict, host.tls);

    if (h->host && upstream_host_dead(h->u, h->host)) {
        host.dead_for_ms = h->host->dead_until_ms - now;
        host.dead_why = h->host->last_error;
    }
    if (p->judged && h->verdict->use == TLS_USE) {
        names_tell(h, &names, &host);
        upstream_ratchet_memory(h, &host.had, &host.new_host);
    }
    p->good += met || p->result == UPSTREAM_PROBE_USABLE;
    p->events->host(p->user, &host);
    p->judged = false;
    p->result = UPSTREAM_PROBE_LATE; /* of those that no turn comes to */
}

/* What the connection has. */
static void leg_take(struct upstream_probe *p, const struct upstream_leg *leg)
{
    p->addr = leg->addr;
    p->has_addr = true;
    p->has_tls = leg->has_tls;
    p->facts = leg->facts;
}

void upstream_probe_dropped(struct hop *h, const struct upstream_leg *leg, const char *text,
                            bool holds)
{
    struct upstream_probe *p = h->probe;

    leg_take(p, leg);
    /* Of one that is held the next address may have what this one has not; else why says it. */
    if (holds)
        p->result = UPSTREAM_PROBE_HELD;
    else
        snprintf(p->drop, sizeof(p->drop), "%s", text);
}

void upstream_probe_ready(struct hop *h, struct upstream_leg *leg)
{
    struct upstream_probe *p = h->probe;
    struct dp *dp = h->u->conf.dp;

    p->result = UPSTREAM_PROBE_MET;
    leg_take(p, leg);
    p->caps = *smtp_client_caps(leg->client);
    upstream_why(h->why, "%s", leg->why);
    leg_quit(leg);
    upstream_probe_leave(h);
    h->target++;
    h->state = HOP_WAITING;
    dp_timer_stop(dp, &h->budget);
    /* The next host from a turn of its own: this one's events are on the stack. */
    if (dp_timer_start(dp, &h->turn, 0) != ERR_OK)
        hop_give_up(h, &h->failure, false);
}

/* --- its own events --- */

static void on_lost(void *user, const struct smtp_reply *reply, bool indeterminate)
{
    static const struct smtp_reply none;
    struct hop *h = user;
    struct upstream_probe *p = h->probe;
    const struct upstream_probe_end end = {
        .connects = p->connects,
        .mx = p->has_mx ? &p->mx : NULL,
        .sts = h->said ? h->said->sts : NULL,
        .failure = p->good > 0 ? &none : reply,
    };

    p->events->done(p->user, &end);
}

/* Nothing is ever sent through it whose answer could come. */
static void on_reply(void *user, const struct smtp_reply *reply)
{
    ASSERT(!"an answer to a probe");
}

static void on_final(void *user, const struct smtp_reply *reply, bool early)
{
    ASSERT(!"a final answer to a probe");
}

static void on_writable(void *user)
{
}

static const struct hop_events probe_events = {
    .rcpt = on_reply,
    .data = on_reply,
    .chunk = on_reply,
    .final = on_final,
    .lost = on_lost,
    .writable = on_writable,
};

int upstream_probe_open(struct upstream *u, const struct conf_route *route, const char *domain,
                        bool connects, const struct upstream_probe_events *events, void *user,
                        struct hop **ret)
{
    struct upstream_probe *p = calloc(1, sizeof(*p));
    struct hop *h = p ? hop_new(u, route) : NULL;

    if (!h || span_to_cstr(span_str(domain), p->domain, sizeof(p->domain)) != ERR_OK) {
        if (h)
            hop_close(&h);
        free(p);
        return ERR_NOMEM;
    }
    p->connects = connects;
    p->events = events;
    p->user = user;
    p->txn.route = route;
    p->txn.domain = p->domain;
    h->probe = p;
    h->txn = &p->txn;
    h->events = &probe_events;
    h->user = h;
    h->no_pool = true;
    if (upstream_dial_begin(h) != ERR_OK) {
        hop_close(&h);
        return ERR_NOMEM;
    }
    *ret = h;
    return ERR_OK;
}
