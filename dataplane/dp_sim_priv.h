/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the simulated transport: dp_sim.c (events, pipes, connections),
 * dp_sim_kernel.c (kernel TLS, splice).
 */
#pragma once

#include "assertion.h"
#include "buf.h"
#include "dp_sim.h"
#include "dp_transport.h"

enum { WINDOW_DEFAULT = 64 * 1024 };

enum sim_what {
    SIM_CONNECTED, /* of a dp_connect */
    SIM_ACCEPTED,  /* by the gateway */
    SIM_ARRIVED_UP,
    SIM_ARRIVED_DOWN,
    SIM_FIN_UP,
    SIM_FIN_DOWN,
    SIM_RESET_UP,
    SIM_RESET_DOWN,
    SIM_RECEIVED, /* a receive of the gateway ends */
    SIM_CANCELLED,
    SIM_SENT, /* a send of the gateway ends */
    SIM_POLLED_IN,
    SIM_POLLED_OUT,
    SIM_CLOSED, /* the gateway's end */
};

struct sim_event {
    uint64_t at_ms, order;
    enum sim_what what;
    struct dp_sim_peer *peer;
    size_t n;
};

/* One direction. */
struct sim_pipe {
    struct buf bytes; /* on their way, or arrived and unread: these are the first ones */
    size_t arrived;
    uint64_t last_ms; /* nothing arrives before what went in earlier */
    bool fin_sent, fin_arrived;
};

/* The gateway's socket, as far as the kernel's TLS and splice go. */
struct sim_kernel {
    bool attached, rx, tx;
    bool rx_expired;  /* a KeyUpdate was read: nothing is opened before the next keys */
    int error;        /* minus errno, for ever: a record was not right */
    int socket_error; /* the same, for the next send */
    struct tls_record_dir rx_keys, tx_keys;
    bool has_record; /* the next one to be read was opened */
    enum tls_content type;
    struct buf record; /* what is left of it */
    struct buf open;   /* to be sealed, in a record that waits for more */
    bool has_pipe;
    struct buf pipe;
    bool polling_in, polling_out, polled_in_due, polled_out_due;
};

struct dp_sim_peer {
    struct dp_sim_peer *next;
    struct dp_sim *sim;
    const struct dp_sim_peer_events *events;
    void *user;
    union net_addr local, remote; /* the gateway's end, the peer's */
    unsigned listener;
    uint32_t slot;
    int connect_error;
    bool connecting; /* the gateway, and nobody knows of it yet */
    bool attached; /* the gateway's end lives */
    bool reset;    /* the connection is no more */
    bool held, finish, told_closed;
    struct buf outbox;        /* sent by the test, beyond the window */
    struct sim_pipe up, down; /* to the gateway, from it */
    bool receiving, receive_due, cancel;
    uint8_t *into;
    size_t into_len;
    bool sending; /* blocked by the window */
    struct iovec blocked;
    int sent_error; /* minus errno, of the send that ended */
    bool sent_due;  /* a send of the gateway ended, and it does not know yet */
    struct sim_kernel kernel;
};

struct sim_place { /* what is at an address */
    union net_addr address;
    unsigned listener;
    const struct dp_sim_peer_events *events; /* NULL: the gateway's listener, or error */
    void *user;
    int error;
    uint32_t slow_ms; /* that a connection takes longer */
    bool listens;
};

struct dp_sim {
    struct dp_transport transport;
    struct dp_sim_conf conf;
    uint64_t random;
    uint64_t now_ms, order;
    struct sim_event *events; /* a heap, from [0] on */
    size_t events_len, events_cap;
    struct dp_sim_peer *peers;
    struct dp_sim_peer **by_slot;
    struct sim_place *places;
    size_t places_len;
    uint8_t buffer[DP_RECEIVE_BUFFER];
};

static inline struct dp_sim *sim_of(struct dp_transport *t)
{
    return (struct dp_sim *)t;
}

/* dp_sim.c */
uint64_t sim_random(struct dp_sim *sim);
bool sim_chance(struct dp_sim *sim, unsigned per_mille);
void sim_event_add(struct dp_sim *sim, uint64_t at_ms, enum sim_what what, struct dp_sim_peer *peer,
                   size_t n);
size_t sim_pipe_room(const struct dp_sim *sim, const struct sim_pipe *pipe);
/* All of data, whatever the window. */
void sim_pipe_put(struct dp_sim *sim, struct sim_pipe *pipe, enum sim_what arrival,
                  struct dp_sim_peer *peer, const uint8_t *data, size_t len);
/* The gateway's end has read n bytes. */
void sim_peer_taken(struct dp_sim_peer *peer, size_t n);

/* dp_sim_kernel.c */
/* Something can be read: a record of any type, its end, or an error. */
bool sim_kernel_readable(struct dp_sim_peer *peer);
/* As recv. */
ssize_t sim_kernel_read(struct dp_sim_peer *peer, uint8_t *room, size_t len);
/* As much as the window takes, sealed; more: the last record may wait. */
size_t sim_kernel_write(struct dp_sim_peer *peer, const uint8_t *data, size_t len, bool more);
/* Something arrived, or the window opened. */
void sim_kernel_polls(struct dp_sim_peer *peer);
void sim_kernel_polled(struct dp_sim_peer *peer, enum dp_poll what);
void sim_kernel_free(struct dp_sim_peer *peer);

int sim_kernel_attach(struct dp_transport *t, uint32_t slot);
int sim_kernel_keys(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                    const struct tls_record_dir *keys);
int sim_kernel_sequence(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                        enum tls_aead cipher, uint64_t *ret_seq);
bool sim_send_record(struct dp_transport *t, uint32_t slot, enum tls_content type, const void *data,
                     size_t len);
ssize_t sim_receive_record(struct dp_transport *t, uint32_t slot, enum tls_content *ret_type,
                           void *room, size_t len);
int sim_pipe_take(struct dp_transport *t, uint32_t slot);
void sim_pipe_give(struct dp_transport *t, uint32_t slot);
void sim_clear_error(struct dp_transport *t, uint32_t slot);
ssize_t sim_splice_in(struct dp_transport *t, uint32_t slot, size_t len);
ssize_t sim_splice_out(struct dp_transport *t, uint32_t slot, uint32_t to, size_t len, bool more);
bool sim_poll(struct dp_transport *t, uint32_t slot, enum dp_poll what);
