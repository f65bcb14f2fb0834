/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring transport: kernel TCP through one ring, made and used by one thread. Everything
 * that a turn queued is handed over, and the next completion waited for, in one system call.
 * Completions name operation, slot and generation, never a pointer.
 */
#include "dp_uring_priv.h"

#include "assertion.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    SQ_ENTRIES = 512,
    CQ_ENTRIES = 8192,
    REAP_BATCH = 64,
    REAP_MAX = 4096, /* completions of one turn */
};

/* A full ring is handed over early, which empties it. */
struct io_uring_sqe *dp_uring_sqe(struct dp_uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (!sqe) {
        u->transport.submits++;
        if (io_uring_submit(&u->ring) >= 0)
            sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

void dp_uring_begin(struct dp_uring *u, struct io_uring_sqe *sqe, enum dp_uring_op op,
                    uint32_t slot)
{
    struct dp_uring_leg *leg = &u->legs[slot];

    io_uring_sqe_set_data64(sqe, dp_uring_name(op, slot, leg->generation));
    leg->ops++;
}

void dp_uring_cancel(struct dp_uring *u, uint64_t name)
{
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe)
        return;
    io_uring_prep_cancel64(sqe, name, 0);
    io_uring_sqe_set_data64(sqe, dp_uring_name(OP_IGNORE, 0, 0));
}

static void uring_clock(struct dp_transport *t, uint64_t *ret_now_ms, uint64_t *ret_wall_us)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    *ret_now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_wall_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Watched descriptors: asked for again after each report, so that unread bytes are reported. */

static int uring_watch(struct dp_transport *t, int fd, void (*ready)(void *user, int fd),
                       void *user)
{
    struct dp_uring *u = dp_uring_of(t);
    unsigned i = 0;

    while (i < u->watches_len && u->watches[i].fd >= 0)
        i++;
    if (i == u->watches_len) {
        struct dp_uring_watch *grown = realloc(u->watches, (i + 1) * sizeof(*u->watches));
        if (!grown)
            return ERR_NOMEM;
        u->watches = grown;
        u->watches[i] = (struct dp_uring_watch){.fd = -1};
        u->watches_len++;
    }
    u->watches[i] = (struct dp_uring_watch){
        .fd = fd, .ready = ready, .user = user, .generation = u->watches[i].generation + 1};
    return ERR_OK;
}

static void uring_unwatch(struct dp_transport *t, int fd)
{
    struct dp_uring *u = dp_uring_of(t);

    for (unsigned i = 0; i < u->watches_len; i++) {
        struct dp_uring_watch *watch = &u->watches[i];
        if (watch->fd != fd)
            continue;
        if (watch->armed)
            dp_uring_cancel(u, dp_uring_name(OP_WATCH, i, watch->generation));
        watch->fd = -1;
        watch->armed = false;
    }
}

static void watch_arm(struct dp_uring *u)
{
    for (unsigned i = 0; i < u->watches_len; i++) {
        struct dp_uring_watch *watch = &u->watches[i];
        struct io_uring_sqe *sqe;
        if (watch->fd < 0 || watch->armed || !(sqe = dp_uring_sqe(u)))
            continue;
        io_uring_prep_poll_add(sqe, watch->fd, POLLIN);
        io_uring_sqe_set_data64(sqe, dp_uring_name(OP_WATCH, i, watch->generation));
        watch->armed = true;
    }
}

static void reap_watch(struct dp_uring *u, unsigned i, uint32_t generation)
{
    struct dp_uring_watch *watch = &u->watches[i];

    if (watch->fd < 0 || watch->generation != generation)
        return;
    watch->armed = false;
    watch->ready(watch->user, watch->fd);
}

/* The turn. */

static void reap_leg(struct dp_uring *u, enum dp_uring_op op, uint32_t slot, uint32_t generation,
                     const struct io_uring_cqe *cqe)
{
    struct dp_uring_leg *leg = &u->legs[slot];

    ASSERT(leg->generation == generation && leg->ops > 0);
    leg->ops--;
    if (op == OP_RECEIVE) {
        leg->more_waits = cqe->flags & IORING_CQE_F_SOCK_NONEMPTY;
        dp_uring_receive_reap(u, slot, cqe);
    } else if (op == OP_SEND) {
        dp_uring_record_free(leg);
        dp_leg_sent(u->transport.dp, slot, cqe->res);
    } else if (op == OP_POLL_IN || op == OP_POLL_OUT)
        dp_leg_polled(u->transport.dp, slot, op == OP_POLL_IN ? DP_POLL_IN : DP_POLL_OUT);
    else if (op == OP_CONNECT)
        dp_leg_connected(u->transport.dp, slot, cqe->res < 0 ? -cqe->res : 0);
    if (leg->closing && leg->ops == 0)
        dp_uring_close_later(u, slot);
}

static void reap(struct dp_uring *u, const struct io_uring_cqe *cqe)
{
    enum dp_uring_op op = (enum dp_uring_op)(cqe->user_data >> 56);
    uint32_t slot = (uint32_t)(cqe->user_data >> 32) & 0xffffff;
    uint32_t generation = (uint32_t)cqe->user_data;

    switch (op) {
    case OP_ACCEPT:
        dp_uring_accept_reap(u, slot, generation, cqe);
        return;
    case OP_WATCH:
        reap_watch(u, slot, generation);
        return;
    case OP_IGNORE:
        return;
    case OP_RECEIVE:
    case OP_SEND:
    case OP_CONNECT:
    case OP_CANCEL:
    case OP_POLL_IN:
    case OP_POLL_OUT:
        reap_leg(u, op, slot, generation, cqe);
        return;
    }
}

static void reap_all(struct dp_uring *u)
{
    struct io_uring_cqe *cqes[REAP_BATCH];
    unsigned reaped = 0;

    while (reaped < REAP_MAX) {
        unsigned count = io_uring_peek_batch_cqe(&u->ring, cqes, REAP_BATCH);
        if (count == 0)
            return;
        for (unsigned i = 0; i < count; i++)
            reap(u, cqes[i]);
        io_uring_cq_advance(&u->ring, count);
        reaped += count;
    }
}

static int uring_turn(struct dp_transport *t, int64_t wait_ms)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {.tv_sec = wait_ms / 1000,
                                      .tv_nsec = wait_ms % 1000 * 1000000};
    int result;

    dp_uring_close_reaped(u);
    dp_uring_accept_arm(u);
    watch_arm(u);
    t->submits++;
    if (wait_ms == 0 || io_uring_cq_ready(&u->ring) > 0)
        result = io_uring_submit_and_get_events(&u->ring);
    else
        result =
            io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, wait_ms < 0 ? NULL : &limit, NULL);
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY && result != -EAGAIN)
        return ERR_SYSTEM;
    dp_clock(t->dp);
    reap_all(u);
    return ERR_OK;
}

static void uring_free(struct dp_transport *t)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_sync_cancel_reg all = {
        .fd = -1,
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        .timeout = {.tv_sec = -1, .tv_nsec = -1},
    };

    if (t->dp)
        dp_timer_stop(t->dp, &u->accept_pause);
    /* Nothing may still write into memory that goes away now. */
    io_uring_register_sync_cancel(&u->ring, &all);
    io_uring_queue_exit(&u->ring);
    for (uint32_t slot = 0; u->legs && slot < u->max_legs; slot++) {
        if (u->legs[slot].generation == 0 || u->legs[slot].fd < 0)
            continue;
        dp_uring_record_free(&u->legs[slot]);
        dp_uring_pipe_give(t, slot);
        close(u->legs[slot].fd);
    }
    dp_uring_pipes_free(u);
    dp_uring_buffers_free(u);
    free(u->listeners);
    free(u->watches);
    free(u->legs);
    free(u);
}

static const struct dp_transport_ops uring_ops = {
    .clock = uring_clock,
    .turn = uring_turn,
    .listen = dp_uring_listen,
    .unlisten = dp_uring_unlisten,
    .connect = dp_uring_connect,
    .receive = dp_uring_receive,
    .receive_into = dp_uring_receive_into,
    .receive_cancel = dp_uring_receive_cancel,
    .send = dp_uring_send,
    .shutdown = dp_uring_shutdown,
    .close = dp_uring_close,
    .kernel_attach = dp_uring_kernel_attach,
    .kernel_keys = dp_uring_kernel_keys,
    .kernel_sequence = dp_uring_kernel_sequence,
    .send_record = dp_uring_send_record,
    .receive_record = dp_uring_receive_record,
    .clear_error = dp_uring_clear_error,
    .pipe_take = dp_uring_pipe_take,
    .pipe_give = dp_uring_pipe_give,
    .splice_in = dp_uring_splice_in,
    .splice_out = dp_uring_splice_out,
    .poll = dp_uring_poll,
    .watch = uring_watch,
    .unwatch = uring_unwatch,
    .free = uring_free,
};

/* The best set-up that the kernel has: completions are worked on only when we ask (6.1), without
 * interrupting us (5.19), or as they come. */
static int ring_make(struct io_uring *ring)
{
    static const unsigned setups[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int result = -EINVAL;

    for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]) && result == -EINVAL; i++) {
        struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                                                  IORING_SETUP_R_DISABLED | setups[i],
                                         .cq_entries = CQ_ENTRIES};
        result = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    }
    if (result < 0)
        return ERR_SYSTEM;
    io_uring_register_ring_fd(ring); /* saves a look-up a call; works without, too */
    return ERR_OK;
}

/*
 * From here on the ring does what the dp_uring files do, and nothing else: seccomp does not see a
 * ring's operations, so without this a worker that was taken over could open files through it.
 */
static int ring_restrict(struct io_uring *ring)
{
    static const uint8_t operations[] = {
        IORING_OP_RECV,   IORING_OP_SEND,         IORING_OP_SENDMSG,  IORING_OP_CONNECT,
        IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD, IORING_OP_CLOSE,
    };
    static const uint8_t registers[] = {IORING_REGISTER_SYNC_CANCEL, IORING_UNREGISTER_RING_FDS};
    struct io_uring_restriction rules[sizeof(operations) + sizeof(registers) + 1] = {0};
    unsigned count = 0;

    for (size_t i = 0; i < sizeof(operations); i++)
        rules[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
                                                       .sqe_op = operations[i]};
    for (size_t i = 0; i < sizeof(registers); i++)
        rules[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_REGISTER_OP,
                                                       .register_op = registers[i]};
    rules[count++] =
        (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                                      .sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS};
    /* The raw call: liburing 2.3 declares functions for both, and exports neither. */
    unsigned fd = (unsigned)ring->ring_fd;
    if (io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, rules, count) != 0 ||
        io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0)
        return ERR_SYSTEM;
    return ERR_OK;
}

int dp_uring_new(const struct dp_conf *conf, const struct dp_events *events, void *user,
                 struct dp **ret)
{
    struct dp_uring *u = calloc(1, sizeof(*u));

    *ret = NULL;
    if (!u)
        return ERR_NOMEM;
    u->transport.ops = &uring_ops;
    u->max_legs = conf->max_legs;
    u->closed_head = DP_URING_NO_SLOT;
    int err = ring_make(&u->ring);
    if (err != ERR_OK) {
        free(u);
        return err;
    }
    u->legs = calloc(conf->max_legs, sizeof(*u->legs));
    err = u->legs ? dp_uring_buffers_make(u) : ERR_NOMEM;
    if (conf->kernel_rx.on || conf->kernel_tx.on)
        dp_uring_kernel_probe(u);
    if (err == ERR_OK)
        err = ring_restrict(&u->ring);
    if (err != ERR_OK) {
        uring_free(&u->transport);
        return err;
    }
    return dp_new(conf, events, user, &u->transport, ret);
}
