/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated transport: memory, virtual time, seeded faults. The gateway under test runs on one
 * struct dp over it; the test plays every other host through the peer calls below, in plaintext or
 * sealed with keys it took from the fake handshake. A run depends on nothing but its seed: the
 * same seed gives the same fragmentation, order, delays and faults.
 */
#pragma once

#include "dp.h"

struct dp_sim_conf {
    uint64_t seed;
    uint32_t delay_min_ms, delay_max_ms; /* of each fragment, in virtual time */
    uint32_t fragment_max;    /* bytes are delivered in pieces of 1..this many; 0: never split */
    uint32_t window;          /* bytes a peer leaves unread before the sender is held; 0: 64 KiB */
    uint32_t reset_per_mille; /* chance, per delivered fragment, that the connection is reset */
    /* A kernel with TLS, with the quirks of Linux's; dp_conf says what it is used for. */
    bool kernel, kernel_rekey;
    uint8_t kernel_lacks;             /* ciphers: a bit of 1 << enum tls_aead each */
    uint32_t kernel_refuse_per_mille; /* chance, per step of a hand-over, that it fails */
    uint32_t pipe_size;               /* of splice; 0: 64 KiB */
    uint64_t wall_us;                 /* the virtual clock's start, microseconds since 1970 */
};

/* One host's end of a simulated connection, played by the test. */
struct dp_sim_peer;

struct dp_sim_peer_events {
    /* A connection from the gateway (dp_connect) to an address that dp_sim_serve named. */
    void (*accepted)(void *user, struct dp_sim_peer *peer, const union net_addr *to);
    void (*received)(void *user, struct dp_sim_peer *peer, const uint8_t *data, size_t len);
    /* reset: cut, or FIN. */
    void (*closed)(void *user, struct dp_sim_peer *peer, bool reset);
};

int dp_sim_new(const struct dp_conf *conf, const struct dp_sim_conf *sim,
               const struct dp_events *events, void *user, struct dp **ret) ERR_CHECK;

/* Runs until nothing is left to happen or until_ms of virtual time is reached; true where
 * something is still due later. */
bool dp_sim_run(struct dp *dp, uint64_t until_ms);

/* A listener without a socket: what dp_listen is to the other transports. */
int dp_sim_listen(struct dp *dp, const union net_addr *local, unsigned listener) ERR_CHECK;
/* The test's hosts: connections to address are accepted and given to events. */
int dp_sim_serve(struct dp *dp, const union net_addr *address,
                 const struct dp_sim_peer_events *events, void *user) ERR_CHECK;
/* Connections to address end with this errno (ECONNREFUSED, ETIMEDOUT) from now on; 0: stop. */
int dp_sim_fail(struct dp *dp, const union net_addr *address, int error) ERR_CHECK;
/* Connections to address take so much longer from now on: UINT32_MAX is more than any test waits. */
int dp_sim_slow(struct dp *dp, const union net_addr *address, uint32_t ms) ERR_CHECK;
/* A client of the gateway. NULL where nobody listens on to. */
struct dp_sim_peer *dp_sim_dial(struct dp *dp, const union net_addr *from, const union net_addr *to,
                                const struct dp_sim_peer_events *events, void *user);

void dp_sim_peer_send(struct dp_sim_peer *peer, const void *data, size_t len);
void dp_sim_peer_finish(struct dp_sim_peer *peer); /* FIN after what was sent */
void dp_sim_peer_reset(struct dp_sim_peer *peer);
/* Stops reading (the gateway's sends then fill the window), and goes on. */
void dp_sim_peer_hold(struct dp_sim_peer *peer, bool hold);
