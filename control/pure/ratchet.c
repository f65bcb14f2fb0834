/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet.h"

#include <stdio.h>
#include <time.h>

static enum ratchet_strength strength_of_level(enum conf_level level)
{
    switch (level) {
    case CONF_LEVEL_NONE:
        return RATCHET_PLAINTEXT;
    case CONF_LEVEL_MAY:
    case CONF_LEVEL_ENCRYPT:
        return RATCHET_ENCRYPTED;
    case CONF_LEVEL_VERIFY:
    case CONF_LEVEL_STS:
        return RATCHET_VERIFIED;
    case CONF_LEVEL_PIN:
    case CONF_LEVEL_DANE:
    case CONF_LEVEL_AUTO:
        return RATCHET_BOUND;
    }
    return RATCHET_PLAINTEXT;
}

enum ratchet_strength ratchet_strength_of(const struct ratchet_had *had)
{
    enum ratchet_strength strength = strength_of_level(had->level);

    return had->source == TLS_SOURCE_ROUTE && strength > RATCHET_ENCRYPTED ? RATCHET_ENCRYPTED
                                                                           : strength;
}

bool ratchet_better(const struct ratchet_had *a, const struct ratchet_had *b)
{
    enum ratchet_strength of_a = ratchet_strength_of(a), of_b = ratchet_strength_of(b);

    return of_a > of_b || (of_a == of_b && a->level > b->level);
}

const char *ratchet_level_text(enum conf_level level)
{
    return level == CONF_LEVEL_NONE ? "plaintext" : conf_level_text(level);
}

bool ratchet_remembers(const struct conf_route *route)
{
    return route->tls.ratchet != CONF_RATCHET_OFF && route->tls.level != CONF_LEVEL_NONE;
}

bool ratchet_judges(const struct conf_route *route)
{
    return ratchet_remembers(route) &&
           (route->tls.level == CONF_LEVEL_MAY || route->tls.level == CONF_LEVEL_AUTO);
}

static bool counts(const struct ratchet_memory *memory, const struct ratchet_question *q)
{
    return memory->known && q->now_s - memory->last <= q->expiry_s;
}

void ratchet_judge(const struct ratchet_question *q, struct ratchet_verdict *ret)
{
    bool host = counts(&q->host, q);
    const struct ratchet_memory *memory = host ? &q->host : &q->destination;

    *ret = (struct ratchet_verdict){.finding = RATCHET_FINE, .new_host = !host};
    if (!ratchet_judges(q->route) || !counts(memory, q))
        return;
    ret->held = true;
    ret->was = memory->best;
    ret->was_last = memory->last;
    /* No more than the route could find: what another route of the same destination asks for is
     * no matter of this one. */
    enum ratchet_strength most = strength_of_level(q->route->tls.level);
    enum ratchet_strength before = ratchet_strength_of(&memory->best);
    if (ratchet_strength_of(&q->now) >= (before < most ? before : most))
        return;
    ret->finding = q->route->tls.ratchet == CONF_RATCHET_HOLD ? RATCHET_HOLD : RATCHET_DROP;
}

const char *ratchet_date(int64_t seconds, char out[RATCHET_DATE])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (seconds < 0 || !gmtime_r(&t, &tm) ||
        strftime(out, RATCHET_DATE, "%Y-%m-%dT%H:%MZ", &tm) == 0)
        snprintf(out, RATCHET_DATE, "?");
    return out;
}

void ratchet_explain(const struct ratchet_verdict *v, const struct ratchet_had *now,
                     const char *destination, const char *why, char out[RATCHET_TEXT])
{
    char date[RATCHET_DATE];

    snprintf(out, RATCHET_TEXT,
             "%shad %s until %s, now %s%s%.60s%s; posternctl policy ratchet accept %s takes that",
             v->new_host ? "other hosts of the domain " : "", ratchet_level_text(v->was.level),
             ratchet_date(v->was_last, date), ratchet_level_text(now->level), *why ? " (" : "", why,
             *why ? ")" : "", destination);
}
