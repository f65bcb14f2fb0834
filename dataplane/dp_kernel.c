/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel records: when a direction's records stop being ours, and what differs from then on.
 *
 * The order of steps. The kernel's TLS joins a connection while no receive is under way. TX is
 * handed over once nothing of ours is on its way: what the socket took before is what we (or
 * OpenSSL) sealed, what comes after is plaintext. RX is handed over when what was received has all
 * been opened: whole records by us, and a last partial one is completed by receives that end with
 * it. Our own sequence numbers count on until then, so that all this may happen at the hand-off or
 * at any later time. A step that fails leaves the records ours.
 *
 * A client leg that wants tickets stays ours until the first application data: OpenSSL must see
 * these records sealed, and the kernel would give them opened.
 */
#include "dp_priv.h"

#include "assertion.h"

#include <errno.h>

static struct tls_record_dir *keys_of(struct dp_tls *tls, enum tls_dir dir)
{
    return dir == TLS_DIR_TX ? &tls->tx : &tls->rx;
}

static uint8_t cipher_bit(const struct tls_record_dir *keys)
{
    unsigned row = (unsigned)keys->cipher + (keys->version == TLS_VERSION_1_3 ? 4 : 0);

    return (uint8_t)(1U << row);
}

void dp_kernel_begin(struct dp *dp, struct dp_leg *leg, unsigned flags)
{
    struct dp_tls *tls = leg->tls;

    if (!dp->transport->kernel_records || flags & DP_KEYS_USER)
        return;
    uint8_t bit = cipher_bit(&tls->tx);
    tls->rx_may = dp->kernel_rx.on && !(dp->kernel_lacks[TLS_DIR_RX] & bit);
    /* The kernel fills its records: a peer that asked for smaller ones gets ours. */
    tls->tx_may = dp->kernel_tx.on && !(dp->kernel_lacks[TLS_DIR_TX] & bit) &&
                  tls->tx.max_plaintext == TLS_PLAINTEXT_MAX;
    if (tls->rx_may && dp->kernel_rx.after_bytes == 0)
        tls->rx_layer = DP_LAYER_DUE;
    if (tls->tx_may && dp->kernel_tx.after_bytes == 0)
        tls->tx_layer = DP_LAYER_DUE;
    dp_leg_flush(dp, leg);
}

void dp_kernel_moved(struct dp_leg *leg, enum tls_dir dir, uint64_t bytes)
{
    struct dp_tls *tls = leg->tls;

    if (!tls)
        return;
    if (dir == TLS_DIR_RX && tls->rx_may && tls->rx_layer == DP_LAYER_USER &&
        bytes >= leg->dp->kernel_rx.after_bytes)
        tls->rx_layer = DP_LAYER_DUE;
    if (dir == TLS_DIR_TX && tls->tx_may && tls->tx_layer == DP_LAYER_USER &&
        bytes >= leg->dp->kernel_tx.after_bytes) {
        tls->tx_layer = DP_LAYER_DUE;
        dp_leg_flush(leg->dp, leg);
    }
}

static bool rx_due(const struct dp_leg *leg)
{
    const struct dp_tls *tls = leg->tls;

    return tls->rx_layer == DP_LAYER_DUE && !tls->want_tickets && !tls->rx_dead &&
           !leg->input_ended && leg->state == DP_LEG_OPEN;
}

static bool tx_due(const struct dp_leg *leg)
{
    const struct dp_tls *tls = leg->tls;

    return tls->tx_layer == DP_LAYER_DUE && !tls->alert_sent && !leg->output_dead &&
           leg->state == DP_LEG_OPEN;
}

/* Our records go on, and this is not tried again. */
static void refused(struct dp *dp, struct dp_tls *tls, enum tls_dir dir, int err)
{
    if (dir == TLS_DIR_TX) {
        tls->tx_layer = DP_LAYER_USER;
        tls->tx_may = false;
    } else {
        tls->rx_layer = DP_LAYER_USER;
        tls->rx_may = false;
    }
    dp->counters.kernel_refused++;
    if (err == ERR_UNSUPPORTED && tls->attached)
        dp->kernel_lacks[dir] |= cipher_bit(keys_of(tls, dir));
}

static bool attach(struct dp *dp, struct dp_leg *leg)
{
    struct dp_tls *tls = leg->tls;

    if (tls->attached)
        return true;
    if (leg->receiving)
        return false;
    int err = dp->transport->ops->kernel_attach(dp->transport, dp_slot_of(dp, leg));
    tls->attached = err == ERR_OK;
    if (tls->attached)
        return true;
    if (tls->tx_may)
        refused(dp, tls, TLS_DIR_TX, err);
    if (tls->rx_may)
        refused(dp, tls, TLS_DIR_RX, err);
    return false;
}

static bool install(struct dp *dp, struct dp_leg *leg, enum tls_dir dir)
{
    struct dp_tls *tls = leg->tls;
    struct tls_record_dir *keys = keys_of(tls, dir);
    int err = dp->transport->ops->kernel_keys(dp->transport, dp_slot_of(dp, leg), dir, keys);

    if (err != ERR_OK) {
        refused(dp, tls, dir, err);
        return false;
    }
    tls_record_leave(keys);
    return true;
}

static void hand_over_tx(struct dp *dp, struct dp_leg *leg)
{
    if (!dp_leg_output_idle(leg) || buf_len(&leg->out) > 0 || !install(dp, leg, TLS_DIR_TX))
        return;
    leg->tls->tx_layer = DP_LAYER_KERNEL;
    dp->counters.kernel_tx++;
    buf_release(&leg->out);
    leg->out = leg->plain;
    buf_init(&leg->plain, 0);
}

static void hand_over_rx(struct dp *dp, struct dp_leg *leg)
{
    struct dp_tls *tls = leg->tls;
    uint64_t sequence = tls->rx.seq;

    if (!install(dp, leg, TLS_DIR_RX))
        return;
    tls->rx_layer = DP_LAYER_KERNEL;
    tls->rx_sequence = sequence;
    dp->counters.kernel_rx++;
}

void dp_kernel_step(struct dp *dp, struct dp_leg *leg)
{
    struct dp_tls *tls = leg->tls;

    if (!tls)
        return;
    bool rx = rx_due(leg), tx = tx_due(leg);
    if (!rx && !tx)
        return;
    if (leg->receiving && !leg->cancelling && !leg->bounded && (rx || !tls->attached))
        leg->cancelling = dp->transport->ops->receive_cancel(dp->transport, dp_slot_of(dp, leg));
    if (attach(dp, leg) && tx)
        hand_over_tx(dp, leg);
}

size_t dp_kernel_receive_most(struct dp *dp, struct dp_leg *leg, struct span waiting)
{
    size_t len;

    if (!leg->tls || !rx_due(leg) || !attach(dp, leg))
        return SIZE_MAX;
    if (waiting.len == 0) {
        hand_over_rx(dp, leg);
        return SIZE_MAX;
    }
    int err = tls_record_length(&leg->tls->rx, waiting.ptr, waiting.len, &len);
    if (err == ERR_AGAIN)
        return TLS_RECORD_HEADER - waiting.len;
    if (err == ERR_OK && len > waiting.len)
        return len - waiting.len;
    /* A whole record, or nonsense: to be looked at before more comes. */
    leg->input_due = true;
    dp_leg_ready(dp, leg);
    return 0;
}

void dp_kernel_broken(struct dp *dp, struct dp_leg *leg, int error)
{
    enum tls_alert alert;

    switch (error) {
    case EBADMSG:
        alert = TLS_ALERT_BAD_RECORD_MAC;
        break;
    case EMSGSIZE:
        alert = TLS_ALERT_RECORD_OVERFLOW;
        break;
    case EINVAL:      /* another version in the header */
    case EKEYEXPIRED: /* a KeyUpdate that was not whole */
        alert = TLS_ALERT_UNEXPECTED_MESSAGE;
        break;
    default:
        leg->far_gone = true;
        dp_leg_lose(dp, leg, DP_LOST_RESET, 0, error);
        return;
    }
    leg->tls->rx_dead = leg->tls->rx_broken = true;
    dp->transport->ops->clear_error(dp->transport, dp_slot_of(dp, leg));
    dp_leg_fatal_alert(dp, leg, alert);
    dp_leg_lose(dp, leg, DP_LOST_BAD_RECORD, 0, 0);
}

bool dp_kernel_send_failed(struct dp *dp, struct dp_leg *leg, int error)
{
    bool of_receive = error == EBADMSG || error == EMSGSIZE;

    if (!of_receive || !dp_rx_kernel(leg) || leg->tls->rx_dead)
        return false;
    dp_kernel_broken(dp, leg, error);
    return true;
}

void dp_kernel_control(struct dp *dp, struct dp_leg *leg)
{
    uint8_t room[TLS_PLAINTEXT_MAX];
    struct tls_record record = {.data = room};
    ssize_t n = dp->transport->ops->receive_record(dp->transport, dp_slot_of(dp, leg), &record.type,
                                                   room, sizeof(room));

    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n < 0) {
        dp_kernel_broken(dp, leg, (int)-n);
        return;
    }
    record.len = (size_t)n;
    dp_record_kernel(dp, leg, &record);
}

ssize_t dp_kernel_drop(struct dp *dp, struct dp_leg *leg)
{
    uint8_t room[TLS_PLAINTEXT_MAX];
    enum tls_content type;
    ssize_t n = dp->transport->ops->receive_record(dp->transport, dp_slot_of(dp, leg), &type, room,
                                                   sizeof(room));

    return n == 0 ? 1 : n;
}

int dp_kernel_rekey(struct dp *dp, struct dp_leg *leg, enum tls_dir dir)
{
    struct tls_record_dir *keys = keys_of(leg->tls, dir);

    if (!dp->transport->kernel_rekey)
        return ERR_STATE;
    if (dir == TLS_DIR_RX) { /* its count begins again */
        (void)dp_kernel_records(dp, leg, 0);
        leg->tls->rx_sequence = 0;
    }
    int err = tls_record_rekey(keys);
    if (err == ERR_OK)
        err = dp->transport->ops->kernel_keys(dp->transport, dp_slot_of(dp, leg), dir, keys);
    tls_record_leave(keys);
    return err;
}

/* An answer that has not gone yet is one to all KeyUpdates so far (RFC 8446 section 4.6.3). */
static bool answer_waits(const struct dp_tls *tls)
{
    for (unsigned i = 0; i < tls->out_marks.len; i++) {
        if (tls->out_marks.of[i].type == TLS_CONTENT_HANDSHAKE)
            return true;
    }
    for (unsigned i = tls->mark_in_flight ? 1 : 0; i < tls->sending_marks.len; i++) {
        if (tls->sending_marks.of[i].type == TLS_CONTENT_HANDSHAKE)
            return true;
    }
    return false;
}

void dp_kernel_control_record(struct dp *dp, struct dp_leg *leg, enum tls_content type,
                              const uint8_t *data, size_t len)
{
    struct dp_tls *tls = leg->tls;
    struct dp_marks *marks = &tls->out_marks;

    if (type == TLS_CONTENT_HANDSHAKE && answer_waits(tls))
        return;
    ASSERT(marks->len < DP_MARKS_MAX && len <= DP_CONTROL_RECORD_MAX);
    struct dp_mark mark = {.at = buf_len(&leg->out), .len = (uint8_t)len, .type = (uint8_t)type};
    if (buf_append(&leg->out, data, len) != ERR_OK) {
        dp_leg_lose(dp, leg, DP_LOST_SEND, 0, ENOMEM);
        return;
    }
    marks->of[marks->len++] = mark;
}

void dp_kernel_sent(struct dp *dp, struct dp_leg *leg, size_t n)
{
    struct dp_tls *tls = leg->tls;
    struct dp_marks *marks = &tls->sending_marks;
    bool answered = false;

    tls->records += 1 + n / TLS_PLAINTEXT_MAX;
    if (tls->mark_in_flight) {
        ASSERT(n == marks->of[0].len); /* the kernel takes a record whole */
        answered = marks->of[0].type == TLS_CONTENT_HANDSHAKE;
        memmove(&marks->of[0], &marks->of[1], sizeof(marks->of) - sizeof(marks->of[0]));
        marks->len--;
        tls->mark_in_flight = false;
    }
    for (unsigned i = 0; i < marks->len; i++)
        marks->of[i].at -= n;
    if (answered && dp_kernel_rekey(dp, leg, TLS_DIR_TX) != ERR_OK) {
        leg->output_dead = true; /* the far end expects keys that we can't seal with */
        dp_leg_lose(dp, leg, DP_LOST_REKEY, 0, 0);
    }
}

bool dp_kernel_received(struct dp *dp, struct dp_leg *leg, size_t n)
{
    struct dp_tls *tls = leg->tls;

    tls->unsure += n; /* of one byte each, at worst */
    tls->empty_records = 0;
    if (tls->handshake_have > 0)
        dp_record_refused(dp, leg);
    return !tls->rx_dead;
}

uint64_t dp_kernel_records(struct dp *dp, struct dp_leg *leg, uint64_t unsure_max)
{
    struct dp_tls *tls = leg->tls;
    uint64_t sequence;

    if (tls->unsure > unsure_max &&
        dp->transport->ops->kernel_sequence(dp->transport, dp_slot_of(dp, leg), TLS_DIR_RX,
                                            tls->rx.cipher, &sequence) == ERR_OK) {
        tls->records += sequence - tls->rx_sequence;
        tls->rx_sequence = sequence;
        tls->unsure = 0;
    }
    return tls->records + tls->unsure;
}

void dp_kernel_end(struct dp *dp, struct dp_leg *leg)
{
    if (dp_rx_kernel(leg))
        dp->counters.kernel_rx--;
    if (dp_tx_kernel(leg))
        dp->counters.kernel_tx--;
}
