/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the io_uring transport's own files share. Nothing but they includes it.
 *
 *   dp_uring.c          the ring: set-up, restrictions, the turn, watched descriptors
 *   dp_uring_socket.c   listen, accept, connect, shut down, close
 *   dp_uring_receive.c  buffers, receive, send
 *   dp_uring_ktls.c     kernel records
 *   dp_uring_splice.c   pipes, splice
 */
#pragma once

#include "dp_transport.h"

#include <liburing.h>

enum { DP_URING_NO_SLOT = UINT32_MAX };

/* What a completion is of: the top byte of its user_data, then slot and generation. */
enum dp_uring_op {
    OP_RECEIVE,
    OP_SEND,
    OP_CONNECT,
    OP_CANCEL,
    OP_POLL_IN,
    OP_POLL_OUT,
    OP_ACCEPT,
    OP_WATCH,
    OP_IGNORE,
};

struct dp_uring_leg {
    int fd;
    uint32_t generation;
    uint32_t next_closed;
    uint8_t ops; /* under way */
    bool closing, reset;
    bool more_waits; /* the last receive left bytes in the socket */
    bool kernel_rx;  /* the kernel opens what is received */
    bool kernel_tx;  /* the kernel seals what is sent */
    uint8_t *into;   /* of a receive into the core's memory */
    struct msghdr msg;
    union net_addr to;
    struct dp_uring_record *record; /* being sent */
    struct dp_uring_pipe *pipe;     /* for its splices */
};

struct dp_uring_listener {
    int fd; /* below 0: free */
    unsigned number;
    uint32_t generation;
    bool armed;
    bool local_known; /* bound to one address, which is that of all its connections */
    union net_addr local;
};

struct dp_uring_watch {
    int fd; /* below 0: free */
    uint32_t generation;
    bool armed;
    void (*ready)(void *user, int fd);
    void *user;
};

struct dp_uring {
    struct dp_transport transport;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    struct dp_uring_leg *legs;
    uint32_t max_legs;
    uint32_t closed_head; /* legs without operations, to be closed */
    struct dp_uring_listener *listeners;
    unsigned listeners_len;
    struct dp_uring_watch *watches;
    unsigned watches_len;
    struct dp_timer accept_pause;
    bool accept_paused;
    struct dp_uring_pipe *pipes_free;
    unsigned pipes, pipes_kept;
};

static inline struct dp_uring *dp_uring_of(struct dp_transport *t)
{
    return (struct dp_uring *)t;
}

static inline uint64_t dp_uring_name(enum dp_uring_op op, uint32_t slot, uint32_t generation)
{
    return (uint64_t)op << 56 | (uint64_t)slot << 32 | generation;
}

/* dp_uring.c */
/* NULL: no room in the ring. */
struct io_uring_sqe *dp_uring_sqe(struct dp_uring *u);
/* Names a leg's operation and counts it: the leg is closed only after its last completion. */
void dp_uring_begin(struct dp_uring *u, struct io_uring_sqe *sqe, enum dp_uring_op op,
                    uint32_t slot);
/* Cancels what belongs to no leg; nobody hears how that ends. */
void dp_uring_cancel(struct dp_uring *u, uint64_t name);

/* dp_uring_socket.c */
int dp_uring_listen(struct dp_transport *t, int fd, unsigned number);
int dp_uring_unlisten(struct dp_transport *t, unsigned number);
/* At the end of a turn: listeners that accept nothing do so again. */
void dp_uring_accept_arm(struct dp_uring *u);
void dp_uring_accept_reap(struct dp_uring *u, unsigned i, uint32_t generation,
                          const struct io_uring_cqe *cqe);
int dp_uring_connect(struct dp_transport *t, uint32_t slot, const union net_addr *to,
                     const union net_addr *source);
void dp_uring_shutdown(struct dp_transport *t, uint32_t slot);
bool dp_uring_close(struct dp_transport *t, uint32_t slot, bool reset);
/* Nothing of it is under way any more: it is closed at the end of the turn. */
void dp_uring_close_later(struct dp_uring *u, uint32_t slot);
void dp_uring_close_reaped(struct dp_uring *u);

/* dp_uring_receive.c */
/* ERR_NOMEM, ERR_UNSUPPORTED. */
int dp_uring_buffers_make(struct dp_uring *u) ERR_CHECK;
void dp_uring_buffers_free(struct dp_uring *u);
bool dp_uring_receive(struct dp_transport *t, uint32_t slot);
bool dp_uring_receive_into(struct dp_transport *t, uint32_t slot, void *room, size_t len);
bool dp_uring_receive_cancel(struct dp_transport *t, uint32_t slot);
bool dp_uring_send(struct dp_transport *t, uint32_t slot, const struct iovec *pieces,
                   unsigned count);
void dp_uring_receive_reap(struct dp_uring *u, uint32_t slot, const struct io_uring_cqe *cqe);

/* dp_uring_ktls.c */
/* Finds out what the kernel can do, with a connection of its own. Before a sandbox is entered. */
void dp_uring_kernel_probe(struct dp_uring *u);
int dp_uring_kernel_attach(struct dp_transport *t, uint32_t slot);
int dp_uring_kernel_keys(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                         const struct tls_record_dir *keys);
int dp_uring_kernel_sequence(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                             enum tls_aead cipher, uint64_t *ret_seq);
bool dp_uring_send_record(struct dp_transport *t, uint32_t slot, enum tls_content type,
                          const void *data, size_t len);
/* After each send of the leg. */
void dp_uring_record_free(struct dp_uring_leg *leg);
ssize_t dp_uring_receive_record(struct dp_transport *t, uint32_t slot, enum tls_content *ret_type,
                                void *room, size_t len);
void dp_uring_clear_error(struct dp_transport *t, uint32_t slot);

/* dp_uring_splice.c */
int dp_uring_pipe_take(struct dp_transport *t, uint32_t slot);
/* Also where it has none. */
void dp_uring_pipe_give(struct dp_transport *t, uint32_t slot);
void dp_uring_pipes_free(struct dp_uring *u);
ssize_t dp_uring_splice_in(struct dp_transport *t, uint32_t slot, size_t len);
ssize_t dp_uring_splice_out(struct dp_transport *t, uint32_t slot, uint32_t to, size_t len,
                            bool more);
bool dp_uring_poll(struct dp_transport *t, uint32_t slot, enum dp_poll what);
