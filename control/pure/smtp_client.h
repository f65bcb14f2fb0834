/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending side of SMTP as a pure machine: one connection to a next hop, from its greeting to
 * QUIT, through any number of transactions. Replies are matched by counting (RFC 2920 section 3.1),
 * every status is looked at; bytes after the 220 to STARTTLS are response injection and abort the
 * connection (CVE-2021-38371); everything learnt before TLS is forgotten, LIMITS included
 * (RFC 3207 section 4.2, RFC 9422). A client never sends a bare CR or LF, nor MAIL before the level that
 * the route demands is reached: the machine has no way to.
 *
 * Order on a connection: greeting, EHLO (HELO where refused and no TLS is demanded), STARTTLS, EHLO,
 * XCLIENT (a new greeting and EHLO follow), AUTH, then ready.
 */
#pragma once

#include "buf.h"
#include "conf.h"
#include "smtp_reply.h"
#include "smtp_transaction.h"

struct smtp_caps { /* what the next hop's last EHLO said */
    bool pipelining, size, eightbit, smtputf8, chunking, binarymime, dsn, starttls, enhanced, xclient;
    bool requiretls; /* said over TLS: what is said of it in plaintext does not count */
    bool auth_plain, auth_login;
    uint64_t size_limit;              /* 0: none said */
    uint32_t mail_max, rcpt_max;      /* LIMITS; 0: none said */
    uint32_t xclient_attrs;           /* bits of enum smtp_xclient_attr */
};

enum smtp_xclient_attr {
    SMTP_XCLIENT_NAME = 1, SMTP_XCLIENT_ADDR = 2, SMTP_XCLIENT_PORT = 4, SMTP_XCLIENT_PROTO = 8,
    SMTP_XCLIENT_HELO = 16, SMTP_XCLIENT_DESTADDR = 32, SMTP_XCLIENT_DESTPORT = 64,
    SMTP_XCLIENT_LOGIN = 128, SMTP_XCLIENT_REVERSE_NAME = 256,
};

enum smtp_client_tls { /* what to do about TLS on this connection */
    SMTP_CLIENT_TLS_NEVER,    /* level none, or the plaintext retry of may */
    SMTP_CLIENT_TLS_TRY,      /* may: STARTTLS where offered; lack or refusal of it is reported */
    SMTP_CLIENT_TLS_DEMAND,   /* encrypt and above */
    SMTP_CLIENT_TLS_IMPLICIT, /* TLS before the greeting */
};

/* XCLIENT values of the client that this connection speaks for; strings outlive the machine. */
struct smtp_client_speaks_for {
    const char *name, *helo; /* NULL: [UNAVAILABLE] */
    const union net_addr *addr;
    bool esmtp;
};

struct smtp_client_conf {
    const char *helo;
    enum smtp_client_tls tls;
    enum conf_auth auth; /* done only over TLS */
    const char *user, *password;
    const struct smtp_client_speaks_for *xclient; /* NULL: none */
};

enum smtp_client_phase { /* whose reply a failure was */
    SMTP_PHASE_CONNECT, SMTP_PHASE_GREETING, SMTP_PHASE_EHLO, SMTP_PHASE_STARTTLS, SMTP_PHASE_TLS,
    SMTP_PHASE_XCLIENT, SMTP_PHASE_AUTH, SMTP_PHASE_MAIL, SMTP_PHASE_RCPT, SMTP_PHASE_DATA,
    SMTP_PHASE_CHUNK, SMTP_PHASE_FINAL, SMTP_PHASE_RSET, SMTP_PHASE_QUIT,
};

enum smtp_client_event_kind {
    SMTP_CLIENT_START_TLS, /* begin the handshake; nothing was buffered */
    SMTP_CLIENT_READY,     /* caps are final; a transaction may begin */
    SMTP_CLIENT_ANSWER,    /* reply to the oldest outstanding command: phase, index (recipient) */
    SMTP_CLIENT_NO_TLS,    /* level may: STARTTLS is not offered or refused; text says which. The
                              machine goes on in plaintext on the same connection. */
    SMTP_CLIENT_FAILED,    /* no transaction possible on this connection: phase, reply (code 0:
                              none). TLS demanded and not to be had is SMTP_PHASE_STARTTLS. */
    SMTP_CLIENT_BROKEN,    /* the peer broke the protocol (reply syntax, injection, an answer to
                              nothing): phase, text says what; close */
    SMTP_CLIENT_CLOSING,   /* 421 on a ready connection outside a transaction: close */
};

struct smtp_client_event {
    enum smtp_client_event_kind kind;
    enum smtp_client_phase phase;
    unsigned index;
    struct smtp_reply reply;
    const char *text;
};

enum { SMTP_CLIENT_OUTSTANDING = 1100 };

struct smtp_client;

struct smtp_client_events {
    /*
     * Called in the order of replies, from inside smtp_client_input (and _tls_done). Any call on
     * the machine is allowed in it but smtp_client_free. A reply that comes in mid-body, before
     * smtp_client_dot, is an ANSWER of SMTP_PHASE_FINAL. After a 421 inside a transaction nothing
     * but _free is of use: its ANSWER is the last event.
     */
    void (*event)(void *user, struct smtp_client *c, const struct smtp_client_event *event);
};

/* out: where command bytes go; sent by the caller after each call. All pointers outlive it. */
int smtp_client_new(const struct smtp_client_conf *conf, struct buf *out,
                    const struct smtp_client_events *events, void *user, struct smtp_client **ret) ERR_CHECK;
void smtp_client_free(struct smtp_client *c);

/* Replies; returns how many bytes were used (whole replies only). */
size_t smtp_client_input(struct smtp_client *c, const uint8_t *data, size_t len);
/* After START_TLS, or at once with IMPLICIT. */
void smtp_client_tls_done(struct smtp_client *c);
/* What a connection that is lost before READY has failed at: SMTP_PHASE_TLS, where STARTTLS is
 * unanswered, or the beginning as a whole, as SMTP_PHASE_EHLO. */
enum smtp_client_phase smtp_client_lost_phase(const struct smtp_client *c);
const struct smtp_caps *smtp_client_caps(const struct smtp_client *c);
bool smtp_client_ready(const struct smtp_client *c); /* idle, between transactions */
/* Commands whose reply is still to come. */
unsigned smtp_client_outstanding(const struct smtp_client *c);

/* A transaction. ERR_STATE out of order; ERR_UNSUPPORTED where the next hop lacks what the message
 * needs (see smtp_answer_unsupported). MAIL's own answer is an ANSWER of SMTP_PHASE_MAIL. Without
 * PIPELINING the machine itself holds commands back until the one before is answered. */
int smtp_client_mail(struct smtp_client *c, const struct smtp_transaction *txn, uint64_t size_added) ERR_CHECK;
int smtp_client_rcpt(struct smtp_client *c, const struct smtp_transaction *txn, unsigned index) ERR_CHECK;
/* Where every recipient is refused but DATA is answered 354 all the same, the machine sends a lone
 * dot, ignores its answer (RFC 2920 section 3.1), and the ANSWER is a 554 of its own. */
int smtp_client_data(struct smtp_client *c) ERR_CHECK;
/* Writes "BDAT n [LAST]"; n bytes follow from the caller. With PIPELINING the next one need not wait
 * for its answer. ERR_STATE after a refused one. */
enum { SMTP_CLIENT_CHUNK_LINE = sizeof("BDAT 18446744073709551615 LAST\r\n") - 1 }; /* at most */
int smtp_client_chunk(struct smtp_client *c, uint64_t size, bool last) ERR_CHECK;
/* The final dot has been put behind the body: the next reply is SMTP_PHASE_FINAL. */
void smtp_client_dot(struct smtp_client *c);
/* RSET: its answer makes the machine ready again. ERR_STATE while a body is on its way (cut then), or
 * a chunk's answer without PIPELINING; all bytes of a chunk are out. */
int smtp_client_rset(struct smtp_client *c) ERR_CHECK;
void smtp_client_quit(struct smtp_client *c);
