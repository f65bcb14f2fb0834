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

static void case_make(const struct hop *h, struct ratchet_case *ret)
{
    const struct upstream_target *t = &h->targets[h->target];

    ret->now_s = (int64_t)(dp_wall_us(h->u->conf.dp) / 1000000);
    if (h->route->conf->mx) {
        ret->destination = h->txn->domain;
        ret->host = t->host;
    } else {
        bool v6 = t->is_addr && net_addr_is_v6(&t->addr);
        snprintf(ret->own, sizeof(ret->own), v6 ? "[%s]:%u" : "%s:%u", t->host, t->port);
        ret->destination = ret->host = ret->own;
    }
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

static bool judges(const struct hop *h)
{
    return h->u->conf.ratchet.table && ratchet_judges(h->route->conf);
}

/* A leg of the pool is to the host that its key names: of a fixed hop that is the destination. */
static const char *domain_of(const struct hop *h)
{
    return h->route->conf->mx ? h->txn->domain : "";
}

static bool asked(const struct hop *h, const struct upstream_leg *leg)
{
    return leg->ratchet_asked && leg->ratchet_setting == h->route->conf->tls.ratchet &&
           strcmp(leg->ratchet_domain, domain_of(h)) == 0;
}

/* Asks; false: the leg has what it must. */
static bool drops(const struct hop *h, struct upstream_leg *leg, struct ratchet_case *ret,
                  struct ratchet_verdict *ret_verdict)
{
    /* A domain that is too long for a name is asked for each time. */
    leg->ratchet_asked = span_to_cstr(span_str(domain_of(h)), leg->ratchet_domain,
                                      sizeof(leg->ratchet_domain)) == ERR_OK;
    leg->ratchet_setting = h->route->conf->tls.ratchet;
    leg->ratchet_was = NULL;
    leg->ratchet_proved = false;
    if (!judges(h))
        return false;
    case_make(h, ret);
    ret->now = had_of(leg, h->verdict);
    judge(h, ret, ret_verdict);
    return ret_verdict->finding != RATCHET_FINE;
}

static void drop_tell(struct hop *h, struct upstream_leg *leg, const struct ratchet_case *c,
                      const struct ratchet_verdict *verdict, char text[RATCHET_TEXT])
{
    bool holds = verdict->finding == RATCHET_HOLD;
    const char *why = why_of(h, leg);

    ratchet_explain(verdict, &c->now, c->destination, why, text);
    leg->ratchet_was = ratchet_level_text(verdict->was.level);
    if (h->probe) {
        upstream_probe_dropped(h, leg, text, holds);
        return;
    }
    upstream_count(h->u, COUNTER_RATCHET_DROPS);
    if (holds)
        upstream_count(h->u, COUNTER_RATCHET_HELD);
    tell(h, c, RATCHET_TOLD_DROP, holds, why);
}

bool upstream_ratchet_holds(struct hop *h, struct upstream_leg *leg)
{
    struct ratchet_verdict verdict;
    char text[RATCHET_TEXT];
    struct ratchet_case c;

    if (!drops(h, leg, &c, &verdict))
        return false;
    drop_tell(h, leg, &c, &verdict, text);
    if (verdict.finding != RATCHET_HOLD)
        return false;
    leg_quit(leg);
    upstream_dial_held(h, text);
    return true;
}

bool upstream_ratchet_unfit(struct hop *h, struct upstream_leg *leg)
{
    struct ratchet_verdict verdict;
    char text[RATCHET_TEXT];
    struct ratchet_case c;

    if (asked(h, leg) || !drops(h, leg, &c, &verdict))
        return false;
    if (verdict.finding == RATCHET_HOLD)
        return true;
    drop_tell(h, leg, &c, &verdict, text);
    return false;
}

void upstream_ratchet_memory(const struct hop *h, struct ratchet_memory *ret, bool *ret_new_host)
{
    struct ratchet_verdict verdict;
    struct ratchet_case c;

    *ret = (struct ratchet_memory){0};
    if (!judges(h))
        return;
    case_make(h, &c);
    /* Whatever there is now: held to what? */
    c.now = (struct ratchet_had){CONF_LEVEL_NONE, TLS_SOURCE_NONE};
    judge(h, &c, &verdict);
    *ret = (struct ratchet_memory){verdict.held, verdict.was, verdict.was_last};
    *ret_new_host = verdict.new_host;
}

void upstream_ratchet_proved(struct hop *h)
{
    struct upstream_leg *leg = h->leg;
    struct ratchet_known known;
    struct ratchet_case c;

    if (leg->ratchet_proved)
        return;
    leg->ratchet_proved = true;
    if (!h->u->conf.ratchet.table || !ratchet_remembers(h->route->conf))
        return;
    case_make(h, &c);
    c.now = had_of(leg, h->verdict);
    ratchet_table_find(h->u->conf.ratchet.table, c.destination, c.host, &known);
    if (known.memory.known && !known.dropped && !ratchet_better(&c.now, &known.memory.best) &&
        c.now_s - known.memory.last < SEEN_AGAIN_S)
        return;
    tell(h, &c, RATCHET_TOLD_SEEN, false, "");
}
