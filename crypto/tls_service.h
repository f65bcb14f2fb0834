/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes as a message service: (leg, bytes) in; (leg, bytes), then (leg, keys, facts) out.
 * The caller does not know whether it runs inline, in a thread or in another process: answers may
 * come during the call or later, and only through the events. It owns the SSL objects, touches no
 * socket and reads no clock but for ticket keys and certificate validity.
 *
 * OpenSSL gets one TLS record at a time and sees nothing else, so that nothing sits inside it at
 * the switch: what follows the handshake's last record comes back as rest, still ciphertext, also
 * what came while the answer was under way.
 *
 * How many handshakes are under way is bounded for each role, and as a bounded number of servers'
 * wait behind them in the order in which their first bytes came. Nobody waits here for a time of
 * its own: the caller's timers end what takes too long.
 *
 * Two implementations: tls_service_openssl.c, and tls_service_fake.c for the simulated dataplane
 * (a seeded exchange of a few records that ends in real keys, no certificates, deterministic).
 */
#pragma once

#include "leg_id.h"
#include "span.h"
#include "tls_client.h"
#include "tls_facts.h"
#include "tls_keys.h"
#include "tls_server.h"

enum tls_fail {
    TLS_FAIL_PROTOCOL,    /* malformed, no common version or suite, peer's alert */
    TLS_FAIL_VERIFY,      /* the peer's certificate is not what the level asks */
    TLS_FAIL_CLIENT_CERT, /* a listener requires one and got none, or a bad one */
    TLS_FAIL_LIMIT,       /* handshake larger than its bound */
    TLS_FAIL_ENDED,       /* nothing came but the far end's end */
    TLS_FAIL_INTERNAL,
};

struct tls_failure {
    enum tls_fail kind;
    enum tls_cert_fault fault; /* of TLS_FAIL_VERIFY */
    char text[160]; /* what happened and, where known, what would be right */
};

struct tls_service_events {
    /* Bytes for the peer, to be sent as they are (also an alert, before failed). */
    void (*output)(void *user, struct leg_id leg, struct span bytes);
    /* Every output came before. keys and rest are valid during the call; the receiver wipes what
     * it copied. rest is ciphertext from keys->rx.seq on. */
    void (*done)(void *user, struct leg_id leg, const struct tls_keys *keys,
                 const struct tls_facts *facts, struct span rest);
    void (*failed)(void *user, struct leg_id leg, const struct tls_failure *failure);
};

struct tls_service;

struct tls_service_ops {
    /* Begins a handshake. ERR_LIMIT where too many are in flight; ERR_STATE where the leg has one
     * already. The context must live until free, or until halt. */
    int (*start_server)(struct tls_service *s, struct leg_id leg, const struct tls_server_ctx *ctx);
    int (*start_client)(struct tls_service *s, struct leg_id leg,
                        const struct tls_client_request *request);
    /* Ciphertext from the peer; all of it is taken. Never from inside an event of the same leg;
     * release is fine there. */
    void (*feed)(struct tls_service *s, struct leg_id leg, struct span bytes);
    /* The far end is gone and sends nothing more. True: what it sent is not all answered yet, and
     * done or failed follows (TLS_FAIL_ENDED where the end is all there is to tell); so its alert
     * is not lost. False: nothing follows. */
    bool (*end)(struct tls_service *s, struct leg_id leg);
    /* True: all that came is dealt with, and the handshake waits for its peer. */
    bool (*quiet)(struct tls_service *s, struct leg_id leg);
    /* A client leg on TLS 1.3 after done: one record, as it came, that arrived before the first
     * application data, so that tickets reach OpenSSL's session cache. */
    void (*ticket_record)(struct tls_service *s, struct leg_id leg, struct span record);
    /* The leg is gone, or (client, after done) its first application data came: frees the rest.
     * Unknown legs are fine. */
    void (*release)(struct tls_service *s, struct leg_id leg);
    /* Tells what is done of what did not end in its call. */
    void (*answer)(struct tls_service *s);
    /* No step runs after it, and only release and free may be called: before contexts go. */
    void (*halt)(struct tls_service *s);
    void (*free)(struct tls_service *s);
};

struct tls_service {
    const struct tls_service_ops *ops;
};

struct tls_service_conf {
    uint32_t max_legs;       /* size of the dataplane's leg table: slots are below it */
    uint32_t max_handshakes; /* in flight, of each role */
    uint32_t max_waiting;    /* servers' that wait behind them; none before there is a thread */
    uint32_t max_sessions;   /* client sessions kept for resumption; least recently used go */
    /* With a thread: asked before each step, with the events' user; true: nothing else waits in
     * the loop, and the step may run there. NULL: each goes to the thread. */
    bool (*idle)(void *user);
};

int tls_service_openssl_new(const struct tls_service_conf *conf,
                            const struct tls_service_events *events, void *user,
                            struct tls_service **ret) ERR_CHECK;
/* Makes the thread for its steps (crypto/tls_thread.h says when). Without it every answer comes
 * during the call. *ret_fd: readable when answer is to be called. ERR_NOMEM, ERR_SYSTEM. */
int tls_service_openssl_thread(struct tls_service *s, int *ret_fd) ERR_CHECK;

/* Contexts given to start_* may be NULL here. Facts are of TLS 1.3 AES-128-GCM; a client's say what
 * it was to check ("fake dane") as if that had matched, others have TLS_VERIFY_OK. A peer that
 * breaks the fake exchange fails the handshake. late: NULL, and answers come during the call; else
 * it is called with user for each step that was put off, and one call of answer takes one of them,
 * in a seeded order. */
int tls_service_fake_new(const struct tls_service_conf *conf, uint64_t seed,
                         const struct tls_service_events *events, void *user,
                         void (*late)(void *late_user), void *late_user,
                         struct tls_service **ret) ERR_CHECK;
