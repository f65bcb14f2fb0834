/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: a binary heap of pointers into their owners' structs, from [1] on. */
#include "dp_priv.h"

#include "assertion.h"

#include <stdlib.h>

static void place(struct dp *dp, uint32_t i, struct dp_timer *timer)
{
    dp->timers[i] = timer;
    timer->heap_place = i;
}

static void sift_up(struct dp *dp, uint32_t i, struct dp_timer *timer)
{
    while (i > 1 && dp->timers[i / 2]->due_ms > timer->due_ms) {
        place(dp, i, dp->timers[i / 2]);
        i /= 2;
    }
    place(dp, i, timer);
}

static void sift_down(struct dp *dp, uint32_t i, struct dp_timer *timer)
{
    for (;;) {
        uint32_t child = 2 * i;
        if (child > dp->timers_len)
            break;
        if (child < dp->timers_len && dp->timers[child + 1]->due_ms < dp->timers[child]->due_ms)
            child++;
        if (dp->timers[child]->due_ms >= timer->due_ms)
            break;
        place(dp, i, dp->timers[child]);
        i = child;
    }
    place(dp, i, timer);
}

static void sift(struct dp *dp, uint32_t i, struct dp_timer *timer)
{
    if (i > 1 && dp->timers[i / 2]->due_ms > timer->due_ms)
        sift_up(dp, i, timer);
    else
        sift_down(dp, i, timer);
}

static int heap_grow(struct dp *dp)
{
    if (dp->timers_len + 1 < dp->timers_cap)
        return ERR_OK;
    uint32_t cap = dp->timers_cap ? dp->timers_cap * 2 : 64;
    struct dp_timer **grown = realloc(dp->timers, cap * sizeof(struct dp_timer *));
    if (!grown)
        return ERR_NOMEM;
    dp->timers = grown;
    dp->timers_cap = cap;
    return ERR_OK;
}

int dp_timer_start(struct dp *dp, struct dp_timer *timer, uint64_t after_ms)
{
    uint64_t due_ms = after_ms > UINT64_MAX - dp->now_ms ? UINT64_MAX : dp->now_ms + after_ms;

    if (timer->heap_place == 0) {
        int err = heap_grow(dp);
        if (err != ERR_OK)
            return err;
        timer->due_ms = due_ms;
        sift_up(dp, ++dp->timers_len, timer);
        return ERR_OK;
    }
    ASSERT(timer->heap_place <= dp->timers_len && dp->timers[timer->heap_place] == timer);
    timer->due_ms = due_ms;
    sift(dp, timer->heap_place, timer);
    return ERR_OK;
}

void dp_timer_stop(struct dp *dp, struct dp_timer *timer)
{
    uint32_t i = timer->heap_place;

    if (i == 0)
        return;
    ASSERT(i <= dp->timers_len && dp->timers[i] == timer);
    timer->heap_place = 0;
    struct dp_timer *last = dp->timers[dp->timers_len--];
    if (last != timer)
        sift(dp, i, last);
}

bool dp_timer_next(const struct dp *dp, uint64_t *ret_due_ms)
{
    if (dp->timers_len == 0)
        return false;
    *ret_due_ms = dp->timers[1]->due_ms;
    return true;
}

/* At most as many as run now, so that one that restarts itself with 0 can't hold the loop. */
void dp_timers_fire(struct dp *dp)
{
    uint32_t most = dp->timers_len;

    while (most-- > 0 && dp->timers_len > 0 && dp->timers[1]->due_ms <= dp->now_ms) {
        struct dp_timer *timer = dp->timers[1];
        dp_timer_stop(dp, timer);
        timer->fire(timer->user, timer);
    }
}
