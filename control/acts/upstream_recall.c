/* SPDX-License-Identifier: Apache-2.0 */
/* What was decided for a destination: its first host, what that must have, and which connections
 * are so. The next message for it takes such a connection at once, as with a fixed hop: it asks
 * nobody, judges nothing and makes no key, for as long as everything stands that DNS and HTTPS
 * said. Whatever else becomes of it (no connection is idle, the one that was is gone) goes the
 * whole way again.
 *
 * Hosts of equal preference share the load (RFC 5321 section 5.1): each is kept by itself, and
 * chance says which is next, one of those or one that is not known yet. */
#include "upstream_priv.h"

#include "assertion.h"
#include "resolver_cache.h"

#include <stdlib.h>

enum { RECALLS_MAX = 1024, EQUALS_MAX = 8 };

struct upstream_recalled {
    struct upstream_recalled *next; /* of its bucket */
    TAILQ_ENTRY(upstream_recalled) link;
    uint64_t hash;
    const struct upstream_route *route;
    unsigned uses; /* hops, and the table */
    uint64_t until_ms;
    unsigned equals; /* hosts of the first preference, this one with them */
    struct upstream_target target;
    struct upstream_said *said; /* NULL: the route's level is not judged */
    struct upstream_key key;
    char domain[];
};

static void unref(struct upstream_recalled *r)
{
    ASSERT(r->uses > 0);
    if (--r->uses > 0)
        return;
    upstream_said_free(r->said);
    free(r);
}

static uint64_t hash_of(const struct upstream *u, const char *domain)
{
    return shared_text_key(u->conf.shared.shared, span_str(domain));
}

static bool is_of(const struct upstream_recalled *r, const struct hop *h, uint64_t hash)
{
    return r->hash == hash && r->route == h->route && strcmp(r->domain, h->txn->domain) == 0;
}

static void forget(struct upstream *u, struct upstream_recalled **p)
{
    struct upstream_recalled *r = *p;

    *p = r->next;
    TAILQ_REMOVE(&u->recalls, r, link);
    u->recalls_len--;
    unref(r);
}

static void oldest_forget(struct upstream *u)
{
    struct upstream_recalled *oldest = TAILQ_FIRST(&u->recalls);
    struct upstream_recalled **p = &u->recall_buckets[oldest->hash % UPSTREAM_BUCKETS];

    while (*p != oldest)
        p = &(*p)->next;
    forget(u, p);
}

static uint32_t random_below(struct upstream *u, uint32_t bound)
{
    u->recall_random ^= u->recall_random << 13;
    u->recall_random ^= u->recall_random >> 7;
    u->recall_random ^= u->recall_random << 17;
    return (uint32_t)(u->recall_random >> 32) % bound;
}

/* What stands of the hop's route and domain; what does not any more goes. */
static unsigned known_collect(struct upstream *u, const struct hop *h,
                              struct upstream_recalled *ret[EQUALS_MAX])
{
    uint64_t hash = hash_of(u, h->txn->domain), now = dp_now_ms(u->conf.dp);
    struct upstream_recalled **p = &u->recall_buckets[hash % UPSTREAM_BUCKETS];
    unsigned len = 0;

    while (*p) {
        if (is_of(*p, h, hash) && ((*p)->until_ms <= now || len == EQUALS_MAX)) {
            forget(u, p);
            continue;
        }
        if (is_of(*p, h, hash))
            ret[len++] = *p;
        p = &(*p)->next;
    }
    return len;
}

bool upstream_recall_take(struct hop *h)
{
    struct upstream_recalled *known[EQUALS_MAX], *r;
    struct upstream *u = h->u;
    unsigned len, pick = 0;

    if (!h->route->conf->mx)
        return false;
    len = known_collect(u, h, known);
    if (len > 0 && known[0]->equals > 1)
        pick = random_below(u, known[0]->equals);
    if (pick >= len)
        return false;
    r = known[pick];
    TAILQ_REMOVE(&u->recalls, r, link);
    TAILQ_INSERT_TAIL(&u->recalls, r, link);
    r->uses++;
    h->recalled = r;
    h->targets = &r->target;
    h->targets_len = 1;
    h->said = r->said;
    h->verdict = r->said ? &r->said->verdict : &h->route->verdict;
    /* A leg that speaks for a client is that client's: who it was is no part of a decision. */
    if (h->who)
        upstream_pool_key(h, &h->key);
    else
        h->key = r->key;
    return true;
}

void upstream_recall_drop(struct hop *h)
{
    struct upstream_recalled *r = h->recalled;

    h->recalled = NULL;
    h->targets = NULL;
    h->targets_len = h->target = 0;
    h->said = NULL;
    h->verdict = NULL;
    h->fact_host[0] = '\0'; /* what fails now is not that host */
    unref(r);
}

void upstream_recall_limit(struct hop *h, enum dns_status status, uint32_t ttl_s)
{
    uint64_t until_ms = dp_now_ms(h->u->conf.dp) + resolver_cache_keep_s(status, ttl_s) * 1000ull;

    if (until_ms < h->stands_until_ms)
        h->stands_until_ms = until_ms;
}

/* What a list of policies says ends with the list, and an address literal is no question to DNS:
 * neither has a time to live. */
static bool is_to_keep(const struct hop *h)
{
    return h->route->conf->mx && !h->recalled && h->target == 0 && h->first_equals <= EQUALS_MAX &&
           h->stands_until_ms > dp_now_ms(h->u->conf.dp) &&
           !(h->said && h->said->sts && h->said->sts->listed);
}

/* What was known of the same host. */
static void host_forget(struct upstream *u, const struct hop *h, uint64_t hash)
{
    struct upstream_recalled **p = &u->recall_buckets[hash % UPSTREAM_BUCKETS];

    while (*p && !(is_of(*p, h, hash) && strcmp((*p)->target.host, h->targets[0].host) == 0))
        p = &(*p)->next;
    if (*p)
        forget(u, p);
}

void upstream_recall_keep(struct hop *h)
{
    struct upstream *u = h->u;
    size_t len = strlen(h->txn->domain) + 1;

    if (!is_to_keep(h))
        return;
    uint64_t hash = hash_of(u, h->txn->domain);
    host_forget(u, h, hash);
    if (u->recalls_len >= RECALLS_MAX)
        oldest_forget(u);
    struct upstream_recalled *r = malloc(sizeof(*r) + len);
    struct upstream_said *said = h->said ? upstream_said_copy(h->said) : NULL;
    if (!r || (h->said && !said)) { /* the next message asks again */
        upstream_said_free(said);
        free(r);
        return;
    }
    *r = (struct upstream_recalled){.hash = hash,
                                    .route = h->route,
                                    .uses = 1,
                                    .until_ms = h->stands_until_ms,
                                    .equals = h->first_equals,
                                    .target = h->targets[0],
                                    .said = said,
                                    .key = h->key};
    memcpy(r->domain, h->txn->domain, len);
    r->next = u->recall_buckets[hash % UPSTREAM_BUCKETS];
    u->recall_buckets[hash % UPSTREAM_BUCKETS] = r;
    TAILQ_INSERT_TAIL(&u->recalls, r, link);
    u->recalls_len++;
}

void upstream_recalls_free(struct upstream *u)
{
    while (u->recalls_len > 0)
        oldest_forget(u);
}
