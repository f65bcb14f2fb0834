/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From dp_send to the transport. What control sends waits in plain until the end of the turn, so
 * that all of it goes out in as few records as possible and in one send. A leg's wire order is
 * sending, bulk, out, plain; each of them is empty, and holds no memory, on an idle leg.
 */
#include "dp_priv.h"

#include "assertion.h"

#include <errno.h>

/* The memory of what was sent last, which is in the processor's cache, for what is sent next. */
static void spare_take(struct dp *dp, struct buf *b)
{
    if (!b->data && dp->spare_len > 0)
        *b = dp->spare[--dp->spare_len];
}

static void spare_give(struct dp *dp, struct buf *b)
{
    if (!b->data)
        return;
    if (dp->spare_len == DP_SPARE_MAX || b->cap > DP_SPARE_SIZE) {
        buf_release(b);
        return;
    }
    buf_clear(b);
    dp->spare[dp->spare_len++] = *b;
    buf_init(b, 0);
}

void dp_spare_free(struct dp *dp)
{
    while (dp->spare_len > 0)
        buf_release(&dp->spare[--dp->spare_len]);
}

static size_t buffered(const struct dp_leg *leg)
{
    return buf_len(&leg->plain) + buf_len(&leg->out) + buf_len(&leg->sending);
}

static size_t bulk_left(const struct dp_arena *arena)
{
    size_t left = 0;

    for (unsigned i = arena->runs_sent; i < arena->runs_len; i++)
        left += arena->runs[1 + i].iov_len;
    return left;
}

size_t dp_leg_pending(const struct dp_leg *leg)
{
    return buffered(leg) + (leg->bulk ? bulk_left(leg->bulk) : 0);
}

size_t dp_pending(const struct dp *dp, struct leg_id id)
{
    const struct dp_leg *leg = dp_leg_find(dp, id);

    return leg ? dp_leg_pending(leg) : 0;
}

bool dp_leg_append(struct dp *dp, struct dp_leg *leg, const void *data, size_t len)
{
    if (leg->output_dead)
        return false;
    if (dp_tx_kernel(leg) && (leg->tls->alert_sent || leg->tls->close_notify_sent))
        return true;
    struct buf *to = dp_tx_user(leg) ? &leg->plain : &leg->out;
    spare_take(dp, to);
    if (buf_append(to, data, len) != ERR_OK) {
        dp_leg_lose(dp, leg, DP_LOST_SEND, 0, ENOMEM);
        return false;
    }
    leg->held = false;
    dp_leg_flush(dp, leg);
    return true;
}

int dp_send(struct dp *dp, struct leg_id id, const void *data, size_t len)
{
    struct dp_leg *leg = dp_leg_find(dp, id);

    if (!leg)
        return ERR_STALE;
    if (leg->state != DP_LEG_OPEN)
        return ERR_STATE;
    if (leg->output_dead || leg->lost_told || (leg->tls && leg->tls->alert_sent))
        return ERR_CLOSED;
    size_t used = buffered(leg);
    if (used >= DP_OUTPUT_MAX || len > DP_OUTPUT_MAX - used) {
        leg->want_writable = true;
        return ERR_FULL;
    }
    return dp_leg_append(dp, leg, data, len) ? ERR_OK : ERR_NOMEM;
}

int dp_send_held(struct dp *dp, struct leg_id id, const void *data, size_t len)
{
    struct dp_leg *leg = dp_leg_find(dp, id);
    bool held = leg && (leg->held || buffered(leg) == 0);
    int err = dp_send(dp, id, data, len);

    if (err == ERR_OK)
        leg->held = held;
    return err;
}

/* One record to the end of out. */
static bool seal_record(struct dp *dp, struct dp_leg *leg, enum tls_content type,
                        const uint8_t *data, size_t len)
{
    struct tls_record_dir *tx = &leg->tls->tx;
    size_t before = tls_record_before(tx), size;

    spare_take(dp, &leg->out);
    uint8_t *room = buf_reserve(&leg->out, tls_record_size(before, len, tls_record_after(tx)));

    if (!room || tls_record_seal(tx, type, data, len, room, &size) != ERR_OK) {
        dp_leg_lose(dp, leg, DP_LOST_SEND, 0, ENOMEM);
        return false;
    }
    buf_commit(&leg->out, size);
    leg->tls->records++;
    dp->counters.records_sealed++;
    return true;
}

void dp_leg_seal(struct dp *dp, struct dp_leg *leg)
{
    if (buf_len(&leg->plain) == 0)
        return;
    if (leg->tls->alert_sent || leg->tls->close_notify_sent || leg->output_dead) {
        spare_give(dp, &leg->plain);
        return;
    }
    while (buf_len(&leg->plain) > 0) {
        struct span left = buf_span(&leg->plain);
        size_t most = leg->tls->tx.max_plaintext;
        size_t n = left.len < most ? left.len : most;
        if (!seal_record(dp, leg, TLS_CONTENT_DATA, left.ptr, n))
            return;
        buf_consume(&leg->plain, n);
    }
    spare_give(dp, &leg->plain);
}

void dp_leg_control_record(struct dp *dp, struct dp_leg *leg, enum tls_content type,
                           const uint8_t *data, size_t len)
{
    if (leg->output_dead || leg->tls->alert_sent || leg->tls->close_notify_sent)
        return;
    leg->held = false;
    dp_leg_seal(dp, leg);
    if (dp_tx_kernel(leg))
        dp_kernel_control_record(dp, leg, type, data, len);
    else if (!leg->output_dead)
        (void)seal_record(dp, leg, type, data, len);
    dp_leg_flush(dp, leg);
}

void dp_leg_fatal_alert(struct dp *dp, struct dp_leg *leg, enum tls_alert alert)
{
    const uint8_t message[] = {2, (uint8_t)alert};

    dp_leg_control_record(dp, leg, TLS_CONTENT_ALERT, message, sizeof(message));
    leg->tls->alert_sent = true;
}

static void out_to_sending(struct dp_leg *leg)
{
    leg->sending = leg->out;
    buf_init(&leg->out, 0);
    if (leg->tls) {
        leg->tls->sending_marks = leg->tls->out_marks;
        leg->tls->out_marks.len = 0;
    }
}

void dp_leg_bulk(struct dp *dp, struct dp_leg *leg, struct dp_arena *arena)
{
    ASSERT(dp_leg_output_idle(leg));
    leg->held = false;
    out_to_sending(leg);
    arena->refs++;
    arena->runs_sent = 0;
    leg->bulk = arena;
    dp_leg_flush(dp, leg);
}

/* All that was sent is gone: what a closing leg does then. */
static void output_gone(struct dp *dp, struct dp_leg *leg)
{
    if (leg->state != DP_LEG_FLUSHING)
        return;
    /* After an alert of ours what it did not read is dropped first, or our close would be a RST
     * that overtakes the alert. */
    bool drain = leg->tls && leg->tls->alert_sent && !leg->far_gone;
    if (leg->output_dead || (leg->input_ended && !drain)) {
        dp_leg_close_now(dp, leg, false);
        return;
    }
    dp->transport->ops->shutdown(dp->transport, dp_slot_of(dp, leg));
    leg->state = DP_LEG_FINISHED;
    /* What can't be read can't be dropped. */
    if (drain && leg->tls->rx_broken &&
        dp_timer_start(dp, &leg->close_timer, DP_ALERT_MS) != ERR_OK)
        dp_leg_close_now(dp, leg, false);
}

/* Output up to the next record of another type than data, or that record. */
static size_t send_to_mark(struct dp *dp, struct dp_leg *leg, struct iovec head)
{
    const struct dp_transport_ops *ops = dp->transport->ops;
    struct dp_tls *tls = leg->tls;
    const struct dp_mark *mark = &tls->sending_marks.of[0];
    uint32_t slot = dp_slot_of(dp, leg);

    if (mark->at > 0) {
        head.iov_len = mark->at;
        return ops->send(dp->transport, slot, &head, 1) ? mark->at : 0;
    }
    tls->mark_in_flight = ops->send_record(dp->transport, slot, (enum tls_content)mark->type,
                                           head.iov_base, mark->len);
    return tls->mark_in_flight ? mark->len : 0;
}

/* How much was given to the transport; 0: it has no room. */
static size_t send_pieces(struct dp *dp, struct dp_leg *leg)
{
    struct iovec head = {.iov_base =
                             leg->sending.data ? leg->sending.data + leg->sending.start : NULL,
                         .iov_len = buf_len(&leg->sending)};
    size_t size = head.iov_len + (leg->bulk ? bulk_left(leg->bulk) : 0);
    uint32_t slot = dp_slot_of(dp, leg);

    if (leg->tls && leg->tls->sending_marks.len > 0)
        return send_to_mark(dp, leg, head);
    if (!leg->bulk)
        return dp->transport->ops->send(dp->transport, slot, &head, 1) ? size : 0;
    struct iovec *pieces = &leg->bulk->runs[1 + leg->bulk->runs_sent];
    unsigned count = leg->bulk->runs_len - leg->bulk->runs_sent;
    if (head.iov_len > 0) {
        *--pieces = head;
        count++;
    }
    return dp->transport->ops->send(dp->transport, slot, pieces, count) ? size : 0;
}

static void bulk_drop(struct dp *dp, struct dp_leg *leg)
{
    struct dp_arena *arena = leg->bulk;

    leg->bulk = NULL;
    if (arena)
        dp_arena_unref(dp, arena);
}

void dp_leg_output(struct dp *dp, struct dp_leg *leg)
{
    if (leg->in_flight > 0 || leg->state == DP_LEG_FINISHED)
        return;
    if (leg->held && leg->state == DP_LEG_OPEN && !leg->output_dead)
        return;
    if (leg->tls)
        dp_leg_seal(dp, leg);
    if (!leg->output_dead && buf_len(&leg->sending) == 0 && !leg->bulk)
        out_to_sending(leg);
    if (leg->output_dead || (buf_len(&leg->sending) == 0 && !leg->bulk)) {
        spare_give(dp, &leg->sending);
        spare_give(dp, &leg->out);
        spare_give(dp, &leg->plain);
        bulk_drop(dp, leg);
        output_gone(dp, leg);
        return;
    }
    leg->in_flight = send_pieces(dp, leg);
    if (leg->in_flight == 0)
        dp_leg_flush(dp, leg);
}

static void sent_consume(struct dp *dp, struct dp_leg *leg, size_t n)
{
    size_t head = buf_len(&leg->sending);

    head = n < head ? n : head;
    buf_consume(&leg->sending, head);
    n -= head;
    if (buf_len(&leg->sending) == 0)
        spare_give(dp, &leg->sending);
    while (leg->bulk && leg->bulk->runs_sent < leg->bulk->runs_len) {
        struct iovec *run = &leg->bulk->runs[1 + leg->bulk->runs_sent];
        size_t part = n < run->iov_len ? n : run->iov_len;
        run->iov_base = (uint8_t *)run->iov_base + part;
        run->iov_len -= part;
        n -= part;
        if (run->iov_len > 0)
            return;
        leg->bulk->runs_sent++;
    }
    bulk_drop(dp, leg);
}

static void send_failed(struct dp *dp, struct dp_leg *leg, int error)
{
    spare_give(dp, &leg->sending);
    bulk_drop(dp, leg);
    if (leg->state == DP_LEG_FLUSHING)
        dp_leg_close_now(dp, leg, true);
    else if (leg->state == DP_LEG_OPEN)
        dp_leg_lose(dp, leg, error == ECONNRESET ? DP_LOST_RESET : DP_LOST_SEND, 0, error);
}

void dp_leg_sent(struct dp *dp, uint32_t slot, ssize_t n)
{
    struct dp_leg *leg = dp_slot(dp, slot);

    leg->in_flight = 0;
    if (leg->state == DP_LEG_CLOSING || leg->state == DP_LEG_FREE)
        return;
    if (n < 0 && n != -EAGAIN && n != -EINTR && !dp_kernel_send_failed(dp, leg, (int)-n)) {
        send_failed(dp, leg, (int)-n);
    } else if (n > 0) {
        dp->counters.bytes_out += (uint64_t)n;
        sent_consume(dp, leg, (size_t)n);
        if (dp_tx_kernel(leg))
            dp_kernel_sent(dp, leg, (size_t)n);
        if (leg->target)
            dp_relay_moved(leg->target);
    }
    if (leg->state == DP_LEG_OPEN && (leg->want_writable || leg->target))
        dp_leg_ready(dp, leg);
    dp_leg_flush(dp, leg);
}

static void close_expired(void *user, struct dp_timer *timer)
{
    struct dp_leg *leg = user;

    if (leg->state == DP_LEG_FLUSHING || leg->state == DP_LEG_FINISHED)
        dp_leg_close_now(leg->dp, leg, leg->state == DP_LEG_FLUSHING);
}

static void close_flush(struct dp *dp, struct dp_leg *leg)
{
    const uint8_t close_notify[] = {1, TLS_ALERT_CLOSE_NOTIFY};

    leg->close_timer = (struct dp_timer){.fire = close_expired, .user = leg};
    if (dp_timer_start(dp, &leg->close_timer, DP_CLOSE_MS) != ERR_OK) {
        dp_leg_close_now(dp, leg, true);
        return;
    }
    if (leg->tls) {
        dp_leg_control_record(dp, leg, TLS_CONTENT_ALERT, close_notify, sizeof(close_notify));
        leg->tls->close_notify_sent = true;
    }
    leg->state = DP_LEG_FLUSHING;
    dp_leg_flush(dp, leg);
}

int dp_close(struct dp *dp, struct leg_id id, enum dp_close how)
{
    struct dp_leg *leg = dp_leg_find(dp, id);

    if (!leg)
        return ERR_STALE;
    if (leg->source)
        dp_relay_end(leg->source, DP_RELAY_STOPPED);
    if (leg->target)
        dp_relay_end(leg->target, DP_RELAY_STOPPED);
    if (!dp_leg_find(dp, id)) /* done closed it */
        return ERR_OK;
    buf_release(&leg->stash);
    buf_release(&leg->cipher);
    /* Our alert already says that what came before is not whole; a RST could overtake it. */
    bool alerted = leg->tls && leg->tls->alert_sent && !leg->output_dead;
    if (leg->state == DP_LEG_CONNECTING && leg->connect_error != 0)
        dp_leg_closed(dp, id.slot);
    else if (leg->state == DP_LEG_CONNECTING || (how == DP_CLOSE_CUT && !alerted))
        dp_leg_close_now(dp, leg, leg->state == DP_LEG_OPEN);
    else
        close_flush(dp, leg);
    return ERR_OK;
}
