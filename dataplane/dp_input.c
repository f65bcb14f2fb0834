/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the transport to control: whole records are opened where they arrived, their plaintext is
 * drawn together and given to control in one event; what it leaves waits in the stash. What is
 * not a whole record yet, or must wait because the leg is paused, stays in cipher as it came.
 */
#include "dp_priv.h"

#include <errno.h>
#include <stdlib.h>

static bool same_leg(const struct dp_leg *leg, uint32_t generation)
{
    return leg->generation == generation && leg->state == DP_LEG_OPEN;
}

void dp_leg_lose(struct dp *dp, struct dp_leg *leg, enum dp_lost why, uint8_t alert, int error)
{
    if (why != DP_LOST_SEND) /* what the far end said before is still to be read */
        leg->input_ended = true;
    if (why == DP_LOST_SEND || why == DP_LOST_RESET)
        leg->output_dead = true;
    /* A FIN may be seen before the close_notify in front of it, on a paused leg. */
    bool refined = leg->lost_due && !leg->lost_told && leg->lost.why == DP_LOST_TRUNCATED;
    if (!leg->lost_due || refined) {
        leg->lost_due = true;
        leg->lost = (struct dp_lost_info){.why = why, .alert = alert, .error = error};
    }
    dp_leg_ready(dp, leg);
    dp_leg_flush(dp, leg);
}

/* Keys came while control left plaintext unused: a command before them must not count after them
 * (RFC 3207 section 6). */
static void keep_unused(struct dp *dp, struct dp_leg *leg, bool keys_came, struct buf *unused)
{
    if (buf_len(unused) == 0) {
        buf_release(unused);
    } else if (keys_came) {
        buf_release(unused);
        dp_leg_fatal_alert(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE);
        dp_leg_lose(dp, leg, DP_LOST_BAD_RECORD, 0, 0);
    } else {
        leg->stash = *unused;
    }
}

/* Gives control what it left over together with data. The bytes belong to this function while
 * control looks at them, whatever it does to the leg. */
static void deliver(struct dp *dp, struct dp_leg *leg, const uint8_t *data, size_t len)
{
    struct buf held = leg->stash;
    uint32_t generation = leg->generation;
    bool had_keys = leg->tls != NULL;
    struct span all = span_make(data, len);

    buf_init(&leg->stash, 0);
    if (buf_len(&held) > 0) {
        if (buf_append(&held, data, len) != ERR_OK) {
            leg->stash = held;
            dp_leg_lose(dp, leg, DP_LOST_RESET, 0, ENOMEM);
            return;
        }
        all = buf_span(&held);
    }
    if (all.len == 0)
        return;
    size_t used = dp->events.received(dp->user, dp_leg_id(dp, leg), all.ptr, all.len);
    if (!same_leg(leg, generation)) {
        buf_release(&held);
        return;
    }
    used = used < all.len ? used : all.len;
    if (buf_len(&held) > 0) {
        buf_consume(&held, used);
    } else if (buf_append(&held, all.ptr + used, all.len - used) != ERR_OK) {
        dp_leg_lose(dp, leg, DP_LOST_RESET, 0, ENOMEM);
    }
    keep_unused(dp, leg, !had_keys && leg->tls, &held);
}

/* Opens what is whole in data; the plaintext is moved together at its front. Returns how much of
 * data was dealt with. */
static size_t open_all(struct dp *dp, struct dp_leg *leg, uint8_t *data, size_t len,
                       size_t *ret_plain)
{
    uint32_t generation = leg->generation;
    size_t used = 0;

    *ret_plain = 0;
    for (;;) {
        struct tls_record record;
        size_t record_len;
        enum dp_record_result result =
            dp_record_next(dp, leg, data + used, len - used, &record, &record_len);
        if (result == DP_RECORD_MORE || !same_leg(leg, generation))
            return used;
        if (result == DP_RECORD_LOST)
            return len;
        used += record_len;
        if (result == DP_RECORD_DATA) {
            memmove(data + *ret_plain, record.data, record.len);
            *ret_plain += record.len;
        }
    }
}

/* data is not the leg's own buffer. */
static void process(struct dp *dp, struct dp_leg *leg, uint8_t *data, size_t len)
{
    uint32_t generation = leg->generation;
    size_t plain = len;

    if (dp_rx_user(leg)) {
        size_t used = open_all(dp, leg, data, len, &plain);
        if (!same_leg(leg, generation))
            return;
        if (buf_append(&leg->cipher, data + used, len - used) != ERR_OK)
            dp_leg_lose(dp, leg, DP_LOST_RESET, 0, ENOMEM);
    }
    if (plain > 0)
        deliver(dp, leg, data, plain);
}

static bool may_deliver(const struct dp_leg *leg)
{
    return !leg->paused && !leg->source && buf_len(&leg->stash) < DP_STASH_MAX;
}

static void process_cipher(struct dp *dp, struct dp_leg *leg)
{
    struct buf work = leg->cipher;

    buf_init(&leg->cipher, 0);
    process(dp, leg, work.data + work.start, buf_len(&work));
    buf_release(&work);
}

static void take(struct dp *dp, struct dp_leg *leg, uint8_t *data, size_t len)
{
    if (may_deliver(leg) && buf_len(&leg->cipher) == 0) {
        process(dp, leg, data, len);
        return;
    }
    if (buf_append(&leg->cipher, data, len) != ERR_OK)
        dp_leg_lose(dp, leg, DP_LOST_RESET, 0, ENOMEM);
    else if (may_deliver(leg))
        process_cipher(dp, leg);
}

static void input_over(struct dp *dp, struct dp_leg *leg, ssize_t n)
{
    leg->far_gone = n == 0 || !dp_rx_kernel(leg);
    if (n < 0 && dp_rx_kernel(leg))
        dp_kernel_broken(dp, leg, (int)-n);
    else if (n < 0)
        dp_leg_lose(dp, leg, DP_LOST_RESET, 0, (int)-n);
    else
        dp_leg_lose(dp, leg, leg->tls ? DP_LOST_TRUNCATED : DP_LOST_EOF, 0, 0);
}

static bool try_again(ssize_t n)
{
    return n == -ECANCELED || n == -ENOBUFS || n == -EAGAIN || n == -EINTR;
}

static void receive_open(struct dp *dp, struct dp_leg *leg, uint8_t *data, ssize_t n)
{
    if (n > 0)
        dp->counters.bytes_in += (uint64_t)n;
    if (n > 0 && dp_rx_kernel(leg) && !dp_kernel_received(dp, leg, (size_t)n))
        return;
    if (n == -EIO && dp_rx_kernel(leg)) {
        dp_kernel_control(dp, leg);
        return;
    }
    if (leg->source)
        dp_relay_received(leg->source, data, n);
    else if (n > 0)
        take(dp, leg, data, (size_t)n);
    else if (!try_again(n))
        input_over(dp, leg, n);
    if (leg->state == DP_LEG_OPEN && leg->source && n <= 0 && !try_again(n))
        input_over(dp, leg, n);
}

/* The leg is being closed: input is dropped, so that unread bytes don't turn our FIN into a RST. */
static void receive_closing(struct dp *dp, struct dp_leg *leg, ssize_t n)
{
    if (n == -EIO && dp_rx_kernel(leg))
        n = dp_kernel_drop(dp, leg);
    if (n > 0)
        leg->discarded += (size_t)n;
    else if (!try_again(n))
        leg->far_gone = true;
    if (leg->state == DP_LEG_FINISHED && (leg->far_gone || leg->discarded > DP_CLOSE_DISCARD_MAX))
        dp_leg_close_now(dp, leg, false);
}

void dp_leg_received(struct dp *dp, uint32_t slot, uint8_t *data, ssize_t n)
{
    struct dp_leg *leg = dp_slot(dp, slot);
    struct dp_arena *orphan = leg->orphan;
    uint8_t *exact = leg->exact;

    leg->receiving = leg->cancelling = false;
    leg->orphan = NULL;
    leg->exact = NULL;
    switch (leg->state) {
    case DP_LEG_OPEN:
        receive_open(dp, leg, data, n);
        break;
    case DP_LEG_FLUSHING:
    case DP_LEG_FINISHED:
        receive_closing(dp, leg, n);
        break;
    case DP_LEG_FREE:
    case DP_LEG_CONNECTING:
    case DP_LEG_CLOSING:
        break;
    }
    if (orphan)
        dp_arena_unref(dp, orphan);
    free(exact);
    dp_leg_flush(dp, leg);
}

bool dp_leg_receive(struct dp *dp, struct dp_leg *leg)
{
    const struct dp_transport_ops *ops = dp->transport->ops;
    size_t most = dp_kernel_receive_most(dp, leg, buf_span(&leg->cipher));

    if (most == 0)
        return true;
    leg->bounded = most != SIZE_MAX;
    if (!leg->bounded) {
        leg->receiving = ops->receive(dp->transport, dp_slot_of(dp, leg));
        return leg->receiving;
    }
    leg->exact = malloc(most);
    if (!leg->exact) {
        dp_leg_lose(dp, leg, DP_LOST_RESET, 0, ENOMEM);
        return true;
    }
    leg->receiving = ops->receive_into(dp->transport, dp_slot_of(dp, leg), leg->exact, most);
    if (!leg->receiving) {
        free(leg->exact);
        leg->exact = NULL;
    }
    return leg->receiving;
}

void dp_leg_arm(struct dp *dp, struct dp_leg *leg)
{
    bool armed = true;

    bool over = leg->input_ended;

    if (leg->state == DP_LEG_FINISHED)
        over = leg->far_gone || (leg->tls && leg->tls->rx_broken);
    if (leg->receiving || over || leg->state == DP_LEG_FLUSHING)
        return;
    if (leg->state == DP_LEG_OPEN && leg->source) {
        armed = dp_relay_arm(leg->source);
    } else if (leg->state == DP_LEG_FINISHED || may_deliver(leg)) {
        armed = dp_leg_receive(dp, leg);
    }
    if (!armed)
        dp_leg_flush(dp, leg);
}

static void tell_writable(struct dp *dp, struct dp_leg *leg)
{
    size_t used = buf_len(&leg->plain) + buf_len(&leg->out) + buf_len(&leg->sending);

    if (!leg->want_writable || leg->lost_told || leg->output_dead || used >= DP_OUTPUT_MAX / 2)
        return;
    leg->want_writable = false;
    dp->events.writable(dp->user, dp_leg_id(dp, leg));
}

/* An orderly end waits until control has seen what came before it; a hard one does not wait for a
 * paused leg, since no answer can reach the far end any more. */
static bool lost_is_due(const struct dp_leg *leg)
{
    bool hard = leg->lost.why != DP_LOST_EOF && leg->lost.why != DP_LOST_TRUNCATED;

    if (!leg->lost_due || leg->lost_told || leg->source)
        return false;
    return leg->paused ? hard : leg->input_ended;
}

static void tell_lost(struct dp *dp, struct dp_leg *leg)
{
    uint32_t generation = leg->generation;

    if (leg->target)
        dp_relay_end(leg->target, DP_RELAY_TO_LOST);
    if (!same_leg(leg, generation) || leg->lost_told)
        return;
    leg->lost_told = true;
    dp->events.lost(dp->user, dp_leg_id(dp, leg), &leg->lost);
}

/* A turn's look at a leg that something happened to. */
void dp_leg_input(struct dp *dp, struct dp_leg *leg)
{
    uint32_t generation = leg->generation;

    if (leg->source) {
        dp_relay_pump(leg->source);
    } else if (leg->input_due && !leg->paused && !leg->lost_told) {
        leg->input_due = false;
        deliver(dp, leg, NULL, 0);
        if (same_leg(leg, generation) && may_deliver(leg) && buf_len(&leg->cipher) > 0)
            process_cipher(dp, leg);
    }
    if (same_leg(leg, generation) && leg->target)
        dp_relay_pump(leg->target);
    if (same_leg(leg, generation))
        tell_writable(dp, leg);
    if (same_leg(leg, generation) && lost_is_due(leg))
        tell_lost(dp, leg);
    if (same_leg(leg, generation))
        dp_leg_flush(dp, leg);
}

static struct dp_tls *tls_new(const struct tls_keys *keys, unsigned flags)
{
    struct dp_tls *tls = calloc(1, sizeof(*tls));

    if (!tls)
        return NULL;
    if (tls_record_init(&tls->tx, keys, TLS_DIR_TX) != ERR_OK ||
        tls_record_init(&tls->rx, keys, TLS_DIR_RX) != ERR_OK) {
        tls_record_free(&tls->tx);
        tls_record_free(&tls->rx);
        free(tls);
        return NULL;
    }
    tls->want_tickets = flags & DP_KEYS_TICKETS && keys->version == TLS_VERSION_1_3;
    return tls;
}

int dp_set_keys(struct dp *dp, struct leg_id id, const struct tls_keys *keys, struct span rest,
                unsigned flags)
{
    struct dp_leg *leg = dp_leg_find(dp, id);
    struct buf cipher;

    if (!leg)
        return ERR_STALE;
    if (leg->state != DP_LEG_OPEN || leg->tls || leg->source || leg->target ||
        buf_len(&leg->stash) > 0 || buf_len(&leg->cipher) > 0)
        return ERR_STATE;
    buf_init(&cipher, 0);
    if (buf_append_span(&cipher, rest) != ERR_OK)
        return ERR_NOMEM;
    struct dp_tls *tls = tls_new(keys, flags);
    if (!tls) {
        buf_release(&cipher);
        return ERR_NOMEM;
    }
    leg->tls = tls;
    leg->cipher = cipher;
    leg->input_due = true;
    dp_kernel_begin(dp, leg, flags);
    /* A FIN that was seen before the keys is now one without close_notify. */
    if (leg->lost_due && leg->lost.why == DP_LOST_EOF)
        leg->lost.why = DP_LOST_TRUNCATED;
    dp_leg_ready(dp, leg);
    return ERR_OK;
}
