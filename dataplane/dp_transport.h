/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between the dataplane's core (legs, records, relay, timers) and what moves bytes. A
 * transport owns sockets (or memory, or a port), names a connection by its leg's slot, and knows
 * nothing of TLS, relays or control. Private to dataplane/.
 *
 * The core calls the operations; the transport calls the dp_leg_* functions below, only from
 * inside turn. At most one receive and one send are under way per slot. An operation that returns
 * false found no room in the ring: the core asks again in the next turn.
 */
#pragma once

#include "dp.h"

#include <sys/types.h>
#include <sys/uio.h>

/* The size of the buffers that a transport's own receives use. */
enum { DP_RECEIVE_BUFFER = 16 * 1024 };

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
    /* The bytes stay until dp_leg_sent, an array of more than one until the end of
     * this turn's hand-over. */
    bool (*send)(struct dp_transport *t, uint32_t slot, const struct iovec *pieces, unsigned count);
    /* FIN. Nothing is under way to the far end. */
    void (*shutdown)(struct dp_transport *t, uint32_t slot);
    /* Ends what is under way and closes, reset: with a RST; dp_leg_closed follows. */
    bool (*close)(struct dp_transport *t, uint32_t slot, bool reset);
    int (*watch)(struct dp_transport *t, int fd, void (*ready)(void *user, int fd), void *user);
    void (*unwatch)(struct dp_transport *t, int fd);
    void (*free)(struct dp_transport *t);
};

struct dp_transport {
    const struct dp_transport_ops *ops;
    struct dp *dp;
    uint64_t submits; /* system calls of turn */
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
/* The slot is free from here on. */
void dp_leg_closed(struct dp *dp, uint32_t slot);
