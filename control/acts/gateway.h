/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver: one per worker. It accepts sessions, feeds the SMTP machine (smtp_session), carries
 * out its actions on the dataplane, the TLS service and upstream, and writes one log line a
 * message. It speaks only to dp.h, so that it runs the same over the simulated transport.
 */
#pragma once

#include "conf.h"
#include "dp.h"
#include "ratchet_table.h"
#include "resolver.h"
#include "shared.h"
#include "tls_service.h"
#include "upstream.h"

struct gateway;

struct gateway_conf {
    const struct conf *conf;
    struct shared_column shared;
    const char *name; /* "worker/0", for log lines outside a session */
    uint64_t id_seed; /* makes session ids unique across workers and restarts */
    uint32_t max_legs;
    struct ratchet_line ratchet;
    /* Called once the last session of a draining gateway has ended. */
    void (*drained)(void *user);
    void *user;
};

/* The dataplane and the services get their events from here: make the gateway first, then the rest
 * with these events and the gateway as user, then gateway_start. */
int gateway_new(const struct gateway_conf *conf, struct gateway **ret) ERR_CHECK;
extern const struct dp_events gateway_dp_events;
extern const struct tls_service_events gateway_tls_events;
/* True where nothing else waits in the loop (user: the gateway): for the handshake service. */
bool gateway_idle(void *user);
/* Clients' handshakes, those that wait for their turn included. */
unsigned gateway_handshakes_max(const struct conf *conf);
/* Makes the TLS contexts of listeners and routes (reads their files). ERR_CONFIG: why says which.
 */
int gateway_start(struct gateway *g, struct dp *dp, struct tls_service *tls,
                  struct resolver *resolver, char *why, size_t why_room) ERR_CHECK;
void gateway_free(struct gateway *g);
/* The caller has stopped its listeners. After a reload: sessions go on until they end by
 * themselves. drained is called after the last. */
void gateway_retire(struct gateway *g);
/* Also ends what is there: open transactions go on, idle sessions hear 421. */
void gateway_drain(struct gateway *g);

/* A row a session, for posternctl sessions. */
struct gateway_session_status {
    const char *id, *state, *listener, *helo;
    union net_addr client;
    bool tls;
    const char *tls_version, *tls_suite;
    unsigned messages;
    uint64_t age_ms, idle_ms, body_bytes;
    const char *route; /* of the transaction, "" if none */
};
void gateway_sessions(const struct gateway *g,
                      void (*row)(void *user, const struct gateway_session_status *s), void *user);
void gateway_hosts(const struct gateway *g,
                   void (*row)(void *user, const struct upstream_host_status *s), void *user);
/* Between gateway_start and gateway_free: for probes. */
struct upstream *gateway_upstream(struct gateway *g);
/* Copies the dataplane's counters into the shared column; called on a timer by the worker. */
void gateway_publish(struct gateway *g);
