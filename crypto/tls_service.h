/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes as a message service: (leg, bytes) in; (leg, bytes), then (leg, keys, facts) out.
 * The caller does not know whether it runs inline, in a thread or in another process: answers may
 * come during the call or later, and only through the events. It owns the SSL objects, touches no
 * socket and reads no clock but for ticket keys and certificate validity.
 *
 * OpenSSL gets one TLS record at a time and sees nothing else, so that nothing sits inside it at
 * the switch: what follows the handshake's last record comes back as rest, still ciphertext.
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
    TLS_FAIL_INTERNAL,
};

struct tls_failure {
    enum tls_fail kind;
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
     * already. The context must outlive it. */
    int (*start_server)(struct tls_service *s, struct leg_id leg, const struct tls_server_ctx *ctx);
    int (*start_client)(struct tls_service *s, struct leg_id leg,
                        const struct tls_client_request *request);
    /* Ciphertext from the peer; all of it is taken. Never from inside an event of the same leg;
     * release is fine there. */
    void (*feed)(struct tls_service *s, struct leg_id leg, struct span bytes);
    /* A client leg on TLS 1.3 after done: one record, as it came, that arrived before the first
     * application data, so that tickets reach OpenSSL's session cache. */
    void (*ticket_record)(struct tls_service *s, struct leg_id leg, struct span record);
    /* The leg is gone, or (client, after done) its first application data came: frees the rest.
     * Unknown legs are fine. */
    void (*release)(struct tls_service *s, struct leg_id leg);
    void (*free)(struct tls_service *s);
};

struct tls_service {
    const struct tls_service_ops *ops;
};

struct tls_service_conf {
    uint32_t max_legs;       /* size of the dataplane's leg table: slots are below it */
    uint32_t max_handshakes; /* in flight */
    uint32_t max_sessions;   /* client sessions kept for resumption; least recently used go */
};

int tls_service_openssl_new(const struct tls_service_conf *conf,
                            const struct tls_service_events *events, void *user,
                            struct tls_service **ret) ERR_CHECK;
/* Contexts given to start_* may be NULL here. Facts are of TLS 1.3 AES-128-GCM with
 * verify = TLS_VERIFY_OK. A peer that breaks the fake exchange fails the handshake. */
int tls_service_fake_new(const struct tls_service_conf *conf, uint64_t seed,
                         const struct tls_service_events *events, void *user,
                         struct tls_service **ret) ERR_CHECK;
