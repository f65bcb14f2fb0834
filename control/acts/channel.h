/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between the supervisor and each of its children: small typed packets over a
 * SOCK_SEQPACKET pair, some with one descriptor (SCM_RIGHTS). Nobody waits in it: a send to a full
 * channel fails. The supervisor believes nothing that a child says without checking it.
 */
#pragma once

#include "errcode.h"

#include <stdint.h>
#include <sys/types.h>

enum channel_kind {
    /* To a child. */
    CHANNEL_LISTEN,   /* worker: accept from here on */
    CHANNEL_RETIRE,   /* worker: take no new sessions, say UNLISTENED, serve the open ones */
    CHANNEL_DRAIN,    /* worker: the same, and end the open ones after their transactions */
    CHANNEL_SESSIONS, /* worker, fd: write rows of struct channel_session there, say ROWS */
    CHANNEL_HOSTS,    /* worker, fd: the same with struct channel_host */
    CHANNEL_EXPLAIN,  /* worker, fd: write an object of JSON there, say ROWS. text: an address, a line
                         feed, a listener's name or nothing; number: 1 to connect as well */
    CHANNEL_RESOLVER, /* worker, fd: the socket to a new resolver process */
    CHANNEL_CLIENT,   /* resolver, fd: the socket of a worker that will ask */
    CHANNEL_RATCHET,  /* ratchet, fd: do what text asks (ratchet_show.h), write an object of JSON there, say
                         ROWS */
    CHANNEL_EXPIRY,   /* ratchet, number: how many seconds what was had counts */
    CHANNEL_TLSRPT,   /* resolver, fd: write an object of JSON there, say ROWS. text: a domain, or
                         nothing; number: 1 for yesterday */
    CHANNEL_CERTIFICATES, /* metrics, fd: when certificates end (expiry.h) */
    CHANNEL_PING,     /* worker: say PONG; one that does not is stuck */
    /* From a child. */
    CHANNEL_READY,
    CHANNEL_FAILED,     /* it can't start; text says why */
    CHANNEL_ROWS,       /* id: the request's; number: rows that were written; of EXPLAIN, RATCHET and
                            TLSRPT: bytes */
    CHANNEL_UNLISTENED, /* nothing is accepted any more: another process may */
    CHANNEL_PONG,
};

enum { CHANNEL_TEXT = 512 };

struct channel_message {
    uint32_t kind;
    uint32_t id;
    uint64_t number;
    char text[CHANNEL_TEXT];
};

/* Rows, as a worker writes them into the file that it is given. Texts end within their room. */
struct channel_session {
    char id[40], state[32], listener[64], helo[256], client[64];
    char tls_version[16], tls_suite[48], route[256];
    uint64_t age_ms, idle_ms, body_bytes;
    uint32_t messages;
    uint8_t tls;
};

struct channel_host {
    char host[256], last_error[256];
    uint64_t dead_for_ms;
    uint32_t open, idle;
};

/* Close-on-exec, non-blocking at both ends. ERR_SYSTEM. */
int channel_pair(int ret_fds[2]) ERR_CHECK;
/* fd: -1 for none; stays the caller's. ERR_FULL, ERR_CLOSED, ERR_SYSTEM. */
int channel_send(int channel, const struct channel_message *message, int fd) ERR_CHECK;
/* *ret_fd is -1 where none came. ERR_AGAIN, ERR_CLOSED, ERR_SYNTAX (a packet that is no message; a
 * descriptor that came with it is closed). The text ends. */
int channel_receive(int channel, struct channel_message *ret, int *ret_fd) ERR_CHECK;
