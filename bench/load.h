/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator: sessions in fixed slots, one event loop, one thread. load.c reads the
 * options and runs the loop, load_session.c is one session's SMTP, load_report.c says what was
 * seen. Every run is bounded in messages and in time.
 */
#pragma once

#include "buf.h"
#include "histogram.h"
#include "message.h"
#include "plan.h"
#include "reply.h"
#include "report.h"
#include "wire.h"

#include <stdio.h>
#include <sys/queue.h>

enum { LOAD_CODES = 600 };

struct load_options {
    const char *target;
    int tls; /* enum wire_tls */
    uint64_t sessions, messages, seconds, size, per_session, chunk, timeout_s, opening, domains;
    double rate;
    bool resume, no_resume, bdat, idle, handshakes, json;
    const char *rcpt, *from, *helo, *ledger;
    struct wire_offer offer;
};

enum load_state {
    LOAD_CLOSED, /* in the list of closed slots, or gone for good (idle runs) */
    LOAD_PAUSED, /* after a failure; closed again at its deadline */
    LOAD_CONNECTING,
    LOAD_GREETING, /* from here on each state names the reply that is awaited */
    LOAD_EHLO,
    LOAD_STARTTLS,
    LOAD_HANDSHAKE,
    LOAD_READY, /* in the list of ready sessions, without a message */
    LOAD_HELD,  /* an idle run's session */
    LOAD_MAIL,
    LOAD_RCPT,
    LOAD_DATA,
    LOAD_BODY, /* the body is being sent after 354 */
    LOAD_FINAL,
    LOAD_BDAT,
    LOAD_RSET,
    LOAD_QUIT
};

enum load_failure {
#define LOAD_FAILURE(name, word, text) LOAD_FAILURE_##name,
#include "load_failure.def"
#undef LOAD_FAILURE
    LOAD_FAILURE_COUNT
};

struct load_session {
    TAILQ_ENTRY(load_session) link; /* while LOAD_CLOSED or LOAD_READY */
    struct load *load;
    enum load_state state;
    struct wire wire;
    SSL_SESSION *resume; /* of this slot's session before */
    struct buf in, out;
    uint32_t mask; /* what epoll watches */
    uint64_t deadline_us, opened_us, handshake_us;
    bool opening; /* not yet ready for its first message */
    bool starved; /* no room for a command */
    bool has_chunking, has_pipelining, has_size;
    uint64_t sent; /* messages on this connection */

    /* The message that the session was given. */
    bool busy;
    uint64_t intended_us;
    struct message_maker maker;
    bool making; /* more of the body is to be made */
    struct buf chunk;
    uint64_t chunks_sent, chunks_answered;
    unsigned refused; /* the first code that said no; 0: none */
};

TAILQ_HEAD(load_list, load_session);

struct load {
    struct load_options options;
    struct sockaddr_storage to;
    socklen_t to_len;
    SSL_CTX *context;
    int epoll;
    struct plan plan;
    struct message_form form;
    struct load_session *slots;
    struct load_list ready, closed;
    uint64_t open, opening, held;
    uint64_t hold_until_us; /* of an idle run; 0: not all are open yet */
    uint64_t stop_us;       /* the latest end of all */
    uint64_t now_us;        /* read once an iteration */
    uint64_t began_us, ended_us;
    bool interrupted;
    FILE *ledger;

    uint64_t sessions_opened, sessions_resumed, held_most, held_lost;
    uint64_t failures[LOAD_FAILURE_COUNT];
    uint64_t accepted, rejected, failed, bytes;
    uint64_t codes[LOAD_CODES];
    char *code_texts[LOAD_CODES]; /* the first text of each code from 400 on */
    struct report_tls tls_names;
    char tls_error[160]; /* the first one */
    struct histogram latency, setup, handshake;
};

/* load_session.c */
/* Gives a message to a ready session, or to a closed one that is opened next. */
void load_session_take(struct load_session *s, uint64_t number, uint64_t intended_us);
void load_session_open(struct load_session *s);
/* events: epoll's; 0: only writes what there is. */
void load_session_event(struct load_session *s, uint32_t events);
void load_session_quit(struct load_session *s);
/* Its deadline has passed. */
void load_session_expire(struct load_session *s);
/* Closes it at once: the run is over. */
void load_session_drop(struct load_session *s);

/* load_report.c */
void load_progress(const struct load *l);
int load_report(const struct load *l) ERR_CHECK;
