/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"
#include "text.h"

#include <stdlib.h>

/* --- hosts --- */

static struct upstream_host **bucket_of(struct upstream *u, uint64_t key)
{
    return &u->buckets[key % UPSTREAM_BUCKETS];
}

static void host_free(struct upstream *u, struct upstream_host *host)
{
    struct upstream_host **p = bucket_of(u, host->key);

    while (*p != host)
        p = &(*p)->next;
    *p = host->next;
    TAILQ_REMOVE(&u->hosts, host, link);
    u->hosts_len--;
    free(host);
}

/* Hosts come from MX records: their number is the world's, so the one unused for longest goes. */
static void hosts_trim(struct upstream *u)
{
    struct upstream_host *host = TAILQ_FIRST(&u->hosts), *next;

    for (; host && u->hosts_len >= UPSTREAM_HOSTS_MAX; host = next) {
        next = TAILQ_NEXT(host, link);
        if (host->uses == 0)
            host_free(u, host);
    }
}

struct upstream_host *upstream_host_get(struct upstream *u, const char *name, uint16_t port)
{
    char text[DNS_NAME_MAX + 8];
    struct text t = text_into(text, sizeof(text));

    text_str(&t, name);
    text_put(&t, ":", 1);
    text_u64(&t, port, 1);
    text_end(&t);
    uint64_t key = shared_text_key(u->conf.shared.shared, span_str(text));
    struct upstream_host *host = *bucket_of(u, key);
    while (host && strcmp(host->name, text) != 0)
        host = host->next;
    if (host) {
        TAILQ_REMOVE(&u->hosts, host, link);
    } else {
        hosts_trim(u);
        host = calloc(1, sizeof(*host) + strlen(text) + 1);
        if (!host)
            return NULL;
        memcpy(host->name, text, strlen(text) + 1);
        host->key = key;
        host->port = port;
        TAILQ_INIT(&host->idle);
        host->next = *bucket_of(u, key);
        *bucket_of(u, key) = host;
        u->hosts_len++;
    }
    TAILQ_INSERT_TAIL(&u->hosts, host, link);
    host->uses++;
    return host;
}

void upstream_host_drop(struct upstream *u, struct upstream_host *host)
{
    ASSERT(host->uses > 0);
    host->uses--;
}

void upstream_host_failed(struct upstream *u, struct upstream_host *host, const char *why)
{
    uint64_t ms = u->limits->hop_dead_s * 1000ull;
    unsigned doublings =
        host->failures < UPSTREAM_DEAD_DOUBLINGS ? host->failures : UPSTREAM_DEAD_DOUBLINGS;

    host->failures++;
    host->dead_until_ms = dp_now_ms(u->conf.dp) + (ms << doublings);
    upstream_why(host->last_error, "%s", why);
}

void upstream_host_alive(struct upstream_host *host)
{
    host->failures = 0;
    host->dead_until_ms = 0;
}

bool upstream_host_dead(const struct upstream *u, const struct upstream_host *host)
{
    return host->dead_until_ms > dp_now_ms(u->conf.dp);
}

bool upstream_host_hold(struct upstream *u, struct upstream_host *host, unsigned max)
{
    if (shared_hold(&u->conf.shared, SHARED_HOP, host->key, max))
        return true;
    struct upstream_leg *oldest = TAILQ_LAST(&host->idle, upstream_legs);
    if (!oldest)
        return false;
    leg_quit(oldest);
    return shared_hold(&u->conf.shared, SHARED_HOP, host->key, max);
}

/* --- idle legs --- */

void upstream_pool_remove(struct upstream_leg *leg)
{
    if (!leg->idle)
        return;
    leg->idle = false;
    leg->host->idle_len--;
    TAILQ_REMOVE(&leg->host->idle, leg, link);
    TAILQ_REMOVE(&leg->u->idle, leg, idle_link);
    dp_timer_stop(leg->u->conf.dp, &leg->timer);
}

/* Whether one more message may go over it. */
static bool leg_fit(const struct upstream_leg *leg)
{
    const struct upstream *u = leg->u;
    uint32_t mail_max = smtp_client_caps(leg->client)->mail_max;

    if (!smtp_client_ready(leg->client) || dp_records(u->conf.dp, leg->id) >= UPSTREAM_RECORDS_MAX)
        return false;
    if (u->limits->hop_max_messages && leg->messages >= u->limits->hop_max_messages)
        return false;
    if (mail_max && leg->messages >= mail_max)
        return false;
    /* Each transaction judges anew: the certificate may have run out meanwhile. */
    return !leg->judges_dates || leg->facts.not_after == 0 ||
           (uint64_t)leg->facts.not_after > dp_wall_us(u->conf.dp) / 1000000;
}

struct upstream_leg *upstream_pool_take(struct upstream *u, struct upstream_host *host,
                                        const struct upstream_key *key)
{
    struct upstream_leg *leg = TAILQ_FIRST(&host->idle), *next;

    for (; leg; leg = next) {
        next = TAILQ_NEXT(leg, link);
        if (memcmp(&leg->key, key, sizeof(*key)) != 0)
            continue;
        if (!leg_fit(leg)) {
            leg_quit(leg);
            continue;
        }
        upstream_pool_remove(leg);
        leg->reused = true;
        return leg;
    }
    return NULL;
}

void upstream_pool_put(struct upstream_leg *leg)
{
    struct upstream *u = leg->u;
    uint64_t ms = u->limits->hop_idle_s * 1000ull;
    uint64_t first_ms = ms < UPSTREAM_IDLE_FULL_MS ? ms : UPSTREAM_IDLE_FULL_MS;

    ASSERT(!leg->hop && !leg->idle);
    if (u->draining || !leg_fit(leg)) {
        leg_quit(leg);
        return;
    }
    leg->idle_more_ms = ms - first_ms;
    if (dp_timer_start(u->conf.dp, &leg->timer, first_ms) != ERR_OK) {
        leg_quit(leg);
        return;
    }
    buf_release(&leg->out);
    leg->idle = true;
    leg->host->idle_len++;
    TAILQ_INSERT_HEAD(&leg->host->idle, leg, link);
    TAILQ_INSERT_TAIL(&u->idle, leg, idle_link);
    upstream_pool_wake(u, leg->host);
}

/* One for one: what is closed is not gone at once, and so an eighth is kept free. */
void upstream_room_make(struct upstream *u)
{
    struct upstream_leg *oldest = TAILQ_FIRST(&u->idle);
    struct dp_counters now;

    if (!oldest)
        return;
    dp_counters(u->conf.dp, &now);
    if (now.legs >= u->conf.max_legs - u->conf.max_legs / 8)
        leg_quit(oldest);
}

/* Other workers may wait for its place. They are looked for here and not after each message: what
 * workers share is touched by nothing that a busy leg does. */
void upstream_pool_tired(struct upstream_leg *leg)
{
    struct upstream *u = leg->u;
    uint64_t more_ms = leg->idle_more_ms;

    leg->idle_more_ms = 0;
    if (more_ms == 0 ||
        shared_held(u->conf.shared.shared, SHARED_HOP, leg->host->key) >=
            leg->route->conf->max_connections ||
        dp_timer_start(u->conf.dp, &leg->timer, more_ms) != ERR_OK)
        leg_quit(leg);
}

/* --- waiting for a connection --- */

void upstream_wait_begin(struct hop *h)
{
    struct upstream *u = h->u;

    if (!h->is_waiting) {
        TAILQ_INSERT_TAIL(&u->waiting, h, waiting);
        h->is_waiting = true;
        h->wait_until_ms = dp_now_ms(u->conf.dp) + UPSTREAM_WAIT_MS;
    }
    /* Without memory for a timer the budget's, which runs, ends it. */
    (void)!dp_timer_start(u->conf.dp, &h->turn, UPSTREAM_POLL_MS);
}

void upstream_wait_end(struct hop *h)
{
    if (!h->is_waiting)
        return;
    TAILQ_REMOVE(&h->u->waiting, h, waiting);
    h->is_waiting = false;
}

/* Who has waited for longest. */
static struct hop *waiting_for(struct upstream *u, const struct upstream_host *host)
{
    struct hop *h;

    TAILQ_FOREACH (h, &u->waiting, waiting)
        if (h->host == host)
            return h;
    return NULL;
}

void upstream_pool_wake(struct upstream *u, const struct upstream_host *host)
{
    struct hop *h = waiting_for(u, host);

    if (h)
        (void)!dp_timer_start(u->conf.dp, &h->turn, 0);
}

bool upstream_host_awaited(struct upstream *u, const struct upstream_host *host)
{
    return waiting_for(u, host) != NULL;
}
