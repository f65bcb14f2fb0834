/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver: takes every message, checks each byte of it, counts loss, duplicates and damage.
 * sink.c reads the options and runs the loop, sink_session.c is one session's SMTP,
 * sink_report.c says what was received. One event loop, one thread.
 */
#pragma once

#include "buf.h"
#include "dot_reader.h"
#include "message.h"
#include "report.h"
#include "tally.h"
#include "wire.h"

#include <stdio.h>
#include <sys/queue.h>

struct sink_options {
    const char *listen, *cert, *key, *ledger, *hostname;
    struct wire_offer offer;
    int tls; /* enum wire_tls */
    uint64_t delay_ms, code, messages, seconds, sessions, timeout_s;
    double fail_rate;
    bool no_chunking, no_pipelining, json;
};

enum sink_state {
    SINK_HANDSHAKE,
    SINK_COMMAND,
    SINK_DATA,
    SINK_BDAT,
    SINK_DELAY, /* the reply to a message is held back; nothing is read meanwhile */
    SINK_ENDING /* what is left to write is written, then it is closed */
};

struct sink_session {
    TAILQ_ENTRY(sink_session) link, delay_link, again_link;
    struct sink *sink;
    enum sink_state state;
    struct wire wire;
    struct buf in, out;
    uint32_t mask;
    bool again; /* in the list of sessions that have more to read than their turn allowed */
    uint64_t deadline_us;

    bool greeted, has_mail, has_chunk;
    unsigned rcpts;
    struct dot_reader dot;
    uint64_t chunk_left;
    bool chunk_last, chunk_refused;
    struct message_check check;
    uint64_t message_bytes;
    uint64_t reply_due_us; /* of SINK_DELAY */
    bool reply_accepts;
};

TAILQ_HEAD(sink_list, sink_session);

struct sink {
    struct sink_options options;
    SSL_CTX *context;
    int epoll, listener;
    char address[80]; /* where it listens, with the port that the kernel chose */
    struct sink_list sessions, delayed, again;
    uint64_t open;
    uint64_t now_us, began_us;
    uint64_t random;
    FILE *ledger;
    struct tally tally;

    uint64_t accepted, turned_away, tls, resumed, tls_failed, injections, timeouts;
    uint64_t received, duplicates, beyond, failed, aborted, plain, bytes, bare_lf, trace_lines;
    uint64_t verdicts[MESSAGE_VERDICT_COUNT];
    struct report_tls tls_names;
};

/* sink_session.c. Each may end the session, which frees it. */
void sink_session_new(struct sink *sink, int fd);
void sink_session_event(struct sink_session *s, uint32_t events);
/* Its delayed reply is due. */
void sink_session_answer(struct sink_session *s);
void sink_session_free(struct sink_session *s);

/* sink_report.c */
/* brief: JSON on one line, for a report on the way. */
int sink_report(const struct sink *sink, bool brief) ERR_CHECK;
/* Messages that came and are neither intact nor from somebody else. */
uint64_t sink_corrupt(const struct sink *sink);
