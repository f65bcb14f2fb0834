/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for upstream: next hops that follow a script over the simulated dataplane, a
 * resolver that knows a few names, and senders that write down what they hear. Everything is
 * decided by the seed.
 */
#pragma once

#include "dp_sim.h"
#include "tls_fake.h"
#include "tls_record.h"
#include "upstream.h"

enum { MTAS = 4, CONNS = 512, SENDERS = 24, ROUTES = 4, REQUESTS = 16 };

struct world;

enum world_fault { /* of ours, where a handshake is over */
    FAULT_NONE,
    FAULT_SERVICE, /* the service has no memory */
    FAULT_KEYS,    /* the dataplane does not take the keys */
};

struct mta { /* one next hop; NULL texts are the usual answers */
    struct world *world;
    union net_addr addr;
    const char *greeting, *ehlo, *starttls, *ehlo_tls, *helo, *xclient, *auth;
    const char *mail, *rcpt[4], *data, *final, *chunk, *rset;
    bool silent;             /* accepts, and says nothing */
    bool bad_handshake;      /* answers the handshake with nonsense */
    bool no_handshake;       /* answers it with nothing */
    const char *cut_at;      /* resets the connection when this verb comes ("BODY", "DOT" too) */
    unsigned cut_times;      /* that often; 0: always */
    const char *close_after; /* an orderly close after the answer to this verb */
    const char *early;       /* said in mid-body */
    unsigned connections, open;
    struct buf log; /* what it heard, "T " before what came over TLS */
    struct buf bodies;
};

struct conn {
    struct mta *mta;
    struct dp_sim_peer *peer;
    bool tls, handshaking, in_body, closed, reset;
    struct tls_fake fake;
    struct tls_record_dir *tx, *rx;
    struct buf cipher, in;
    unsigned rcpts;
    uint64_t chunk_left;
    bool chunk_last;
};

struct sender {
    struct world *world;
    struct smtp_transaction txn;
    struct smtp_recipient recipients[4];
    struct hop *hop;
    struct buf heard; /* "rcpt 250 2.1.5", "final 250 2.0.0", "lost 451 4.4.2 indeterminate", ... */
    bool close_on_final;
    const char *body; /* sent with its dot as soon as 354 came */
    struct smtp_reply last;
};

enum { WORLD_REPORTS = 16 };

struct request { /* as the TLS service got it */
    uint8_t session_key[32];
    enum tls_check check;
    bool lenient;
    size_t tlsa_len;
    char sni[64], names[128];
};

struct world {
    struct dp *dp;
    struct dp_sim_conf sim;
    uint32_t max_legs; /* 64, unless changed before world_start */
    struct tls_service tls, *fake;
    struct resolver resolver;
    struct shared *shared;
    struct ratchet_line ratchet; /* none, unless set before world_start */
    struct conf conf;
    struct conf_route routes[ROUTES];
    struct conf_hop hops[ROUTES][MTAS];
    struct conf_listener listener;
    struct upstream *u;
    struct mta mtas[MTAS];
    struct conn conns[CONNS];
    unsigned conns_len;
    struct sender senders[SENDERS];
    struct dns_mx_answer mx; /* for every domain */
    enum dns_status addr_status;
    unsigned addrs; /* mx1.test has those of so many next hops; 0: its own, as all others */
    struct dns_tlsa_answer tlsa[MTAS]; /* of "mx1.test" and on; no records at first */
    struct sts_answer sts;             /* for every domain; no policy at first */
    bool deaf;                         /* the resolver takes no question about TLSA and MTA-STS */
    unsigned lookups, tlsa_lookups, sts_lookups;
    const char *domain; /* of recipients; "example.org" */
    struct request requests[REQUESTS];
    unsigned requests_len, handshakes_max;
    enum world_fault own_fault;
    int64_t not_after;
    enum tls_verify verify;
    enum tls_cert_fault fault;
    struct tlsrpt_event reports[WORLD_REPORTS];
    unsigned reports_len;
};

extern const struct resolver_ops world_resolver_ops;

/* mtas: how many next hops (10.0.0.1 and on, "mx1.test" and on; port 25). Route 0 is
 * "example.org", fixed to all of them; change the routes before world_start. */
void world_init(struct world *w, unsigned mtas);
/* The same, with routes by MX at this level: every domain's hosts are mx1.test and on, one after the
 * other, in a signed zone. */
void world_mx(struct world *w, enum conf_level level, unsigned mtas);
void world_start(struct world *w);
void world_end(struct world *w);
void world_run(struct world *w, uint64_t ms);
uint64_t world_now(const struct world *w);

/* One record more for mx<number>.test, whose data is 32 bytes of fill. */
void world_tlsa(struct world *w, unsigned number, uint8_t usage, uint8_t fill);
/* The domain's policy, with the patterns (a list that NULL ends). */
void world_sts(struct world *w, enum sts_mode mode, const char *id, const char *const *patterns);

/* Opens a hop on a route with this many recipients. */
struct sender *sender_open(struct world *w, unsigned number, unsigned route, unsigned rcpts);
/* Opens, runs, sends a small body with its dot, runs, closes. */
void sender_message(struct world *w, unsigned number, unsigned route);
void sender_close(struct sender *s);
/* What it heard since the last time is exactly this. */
void sender_expect(struct sender *s, const char *heard);
void mta_expect(struct mta *m, const char *log);
/* Connections to it end with this errno from now on; 0: no more. */
void mta_fail(struct mta *m, int error);
/* m never heard this. */
void mta_never(const struct mta *m, const char *text);
