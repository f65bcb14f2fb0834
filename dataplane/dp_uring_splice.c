/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splice between the ring's sockets, and the pipes for it. Plain system calls that never wait: the
 * ring would hand a splice to a thread of its own.
 */
#include "dp_uring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    PIPE_SIZE = 256 * 1024, /* asked for; the kernel may give less */
    PIPES_MAX = 64,         /* under way at a time */
    PIPES_KEPT = 8,
    /* Of a pipe, for one record: pages that the kernel opened it into, and some to spare. */
    RECORD_SLOTS = 8,
};

struct dp_uring_pipe {
    struct dp_uring_pipe *next;
    int ends[2];
    size_t size, held;
    size_t page, slots; /* slots: at most so many of size / page are in use */
};

static void pipe_free(struct dp_uring_pipe *p)
{
    close(p->ends[0]);
    close(p->ends[1]);
    free(p);
}

static struct dp_uring_pipe *pipe_new(void)
{
    struct dp_uring_pipe *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    if (pipe2(p->ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        free(p);
        return NULL;
    }
    int size = fcntl(p->ends[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (size <= 0) /* over what one user may have */
        size = fcntl(p->ends[1], F_GETPIPE_SZ);
    p->page = (size_t)sysconf(_SC_PAGESIZE);
    p->size = size > 0 ? (size_t)size : 0;
    if (p->size / p->page < RECORD_SLOTS) {
        pipe_free(p);
        return NULL;
    }
    return p;
}

int dp_uring_pipe_take(struct dp_transport *t, uint32_t slot)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_pipe *p = u->pipes_free;

    if (p) {
        u->pipes_free = p->next;
        u->pipes_kept--;
    } else if (u->pipes >= PIPES_MAX) {
        return ERR_LIMIT;
    } else if (!(p = pipe_new())) {
        return ERR_SYSTEM;
    } else {
        u->pipes++;
    }
    p->held = p->slots = 0;
    u->legs[slot].pipe = p;
    return ERR_OK;
}

void dp_uring_pipe_give(struct dp_transport *t, uint32_t slot)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_pipe *p = u->legs[slot].pipe;

    u->legs[slot].pipe = NULL;
    if (!p)
        return;
    if (p->held > 0 || u->pipes_kept >= PIPES_KEPT) {
        u->pipes--;
        pipe_free(p);
        return;
    }
    p->next = u->pipes_free;
    u->pipes_free = p;
    u->pipes_kept++;
}

void dp_uring_pipes_free(struct dp_uring *u)
{
    while (u->pipes_free) {
        struct dp_uring_pipe *p = u->pipes_free;
        u->pipes_free = p->next;
        pipe_free(p);
    }
}

/*
 * A kernel without "net: tls: fix silent data drop under pipe back-pressure" (before Linux 6.1.189,
 * 6.12.113, 7.2.9 and 7.3) drops what of a record does not fit into the pipe, and says nothing: so
 * a pipe must have room for a whole one. Bytes don't tell, for a record of one byte takes a slot of
 * its own: slots are counted, as if each page that bytes may touch took one, until it is empty.
 */
static bool pipe_has_room(const struct dp_uring_pipe *p)
{
    return p->slots + RECORD_SLOTS <= p->size / p->page;
}

static void pipe_filled(struct dp_uring_pipe *p, size_t n)
{
    p->held += n;
    p->slots += n > 0 ? (n - 1 + p->page - 1) / p->page + 1 : 0;
}

static void pipe_emptied(struct dp_uring_pipe *p, size_t n)
{
    p->held -= n;
    if (p->held == 0)
        p->slots = 0;
}

ssize_t dp_uring_splice_in(struct dp_transport *t, uint32_t slot, size_t len)
{
    struct dp_uring_leg *leg = &dp_uring_of(t)->legs[slot];

    if (!pipe_has_room(leg->pipe))
        return -ENOSPC;
    ssize_t n =
        splice(leg->fd, NULL, leg->pipe->ends[1], NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n < 0)
        return -errno;
    pipe_filled(leg->pipe, (size_t)n);
    return n;
}

/* SPLICE_F_NONBLOCK is about pipes: a splice into a socket waits for room in it, unless the socket
 * itself is one that does not wait. And that it is only now, for the ring, which would report
 * EAGAIN instead of waiting. */
static ssize_t splice_now(int from, int to, size_t len, bool more)
{
    int on = 1, off = 0;

    if (ioctl(to, FIONBIO, &on) != 0)
        return -errno;
    ssize_t n = splice(from, NULL, to, NULL, len,
                       SPLICE_F_NONBLOCK | SPLICE_F_MOVE | (more ? SPLICE_F_MORE : 0));
    int error = errno;
    if (ioctl(to, FIONBIO, &off) != 0)
        return -errno;
    return n < 0 ? -error : n;
}

ssize_t dp_uring_splice_out(struct dp_transport *t, uint32_t slot, uint32_t to, size_t len,
                            bool more)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_pipe *p = u->legs[slot].pipe;
    ssize_t n = splice_now(p->ends[0], u->legs[to].fd, len, more);

    if (n > 0)
        pipe_emptied(p, (size_t)n);
    return n;
}

bool dp_uring_poll(struct dp_transport *t, uint32_t slot, enum dp_poll what)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, u->legs[slot].fd, what == DP_POLL_IN ? POLLIN : POLLOUT);
    dp_uring_begin(u, sqe, what == DP_POLL_IN ? OP_POLL_IN : OP_POLL_OUT, slot);
    return true;
}
