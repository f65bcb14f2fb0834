/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One turn of a handshake as a value: bytes of the peer in; bytes for the peer, then keys and facts
 * or a failure out. The service fills it in, whoever runs it (the loop itself, or tls_thread.c) has
 * it alone until it is given back, and the service tells what came of it. Private to this floor.
 */
#pragma once

#include "tls_handshake.h"

struct tls_job {
    struct tls_handshake *handshake;
    struct buf in;  /* from the peer; after DONE, what follows the handshake */
    struct buf out; /* for the peer */
    enum tls_step step;
    struct tls_keys keys;       /* DONE; wiped by who tells them */
    struct tls_facts facts;     /* DONE */
    struct tls_failure failure; /* FAILED */
};

/* Begins the handshake if that was not done yet, and takes all records that are whole. */
void tls_job_run(struct tls_job *job);
