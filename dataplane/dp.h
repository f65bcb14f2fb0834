/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dataplane: legs, their records, the event loop, and relay. This is the one interface that
 * control speaks to: listen, connect, send, receive, set_keys, relay, close, timer, watch_fd.
 * Control never asks which transport or record layer a leg is on.
 *
 * One struct dp lives in one thread of one worker, which calls dp_run; all events come from there,
 * none from inside a dp_ call (a call may be made from any event). A leg is named by slot and
 * generation; calls with the name of a leg that is gone return ERR_STALE and do no harm.
 *
 * A leg exists from accept or connect on, first in plaintext. dp_set_keys changes its keys, once,
 * and never makes a leg. Everything sent before it goes out as it is, before; everything after is
 * sealed.
 *
 * Who seals and opens a leg's records, we or the transport's kernel, is decided here for each
 * direction, from dp_conf, what the kernel can do, and the leg's own keys. Where the kernel can't,
 * or refuses, the records stay ours, and nobody notices.
 */
#pragma once

#include "body_flow.h"
#include "errcode.h"
#include "leg_id.h"
#include "net_addr.h"
#include "span.h"
#include "tls_keys.h"

struct dp;

/* How the far end of a leg went away. */
enum dp_lost {
    DP_LOST_EOF,        /* orderly: FIN in plaintext, or close_notify in TLS */
    DP_LOST_TRUNCATED,  /* FIN without close_notify: never success */
    DP_LOST_RESET,      /* RST, or another socket error */
    DP_LOST_ALERT,      /* fatal TLS alert received; see alert */
    DP_LOST_BAD_RECORD, /* malformed or not authentic; our alert was sent */
    DP_LOST_LIMIT,      /* KeyUpdates, empty records or tickets beyond what is allowed */
    DP_LOST_SEND,       /* the far end takes no bytes any more */
    DP_LOST_REKEY,      /* a KeyUpdate, which this kernel's records can't follow; our alert was
                           sent. The peer's next session should have user records (DP_KEYS_USER) */
};

struct dp_lost_info {
    enum dp_lost why;
    uint8_t alert; /* RFC 8446 section 6, with DP_LOST_ALERT */
    int error;     /* errno, with RESET and SEND; else 0 */
};

struct dp_events {
    /* A new leg on listener (the number that dp_listen gave). */
    void (*accepted)(void *user, unsigned listener, struct leg_id leg, const union net_addr *peer,
                     const union net_addr *local);
    /* A dp_connect ended: error 0 or an errno. After an error the leg is gone. */
    void (*connected)(void *user, struct leg_id leg, int error);
    /*
     * Bytes for the application (plaintext of a TLS leg), together with all that the last call left
     * over. Returns how many were used: the rest is kept and given again with the next bytes, or
     * at once after dp_resume. A receiver that returns 0 for DP_STASH_MAX bytes is stopped until
     * dp_resume: it must deal with lines that are too long. Not called while the leg is paused or
     * is the source of a relay.
     */
    size_t (*received)(void *user, struct leg_id leg, const uint8_t *data, size_t len);
    /* TLS 1.3 client legs whose keys were set with DP_KEYS_TICKETS: each whole record, still
     * sealed, up to the first application data. */
    void (*ticket_record)(void *user, struct leg_id leg, struct span record);
    /* The far end is gone and all it sent was delivered. An orderly end waits while the leg is
     * paused, a reset or an alert does not. Not called after dp_close. The leg stays until
     * dp_close, but nothing can be sent. */
    void (*lost)(void *user, struct leg_id leg, const struct dp_lost_info *info);
    /* After a send ended with ERR_FULL: the leg's output has fallen below half its bound. */
    void (*writable)(void *user, struct leg_id leg);
    /* All events of this turn of the loop were told, and nothing that was sent in them has gone
     * out yet: what must be done before anybody hears of them is done here. It calls nothing of
     * this dataplane. NULL: there is nothing to do. */
    void (*turned)(void *user);
};

enum {
    DP_STASH_MAX = 64 * 1024,   /* received and not yet used, per leg */
    DP_OUTPUT_MAX = 256 * 1024, /* sent by control and not yet taken by the transport, per leg */
    DP_BATCH = 256 * 1024,      /* a relay's arena: only while it moves a body */
};

/* When a direction's records become the kernel's: never, at the hand-off (after_bytes 0), or once a
 * relay has moved so many bytes of one body over the leg. */
struct dp_kernel_when {
    bool on;
    uint64_t after_bytes;
};

struct dp_conf {
    uint32_t max_legs;
    uint32_t max_relays; /* arenas: relays beyond it go on through small buffers, less fast */
    struct dp_kernel_when kernel_rx, kernel_tx; /* no harm where the transport has no such thing */
};

/* A transport is chosen once, here. Each function makes a whole dataplane over one. */
int dp_uring_new(const struct dp_conf *conf, const struct dp_events *events, void *user,
                 struct dp **ret) ERR_CHECK;
/* dp_sim_new is in dp_sim.h. */
void dp_free(struct dp *dp);

/* Runs until dp_stop; ERR_SYSTEM where the loop itself fails. */
int dp_run(struct dp *dp) ERR_CHECK;
void dp_stop(struct dp *dp);

/* Milliseconds of a clock that never goes back (virtual in sim). */
uint64_t dp_now_ms(const struct dp *dp);
/* Seconds and microseconds since 1970, read once per turn of the loop. */
uint64_t dp_wall_us(const struct dp *dp);

/* fd: a listening socket that the caller owns and keeps open; it becomes a blocking one with
 * TCP_NODELAY. Accepts until dp_unlisten. */
int dp_listen(struct dp *dp, int fd, unsigned listener) ERR_CHECK;
int dp_unlisten(struct dp *dp, unsigned listener) ERR_CHECK;
/* source: NULL, or the address to bind to (port 0). ERR_LIMIT where the leg table is full. */
int dp_connect(struct dp *dp, const union net_addr *to, const union net_addr *source,
               struct leg_id *ret_leg) ERR_CHECK;

/* Takes a copy. Sent in one go with everything else of this turn of the loop. ERR_FULL: nothing
 * was taken, wait for writable (more than DP_OUTPUT_MAX at once never fits). ERR_CLOSED: the far
 * end takes nothing any more, or lost was told. */
int dp_send(struct dp *dp, struct leg_id leg, const void *data, size_t len) ERR_CHECK;
/* As dp_send, for bytes that need not go out by themselves: they wait for the next dp_send, a
 * relay's first bytes, or a close, and spare a record and a packet. */
int dp_send_held(struct dp *dp, struct leg_id leg, const void *data, size_t len) ERR_CHECK;
/* Bytes of output not yet taken by the transport. */
size_t dp_pending(const struct dp *dp, struct leg_id leg);

/* No received events until dp_resume; input stays in the kernel, at most one buffer here. */
int dp_pause(struct dp *dp, struct leg_id leg) ERR_CHECK;
int dp_resume(struct dp *dp, struct leg_id leg) ERR_CHECK;

enum dp_keys_flags {
    DP_KEYS_TICKETS = 1, /* ticket_record events, until the first application data */
    DP_KEYS_USER = 2,    /* never the kernel's records: this peer sends KeyUpdates */
};

/* The hand-off. rest: ciphertext that came with the handshake's last record. The caller's keys are
 * copied; it wipes its own. flags: of dp_keys_flags. Preconditions (checked, ERR_STATE): no keys
 * yet, nothing unused in the leg's stash. Nothing fails after the commit. */
int dp_set_keys(struct dp *dp, struct leg_id leg, const struct tls_keys *keys, struct span rest,
                unsigned flags) ERR_CHECK;
/* Records sealed plus opened on the leg, for the rule that legs retire after 2^23: with kernel
 * records an upper bound, up to 2^20 too high. */
uint64_t dp_records(struct dp *dp, struct leg_id leg);

struct dp_relay {
    struct leg_id from;
    struct leg_id to;         /* LEG_NONE: the body is read to its end and dropped */
    struct body_flow flow;    /* framing, limits, and the state from what went before */
    uint32_t idle_timeout_ms; /* no byte moved for so long */
    /*
     * DOT in and LENGTH out, else NULL: len bytes of the body are ready to go as one chunk. Control
     * sends the chunk's command (dp_send) from inside, and they go out right behind it. last: the
     * body is whole and passed every check, and these bytes, or none, are the rest of it. False:
     * not now; asked again after dp_relay_resume. It may close no leg and end no relay. user is
     * that of done.
     */
    bool (*chunk)(void *user, const struct dp_relay *relay, size_t len, bool last);
};

enum dp_relay_end {
    DP_RELAY_DONE,      /* the whole body is in the next leg's output; no final dot was sent */
    DP_RELAY_FROM_LOST, /* the lost event follows */
    DP_RELAY_TO_LOST,   /* the same; the source's body is not at its end: drain it */
    DP_RELAY_TOO_BIG,
    DP_RELAY_BARE_CR,
    DP_RELAY_BARE_LF,
    DP_RELAY_TIMEOUT_FROM, /* the source was silent */
    DP_RELAY_TIMEOUT_TO,   /* the target took no bytes */
    DP_RELAY_STOPPED,      /* by dp_relay_stop */
};

struct dp_relay_result {
    enum dp_relay_end end;
    struct body_flow flow; /* as it stands, for the next chunk or for the drain */
    bool body_ended; /* the source's body was read to its end, wherever it got: nothing is to be
                        drained */
};

/*
 * Moves a body from leg to leg; done is called once, never from inside dp_relay itself. A DOT
 * target gets everything but the final "." CRLF: control sends that, so that it alone decides that
 * a message is complete (body_flow_finish says which). Bytes not used by the last received event
 * are the body's first. While it runs, from's received events stop; to's go on (the next hop may
 * answer early). Bytes beyond the body come as received events after done. ERR_STATE: from has a
 * relay already. ERR_UNSUPPORTED: DOT in and LENGTH out without chunk.
 */
typedef void dp_relay_done(void *user, const struct dp_relay *relay,
                           const struct dp_relay_result *result);
int dp_relay(struct dp *dp, const struct dp_relay *relay, dp_relay_done *done,
             void *user) ERR_CHECK;
/* After its chunk said false. ERR_STATE: from has no relay. */
int dp_relay_resume(struct dp *dp, struct leg_id from) ERR_CHECK;
/* Ends the relay of from with DP_RELAY_STOPPED; done is called before it returns. */
int dp_relay_stop(struct dp *dp, struct leg_id from) ERR_CHECK;

enum dp_close {
    DP_CLOSE_FLUSH, /* what was sent, then close_notify, then FIN; bounded by 10 s */
    DP_CLOSE_CUT,   /* at once, nothing more: a body must not look complete */
};
/* No event of this leg comes after it. A relay that the leg is part of ends first, as by
 * dp_relay_stop: done is called before this returns. CUT is a RST, but after a fatal alert of ours
 * it is a FIN, so that the alert arrives. */
int dp_close(struct dp *dp, struct leg_id leg, enum dp_close how);

/* A timer lives inside its owner's struct; it must be stopped before that goes. fire may restart
 * it. Zeroed means stopped. */
struct dp_timer {
    void (*fire)(void *user, struct dp_timer *timer);
    void *user;
    uint64_t due_ms;
    uint32_t heap_place; /* 0: not running */
};
/* Also restarts. ERR_NOMEM. */
int dp_timer_start(struct dp *dp, struct dp_timer *timer, uint64_t after_ms) ERR_CHECK;
void dp_timer_stop(struct dp *dp, struct dp_timer *timer);

/* Calls ready whenever fd can be read, until dp_unwatch_fd: for sockets of other processes. */
int dp_watch_fd(struct dp *dp, int fd, void (*ready)(void *user, int fd), void *user) ERR_CHECK;
void dp_unwatch_fd(struct dp *dp, int fd);

/* Counters of this dataplane since it was made. */
struct dp_counters {
    uint64_t bytes_in, bytes_out; /* on the wire; plaintext where the kernel seals and opens */
    uint64_t bytes_spliced;       /* of these, from socket to socket */
    uint64_t records_opened, records_sealed; /* by us */
    uint64_t key_updates, submits;           /* submits: system calls of the loop */
    uint32_t legs, relays;                   /* now */
    uint32_t kernel_rx, kernel_tx;           /* legs now whose records the kernel opens, seals */
    uint64_t kernel_refused; /* directions that were to be the kernel's and stayed ours */
};
void dp_counters(const struct dp *dp, struct dp_counters *ret);
