/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway without SMTP: leg a came in from a simulated client, leg b went out to a simulated
 * server, and both may have keys made by hand. Tests play the two far ends.
 */
#pragma once

#include "buf.h"
#include "dp_sim.h"
#include "tls_record.h"

/* A far end. */
struct lab_end {
    struct dp_sim_peer *peer;
    bool tls;
    struct tls_record_dir tx, rx;
    struct buf raw;  /* received, not a whole record yet */
    struct buf text; /* received, opened */
    bool closed, reset, close_notify;
    uint8_t alert; /* the last fatal one */
    unsigned records, key_updates, handshakes;
};

struct lab_leg {
    struct leg_id id;
    struct buf text; /* what control received */
    size_t keep;     /* control leaves so many bytes unused */
    bool lost, writable;
    struct dp_lost_info lost_info;
    unsigned tickets, received;
};

struct lab_tls {
    bool on;
    enum tls_version version;
    enum tls_aead aead;
};

struct lab_conf {
    struct dp_sim_conf sim;
    struct lab_tls a, b;
    uint32_t max_relays;
    bool want_tickets; /* on b */
};

struct lab {
    struct dp *dp;
    struct lab_end client, server;
    struct lab_leg a, b;
    int connect_error;
    unsigned relays_done;
    struct dp_relay_result result;
    bool finish;    /* send the final dot when a relay is done */
    uint64_t trace; /* a hash of all events, in order */
};

enum { LAB_SKIPPED = 77 }; /* the status of a test that can't run here, as Meson wants it */
/* Whether this machine's kernel has TLS for sockets. */
bool lab_kernel_has_tls(void);

extern const struct dp_events lab_events;
extern const struct dp_sim_peer_events lab_peer_events;

/* Both legs established, keys set, nothing sent. */
void lab_open(struct lab *lab, const struct lab_conf *conf);
void lab_close(struct lab *lab);
/* Runs until nothing is left to do or ms of virtual time have gone by. */
void lab_run(struct lab *lab, uint64_t ms);
void lab_keys(const struct lab_tls *tls, uint8_t seed, struct tls_keys *ret_gateway,
              struct tls_keys *ret_far);
/* In records of at most record bytes of plaintext. */
void lab_send(struct lab_end *end, const void *data, size_t len, size_t record);
void lab_send_record(struct lab_end *end, enum tls_content type, const void *data, size_t len);
int lab_relay(struct lab *lab, const struct body_flow *flow, uint32_t idle_timeout_ms);
/* What lab_relay gives to dp_relay; user is the lab. */
void lab_relay_done(void *user, const struct dp_relay *relay, const struct dp_relay_result *result);
/* A mail body of len bytes, of CRLF lines, ending in CRLF; no line begins with a dot. */
void lab_body(uint8_t *out, size_t len, unsigned seed);
