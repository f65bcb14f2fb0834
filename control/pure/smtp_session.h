/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving side of SMTP as a pure machine: bytes and events in, reply bytes and a short list
 * of actions out. It does no I/O, no logging, reads no clock and no DNS; control/acts/gateway.c
 * drives it. Commands are one table (smtp_table.c: verb, handler, legal states, flags); order and
 * TLS rules are enforced in one dispatcher.
 *
 * RFC 5321, 1652, 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6531, 9422, and XCLIENT. What it keeps per
 * lifetime: struct smtp_peer (connection), struct smtp_era (since the last STARTTLS, zeroed as a
 * whole), struct smtp_transaction.
 *
 * Replies come in the order of the commands. RCPT commands that are pipelined go to the next hop
 * while earlier ones are still unanswered, and so does DATA behind them; any other command waits
 * (input is not used) until every answer is there.
 *
 * Each SMTP_DO_OPEN is followed by exactly one SMTP_DO_ABORT or SMTP_DO_END, at once when the next
 * hop is of no more use: the rest of that transaction is then answered from here. After either of
 * them the transaction can still be read (closed, but not freed) until the next
 * smtp_session_input. An event that does not fit the state is ignored.
 */
#pragma once

#include "auth_users.h"
#include "buf.h"
#include "conf.h"
#include "policy.h"
#include "session_end.h"
#include "smtp_reply.h"
#include "smtp_transaction.h"
#include "tls_facts.h"

enum { SMTP_RECEIVED_MAX = 1024, SMTP_ID_LEN = 16, SMTP_OUT_ACTIONS = 160 };

/* What may be offered depends on the next hops seen so far; the driver keeps it, one per listener.
 */
struct smtp_offers {
    bool binarymime, dsn;
    bool requiretls; /* over TLS */
    uint64_t size; /* the smallest SIZE limit of a next hop seen; 0: none */
};

enum smtp_action_kind {
    SMTP_DO_STARTTLS, /* after the reply bytes: begin a server handshake */
    SMTP_DO_OPEN,  /* get a next hop for s->txn (route and domain are bound), MAIL goes with it */
    SMTP_DO_RCPT,  /* send recipient index to it */
    SMTP_DO_DATA,  /* send DATA to it */
    SMTP_DO_CHUNK, /* a chunk of size bytes follows, last or not: pass it */
    SMTP_DO_BODY,  /* a dot-framed body follows: pass it */
    SMTP_DO_DRAIN_BODY,  /* a dot-framed body (or what is left of it) follows: drop it */
    SMTP_DO_DRAIN_CHUNK, /* the same for a chunk; size: all of it, or UINT64_MAX: what is left */
    SMTP_DO_ABORT,       /* the transaction ends without a message: RSET or cut */
    SMTP_DO_END,         /* the transaction had its final answer: log, evidence, leg to the pool */
    SMTP_DO_REFUSED, /* policy refused a recipient: for the log only; address and local say it */
    SMTP_DO_REFUSED_SENDER, /* the same of a sender (s->txn.mail); sender is the rule */
    SMTP_DO_AUTH,           /* the client's part of an exchange is in s->auth: judge it */
    SMTP_DO_AUTH_END,       /* the exchange ends without a judgement: forget it */
    SMTP_DO_CLOSE,          /* after the reply bytes: close; end says why */
};

/* A reply of our own, as a constant. */
struct smtp_local {
    uint16_t code, subject, detail;
    const char *text;
};

struct smtp_action {
    enum smtp_action_kind kind;
    unsigned index;
    uint64_t size;
    bool last;
    enum session_end end;
    struct span address; /* REFUSED: the recipient, a peer's bytes; valid like the transaction */
    const struct smtp_local *local;   /* REFUSED, REFUSED_SENDER */
    const struct conf_sender *sender; /* REFUSED_SENDER */
};

struct smtp_out {
    struct buf *bytes; /* replies; to be sent before the actions are carried out */
    struct smtp_action actions[SMTP_OUT_ACTIONS];
    unsigned actions_len;
};

enum smtp_state {
    SMTP_STATE_CONNECTED,  /* before the greeting (PROXY header, or implicit TLS handshake) */
    SMTP_STATE_GREETED,    /* no EHLO or HELO yet */
    SMTP_STATE_READY,      /* after EHLO, no transaction */
    SMTP_STATE_MAIL,       /* after MAIL; recipients may be there */
    SMTP_STATE_DATA_WAIT,  /* DATA went to the next hop */
    SMTP_STATE_BODY,       /* a dot-framed body is on its way */
    SMTP_STATE_CHUNK,      /* a chunk is on its way */
    SMTP_STATE_CHUNK_WAIT, /* a chunk (not the last) waits for its answer */
    SMTP_STATE_CHUNKS,     /* between chunks: only BDAT, RSET, NOOP, QUIT */
    SMTP_STATE_FINAL,      /* the whole message went; its final answer is awaited */
    SMTP_STATE_DRAIN,      /* refused in mid-body; the rest is read and dropped */
    SMTP_STATE_TLS,        /* handshake */
    SMTP_STATE_AUTH,       /* in an exchange of AUTH: lines are responses */
    SMTP_STATE_CLOSED,
    SMTP_STATE_COUNT,
};

/* The best first; smtp_mechanism_name has their names. SCRAM's -PLUS is not there: the handshake does not
 * hand out what it would bind to. */
enum smtp_mechanism {
    SMTP_MECHANISM_SCRAM_SHA_256,
    SMTP_MECHANISM_PLAIN,
    SMTP_MECHANISM_LOGIN,
    SMTP_MECHANISM_COUNT,
};

enum {
    SMTP_AUTH_LINE_MAX = 12288,     /* RFC 4954 section 4.3, with CRLF */
    SMTP_AUTH_CHALLENGE_MAX = 352,  /* bytes, so that a reply line has room for their base64 */
};

struct smtp_auth { /* one exchange; holds passwords, so it is wiped */
    enum smtp_mechanism mechanism;
    bool asked;        /* the driver has response, or that there is none yet */
    bool has_response; /* false: AUTH without an initial response */
    bool accepted;     /* user is who it is, and a last challenge waits for an empty response */
    char user[AUTH_NAME_MAX + 1];
    size_t len;
    uint8_t response[SMTP_AUTH_LINE_MAX / 4 * 3];
};

enum smtp_auth_kind {
    SMTP_AUTH_CHALLENGE,   /* data goes to the client, who answers */
    SMTP_AUTH_ACCEPTED,    /* it is user; data, where there is some, still goes to the client */
    SMTP_AUTH_REFUSED,     /* 535 5.7.8, and no word of why */
    SMTP_AUTH_UNAVAILABLE, /* 454 4.7.0: not judged, because of a fault or of too many failures */
};

struct smtp_auth_answer {
    enum smtp_auth_kind kind;
    const char *user; /* ACCEPTED */
    size_t len;
    uint8_t data[SMTP_AUTH_CHALLENGE_MAX];
};

struct smtp_peer { /* the connection's lifetime */
    char id[SMTP_ID_LEN + 1];
    union net_addr addr, local; /* of the TCP connection, or as PROXY said */
    const struct conf *conf;
    const struct conf_listener *listener;
    const struct smtp_offers *offers;
    bool tls_done; /* facts are valid */
    struct tls_facts tls;
    unsigned errors;       /* 5yz of ours since the last message */
    unsigned commands;     /* since the last message; recipients taken and chunks not counted */
    unsigned transactions; /* MAIL commands taken: MAILMAX */
    unsigned messages;     /* that the next hop took */
    unsigned auth_failures;
};

struct smtp_era {  /* since connect, or since STARTTLS: forgotten as a whole (RFC 3207 section 4.2)
                    */
    bool extended; /* EHLO, not HELO */
    char helo[256];
    char user[AUTH_NAME_MAX + 1]; /* who AUTH proved it to be; "": nobody */
    bool xclient;                 /* XCLIENT gave the addresses below */
    union net_addr client_addr;
    char client_name[256]; /* PTR as XCLIENT said; "" otherwise */
    char client_helo[256];
    bool client_helo_known;
};

enum { SMTP_QUEUE_MAX = 1024 };

struct smtp_session {
    enum smtp_state state;
    struct smtp_peer peer;
    struct smtp_era era;
    struct smtp_transaction txn;
    struct smtp_auth *auth; /* of SMTP_STATE_AUTH */
    bool hop_open; /* SMTP_DO_OPEN went out, and no SMTP_DO_ABORT or SMTP_DO_END since */
    /* Answers owed to RCPT, in order: NULL where the next hop gives it, else ours, which waits
     * behind the next hop's. In the transaction's arena. */
    const struct smtp_local **queue;
    unsigned queue_len, queue_done, queue_cap;
    unsigned rcpt_answered; /* of txn.recipients */
    bool blocked;           /* the next command waits until the queue is empty */
    bool skipping;          /* in a command line that is too long */
    size_t skipped;
    bool chunked; /* this message comes by BDAT */
    bool chunk_last;
    uint64_t chunk_bytes; /* sum of chunk sizes so far */
    bool answered_early;  /* verdict is the answer to a chunk whose end is not yet reported */
    bool refused;         /* the transaction failed: verdict answers all that still comes in it */
    bool shutdown;        /* 421 once no transaction is open */
    bool ending;          /* close with end after the final answer */
    enum session_end end;
    enum smtp_state drain_to; /* the state after the drain; READY ends the transaction */
    /* To be said after the drain, and for whatever was refused: a reply is large, and so it is kept
     * only by sessions that had one to keep. smtp_verdict tells it. */
    struct smtp_reply *verdict;
};

/* peer: id, addresses, configuration, listener, offers are set; the rest is zeroed. */
void smtp_session_init(struct smtp_session *s, const struct smtp_peer *peer);
void smtp_session_free(struct smtp_session *s);

/* Says the greeting (after accept, after the PROXY header, after an implicit handshake). */
void smtp_session_greet(struct smtp_session *s, struct smtp_out *out);
/* Refuses at accept: 421 and close. */
void smtp_session_refuse(struct smtp_session *s, enum session_end end, struct smtp_out *out);
/* Command bytes, all that there are (a byte behind STARTTLS is an attack that only this call can
 * see): returns how many were used. Less than len: a partial line, or the machine waits for an
 * event, or a body (or TLS) begins right after the used bytes, or there are actions to carry out
 * first. Call it again with the rest after the actions, until it uses nothing more or wants no
 * input. A line longer than max_line is an error of its own, and is used up as it comes. */
size_t smtp_session_input(struct smtp_session *s, const uint8_t *data, size_t len,
                          struct smtp_out *out);
/* True where it would take command bytes now: otherwise the driver keeps them. */
bool smtp_session_wants_input(const struct smtp_session *s);
/* True where the client is owed an answer that the next hop has still to give: its
 * silence is then no idleness, even where it may go on with RCPT. */
bool smtp_session_owes_answer(const struct smtp_session *s);

/* After SMTP_DO_STARTTLS; before smtp_session_greet where TLS is implicit. */
void smtp_session_tls_done(struct smtp_session *s, const struct tls_facts *facts,
                           struct smtp_out *out);

/* After SMTP_DO_AUTH. */
void smtp_session_auth_answer(struct smtp_session *s, const struct smtp_auth_answer *answer,
                              struct smtp_out *out);
const char *smtp_mechanism_name(enum smtp_mechanism mechanism);

/* Answers of the next hop, already translated for the sender (smtp_answer.h), in their order. */
void smtp_session_rcpt_answer(struct smtp_session *s, const struct smtp_reply *reply,
                              struct smtp_out *out);
/* 354, or the refusal of DATA. */
void smtp_session_data_answer(struct smtp_session *s, const struct smtp_reply *reply,
                              struct smtp_out *out);
/* The chunk or the body has been passed on completely. */
void smtp_session_body_done(struct smtp_session *s, struct smtp_out *out);
/* To a chunk that is not the last. */
void smtp_session_chunk_answer(struct smtp_session *s, const struct smtp_reply *reply,
                               struct smtp_out *out);
/* To the whole message. */
void smtp_session_final_answer(struct smtp_session *s, const struct smtp_reply *reply,
                               struct smtp_out *out);
/* We refuse in mid-body, or the next hop did, or is lost while a body is on its way: the rest is
 * drained, then the sender hears reply. more: some of this body or chunk is still to be read. */
void smtp_session_body_refused(struct smtp_session *s, const struct smtp_reply *reply, bool more,
                               struct smtp_out *out);
void smtp_session_drained(struct smtp_session *s, struct smtp_out *out);
/* The next hop is gone, or could not be had: reply answers whatever waits (recipients, DATA, the
 * chunk, the final answer); in a body it is body_refused with more = true, and a drain under way
 * goes on. Later commands of the transaction get it too. */
void smtp_session_hop_lost(struct smtp_session *s, const struct smtp_reply *reply,
                           struct smtp_out *out);

/* The limit that the listener states: SIZE. 0: none. */
uint64_t smtp_session_size_limit(const struct smtp_session *s);
/* 421 4.4.2 and close, or 421 4.3.2 at shutdown (now only if no transaction is open; otherwise
 * after it). While the final answer is awaited, a timeout closes after it: it has a timeout of
 * its own. SESSION_END_SESSION_TIMEOUT waits for a message that is on its way, the first time. */
void smtp_session_timeout(struct smtp_session *s, enum session_end end, struct smtp_out *out);
void smtp_session_shutdown(struct smtp_session *s, struct smtp_out *out);

/* As known to Received, the log and XCLIENT: XCLIENT's word where it was given. */
const union net_addr *smtp_session_client(const struct smtp_session *s);
const char *smtp_session_helo(const struct smtp_session *s);
const char *smtp_state_text(enum smtp_state state);
