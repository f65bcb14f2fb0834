/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the gateway's files only: gateway.c (sessions' lifetimes, events), gateway_actions.c
 * (what the SMTP machine asks for), gateway_auth.c (who a client is), gateway_tls.c (handshakes with clients), gateway_body.c (a
 * body's way from leg to leg), gateway_log.c (one line a message, one a session).
 */
#pragma once

#include "auth_exchange.h"
#include "gateway.h"
#include "received.h"

#include <sys/queue.h>

enum client_mode {                   /* who gets the bytes that come from the client */
                   CLIENT_PROXY,     /* the PROXY header's parser */
                   CLIENT_COMMAND,   /* smtp_session; also while it waits */
                   CLIENT_TLS,       /* the handshake service */
                   CLIENT_BODY,      /* header phase: body_flow, header_scan, hop_send */
                   CLIENT_RELAY,     /* dp_relay has them */
                   CLIENT_BODY_WAIT, /* nobody yet: the next hop was asked for DATA on behalf of a
                                        chunk, or has to answer one before the last can go */
                   CLIENT_GONE,      /* the leg is closed; only a final answer is still awaited */
};

enum message_result {
    MESSAGE_NONE, /* no final answer yet */
    MESSAGE_RELAYED,
    MESSAGE_REFUSED,
    MESSAGE_DEFERRED,
    MESSAGE_ABORTED,
    MESSAGE_INDETERMINATE,
};

struct client_body { /* the lifetime of one message's body */
    bool begun;      /* Received went out */
    bool header_done;
    bool as_data;  /* chunks go out as DATA: the next hop lacks CHUNKING */
    bool last;     /* of the chunk on its way */
    bool ended;    /* of a DATA: its end was read, and what is left of it waits for the next hop */
    bool finished; /* the next hop has it all: a loss from here on is indeterminate */
    struct buf lead; /* of a DATA that goes out in chunks: what the next one begins with */
    struct body_flow flow;
    struct header_scan header;
};

struct client {
    struct gateway *gateway;
    struct client *next, *prev; /* all sessions */
    struct leg_id leg;
    unsigned listener;
    enum client_mode mode;
    bool left_over;    /* the dataplane keeps bytes that the machine did not want yet */
    bool lost;         /* the leg is; a handshake's answer is still awaited, for its reason */
    bool held_address; /* counted against max_sessions_per_address */
    uint64_t address_key;
    uint64_t started_ms, active_ms;
    uint64_t handshake_ms; /* began */
    TAILQ_ENTRY(client) in_handshakes;
    struct dp_timer idle_timer, session_timer;
    struct smtp_session smtp;
    struct auth_exchange *auth; /* under way */
    struct dns_question *ptr_question;
    char *ptr; /* NULL: unknown */
    struct hop *hop;
    struct client_body body;
    enum message_result result;
    struct {
        uint16_t code;
        struct smtp_enhanced enhanced;
        size_t len; /* of text */
        char text[160];
    } said; /* what ended the message */
    enum session_end end;
};

struct gateway_listener {
    struct tls_server_ctx *tls;
    struct smtp_offers offers;
};

struct gateway {
    struct gateway_conf conf;
    struct dp *dp;
    struct tls_service *tls;
    struct resolver *resolver;
    struct upstream *upstream;
    struct auth_server *auth; /* NULL where no listener offers it */
    struct gateway_listener *listeners;
    struct client **by_slot; /* max_legs places */
    struct client *clients;
    unsigned clients_len, handshakes_len;
    TAILQ_HEAD(, client) handshakes; /* by when they began */
    uint64_t id_counter;
    bool leaving;  /* no new sessions come: drained is called after the last */
    bool draining; /* and those there are hear 421 between transactions */
    bool told_drained;
    struct buf reply; /* of the event being handled; empty between events */
    struct dp_counters published;
    bool list_expired; /* the policy list, and that was said */
};

/* gateway.c */
struct client *client_find(const struct gateway *g, struct leg_id leg);
/* Who gets the client's bytes from here on; its time starts anew. */
void client_enter(struct client *c, enum client_mode mode);
void client_count(const struct client *c, enum counter which);
/* Sends the machine's replies, carries its actions out, and lets kept input flow again. The client
 * may be gone afterwards: false then. */
bool client_apply(struct client *c, struct smtp_out *out);
/* Gives kept bytes to whoever wants them now. */
void client_resume(struct client *c);
void client_out_init(struct client *c, struct smtp_out *out);
void client_close(struct client *c, enum session_end end, enum dp_close how);
/* The client's name by reverse look-up, or as XCLIENT said; "": unknown. */
const char *client_ptr(const struct client *c);

/* gateway_actions.c */
/* The replies of out. */
int client_reply_out(struct client *c, const struct smtp_out *out);
bool client_act(struct client *c, const struct smtp_action *action);
/* The transaction's hop is over: log line, counters, leg to the pool or cut. */
void client_message_end(struct client *c, enum message_result otherwise);
void client_said(struct client *c, const struct smtp_reply *reply);

/* gateway_auth.c */
bool client_act_auth(struct client *c);
void client_auth_end(struct client *c);

/* gateway_tls.c */
/* Whether a handshake that begins now has a place: whoever waits in vain should hear so in time. */
bool handshake_has_place(struct gateway *g, const struct client *c);
/* Begins it; false where it has no place. */
bool handshake_begin(struct client *c);
/* It is over, or the client goes. */
void handshake_end(struct client *c);

/* gateway_body.c */
bool body_begin_data(struct client *c);
bool body_begin_chunk(struct client *c, uint64_t size, bool last);
bool body_begin_drain(struct client *c, bool chunk, uint64_t size);
/* The next hop answered the DATA that a chunk needed. */
bool body_data_answer(struct client *c, const struct smtp_reply *reply);
/* The next hop takes bytes, or a chunk, again. */
void body_go_on(struct client *c);
/* Bytes of the header phase; returns how many were used. c may be gone: *ret_alive false. */
size_t body_input(struct client *c, const uint8_t *data, size_t len, bool *ret_alive);
/* Stops what moves, so that the hop can be closed or the rest drained. */
void body_leave(struct client *c);
/* more: the body, or the chunk, is not at its end yet. */
bool body_refuse(struct client *c, const struct smtp_reply *reply, bool more);

/* gateway_log.c */
void gateway_log_message(const struct client *c, enum message_result result,
                         const struct hop_facts *facts);
/* A recipient that policy refused. */
/* A certificate of the next hop's that counts and ends soon: once a day of each host. */
void gateway_log_hop_expiry(const struct client *c, const struct hop_facts *facts);
void gateway_log_refused(const struct client *c, const struct smtp_action *action);
/* mechanism and claimed: what the client used, and who it said it is. */
void gateway_log_auth(const struct client *c, enum smtp_mechanism mechanism, const char *claimed,
                      enum smtp_auth_kind kind);
void gateway_log_session(const struct client *c);
void gateway_log_tls_failure(const struct client *c, const struct tls_failure *failure);
const char *message_result_text(enum message_result result);
