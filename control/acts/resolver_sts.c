/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_sts.h"

#include "assertion.h"
#include "clock.h"
#include "log.h"
#include "resolver_ask.h"
#include "resolver_store.h"
#include "shared.h"
#include "sip_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    HOLD_MIN_S = 60,       /* a policy that asks for less time holds this long */
    REFRESH_MAX_S = 86400, /* it is fetched again after, or at half its age */
    LOOK_S = 60,           /* between two looks at the record of one in force */
    NONE_MAX_S = 300,      /* no policy: asked again after */
    RETRY_S = 300,         /* RFC 8461 section 3.3 */
    RETRY_DOUBLINGS = 6,   /* while the old policy is in force */
    UNUSED_S = 30 * 86400, /* nobody asked: not refreshed any more */
    TICK_MS = 1000,        /* between looks at what is due */
    TICK_PARTS = 256,      /* of the table, one a look */
};

struct waiter {
    SLIST_ENTRY(waiter) next;
    resolver_sts_done *done;
    void *user;
};

/* A domain that has a policy, had a fetch that failed, or is looked at now. */
struct entry {
    LIST_ENTRY(entry) in_bucket;
    TAILQ_ENTRY(entry) in_order; /* least recently asked for first */
    SLIST_HEAD(, waiter) waiters;
    char *domain;
    char *mx; /* the policy's patterns, each with its NUL; NULL: there is no policy */
    unsigned mx_len;
    enum sts_mode mode;
    char id[STS_ID_MAX + 1];
    int64_t fetched, expires, refresh, asked;
    uint64_t look_ms;  /* when its record is looked at again */
    uint64_t retry_ms; /* no fetch before; 0: none failed */
    unsigned failures;
    enum sts_fault fault;              /* of the last failure */
    char why[RESOLVER_FETCH_WHY + 32]; /* of the last failure */
    struct look *look;                 /* what is under way, or NULL */
};

/* One domain's record, addresses and file on their way. */
struct look {
    TAILQ_ENTRY(look) in_queue;
    struct resolver_sts *sts;
    struct entry *entry;
    char id[STS_ID_MAX + 1];
    struct resolver_addresses asked;
    struct dns_addr_answer addr;
};

LIST_HEAD(bucket, entry);

struct resolver_sts {
    struct ub_ctx *ub;
    struct resolver_fetches *fetches;
    int store; /* -1: none */
    bool has_counters;
    struct shared_column counters;
    uint64_t salt[2];
    unsigned len, max;
    size_t buckets_len; /* a power of two, at least TICK_PARTS */
    struct bucket *buckets;
    TAILQ_HEAD(, entry) order;
    TAILQ_HEAD(, look) queue; /* for a place among the fetches */
    uint64_t tick_ms;
    unsigned tick_part;
    struct sts_answer answer; /* while it is told */
    struct sts_policy policy; /* while it is read */
};

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

static void count(const struct resolver_sts *s, enum counter which)
{
    if (s->has_counters)
        counter_add(&s->counters, which, 1);
}

/* --- the table ---------------------------------------------------------------------------- */

static struct bucket *bucket_of(const struct resolver_sts *s, const char *domain)
{
    uint64_t hash = sip_hash(s->salt, (const uint8_t *)domain, strlen(domain));

    return &s->buckets[hash & (s->buckets_len - 1)];
}

static struct entry *entry_find(const struct resolver_sts *s, const char *domain)
{
    struct entry *e;

    LIST_FOREACH (e, bucket_of(s, domain), in_bucket)
        if (strcmp(e->domain, domain) == 0)
            return e;
    return NULL;
}

static void entry_free(struct resolver_sts *s, struct entry *e)
{
    LIST_REMOVE(e, in_bucket);
    TAILQ_REMOVE(&s->order, e, in_order);
    s->len--;
    free(e->domain);
    free(e->mx);
    free(e);
}

static bool policy_holds(const struct entry *e, int64_t now)
{
    return e->mx && now < e->expires;
}

static void policy_drop(struct resolver_sts *s, struct entry *e)
{
    if (!e->mx)
        return;
    free(e->mx);
    e->mx = NULL;
    e->mx_len = 0;
    if (s->store >= 0)
        resolver_store_remove(s->store, e->domain);
}

/* Makes room for one more; false where all are being looked at. */
static bool room_make(struct resolver_sts *s)
{
    struct entry *e;

    if (s->len < s->max)
        return true;
    TAILQ_FOREACH (e, &s->order, in_order) {
        if (e->look)
            continue;
        policy_drop(s, e);
        entry_free(s, e);
        return true;
    }
    return false;
}

static struct entry *entry_new(struct resolver_sts *s, const char *domain)
{
    struct entry *e = room_make(s) ? calloc(1, sizeof(*e)) : NULL;

    if (e)
        e->domain = strdup(domain);
    if (!e || !e->domain) {
        free(e);
        return NULL;
    }
    SLIST_INIT(&e->waiters);
    LIST_INSERT_HEAD(bucket_of(s, domain), e, in_bucket);
    TAILQ_INSERT_TAIL(&s->order, e, in_order);
    s->len++;
    return e;
}

/* Takes the policy as the one that was fetched then; ERR_NOMEM leaves the old one. */
static int policy_set(struct entry *e, const struct sts_policy *p, const char *id, int64_t fetched)
{
    uint32_t hold_s = p->max_age_s > HOLD_MIN_S ? p->max_age_s : HOLD_MIN_S;
    size_t len = 1;
    char *mx;

    for (unsigned i = 0; i < p->mx_len; i++)
        len += strlen(p->mx[i]) + 1;
    mx = malloc(len);
    if (!mx)
        return ERR_NOMEM;
    free(e->mx);
    e->mx = mx;
    e->mx_len = p->mx_len;
    for (unsigned i = 0; i < p->mx_len; i++)
        mx = stpcpy(mx, p->mx[i]) + 1;
    *mx = '\0';
    e->mode = p->mode;
    snprintf(e->id, sizeof(e->id), "%s", id);
    e->fetched = fetched;
    e->expires = fetched + hold_s;
    e->refresh = fetched + (hold_s / 2 < REFRESH_MAX_S ? hold_s / 2 : REFRESH_MAX_S);
    return 0;
}

/* --- answers ------------------------------------------------------------------------------ */

static const struct sts_answer *answer_policy(struct resolver_sts *s, const struct entry *e,
                                              bool from_cache)
{
    struct sts_answer *a = &s->answer;
    const char *mx = e->mx;
    int64_t left = e->expires - now_s();

    a->status = DNS_OK;
    a->mode = e->mode;
    memcpy(a->id, e->id, sizeof(a->id));
    a->ttl_s = (uint32_t)(left < 0 ? 0 : left < LOOK_S ? left : LOOK_S);
    a->expires = e->expires;
    a->from_cache = from_cache;
    a->fault = STS_FAULT_NONE;
    a->max_age_s = (uint32_t)(e->expires - e->fetched);
    snprintf(a->why, sizeof(a->why), "%s", e->why);
    a->mx_len = e->mx_len;
    for (unsigned i = 0; i < e->mx_len; i++) {
        size_t len = strlen(mx) + 1;
        memcpy(a->mx[i], mx, len);
        mx += len;
    }
    return a;
}

static const struct sts_answer *answer_none(struct resolver_sts *s, enum dns_status status,
                                            enum sts_fault fault, uint32_t ttl_s, const char *why)
{
    struct sts_answer *a = &s->answer;

    memset(a, 0, offsetof(struct sts_answer, mx));
    a->status = status;
    a->fault = status == DNS_FAILED ? fault : STS_FAULT_NONE;
    a->ttl_s = ttl_s < NONE_MAX_S ? ttl_s : NONE_MAX_S;
    snprintf(a->why, sizeof(a->why), "%s", why);
    return a;
}

/* The end of a look: who waits hears of the policy that holds, or of none. */
static void settle(struct resolver_sts *s, struct entry *e, enum dns_status status, uint32_t ttl_s,
                   const char *why)
{
    bool holds = policy_holds(e, now_s());
    bool fetched = holds && status == DNS_OK;
    struct waiter *w;

    free(e->look);
    e->look = NULL;
    while ((w = SLIST_FIRST(&e->waiters))) {
        resolver_sts_done *done = w->done;
        void *user = w->user;
        SLIST_REMOVE_HEAD(&e->waiters, next);
        free(w);
        done(user,
             holds ? answer_policy(s, e, !fetched) : answer_none(s, status, e->fault, ttl_s, why));
    }
    if (!e->mx && e->retry_ms == 0)
        entry_free(s, e);
}

static void log_domain(struct log_line *l, enum log_level level, const char *event,
                       const struct entry *e)
{
    log_begin(l, level, "resolver", event);
    log_str(l, "domain", e->domain);
}

static void log_policy(const struct entry *e, const char *what)
{
    struct log_line l;

    log_domain(&l, LOG_LEVEL_INFO, "sts_policy", e);
    log_str(&l, "change", what);
    log_str(&l, "mode", sts_mode_text(e->mode));
    log_str(&l, "id", e->id);
    log_u64(&l, "holds_s", (uint64_t)(e->expires - e->fetched));
    log_u64(&l, "mx", e->mx_len);
    log_write(&l);
}

/* A record or file that gives no policy, where there should be one. */
static void failed(struct resolver_sts *s, struct entry *e, enum sts_fault fault, const char *what,
                   const char *why)
{
    bool holds = policy_holds(e, now_s());
    unsigned doublings = holds ? e->failures : 0;
    uint64_t wait_s = (uint64_t)RETRY_S
                      << (doublings < RETRY_DOUBLINGS ? doublings : RETRY_DOUBLINGS);
    struct log_line l;

    e->failures++;
    e->fault = fault;
    e->retry_ms = clock_ms() + wait_s * 1000;
    snprintf(e->why, sizeof(e->why), "%s: %s", what, why);
    count(s, COUNTER_STS_FAILED);
    log_domain(&l, LOG_LEVEL_WARNING, "sts_failed", e);
    log_str(&l, "why", e->why);
    log_str(&l, "policy", holds ? "old" : "none");
    log_u64(&l, "retry_s", wait_s);
    log_write(&l);
    settle(s, e, DNS_FAILED, 0, e->why);
}

/* --- the file ----------------------------------------------------------------------------- */

static void store_write(struct resolver_sts *s, const struct entry *e, struct span body)
{
    struct resolver_stored stored = {.fetched = e->fetched, .body = body};

    snprintf(stored.domain, sizeof(stored.domain), "%s", e->domain);
    snprintf(stored.id, sizeof(stored.id), "%s", e->id);
    if (s->store >= 0 && resolver_store_write(s->store, &stored) != 0)
        log_text(LOG_LEVEL_WARNING, "resolver", "sts_not_kept domain=%s", e->domain);
}

static bool policy_same(const struct entry *e, const struct sts_policy *p)
{
    const char *mx = e->mx;

    if (!mx || e->mode != p->mode || e->mx_len != p->mx_len)
        return false;
    for (unsigned i = 0; i < p->mx_len; i++, mx += strlen(mx) + 1)
        if (strcmp(mx, p->mx[i]) != 0)
            return false;
    return true;
}

static void queue_serve(struct resolver_sts *s);

static void fetched(void *user, struct span body, bool rejected, const char *why)
{
    struct look *l = user;
    struct resolver_sts *s = l->sts;
    struct entry *e = l->entry;
    char fault[RESOLVER_FETCH_WHY];
    const char *change = !e->mx ? "new" : NULL;

    if (why) {
        failed(s, e, rejected ? STS_FAULT_WEBPKI : STS_FAULT_FETCH, "fetching the policy", why);
    } else if (sts_policy_parse(body, &s->policy, fault, sizeof(fault)) != 0) {
        failed(s, e, STS_FAULT_POLICY, "reading the policy", fault);
    } else {
        if (!change && !policy_same(e, &s->policy))
            change = "changed";
        if (policy_set(e, &s->policy, l->id, now_s()) == 0) {
            e->failures = 0;
            e->retry_ms = 0;
            e->why[0] = '\0';
            store_write(s, e, body);
            if (change)
                log_policy(e, change);
        }
        settle(s, e, e->mx ? DNS_OK : DNS_FAILED, 0, err_text(ERR_NOMEM));
    }
    queue_serve(s);
}

/* Starts what waits for a place, as many as there are. */
static void queue_serve(struct resolver_sts *s)
{
    struct look *l;

    while ((l = TAILQ_FIRST(&s->queue))) {
        int err = resolver_fetch_start(s->fetches, l->entry->domain, l->addr.addr, l->addr.len,
                                       fetched, l);
        if (err == ERR_LIMIT)
            return;
        TAILQ_REMOVE(&s->queue, l, in_queue);
        count(s, COUNTER_STS_FETCHES);
        if (err)
            failed(s, l->entry, STS_FAULT_FETCH, "fetching the policy", err_text(err));
    }
}

static void addresses_done(void *user, const struct dns_addr_answer *answer)
{
    struct look *l = user;

    l->addr = *answer;
    if (l->addr.status != DNS_OK) {
        failed(l->sts, l->entry, STS_FAULT_FETCH, "fetching the policy",
               "its server's address can't be had");
        return;
    }
    TAILQ_INSERT_TAIL(&l->sts->queue, l, in_queue);
    queue_serve(l->sts);
}

static void fetch_begin(struct look *l)
{
    char host[DNS_NAME_MAX + 1];

    snprintf(host, sizeof(host), "mta-sts.%s", l->entry->domain);
    l->asked.done = addresses_done;
    l->asked.user = l;
    resolver_ask_addresses(l->sts->ub, host, &l->asked);
}

/* --- the record --------------------------------------------------------------------------- */

static const char *record_fault(int err)
{
    return err == ERR_LIMIT    ? "the domain has several records of MTA-STS"
           : err == ERR_SYNTAX ? "the domain's record of MTA-STS is malformed"
                               : "the domain has no record of MTA-STS";
}

/* The record says that the policy is another, or the policy is due. */
static bool fetch_wanted(const struct entry *e, const char *id, int64_t now)
{
    return !policy_holds(e, now) || now >= e->refresh || strcmp(e->id, id) != 0;
}

static void record_done(void *user, int error, struct ub_result *result)
{
    struct look *l = user;
    struct resolver_sts *s = l->sts;
    struct entry *e = l->entry;
    enum dns_status status = resolver_status(error, result);
    uint32_t ttl_s = resolver_ttl_s(result);
    int err = status == DNS_OK ? resolver_sts_record(result, l->id) : ERR_NOTFOUND;
    int64_t now = now_s();

    ub_resolve_free(result);
    e->look_ms = clock_ms() + LOOK_S * 1000;
    if (status == DNS_FAILED || status == DNS_BOGUS) {
        /* Who can make DNS fail must not make an old policy end. */
        if (policy_holds(e, now) && now >= e->refresh && clock_ms() >= e->retry_ms) {
            memcpy(l->id, e->id, sizeof(l->id));
            fetch_begin(l);
            return;
        }
        settle(s, e, status, 0,
               status == DNS_BOGUS ? "the domain's record of MTA-STS is forged, DNSSEC says"
                                   : "the domain's record of MTA-STS can't be looked up");
    } else if (err) {
        settle(s, e, DNS_NODATA, ttl_s, record_fault(err));
    } else if (clock_ms() < e->retry_ms) {
        settle(s, e, DNS_FAILED, 0, e->why);
    } else if (fetch_wanted(e, l->id, now)) {
        fetch_begin(l);
    } else {
        settle(s, e, DNS_FAILED, 0, "");
    }
}

static void look_begin(struct resolver_sts *s, struct entry *e)
{
    struct look *l = calloc(1, sizeof(*l));
    char name[DNS_NAME_MAX + 1];

    if (!l) {
        settle(s, e, DNS_FAILED, 0, err_text(ERR_NOMEM));
        return;
    }
    l->sts = s;
    l->entry = e;
    e->look = l;
    snprintf(name, sizeof(name), "_mta-sts.%s", e->domain);
    resolver_ask(s->ub, name, DNS_TYPE_TXT, record_done, l);
}

/* --- questions ---------------------------------------------------------------------------- */

/* False for what can have no record. */
static bool domain_read(const char *text, char ret[DNS_NAME_MAX + 1])
{
    return resolver_name_read(text, ret) &&
           strlen(ret) + sizeof("_mta-sts") <= RESOLVER_NAME_TEXT_MAX;
}

static void entry_wait(struct resolver_sts *s, struct entry *e, resolver_sts_done *done, void *user)
{
    struct waiter *w = calloc(1, sizeof(*w));

    if (!w) {
        done(user, answer_none(s, DNS_FAILED, STS_FAULT_NONE, 0, err_text(ERR_NOMEM)));
        return;
    }
    w->done = done;
    w->user = user;
    SLIST_INSERT_HEAD(&e->waiters, w, next);
}

void resolver_sts_ask(struct resolver_sts *s, const char *domain, resolver_sts_done *done,
                      void *user)
{
    char name[DNS_NAME_MAX + 1];
    struct entry *e;

    if (!domain_read(domain, name)) {
        done(user,
             answer_none(s, DNS_NODATA, STS_FAULT_NONE, NONE_MAX_S, "no domain of the internet"));
        return;
    }
    e = entry_find(s, name);
    if (!e)
        e = entry_new(s, name);
    if (!e) {
        done(user, answer_none(s, DNS_FAILED, STS_FAULT_NONE, 0,
                               "too many domains are asked about at once"));
        return;
    }
    e->asked = now_s();
    TAILQ_REMOVE(&s->order, e, in_order);
    TAILQ_INSERT_TAIL(&s->order, e, in_order);
    if (policy_holds(e, e->asked)) {
        count(s, COUNTER_STS_CACHED);
        done(user, answer_policy(s, e, true));
        if (!e->look && clock_ms() >= e->look_ms)
            look_begin(s, e);
        return;
    }
    entry_wait(s, e, done, user);
    if (!e->look)
        look_begin(s, e);
}

/* --- time --------------------------------------------------------------------------------- */

static void entry_tick(struct resolver_sts *s, struct entry *e, int64_t now, uint64_t ms)
{
    if (e->look)
        return;
    if (!policy_holds(e, now)) {
        policy_drop(s, e);
        if (ms >= e->retry_ms)
            entry_free(s, e);
    } else if (now >= e->refresh && ms >= e->retry_ms && ms >= e->look_ms &&
               now - e->asked < UNUSED_S) {
        look_begin(s, e);
    }
}

/* A part of the table each time, so that no turn is long. */
static void tick(struct resolver_sts *s)
{
    size_t part = s->buckets_len / TICK_PARTS;
    int64_t now = now_s();
    uint64_t ms = clock_ms();

    s->tick_ms = ms + TICK_MS;
    for (size_t i = 0; i < part; i++) {
        struct entry *e = LIST_FIRST(&s->buckets[s->tick_part * part + i]);
        while (e) {
            struct entry *next = LIST_NEXT(e, in_bucket);
            entry_tick(s, e, now, ms);
            e = next;
        }
    }
    s->tick_part = (s->tick_part + 1) % TICK_PARTS;
}

struct resolver_fetches *resolver_sts_fetches(struct resolver_sts *s)
{
    return s->fetches;
}

unsigned resolver_sts_fds(const struct resolver_sts *s, struct pollfd *fds, int *ret_ms)
{
    unsigned len = resolver_fetches_fds(s->fetches, fds, ret_ms);
    uint64_t ms = clock_ms();
    int tick_in = s->tick_ms > ms ? (int)(s->tick_ms - ms) : 0;

    if (s->len > 0 && (*ret_ms < 0 || *ret_ms > tick_in))
        *ret_ms = tick_in;
    return len;
}

void resolver_sts_turn(struct resolver_sts *s, const struct pollfd *fds, unsigned len)
{
    resolver_fetches_turn(s->fetches, fds, len);
    if (s->len > 0 && clock_ms() >= s->tick_ms)
        tick(s);
}

/* --- beginning and end -------------------------------------------------------------------- */

static void stored_take(void *user, const struct resolver_stored *stored)
{
    struct resolver_sts *s = user;
    char why[RESOLVER_FETCH_WHY], domain[DNS_NAME_MAX + 1];
    int64_t now = now_s();
    /* A clock that went back makes no policy younger than it is. */
    int64_t fetched_at = stored->fetched < now ? stored->fetched : now;
    struct entry *e;

    if (!domain_read(stored->domain, domain) || entry_find(s, domain) ||
        sts_policy_parse(stored->body, &s->policy, why, sizeof(why)) != 0)
        return;
    e = entry_new(s, domain);
    if (!e)
        return;
    e->asked = now;
    if (policy_set(e, &s->policy, stored->id, fetched_at) != 0 || !policy_holds(e, now)) {
        policy_drop(s, e);
        entry_free(s, e);
    }
}

static int table_new(struct resolver_sts *s, unsigned max)
{
    s->max = max;
    s->buckets_len = TICK_PARTS;
    while (s->buckets_len < max)
        s->buckets_len *= 2;
    s->buckets = calloc(s->buckets_len, sizeof(*s->buckets));
    return s->buckets && getrandom(s->salt, sizeof(s->salt), 0) == (ssize_t)sizeof(s->salt)
               ? 0
               : ERR_NOMEM;
}

int resolver_sts_new(const struct conf_resolver *conf, struct ub_ctx *ub, int store,
                     const struct shared_column *counters, struct resolver_sts **ret, char *why,
                     size_t why_room)
{
    struct resolver_sts *s = calloc(1, sizeof(*s));
    int err = s ? table_new(s, conf->sts_entries) : ERR_NOMEM;

    *ret = NULL;
    if (err) {
        snprintf(why, why_room, "%s", err_text(err));
        free(s);
        return err;
    }
    TAILQ_INIT(&s->order);
    TAILQ_INIT(&s->queue);
    s->ub = ub;
    s->store = store;
    if (counters) {
        s->has_counters = true;
        s->counters = *counters;
    }
    err = resolver_fetches_new(conf->sts_ca, (uint16_t)conf->sts_port, conf->sts_timeout_s,
                               &s->fetches, why, why_room);
    if (err) {
        free(s->buckets);
        free(s);
        return err;
    }
    if (store >= 0) {
        unsigned damaged = resolver_store_load(store, s->max, stored_take, s);
        if (damaged > 0)
            log_text(LOG_LEVEL_WARNING, "resolver", "sts_damaged files=%u: removed", damaged);
    }
    *ret = s;
    return 0;
}

void resolver_sts_free(struct resolver_sts *s)
{
    struct entry *e;

    if (!s)
        return;
    resolver_fetches_free(s->fetches);
    while ((e = TAILQ_FIRST(&s->order))) {
        struct waiter *w;
        while ((w = SLIST_FIRST(&e->waiters))) {
            SLIST_REMOVE_HEAD(&e->waiters, next);
            free(w);
        }
        free(e->look);
        entry_free(s, e);
    }
    if (s->store >= 0)
        close(s->store);
    free(s->buckets);
    free(s);
}
