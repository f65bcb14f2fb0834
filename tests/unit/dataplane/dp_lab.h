/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway without SMTP: leg a came in from a client, leg b went out to a server, and both may
 * have keys made by hand. Tests play the two far ends. The world is simulated, or it is kernel TCP
 * on loopback (lab_way), where the gateway's records may be the kernel's.
 */
#pragma once

#include "buf.h"
#include "dp_sim.h"
#include "tls_record.h"

/* A far end. */
struct lab_end {
    struct dp_sim_peer *peer; /* simulated; else: */
    int fd;
    struct buf outbox;
    bool finishing, held;
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

/* Plaintext, and each that a kernel can have. */
enum { LAB_KINDS = 7 };
extern const struct lab_tls lab_kinds[LAB_KINDS];

/* What lab_open makes: the simulation, as long as a test does not say otherwise. */
struct lab_way {
    const char *name;
    unsigned number;
    bool sockets;
    bool settled; /* keys are where they shall be before lab_open returns */
    struct dp_kernel_when kernel_rx, kernel_tx;
    /* Of a simulated kernel: */
    bool rekey;
    uint32_t refuse_per_mille, pipe_size;
};
extern struct lab_way lab_way;

struct lab {
    struct dp *dp;
    struct lab_end client, server;
    struct lab_leg a, b;
    int connect_error;
    unsigned relays_done;
    struct dp_relay_result result;
    bool finish; /* send the final dot when a relay is done */
    unsigned events;
    int listener, server_listener; /* sockets */
    uint64_t trace;                /* a hash of all events, in order */
};

enum { LAB_SKIPPED = 77 }; /* the status of a test that can't run here, as Meson wants it */
/* Whether this machine's kernel has TLS for sockets. */
bool lab_kernel_has_tls(void);

extern const struct dp_events lab_events;
/* Of dp_lab_net.c: the world of sockets. */
void lab_net_open(struct lab *lab, const struct dp_conf *conf);
void lab_net_connect(struct lab *lab);
void lab_net_run(struct lab *lab, uint64_t ms);
void lab_net_close(struct lab *lab);
extern const struct dp_sim_peer_events lab_peer_events;

/* Runs a group of tests in each way that this machine has; the number of failures. With
 * POSTERN_SIMULATION=no in the environment only over sockets. */
int lab_ways(int (*group)(const char *way));
/* The same in the simulation, if it is wanted, with our records and with a kernel's in all kinds of
 * ways. */
int lab_sim_run(int (*group)(const char *way));
/* Tells of a test, or of a way, that this machine cannot run. */
void lab_skipped(const char *name);
/* Whether to make the next of many rounds: in the simulation each; where time is real some, with
 * one of the first eight among them. calls: how often it was asked, 0 before the first round. */
bool lab_takes(unsigned *calls);
/* POSTERN_EMULATED=yes: this machine is emulated, each byte takes it long. */
bool lab_emulated(void);
/* How many times longer to wait than on a machine that is not emulated. */
unsigned lab_patience(void);
/* A KeyUpdate can be followed: always, but for the kernel's records before Linux 6.14. */
bool lab_rekeys(const struct lab *lab);

/* Both legs established, keys set, nothing sent. */
void lab_open(struct lab *lab, const struct lab_conf *conf);
void lab_close(struct lab *lab);
/* Runs until nothing is left to do or ms of virtual time have gone by. */
void lab_run(struct lab *lab, uint64_t ms);
void lab_keys(const struct lab_tls *tls, uint8_t seed, struct tls_keys *ret_gateway,
              struct tls_keys *ret_far);
/* What a far end does on the wire. */
void lab_send_bytes(struct lab_end *end, const void *data, size_t len);
void lab_finish(struct lab_end *end); /* FIN after what was sent */
void lab_reset(struct lab_end *end);
void lab_hold(struct lab_end *end, bool hold); /* stops reading, and goes on */
/* In records of at most record bytes of plaintext. */
void lab_send(struct lab_end *end, const void *data, size_t len, size_t record);
void lab_send_record(struct lab_end *end, enum tls_content type, const void *data, size_t len);
int lab_relay(struct lab *lab, const struct body_flow *flow, uint32_t idle_timeout_ms);
/* What lab_relay gives to dp_relay; user is the lab. */
void lab_relay_done(void *user, const struct dp_relay *relay, const struct dp_relay_result *result);
/* A mail body of len bytes, of CRLF lines, ending in CRLF; no line begins with a dot. */
void lab_body(uint8_t *out, size_t len, unsigned seed);
