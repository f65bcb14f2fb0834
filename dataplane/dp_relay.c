/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay moves a body from leg to leg. It begins through the legs' own small buffers, which is
 * all that a small message needs, and takes an arena once the source fills whole buffers; a source
 * that trickles or stops gives the arena back. So memory goes to the bodies that move, and when
 * all arenas are taken a relay is only less fast.
 */
#include "dp_priv.h"

#include "assertion.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    TICK_MS = 1000,
    RECEIVE_MIN = 64 * 1024, /* room in an arena that is worth a receive */
    TRICKLE = 2048,          /* a receive of less: the source is slow */
};

/* Arenas. */

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void arena_free(struct dp_arena *arena)
{
    if (arena->in)
        munmap(arena->in, DP_ARENA_ROOM);
    if (arena->out)
        munmap(arena->out, DP_ARENA_OUT_ROOM);
    free(arena);
}

static struct dp_arena *arena_take(struct dp *dp)
{
    struct dp_arena *arena = dp->arenas_free;

    if (arena) {
        dp->arenas_free = arena->next;
        dp->arenas_kept--;
    } else {
        if (dp->arenas >= dp->max_arenas)
            return NULL;
        arena = calloc(1, sizeof(*arena));
        if (!arena)
            return NULL;
        arena->in = map(DP_ARENA_ROOM);
        if (!arena->in) {
            free(arena);
            return NULL;
        }
        dp->arenas++;
    }
    arena->refs = 1;
    arena->runs_len = arena->runs_sent = 0;
    return arena;
}

void dp_arena_unref(struct dp *dp, struct dp_arena *arena)
{
    ASSERT(arena->refs > 0);
    if (--arena->refs > 0)
        return;
    if (dp->arenas_kept >= DP_ARENAS_KEPT) {
        dp->arenas--;
        arena_free(arena);
        return;
    }
    arena->next = dp->arenas_free;
    dp->arenas_free = arena;
    dp->arenas_kept++;
}

void dp_arenas_free(struct dp *dp)
{
    while (dp->arenas_free) {
        struct dp_arena *arena = dp->arenas_free;
        dp->arenas_free = arena->next;
        arena_free(arena);
    }
}

/* The end. */

static enum dp_relay_end end_of(enum body_result result)
{
    switch (result) {
    case BODY_BARE_CR:
        return DP_RELAY_BARE_CR;
    case BODY_BARE_LF:
        return DP_RELAY_BARE_LF;
    case BODY_TOO_BIG:
        return DP_RELAY_TOO_BIG;
    case BODY_MORE:
    case BODY_END:
        break;
    }
    return DP_RELAY_DONE;
}

void dp_relay_keep(struct dp_relay_run *run, const uint8_t *data, size_t len)
{
    if (buf_append(&run->from->stash, data, len) != ERR_OK)
        dp_leg_lose(run->dp, run->from, DP_LOST_RESET, 0, ENOMEM);
}

static void keep_sealed(struct dp_relay_run *run, const uint8_t *data, size_t len)
{
    if (buf_append(&run->from->cipher, data, len) != ERR_OK)
        dp_leg_lose(run->dp, run->from, DP_LOST_RESET, 0, ENOMEM);
}

/* What the arena holds and the body does not need goes back to the leg. */
static void arena_leave(struct dp_relay_run *run)
{
    struct dp_arena *arena = run->arena;
    struct dp_leg *from = run->from;

    dp_relay_keep(run, run->opened, run->opened_len);
    if (dp_rx_user(from))
        keep_sealed(run, arena->in + run->in_start, run->in_end - run->in_start);
    else
        dp_relay_keep(run, arena->in + run->in_start, run->in_end - run->in_start);
    run->opened_len = 0;
    run->arena = NULL;
    if (!from->receiving) {
        dp_arena_unref(run->dp, arena);
        return;
    }
    from->orphan = arena; /* until the receive into it is back */
    if (!from->cancelling)
        from->cancelling =
            run->dp->transport->ops->receive_cancel(run->dp->transport, dp_slot_of(run->dp, from));
}

void dp_relay_end(struct dp_relay_run *run, enum dp_relay_end end)
{
    struct dp *dp = run->dp;
    struct dp_leg *from = run->from;

    dp_timer_stop(dp, &run->tick);
    if (run->arena)
        arena_leave(run);
    from->source = NULL;
    from->input_due = true;
    dp_leg_ready(dp, from);
    dp_leg_flush(dp, from);
    if (run->to)
        run->to->target = NULL;
    if (run->previous)
        run->previous->next = run->next;
    else
        dp->relays = run->next;
    if (run->next)
        run->next->previous = run->previous;
    dp->counters.relays--;
    dp_splice_end(run);
    buf_release(&run->held);
    struct dp_relay_result result = {
        .end = end, .flow = run->flow, .body_ended = run->ended || end == DP_RELAY_DONE};
    run->done(run->user, &run->relay, &result);
    free(run);
}

/* Through small buffers. */

static enum body_result small_body(struct dp_relay_run *run, const uint8_t *data, size_t len,
                                   size_t *ret_used)
{
    enum body_result result;

    *ret_used = 0;
    if (!run->to)
        return body_flow_drain(&run->flow, data, len, ret_used);
    do {
        struct body_piece piece;
        result = body_flow_step(&run->flow, data + *ret_used, len - *ret_used, &piece);
        *ret_used += piece.used;
        if (piece.pass.len == 0 || (result != BODY_MORE && result != BODY_END))
            continue;
        if (run->chunked)
            (void)dp_chunk_hold(run, piece.pass.ptr, piece.pass.len);
        else
            (void)dp_leg_append(run->dp, run->to, piece.pass.ptr, piece.pass.len);
    } while (result == BODY_MORE && *ret_used < len);
    return result;
}

/* The body ended or was refused. */
static void over(struct dp_relay_run *run, enum body_result result)
{
    run->ended = result == BODY_END;
    if (run->chunked && run->ended)
        (void)dp_chunk_pump(run, true);
    else
        dp_relay_end(run, end_of(result));
}

/* Plaintext at data, what follows it still sealed; false: the body is over. */
static bool small_plain(struct dp_relay_run *run, const uint8_t *data, size_t len,
                        struct span sealed)
{
    size_t used;
    enum body_result result = small_body(run, data, len, &used);

    if (result == BODY_MORE)
        return true;
    if (used < len)
        dp_relay_keep(run, data + used, len - used);
    if (sealed.len > 0)
        keep_sealed(run, sealed.ptr, sealed.len);
    over(run, result);
    return false;
}

/* Bytes as they came, not in the leg's own buffer; false: the body is over. */
static bool small_bytes(struct dp_relay_run *run, uint8_t *data, size_t len)
{
    size_t at = 0;

    if (!dp_rx_user(run->from))
        return small_plain(run, data, len, span_make(NULL, 0));
    for (;;) {
        struct tls_record record;
        size_t record_len;
        switch (dp_record_next(run->dp, run->from, data + at, len - at, &record, &record_len)) {
        case DP_RECORD_LOST:
            dp_relay_end(run, DP_RELAY_FROM_LOST);
            return false;
        case DP_RECORD_MORE:
            keep_sealed(run, data + at, len - at);
            return true;
        case DP_RECORD_OTHER:
            at += record_len;
            break;
        case DP_RECORD_DATA:
            at += record_len;
            if (!small_plain(run, record.data, record.len, span_make(data + at, len - at)))
                return false;
            break;
        }
    }
}

static bool target_has_room(const struct dp_relay_run *run)
{
    if (run->ended || run->chunk_waits)
        return false;
    return !run->to || dp_leg_pending(run->to) + buf_len(&run->held) < DP_RELAY_TARGET_MAX;
}

/* What waited in the leg: first its stash, then what is still sealed. */
static bool small_waiting(struct dp_relay_run *run)
{
    struct dp_leg *from = run->from;
    bool goes_on = true;

    if (!target_has_room(run))
        return true;
    if (buf_len(&from->stash) > 0 || !run->begun) {
        struct buf work = from->stash;
        buf_init(&from->stash, 0);
        run->begun = true;
        struct span first = buf_len(&work) > 0 ? buf_span(&work) : SPAN_LIT("");
        goes_on = small_plain(run, first.ptr, first.len, span_make(NULL, 0));
        buf_release(&work);
    }
    if (goes_on && buf_len(&from->cipher) > 0 && target_has_room(run)) {
        struct buf work = from->cipher;
        buf_init(&from->cipher, 0);
        goes_on = small_bytes(run, work.data + work.start, buf_len(&work));
        buf_release(&work);
    }
    return goes_on;
}

static void small_pump(struct dp_relay_run *run)
{
    if (run->chunked && !dp_chunk_pump(run, false))
        return;
    if (!small_waiting(run) || (run->chunked && !dp_chunk_pump(run, false)))
        return;
    if (run->from->input_ended && target_has_room(run))
        dp_relay_end(run, DP_RELAY_FROM_LOST);
    else
        dp_leg_flush(run->dp, run->from);
}

/* Through an arena. */

static void go_fast(struct dp_relay_run *run)
{
    struct buf *cipher = &run->from->cipher;
    size_t partial = buf_len(cipher);

    if (!run->to || dp_splice_may(run) || partial > DP_BATCH - RECEIVE_MIN || !target_has_room(run))
        return;
    run->arena = arena_take(run->dp);
    if (!run->arena)
        return;
    if (partial > 0)
        memcpy(run->arena->in + DP_ARENA_HEADROOM, buf_span(cipher).ptr, partial);
    buf_release(cipher);
    run->in_start = DP_ARENA_HEADROOM;
    run->in_end = DP_ARENA_HEADROOM + partial;
    run->opened_len = run->carry_len = 0;
    run->out_used = run->out_fill = run->staged = 0;
    run->fresh = run->slow = false;
}

static void go_small(struct dp_relay_run *run)
{
    if (run->chunked)
        dp_batch_hold_staged(run);
    arena_leave(run);
    if (run->carry_len > 0)
        (void)dp_leg_append(run->dp, run->to, run->carry, run->carry_len);
    run->carry_len = 0;
    run->slow = false;
}

bool dp_relay_small(struct dp_relay_run *run)
{
    if (!run->arena)
        return true;
    if (run->fresh || run->opened_len > 0 || run->in_end > run->in_start)
        return false;
    go_small(run);
    return true;
}

static void compact(struct dp_relay_run *run)
{
    uint8_t *in = run->arena->in;
    size_t len = run->in_end - run->in_start;

    memmove(in + DP_ARENA_HEADROOM, in + run->in_start, len);
    run->in_start = DP_ARENA_HEADROOM;
    run->in_end = DP_ARENA_HEADROOM + len;
}

/* The target's output is idle: one batch. False: the relay is over, or a chunk waits. */
static bool fast_batch(struct dp_relay_run *run)
{
    struct dp_arena *arena = run->arena;
    enum body_result result = BODY_MORE;

    if (!arena->out && !(arena->out = map(DP_ARENA_OUT_ROOM))) {
        go_small(run);
        return true;
    }
    if (dp_tx_user(run->to))
        dp_leg_seal(run->dp, run->to);
    arena->runs_len = arena->runs_sent = 0;
    if (run->staged == 0)
        run->out_used = run->out_fill = 0;
    run->tail = span_make(NULL, 0);
    enum dp_batch_end end = dp_batch_step(run, &result);
    if (arena->runs_len > 0 && !run->to->output_dead)
        dp_leg_bulk(run->dp, run->to, arena);
    run->fresh = end == DP_BATCH_FULL;
    if (end == DP_BATCH_LOST) {
        dp_relay_end(run, DP_RELAY_FROM_LOST);
        return false;
    }
    if (end != DP_BATCH_BODY)
        return !run->chunked || dp_chunk_pump(run, false);
    if (result == BODY_END && run->tail.len > 0)
        (void)dp_leg_append(run->dp, run->to, run->tail.ptr, run->tail.len);
    over(run, result);
    return false;
}

static void fast_pump(struct dp_relay_run *run)
{
    struct dp_leg *from = run->from;

    if (run->chunked && !dp_chunk_pump(run, false))
        return;
    if (run->fresh && dp_leg_output_idle(run->to)) {
        dp_kernel_step(run->dp, run->to);
        if (!fast_batch(run))
            return;
    }
    if (!run->arena) {
        small_pump(run);
        return;
    }
    if (!run->fresh && !from->receiving) {
        if (from->input_ended) {
            dp_relay_end(run, DP_RELAY_FROM_LOST);
            return;
        }
        if (run->slow)
            go_small(run);
        else if (dp_leg_output_idle(run->to))
            compact(run);
    }
    dp_leg_flush(run->dp, from);
}

void dp_relay_pump(struct dp_relay_run *run)
{
    if (run->to && run->to->lost_due)
        dp_relay_end(run, DP_RELAY_TO_LOST);
    else if (run->splicing)
        dp_splice_pump(run);
    else if (run->arena)
        fast_pump(run);
    else
        small_pump(run);
}

void dp_relay_moved(struct dp_relay_run *run)
{
    run->moved_ms = run->dp->now_ms;
}

void dp_relay_received(struct dp_relay_run *run, uint8_t *data, ssize_t n)
{
    struct dp_leg *from = run->from;

    run->splice_receive = false;
    if (n > 0) {
        dp_relay_moved(run);
        run->bytes += (uint64_t)n;
        dp_kernel_moved(from, TLS_DIR_RX, run->bytes);
        if (run->to)
            dp_kernel_moved(run->to, TLS_DIR_TX, run->bytes);
    }
    if (run->arena) {
        run->slow = n <= 0 || (n < TRICKLE && !from->bounded);
        if (n > 0) {
            run->in_end += (size_t)n;
            run->fresh = true;
        }
        dp_leg_ready(run->dp, from);
        return;
    }
    if (n <= 0)
        return;
    bool whole = n >= DP_RECEIVE_BUFFER;
    if (run->begun && buf_len(&from->stash) == 0 && buf_len(&from->cipher) == 0 &&
        target_has_room(run)) {
        if (!small_bytes(run, data, (size_t)n) || (run->chunked && !dp_chunk_pump(run, false)))
            return;
    } else {
        keep_sealed(run, data, (size_t)n);
        if (!small_waiting(run))
            return;
    }
    if (whole && buf_len(&from->stash) == 0)
        go_fast(run);
}

bool dp_relay_arm(struct dp_relay_run *run)
{
    struct dp_transport *transport = run->dp->transport;
    struct dp_leg *from = run->from;
    uint32_t slot = dp_slot_of(run->dp, from);

    if (run->ended || run->chunk_waits || run->splicing)
        return true;
    if (dp_splice_begin(run))
        return true;
    if (run->arena) {
        size_t room = DP_ARENA_ROOM - run->in_end;
        if (run->fresh || room < RECEIVE_MIN)
            return true;
        struct span waiting =
            span_make(run->arena->in + run->in_start, run->in_end - run->in_start);
        size_t most = dp_kernel_receive_most(run->dp, from, waiting);
        if (most == 0)
            return true;
        from->bounded = most < room;
        from->receiving = transport->ops->receive_into(
            transport, slot, run->arena->in + run->in_end, from->bounded ? most : room);
        return from->receiving;
    }
    if (!run->begun || !target_has_room(run))
        return true;
    return dp_leg_receive(run->dp, from);
}

static uint64_t tick_after(const struct dp_relay_run *run, uint64_t still_ms)
{
    uint64_t idle_ms = run->relay.idle_timeout_ms;

    return idle_ms != 0 && idle_ms - still_ms < TICK_MS ? idle_ms - still_ms : TICK_MS;
}

static void tick(void *user, struct dp_timer *timer)
{
    struct dp_relay_run *run = user;
    struct dp *dp = run->dp;
    uint64_t still_ms = dp->now_ms - run->moved_ms;

    if (run->relay.idle_timeout_ms != 0 && still_ms >= run->relay.idle_timeout_ms) {
        bool target =
            run->to && (run->chunk_waits || run->pipe_held > 0 || dp_leg_pending(run->to) > 0);
        dp_relay_end(run, target ? DP_RELAY_TIMEOUT_TO : DP_RELAY_TIMEOUT_FROM);
        return;
    }
    if (run->arena && run->from->receiving && !run->from->cancelling && still_ms >= TICK_MS)
        run->from->cancelling =
            dp->transport->ops->receive_cancel(dp->transport, dp_slot_of(dp, run->from));
    /* What a slow source has sent is not kept from the next hop for the sake of larger chunks. */
    if (run->chunked && !run->ended && still_ms >= TICK_MS)
        (void)dp_chunk_pump(run, true);
    if (dp_timer_start(dp, timer, tick_after(run, still_ms)) != ERR_OK)
        dp_relay_end(run, DP_RELAY_STOPPED);
}

static bool becomes_chunks(const struct dp_relay *relay)
{
    return relay->flow.in == BODY_FRAME_DOT && relay->flow.out == BODY_FRAME_LENGTH;
}

static int relay_check(struct dp *dp, const struct dp_relay *relay, struct dp_leg **ret_from,
                       struct dp_leg **ret_to)
{
    *ret_from = dp_leg_find(dp, relay->from);
    *ret_to = leg_is_none(relay->to) ? NULL : dp_leg_find(dp, relay->to);
    if (!*ret_from || (!*ret_to && !leg_is_none(relay->to)))
        return ERR_STALE;
    if ((*ret_from)->state != DP_LEG_OPEN || (*ret_from)->source || *ret_from == *ret_to)
        return ERR_STATE;
    if (*ret_to && ((*ret_to)->state != DP_LEG_OPEN || (*ret_to)->target))
        return ERR_STATE;
    if (*ret_to && becomes_chunks(relay) && !relay->chunk)
        return ERR_UNSUPPORTED;
    return ERR_OK;
}

int dp_relay(struct dp *dp, const struct dp_relay *relay, dp_relay_done *done, void *user)
{
    struct dp_leg *from, *to;
    int err = relay_check(dp, relay, &from, &to);

    if (err != ERR_OK)
        return err;
    struct dp_relay_run *run = malloc(sizeof(*run));
    if (!run)
        return ERR_NOMEM;
    *run = (struct dp_relay_run){.dp = dp,
                                 .relay = *relay,
                                 .done = done,
                                 .user = user,
                                 .from = from,
                                 .to = to,
                                 .flow = relay->flow,
                                 .moved_ms = dp->now_ms,
                                 .chunked = to && becomes_chunks(relay),
                                 .next = dp->relays,
                                 .tick = {.fire = tick, .user = run}};
    if (dp_timer_start(dp, &run->tick, tick_after(run, 0)) != ERR_OK) {
        free(run);
        return ERR_NOMEM;
    }
    if (dp->relays)
        dp->relays->previous = run;
    dp->relays = run;
    from->source = run;
    if (to) {
        to->target = run;
        to->held = false;
        dp_leg_flush(dp, to);
    }
    dp->counters.relays++;
    dp_leg_ready(dp, from);
    return ERR_OK;
}

int dp_relay_resume(struct dp *dp, struct leg_id id)
{
    struct dp_leg *from = dp_leg_find(dp, id);

    if (!from)
        return ERR_STALE;
    if (!from->source)
        return ERR_STATE;
    from->source->chunk_waits = false;
    dp_leg_ready(dp, from);
    return ERR_OK;
}

int dp_relay_stop(struct dp *dp, struct leg_id id)
{
    struct dp_leg *from = dp_leg_find(dp, id);

    if (!from)
        return ERR_STALE;
    if (!from->source)
        return ERR_STATE;
    dp_relay_end(from->source, DP_RELAY_STOPPED);
    return ERR_OK;
}
