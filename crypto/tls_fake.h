/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake handshake of the simulated dataplane, as a peer plays it. Four records in TLS framing,
 * nothing secret about them, and real keys of TLS 1.3 AES-128-GCM at their end, which both sides
 * derive from the two randoms:
 *
 *     client                         server
 *     hello (random, sni)  ------->
 *                          <-------  hello (random), finished
 *     finished             ------->
 *
 * The service (tls_service_fake.c) and a test's peer both run this one machine. Only for tests.
 */
#pragma once

#include "errcode.h"
#include "span.h"
#include "tls_keys.h"

#include <stdbool.h>

enum {
    TLS_FAKE_RECORD_MAX = 512, /* the largest of the four */
    TLS_FAKE_FLIGHT_MAX = 1024,
};

enum tls_fake_state { TLS_FAKE_HELLO, TLS_FAKE_FINISHED, TLS_FAKE_DONE, TLS_FAKE_BROKEN };

struct tls_fake {
    bool is_server;
    enum tls_fake_state state; /* what is waited for */
    uint8_t client_random[32], server_random[32];
    char sni[256]; /* the client's */
    uint8_t partial[TLS_FAKE_RECORD_MAX];
    size_t partial_len;
    uint8_t out[TLS_FAKE_FLIGHT_MAX]; /* for the other side */
    size_t out_len;
    struct tls_keys keys; /* once done */
};

/* seed: of this side's random. sni: a client's, or NULL. A client's first flight is in out. */
void tls_fake_init(struct tls_fake *f, bool is_server, uint64_t seed, const char *sni);
/* Takes bytes off input until the exchange is done or broken; what is left then is ciphertext from
 * keys.rx.seq on. Replaces out, which is sent to the other side whatever the result is. ERR_AGAIN:
 * more is needed; ERR_TLS: the other side does not keep to the exchange. */
int tls_fake_feed(struct tls_fake *f, struct span *input) ERR_CHECK;
