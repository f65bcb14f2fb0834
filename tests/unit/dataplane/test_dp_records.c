/* SPDX-License-Identifier: Apache-2.0 */
/* What a far end may send on an established TLS leg, and what it may not. */
#include "../cmocka_all.h"

#include "dp_lab.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_TICKET = 4, MESSAGE_CERTIFICATE_REQUEST = 13, MESSAGE_KEY_UPDATE = 24 };

static struct lab_conf conf_of(enum tls_version version)
{
    struct lab_tls tls = {true, version, TLS_AEAD_AES_128_GCM};

    return (struct lab_conf){.sim = {.seed = 1, .delay_max_ms = 3, .fragment_max = 50},
                             .a = tls,
                             .b = tls,
                             .max_relays = 1,
                             .want_tickets = true};
}

static void open_lab(struct lab *lab, enum tls_version version)
{
    struct lab_conf conf = conf_of(version);

    lab_open(lab, &conf);
}

static void text_is(const struct buf *text, const char *want)
{
    assert_int_equal(buf_len(text), strlen(want));
    assert_memory_equal(buf_span(text).ptr, want, strlen(want));
}

static void lost_with(const struct lab_leg *leg, const struct lab_end *end, enum dp_lost why,
                      uint8_t alert)
{
    assert_true(leg->lost);
    assert_int_equal(leg->lost_info.why, why);
    assert_int_equal(end->alert, alert);
}

/* One thing is sent by the client; the leg is lost and the client hears the alert. */
static void breaks(enum tls_version version, enum tls_content type, const void *data, size_t len,
                   enum dp_lost why, uint8_t alert)
{
    struct lab lab;

    open_lab(&lab, version);
    lab_send(&lab.client, "NOOP\r\n", 6, 100);
    lab_send_record(&lab.client, type, data, len);
    lab_send(&lab.client, "never\r\n", 7, 100);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "NOOP\r\n"); /* what came before counts */
    lost_with(&lab.a, &lab.client, why, alert);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "x", 1), ERR_CLOSED);
    /* A cut after our alert is no RST that could overtake it. */
    assert_int_equal(dp_close(lab.dp, lab.a.id, DP_CLOSE_CUT), ERR_OK);
    lab_run(&lab, 30000);
    assert_true(lab.client.closed);
    assert_false(lab.client.reset);
    assert_false(lab.client.close_notify);
    lab_close(&lab);
}

static void what_breaks_a_leg(void **state)
{
    static const uint8_t garbage[] = {1, 2, 3};

    breaks(TLS_VERSION_1_3, TLS_CONTENT_ALERT, garbage, 3, DP_LOST_BAD_RECORD,
           TLS_ALERT_DECODE_ERROR);
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "", 0, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
    /* A client sends no ticket, a server no CertificateRequest after the handshake. */
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "\4\0\0\1x", 5, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "\15\0\0\1x", 5, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "\30\0\0\2\0\0", 6, DP_LOST_BAD_RECORD,
           TLS_ALERT_DECODE_ERROR);
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "\30\0\0\1\2", 5, DP_LOST_BAD_RECORD,
           TLS_ALERT_DECODE_ERROR);
    /* RFC 8446 section 5.1: nothing follows a KeyUpdate in its record. */
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "\30\0\0\1\0\30\0\0\1\0", 10, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
    /* Data inside a fragmented handshake message. */
    breaks(TLS_VERSION_1_3, TLS_CONTENT_HANDSHAKE, "\30\0", 2, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
    /* Renegotiation. */
    breaks(TLS_VERSION_1_2, TLS_CONTENT_HANDSHAKE, "\1\0\0\0", 4, DP_LOST_BAD_RECORD,
           TLS_ALERT_NO_RENEGOTIATION);
    breaks(TLS_VERSION_1_2, TLS_CONTENT_HANDSHAKE, "\24\0\0\0", 4, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
    breaks(TLS_VERSION_1_2, TLS_CONTENT_CCS, "\1", 1, DP_LOST_BAD_RECORD,
           TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void hello_request_is_refused(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_2);
    lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, "\0\0\0\0", 4);
    lab_run(&lab, 1000);
    lost_with(&lab.b, &lab.server, DP_LOST_BAD_RECORD, TLS_ALERT_NO_RENEGOTIATION);
    lab_close(&lab);
}

static void a_flipped_bit_is_found(void **state)
{
    uint8_t record[100];
    size_t n;

    for (unsigned version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
        for (size_t at = 5; at < 40; at += 7) {
            struct lab lab;
            open_lab(&lab, version);
            assert_int_equal(tls_record_seal(&lab.client.tx, TLS_CONTENT_DATA,
                                             (const uint8_t *)"RSET and something more\r\n", 25,
                                             record, &n),
                             ERR_OK);
            record[at] ^= 0x10;
            lab_send_bytes(&lab.client, record, n);
            lab_run(&lab, 1000);
            assert_int_equal(buf_len(&lab.a.text), 0);
            lost_with(&lab.a, &lab.client, DP_LOST_BAD_RECORD, TLS_ALERT_BAD_RECORD_MAC);
            assert_int_equal(dp_close(lab.dp, lab.a.id, DP_CLOSE_CUT), ERR_OK);
            lab_run(&lab, 1000);
            assert_true(lab.client.closed && !lab.client.reset);
            lab_close(&lab);
        }
    }
}

static void bad_headers(void **state)
{
    static const uint8_t headers[][5] = {
        {23, 3, 3, 0xff, 0xff}, /* too long */
        {23, 3, 3, 0, 3},       /* too short for a tag */
        {'Q', 'U', 'I', 'T', '\r'},
        {22, 3, 3, 0, 60}, /* plaintext handshake on TLS 1.3 */
    };

    for (size_t i = 0; i < sizeof(headers) / 5; i++) {
        struct lab lab;
        uint8_t record[65] = {0};
        memcpy(record, headers[i], 5);
        open_lab(&lab, TLS_VERSION_1_3);
        lab_send_bytes(&lab.client, record, sizeof(record));
        lab_run(&lab, 1000);
        assert_true(lab.a.lost);
        assert_int_equal(lab.a.lost_info.why, DP_LOST_BAD_RECORD);
        assert_int_not_equal(lab.client.alert, 0);
        lab_close(&lab);
    }
}

static void close_notify_both_ways(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send(&lab.client, "QUIT\r\n", 6, 100);
    lab_send_record(&lab.client, TLS_CONTENT_ALERT, "\1\0", 2);
    lab_finish(&lab.client);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "QUIT\r\n");
    lost_with(&lab.a, &lab.client, DP_LOST_EOF, 0);
    assert_int_equal(dp_close(lab.dp, lab.a.id, DP_CLOSE_FLUSH), ERR_OK);
    assert_int_equal(dp_send(lab.dp, lab.b.id, "QUIT\r\n", 6), ERR_OK);
    assert_int_equal(dp_close(lab.dp, lab.b.id, DP_CLOSE_FLUSH), ERR_OK);
    lab_run(&lab, 1000);
    assert_true(lab.client.close_notify && lab.client.closed && !lab.client.reset);
    text_is(&lab.server.text, "QUIT\r\n");
    assert_true(lab.server.close_notify && lab.server.closed && !lab.server.reset);
    lab_close(&lab);
}

static void truncation_is_no_end(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send(&lab.client, "QUIT\r\n", 6, 100);
    lab_finish(&lab.client);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "QUIT\r\n");
    lost_with(&lab.a, &lab.client, DP_LOST_TRUNCATED, 0);
    lab_close(&lab);
}

/* The close_notify waits unopened on a paused leg while the FIN is already seen. */
static void close_notify_on_a_paused_leg(void **state)
{
    struct lab_conf conf = conf_of(TLS_VERSION_1_3);
    struct lab lab;

    conf.sim.fragment_max = 0;
    lab_open(&lab, &conf);
    lab_run(&lab, 100);
    assert_int_equal(dp_pause(lab.dp, lab.a.id), ERR_OK);
    lab_send(&lab.client, "QUIT\r\n", 6, 100);
    lab_send_record(&lab.client, TLS_CONTENT_ALERT, "\1\0", 2);
    lab_finish(&lab.client);
    lab_run(&lab, 1000);
    assert_int_equal(buf_len(&lab.a.text), 0);
    assert_int_equal(dp_resume(lab.dp, lab.a.id), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "QUIT\r\n");
    lost_with(&lab.a, &lab.client, DP_LOST_EOF, 0);
    lab_close(&lab);
}

static void alerts_are_told(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send_record(&lab.server, TLS_CONTENT_ALERT, "\1\60", 2); /* unknown_ca, "warning" */
    lab_run(&lab, 1000);
    lost_with(&lab.b, &lab.server, DP_LOST_ALERT, 0);
    assert_int_equal(lab.b.lost_info.alert, 48);
    lab_close(&lab);
    /* user_canceled means nothing by itself; on 1.2, other warnings do not either. */
    open_lab(&lab, TLS_VERSION_1_2);
    lab_send_record(&lab.client, TLS_CONTENT_ALERT, "\1\144", 2);
    lab_send(&lab.client, "NOOP\r\n", 6, 100);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "NOOP\r\n");
    for (int i = 0; i < 20; i++)
        lab_send_record(&lab.client, TLS_CONTENT_ALERT, "\1\144", 2);
    lab_run(&lab, 1000);
    lost_with(&lab.a, &lab.client, DP_LOST_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE);
    lab_close(&lab);
}

static void key_update(struct lab_end *end, uint8_t request)
{
    const uint8_t message[] = {MESSAGE_KEY_UPDATE, 0, 0, 1, request};

    lab_send_record(end, TLS_CONTENT_HANDSHAKE, message, sizeof(message));
    assert_int_equal(tls_record_rekey(&end->tx), ERR_OK);
}

/* The keys are where they can't be changed any more. */
static bool key_update_ends(const struct lab *lab)
{
    return !lab_rekeys(lab) && (lab_way.settled || lab->a.lost || lab->b.lost);
}

static void key_updates_are_answered(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send(&lab.client, "one\r\n", 5, 100);
    key_update(&lab.client, 1);
    lab_send(&lab.client, "two\r\n", 5, 100);
    lab_run(&lab, 1000);
    if (key_update_ends(&lab)) {
        text_is(&lab.a.text, "one\r\n");
        lost_with(&lab.a, &lab.client, DP_LOST_REKEY, TLS_ALERT_INTERNAL_ERROR);
        lab_close(&lab);
        return;
    }
    text_is(&lab.a.text, "one\r\ntwo\r\n");
    assert_int_equal(lab.client.key_updates, 1);
    key_update(&lab.client, 0);
    lab_send(&lab.client, "three\r\n", 7, 100);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "one\r\ntwo\r\nthree\r\n");
    assert_int_equal(lab.client.key_updates, 1);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "250 ok\r\n", 8), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.client.text, "250 ok\r\n");
    lab_close(&lab);
}

static void nothing(void *user, struct dp_timer *timer)
{
}

static void key_updates_are_limited(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    for (int i = 0; i < 40; i++) {                  /* slowly is fine */
        struct dp_timer second = {.fire = nothing}; /* time passes only where something is due */
        assert_int_equal(dp_timer_start(lab.dp, &second, 1000), ERR_OK);
        key_update(&lab.client, 1);
        lab_run(&lab, 2000);
    }
    assert_false(lab.a.lost);
    for (int i = 0; i < 40; i++)
        key_update(&lab.client, 0);
    lab_run(&lab, 1000);
    lost_with(&lab.a, &lab.client, DP_LOST_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE);
    lab_close(&lab);
}

static void a_fragmented_key_update(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send_record(&lab.client, TLS_CONTENT_HANDSHAKE, "\30\0\0", 3);
    lab_send_record(&lab.client, TLS_CONTENT_HANDSHAKE, "\1\1", 2);
    assert_int_equal(tls_record_rekey(&lab.client.tx), ERR_OK);
    lab_send(&lab.client, "NOOP\r\n", 6, 100);
    lab_run(&lab, 1000);
    if (key_update_ends(&lab)) {
        lost_with(&lab.a, &lab.client, DP_LOST_REKEY, TLS_ALERT_INTERNAL_ERROR);
        lab_close(&lab);
        return;
    }
    if (lab.a.lost) { /* the kernel opens nothing behind the first part of one */
        assert_true(lab_way.kernel_rx.on);
        lost_with(&lab.a, &lab.client, DP_LOST_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
        lab_close(&lab);
        return;
    }
    text_is(&lab.a.text, "NOOP\r\n");
    assert_int_equal(lab.client.key_updates, 1);
    lab_close(&lab);
}

static void a_key_update_in_mid_body(void **state)
{
    static uint8_t body[300000];
    struct lab_conf conf = conf_of(TLS_VERSION_1_3);
    struct body_flow flow;
    struct lab lab;

    conf.sim.fragment_max = 0;
    lab_body(body, sizeof(body), 3);
    lab_open(&lab, &conf);
    lab.finish = true;
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    for (size_t at = 0; at < sizeof(body); at += 50000) {
        lab_send(&lab.client, body + at, 50000, 16384);
        key_update(&lab.client, 1);
        key_update(&lab.server, 1);
    }
    lab_send(&lab.client, ".\r\n", 3, 3);
    assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
    lab_run(&lab, 60000);
    if (key_update_ends(&lab)) { /* before the final dot */
        const struct lab_leg *leg = lab.result.end == DP_RELAY_FROM_LOST ? &lab.a : &lab.b;
        assert_true(leg->lost && leg->lost_info.why == DP_LOST_REKEY);
        assert_int_not_equal(lab.result.end, DP_RELAY_DONE);
        assert_true(buf_len(&lab.server.text) < sizeof(body));
        assert_memory_equal(buf_span(&lab.server.text).ptr, body, buf_len(&lab.server.text));
        lab_close(&lab);
        return;
    }
    assert_int_equal(lab.result.end, DP_RELAY_DONE);
    assert_int_equal(buf_len(&lab.server.text), sizeof(body) + 3);
    assert_memory_equal(buf_span(&lab.server.text).ptr, body, sizeof(body));
    /* One answer may be to several (RFC 8446 section 4.6.3): the kernel's come later. */
    unsigned least = lab_way.kernel_tx.on ? 1 : 6;
    assert_in_range(lab.client.key_updates, least, 6);
    assert_in_range(lab.server.key_updates, least, 6);
    lab_close(&lab);
}

static void tickets_go_to_the_handshake(void **state)
{
    struct lab lab;
    uint8_t ticket[4 + 300] = {MESSAGE_TICKET, 0, 300 >> 8, 300 & 0xff};

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, ticket, sizeof(ticket));
    lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, ticket, 100); /* in two records */
    lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, ticket + 100, sizeof(ticket) - 100);
    lab_send(&lab.server, "250 ok\r\n", 8, 100);
    lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, ticket, sizeof(ticket));
    lab_send(&lab.server, "250 ok\r\n", 8, 100);
    lab_run(&lab, 1000);
    assert_int_equal(lab.b.tickets, 3); /* not after the first data */
    text_is(&lab.b.text, "250 ok\r\n250 ok\r\n");
    for (int i = 0; i < 40; i++)
        lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, ticket, sizeof(ticket));
    lab_run(&lab, 1000);
    lost_with(&lab.b, &lab.server, DP_LOST_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE);
    lab_close(&lab);
}

static void a_certificate_request_is_refused(void **state)
{
    const uint8_t request[] = {MESSAGE_CERTIFICATE_REQUEST, 0, 0, 1, 0};
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, request, sizeof(request));
    lab_run(&lab, 1000);
    lost_with(&lab.b, &lab.server, DP_LOST_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
    lab_close(&lab);
}

static void empty_records_are_limited(void **state)
{
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < 20; j++)
            lab_send_record(&lab.client, TLS_CONTENT_DATA, "", 0);
        lab_send(&lab.client, "x", 1, 1);
    }
    lab_run(&lab, 10000);
    assert_int_equal(buf_len(&lab.a.text), 100);
    assert_false(lab.a.lost);
    for (int j = 0; j < 40; j++)
        lab_send_record(&lab.client, TLS_CONTENT_DATA, "", 0);
    lab_run(&lab, 1000);
    if (lab_way.kernel_rx.on && (lab_way.settled || !lab.a.lost)) {
        /* The kernel swallows them, at the price of any other record. */
        lab_send(&lab.client, "x", 1, 1);
        lab_run(&lab, 1000);
        assert_int_equal(buf_len(&lab.a.text), 101);
        assert_false(lab.a.lost);
    } else {
        lost_with(&lab.a, &lab.client, DP_LOST_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE);
    }
    lab_close(&lab);
}

/* Small records are one event where they arrive together. */
static void records_are_drawn_together(void **state)
{
    struct lab_conf conf = conf_of(TLS_VERSION_1_3);
    struct lab lab;

    conf.sim.fragment_max = 0;
    conf.sim.delay_max_ms = 0;
    lab_open(&lab, &conf);
    lab_send(&lab.client, "MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n", 44, 11);
    lab_run(&lab, 1000);
    assert_int_equal(buf_len(&lab.a.text), 44);
    assert_int_equal(lab.a.received, 1);
    lab_close(&lab);
}

/* The hand-off: ciphertext that came with the handshake's last record. */
static void the_rest_is_opened_first(void **state)
{
    const struct lab_tls tls = {true, TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM};
    struct lab_conf conf = {.sim = {.seed = 3}};
    struct tls_keys gateway, far;
    uint8_t rest[200];
    size_t n, m;
    struct lab lab;

    lab_open(&lab, &conf);
    lab_keys(&tls, 1, &gateway, &far);
    assert_int_equal(tls_record_init(&lab.client.tx, &far, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(&lab.client.rx, &far, TLS_DIR_RX), ERR_OK);
    lab.client.tls = true;
    assert_int_equal(tls_record_seal(&lab.client.tx, TLS_CONTENT_DATA,
                                     (const uint8_t *)"EHLO a\r\n", 8, rest, &n),
                     ERR_OK);
    assert_int_equal(tls_record_seal(&lab.client.tx, TLS_CONTENT_DATA, (const uint8_t *)"NOOP\r\n",
                                     6, rest + n, &m),
                     ERR_OK);
    assert_int_equal(dp_set_keys(lab.dp, lab.a.id, &gateway, span_make(rest, n + 9), 0), ERR_OK);
    assert_int_equal(lab.a.received, 0); /* never from inside a call */
    assert_int_equal(dp_set_keys(lab.dp, lab.a.id, &gateway, span_make(NULL, 0), 0), ERR_STATE);
    lab_send_bytes(&lab.client, rest + n + 9, m - 9);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "EHLO a\r\nNOOP\r\n");
    assert_int_equal(dp_records(lab.dp, lab.a.id), 2);
    lab_close(&lab);
}

static void keys_need_an_empty_stash(void **state)
{
    const struct lab_tls tls = {true, TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM};
    struct lab_conf conf = {.sim = {.seed = 3}};
    struct tls_keys gateway, far;
    struct lab lab;

    lab_open(&lab, &conf);
    lab_keys(&tls, 1, &gateway, &far);
    lab.a.keep = 5;
    lab_send(&lab.client, "STARTTLS\r\nNOOP\r\n", 16, 100);
    lab_run(&lab, 1000);
    assert_int_equal(dp_set_keys(lab.dp, lab.a.id, &gateway, span_make(NULL, 0), 0), ERR_STATE);
    lab_close(&lab);
}

static void a_smaller_largest_record(void **state)
{
    static uint8_t body[100000];
    struct lab_conf conf = conf_of(TLS_VERSION_1_3);
    struct tls_keys gateway, far;
    struct body_flow flow;
    struct lab lab;

    lab_body(body, sizeof(body), 4);
    conf.b.on = false;
    conf.sim.fragment_max = 0;
    lab_open(&lab, &conf);
    lab_keys(&conf.a, 77, &gateway, &far);
    gateway.max_plaintext = 512; /* RFC 6066 max_fragment_length */
    lab.server.tls = lab.finish = true;
    assert_int_equal(tls_record_init(&lab.server.rx, &far, TLS_DIR_RX), ERR_OK);
    assert_int_equal(dp_set_keys(lab.dp, lab.b.id, &gateway, span_make(NULL, 0), 0), ERR_OK);
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_send(&lab.client, body, sizeof(body), 16384);
    lab_send(&lab.client, ".\r\n", 3, 3);
    assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
    lab_run(&lab, 60000);
    assert_int_equal(buf_len(&lab.server.text), sizeof(body) + 3);
    assert_memory_equal(buf_span(&lab.server.text).ptr, body, sizeof(body));
    assert_in_range(lab.server.records, sizeof(body) / 512 + 1, sizeof(body) / 512 + 30);
    lab_close(&lab);
}

static void padding_is_removed(void **state)
{
    uint8_t padded[200] = "NOOP\r\n";
    struct lab lab;

    open_lab(&lab, TLS_VERSION_1_3);
    padded[6] = TLS_CONTENT_DATA; /* then zeros, and a last one as "type": all of it padding */
    lab_send_record(&lab.client, (enum tls_content)0, padded, sizeof(padded));
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "NOOP\r\n");
    lab_close(&lab);
    open_lab(&lab, TLS_VERSION_1_3);
    memset(padded, 0, sizeof(padded));
    lab_send_record(&lab.client, (enum tls_content)0, padded, sizeof(padded)); /* no type at all */
    lab_run(&lab, 1000);
    /* The kernel says no more than that it is no record. */
    bool by_kernel = lab_way.kernel_rx.on && lab.client.alert == TLS_ALERT_BAD_RECORD_MAC;
    lost_with(&lab.a, &lab.client, DP_LOST_BAD_RECORD,
              by_kernel ? TLS_ALERT_BAD_RECORD_MAC : TLS_ALERT_UNEXPECTED_MESSAGE);
    lab_close(&lab);
}

static int all(const char *way)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_breaks_a_leg),
        cmocka_unit_test(hello_request_is_refused),
        cmocka_unit_test(a_flipped_bit_is_found),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(close_notify_both_ways),
        cmocka_unit_test(truncation_is_no_end),
        cmocka_unit_test(close_notify_on_a_paused_leg),
        cmocka_unit_test(alerts_are_told),
        cmocka_unit_test(key_updates_are_answered),
        cmocka_unit_test(a_fragmented_key_update),
        cmocka_unit_test(a_key_update_in_mid_body),
        cmocka_unit_test(tickets_go_to_the_handshake),
        cmocka_unit_test(a_certificate_request_is_refused),
        cmocka_unit_test(empty_records_are_limited),
        cmocka_unit_test(records_are_drawn_together),
        cmocka_unit_test(the_rest_is_opened_first),
        cmocka_unit_test(keys_need_an_empty_stash),
        cmocka_unit_test(a_smaller_largest_record),
        cmocka_unit_test(padding_is_removed),
    };
    return cmocka_run_group_tests_name(way, tests, NULL, NULL);
}

/* Minutes go by, and keys are changed. */
static int slow(const char *way)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(key_updates_are_limited)};
    bool changes = lab_way.rekey || (!lab_way.kernel_rx.on && !lab_way.kernel_tx.on);

    return changes ? cmocka_run_group_tests_name(way, tests, NULL, NULL) : 0;
}

int main(void)
{
    return lab_ways(all) + lab_sim_run(slow);
}
