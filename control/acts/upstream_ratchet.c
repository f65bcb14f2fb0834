/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include <stdio.h>

enum { SEEN_AGAIN_S = 60 * 60 }; /* what is known already is told so often */

/* A connection and what it has, as the ratchet knows it. */
struct ratchet_case {
    const char *destination, *host;
    char own[DNS_NAME_MAX + 8]; /* "host:port" of a next hop that is the route's */
    struct ratchet_had now;
    int64_t now_s;
};

static struct ratchet_had had_of(const struct upstream_leg *leg, const struct tls_verdict *verdict)
{
    struct ratchet_had had = {.level = CONF_LEVEL_NONE, .source = verdict->source};

    if (leg->has_tls)
        had.level =
            upstream_check_of(leg->level) == TLS_CHECK_NOTHING ? CONF_LEVEL_ENCRYPT : leg->level;
    return had;
}

/* False: the route has no ratchet. */
static bool case_make(const struct hop *h, const struct upstream_leg *leg, struct ratchet_case *ret)
{
    const struct upstream_target *t = &h->targets[h->target];

    if (!h->u->conf.ratchet.table || !ratchet_remembers(h->route->conf))
        return false;
    ret->now = had_of(leg, h->verdict);
    ret->now_s = (int64_t)(dp_wall_us(h->u->conf.dp) / 1000000);
    if (h->route->conf->mx) {
        ret->destination = h->txn->domain;
        ret->host = t->host;
    } else {
        snprintf(ret->own, sizeof(ret->own), "%s:%u", t->host, t->port);
        ret->destination = ret->host = ret->own;
    }
    return true;
}

static void tell(const struct hop *h, const struct ratchet_case *c, enum ratchet_told kind,
                 bool holds, const char *why)
{
    struct ratchet_report report = {.kind = kind,
                                    .level = (uint8_t)c->now.level,
                                    .source = (uint8_t)c->now.source,
                                    .holds = holds};

    /* Names that do not fit are none that can be remembered. */
    if (span_to_cstr(span_str(c->destination), report.destination, sizeof(report.destination)) ||
        span_to_cstr(span_str(c->host), report.host, sizeof(report.host)) ||
        span_to_cstr(span_str(h->route->conf->domain), report.route, sizeof(report.route)))
        return;
    snprintf(report.why, sizeof(report.why), "%s", why);
    (void)!ratchet_tell(&h->u->conf.ratchet, &report); /* a full line: with the next connection */
}

/* Why there is no more: the connection's own reason, or what DNS and HTTPS said. */
static const char *why_of(const struct hop *h, const struct upstream_leg *leg)
{
    if (!leg->has_tls)
        return leg->why;
    return h->verdict->source == TLS_SOURCE_ROUTE ? "" : h->verdict->why;
}

static void judge(const struct hop *h, const struct ratchet_case *c, struct ratchet_verdict *ret)
{
    const struct ratchet_table *table = h->u->conf.ratchet.table;
    struct ratchet_known host, weakest = {0};

    ratchet_table_find(table, c->destination, c->host, &host);
    if (h->route->conf->mx)
        ratchet_table_find(table, c->destination, NULL, &weakest);
    const struct ratchet_question question = {
        .route = h->route->conf,
        .now = c->now,
        .host = host.memory,
        .destination = weakest.memory,
        .now_s = c->now_s,
        .expiry_s = (int64_t)h->u->conf.conf->tls.ratchet_expiry_days * 86400,
    };
    ratchet_judge(&question, ret);
}

enum ratchet_finding upstream_ratchet_find(const struct hop *h, const struct upstream_leg *leg,
                                           struct ratchet_had *ret_was, char text[UPSTREAM_WHY])
{
    struct ratchet_verdict verdict;
    char sentence[RATCHET_TEXT];
    struct ratchet_case c;

    if (!case_make(h, leg, &c))
        return RATCHET_FINE;
    judge(h, &c, &verdict);
    if (verdict.finding == RATCHET_FINE)
        return RATCHET_FINE;
    const char *why = why_of(h, leg);
    ratchet_explain(&verdict, &c.now, c.destination, why, sentence);
    upstream_why(text, "%s", sentence);
    *ret_was = verdict.was;
    if (!h->probe)
        tell(h, &c, RATCHET_TOLD_DROP, verdict.finding == RATCHET_HOLD, why);
    return verdict.finding;
}

bool upstream_ratchet_holds(struct hop *h, struct upstream_leg *leg)
{
    char text[UPSTREAM_WHY];
    struct ratchet_had was;
    enum ratchet_finding finding = upstream_ratchet_find(h, leg, &was, text);

    if (finding == RATCHET_FINE)
        return false;
    upstream_count(h->u, COUNTER_RATCHET_DROPS);
    leg->ratchet_was = ratchet_level_text(was.level);
    if (finding == RATCHET_DROP)
        return false;
    upstream_count(h->u, COUNTER_RATCHET_HELD);
    leg_quit(leg);
    upstream_dial_held(h, text);
    return true;
}

void upstream_ratchet_proved(struct hop *h)
{
    struct upstream_leg *leg = h->leg;
    struct ratchet_known known;
    struct ratchet_case c;

    if (leg->ratchet_proved)
        return;
    leg->ratchet_proved = true;
    if (!case_make(h, leg, &c))
        return;
    ratchet_table_find(h->u->conf.ratchet.table, c.destination, c.host, &known);
    if (known.memory.known && !known.dropped && !ratchet_better(&c.now, &known.memory.best) &&
        c.now_s - known.memory.last < SEEN_AGAIN_S)
        return;
    tell(h, &c, RATCHET_TOLD_SEEN, false, "");
}
