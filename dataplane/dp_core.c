/* SPDX-License-Identifier: Apache-2.0 */
/* The leg table, the turn of the loop, and control's calls that concern neither bytes nor bodies.
 */
#include "dp_priv.h"

#include "assertion.h"

#include <stdlib.h>

struct leg_id dp_leg_id(const struct dp *dp, const struct dp_leg *leg)
{
    return (struct leg_id){dp_slot_of(dp, leg), leg->generation};
}

struct dp_leg *dp_leg_find(const struct dp *dp, struct leg_id id)
{
    if (id.generation == 0 || id.slot >= dp->legs_used)
        return NULL;
    struct dp_leg *leg = &dp->legs[id.slot];
    if (leg->generation != id.generation ||
        (leg->state != DP_LEG_OPEN && leg->state != DP_LEG_CONNECTING))
        return NULL;
    return leg;
}

static int leg_new(struct dp *dp, enum dp_leg_state state, struct dp_leg **ret)
{
    struct dp_leg *leg;

    if (dp->free_head != DP_NO_SLOT) {
        leg = dp_slot(dp, dp->free_head);
        dp->free_head = leg->next_free;
    } else if (dp->legs_used < dp->max_legs) {
        leg = dp_slot(dp, dp->legs_used++);
        leg->generation = 1;
    } else {
        return ERR_LIMIT;
    }
    *leg = (struct dp_leg){.dp = dp,
                           .generation = leg->generation,
                           .state = state,
                           .next_free = DP_NO_SLOT,
                           .in_ready = leg->in_ready,
                           .next_ready = leg->next_ready,
                           .in_flush = leg->in_flush,
                           .next_flush = leg->next_flush};
    dp->counters.legs++;
    *ret = leg;
    return ERR_OK;
}

static void leg_buffers_free(struct dp *dp, struct dp_leg *leg)
{
    buf_release(&leg->cipher);
    buf_release(&leg->stash);
    buf_release(&leg->plain);
    buf_release(&leg->out);
    buf_release(&leg->sending);
    if (leg->bulk)
        dp_arena_unref(dp, leg->bulk);
    if (leg->orphan)
        dp_arena_unref(dp, leg->orphan);
    leg->bulk = leg->orphan = NULL;
    free(leg->exact);
    leg->exact = NULL;
    if (leg->tls) {
        dp_kernel_end(dp, leg);
        tls_record_free(&leg->tls->tx);
        tls_record_free(&leg->tls->rx);
        explicit_bzero(leg->tls, sizeof(*leg->tls));
        free(leg->tls);
        leg->tls = NULL;
    }
}

void dp_leg_closed(struct dp *dp, uint32_t slot)
{
    struct dp_leg *leg = dp_slot(dp, slot);

    dp_timer_stop(dp, &leg->close_timer);
    leg_buffers_free(dp, leg);
    leg->state = DP_LEG_FREE;
    if (++leg->generation == 0)
        leg->generation = 1;
    leg->next_free = dp->free_head;
    dp->free_head = slot;
    dp->counters.legs--;
}

void dp_leg_ready(struct dp *dp, struct dp_leg *leg)
{
    uint32_t slot = dp_slot_of(dp, leg);

    if (leg->in_ready)
        return;
    leg->in_ready = true;
    leg->next_ready = DP_NO_SLOT;
    if (dp->ready_head == DP_NO_SLOT)
        dp->ready_head = slot;
    else
        dp_slot(dp, dp->ready_tail)->next_ready = slot;
    dp->ready_tail = slot;
}

void dp_leg_flush(struct dp *dp, struct dp_leg *leg)
{
    uint32_t slot = dp_slot_of(dp, leg);

    if (leg->in_flush)
        return;
    leg->in_flush = true;
    leg->next_flush = DP_NO_SLOT;
    if (dp->flush_head == DP_NO_SLOT)
        dp->flush_head = slot;
    else
        dp_slot(dp, dp->flush_tail)->next_flush = slot;
    dp->flush_tail = slot;
}

void dp_leg_close_now(struct dp *dp, struct dp_leg *leg, bool reset)
{
    leg->state = DP_LEG_CLOSING;
    leg->reset = reset;
    dp_leg_flush(dp, leg);
}

/* What happens on a leg at the end of a turn. */
static void leg_hand_over(struct dp *dp, struct dp_leg *leg)
{
    const struct dp_transport_ops *ops = dp->transport->ops;

    switch (leg->state) {
    case DP_LEG_FREE:
    case DP_LEG_CONNECTING:
        return;
    case DP_LEG_CLOSING:
        if (leg->close_begun)
            return;
        leg->close_begun = ops->close(dp->transport, dp_slot_of(dp, leg), leg->reset);
        if (!leg->close_begun)
            dp_leg_flush(dp, leg);
        return;
    case DP_LEG_OPEN:
    case DP_LEG_FLUSHING:
    case DP_LEG_FINISHED:
        dp_kernel_step(dp, leg);
        dp_leg_output(dp, leg);
        dp_leg_arm(dp, leg);
        return;
    }
}

static void connect_failed(struct dp *dp, struct dp_leg *leg)
{
    struct leg_id id = dp_leg_id(dp, leg);
    int error = leg->connect_error;

    dp_leg_closed(dp, id.slot);
    dp->events.connected(dp->user, id, error);
}

static void turn_ready(struct dp *dp)
{
    uint32_t slot = dp->ready_head;

    dp->ready_head = dp->ready_tail = DP_NO_SLOT;
    while (slot != DP_NO_SLOT) {
        struct dp_leg *leg = dp_slot(dp, slot);
        slot = leg->next_ready;
        leg->in_ready = false;
        if (leg->state == DP_LEG_CONNECTING && leg->connect_error != 0)
            connect_failed(dp, leg);
        else if (leg->state == DP_LEG_OPEN)
            dp_leg_input(dp, leg);
    }
}

static void turn_flush(struct dp *dp)
{
    uint32_t slot = dp->flush_head;

    dp->flush_head = dp->flush_tail = DP_NO_SLOT;
    while (slot != DP_NO_SLOT) {
        struct dp_leg *leg = dp_slot(dp, slot);
        slot = leg->next_flush;
        leg->in_flush = false;
        leg_hand_over(dp, leg);
    }
}

bool dp_busy(const struct dp *dp)
{
    return dp->ready_head != DP_NO_SLOT || dp->flush_head != DP_NO_SLOT;
}

void dp_clock(struct dp *dp)
{
    uint64_t now_ms;

    dp->transport->ops->clock(dp->transport, &now_ms, &dp->wall_us);
    if (now_ms > dp->now_ms)
        dp->now_ms = now_ms;
}

static int64_t wait_bound(const struct dp *dp, int64_t wait_ms)
{
    uint64_t due_ms;

    if (dp_busy(dp) || dp->stopped)
        return 0;
    if (!dp_timer_next(dp, &due_ms))
        return wait_ms;
    uint64_t left = due_ms > dp->now_ms ? due_ms - dp->now_ms : 0;
    if (left > INT32_MAX)
        left = INT32_MAX;
    return wait_ms < 0 || (uint64_t)wait_ms > left ? (int64_t)left : wait_ms;
}

int dp_turn(struct dp *dp, int64_t wait_ms)
{
    turn_ready(dp);
    dp_timers_fire(dp);
    if (dp->events.turned)
        dp->events.turned(dp->user);
    turn_flush(dp);
    return dp->transport->ops->turn(dp->transport, wait_bound(dp, wait_ms));
}

/* Legs that are being closed get to send what they have. */
static bool some_flushing(const struct dp *dp)
{
    for (uint32_t slot = 0; slot < dp->legs_used; slot++) {
        if (dp->legs[slot].state == DP_LEG_FLUSHING)
            return true;
    }
    return false;
}

int dp_run(struct dp *dp)
{
    int err = ERR_OK;

    dp->stopped = false;
    while (!dp->stopped && err == ERR_OK)
        err = dp_turn(dp, -1);
    dp->stopped = false;
    uint64_t until_ms = dp->now_ms + 2000;
    while (err == ERR_OK && some_flushing(dp) && dp->now_ms < until_ms)
        err = dp_turn(dp, 100);
    return err;
}

void dp_stop(struct dp *dp)
{
    dp->stopped = true;
}

int dp_new(const struct dp_conf *conf, const struct dp_events *events, void *user,
           struct dp_transport *transport, struct dp **ret)
{
    struct dp *dp = calloc(1, sizeof(*dp));

    *ret = NULL;
    ASSERT(conf->max_legs > 0 && conf->max_legs < DP_SLOTS_MAX);
    if (dp)
        dp->legs = calloc(conf->max_legs, sizeof(*dp->legs)); /* untouched pages cost nothing */
    if (!dp || !dp->legs) {
        transport->ops->free(transport);
        free(dp);
        return ERR_NOMEM;
    }
    dp->transport = transport;
    transport->dp = dp;
    dp->events = *events;
    dp->user = user;
    dp->max_legs = conf->max_legs;
    dp->max_arenas = conf->max_relays;
    dp->kernel_rx = conf->kernel_rx;
    dp->kernel_tx = conf->kernel_tx;
    dp->free_head = dp->ready_head = dp->flush_head = DP_NO_SLOT;
    dp_clock(dp);
    *ret = dp;
    return ERR_OK;
}

/* Relays that still run are forgotten: their owners are going away too. */
static void relays_free(struct dp *dp)
{
    while (dp->relays) {
        struct dp_relay_run *run = dp->relays;
        dp->relays = run->next;
        dp_timer_stop(dp, &run->tick);
        if (run->arena)
            dp_arena_unref(dp, run->arena);
        buf_release(&run->held);
        free(run);
    }
}

void dp_free(struct dp *dp)
{
    if (!dp)
        return;
    dp->transport->ops->free(dp->transport); /* first: it may still write into buffers */
    relays_free(dp);
    for (uint32_t slot = 0; slot < dp->legs_used; slot++) {
        dp_timer_stop(dp, &dp->legs[slot].close_timer);
        leg_buffers_free(dp, &dp->legs[slot]);
    }
    dp_arenas_free(dp);
    dp_spare_free(dp);
    free(dp->timers);
    free(dp->legs);
    free(dp);
}

struct dp_transport *dp_transport_of(struct dp *dp)
{
    return dp->transport;
}

uint64_t dp_now_ms(const struct dp *dp)
{
    return dp->now_ms;
}

uint64_t dp_wall_us(const struct dp *dp)
{
    return dp->wall_us;
}

int dp_listen(struct dp *dp, int fd, unsigned listener)
{
    return dp->transport->ops->listen(dp->transport, fd, listener);
}

int dp_unlisten(struct dp *dp, unsigned listener)
{
    return dp->transport->ops->unlisten(dp->transport, listener);
}

int dp_leg_take(struct dp *dp, uint32_t *ret_slot)
{
    struct dp_leg *leg;
    int err = leg_new(dp, DP_LEG_OPEN, &leg);

    if (err == ERR_OK)
        *ret_slot = dp_slot_of(dp, leg);
    return err;
}

void dp_leg_accepted(struct dp *dp, uint32_t slot, unsigned listener, const union net_addr *peer,
                     const union net_addr *local)
{
    struct dp_leg *leg = dp_slot(dp, slot);

    dp_leg_flush(dp, leg);
    dp->events.accepted(dp->user, listener, dp_leg_id(dp, leg), peer, local);
}

int dp_connect(struct dp *dp, const union net_addr *to, const union net_addr *source,
               struct leg_id *ret_leg)
{
    struct dp_leg *leg;
    int err = leg_new(dp, DP_LEG_CONNECTING, &leg);

    *ret_leg = LEG_NONE;
    if (err != ERR_OK)
        return err;
    leg->outgoing = true;
    leg->connect_error =
        dp->transport->ops->connect(dp->transport, dp_slot_of(dp, leg), to, source);
    if (leg->connect_error != 0)
        dp_leg_ready(dp, leg);
    *ret_leg = dp_leg_id(dp, leg);
    return ERR_OK;
}

void dp_leg_connected(struct dp *dp, uint32_t slot, int error)
{
    struct dp_leg *leg = dp_slot(dp, slot);
    struct leg_id id = dp_leg_id(dp, leg);

    if (leg->state != DP_LEG_CONNECTING)
        return;
    if (error == 0) {
        leg->state = DP_LEG_OPEN;
        dp_leg_flush(dp, leg);
    } else {
        dp_leg_close_now(dp, leg, false);
    }
    dp->events.connected(dp->user, id, error);
}

int dp_pause(struct dp *dp, struct leg_id id)
{
    struct dp_leg *leg = dp_leg_find(dp, id);

    if (!leg)
        return ERR_STALE;
    leg->paused = true;
    return ERR_OK;
}

int dp_resume(struct dp *dp, struct leg_id id)
{
    struct dp_leg *leg = dp_leg_find(dp, id);

    if (!leg)
        return ERR_STALE;
    leg->paused = false;
    leg->input_due = true;
    dp_leg_ready(dp, leg);
    dp_leg_flush(dp, leg);
    return ERR_OK;
}

int dp_watch_fd(struct dp *dp, int fd, void (*ready)(void *user, int fd), void *user)
{
    return dp->transport->ops->watch(dp->transport, fd, ready, user);
}

void dp_unwatch_fd(struct dp *dp, int fd)
{
    dp->transport->ops->unwatch(dp->transport, fd);
}

uint64_t dp_records(struct dp *dp, struct leg_id id)
{
    struct dp_leg *leg = dp_leg_find(dp, id);

    return leg && leg->tls ? dp_kernel_records(dp, leg, DP_UNSURE_MAX) : 0;
}

void dp_counters(const struct dp *dp, struct dp_counters *ret)
{
    *ret = dp->counters;
    ret->submits = dp->transport->submits;
}
