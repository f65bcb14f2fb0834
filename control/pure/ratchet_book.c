/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet_book.h"

#include "assertion.h"
#include "sip_hash.h"

#include <stdlib.h>

enum { BUCKETS = 1 << 15, TELL_AGAIN_S = 60 * 60 };

struct ratchet_book {
    unsigned max, len, dropped;
    uint64_t key[2];
    uint64_t evicted;
    int64_t expiry_s;
    const struct ratchet_book_events *events;
    void *user;
    struct ratchet_entries used;
    struct ratchet_entry *buckets[BUCKETS]; /* by destination: its hosts are in one */
};

int ratchet_book_new(unsigned max, const uint64_t key[2], const struct ratchet_book_events *events,
                     void *user, struct ratchet_book **ret)
{
    struct ratchet_book *b = calloc(1, sizeof(*b));

    *ret = b;
    if (!b)
        return ERR_NOMEM;
    ASSERT(max > 0);
    b->max = max;
    memcpy(b->key, key, sizeof(b->key));
    b->events = events;
    b->user = user;
    b->expiry_s = INT64_MAX;
    TAILQ_INIT(&b->used);
    return ERR_OK;
}

void ratchet_book_free(struct ratchet_book *b)
{
    struct ratchet_entry *e;

    if (!b)
        return;
    while ((e = TAILQ_FIRST(&b->used))) {
        TAILQ_REMOVE(&b->used, e, used);
        free(e);
    }
    free(b);
}

bool ratchet_name_valid(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++)
        if (name[i] <= 0x20 || name[i] > 0x7e)
            return false;
    return len > 0 && len <= RATCHET_NAME_MAX;
}

/* --- finding --- */

static struct ratchet_entry **bucket_of(struct ratchet_book *b, const char *destination)
{
    uint64_t hash = sip_hash(b->key, (const uint8_t *)destination, strlen(destination));

    return &b->buckets[hash % BUCKETS];
}

static bool of_destination(const struct ratchet_entry *e, const char *destination)
{
    return strcmp(ratchet_destination(e), destination) == 0;
}

/* destination NULL: any; host NULL: any. */
static bool matches(const struct ratchet_entry *e, const char *destination, const char *host)
{
    return (!destination || of_destination(e, destination)) &&
           (!host || strcmp(ratchet_host(e), host) == 0);
}

static struct ratchet_entry *find(struct ratchet_book *b, const char *destination, const char *host)
{
    struct ratchet_entry *e = *bucket_of(b, destination);

    while (e && !matches(e, destination, host))
        e = e->next;
    return e;
}

bool ratchet_book_expired(const struct ratchet_book *b, const struct ratchet_entry *e, int64_t now)
{
    return now - e->last > b->expiry_s;
}

/* What new hosts of a destination are held to: the weakest level of those whose level is their own
 * and still counts. It counts as long as any of them does. False: there is none. */
static bool weakest_of(struct ratchet_book *b, const char *destination, int64_t now,
                       struct ratchet_entry *ret)
{
    bool any = false;

    *ret = (struct ratchet_entry){0};
    for (const struct ratchet_entry *e = *bucket_of(b, destination); e; e = e->next) {
        if (e->lent || !of_destination(e, destination) || ratchet_book_expired(b, e, now))
            continue;
        if (!any || ratchet_strength_of(&e->best) < ratchet_strength_of(&ret->best)) {
            ret->best = e->best;
            ret->since = e->since;
        }
        if (!any || e->last > ret->last)
            ret->last = e->last;
        any = true;
    }
    return any;
}

static void tell(struct ratchet_book *b, const struct ratchet_entry *e, bool gone)
{
    b->events->changed(b->user, e, gone);
}

static void tell_weakest(struct ratchet_book *b, const char *destination, int64_t now)
{
    struct ratchet_entry weakest;
    struct ratchet_memory memory = {.known = weakest_of(b, destination, now, &weakest)};

    memory.best = weakest.best;
    memory.last = weakest.last;
    b->events->weakest(b->user, destination, &memory);
}

/* --- coming and going --- */

static void entry_dropped_set(struct ratchet_book *b, struct ratchet_entry *e, bool dropped)
{
    b->dropped += (unsigned)dropped - (unsigned)e->dropped;
    e->dropped = dropped;
    if (!dropped)
        e->drops = 0;
}

static void entry_remove(struct ratchet_book *b, struct ratchet_entry *e, int64_t now)
{
    struct ratchet_entry **p = bucket_of(b, ratchet_destination(e));

    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    TAILQ_REMOVE(&b->used, e, used);
    entry_dropped_set(b, e, false);
    b->len--;
    tell(b, e, true);
    tell_weakest(b, ratchet_destination(e), now);
    free(e);
}

/* The least recently used one, of a destination or of all, whose going changes no decision for the
 * worse: one with a level of its own goes only where it has not dropped, or that is too old to
 * count. A lent level is what a new host is held to in any case. */
static bool evict(struct ratchet_book *b, const char *destination, bool lent, int64_t now)
{
    struct ratchet_entry *e;

    TAILQ_FOREACH (e, &b->used, used) {
        bool holds = e->dropped && !e->lent && !ratchet_book_expired(b, e, now);
        if (holds || e->lent != lent || (destination && !of_destination(e, destination)))
            continue;
        entry_remove(b, e, now);
        b->evicted++;
        return true;
    }
    return false;
}

/* New hosts with a lent level, of which whoever forges MX records makes as many as he likes, are
 * few, and never cost a host of their own destination its place. */
static bool room_make(struct ratchet_book *b, const char *destination, bool lent, int64_t now)
{
    unsigned hosts = 0, most = lent ? RATCHET_LENT_MAX : RATCHET_HOSTS_MAX;

    for (const struct ratchet_entry *e = *bucket_of(b, destination); e; e = e->next)
        hosts += e->lent == lent && of_destination(e, destination);
    if (hosts >= most && !evict(b, destination, lent, now))
        return false;
    return b->len < b->max || evict(b, NULL, true, now) || evict(b, NULL, false, now);
}

static struct ratchet_entry *entry_new(struct ratchet_book *b, const char *destination,
                                       const char *host)
{
    size_t name_len = strlen(destination), host_len = strlen(host);
    struct ratchet_entry *e = calloc(1, sizeof(*e) + name_len + host_len + 2);

    if (!e)
        return NULL;
    e->name_len = name_len;
    memcpy(e->names, destination, name_len + 1);
    memcpy(e->names + name_len + 1, host, host_len + 1);
    struct ratchet_entry **bucket = bucket_of(b, destination);
    e->next = *bucket;
    *bucket = e;
    TAILQ_INSERT_TAIL(&b->used, e, used);
    b->len++;
    return e;
}

static struct ratchet_entry *entry_add(struct ratchet_book *b, const char *destination,
                                       const char *host, bool lent, int64_t now)
{
    if (!ratchet_name_valid(destination) || !ratchet_name_valid(host) ||
        !room_make(b, destination, lent, now))
        return NULL;
    return entry_new(b, destination, host);
}

static void entry_touch(struct ratchet_book *b, struct ratchet_entry *e)
{
    TAILQ_REMOVE(&b->used, e, used);
    TAILQ_INSERT_TAIL(&b->used, e, used);
}

/* --- what happens --- */

void ratchet_book_expiry(struct ratchet_book *b, int64_t expiry_s)
{
    b->expiry_s = expiry_s;
}

static void best_set(struct ratchet_book *b, struct ratchet_entry *e, const struct ratchet_had *had,
                     int64_t now)
{
    e->best = *had;
    e->since = e->last = now;
    e->lent = e->said = false;
    e->told = 0;
    entry_dropped_set(b, e, false);
}

/* The host has what the weakest of the others has, until it shows as much itself. */
static void best_lend(struct ratchet_entry *e, const struct ratchet_entry *lender)
{
    e->best = lender->best;
    e->since = lender->since;
    e->last = lender->last;
    e->lent = true;
}

static enum ratchet_change seen(struct ratchet_book *b, struct ratchet_entry *e,
                                const struct ratchet_had *had, int64_t now)
{
    enum ratchet_strength strength = ratchet_strength_of(had);
    enum ratchet_strength before = ratchet_strength_of(&e->best);
    bool raised = strength > before;
    bool restored = !raised && e->dropped && e->said;

    if (strength < before)
        return RATCHET_SAME;
    if (raised || ratchet_better(had, &e->best))
        e->best = *had;
    if (raised || e->lent)
        e->since = now;
    e->last = now;
    e->lent = e->said = false;
    entry_dropped_set(b, e, false);
    return raised ? RATCHET_RAISED : restored ? RATCHET_RESTORED : RATCHET_SAME;
}

/* Of a host that is new, or whose memory is too old. Less than the others have is not its own to
 * have: it came over a route that could find no more, or what should have told of it was lost. */
static struct ratchet_entry *seen_new(struct ratchet_book *b, struct ratchet_entry *e,
                                      const char *destination, const char *host,
                                      const struct ratchet_had *had, int64_t now)
{
    struct ratchet_entry weakest;
    bool lent = weakest_of(b, destination, now, &weakest) &&
                ratchet_strength_of(had) < ratchet_strength_of(&weakest.best);

    if (!e)
        e = entry_add(b, destination, host, lent, now);
    if (e)
        best_set(b, e, had, now);
    if (e && lent)
        best_lend(e, &weakest);
    return e;
}

enum ratchet_change ratchet_book_seen(struct ratchet_book *b, const char *destination,
                                      const char *host, const struct ratchet_had *had, int64_t now,
                                      const struct ratchet_entry **ret)
{
    struct ratchet_entry *e = find(b, destination, host);
    enum ratchet_change change = RATCHET_NEW;

    if (e && !ratchet_book_expired(b, e, now))
        change = seen(b, e, had, now);
    else
        e = seen_new(b, e, destination, host, had, now);
    *ret = e;
    if (!e)
        return RATCHET_REFUSED;
    entry_touch(b, e);
    tell(b, e, false);
    tell_weakest(b, destination, now);
    return change;
}

/* What a host that is new, or whose memory is too old, dropped below. */
static struct ratchet_entry *drop_new(struct ratchet_book *b, struct ratchet_entry *e,
                                      const char *destination, const char *host, int64_t now)
{
    struct ratchet_entry weakest;

    if (!weakest_of(b, destination, now, &weakest))
        return NULL;
    if (!e)
        e = entry_add(b, destination, host, true, now);
    if (e)
        best_lend(e, &weakest);
    return e;
}

enum ratchet_change ratchet_book_drop(struct ratchet_book *b, const char *destination,
                                      const char *host, const struct ratchet_had *had, int64_t now,
                                      const struct ratchet_entry **ret)
{
    struct ratchet_entry *e = find(b, destination, host);

    if (!e || ratchet_book_expired(b, e, now))
        e = drop_new(b, e, destination, host, now);
    *ret = e;
    if (!e)
        return RATCHET_REFUSED;
    entry_touch(b, e);
    if (ratchet_strength_of(had) >= ratchet_strength_of(&e->best))
        return RATCHET_SAME; /* what was accepted or cleared meanwhile */
    if (!e->dropped)
        e->drop_since = now;
    bool news = now - e->told >= TELL_AGAIN_S || had->level != e->offered.level;
    entry_dropped_set(b, e, true);
    e->offered = *had;
    e->drop_last = now;
    e->drops++;
    if (news) {
        e->told = now;
        e->said = true;
    }
    tell(b, e, false);
    return news ? RATCHET_DROPPED : RATCHET_SAME;
}

unsigned ratchet_book_accept(struct ratchet_book *b, const char *destination, const char *host,
                             int64_t now)
{
    unsigned count = 0;

    for (struct ratchet_entry *e = *bucket_of(b, destination); e; e = e->next) {
        if (!e->dropped || !matches(e, destination, host))
            continue;
        const struct ratchet_had offered = e->offered;
        best_set(b, e, &offered, now);
        tell(b, e, false);
        count++;
    }
    if (count > 0)
        tell_weakest(b, destination, now);
    return count;
}

unsigned ratchet_book_clear(struct ratchet_book *b, const char *destination, const char *host,
                            int64_t now)
{
    struct ratchet_entry *e, *next;
    unsigned count = 0;

    for (e = TAILQ_FIRST(&b->used); e; e = next) {
        next = TAILQ_NEXT(e, used);
        if (!matches(e, destination, host))
            continue;
        entry_remove(b, e, now);
        count++;
    }
    return count;
}

bool ratchet_book_load(struct ratchet_book *b, const char *destination, const char *host,
                       const struct ratchet_entry *fields)
{
    if (!ratchet_name_valid(destination) || !ratchet_name_valid(host) || b->len >= b->max ||
        find(b, destination, host))
        return false;
    struct ratchet_entry *e = entry_new(b, destination, host);
    if (!e)
        return false;
    e->best = fields->best;
    e->since = fields->since;
    e->last = fields->last;
    e->lent = fields->lent;
    entry_dropped_set(b, e, fields->dropped);
    e->offered = fields->offered;
    e->drop_since = fields->drop_since;
    e->drop_last = fields->drop_last;
    e->drops = fields->drops;
    e->said = e->dropped;
    tell(b, e, false);
    tell_weakest(b, destination, fields->last);
    return true;
}

const struct ratchet_entry *ratchet_book_first(const struct ratchet_book *b)
{
    return TAILQ_FIRST(&b->used);
}

const struct ratchet_entry *ratchet_book_next(const struct ratchet_entry *e)
{
    return TAILQ_NEXT(e, used);
}

const struct ratchet_entry *ratchet_book_last(const struct ratchet_book *b)
{
    return TAILQ_LAST(&b->used, ratchet_entries);
}

const struct ratchet_entry *ratchet_book_before(const struct ratchet_entry *e)
{
    return TAILQ_PREV(e, ratchet_entries, used);
}

unsigned ratchet_book_len(const struct ratchet_book *b)
{
    return b->len;
}

unsigned ratchet_book_dropped(const struct ratchet_book *b)
{
    return b->dropped;
}

uint64_t ratchet_book_evicted(const struct ratchet_book *b)
{
    return b->evicted;
}
