/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole gateway in memory and virtual time: the product's own gateway, upstream and machines over
 * the simulated dataplane, with clients and next hops played by the test, in plaintext or through
 * the fake handshake and real records. A run depends on its seed alone.
 */
#pragma once

#include "../cmocka_all.h"

#include "dp_sim.h"
#include "gateway.h"

enum { WORLD_HOPS = 3, WORLD_LEGS = 256 };

struct actor_tls;

/* Any far end: a client, or one connection to a next hop. */
struct actor {
    struct world *world;
    struct dp_sim_peer *peer;
    struct buf in; /* plaintext received and not looked at yet */
    bool closed, reset;
    struct actor_tls *tls;
    struct hop_double *hop; /* of a next hop's connection */
    bool in_body;
    bool chunk_last;
    uint64_t chunk_left;
    struct buf partial; /* of a next hop: the body on its way */
    unsigned rcpts;     /* of a next hop: of this transaction */
    bool mail_taken, rcpt_taken;
    struct span line;     /* of a next hop: the command in turn */
    const char *answer;   /* of a next hop: what choose said to the command in turn */
    bool mute;            /* it chose silence, and says nothing more */
    bool refused_in_body; /* its answer came before the end: there is no other */
    bool chunk_refused;   /* no other chunk is taken (RFC 3030 section 2) */
    struct actor *next;
};

/* A next hop that keeps what it is given. Answers are its defaults unless a test sets others. */
struct hop_double {
    struct world *world;
    union net_addr addr;
    /* Behaviour; NULL or false: the default */
    const char *greeting, *ehlo_reply, *starttls_reply, *mail_reply, *rcpt_reply[8], *data_reply,
        *final_reply, *chunk_reply;
    bool no_starttls, no_chunking, no_pipelining;
    const char *silent_at;  /* a verb, or "." : no answer to it */
    const char *cut_at;     /* a verb, or "." : the connection is reset there */
    const char *extra_caps; /* "250-DSN\r\n" */
    /* Before any answer (verb as above, also "body" for each piece of one): NULL for the default,
     * "" for silence, "!" for a reset, "#" for a FIN, "?" for bytes that are neither a record nor a
     * reply, else the answer. */
    const char *(*choose)(struct actor *a, const char *verb);
    /* A whole message, dots unstuffed; accepted: a 250 is said to it. */
    void (*took)(struct actor *a, struct span message, bool accepted);
    void *user;
    /* What happened */
    unsigned connections, messages, quits, rsets, starttls, mails, chunks;
    bool mail_in_plaintext; /* MAIL was heard outside TLS */
    struct buf message;     /* the last whole one, dots unstuffed */
    struct buf commands;    /* every command line of all connections */
    struct actor *actors;
};

struct world {
    struct dp *dp;
    struct gateway *gateway;
    struct tls_service *tls;
    struct shared *shared;
    struct conf *conf;
    struct resolver resolver;
    struct hop_double hops[WORLD_HOPS];
    struct actor *clients;
    union net_addr listen;
    bool drained;
    uint64_t seed, now_ms;
    /* Answers of the handshake service come up to so much later than their calls; 0: in them. */
    uint32_t tls_late_max_ms;
    uint64_t tls_late_state;
    struct tls_late *tls_late; /* still to come */
    /* The scripted resolver's answers. */
    struct dns_mx_answer mx;
    struct dns_ptr_answer ptr;
    unsigned tlsa_lookups;
};

extern const struct resolver_ops world_resolver_ops;

/* Listens on 192.0.2.25:25 (and :465 for a second listener); hops are 198.51.100.1 to .3, port 25.
 * listener, route, rest: libconfig text put into the listener's, the route's and the file's body;
 * NULL for the plain defaults (starttls listener, relay to hop 0 with level "may"). */
struct world *world_new(uint64_t seed, const char *listener, const char *route, const char *rest);
/* sim->kernel: which directions' records are the kernel's, and from when, is the seed's. */
struct world *world_new_sim(const struct dp_sim_conf *sim, const char *listener, const char *route,
                            const char *rest);
void world_free(struct world *w);
/* world_tls.c: the service put a step off. */
void world_tls_late(void *user);
void world_tls_late_free(struct world *w);
/* Virtual time goes on. */
void world_run(struct world *w, uint64_t ms);

struct actor *client_dial(struct world *w);
struct actor *client_dial_from(struct world *w, const char *from);
/* Sends, and lets the world settle (one virtual second). */
void client_say(struct actor *a, const char *text);
void client_say_bytes(struct actor *a, const void *data, size_t len);
/* The same, and the world stands still. */
void client_send(struct actor *a, const void *data, size_t len);
/* Takes the next whole reply off; false where there is none yet. */
bool client_reply(struct actor *a, char *text, size_t room);
/* The next reply (all its lines) starts with prefix; it is taken off. */
void client_hear(struct actor *a, const char *prefix);
void client_hear_nothing(struct actor *a);
void client_hear_closed(struct actor *a);
/* Greeting and EHLO. */
struct actor *client_ready(struct world *w);
/* EHLO, STARTTLS, handshake, EHLO. */
struct actor *client_ready_tls(struct world *w);
void client_starttls(struct actor *a);
/* Begins the handshake at once; client_implicit also waits for its end. */
void client_handshake(struct actor *a);
void client_implicit(struct actor *a);
/* An envelope and DATA, up to its 354; client_message also sends a body and its end. */
void client_data(struct actor *a);
void client_message(struct actor *a, const char *body);

extern const char world_body[]; /* a small message with header, in DATA framing without its end */
