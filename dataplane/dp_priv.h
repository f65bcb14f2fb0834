/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dataplane's own files share: the leg table, a leg's buffers and records, the arenas of
 * relays. Nothing above dataplane/ includes it.
 *
 *   dp_core.c     table, events, the turn, calls of control that the others lack
 *   dp_output.c   from dp_send to the transport: sealing, one send a turn, dp_close
 *   dp_input.c    from the transport to control: records, stash, loss; dp_set_keys
 *   dp_records.c  what each opened record means (alerts, KeyUpdate, tickets)
 *   dp_kernel.c   when a direction's records become the kernel's, and what is different then
 *   dp_relay.c    a body from leg to leg, through small buffers or through an arena
 *   dp_batch.c    an arena's batch: open, flow, seal
 *   dp_chunk.c    a DATA body that goes out in chunks
 *   dp_splice.c   a chunk between two legs of kernel records, by splice
 *   dp_timers.c   the heap
 */
#pragma once

#include "buf.h"
#include "dp_transport.h"
#include "tls_record.h"

enum {
    DP_SLOTS_MAX = 1 << 24,
    DP_UNSURE_MAX = 1 << 20, /* records that may be fewer, before the kernel is asked */
    DP_NO_SLOT = UINT32_MAX,
    DP_EMPTY_RECORDS_MAX = 32, /* in a row, without a byte of data in between */
    DP_WARNINGS_MAX = 8,       /* alerts that mean nothing, in a leg's life */
    DP_TICKETS_MAX = 32,       /* in a leg's life */
    DP_HANDSHAKE_MAX = 70000,  /* bytes of one post-handshake message */
    DP_KEY_UPDATES_MAX = 16,   /* in one window */
    DP_KEY_UPDATE_WINDOW_MS = 10000,
    DP_ALERT_MS = 1000,                     /* our alert is read, where nothing else tells */
    DP_CLOSE_MS = 10000,                    /* a flushing close */
    DP_CLOSE_DISCARD_MAX = 4 * 1024 * 1024, /* read and dropped while it waits for the far FIN */
    DP_ARENA_HEADROOM = 64, /* before the first byte: held bytes and a record's header fit */
    DP_ARENA_ROOM = DP_BATCH + DP_ARENA_HEADROOM,
    /* Sealing elsewhere may add bytes: a header and a tag for each record. */
    DP_ARENA_OUT_ROOM = DP_BATCH + 64 * 1024,
    DP_ARENA_RUNS = 64,
    DP_ARENAS_KEPT = 8, /* free ones that stay mapped */
#ifdef __SANITIZE_ADDRESS__
    DP_SPARE_MAX = 0, /* it judges memory that was freed, and no other */
#else
    DP_SPARE_MAX = 32, /* buffers of the output that wait for their next use */
#endif
    DP_SPARE_SIZE = 32 * 1024, /* larger ones do not */
};

/* The memory of one batch of a relay: its bytes in, and what goes out of them. */
struct dp_arena {
    struct dp_arena *next;
    unsigned refs; /* the relay, the target's output, a receive whose relay is over */
    uint8_t *in;
    uint8_t *out;      /* NULL until a batch can't be sealed where it is */
    unsigned runs_len; /* of runs, from [1] on; [0] is for what goes before them */
    unsigned runs_sent;
    struct iovec runs[1 + DP_ARENA_RUNS];
};

/* Who seals or opens a direction's records. */
enum dp_layer {
    DP_LAYER_USER,
    DP_LAYER_DUE, /* we, until the kernel can take over */
    DP_LAYER_KERNEL,
};

/* A record of another type than data, in output that the kernel seals. */
struct dp_mark {
    size_t at; /* its first byte */
    uint8_t len;
    uint8_t type;
};

/* Those of one buffer, in order: an answer to KeyUpdates, an alert. */
enum { DP_MARKS_MAX = 2 };
struct dp_marks {
    struct dp_mark of[DP_MARKS_MAX];
    uint8_t len;
};

/* A leg's records, from dp_set_keys on. */
struct dp_tls {
    struct tls_record_dir tx, rx;
    enum dp_layer tx_layer, rx_layer;
    bool tx_may, rx_may;  /* become the kernel's, by configuration, keys, and what is known of it */
    bool attached;        /* the kernel's TLS has joined the connection */
    bool mark_in_flight;  /* the send under way is the first of sending_marks */
    uint64_t unsure;      /* received from the kernel's records: at most so many records of them */
    uint64_t rx_sequence; /* up to which the kernel's records are counted */
    struct dp_marks out_marks, sending_marks;
    uint64_t records;
    uint64_t key_update_window_ms;
    uint32_t handshake_left; /* of a post-handshake message, after its header */
    uint8_t handshake_header[4];
    uint8_t handshake_have; /* bytes of the header */
    uint8_t key_updates, empty_records, warnings, tickets;
    bool want_tickets;
    bool rx_dead;    /* a record was refused, or was the last */
    bool rx_broken;  /* the kernel gives none of its records any more */
    bool alert_sent; /* a fatal one: nothing more is sealed */
    bool close_notify_sent;
};

enum dp_leg_state {
    DP_LEG_FREE,
    DP_LEG_CONNECTING,
    DP_LEG_OPEN,
    DP_LEG_FLUSHING, /* dp_close: output goes out */
    DP_LEG_FINISHED, /* FIN sent, waiting for the far one */
    DP_LEG_CLOSING,  /* the transport closes it */
};

struct dp_relay_run;

struct dp_leg {
    struct dp *dp;
    uint32_t generation;
    uint32_t next_free, next_ready, next_flush;
    enum dp_leg_state state;
    bool outgoing; /* made by dp_connect: the TLS client */
    bool in_ready, in_flush;
    bool paused, want_writable;
    bool held;                  /* all that waits came by dp_send_held */
    bool receiving, cancelling; /* a receive is at the transport; it was asked back */
    bool bounded;               /* the last receive was asked to end with a record */
    bool polling_in, polling_out;
    bool input_due;   /* stash and cipher are to be looked at again */
    bool input_ended; /* FIN, close_notify, or an error: nothing more is read */
    bool far_gone;    /* FIN, or an error of the socket */
    bool output_dead; /* the far end takes nothing any more */
    bool lost_due, lost_told;
    bool close_begun, reset;
    struct dp_lost_info lost;
    int connect_error; /* of a connect that failed at once, to be told */
    struct dp_tls *tls;
    struct buf cipher;  /* received and not yet opened; of a plaintext leg, received while paused */
    struct buf stash;   /* for control, not yet used */
    struct buf plain;   /* sent by control, not yet sealed */
    struct buf out;     /* as it goes on the wire */
    struct buf sending; /* at the transport, before bulk */
    struct dp_arena *bulk;   /* a relay's batch, at the transport */
    struct dp_arena *orphan; /* the receive under way writes here, its relay is over */
    uint8_t *exact;          /* the receive under way writes here, to the end of a record */
    size_t in_flight;
    struct dp_relay_run *source, *target; /* the relay that it is part of */
    struct dp_timer close_timer;
    size_t discarded;
};

struct dp {
    struct dp_transport *transport;
    struct dp_events events;
    void *user;
    struct dp_leg *legs;
    uint32_t max_legs, legs_used; /* slots below legs_used were used once */
    uint32_t free_head, ready_head, ready_tail, flush_head, flush_tail;
    struct buf spare[DP_SPARE_MAX + 1];
    unsigned spare_len;
    struct dp_arena *arenas_free;
    uint32_t arenas, arenas_kept, max_arenas;
    struct dp_relay_run *relays; /* all that run */
    struct dp_timer **timers;    /* a heap, from [1] on */
    uint32_t timers_len, timers_cap;
    uint64_t now_ms, wall_us;
    struct dp_counters counters;
    struct dp_kernel_when kernel_rx, kernel_tx;
    uint8_t kernel_lacks[2]; /* ciphers, one bit each, that the kernel refused: TX, RX */
    bool stopped;
};

/* dp_core.c */
static inline struct dp_leg *dp_slot(struct dp *dp, uint32_t slot)
{
    return &dp->legs[slot];
}
static inline uint32_t dp_slot_of(const struct dp *dp, const struct dp_leg *leg)
{
    return (uint32_t)(leg - dp->legs);
}
struct leg_id dp_leg_id(const struct dp *dp, const struct dp_leg *leg);
/* NULL where it is gone or being closed. */
struct dp_leg *dp_leg_find(const struct dp *dp, struct leg_id id);
/* Its input or a pending event is looked at in this turn. */
void dp_leg_ready(struct dp *dp, struct dp_leg *leg);
/* Its output and its receive are looked at at the end of this turn. */
void dp_leg_flush(struct dp *dp, struct dp_leg *leg);
void dp_leg_close_now(struct dp *dp, struct dp_leg *leg, bool reset);

/* dp_kernel.c */
/* Whether we open what it receives, seal what it sends. */
static inline bool dp_rx_user(const struct dp_leg *leg)
{
    return leg->tls && leg->tls->rx_layer != DP_LAYER_KERNEL;
}
static inline bool dp_tx_user(const struct dp_leg *leg)
{
    return leg->tls && leg->tls->tx_layer != DP_LAYER_KERNEL;
}
static inline bool dp_rx_kernel(const struct dp_leg *leg)
{
    return leg->tls && leg->tls->rx_layer == DP_LAYER_KERNEL;
}
static inline bool dp_tx_kernel(const struct dp_leg *leg)
{
    return leg->tls && leg->tls->tx_layer == DP_LAYER_KERNEL;
}
/* New keys: what the leg may and shall become. */
void dp_kernel_begin(struct dp *dp, struct dp_leg *leg, unsigned flags);
/* A relay has moved so many bytes of its body over the leg. */
void dp_kernel_moved(struct dp_leg *leg, enum tls_dir dir, uint64_t bytes);
/* Goes on with what is due, as far as that is possible now. Asks a receive back that is in the
 * way; at the end of a turn, and where a relay is about to send. */
void dp_kernel_step(struct dp *dp, struct dp_leg *leg);
/* Before a receive: how many bytes it may take at most, so that it does not pass the place where
 * the kernel can take over; 0: none now. waiting: received and not yet opened. */
size_t dp_kernel_receive_most(struct dp *dp, struct dp_leg *leg, struct span waiting);
/* A receive or splice met a record of another type: reads it, and does what it says. */
void dp_kernel_control(struct dp *dp, struct dp_leg *leg);
/* A receive of the kernel's records failed. */
void dp_kernel_broken(struct dp *dp, struct dp_leg *leg, int error);
/* A send failed: true where it was told what a receive should have been, and may be sent again. */
bool dp_kernel_send_failed(struct dp *dp, struct dp_leg *leg, int error);
/* Drops the next record of a leg that is being closed; as for a receive. */
ssize_t dp_kernel_drop(struct dp *dp, struct dp_leg *leg);
/* The next generation of keys, that the direction's records need from here on. ERR_STATE: this
 * kernel can't. */
int dp_kernel_rekey(struct dp *dp, struct dp_leg *leg, enum tls_dir dir) ERR_CHECK;
/* To the end of out, as a record of its own. */
void dp_kernel_control_record(struct dp *dp, struct dp_leg *leg, enum tls_content type,
                              const uint8_t *data, size_t len);
/* n bytes of the leg's output were sent. */
void dp_kernel_sent(struct dp *dp, struct dp_leg *leg, size_t n);
/* n bytes of data came out of the kernel's records; false: they may not be, and the leg is lost. */
bool dp_kernel_received(struct dp *dp, struct dp_leg *leg, size_t n);
/* As dp_records, at most unsure_max too high. */
uint64_t dp_kernel_records(struct dp *dp, struct dp_leg *leg, uint64_t unsure_max);
/* The leg goes away. */
void dp_kernel_end(struct dp *dp, struct dp_leg *leg);

/* dp_output.c */
size_t dp_leg_pending(const struct dp_leg *leg);
void dp_spare_free(struct dp *dp);
/* Appends to what control sent, without its bound; false: out of memory, the leg is lost. */
bool dp_leg_append(struct dp *dp, struct dp_leg *leg, const void *data, size_t len);
/* Seals all that waits, so that what comes next may take sequence numbers itself. */
void dp_leg_seal(struct dp *dp, struct dp_leg *leg);
/* Nothing of it is at the transport, nor waits to go there before a batch but out and plain. */
static inline bool dp_leg_output_idle(const struct dp_leg *leg)
{
    return leg->in_flight == 0 && buf_len(&leg->sending) == 0 && !leg->bulk;
}
/* The arena's runs go out, after all that was sealed so far; it is given back once they are gone.
 * The output must be idle. */
void dp_leg_bulk(struct dp *dp, struct dp_leg *leg, struct dp_arena *arena);
void dp_leg_control_record(struct dp *dp, struct dp_leg *leg, enum tls_content type,
                           const uint8_t *data, size_t len);
void dp_leg_fatal_alert(struct dp *dp, struct dp_leg *leg, enum tls_alert alert);
void dp_leg_output(struct dp *dp, struct dp_leg *leg);

/* dp_input.c */
void dp_leg_input(struct dp *dp, struct dp_leg *leg);
void dp_leg_arm(struct dp *dp, struct dp_leg *leg);
/* Asks the transport for the leg's next bytes; false: ask again. */
bool dp_leg_receive(struct dp *dp, struct dp_leg *leg);
/* The first loss counts. It is told once what came before is delivered. */
void dp_leg_lose(struct dp *dp, struct dp_leg *leg, enum dp_lost why, uint8_t alert, int error);

/* dp_records.c */
enum dp_record_result {
    DP_RECORD_DATA,  /* ret is plaintext */
    DP_RECORD_OTHER, /* dealt with */
    DP_RECORD_MORE,  /* no whole record there */
    DP_RECORD_LOST,  /* the leg's input is over */
};
/* Opens the record at data in place and deals with what is not data. ret_len: its length. */
enum dp_record_result dp_record_next(struct dp *dp, struct dp_leg *leg, uint8_t *data, size_t len,
                                     struct tls_record *ret, size_t *ret_len);
/* The same for one that the kernel opened and that is not data. */
void dp_record_kernel(struct dp *dp, struct dp_leg *leg, const struct tls_record *record);
/* It opened one that may not come now. */
void dp_record_refused(struct dp *dp, struct dp_leg *leg);

/* dp_relay.c */
struct dp_relay_run {
    struct dp_relay_run *next, *previous;
    struct dp *dp;
    struct dp_relay relay;
    dp_relay_done *done;
    void *user;
    struct dp_leg *from, *to; /* to: NULL where the body is dropped */
    struct body_flow flow;
    uint64_t moved_ms; /* when a byte last came or went */
    uint64_t bytes;    /* received */
    struct dp_timer tick;
    bool begun;
    /* Where it goes out in chunks: */
    bool chunked;
    bool ended;       /* the body's end was read */
    bool chunk_waits; /* control said: not now */
    struct buf held;  /* passed on, in front of what is staged */
    size_t staged;    /* bytes in the arena's out, as records that are not sealed yet */
    /* By splice: */
    bool splicing;
    bool splice_refused; /* no pipe to be had */
    bool splice_receive; /* one receive has to tell what a splice can't */
    bool has_pipe;
    size_t pipe_held;
    /* With an arena: */
    struct dp_arena *arena;  /* NULL: through the legs' small buffers */
    size_t in_start, in_end; /* received and not yet opened */
    uint8_t *opened;         /* plaintext of a record that a full batch stopped in */
    size_t opened_len;
    bool fresh;                /* there is something that no batch has looked at */
    bool slow;                 /* the source trickles: no arena for it */
    struct span tail;          /* the body's last bytes: they join what control sends next */
    size_t out_used, out_fill; /* sealing elsewhere: records so far, plaintext of the next */
    uint8_t carry[16];         /* judged and passed on, goes in front of the next record */
    size_t carry_len;
};

/* Bytes of the source; those not of the body any more end in its stash and cipher. */
void dp_relay_received(struct dp_relay_run *run, uint8_t *data, ssize_t n);
/* The target's output got shorter, or the source has something: goes on where it can. */
void dp_relay_pump(struct dp_relay_run *run);
void dp_relay_moved(struct dp_relay_run *run);
/* Asks the transport for the source's next bytes; false: ask again. */
bool dp_relay_arm(struct dp_relay_run *run);
void dp_relay_end(struct dp_relay_run *run, enum dp_relay_end end);
enum { DP_RELAY_TARGET_MAX = 64 * 1024 }; /* of output, beyond which the small way waits */
/* Leaves the arena; false where something in it is still to be dealt with. */
bool dp_relay_small(struct dp_relay_run *run);
/* Keeps plaintext that is not the body's any more for control. */
void dp_relay_keep(struct dp_relay_run *run, const uint8_t *data, size_t len);
void dp_arena_unref(struct dp *dp, struct dp_arena *arena);
void dp_arenas_free(struct dp *dp);

/* dp_batch.c */
enum dp_batch_end {
    DP_BATCH_MORE, /* all whole records are dealt with */
    DP_BATCH_FULL, /* no room for more output: send, then go on */
    DP_BATCH_LOST, /* the source's input is over */
    DP_BATCH_BODY, /* the body ended, or was refused: ret_result */
};
/* Runs what has been received through the flow into the arena's runs, sealed. */
enum dp_batch_end dp_batch_step(struct dp_relay_run *run, enum body_result *ret_result);

/* The staged bytes go into the target's output, which is idle where there are more than a few. */
void dp_batch_send_staged(struct dp_relay_run *run);
/* The arena goes: they are held instead. */
void dp_batch_hold_staged(struct dp_relay_run *run);

/* dp_chunk.c */
bool dp_chunk_hold(struct dp_relay_run *run, const uint8_t *data, size_t len);
/* Sends what is ready: from a size that is worth a command on, at the body's end, or all of it.
 * False: no more of the body may be looked at, because a chunk waits, or the relay is over. */
bool dp_chunk_pump(struct dp_relay_run *run, bool all);

/* dp_splice.c */
/* Whether what is left of the body is to go by splice. */
bool dp_splice_may(const struct dp_relay_run *run);
/* Goes on by splice, where nothing is in the way: no receive is under way. */
bool dp_splice_begin(struct dp_relay_run *run);
void dp_splice_pump(struct dp_relay_run *run);
/* Gives the pipe back. */
void dp_splice_end(struct dp_relay_run *run);

/* dp_timers.c */
void dp_timers_fire(struct dp *dp);
