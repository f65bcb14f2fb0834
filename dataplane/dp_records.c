/* SPDX-License-Identifier: Apache-2.0 */
/* What an opened record means: data for somebody, or an alert, a KeyUpdate, a ticket. */
#include "dp_priv.h"

#include <stdlib.h>

enum { /* RFC 8446 section 4, RFC 5246 section 7.4 */
       HANDSHAKE_HELLO_REQUEST = 0,
       HANDSHAKE_CLIENT_HELLO = 1,
       HANDSHAKE_NEW_SESSION_TICKET = 4,
       HANDSHAKE_KEY_UPDATE = 24,
       ALERT_LEVEL_FATAL = 2,
       ALERT_USER_CANCELED = 90,
};

static enum dp_record_result broken(struct dp *dp, struct dp_leg *leg, enum tls_alert alert,
                                    enum dp_lost why)
{
    dp_leg_fatal_alert(dp, leg, alert);
    dp_leg_lose(dp, leg, why, 0, 0);
    return DP_RECORD_LOST;
}

/* Something without bytes for anybody; a peer may not send it for ever. */
static enum dp_record_result counted(struct dp *dp, struct dp_leg *leg, uint8_t *counter,
                                     unsigned most)
{
    if (++*counter > most)
        return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_LIMIT);
    return DP_RECORD_OTHER;
}

static enum dp_record_result take_alert(struct dp *dp, struct dp_leg *leg,
                                        const struct tls_record *record)
{
    struct dp_tls *tls = leg->tls;

    if (record->len != 2)
        return broken(dp, leg, TLS_ALERT_DECODE_ERROR, DP_LOST_BAD_RECORD);
    uint8_t level = record->data[0], description = record->data[1];
    if (description == TLS_ALERT_CLOSE_NOTIFY) {
        dp_leg_lose(dp, leg, DP_LOST_EOF, 0, 0);
        return DP_RECORD_LOST;
    }
    /* On TLS 1.3 every other alert but this one is fatal, whatever its level says. */
    bool warning = description == ALERT_USER_CANCELED ||
                   (tls->rx.version == TLS_VERSION_1_2 && level != ALERT_LEVEL_FATAL);
    if (warning)
        return counted(dp, leg, &tls->warnings, DP_WARNINGS_MAX);
    tls->alert_sent = true; /* nothing is said to a peer that has given up */
    dp_leg_lose(dp, leg, DP_LOST_ALERT, description, 0);
    return DP_RECORD_LOST;
}

static enum dp_record_result take_key_update(struct dp *dp, struct dp_leg *leg, uint8_t request)
{
    const uint8_t answer[] = {HANDSHAKE_KEY_UPDATE, 0, 0, 1, 0};
    struct dp_tls *tls = leg->tls;

    if (dp->now_ms - tls->key_update_window_ms >= DP_KEY_UPDATE_WINDOW_MS) {
        tls->key_update_window_ms = dp->now_ms;
        tls->key_updates = 0;
    }
    dp->counters.key_updates++;
    tls->want_tickets = false; /* what comes now is under keys that OpenSSL does not have */
    if (request > 1)
        return broken(dp, leg, TLS_ALERT_DECODE_ERROR, DP_LOST_BAD_RECORD);
    /* Before the answer: after it the far end takes nothing under the old keys. */
    if (request == 1 && dp_tx_kernel(leg) && !dp->transport->kernel_rekey)
        return broken(dp, leg, TLS_ALERT_INTERNAL_ERROR, DP_LOST_REKEY);
    if (dp_rx_kernel(leg)) {
        if (dp_kernel_rekey(dp, leg, TLS_DIR_RX) != ERR_OK)
            return broken(dp, leg, TLS_ALERT_INTERNAL_ERROR, DP_LOST_REKEY);
    } else if (tls_record_rekey(&tls->rx) != ERR_OK) {
        return broken(dp, leg, TLS_ALERT_INTERNAL_ERROR, DP_LOST_BAD_RECORD);
    }
    if (request == 1) {
        dp_leg_control_record(dp, leg, TLS_CONTENT_HANDSHAKE, answer, sizeof(answer));
        /* The kernel seals the answer when it is sent, and gets the next keys then. */
        if (dp_tx_user(leg) && tls_record_rekey(&tls->tx) != ERR_OK)
            return broken(dp, leg, TLS_ALERT_INTERNAL_ERROR, DP_LOST_BAD_RECORD);
    }
    return counted(dp, leg, &tls->key_updates, DP_KEY_UPDATES_MAX);
}

/* The header of a post-handshake message is complete. */
static enum dp_record_result begin_message(struct dp *dp, struct dp_leg *leg)
{
    struct dp_tls *tls = leg->tls;
    const uint8_t *h = tls->handshake_header;
    uint32_t len = (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];

    if (h[0] == HANDSHAKE_KEY_UPDATE) {
        if (len != 1)
            return broken(dp, leg, TLS_ALERT_DECODE_ERROR, DP_LOST_BAD_RECORD);
    } else if (h[0] != HANDSHAKE_NEW_SESSION_TICKET || !leg->outgoing) {
        return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
    } else if (len > DP_HANDSHAKE_MAX) {
        return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_LIMIT);
    } else if (counted(dp, leg, &tls->tickets, DP_TICKETS_MAX) == DP_RECORD_LOST) {
        return DP_RECORD_LOST;
    }
    tls->handshake_left = len;
    if (len == 0)
        tls->handshake_have = 0;
    return DP_RECORD_OTHER;
}

/* TLS 1.3: messages in any fragmentation. None is kept: tickets are OpenSSL's (ticket_record), of
 * a KeyUpdate one byte matters. */
static enum dp_record_result take_messages(struct dp *dp, struct dp_leg *leg,
                                           const struct tls_record *record)
{
    struct dp_tls *tls = leg->tls;
    size_t i = 0;

    while (i < record->len) {
        if (tls->handshake_have < sizeof(tls->handshake_header)) {
            tls->handshake_header[tls->handshake_have++] = record->data[i++];
            if (tls->handshake_have == sizeof(tls->handshake_header) &&
                begin_message(dp, leg) == DP_RECORD_LOST)
                return DP_RECORD_LOST;
            continue;
        }
        if (tls->handshake_header[0] == HANDSHAKE_KEY_UPDATE) {
            tls->handshake_have = 0;
            if (i + 1 != record->len) /* RFC 8446 section 5.1: not across a key change */
                return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
            return take_key_update(dp, leg, record->data[i]);
        }
        size_t left = record->len - i;
        size_t n = left < tls->handshake_left ? left : tls->handshake_left;
        tls->handshake_left -= (uint32_t)n;
        i += n;
        if (tls->handshake_left == 0)
            tls->handshake_have = 0;
    }
    return DP_RECORD_OTHER;
}

static enum dp_record_result take_handshake(struct dp *dp, struct dp_leg *leg,
                                            const struct tls_record *record)
{
    if (record->len == 0)
        return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
    if (leg->tls->rx.version == TLS_VERSION_1_3)
        return take_messages(dp, leg, record);
    uint8_t type = record->data[0];
    bool again = type == (leg->outgoing ? HANDSHAKE_HELLO_REQUEST : HANDSHAKE_CLIENT_HELLO);
    return broken(dp, leg, again ? TLS_ALERT_NO_RENEGOTIATION : TLS_ALERT_UNEXPECTED_MESSAGE,
                  DP_LOST_BAD_RECORD);
}

static enum dp_record_result take_record(struct dp *dp, struct dp_leg *leg,
                                         const struct tls_record *record)
{
    struct dp_tls *tls = leg->tls;

    /* RFC 8446 section 5.1: nothing comes between the records of one handshake message. */
    if (record->type != TLS_CONTENT_HANDSHAKE && tls->handshake_have > 0)
        return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
    switch (record->type) {
    case TLS_CONTENT_DATA:
        if (record->len == 0)
            return counted(dp, leg, &tls->empty_records, DP_EMPTY_RECORDS_MAX);
        tls->empty_records = 0;
        return DP_RECORD_DATA;
    case TLS_CONTENT_ALERT:
        return take_alert(dp, leg, record);
    case TLS_CONTENT_HANDSHAKE:
        return take_handshake(dp, leg, record);
    case TLS_CONTENT_CCS:
        break;
    }
    return broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
}

/* Opening destroys the sealed bytes, which OpenSSL's session needs too. */
static enum dp_record_result open_for_tickets(struct dp *dp, struct dp_leg *leg, uint8_t *data,
                                              size_t len, struct tls_record *ret)
{
    uint8_t sealed[TLS_RECORD_MAX];
    uint32_t generation = leg->generation;

    memcpy(sealed, data, len);
    int err = tls_record_open(&leg->tls->rx, data, len, ret);
    if (err != ERR_OK)
        return broken(dp, leg, tls_record_alert_for(err), DP_LOST_BAD_RECORD);
    if (ret->type != TLS_CONTENT_HANDSHAKE)
        leg->tls->want_tickets = false;
    enum dp_record_result result = take_record(dp, leg, ret);
    if (result != DP_RECORD_OTHER || !leg->tls->want_tickets)
        return result;
    dp->events.ticket_record(dp->user, dp_leg_id(dp, leg), span_make(sealed, len));
    return leg->generation == generation && leg->state == DP_LEG_OPEN ? result : DP_RECORD_LOST;
}

static enum dp_record_result record_next(struct dp *dp, struct dp_leg *leg, uint8_t *data,
                                         size_t len, struct tls_record *ret, size_t *ret_len)
{
    struct dp_tls *tls = leg->tls;
    int err = tls_record_length(&tls->rx, data, len, ret_len);

    if (err == ERR_AGAIN || (err == ERR_OK && *ret_len > len))
        return DP_RECORD_MORE;
    if (err != ERR_OK)
        return broken(dp, leg, tls_record_alert_for(err), DP_LOST_BAD_RECORD);
    tls->records++;
    dp->counters.records_opened++;
    if (tls->want_tickets)
        return open_for_tickets(dp, leg, data, *ret_len, ret);
    err = tls_record_open(&tls->rx, data, *ret_len, ret);
    if (err != ERR_OK)
        return broken(dp, leg, tls_record_alert_for(err), DP_LOST_BAD_RECORD);
    return take_record(dp, leg, ret);
}

enum dp_record_result dp_record_next(struct dp *dp, struct dp_leg *leg, uint8_t *data, size_t len,
                                     struct tls_record *ret, size_t *ret_len)
{
    if (leg->tls->rx_dead)
        return DP_RECORD_LOST;
    enum dp_record_result result = record_next(dp, leg, data, len, ret, ret_len);
    if (result == DP_RECORD_LOST)
        leg->tls->rx_dead = true; /* nothing after it is opened */
    return result;
}

void dp_record_refused(struct dp *dp, struct dp_leg *leg)
{
    (void)broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
    leg->tls->rx_dead = true;
}

void dp_record_kernel(struct dp *dp, struct dp_leg *leg, const struct tls_record *record)
{
    struct dp_tls *tls = leg->tls;
    enum dp_record_result result;

    if (tls->rx_dead)
        return;
    tls->records++;
    if (record->type == TLS_CONTENT_DATA || record->len == 0)
        result = broken(dp, leg, TLS_ALERT_UNEXPECTED_MESSAGE, DP_LOST_BAD_RECORD);
    else
        result = take_record(dp, leg, record);
    tls->rx_dead = result == DP_RECORD_LOST;
}
