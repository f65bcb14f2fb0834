/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a body arrive byte by byte as it was sent, whatever the records, fragments, windows and
 * ciphers on both sides, and is it never complete when one side failed?
 */
#include "../cmocka_all.h"

#include "dp_lab.h"

#include <stdlib.h>
#include <string.h>

static const struct lab_tls *const tls13 = &lab_kinds[1];

static const char *const after_body = "MAIL FROM:<next@example.org>\r\n";

static struct lab_conf conf_of(uint64_t seed, const struct lab_tls *a, const struct lab_tls *b)
{
    return (struct lab_conf){
        .sim = {.seed = seed, .delay_max_ms = 3}, .a = *a, .b = *b, .max_relays = 4};
}

static void buf_is(const struct buf *b, const void *want, size_t len)
{
    assert_int_equal(buf_len(b), len);
    if (len > 0)
        assert_memory_equal(buf_span(b).ptr, want, len);
}

/* DATA to DATA, with the next command pipelined behind it. */
static void relay_data(const struct lab_conf *conf, const uint8_t *body, size_t len, size_t record)
{
    struct body_flow flow;
    struct lab lab;

    lab_open(&lab, conf);
    lab.finish = true;
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_send(&lab.client, body, len, record);
    lab_send(&lab.client, ".\r\n", 3, record);
    lab_send(&lab.client, after_body, strlen(after_body), record);
    assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
    assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_STATE);
    lab_run(&lab, 3600000);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_DONE);
    assert_int_equal(lab.result.flow.bytes, len);
    assert_int_equal(buf_len(&lab.server.text), len + 3);
    assert_memory_equal(buf_span(&lab.server.text).ptr, body, len);
    assert_memory_equal(buf_span(&lab.server.text).ptr + len, ".\r\n", 3);
    buf_is(&lab.a.text, after_body, strlen(after_body));
    struct dp_counters counters;
    dp_counters(lab.dp, &counters);
    assert_int_equal(counters.relays, 0);
    assert_int_equal(dp_pending(lab.dp, lab.b.id), 0);
    lab_close(&lab);
}

static void every_pair_of_ciphers(void **state)
{
    static uint8_t body[400000];
    static const size_t sizes[] = {2, 5000, 16384, 100001, 400000};
    unsigned calls = 0;

    lab_body(body, sizeof(body), 9);
    for (size_t a = 0; a < LAB_KINDS; a++) {
        for (size_t b = 0; b < LAB_KINDS; b++) {
            for (size_t s = 0; s < 5; s++) {
                size_t len = sizes[s];
                if (!lab_takes(&calls))
                    continue;
                uint8_t end[2] = {body[len - 2], body[len - 1]};
                memcpy(body + len - 2, "\r\n", 2);
                struct lab_conf conf = conf_of(s, &lab_kinds[a], &lab_kinds[b]);
                relay_data(&conf, body, len, 16384);
                memcpy(body + len - 2, end, 2);
            }
        }
    }
}

/* Odd records, fragments and windows; held bytes at the end of records. */
static void every_fragmentation(void **state)
{
    static uint8_t body[120000];
    struct lab_conf conf;
    unsigned calls = 0;

    srandom(4);
    for (unsigned round = 0; round < 120; round++) {
        size_t len = 2 + (size_t)random() % (sizeof(body) - 2);
        size_t record = 1 + (size_t)random() % (round % 3 == 0 ? 100 : 16384);
        if (record < 20)
            len = 2 + len / 40;
        lab_body(body, len, round);
        conf = conf_of(round, &lab_kinds[random() % LAB_KINDS], &lab_kinds[random() % LAB_KINDS]);
        conf.sim.fragment_max = random() % 3 == 0 ? 0 : 1 + (uint32_t)random() % 30000;
        if (len > 20000 && conf.sim.fragment_max > 0 && conf.sim.fragment_max < 200)
            conf.sim.fragment_max = 200;
        conf.sim.window = random() % 2 == 0 ? 0 : 1000 + (uint32_t)random() % 500000;
        conf.max_relays = random() % 4 != 0;
        if (!lab_takes(&calls))
            continue;
        relay_data(&conf, body, len, record);
    }
}

/* A body that is nothing but line ends and stuffed dots holds bytes back at most records' ends. */
static void line_ends_at_every_record_edge(void **state)
{
    static uint8_t body[200000];
    unsigned calls = 0;

    for (unsigned shift = 0; shift < 5; shift++) {
        size_t len = 0;
        while (len + 8 < sizeof(body)) {
            size_t n = shift % 2 ? 7 : 6;
            memcpy(body + len, "\r\n..\r\n..", n);
            if (n == 7)
                body[len + 6] = 'x';
            len += n;
        }
        memcpy(body + len, "z\r\n", 3);
        len += 3;
        for (size_t record = 16382; record <= 16384; record++) {
            for (size_t a = 1; a < LAB_KINDS; a += 3) {
                struct lab_conf conf = conf_of(shift, &lab_kinds[a], tls13);
                struct body_flow flow;
                struct lab lab;
                if (!lab_takes(&calls))
                    continue;
                conf.sim.window = 1 << 20;
                lab_open(&lab, &conf);
                lab.finish = true;
                body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
                lab_send(&lab.client, body + shift % 3, len - shift % 3 - 3, record);
                lab_send(&lab.client, "z\r\n.\r\n", 6, record);
                /* A leading LF would be bare: skip those shifts. */
                bool bare = shift % 3 == 1;
                assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
                lab_run(&lab, 3600000);
                assert_int_equal(lab.result.end, bare ? DP_RELAY_BARE_LF : DP_RELAY_DONE);
                if (!bare) {
                    assert_int_equal(buf_len(&lab.server.text), len - shift % 3 + 3);
                    assert_memory_equal(buf_span(&lab.server.text).ptr, body + shift % 3,
                                        len - shift % 3);
                }
                lab_close(&lab);
            }
        }
    }
}

static void relay_chunks(const struct lab_conf *conf, enum body_frame out, bool scan,
                         const uint8_t *body, size_t len, size_t chunk)
{
    struct body_flow flow;
    struct lab lab;
    size_t at = 0;

    lab_open(&lab, conf);
    body_flow_init(&flow, BODY_FRAME_LENGTH, out);
    flow.scan = scan;
    lab.a.keep = SIZE_MAX; /* control reads no body */
    lab_send(&lab.client, body, len, 16384);
    lab_send(&lab.client, after_body, strlen(after_body), 16384);
    lab_run(&lab, 100);
    for (unsigned relays = 0; at < len || relays == 0; relays++) {
        size_t n = len - at < chunk ? len - at : chunk;
        body_flow_chunk(&flow, n, at + n == len);
        at += n;
        assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
        lab.a.keep = at == len ? 0 : SIZE_MAX;
        lab_run(&lab, 600000);
        assert_int_equal(lab.relays_done, relays + 1);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        flow = lab.result.flow;
    }
    assert_int_equal(flow.bytes, len);
    struct span finish = body_flow_finish(&flow);
    assert_int_equal(dp_send(lab.dp, lab.b.id, finish.ptr, finish.len), ERR_OK);
    lab_run(&lab, 1000);
    buf_is(&lab.a.text, after_body, strlen(after_body));
    if (out == BODY_FRAME_LENGTH) {
        buf_is(&lab.server.text, body, len);
    } else { /* unstuffed again, it is what was sent */
        struct span text = buf_span(&lab.server.text);
        size_t j = 0;
        for (size_t i = 0; i < text.len; i++) {
            bool line = i == 0 || (i >= 2 && text.ptr[i - 2] == '\r' && text.ptr[i - 1] == '\n');
            if (line && text.ptr[i] == '.' && i + 3 == text.len)
                break;
            if (line && text.ptr[i] == '.')
                i++;
            assert_int_equal(text.ptr[i], body[j++]);
        }
        assert_int_equal(j, len);
    }
    lab_close(&lab);
}

static void chunks_of_every_size(void **state)
{
    static uint8_t body[150000];
    static const size_t chunks[] = {1000, 16384, 70000, 150000};
    unsigned calls = 0;

    lab_body(body, sizeof(body), 11);
    for (size_t i = 2; i < sizeof(body); i++) { /* lines that need stuffing */
        if (body[i - 1] == '\n' && body[i] == 'a')
            body[i] = '.';
    }
    for (size_t a = 0; a < LAB_KINDS; a++) {
        for (size_t b = 0; b < LAB_KINDS; b += 2) {
            struct lab_conf conf = conf_of(a, &lab_kinds[a], &lab_kinds[b]);
            if (!lab_takes(&calls))
                continue;
            conf.sim.window = 1 << 20;
            size_t chunk = chunks[(a + b) % 4];
            relay_chunks(&conf, BODY_FRAME_LENGTH, false, body, sizeof(body), chunk);
            relay_chunks(&conf, BODY_FRAME_LENGTH, true, body, sizeof(body), chunk);
            relay_chunks(&conf, BODY_FRAME_DOT, false, body, sizeof(body), chunk);
        }
    }
    struct lab_conf conf = conf_of(1, tls13, tls13);
    relay_chunks(&conf, BODY_FRAME_LENGTH, false, body, 0, 1);
}

static void normalized_line_ends(void **state)
{
    static uint8_t body[100000], want[200000];
    size_t want_len = 0;

    lab_body(body, sizeof(body), 12);
    size_t len = 0;
    for (size_t i = 0; i < sizeof(body); i++) {
        want[want_len++] = body[i];
        if (body[i] != '\r')
            body[len++] = body[i];
    }
    for (size_t b = 0; b < LAB_KINDS; b++) {
        struct lab_conf conf = conf_of(b, &lab_kinds[b], &lab_kinds[(b + 3) % LAB_KINDS]);
        struct body_flow flow;
        struct lab lab;
        lab_open(&lab, &conf);
        body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
        flow.normalize = true;
        lab_send(&lab.client, body, len, 16384);
        lab_send(&lab.client, "end\r\n.\r\n", 8, 16384);
        assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
        lab_run(&lab, 600000);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        assert_int_equal(buf_len(&lab.server.text), want_len + 5);
        assert_memory_equal(buf_span(&lab.server.text).ptr, want, want_len);
        lab_close(&lab);
    }
}

/* Refused in mid-body, then drained to its end: the next command is found. */
static void refused_and_drained(void **state)
{
    static uint8_t body[300000];
    static const struct {
        const char *bad;
        uint64_t max;
        enum dp_relay_end end;
    } cases[] = {{"x\ny", 0, DP_RELAY_BARE_LF},
                 {"x\ry", 0, DP_RELAY_BARE_CR},
                 {"xyz", 1000, DP_RELAY_TOO_BIG},
                 {"\n.\n", 0, DP_RELAY_BARE_LF}};
    static const size_t places[] = {10, 15000, 120000, 299000};
    unsigned calls = 0;

    for (size_t c = 0; c < 16; c++) {
        for (size_t a = 0; a < LAB_KINDS; a += 3) {
            struct lab_conf conf = conf_of(c, &lab_kinds[a], tls13);
            struct dp_relay drain = {.idle_timeout_ms = 1000};
            struct body_flow flow;
            struct lab lab;
            if (!lab_takes(&calls))
                continue;
            lab_body(body, sizeof(body), 13);
            memcpy(body + places[c / 4], cases[c % 4].bad, 3);
            lab_open(&lab, &conf);
            body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
            flow.max_bytes = cases[c % 4].max;
            lab_send(&lab.client, body, sizeof(body), 16384);
            lab_send(&lab.client, ".\r\n", 3, 16384);
            lab_send(&lab.client, after_body, strlen(after_body), 16384);
            lab.a.keep = SIZE_MAX;
            assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
            while (lab.relays_done == 0)
                lab_run(&lab, 1);
            assert_int_equal(lab.result.end, cases[c % 4].end);
            assert_true(buf_len(&lab.server.text) <= places[c / 4] + 3);
            assert_int_equal(dp_close(lab.dp, lab.b.id, DP_CLOSE_CUT), ERR_OK);
            drain.from = lab.a.id;
            drain.flow = lab.result.flow;
            lab.relays_done = 0;
            lab.a.keep = 0;
            struct dp_relay_result *result = &lab.result;
            assert_int_equal(dp_relay(lab.dp, &drain, lab_relay_done, &lab), ERR_OK);
            lab_run(&lab, 600000);
            assert_int_equal(result->end, DP_RELAY_DONE);
            buf_is(&lab.a.text, after_body, strlen(after_body));
            assert_true(lab.server.closed && lab.server.reset);
            lab_close(&lab);
        }
    }
}

/* Either side goes away at any point: the server never sees an end of data, done is called once,
 * and the loss is told. */
static void killed_at_each_point(void **state)
{
    static uint8_t body[150000];
    static const struct {
        bool client;
        enum { KILL_RESET, KILL_FIN, KILL_NOTIFY } how;
    } kills[] = {{true, KILL_RESET},  {true, KILL_FIN},  {true, KILL_NOTIFY},
                 {false, KILL_RESET}, {false, KILL_FIN}, {false, KILL_NOTIFY}};
    unsigned calls = 0;

    lab_body(body, sizeof(body), 14);
    for (unsigned round = 0; round < 240; round++) {
        struct lab_conf conf =
            conf_of(round, &lab_kinds[round % LAB_KINDS], &lab_kinds[round / 7 % LAB_KINDS]);
        const unsigned k = round % 6;
        struct body_flow flow;
        struct lab lab;
        if (!lab_takes(&calls))
            continue;
        conf.sim.fragment_max = 3000;
        conf.sim.window = 30000;
        lab_open(&lab, &conf);
        lab.finish = true;
        body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
        lab_send(&lab.client, body, sizeof(body), 16384);
        assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
        lab_run(&lab, round / 2);
        struct lab_end *end = kills[k].client ? &lab.client : &lab.server;
        if (kills[k].how == KILL_NOTIFY && end->tls)
            lab_send_record(end, TLS_CONTENT_ALERT, "\1\0", 2);
        if (kills[k].how == KILL_RESET)
            lab_reset(end);
        else
            lab_finish(end);
        lab_run(&lab, 600000);
        assert_int_equal(lab.relays_done, 1);
        assert_int_equal(lab.result.end, kills[k].client ? DP_RELAY_FROM_LOST : DP_RELAY_TO_LOST);
        struct lab_leg *leg = kills[k].client ? &lab.a : &lab.b;
        assert_true(leg->lost);
        if (kills[k].how == KILL_RESET)
            assert_true(leg->lost_info.why == DP_LOST_RESET ||
                        (lab_way.sockets && leg->lost_info.why == DP_LOST_SEND));
        else if (kills[k].how == KILL_FIN && end->tls)
            assert_int_equal(leg->lost_info.why, DP_LOST_TRUNCATED);
        else
            assert_int_equal(leg->lost_info.why, DP_LOST_EOF);
        assert_true(buf_len(&lab.server.text) <= sizeof(body));
        assert_memory_equal(buf_span(&lab.server.text).ptr ? buf_span(&lab.server.text).ptr : body,
                            body, buf_len(&lab.server.text));
        lab_close(&lab);
    }
}

/* The next hop answers in mid-body and goes. */
static void an_early_reply_is_heard(void **state)
{
    static uint8_t body[300000];
    struct lab_conf conf = conf_of(1, tls13, tls13);
    struct body_flow flow;
    struct lab lab;

    lab_body(body, sizeof(body), 15);
    lab_open(&lab, &conf);
    lab_hold(&lab.server, true);
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_send(&lab.client, body, sizeof(body), 16384);
    assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
    lab_run(&lab, 100);
    lab_send(&lab.server, "552 too big\r\n", 13, 100);
    lab_send_record(&lab.server, TLS_CONTENT_ALERT, "\1\0", 2);
    lab_finish(&lab.server);
    lab_run(&lab, 1000);
    buf_is(&lab.b.text, "552 too big\r\n", 13);
    assert_int_equal(lab.result.end, DP_RELAY_TO_LOST);
    assert_true(lab.b.lost);
    lab_close(&lab);
}

static void silence_ends_it(void **state)
{
    static uint8_t body[300000];
    struct lab_conf conf = conf_of(1, tls13, tls13);
    struct body_flow flow;
    struct lab lab;

    lab_body(body, sizeof(body), 16);
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_open(&lab, &conf);
    lab_send(&lab.client, body, sizeof(body), 16384);
    assert_int_equal(lab_relay(&lab, &flow, 5000), ERR_OK);
    lab_run(&lab, 4900);
    assert_int_equal(lab.relays_done, 0);
    lab_run(&lab, 300);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_TIMEOUT_FROM);
    lab_close(&lab);

    lab_open(&lab, &conf);
    lab_hold(&lab.server, true);
    lab_send(&lab.client, body, sizeof(body), 16384);
    assert_int_equal(lab_relay(&lab, &flow, 5000), ERR_OK);
    lab_run(&lab, 6000);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_TIMEOUT_TO);
    lab_close(&lab);
}

/* A source that stops and trickles gives its arena back, and goes on where it was. */
static void a_slow_source_goes_on(void **state)
{
    static uint8_t body[200000];

    lab_body(body, sizeof(body), 17);
    for (size_t a = 0; a < LAB_KINDS; a += 2) {
        struct lab_conf conf = conf_of(1, &lab_kinds[a], &lab_kinds[(a + 1) % LAB_KINDS]);
        struct body_flow flow;
        struct lab lab;
        size_t at = 0;
        conf.max_relays = 1;
        lab_open(&lab, &conf);
        lab.finish = true;
        body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
        assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
        for (unsigned burst = 0; at < sizeof(body); burst++) {
            size_t n = burst % 3 == 0 ? 70000 : burst % 3 == 1 ? 1 : 500;
            n = sizeof(body) - at < n ? sizeof(body) - at : n;
            lab_send(&lab.client, body + at, n, 16384);
            at += n;
            lab_run(&lab, 5000);
        }
        lab_send(&lab.client, ".\r\n", 3, 10);
        lab_run(&lab, 5000);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        assert_int_equal(buf_len(&lab.server.text), sizeof(body) + 3);
        assert_memory_equal(buf_span(&lab.server.text).ptr, body, sizeof(body));
        lab_close(&lab);
    }
}

static void stopped_and_begun_again(void **state)
{
    static uint8_t body[400000];
    /* Sockets take all that they are given. */
    const size_t first = lab_way.sockets ? sizeof(body) / 2 : sizeof(body);
    unsigned calls = 0;

    lab_body(body, sizeof(body), 18);
    for (unsigned round = 0; round < 60; round++) {
        struct lab_conf conf =
            conf_of(round, &lab_kinds[round % LAB_KINDS], &lab_kinds[round / 4 % LAB_KINDS]);
        struct dp_relay drain = {.idle_timeout_ms = 60000};
        struct body_flow flow;
        struct lab lab;
        if (!lab_takes(&calls))
            continue;
        conf.sim.window = 20000;
        lab_open(&lab, &conf);
        body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
        lab_send(&lab.client, body, first, 16384);
        assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
        lab_run(&lab, round / 2);
        lab_send(&lab.client, body + first, sizeof(body) - first, 16384);
        lab_send(&lab.client, ".\r\n", 3, 16384);
        lab_send(&lab.client, after_body, strlen(after_body), 16384);
        assert_int_equal(lab.relays_done, 0);
        assert_int_equal(dp_relay_stop(lab.dp, lab.a.id), ERR_OK);
        assert_int_equal(lab.result.end, DP_RELAY_STOPPED);
        assert_int_equal(dp_relay_stop(lab.dp, lab.a.id), ERR_STATE);
        drain.from = lab.a.id;
        drain.flow = lab.result.flow;
        assert_int_equal(dp_relay(lab.dp, &drain, lab_relay_done, &lab), ERR_OK);
        lab_run(&lab, 600000);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        buf_is(&lab.a.text, after_body, strlen(after_body));
        lab_close(&lab);
    }
}

static void what_is_not_spoken(void **state)
{
    struct lab_conf conf = conf_of(1, tls13, tls13);
    struct dp_relay relay = {.idle_timeout_ms = 1};
    struct lab lab;

    lab_open(&lab, &conf);
    body_flow_init(&relay.flow, BODY_FRAME_DOT, BODY_FRAME_LENGTH);
    relay.from = lab.a.id;
    relay.to = lab.b.id;
    assert_int_equal(dp_relay(lab.dp, &relay, lab_relay_done, &lab), ERR_UNSUPPORTED);
    relay.to.generation++;
    assert_int_equal(dp_relay(lab.dp, &relay, lab_relay_done, &lab), ERR_STALE);
    relay.to = lab.a.id;
    assert_int_equal(dp_relay(lab.dp, &relay, lab_relay_done, &lab), ERR_STATE);
    lab_close(&lab);
}

/* Closing a leg ends its relay first. */
static void closing_ends_it(void **state)
{
    static uint8_t body[300000];
    unsigned calls = 0;

    lab_body(body, sizeof(body), 19);
    for (unsigned round = 0; round < 40; round++) {
        struct lab_conf conf = conf_of(round, tls13, &lab_kinds[round % LAB_KINDS]);
        struct body_flow flow;
        struct lab lab;
        if (!lab_takes(&calls))
            continue;
        lab_open(&lab, &conf);
        body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
        lab_send(&lab.client, body, sizeof(body), 16384);
        assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
        lab_run(&lab, round / 2);
        assert_int_equal(dp_close(lab.dp, round % 2 ? lab.a.id : lab.b.id, DP_CLOSE_CUT), ERR_OK);
        assert_int_equal(lab.relays_done, 1);
        assert_int_equal(lab.result.end, DP_RELAY_STOPPED);
        lab_run(&lab, 600000);
        assert_true(round % 2 ? lab.client.reset : lab.server.reset);
        lab_close(&lab);
    }
}

static int all(const char *way)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_ciphers),
        cmocka_unit_test(every_fragmentation),
        cmocka_unit_test(line_ends_at_every_record_edge),
        cmocka_unit_test(chunks_of_every_size),
        cmocka_unit_test(normalized_line_ends),
        cmocka_unit_test(refused_and_drained),
        cmocka_unit_test(killed_at_each_point),
        cmocka_unit_test(an_early_reply_is_heard),
        cmocka_unit_test(a_slow_source_goes_on),
        cmocka_unit_test(stopped_and_begun_again),
        cmocka_unit_test(what_is_not_spoken),
        cmocka_unit_test(closing_ends_it),
    };
    return cmocka_run_group_tests_name(way, tests, NULL, NULL);
}

/* In the simulation, where minutes go by at once; lab_ways had all of it with our own records. */
static int simulated(const char *way)
{
    const struct CMUnitTest slow[] = {cmocka_unit_test(silence_ends_it)};
    int failed = lab_way.kernel_rx.on || lab_way.kernel_tx.on ? all(way) : 0;

    return failed + cmocka_run_group_tests_name(way, slow, NULL, NULL);
}

int main(void)
{
    return lab_ways(all) + lab_sim_run(simulated);
}
