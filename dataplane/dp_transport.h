/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between the dataplane's core (legs, records, relay, timers) and what moves bytes. A
 * transport owns sockets (or memory, or a port), names a connection by its leg's slot, and knows
 * nothing of relays or control, and of TLS only how keys reach a kernel. Private to dataplane/.
 *
 * The core calls the operations; the transport calls the dp_leg_* functions below, only from
 * inside turn. At most one receive and one send are under way per slot. An operation that returns
 * false found no room in the ring: the core asks again in the next turn.
 *
 * Kernel records. A transport over kernel sockets can have the kernel seal and open a leg's
 * records (Linux, Documentation/networking/tls.rst). The core alone decides when; dp_kernel.c has
 * the order of steps. Each of these operations is done when it returns, but for send_record:
 *   kernel_attach   while no receive is under way: a reader that began before it would take
 *                   sealed bytes from under the kernel's records (CVE-2025-38616);
 *   kernel_keys TX  while nothing is under way to the far end: what the socket took before stays
 *                   as it is, what it takes after is sealed;
 *   kernel_keys RX  while no receive is under way and what was received ends with a record: the
 *                   socket's next byte begins the record with the sequence number given.
 * From then on that direction's bytes are plaintext for receive, send and splice. A receive that
 * meets a record of another type than data gives -EIO and leaves it for receive_record.
 */
#pragma once

#include "dp.h"
#include "tls_record.h"

#include <sys/types.h>
#include <sys/uio.h>

/* The size of the buffers that a transport's own receives use. */
enum { DP_RECEIVE_BUFFER = 16 * 1024 };

/* The longest control record that we send: an alert, or our answer to a KeyUpdate. */
enum { DP_CONTROL_RECORD_MAX = 8 };

enum dp_poll { DP_POLL_IN, DP_POLL_OUT };

struct dp_transport;

struct dp_transport_ops {
    void (*clock)(struct dp_transport *t, uint64_t *ret_now_ms, uint64_t *ret_wall_us);
    /* Hands over what was queued, waits for at least one completion or wait_ms (below 0: for ever),
     * and dispatches all that is there. ERR_SYSTEM. */
    int (*turn)(struct dp_transport *t, int64_t wait_ms);
    int (*listen)(struct dp_transport *t, int fd, unsigned listener);
    int (*unlisten)(struct dp_transport *t, unsigned listener);
    /* Begins a connect; an errno where it fails at once, else 0 and dp_leg_connected follows. */
    int (*connect)(struct dp_transport *t, uint32_t slot, const union net_addr *to,
                   const union net_addr *source);
    /* Into a buffer that the transport takes from a common pool once there are bytes. */
    bool (*receive)(struct dp_transport *t, uint32_t slot);
    /* Into the caller's memory, which stays until dp_leg_received. */
    bool (*receive_into)(struct dp_transport *t, uint32_t slot, void *room, size_t len);
    /* dp_leg_received follows, with -ECANCELED where no bytes had come. */
    bool (*receive_cancel)(struct dp_transport *t, uint32_t slot);
    /* The bytes stay until dp_leg_sent, which may tell of fewer, an array of more than one until
     * the end of this turn's hand-over. */
    bool (*send)(struct dp_transport *t, uint32_t slot, const struct iovec *pieces, unsigned count);
    /* FIN. Nothing is under way to the far end. */
    void (*shutdown)(struct dp_transport *t, uint32_t slot);
    /* Ends what is under way and closes, reset: with a RST; dp_leg_closed follows. */
    bool (*close)(struct dp_transport *t, uint32_t slot, bool reset);

    /* Kernel records and splice: called only where kernel_records is true. */
    /* The kernel's TLS joins the connection; changes nothing before keys come. ERR_UNSUPPORTED:
     * this connection can't. Harmless when it fails, and when no keys follow. */
    int (*kernel_attach)(struct dp_transport *t, uint32_t slot);
    /* One direction's keys, from its next record on; again for the next generation of them.
     * ERR_UNSUPPORTED: the kernel lacks the cipher. ERR_STATE: it has keys and takes no others.
     * ERR_SYSTEM. After an error the direction is as it was. */
    int (*kernel_keys)(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                       const struct tls_record_dir *keys);
    /* The sequence number of the direction's next record. ERR_SYSTEM. */
    int (*kernel_sequence)(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                           enum tls_aead cipher, uint64_t *ret_seq);
    /* A send, of one record of this type; len at most DP_CONTROL_RECORD_MAX. Takes a copy. */
    bool (*send_record)(struct dp_transport *t, uint32_t slot, enum tls_content type,
                        const void *data, size_t len);
    /* After a receive or a splice met it: the next record's plaintext and its type. Bytes, or
     * minus errno; a record beyond len goes on in the next one. */
    ssize_t (*receive_record)(struct dp_transport *t, uint32_t slot, enum tls_content *ret_type,
                              void *room, size_t len);
    /* Takes back what a receive's failure left with the socket: the next send would fail too. */
    void (*clear_error)(struct dp_transport *t, uint32_t slot);
    /* A pipe for the slot's splices, from the transport's pool; pipe_give takes it back, with what
     * is still in it (dropped), and so does close. ERR_LIMIT, ERR_SYSTEM. */
    int (*pipe_take)(struct dp_transport *t, uint32_t slot);
    void (*pipe_give)(struct dp_transport *t, uint32_t slot);
    /* At most len bytes from the slot's socket into its pipe, never waiting, while no receive is
     * under way. Bytes; -EAGAIN: nothing there; -ENOSPC: the pipe has no room for a whole record
     * (many kernels drop silently what does not fit), which an empty one always has; 0: FIN, or an
     * empty record, so never an end by itself; -EINVAL: a record of another type comes next. */
    ssize_t (*splice_in)(struct dp_transport *t, uint32_t slot, size_t len);
    /* At most len bytes from the slot's pipe into to's socket, never waiting, while no send of to
     * is under way. Bytes; -EAGAIN: the socket takes none now. more: further bytes follow, a
     * record may wait for them. */
    ssize_t (*splice_out)(struct dp_transport *t, uint32_t slot, uint32_t to, size_t len,
                          bool more);
    /* dp_leg_polled follows once the socket can be read, or written; at most one of each. It may
     * come early, and tells nothing about errors: the next call does. */
    bool (*poll)(struct dp_transport *t, uint32_t slot, enum dp_poll what);
    int (*watch)(struct dp_transport *t, int fd, void (*ready)(void *user, int fd), void *user);
    void (*unwatch)(struct dp_transport *t, int fd);
    void (*free)(struct dp_transport *t);
};

struct dp_transport {
    const struct dp_transport_ops *ops;
    struct dp *dp;
    uint64_t submits;    /* system calls of turn */
    bool kernel_records; /* the operations for it are there, and the kernel has TLS */
    bool kernel_rekey;   /* a direction takes a next generation of keys (Linux 6.14) */
};

/* The core over a transport, which it owns from here on, also where this fails (ERR_NOMEM). */
int dp_new(const struct dp_conf *conf, const struct dp_events *events, void *user,
           struct dp_transport *transport, struct dp **ret) ERR_CHECK;
struct dp_transport *dp_transport_of(struct dp *dp);
/* One turn of the loop: events, timers, output, the transport. wait_ms bounds the wait; below 0: as
 * long as nothing is due. */
int dp_turn(struct dp *dp, int64_t wait_ms) ERR_CHECK;
/* Reads the clock: a transport calls it in turn, after the wait and before it dispatches. */
void dp_clock(struct dp *dp);
/* True where the core itself has something to do before the transport's next event. */
bool dp_busy(const struct dp *dp);
/* False where no timer runs. */
bool dp_timer_next(const struct dp *dp, uint64_t *ret_due_ms);

/* A slot for a connection that came in; ERR_LIMIT. dp_leg_accepted tells control about it. */
int dp_leg_take(struct dp *dp, uint32_t *ret_slot) ERR_CHECK;
void dp_leg_accepted(struct dp *dp, uint32_t slot, unsigned listener, const union net_addr *peer,
                     const union net_addr *local);
void dp_leg_connected(struct dp *dp, uint32_t slot, int error);
/* n > 0: bytes at data, writable during the call (data is the caller's room after receive_into);
 * 0: FIN; below 0: minus errno. */
void dp_leg_received(struct dp *dp, uint32_t slot, uint8_t *data, ssize_t n);
void dp_leg_sent(struct dp *dp, uint32_t slot, ssize_t n);
void dp_leg_polled(struct dp *dp, uint32_t slot, enum dp_poll what);
/* The slot is free from here on. */
void dp_leg_closed(struct dp *dp, uint32_t slot);
