/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS relay can't do without on this machine: opening and sealing records, handshakes, and
 * moving bytes, each measured alone. limit.c reads the options, repeats and reports; each
 * measurement has a file. Always CPU time of this process, never wall clock; it is pinned to one
 * processor, and what it needs at its other ends runs in processes on the others.
 *
 * Unlike load and sink this verb uses the gateway's floors crypto and dataplane: it asks what they
 * could reach.
 */
#pragma once

#include "errcode.h"
#include "tls_keys.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIMIT_SESSIONS_MAX = 64 };

/* User and kernel, all threads. */
double limit_cpu_s(void);

/* CPU-seconds a byte of opening and of sealing records with so many bytes of plaintext. */
int limit_aead(const struct tls_keys *keys, size_t record, double *ret_open_s,
               double *ret_seal_s) ERR_CHECK;

struct limit_handshake_conf {
    bool tls12;
    const char *suite;      /* OpenSSL's name */
    const char *cert, *key; /* PEM files, or NULL for an ECDSA P-256 certificate of its own */
};
struct limit_handshake; /* contexts and a session to resume */
int limit_handshake_new(const struct limit_handshake_conf *conf,
                        struct limit_handshake **ret) ERR_CHECK;
void limit_handshake_free(struct limit_handshake *h);
/* CPU-seconds of one handshake at each end, in memory: objects made, filled and freed. */
int limit_handshake_run(struct limit_handshake *h, bool resume, double *ret_server_s,
                        double *ret_client_s) ERR_CHECK;

struct limit_relay_conf {
    const struct tls_keys *keys; /* NULL: no crypto */
    size_t size;                 /* of a message */
    unsigned sessions;           /* at a time, at most LIMIT_SESSIONS_MAX */
    unsigned messages;           /* each session's */
    unsigned cpu;                /* where this process runs; the other ends keep off it */
};
/* CPU-seconds a byte of the dataplane, which moves each message from one connection to another and
 * its answer back; the next message comes after the answer, as in SMTP. ERR_SYSTEM: no io_uring
 * or no processes; ERR_CLOSED: the other ends failed. */
int limit_relay(const struct limit_relay_conf *conf, double *ret_s) ERR_CHECK;
/* The same of a bare loop of splice(2) between sockets with kernel records. ERR_UNSUPPORTED: this
 * kernel has no TLS, or not with this cipher. */
int limit_kernel(const struct limit_relay_conf *conf, double *ret_s) ERR_CHECK;
