/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch of a relay: records are opened where they were received, their plaintext runs through
 * the body's flow, and goes out
 *   in place, sealed over the bytes it came in, where the target's records are no larger than
 *     the source's: nothing is copied, and the buffer is hot;
 *   as a view of the received bytes, where the target is plaintext;
 *   through a copy, where neither fits: other framing, dot-stuffing, normalizing.
 *
 * A body that becomes chunks is staged instead: its length goes out before it, so records are laid
 * out in arena->out and sealed there once control has written the chunk's command.
 *
 * In place, the few bytes that a flow held back at the end of a record (a CR, a dot) must come
 * before the next record's: they are put in front of it. There is always room: what was held back
 * made the record before shorter by as much, and a batch begins with headroom.
 */
#include "dp_priv.h"

#include "assertion.h"

#include <errno.h>

enum {
    TAIL_MAX = 8 * 1024, /* a body's end of so many bytes waits for the final dot */
    DIRECT_MIN = 4096,   /* pieces from this size on are sealed without a copy */
    CARRY_KEEP = 8,      /* so many held bytes make no record of their own */
    COPY_STEP = 16 * 1024,
    COPY_ROOM = 3 * COPY_STEP, /* what one step may need, in the worst framing */
};

enum batch_way { WAY_IN_PLACE, WAY_VIEW, WAY_COPY };

static enum batch_way batch_way(const struct dp_relay_run *run)
{
    const struct body_flow *flow = &run->flow;

    if (flow->normalize || flow->in != flow->out)
        return WAY_COPY;
    if (!dp_tx_user(run->to))
        return WAY_VIEW;
    if (!dp_rx_user(run->from))
        return WAY_COPY;
    const struct tls_record_dir *rx = &run->from->tls->rx, *tx = &run->to->tls->tx;
    bool fits = tls_record_before(tx) <= tls_record_before(rx) &&
                tls_record_after(tx) <= tls_record_after(rx) &&
                tx->max_plaintext == TLS_PLAINTEXT_MAX;
    return fits ? WAY_IN_PLACE : WAY_COPY;
}

static void add_run(struct dp_arena *arena, uint8_t *data, size_t len)
{
    struct iovec *last = &arena->runs[arena->runs_len];

    if (len == 0)
        return;
    if (arena->runs_len > 0 && (uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
        return;
    }
    ASSERT(arena->runs_len < DP_ARENA_RUNS);
    arena->runs[++arena->runs_len] = (struct iovec){.iov_base = data, .iov_len = len};
}

/* data may be out + before. */
static bool seal(struct dp_relay_run *run, const uint8_t *data, size_t n, uint8_t *out,
                 size_t *ret_size)
{
    struct dp_tls *tls = run->to->tls;

    if (tls_record_seal(&tls->tx, TLS_CONTENT_DATA, data, n, out, ret_size) != ERR_OK) {
        dp_leg_lose(run->dp, run->to, DP_LOST_SEND, 0, ENOMEM);
        *ret_size = 0;
        return false;
    }
    tls->records++;
    run->dp->counters.records_sealed++;
    add_run(run->arena, out, *ret_size);
    return true;
}

/* total bytes that end at end, held ones first; what does not fit into a record is carried on. */
static void emit_joined(struct dp_relay_run *run, uint8_t *end, size_t total, bool body_ends)
{
    uint8_t *start = end - total;
    size_t size, n = total;

    run->carry_len = 0;
    if (body_ends && total <= TAIL_MAX) {
        run->tail = span_make(start, total);
        return;
    }
    if (!dp_tx_user(run->to)) {
        add_run(run->arena, start, total);
        return;
    }
    if (n > run->to->tls->tx.max_plaintext)
        n = run->to->tls->tx.max_plaintext;
    run->carry_len = total - n;
    ASSERT(run->carry_len <= sizeof(run->carry));
    memcpy(run->carry, start + n, run->carry_len);
    seal(run, start, n, start - tls_record_before(&run->to->tls->tx), &size);
    if (body_ends) {
        run->tail = span_make(run->carry, run->carry_len);
        run->carry_len = 0;
    }
}

static bool is_view(const struct dp_relay_run *run, struct span pass)
{
    return pass.ptr >= run->opened && pass.ptr < run->opened + run->opened_len;
}

static bool refused(enum body_result result)
{
    return result != BODY_MORE && result != BODY_END;
}

/* All of the opened bytes as one piece: held bytes, then a view. */
static enum body_result step_joined(struct dp_relay_run *run)
{
    uint8_t lead[2 * sizeof(run->carry)];
    size_t lead_len = run->carry_len, view_len = 0;
    uint8_t *view_end = NULL;
    enum body_result result = BODY_MORE;

    memcpy(lead, run->carry, lead_len);
    while (run->opened_len > 0 && result == BODY_MORE) {
        struct body_piece piece;
        result = body_flow_step(&run->flow, run->opened, run->opened_len, &piece);
        if (piece.pass.len > 0 && is_view(run, piece.pass)) {
            view_len += piece.pass.len;
            view_end = (uint8_t *)piece.pass.ptr + piece.pass.len;
        } else if (piece.pass.len > 0) {
            ASSERT(view_len == 0 && piece.pass.len <= sizeof(lead) - lead_len);
            memcpy(lead + lead_len, piece.pass.ptr, piece.pass.len);
            lead_len += piece.pass.len;
        }
        run->opened += piece.used;
        run->opened_len -= piece.used;
    }
    if (refused(result))
        return result;
    if (view_len == 0 && lead_len <= CARRY_KEEP && result == BODY_MORE) {
        memcpy(run->carry, lead, lead_len);
        run->carry_len = lead_len;
        return result;
    }
    if (view_len == 0)
        view_end = run->opened;
    if (result == BODY_END) { /* sealing writes past the body's last byte */
        dp_relay_keep(run, run->opened, run->opened_len);
        run->opened_len = 0;
    }
    memcpy(view_end - view_len - lead_len, lead, lead_len);
    emit_joined(run, view_end, lead_len + view_len, result == BODY_END);
    return result;
}

/* Where the plaintext of the next record is put together. */
static uint8_t *stage_record(const struct dp_relay_run *run)
{
    return run->arena->out + run->out_used +
           (run->to->tls ? tls_record_before(&run->to->tls->tx) : 0);
}

static void seal_filled(struct dp_relay_run *run)
{
    size_t size;

    if (run->out_fill == 0)
        return;
    seal(run, stage_record(run), run->out_fill, run->arena->out + run->out_used, &size);
    run->out_used += size;
    run->out_fill = 0;
}

/* Of a full record. */
static size_t staged_size(const struct dp_relay_run *run)
{
    const struct tls_record_dir *tx = &run->to->tls->tx;

    return tls_record_size(tls_record_before(tx), tx->max_plaintext, tls_record_after(tx));
}

/* Records of the full size one behind the other, the last one with what is left; without TLS it is
 * one without end. */
static void stage(struct dp_relay_run *run, struct span pass)
{
    const struct tls_record_dir *tx = run->to->tls ? &run->to->tls->tx : NULL;

    while (pass.len > 0) {
        size_t most = tx ? tx->max_plaintext : SIZE_MAX, n = most - run->out_fill;
        n = n < pass.len ? n : pass.len;
        memcpy(stage_record(run) + run->out_fill, pass.ptr, n);
        run->out_fill += n;
        run->staged += n;
        pass = span_from(pass, n);
        if (run->out_fill < most)
            continue;
        run->out_used += staged_size(run);
        run->out_fill = 0;
    }
}

/* By us, or by the kernel, which may have become the one to do it since they were laid out. */
static void seal_staged(struct dp_relay_run *run)
{
    size_t left = run->staged, most = run->to->tls->tx.max_plaintext, size = staged_size(run);

    for (run->out_used = 0; left > 0 && !run->to->output_dead; run->out_used += size) {
        size_t n = left < most ? left : most;
        if (!dp_tx_user(run->to))
            add_run(run->arena, stage_record(run), n);
        else if (!seal(run, stage_record(run), n, run->arena->out + run->out_used, &size))
            return;
        left -= n;
    }
}

void dp_batch_hold_staged(struct dp_relay_run *run)
{
    size_t left = run->staged, most = run->to->tls ? run->to->tls->tx.max_plaintext : SIZE_MAX;

    for (run->out_used = 0; left > 0;) {
        size_t n = left < most ? left : most;
        (void)dp_chunk_hold(run, stage_record(run), n);
        left -= n;
        if (left > 0)
            run->out_used += staged_size(run);
    }
    run->staged = run->out_used = run->out_fill = 0;
}

void dp_batch_send_staged(struct dp_relay_run *run)
{
    struct dp_arena *arena = run->arena;

    if (run->staged == 0)
        return;
    arena->runs_len = arena->runs_sent = 0;
    if (run->staged <= TAIL_MAX &&
        run->out_fill == run->staged) { /* in one record with its command */
        (void)dp_leg_append(run->dp, run->to, stage_record(run), run->staged);
    } else if (run->to->tls) {
        if (dp_tx_user(run->to))
            dp_leg_seal(run->dp, run->to);
        seal_staged(run);
    } else {
        add_run(arena, arena->out, run->staged);
    }
    if (arena->runs_len > 0 && !run->to->output_dead)
        dp_leg_bulk(run->dp, run->to, arena);
    run->staged = run->out_used = run->out_fill = 0;
}

static void copy_sealed(struct dp_relay_run *run, struct span pass)
{
    size_t most = run->to->tls->tx.max_plaintext, size;

    while (pass.len > 0 && !run->to->output_dead) {
        bool direct = run->out_fill == 0 && pass.len >= DIRECT_MIN;
        size_t n = most - run->out_fill;
        n = n < pass.len ? n : pass.len;
        if (direct) {
            seal(run, pass.ptr, n, run->arena->out + run->out_used, &size);
            run->out_used += size;
        } else {
            memcpy(stage_record(run) + run->out_fill, pass.ptr, n);
            run->out_fill += n;
        }
        if (run->out_fill == most)
            seal_filled(run);
        pass = span_from(pass, n);
    }
}

static void copy_plain(struct dp_relay_run *run, struct span pass)
{
    uint8_t *out = run->arena->out + run->out_used;

    if (pass.len == 0)
        return;
    memcpy(out, pass.ptr, pass.len);
    add_run(run->arena, out, pass.len);
    run->out_used += pass.len;
}

static void copy(struct dp_relay_run *run, struct span pass)
{
    if (dp_tx_user(run->to))
        copy_sealed(run, pass);
    else
        copy_plain(run, pass);
}

/* The opened bytes as far as there is room for them. */
static enum body_result step_copy(struct dp_relay_run *run, bool *ret_full)
{
    enum body_result result = BODY_MORE;

    while (run->opened_len > 0 && result == BODY_MORE) {
        struct body_piece piece;
        size_t n = run->opened_len < COPY_STEP ? run->opened_len : COPY_STEP;
        if (DP_ARENA_OUT_ROOM - run->out_used - run->out_fill < COPY_ROOM) {
            *ret_full = true;
            return result;
        }
        result = body_flow_step(&run->flow, run->opened, n, &piece);
        if (run->chunked)
            stage(run, piece.pass);
        else
            copy(run, piece.pass);
        run->opened += piece.used;
        run->opened_len -= piece.used;
    }
    if (result == BODY_END && !run->chunked && run->out_fill > 0 && run->out_fill <= TAIL_MAX) {
        run->tail = span_make(stage_record(run), run->out_fill);
        run->out_fill = 0;
    }
    return result;
}

/* Makes opened point at the source's next plaintext. */
static enum dp_record_result open_next(struct dp_relay_run *run)
{
    uint8_t *data = run->arena->in + run->in_start;
    size_t len = run->in_end - run->in_start, record_len;
    struct tls_record record;

    if (!dp_rx_user(run->from)) {
        run->opened = data;
        run->opened_len = len;
        run->in_start = run->in_end;
        return len > 0 ? DP_RECORD_DATA : DP_RECORD_MORE;
    }
    enum dp_record_result result =
        dp_record_next(run->dp, run->from, data, len, &record, &record_len);
    if (result == DP_RECORD_DATA) {
        run->opened = record.data;
        run->opened_len = record.len;
    }
    if (result == DP_RECORD_DATA || result == DP_RECORD_OTHER)
        run->in_start += record_len;
    return result;
}

static enum dp_batch_end batch(struct dp_relay_run *run, enum batch_way way,
                               enum body_result *ret_result)
{
    bool full = false;

    for (;;) {
        if (run->opened_len > 0) {
            *ret_result = way == WAY_COPY ? step_copy(run, &full) : step_joined(run);
            if (*ret_result != BODY_MORE)
                return DP_BATCH_BODY;
        }
        if (full || run->arena->runs_len + 1 >= DP_ARENA_RUNS)
            return DP_BATCH_FULL;
        switch (open_next(run)) {
        case DP_RECORD_LOST:
            return DP_BATCH_LOST;
        case DP_RECORD_MORE:
            return DP_BATCH_MORE;
        case DP_RECORD_DATA:
        case DP_RECORD_OTHER:
            break;
        }
    }
}

enum dp_batch_end dp_batch_step(struct dp_relay_run *run, enum body_result *ret_result)
{
    enum batch_way way = batch_way(run);

    /* Held by a batch that went another way, before records changed hands. */
    if (way == WAY_COPY && run->carry_len > 0) {
        copy(run, span_make(run->carry, run->carry_len));
        run->carry_len = 0;
    }
    enum dp_batch_end end = batch(run, way, ret_result);
    if (dp_tx_user(run->to) && !run->chunked)
        seal_filled(run);
    return end;
}
