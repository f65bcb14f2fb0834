/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated transport. All that happens is an event with a time in virtual milliseconds, and
 * events of the same time happen in the order they were made in; random numbers are drawn in that
 * order too, so that a seed fixes a run. Time stands still while anything is left to do in it.
 */
#include "dp_sim_priv.h"

#include <errno.h>
#include <stdlib.h>

/* Test machinery: a test that is out of memory has nothing to prove. */
static void *need(void *memory)
{
    ASSERT(memory);
    return memory;
}

/* splitmix64 */
uint64_t sim_random(struct dp_sim *sim)
{
    uint64_t z = sim->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t random_between(struct dp_sim *sim, uint64_t low, uint64_t high)
{
    return high <= low ? low : low + sim_random(sim) % (high - low + 1);
}

bool sim_chance(struct dp_sim *sim, unsigned per_mille)
{
    return per_mille > 0 && sim_random(sim) % 1000 < per_mille;
}

/* Events. */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_event_add(struct dp_sim *sim, uint64_t at_ms, enum sim_what what, struct dp_sim_peer *peer,
                   size_t n)
{
    struct sim_event event = {.at_ms = at_ms < sim->now_ms ? sim->now_ms : at_ms,
                              .order = sim->order++,
                              .what = what,
                              .peer = peer,
                              .n = n};

    if (sim->events_len == sim->events_cap) {
        sim->events_cap = sim->events_cap ? sim->events_cap * 2 : 64;
        sim->events = need(realloc(sim->events, sim->events_cap * sizeof(event)));
    }
    size_t i = sim->events_len++;
    while (i > 0 && earlier(&event, &sim->events[(i - 1) / 2])) {
        sim->events[i] = sim->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim->events[i] = event;
}

static struct sim_event event_take(struct dp_sim *sim)
{
    struct sim_event first = sim->events[0], last = sim->events[--sim->events_len];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= sim->events_len)
            break;
        if (child + 1 < sim->events_len && earlier(&sim->events[child + 1], &sim->events[child]))
            child++;
        if (!earlier(&sim->events[child], &last))
            break;
        sim->events[i] = sim->events[child];
        i = child;
    }
    if (sim->events_len > 0)
        sim->events[i] = last;
    return first;
}

static uint64_t delay(struct dp_sim *sim)
{
    return random_between(sim, sim->conf.delay_min_ms, sim->conf.delay_max_ms);
}

/* Pipes. */

static void pipe_event(struct dp_sim *sim, struct sim_pipe *pipe, enum sim_what what,
                       struct dp_sim_peer *peer, size_t n)
{
    uint64_t at_ms = sim->now_ms + delay(sim);

    if (at_ms > pipe->last_ms)
        pipe->last_ms = at_ms;
    sim_event_add(sim, pipe->last_ms, what, peer, n);
}

size_t sim_pipe_room(const struct dp_sim *sim, const struct sim_pipe *pipe)
{
    size_t window = sim->conf.window ? sim->conf.window : WINDOW_DEFAULT;
    size_t used = buf_len(&pipe->bytes);

    return used < window ? window - used : 0;
}

void sim_pipe_put(struct dp_sim *sim, struct sim_pipe *pipe, enum sim_what arrival,
                  struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
    ASSERT(buf_append(&pipe->bytes, data, len) == ERR_OK);
    for (size_t left = len; left > 0;) {
        size_t most = sim->conf.fragment_max;
        size_t part = most == 0 ? left : (size_t)random_between(sim, 1, most);
        part = part < left ? part : left;
        pipe_event(sim, pipe, arrival, peer, part);
        left -= part;
    }
}

/* As much of data as the window takes. */
static size_t pipe_write(struct dp_sim *sim, struct sim_pipe *pipe, enum sim_what arrival,
                         struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
    size_t room = sim_pipe_room(sim, pipe), n = len < room ? len : room;

    if (n > 0)
        sim_pipe_put(sim, pipe, arrival, peer, data, n);
    return n;
}

static void pipe_read(struct sim_pipe *pipe, size_t n)
{
    buf_consume(&pipe->bytes, n);
    pipe->arrived -= n;
    if (buf_len(&pipe->bytes) == 0)
        buf_release(&pipe->bytes);
}

/* What the test sent goes into the window as it opens. */
static void peer_push(struct dp_sim_peer *peer)
{
    struct span left = buf_span(&peer->outbox);

    if (peer->reset)
        return;
    size_t n = pipe_write(peer->sim, &peer->up, SIM_ARRIVED_UP, peer, left.ptr, left.len);
    buf_consume(&peer->outbox, n);
    if (buf_len(&peer->outbox) > 0)
        return;
    buf_release(&peer->outbox);
    if (peer->finish && !peer->up.fin_sent) {
        peer->up.fin_sent = true;
        pipe_event(peer->sim, &peer->up, SIM_FIN_UP, peer, 0);
    }
}

static void tell_closed(struct dp_sim_peer *peer, bool reset)
{
    if (peer->told_closed)
        return;
    peer->told_closed = true;
    peer->events->closed(peer->user, peer, reset);
}

/* The gateway's end. */

void sim_peer_taken(struct dp_sim_peer *peer, size_t n)
{
    pipe_read(&peer->up, n);
    peer_push(peer);
}

static bool readable(struct dp_sim_peer *peer)
{
    if (peer->up.fin_arrived || peer->reset)
        return true;
    return peer->kernel.rx ? sim_kernel_readable(peer) : peer->up.arrived > 0;
}

static void receive_check(struct dp_sim_peer *peer)
{
    bool something = readable(peer);

    sim_kernel_polls(peer);
    if (!peer->receiving || peer->receive_due || !something)
        return;
    peer->receive_due = true;
    sim_event_add(peer->sim, peer->sim->now_ms, SIM_RECEIVED, peer, 0);
}

static void received(struct dp_sim_peer *peer)
{
    struct dp_sim *sim = peer->sim;
    uint8_t *room = peer->into ? peer->into : sim->buffer;
    size_t most = peer->into ? peer->into_len : sizeof(sim->buffer);

    peer->receiving = peer->receive_due = false;
    if (sim->conf.fragment_max > 0 && most > sim->conf.fragment_max)
        most = sim->conf.fragment_max;
    if (peer->kernel.rx && !peer->reset) {
        dp_leg_received(sim->transport.dp, peer->slot, room, sim_kernel_read(peer, room, most));
        return;
    }
    if (peer->reset || peer->up.arrived == 0) {
        dp_leg_received(sim->transport.dp, peer->slot, room, peer->reset ? -ECONNRESET : 0);
        return;
    }
    size_t n = peer->up.arrived < most ? peer->up.arrived : most;
    memcpy(room, buf_span(&peer->up.bytes).ptr, n);
    sim_peer_taken(peer, n);
    dp_leg_received(sim->transport.dp, peer->slot, room, (ssize_t)n);
}

/* What the socket takes of it. */
static size_t socket_write(struct dp_sim_peer *peer, const struct iovec *piece, bool more)
{
    if (peer->kernel.tx)
        return sim_kernel_write(peer, piece->iov_base, piece->iov_len, more);
    return pipe_write(peer->sim, &peer->down, SIM_ARRIVED_DOWN, peer, piece->iov_base,
                      piece->iov_len);
}

static void send_unblock(struct dp_sim_peer *peer)
{
    sim_kernel_polls(peer);
    if (!peer->sending)
        return;
    size_t n = socket_write(peer, &peer->blocked, false);
    if (n == 0)
        return;
    peer->sending = false;
    sim_event_add(peer->sim, peer->sim->now_ms, SIM_SENT, peer, n);
}

/* Both ends learn of it, the gateway through its operations. */
static void connection_reset(struct dp_sim_peer *peer)
{
    if (peer->reset)
        return;
    peer->reset = true;
    buf_release(&peer->up.bytes);
    buf_release(&peer->down.bytes);
    buf_release(&peer->outbox);
    peer->up.arrived = peer->down.arrived = 0;
    if (peer->sending) {
        peer->sending = false;
        sim_event_add(peer->sim, peer->sim->now_ms, SIM_SENT, peer, 0);
    }
    receive_check(peer);
}

static void arrived(struct dp_sim_peer *peer, struct sim_pipe *pipe, size_t n)
{
    struct dp_sim *sim = peer->sim;

    if (peer->reset)
        return;
    if (sim->conf.reset_per_mille > 0 && sim_random(sim) % 1000 < sim->conf.reset_per_mille) {
        connection_reset(peer);
        tell_closed(peer, true);
        return;
    }
    pipe->arrived += n;
    if (pipe == &peer->up)
        receive_check(peer);
}

/* The peer reads what has arrived, unless the test holds it. */
static void peer_read(struct dp_sim_peer *peer)
{
    struct sim_pipe *pipe = &peer->down;

    while (!peer->held && pipe->arrived > 0) {
        size_t n = pipe->arrived;
        if (!peer->told_closed)
            peer->events->received(peer->user, peer, buf_span(&pipe->bytes).ptr, n);
        if (peer->reset)
            return;
        pipe_read(pipe, n);
        send_unblock(peer);
    }
    if (!peer->held && pipe->fin_arrived && pipe->arrived == 0)
        tell_closed(peer, false);
}

static void connected(struct dp_sim_peer *peer)
{
    if (!peer->attached)
        return;
    peer->connecting = false;
    if (peer->connect_error == 0 && peer->events->accepted)
        peer->events->accepted(peer->user, peer, &peer->remote);
    dp_leg_connected(peer->sim->transport.dp, peer->slot, peer->connect_error);
}

static void accepted(struct dp_sim_peer *peer)
{
    struct dp_sim *sim = peer->sim;

    if (peer->reset)
        return;
    if (dp_leg_take(sim->transport.dp, &peer->slot) != ERR_OK) {
        connection_reset(peer);
        tell_closed(peer, true);
        return;
    }
    peer->attached = true;
    sim->by_slot[peer->slot] = peer;
    dp_leg_accepted(sim->transport.dp, peer->slot, peer->listener, &peer->remote, &peer->local);
}

static void sent(struct dp_sim_peer *peer, size_t n)
{
    ssize_t result = peer->reset ? -ECONNRESET : peer->sent_error ? peer->sent_error : (ssize_t)n;

    peer->sent_due = false;
    peer->sent_error = 0;
    if (peer->attached)
        dp_leg_sent(peer->sim->transport.dp, peer->slot, result);
}

static void closed(struct dp_sim_peer *peer)
{
    peer->attached = false;
    dp_leg_closed(peer->sim->transport.dp, peer->slot);
}

static void event_run(const struct sim_event *event)
{
    struct dp_sim_peer *peer = event->peer;

    switch (event->what) {
    case SIM_CONNECTED:
        connected(peer);
        return;
    case SIM_ACCEPTED:
        accepted(peer);
        return;
    case SIM_ARRIVED_UP:
        arrived(peer, &peer->up, event->n);
        return;
    case SIM_ARRIVED_DOWN:
        arrived(peer, &peer->down, event->n);
        peer_read(peer);
        return;
    case SIM_FIN_UP:
        peer->up.fin_arrived = true;
        receive_check(peer);
        return;
    case SIM_FIN_DOWN:
        peer->down.fin_arrived = true;
        if (!peer->reset)
            peer_read(peer);
        return;
    case SIM_RESET_UP:
        connection_reset(peer);
        return;
    case SIM_RESET_DOWN:
        connection_reset(peer);
        tell_closed(peer, true);
        return;
    case SIM_RECEIVED:
        if (peer->attached && peer->receiving)
            received(peer);
        return;
    case SIM_CANCELLED:
        peer->cancel = false;
        if (peer->attached && peer->receiving && !peer->receive_due) {
            peer->receiving = false;
            dp_leg_received(peer->sim->transport.dp, peer->slot, NULL, -ECANCELED);
        }
        return;
    case SIM_SENT:
        sent(peer, event->n);
        return;
    case SIM_POLLED_IN:
        sim_kernel_polled(peer, DP_POLL_IN);
        return;
    case SIM_POLLED_OUT:
        sim_kernel_polled(peer, DP_POLL_OUT);
        return;
    case SIM_CLOSED:
        closed(peer);
        return;
    }
}

/* The transport's operations. */

static void sim_clock(struct dp_transport *t, uint64_t *ret_now_ms, uint64_t *ret_wall_us)
{
    *ret_now_ms = sim_of(t)->now_ms;
    *ret_wall_us = sim_of(t)->conf.wall_us + sim_of(t)->now_ms * 1000;
}

static int sim_turn(struct dp_transport *t, int64_t wait_ms)
{
    struct dp_sim *sim = sim_of(t);

    t->submits++;
    if (wait_ms < 0 && sim->events_len == 0)
        return ERR_STATE; /* nothing will ever happen */
    uint64_t until_ms = wait_ms < 0 ? UINT64_MAX : sim->now_ms + (uint64_t)wait_ms;
    if (sim->events_len > 0 && sim->events[0].at_ms <= until_ms) {
        if (sim->events[0].at_ms > sim->now_ms)
            sim->now_ms = sim->events[0].at_ms;
    } else {
        sim->now_ms = until_ms;
    }
    dp_clock(t->dp);
    /* What these events cause belongs to later turns. */
    uint64_t order = sim->order;
    while (sim->events_len > 0 && sim->events[0].at_ms <= sim->now_ms &&
           sim->events[0].order < order) {
        struct sim_event event = event_take(sim);
        event_run(&event);
    }
    return ERR_OK;
}

static int sim_listen(struct dp_transport *t, int fd, unsigned listener)
{
    return ERR_UNSUPPORTED; /* dp_sim_listen */
}

static int sim_unlisten(struct dp_transport *t, unsigned listener)
{
    struct dp_sim *sim = sim_of(t);
    int err = ERR_NOTFOUND;

    for (size_t i = 0; i < sim->places_len; i++) {
        if (sim->places[i].listens && sim->places[i].listener == listener) {
            sim->places[i].listens = false;
            err = ERR_OK;
        }
    }
    return err;
}

static bool same_address(const union net_addr *a, const union net_addr *b)
{
    return net_addr_same_ip(a, b) && net_addr_port(a) == net_addr_port(b);
}

static struct sim_place *place_at(struct dp_sim *sim, const union net_addr *address, bool make)
{
    for (size_t i = 0; i < sim->places_len; i++) {
        if (same_address(&sim->places[i].address, address))
            return &sim->places[i];
    }
    if (!make)
        return NULL;
    sim->places = need(realloc(sim->places, (sim->places_len + 1) * sizeof(*sim->places)));
    sim->places[sim->places_len] = (struct sim_place){.address = *address};
    return &sim->places[sim->places_len++];
}

static struct dp_sim_peer *peer_new(struct dp_sim *sim, const struct dp_sim_peer_events *events,
                                    void *user)
{
    struct dp_sim_peer *peer = need(calloc(1, sizeof(*peer)));

    peer->sim = sim;
    peer->events = events;
    peer->user = user;
    peer->next = sim->peers;
    sim->peers = peer;
    return peer;
}

static int sim_connect(struct dp_transport *t, uint32_t slot, const union net_addr *to,
                       const union net_addr *source)
{
    struct dp_sim *sim = sim_of(t);
    const struct sim_place *place = place_at(sim, to, false);
    struct dp_sim_peer *peer =
        peer_new(sim, place ? place->events : NULL, place ? place->user : NULL);

    peer->slot = slot;
    peer->attached = true;
    peer->remote = *to;
    peer->connect_error = !place ? ECONNREFUSED : place->error;
    if (peer->connect_error == 0 && !peer->events)
        peer->connect_error = ECONNREFUSED;
    sim->by_slot[slot] = peer;
    peer->connecting = true;
    uint64_t at_ms = sim->now_ms + delay(sim) + (place ? place->slow_ms : 0);
    peer->up.last_ms = peer->down.last_ms = at_ms;
    sim_event_add(sim, at_ms, SIM_CONNECTED, peer, 0);
    return 0;
}

static bool receive_begin(struct dp_transport *t, uint32_t slot, uint8_t *into, size_t len)
{
    struct dp_sim_peer *peer = sim_of(t)->by_slot[slot];

    ASSERT(!peer->receiving);
    peer->receiving = true;
    peer->into = into;
    peer->into_len = len;
    receive_check(peer);
    return true;
}

static bool sim_receive(struct dp_transport *t, uint32_t slot)
{
    return receive_begin(t, slot, NULL, 0);
}

static bool sim_receive_into(struct dp_transport *t, uint32_t slot, void *room, size_t len)
{
    return receive_begin(t, slot, room, len);
}

static bool sim_receive_cancel(struct dp_transport *t, uint32_t slot)
{
    struct dp_sim_peer *peer = sim_of(t)->by_slot[slot];

    if (!peer->cancel) {
        peer->cancel = true;
        sim_event_add(sim_of(t), sim_of(t)->now_ms, SIM_CANCELLED, peer, 0);
    }
    return true;
}

static bool sim_send(struct dp_transport *t, uint32_t slot, const struct iovec *pieces,
                     unsigned count)
{
    struct dp_sim *sim = sim_of(t);
    struct dp_sim_peer *peer = sim->by_slot[slot];
    size_t taken = 0;

    ASSERT(!peer->sent_due);
    peer->sent_due = true;
    peer->sent_error = peer->kernel.socket_error;
    peer->kernel.socket_error = 0;
    if (peer->sent_error != 0) {
        sim_event_add(sim, sim->now_ms, SIM_SENT, peer, 0);
        return true;
    }
    for (unsigned i = 0; i < count && !peer->reset; i++) {
        size_t n = socket_write(peer, &pieces[i], i + 1 < count);
        taken += n;
        if (n < pieces[i].iov_len)
            break;
    }
    if (peer->kernel.tx && taken > 0)
        sim_kernel_write(peer, NULL, 0, false);
    if (taken > 0 || peer->reset) {
        sim_event_add(sim, sim->now_ms, SIM_SENT, peer, taken);
    } else {
        peer->sending = true;
        peer->blocked = pieces[0];
    }
    return true;
}

static void sim_shutdown(struct dp_transport *t, uint32_t slot)
{
    struct dp_sim_peer *peer = sim_of(t)->by_slot[slot];

    if (peer->reset || peer->down.fin_sent)
        return;
    peer->down.fin_sent = true;
    pipe_event(sim_of(t), &peer->down, SIM_FIN_DOWN, peer, 0);
}

static bool sim_close(struct dp_transport *t, uint32_t slot, bool reset)
{
    struct dp_sim *sim = sim_of(t);
    struct dp_sim_peer *peer = sim->by_slot[slot];

    if (peer->connecting)
        peer->reset = true; /* as a SYN whose sender is gone */
    else if (peer->connect_error == 0 && !reset)
        sim_shutdown(t, slot);
    else if (peer->connect_error == 0 && !peer->reset)
        pipe_event(sim, &peer->down, SIM_RESET_DOWN, peer, 0);
    peer->receiving = peer->sending = false; /* what is under way ends with the connection */
    sim_kernel_free(peer);
    sim_event_add(sim, sim->now_ms, SIM_CLOSED, peer, 0);
    return true;
}

static int sim_watch(struct dp_transport *t, int fd, void (*ready)(void *user, int fd), void *user)
{
    return ERR_UNSUPPORTED; /* a descriptor has no virtual time */
}

static void sim_unwatch(struct dp_transport *t, int fd)
{
}

static void sim_free(struct dp_transport *t)
{
    struct dp_sim *sim = sim_of(t);

    while (sim->peers) {
        struct dp_sim_peer *peer = sim->peers;
        sim->peers = peer->next;
        buf_release(&peer->outbox);
        buf_release(&peer->up.bytes);
        buf_release(&peer->down.bytes);
        sim_kernel_free(peer);
        free(peer);
    }
    free(sim->events);
    free(sim->places);
    free(sim->by_slot);
    free(sim);
}

static const struct dp_transport_ops sim_ops = {
    .clock = sim_clock,
    .turn = sim_turn,
    .listen = sim_listen,
    .unlisten = sim_unlisten,
    .connect = sim_connect,
    .receive = sim_receive,
    .receive_into = sim_receive_into,
    .receive_cancel = sim_receive_cancel,
    .send = sim_send,
    .shutdown = sim_shutdown,
    .close = sim_close,
    .kernel_attach = sim_kernel_attach,
    .kernel_keys = sim_kernel_keys,
    .kernel_sequence = sim_kernel_sequence,
    .send_record = sim_send_record,
    .receive_record = sim_receive_record,
    .clear_error = sim_clear_error,
    .pipe_take = sim_pipe_take,
    .pipe_give = sim_pipe_give,
    .splice_in = sim_splice_in,
    .splice_out = sim_splice_out,
    .poll = sim_poll,
    .watch = sim_watch,
    .unwatch = sim_unwatch,
    .free = sim_free,
};

/* What tests call. */

int dp_sim_new(const struct dp_conf *conf, const struct dp_sim_conf *sim_conf,
               const struct dp_events *events, void *user, struct dp **ret)
{
    struct dp_sim *sim = need(calloc(1, sizeof(*sim)));

    sim->transport.ops = &sim_ops;
    sim->transport.kernel_records = sim_conf->kernel;
    sim->transport.kernel_rekey = sim_conf->kernel_rekey;
    sim->conf = *sim_conf;
    sim->random = sim_conf->seed;
    sim->by_slot = need(calloc(conf->max_legs, sizeof(struct dp_sim_peer *)));
    return dp_new(conf, events, user, &sim->transport, ret);
}

bool dp_sim_run(struct dp *dp, uint64_t until_ms)
{
    struct dp_sim *sim = sim_of(dp_transport_of(dp));
    uint64_t due_ms;

    for (;;) {
        bool timer = dp_timer_next(dp, &due_ms);
        bool event = sim->events_len > 0;
        if (!dp_busy(dp) && !timer && !event)
            return false;
        if (event && (!timer || sim->events[0].at_ms < due_ms))
            due_ms = sim->events[0].at_ms;
        if (!dp_busy(dp) && due_ms > until_ms) {
            if (until_ms > sim->now_ms)
                sim->now_ms = until_ms;
            dp_clock(dp);
            return true;
        }
        uint64_t left = until_ms > sim->now_ms ? until_ms - sim->now_ms : 0;
        if (dp_turn(dp, left > INT32_MAX ? INT32_MAX : (int64_t)left) != ERR_OK)
            return false;
    }
}

int dp_sim_listen(struct dp *dp, const union net_addr *local, unsigned listener)
{
    struct sim_place *place = place_at(sim_of(dp_transport_of(dp)), local, true);

    place->listens = true;
    place->listener = listener;
    return ERR_OK;
}

int dp_sim_serve(struct dp *dp, const union net_addr *address,
                 const struct dp_sim_peer_events *events, void *user)
{
    struct sim_place *place = place_at(sim_of(dp_transport_of(dp)), address, true);

    place->events = events;
    place->user = user;
    return ERR_OK;
}

int dp_sim_fail(struct dp *dp, const union net_addr *address, int error)
{
    place_at(sim_of(dp_transport_of(dp)), address, true)->error = error;
    return ERR_OK;
}

int dp_sim_slow(struct dp *dp, const union net_addr *address, uint32_t ms)
{
    place_at(sim_of(dp_transport_of(dp)), address, true)->slow_ms = ms;
    return ERR_OK;
}

struct dp_sim_peer *dp_sim_dial(struct dp *dp, const union net_addr *from, const union net_addr *to,
                                const struct dp_sim_peer_events *events, void *user)
{
    struct dp_sim *sim = sim_of(dp_transport_of(dp));
    const struct sim_place *place = place_at(sim, to, false);

    if (!place || !place->listens)
        return NULL;
    struct dp_sim_peer *peer = peer_new(sim, events, user);
    peer->listener = place->listener;
    peer->remote = *from;
    peer->local = *to;
    uint64_t at_ms = sim->now_ms + delay(sim);
    peer->up.last_ms = peer->down.last_ms = at_ms;
    sim_event_add(sim, at_ms, SIM_ACCEPTED, peer, 0);
    return peer;
}

void dp_sim_peer_send(struct dp_sim_peer *peer, const void *data, size_t len)
{
    if (peer->reset || peer->finish)
        return;
    ASSERT(buf_append(&peer->outbox, data, len) == ERR_OK);
    peer_push(peer);
}

void dp_sim_peer_finish(struct dp_sim_peer *peer)
{
    peer->finish = true;
    peer_push(peer);
}

void dp_sim_peer_reset(struct dp_sim_peer *peer)
{
    if (!peer->reset)
        pipe_event(peer->sim, &peer->up, SIM_RESET_UP, peer, 0);
}

void dp_sim_peer_hold(struct dp_sim_peer *peer, bool hold)
{
    peer->held = hold;
    if (!hold && !peer->reset) /* the rest of what has arrived comes with the next turn */
        sim_event_add(peer->sim, peer->sim->now_ms, SIM_ARRIVED_DOWN, peer, 0);
}
