/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"

#include <string.h>

static bool has_next(const struct hop *h)
{
    /* In plaintext it is one address once more. */
    return h->u->limits->hop_race_ms > 0 && !h->plaintext && h->racers_len < UPSTREAM_RACERS &&
           h->addr + 1 + h->racers_len < h->addrs_len;
}

void upstream_race_begin(struct hop *h)
{
    /* Without memory for the timer they are tried one after another. */
    if (has_next(h))
        (void)!dp_timer_start(h->u->conf.dp, &h->race, h->u->limits->hop_race_ms);
}

static void racer_add(struct hop *h)
{
    struct upstream *u = h->u;
    struct upstream_leg *leg;

    if (!has_next(h))
        return;
    /* Hops that have no connection yet go first, and no idle connection has to go for it, as it
     * would for them. One that can't be begun is tried again, here or in its turn. */
    if (u->racers_len < UPSTREAM_RACERS_ALL && !upstream_host_awaited(u, h->host) &&
        shared_hold(&u->conf.shared, SHARED_HOP, h->host->key, h->route->conf->max_connections) &&
        upstream_leg_dial(h, &h->addrs[h->addr + 1 + h->racers_len], &leg) == ERR_OK) {
        h->racers[h->racers_len++] = leg;
        u->racers_len++;
    }
    upstream_race_begin(h);
}

static void on_race(void *user, struct dp_timer *timer)
{
    struct hop *h = user;

    ASSERT(h->state == HOP_DIALLING && h->leg);
    racer_add(h);
}

void upstream_race_init(struct hop *h)
{
    h->race = (struct dp_timer){.fire = on_race, .user = h};
}

/* RFC 8305 section 5: where one fails the next is tried at once. */
bool upstream_race_goes_on(struct hop *h)
{
    ASSERT(!h->leg);
    if (h->racers_len == 0) {
        /* Before anything else becomes the hop's leg: a pooled one has no other beside it. */
        dp_timer_stop(h->u->conf.dp, &h->race);
        return false;
    }
    h->leg = h->racers[0];
    h->racers_len--;
    h->u->racers_len--;
    memmove(h->racers, h->racers + 1, h->racers_len * sizeof(h->racers[0]));
    h->facts.addr = h->leg->addr;
    racer_add(h);
    return true;
}

void upstream_race_front(struct upstream_leg *leg)
{
    struct hop *h = leg->hop;
    union net_addr *addrs = &h->addrs[h->addr];
    unsigned at = 0;

    if (h->leg == leg)
        return;
    while (at < h->racers_len && h->racers[at] != leg)
        at++;
    ASSERT(at < h->racers_len);
    const union net_addr addr = addrs[at + 1];
    memmove(addrs + 1, addrs, (at + 1) * sizeof(*addrs));
    addrs[0] = addr;
    memmove(h->racers + 1, h->racers, at * sizeof(h->racers[0]));
    h->racers[0] = h->leg;
    h->leg = leg;
}

void upstream_race_won(struct upstream_leg *leg)
{
    ASSERT(leg->hop->state == HOP_DIALLING);
    upstream_race_front(leg);
    upstream_race_end(leg->hop);
    leg->hop->facts.addr = leg->addr;
}

void upstream_race_end(struct hop *h)
{
    dp_timer_stop(h->u->conf.dp, &h->race);
    while (h->racers_len > 0) {
        struct upstream_leg *leg = h->racers[--h->racers_len];
        h->u->racers_len--;
        leg->hop = NULL;
        leg_close(leg, DP_CLOSE_CUT);
    }
}
