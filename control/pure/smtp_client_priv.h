/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the sending machine: smtp_client.c (replies and phases),
 * smtp_client_write.c (commands), smtp_client_caps.c (what EHLO said).
 */
#pragma once

#include "smtp_client.h"

enum smtp_client_state {
    CLIENT_TLS_WAIT, /* the caller does the handshake */
    CLIENT_GREETING,
    CLIENT_HELLO, /* EHLO or HELO is out */
    CLIENT_STARTTLS,
    CLIENT_XCLIENT,
    CLIENT_AUTH,
    CLIENT_READY, /* see transaction */
    CLIENT_QUIT,
    CLIENT_FAILED, /* the last event was FAILED: only QUIT is left to say */
    CLIENT_DEAD,   /* the last event was BROKEN, CLOSING, or an ANSWER with 421 */
};

enum smtp_client_txn {
    CLIENT_TXN_NONE,
    CLIENT_TXN_OPEN,  /* MAIL is out */
    CLIENT_TXN_DATA,  /* DATA is out */
    CLIENT_TXN_BODY,  /* after 354 */
    CLIENT_TXN_CHUNK, /* BDAT is out, perhaps more than one, and bytes may be on their way */
    CLIENT_TXN_FINAL, /* the dot, or BDAT LAST, is out */
    CLIENT_TXN_RESET, /* RSET is out */
};

struct smtp_client_command { /* in the order of the replies */
    uint8_t phase;
    bool ignored; /* nobody hears of its answer */
    uint32_t index;
    uint32_t held; /* bytes of it in held: not sent yet; 0: it is on its way */
};

struct smtp_client {
    const struct smtp_client_conf *conf;
    struct buf *out;
    const struct smtp_client_events *events;
    void *user;

    enum smtp_client_state state;
    enum smtp_client_txn txn;
    bool tls, no_tls, helo, xclient_done;
    uint8_t auth_step;
    struct smtp_caps caps;
    bool refused;                  /* MAIL was: whatever is said of its recipients */
    bool chunk_refused;            /* a chunk was: none may follow it */
    unsigned recipients, accepted; /* of this transaction */

    struct smtp_client_command *queue; /* [first, last) are outstanding */
    unsigned queue_first, queue_last, queue_cap;
    struct buf held; /* commands that wait for the reply before them (no PIPELINING) */

    struct smtp_reply reply; /* the one that is being dealt with */
};

/* What the lines of an EHLO reply, as they came, say. */
void smtp_caps_read(struct span reply, struct smtp_caps *ret);

/* Writes one command line, the parts one behind the other and CRLF, or holds it back where the one
 * before is unanswered and the next hop does not pipeline; its answer will be of this phase. */
int smtp_client_say(struct smtp_client *c, enum smtp_client_phase phase, unsigned index,
                    const struct span *parts, size_t parts_len) ERR_CHECK;
#define SAY(c, phase, index, ...)                                                                  \
    smtp_client_say((c), (phase), (index), (const struct span[]){__VA_ARGS__},                     \
                    sizeof((const struct span[]){__VA_ARGS__}) / sizeof(struct span))
/* Puts the answer's place in the queue for a line that was written otherwise. */
int smtp_client_expect(struct smtp_client *c, enum smtp_client_phase phase, unsigned index,
                       uint32_t held) ERR_CHECK;
/* Sends what may go now that one more reply is there. */
int smtp_client_unhold(struct smtp_client *c) ERR_CHECK;

/* Lines of the way to ready. */
int smtp_client_say_xclient(struct smtp_client *c) ERR_CHECK;
int smtp_client_say_auth(struct smtp_client *c) ERR_CHECK;
/* The answer to a 334 of AUTH LOGIN. ERR_STATE where none is due. */
int smtp_client_say_auth_more(struct smtp_client *c) ERR_CHECK;
