/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring transport: kernel TCP through one ring, made and used by one thread. Everything
 * that a turn queued is handed over, and the next completion waited for, in one system call.
 * A receive takes its buffer from a ring of provided buffers when its bytes are there, so an idle
 * connection holds none. Completions name operation, slot and generation, never a pointer; a
 * socket is closed, and its slot given back, only after its operations are reaped.
 */
#include "dp_transport.h"

#include "assertion.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    SQ_ENTRIES = 512,
    CQ_ENTRIES = 8192,
    BUFFERS = 256, /* of DP_RECEIVE_BUFFER bytes; a power of two */
    BUFFER_GROUP = 0,
    REAP_BATCH = 64,
    REAP_MAX = 4096,       /* completions of one turn */
    ACCEPT_PAUSE_MS = 100, /* after an accept failed, as with too many open files */
};

enum op { OP_RECEIVE, OP_SEND, OP_CONNECT, OP_CANCEL, OP_ACCEPT, OP_WATCH, OP_IGNORE };

struct uring_leg {
    int fd;
    uint32_t generation;
    uint32_t next_closed;
    uint8_t ops; /* under way */
    bool closing, reset;
    bool more_waits; /* the last receive left bytes in the socket */
    uint8_t *into;   /* of a receive into the core's memory */
    struct msghdr msg;
    union net_addr to;
};

struct uring_listener {
    int fd; /* below 0: free */
    unsigned number;
    uint32_t generation;
    bool armed;
};

struct uring_watch {
    int fd; /* below 0: free */
    uint32_t generation;
    bool armed;
    void (*ready)(void *user, int fd);
    void *user;
};

struct uring {
    struct dp_transport transport;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    struct uring_leg *legs;
    uint32_t max_legs;
    uint32_t closed_head; /* legs without operations, to be closed */
    struct uring_listener *listeners;
    unsigned listeners_len;
    struct uring_watch *watches;
    unsigned watches_len;
    struct dp_timer accept_pause;
    bool accept_paused;
};

enum { NO_SLOT = UINT32_MAX };

static struct uring *of(struct dp_transport *t)
{
    return (struct uring *)t;
}

static uint64_t name_of(enum op op, uint32_t slot, uint32_t generation)
{
    return (uint64_t)op << 56 | (uint64_t)slot << 32 | generation;
}

/* A full ring is handed over early, which empties it. */
static struct io_uring_sqe *sqe_get(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (!sqe) {
        u->transport.submits++;
        if (io_uring_submit(&u->ring) >= 0)
            sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

static void op_begin(struct uring *u, struct io_uring_sqe *sqe, enum op op, uint32_t slot)
{
    struct uring_leg *leg = &u->legs[slot];

    io_uring_sqe_set_data64(sqe, name_of(op, slot, leg->generation));
    leg->ops++;
}

static void uring_clock(struct dp_transport *t, uint64_t *ret_now_ms, uint64_t *ret_wall_us)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    *ret_now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret_wall_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Receive and send. */

/* Most receives wait for an answer to what is only being sent: to try before there is a byte would
 * be work for nothing. Where the socket is known to hold more, it is tried at once. */
static void poll_first(struct io_uring_sqe *sqe, const struct uring_leg *leg)
{
    if (!leg->more_waits)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static bool uring_receive(struct dp_transport *t, uint32_t slot)
{
    struct uring *u = of(t);
    struct io_uring_sqe *sqe = sqe_get(u);

    if (!sqe)
        return false;
    io_uring_prep_recv(sqe, u->legs[slot].fd, NULL, 0, 0);
    poll_first(sqe, &u->legs[slot]);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    u->legs[slot].into = NULL;
    op_begin(u, sqe, OP_RECEIVE, slot);
    return true;
}

static bool uring_receive_into(struct dp_transport *t, uint32_t slot, void *room, size_t len)
{
    struct uring *u = of(t);
    struct io_uring_sqe *sqe = sqe_get(u);

    if (!sqe)
        return false;
    io_uring_prep_recv(sqe, u->legs[slot].fd, room, len, 0);
    poll_first(sqe, &u->legs[slot]);
    u->legs[slot].into = room;
    op_begin(u, sqe, OP_RECEIVE, slot);
    return true;
}

static bool uring_receive_cancel(struct dp_transport *t, uint32_t slot)
{
    struct uring *u = of(t);
    struct io_uring_sqe *sqe = sqe_get(u);

    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, name_of(OP_RECEIVE, slot, u->legs[slot].generation), 0);
    op_begin(u, sqe, OP_CANCEL, slot);
    return true;
}

static bool uring_send(struct dp_transport *t, uint32_t slot, const struct iovec *pieces,
                       unsigned count)
{
    struct uring *u = of(t);
    struct uring_leg *leg = &u->legs[slot];
    struct io_uring_sqe *sqe = sqe_get(u);

    if (!sqe)
        return false;
    if (count == 1) {
        io_uring_prep_send(sqe, leg->fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
    } else {
        leg->msg = (struct msghdr){.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, leg->fd, &leg->msg, MSG_NOSIGNAL);
    }
    op_begin(u, sqe, OP_SEND, slot);
    return true;
}

static void buffer_give(struct uring *u, unsigned id)
{
    io_uring_buf_ring_add(u->buffer_ring, u->buffers + (size_t)id * DP_RECEIVE_BUFFER,
                          DP_RECEIVE_BUFFER, (unsigned short)id, io_uring_buf_ring_mask(BUFFERS),
                          0);
    io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static void reap_receive(struct uring *u, uint32_t slot, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        dp_leg_received(u->transport.dp, slot, u->buffers + (size_t)id * DP_RECEIVE_BUFFER,
                        cqe->res);
        buffer_give(u, id);
    } else {
        dp_leg_received(u->transport.dp, slot, u->legs[slot].into, cqe->res);
    }
}

/* Connect, shut down, close. */

static int socket_for(const union net_addr *to, const union net_addr *source, int *ret_fd)
{
    const int on = 1;
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (source) {
        /* The port is chosen at connect, so that one source serves many destinations. */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, &source->any, net_addr_len(source)) != 0) {
            int error = errno;
            close(fd);
            return error;
        }
    }
    *ret_fd = fd;
    return 0;
}

static void leg_open(struct uring *u, uint32_t slot, int fd)
{
    uint32_t generation = u->legs[slot].generation + 1;

    u->legs[slot] = (struct uring_leg){.fd = fd, .generation = generation, .next_closed = NO_SLOT};
}

static int uring_connect(struct dp_transport *t, uint32_t slot, const union net_addr *to,
                         const union net_addr *source)
{
    struct uring *u = of(t);
    int fd = -1, error = socket_for(to, source, &fd);

    if (error != 0)
        return error;
    struct io_uring_sqe *sqe = sqe_get(u);
    if (!sqe) {
        close(fd);
        return EAGAIN;
    }
    leg_open(u, slot, fd);
    u->legs[slot].to = *to;
    io_uring_prep_connect(sqe, fd, &u->legs[slot].to.any, net_addr_len(to));
    op_begin(u, sqe, OP_CONNECT, slot);
    return 0;
}

static void uring_shutdown(struct dp_transport *t, uint32_t slot)
{
    shutdown(of(t)->legs[slot].fd, SHUT_WR);
}

static void leg_closed_later(struct uring *u, uint32_t slot)
{
    u->legs[slot].next_closed = u->closed_head;
    u->closed_head = slot;
}

static bool uring_close(struct dp_transport *t, uint32_t slot, bool reset)
{
    struct uring *u = of(t);
    struct uring_leg *leg = &u->legs[slot];

    leg->reset = reset;
    if (leg->ops > 0) {
        struct io_uring_sqe *sqe = sqe_get(u);
        if (!sqe)
            return false;
        io_uring_prep_cancel_fd(sqe, leg->fd, IORING_ASYNC_CANCEL_ALL);
        op_begin(u, sqe, OP_CANCEL, slot);
    } else {
        leg_closed_later(u, slot);
    }
    leg->closing = true;
    return true;
}

static void close_reaped(struct uring *u)
{
    while (u->closed_head != NO_SLOT) {
        uint32_t slot = u->closed_head;
        struct uring_leg *leg = &u->legs[slot];
        u->closed_head = leg->next_closed;
        if (leg->reset) {
            const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
            setsockopt(leg->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        }
        close(leg->fd);
        leg->fd = -1;
        dp_leg_closed(u->transport.dp, slot);
    }
}

/* Listen. */

static int uring_listen(struct dp_transport *t, int fd, unsigned number)
{
    struct uring *u = of(t);
    const int on = 1;
    unsigned i = 0;

    while (i < u->listeners_len && u->listeners[i].fd >= 0)
        i++;
    if (i == u->listeners_len) {
        struct uring_listener *grown = realloc(u->listeners, (i + 1) * sizeof(*u->listeners));
        if (!grown)
            return ERR_NOMEM;
        u->listeners = grown;
        u->listeners[i] = (struct uring_listener){.fd = -1};
        u->listeners_len++;
    }
    /* Accepted sockets inherit this one. A non-blocking listener would make the ring report EAGAIN
     * instead of waiting. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
        return ERR_SYSTEM;
    u->listeners[i] = (struct uring_listener){
        .fd = fd, .number = number, .generation = u->listeners[i].generation + 1};
    return ERR_OK;
}

static void cancel_by_name(struct uring *u, uint64_t name)
{
    struct io_uring_sqe *sqe = sqe_get(u);

    if (!sqe)
        return;
    io_uring_prep_cancel64(sqe, name, 0);
    io_uring_sqe_set_data64(sqe, name_of(OP_IGNORE, 0, 0));
}

static int uring_unlisten(struct dp_transport *t, unsigned number)
{
    struct uring *u = of(t);
    int err = ERR_NOTFOUND;

    for (unsigned i = 0; i < u->listeners_len; i++) {
        struct uring_listener *listener = &u->listeners[i];
        if (listener->fd < 0 || listener->number != number)
            continue;
        if (listener->armed)
            cancel_by_name(u, name_of(OP_ACCEPT, i, listener->generation));
        listener->fd = -1;
        listener->armed = false;
        err = ERR_OK;
    }
    return err;
}

static void accept_arm(struct uring *u)
{
    for (unsigned i = 0; i < u->listeners_len && !u->accept_paused; i++) {
        struct uring_listener *listener = &u->listeners[i];
        struct io_uring_sqe *sqe;
        if (listener->fd < 0 || listener->armed || !(sqe = sqe_get(u)))
            continue;
        io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
        io_uring_sqe_set_data64(sqe, name_of(OP_ACCEPT, i, listener->generation));
        listener->armed = true;
    }
}

static void accept_again(void *user, struct dp_timer *timer)
{
    struct uring *u = user;

    u->accept_paused = false;
}

static void accepted(struct uring *u, unsigned number, int fd)
{
    union net_addr peer, local;
    socklen_t peer_len = sizeof(peer), local_len = sizeof(local);
    uint32_t slot;

    if (getpeername(fd, &peer.any, &peer_len) != 0 ||
        getsockname(fd, &local.any, &local_len) != 0 ||
        dp_leg_take(u->transport.dp, &slot) != ERR_OK) {
        close(fd);
        return;
    }
    net_addr_unmap(&peer);
    net_addr_unmap(&local);
    leg_open(u, slot, fd);
    dp_leg_accepted(u->transport.dp, slot, number, &peer, &local);
}

static void reap_accept(struct uring *u, unsigned i, uint32_t generation,
                        const struct io_uring_cqe *cqe)
{
    struct uring_listener *listener = &u->listeners[i];
    /* Taken just before dp_unlisten: the client must not lose it. */
    bool ours = listener->generation == generation;
    bool current = ours && listener->fd >= 0;

    if (current && !(cqe->flags & IORING_CQE_F_MORE))
        listener->armed = false;
    if (cqe->res >= 0) {
        if (ours)
            accepted(u, listener->number, cqe->res);
        else
            close(cqe->res);
        return;
    }
    bool passing = cqe->res == -ECONNABORTED || cqe->res == -EINTR || cqe->res == -ECANCELED;
    if (current && !passing) {
        u->accept_pause = (struct dp_timer){.fire = accept_again,
                                            .user = u,
                                            .due_ms = u->accept_pause.due_ms,
                                            .heap_place = u->accept_pause.heap_place};
        u->accept_paused =
            dp_timer_start(u->transport.dp, &u->accept_pause, ACCEPT_PAUSE_MS) == ERR_OK;
    }
}

/* Watched descriptors: asked for again after each report, so that unread bytes are reported. */

static int uring_watch(struct dp_transport *t, int fd, void (*ready)(void *user, int fd),
                       void *user)
{
    struct uring *u = of(t);
    unsigned i = 0;

    while (i < u->watches_len && u->watches[i].fd >= 0)
        i++;
    if (i == u->watches_len) {
        struct uring_watch *grown = realloc(u->watches, (i + 1) * sizeof(*u->watches));
        if (!grown)
            return ERR_NOMEM;
        u->watches = grown;
        u->watches[i] = (struct uring_watch){.fd = -1};
        u->watches_len++;
    }
    u->watches[i] = (struct uring_watch){
        .fd = fd, .ready = ready, .user = user, .generation = u->watches[i].generation + 1};
    return ERR_OK;
}

static void uring_unwatch(struct dp_transport *t, int fd)
{
    struct uring *u = of(t);

    for (unsigned i = 0; i < u->watches_len; i++) {
        struct uring_watch *watch = &u->watches[i];
        if (watch->fd != fd)
            continue;
        if (watch->armed)
            cancel_by_name(u, name_of(OP_WATCH, i, watch->generation));
        watch->fd = -1;
        watch->armed = false;
    }
}

static void watch_arm(struct uring *u)
{
    for (unsigned i = 0; i < u->watches_len; i++) {
        struct uring_watch *watch = &u->watches[i];
        struct io_uring_sqe *sqe;
        if (watch->fd < 0 || watch->armed || !(sqe = sqe_get(u)))
            continue;
        io_uring_prep_poll_add(sqe, watch->fd, POLLIN);
        io_uring_sqe_set_data64(sqe, name_of(OP_WATCH, i, watch->generation));
        watch->armed = true;
    }
}

static void reap_watch(struct uring *u, unsigned i, uint32_t generation)
{
    struct uring_watch *watch = &u->watches[i];

    if (watch->fd < 0 || watch->generation != generation)
        return;
    watch->armed = false;
    watch->ready(watch->user, watch->fd);
}

/* The turn. */

static void reap_leg(struct uring *u, enum op op, uint32_t slot, uint32_t generation,
                     const struct io_uring_cqe *cqe)
{
    struct uring_leg *leg = &u->legs[slot];

    ASSERT(leg->generation == generation && leg->ops > 0);
    leg->ops--;
    if (op == OP_RECEIVE) {
        leg->more_waits = cqe->flags & IORING_CQE_F_SOCK_NONEMPTY;
        reap_receive(u, slot, cqe);
    } else if (op == OP_SEND)
        dp_leg_sent(u->transport.dp, slot, cqe->res);
    else if (op == OP_CONNECT)
        dp_leg_connected(u->transport.dp, slot, cqe->res < 0 ? -cqe->res : 0);
    if (leg->closing && leg->ops == 0)
        leg_closed_later(u, slot);
}

static void reap(struct uring *u, const struct io_uring_cqe *cqe)
{
    enum op op = (enum op)(cqe->user_data >> 56);
    uint32_t slot = (uint32_t)(cqe->user_data >> 32) & 0xffffff;
    uint32_t generation = (uint32_t)cqe->user_data;

    switch (op) {
    case OP_ACCEPT:
        reap_accept(u, slot, generation, cqe);
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
        reap_leg(u, op, slot, generation, cqe);
        return;
    }
}

static void reap_all(struct uring *u)
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
    struct uring *u = of(t);
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {.tv_sec = wait_ms / 1000,
                                      .tv_nsec = wait_ms % 1000 * 1000000};
    int result;

    close_reaped(u);
    accept_arm(u);
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
    struct uring *u = of(t);
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
        if (u->legs[slot].generation > 0 && u->legs[slot].fd >= 0)
            close(u->legs[slot].fd);
    }
    if (u->buffer_ring)
        munmap(u->buffer_ring, BUFFERS * sizeof(struct io_uring_buf));
    if (u->buffers)
        munmap(u->buffers, (size_t)BUFFERS * DP_RECEIVE_BUFFER);
    free(u->listeners);
    free(u->watches);
    free(u->legs);
    free(u);
}

static const struct dp_transport_ops uring_ops = {
    .clock = uring_clock,
    .turn = uring_turn,
    .listen = uring_listen,
    .unlisten = uring_unlisten,
    .connect = uring_connect,
    .receive = uring_receive,
    .receive_into = uring_receive_into,
    .receive_cancel = uring_receive_cancel,
    .send = uring_send,
    .shutdown = uring_shutdown,
    .close = uring_close,
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
 * From here on the ring does what this file does, and nothing else: seccomp does not see a ring's
 * operations, so without this a worker that was taken over could open files through it.
 */
static int ring_restrict(struct io_uring *ring)
{
    static const uint8_t operations[] = {
        IORING_OP_RECV,   IORING_OP_SEND,         IORING_OP_SENDMSG,  IORING_OP_CONNECT,
        IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD,
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
    rules[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                                                   .sqe_flags = IOSQE_BUFFER_SELECT};
    /* The raw call: liburing 2.3 declares functions for both, and exports neither. */
    unsigned fd = (unsigned)ring->ring_fd;
    if (io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, rules, count) != 0 ||
        io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0)
        return ERR_SYSTEM;
    return ERR_OK;
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int buffers_make(struct uring *u)
{
    u->buffers = map((size_t)BUFFERS * DP_RECEIVE_BUFFER);
    u->buffer_ring = map(BUFFERS * sizeof(struct io_uring_buf));
    if (!u->buffers || !u->buffer_ring)
        return ERR_NOMEM;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)u->buffer_ring,
                                   .ring_entries = BUFFERS,
                                   .bgid = BUFFER_GROUP};
    if (io_uring_register_buf_ring(&u->ring, &reg, 0) != 0)
        return ERR_UNSUPPORTED;
    io_uring_buf_ring_init(u->buffer_ring);
    for (unsigned id = 0; id < BUFFERS; id++)
        buffer_give(u, id);
    return ERR_OK;
}

int dp_uring_new(const struct dp_conf *conf, const struct dp_events *events, void *user,
                 struct dp **ret)
{
    struct uring *u = calloc(1, sizeof(*u));

    *ret = NULL;
    if (!u)
        return ERR_NOMEM;
    u->transport.ops = &uring_ops;
    u->max_legs = conf->max_legs;
    u->closed_head = NO_SLOT;
    int err = ring_make(&u->ring);
    if (err != ERR_OK) {
        free(u);
        return err;
    }
    u->legs = calloc(conf->max_legs, sizeof(*u->legs));
    err = u->legs ? buffers_make(u) : ERR_NOMEM;
    if (err == ERR_OK)
        err = ring_restrict(&u->ring);
    if (err != ERR_OK) {
        uring_free(&u->transport);
        return err;
    }
    return dp_new(conf, events, user, &u->transport, ret);
}
