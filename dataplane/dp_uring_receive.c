/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive and send of the io_uring transport. A receive takes its buffer from a ring of provided
 * buffers when its bytes are there, so an idle connection holds none.
 */
#include "dp_uring_priv.h"

#include <sys/mman.h>

enum {
    BUFFERS = 256, /* of DP_RECEIVE_BUFFER bytes; a power of two */
    BUFFER_GROUP = 0,
    RECORDS_MIN = 64 * 1024, /* a send of so many bytes is worth two */
};

static void buffer_give(struct dp_uring *u, unsigned id)
{
    io_uring_buf_ring_add(u->buffer_ring, u->buffers + (size_t)id * DP_RECEIVE_BUFFER,
                          DP_RECEIVE_BUFFER, (unsigned short)id, io_uring_buf_ring_mask(BUFFERS),
                          0);
    io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int dp_uring_buffers_make(struct dp_uring *u)
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

void dp_uring_buffers_free(struct dp_uring *u)
{
    if (u->buffer_ring)
        munmap(u->buffer_ring, BUFFERS * sizeof(struct io_uring_buf));
    if (u->buffers)
        munmap(u->buffers, (size_t)BUFFERS * DP_RECEIVE_BUFFER);
}

/* Most receives wait for an answer to what is only being sent: to try before there is a byte would
 * be work for nothing. Where the socket is known to hold more, it is tried at once; so it is where
 * the kernel opens records, as it calls nobody for a KeyUpdate that it has opened (Linux 6.14). */
static void poll_first(struct io_uring_sqe *sqe, const struct dp_uring_leg *leg)
{
    if (!leg->more_waits && !leg->kernel_rx)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

bool dp_uring_receive(struct dp_transport *t, uint32_t slot)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe)
        return false;
    io_uring_prep_recv(sqe, u->legs[slot].fd, NULL, 0, 0);
    poll_first(sqe, &u->legs[slot]);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    u->legs[slot].into = NULL;
    dp_uring_begin(u, sqe, OP_RECEIVE, slot);
    return true;
}

bool dp_uring_receive_into(struct dp_transport *t, uint32_t slot, void *room, size_t len)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe)
        return false;
    io_uring_prep_recv(sqe, u->legs[slot].fd, room, len, 0);
    poll_first(sqe, &u->legs[slot]);
    u->legs[slot].into = room;
    dp_uring_begin(u, sqe, OP_RECEIVE, slot);
    return true;
}

bool dp_uring_receive_cancel(struct dp_transport *t, uint32_t slot)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, dp_uring_name(OP_RECEIVE, slot, u->legs[slot].generation), 0);
    dp_uring_begin(u, sqe, OP_CANCEL, slot);
    return true;
}

/* The kernel gives TCP one record after the other, and TCP, which waits for nothing (TCP_NODELAY),
 * sends each in a segment of its own, unless it hears that more follows. So all whole records but
 * the last go first, and say that; the rest, of at least a byte, ends in a send that does not. */
static size_t records_first(const struct dp_uring_leg *leg, size_t len, int *ret_flags)
{
    if (!leg->kernel_tx || len < RECORDS_MIN)
        return len;
    *ret_flags |= MSG_MORE;
    return (len - 1) / TLS_PLAINTEXT_MAX * TLS_PLAINTEXT_MAX;
}

bool dp_uring_send(struct dp_transport *t, uint32_t slot, const struct iovec *pieces,
                   unsigned count)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_leg *leg = &u->legs[slot];
    struct io_uring_sqe *sqe = dp_uring_sqe(u);
    int flags = MSG_NOSIGNAL;

    if (!sqe)
        return false;
    if (count == 1) {
        size_t len = records_first(leg, pieces->iov_len, &flags);
        io_uring_prep_send(sqe, leg->fd, pieces->iov_base, len, flags);
    } else {
        leg->msg = (struct msghdr){.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, leg->fd, &leg->msg, (unsigned)flags);
    }
    dp_uring_begin(u, sqe, OP_SEND, slot);
    return true;
}

void dp_uring_receive_reap(struct dp_uring *u, uint32_t slot, const struct io_uring_cqe *cqe)
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
