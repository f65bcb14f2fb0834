/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the io_uring transport: a listener is one multishot accept; a socket is closed, and
 * its slot given back, only after its operations are reaped.
 */
#include "dp_uring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACCEPT_PAUSE_MS = 100 }; /* after an accept failed, as with too many open files */

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

static void leg_open(struct dp_uring *u, uint32_t slot, int fd)
{
    uint32_t generation = u->legs[slot].generation + 1;

    u->legs[slot] =
        (struct dp_uring_leg){.fd = fd, .generation = generation, .next_closed = DP_URING_NO_SLOT};
}

int dp_uring_connect(struct dp_transport *t, uint32_t slot, const union net_addr *to,
                     const union net_addr *source)
{
    struct dp_uring *u = dp_uring_of(t);
    int fd = -1, error = socket_for(to, source, &fd);

    if (error != 0)
        return error;
    struct io_uring_sqe *sqe = dp_uring_sqe(u);
    if (!sqe) {
        close(fd);
        return EAGAIN;
    }
    leg_open(u, slot, fd);
    u->legs[slot].to = *to;
    io_uring_prep_connect(sqe, fd, &u->legs[slot].to.any, net_addr_len(to));
    dp_uring_begin(u, sqe, OP_CONNECT, slot);
    return 0;
}

void dp_uring_shutdown(struct dp_transport *t, uint32_t slot)
{
    shutdown(dp_uring_of(t)->legs[slot].fd, SHUT_WR);
}

void dp_uring_close_later(struct dp_uring *u, uint32_t slot)
{
    u->legs[slot].next_closed = u->closed_head;
    u->closed_head = slot;
}

bool dp_uring_close(struct dp_transport *t, uint32_t slot, bool reset)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_leg *leg = &u->legs[slot];

    leg->reset = reset;
    if (leg->ops > 0) {
        struct io_uring_sqe *sqe = dp_uring_sqe(u);
        if (!sqe)
            return false;
        io_uring_prep_cancel_fd(sqe, leg->fd, IORING_ASYNC_CANCEL_ALL);
        dp_uring_begin(u, sqe, OP_CANCEL, slot);
    } else {
        dp_uring_close_later(u, slot);
    }
    leg->closing = true;
    return true;
}

/* Done in this turn's hand-over, and so without a call of its own: the slot is free at once, since
 * what takes it next gets another descriptor. */
static void hand_close(struct dp_uring *u, int fd)
{
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe) {
        close(fd);
        return;
    }
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, dp_uring_name(OP_IGNORE, 0, 0));
}

void dp_uring_close_reaped(struct dp_uring *u)
{
    while (u->closed_head != DP_URING_NO_SLOT) {
        uint32_t slot = u->closed_head;
        struct dp_uring_leg *leg = &u->legs[slot];
        u->closed_head = leg->next_closed;
        if (leg->reset) {
            const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
            setsockopt(leg->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        }
        dp_uring_pipe_give(&u->transport, slot);
        hand_close(u, leg->fd);
        leg->fd = -1;
        dp_leg_closed(u->transport.dp, slot);
    }
}

/* Listen. */

/* False: bound to all addresses, or not known. */
static bool one_address(int fd, union net_addr *ret)
{
    socklen_t len = sizeof(*ret);

    if (getsockname(fd, &ret->any, &len) != 0)
        return false;
    return ret->any.sa_family == AF_INET6 ? !IN6_IS_ADDR_UNSPECIFIED(&ret->v6.sin6_addr)
                                          : ret->v4.sin_addr.s_addr != htonl(INADDR_ANY);
}

int dp_uring_listen(struct dp_transport *t, int fd, unsigned number)
{
    struct dp_uring *u = dp_uring_of(t);
    const int on = 1;
    unsigned i = 0;

    while (i < u->listeners_len && u->listeners[i].fd >= 0)
        i++;
    if (i == u->listeners_len) {
        struct dp_uring_listener *grown = realloc(u->listeners, (i + 1) * sizeof(*u->listeners));
        if (!grown)
            return ERR_NOMEM;
        u->listeners = grown;
        u->listeners[i] = (struct dp_uring_listener){.fd = -1};
        u->listeners_len++;
    }
    /* Accepted sockets inherit this one. A non-blocking listener would make the ring report EAGAIN
     * instead of waiting. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
        return ERR_SYSTEM;
    u->listeners[i] = (struct dp_uring_listener){
        .fd = fd, .number = number, .generation = u->listeners[i].generation + 1};
    u->listeners[i].local_known = one_address(fd, &u->listeners[i].local);
    return ERR_OK;
}

int dp_uring_unlisten(struct dp_transport *t, unsigned number)
{
    struct dp_uring *u = dp_uring_of(t);
    int err = ERR_NOTFOUND;

    for (unsigned i = 0; i < u->listeners_len; i++) {
        struct dp_uring_listener *listener = &u->listeners[i];
        if (listener->fd < 0 || listener->number != number)
            continue;
        if (listener->armed)
            dp_uring_cancel(u, dp_uring_name(OP_ACCEPT, i, listener->generation));
        listener->fd = -1;
        listener->armed = false;
        err = ERR_OK;
    }
    return err;
}

void dp_uring_accept_arm(struct dp_uring *u)
{
    for (unsigned i = 0; i < u->listeners_len && !u->accept_paused; i++) {
        struct dp_uring_listener *listener = &u->listeners[i];
        struct io_uring_sqe *sqe;
        if (listener->fd < 0 || listener->armed || !(sqe = dp_uring_sqe(u)))
            continue;
        io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
        io_uring_sqe_set_data64(sqe, dp_uring_name(OP_ACCEPT, i, listener->generation));
        listener->armed = true;
    }
}

static void accept_again(void *user, struct dp_timer *timer)
{
    struct dp_uring *u = user;

    u->accept_paused = false;
}

/* A multishot accept can't tell them. */
static bool addresses(const struct dp_uring_listener *listener, int fd, union net_addr *ret_peer,
                      union net_addr *ret_local)
{
    socklen_t len = sizeof(*ret_peer);

    if (getpeername(fd, &ret_peer->any, &len) != 0)
        return false;
    len = sizeof(*ret_local);
    *ret_local = listener->local;
    return listener->local_known || getsockname(fd, &ret_local->any, &len) == 0;
}

static void accepted(struct dp_uring *u, const struct dp_uring_listener *listener, int fd)
{
    unsigned number = listener->number;
    union net_addr peer, local;
    uint32_t slot;

    if (!addresses(listener, fd, &peer, &local) || dp_leg_take(u->transport.dp, &slot) != ERR_OK) {
        close(fd);
        return;
    }
    net_addr_unmap(&peer);
    net_addr_unmap(&local);
    leg_open(u, slot, fd);
    dp_leg_accepted(u->transport.dp, slot, number, &peer, &local);
}

void dp_uring_accept_reap(struct dp_uring *u, unsigned i, uint32_t generation,
                          const struct io_uring_cqe *cqe)
{
    struct dp_uring_listener *listener = &u->listeners[i];
    /* Taken just before dp_unlisten: the client must not lose it. */
    bool ours = listener->generation == generation;
    bool current = ours && listener->fd >= 0;

    if (current && !(cqe->flags & IORING_CQE_F_MORE))
        listener->armed = false;
    if (cqe->res >= 0) {
        if (ours)
            accepted(u, listener, cqe->res);
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
