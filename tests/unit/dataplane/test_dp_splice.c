/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a chunk that goes from socket to socket by splice arrive as it was sent, does the command
 * behind it stay where it is, and is the chunk never whole where one side failed? On a simulated
 * kernel with all its quirks, with seeded fragments, windows, pipes and failures.
 */
#include "../cmocka_all.h"

#include "dp_lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct lab_tls *const kinds = &lab_kinds[1]; /* without plaintext */
enum { KINDS = LAB_KINDS - 1, BODY = 900000 };

static uint8_t body[BODY];
static const char *const behind = "BDAT 3 LAST\r\nend";

static struct lab_conf conf_of(uint64_t seed)
{
    uint32_t fragment = seed % 4 ? 1000 + (uint32_t)(seed * 7919 % 40000) : 0;
    uint32_t window = seed % 3 ? 3000 + (uint32_t)(seed * 104729 % 300000) : 0;

    /* A whole record must fit, or the kernel never has one. */
    window = window > 0 && window < 20000 ? window + 20000 : window;
    return (struct lab_conf){
        .sim = {.seed = seed, .delay_max_ms = 3, .fragment_max = fragment, .window = window},
        .a = kinds[seed % KINDS],
        .b = kinds[seed / KINDS % KINDS],
        .max_relays = 2};
}

static void begin_with(struct lab *lab, const struct lab_conf *conf, size_t len, size_t sent,
                       size_t record, uint64_t max_bytes)
{
    struct body_flow flow;

    lab_open(lab, conf);
    body_flow_init(&flow, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
    body_flow_chunk(&flow, len, false);
    flow.max_bytes = max_bytes;
    lab_run(lab, 10);
    lab_send(&lab->client, body, sent, record);
    assert_int_equal(lab_relay(lab, &flow, 30000), ERR_OK);
}

static void begin(struct lab *lab, const struct lab_conf *conf, size_t len, size_t sent)
{
    begin_with(lab, conf, len, sent, 16384, 0);
}

static struct dp_counters counters_of(const struct lab *lab)
{
    struct dp_counters now;

    dp_counters(lab->dp, &now);
    return now;
}

static void server_has(const struct lab *lab, size_t len)
{
    assert_int_equal(buf_len(&lab->server.text), len);
    assert_memory_equal(buf_span(&lab->server.text).ptr, body, len);
}

/* No more than was sent, and nothing else. */
static void server_has_part(const struct lab *lab, size_t most)
{
    struct span text = buf_span(&lab->server.text);

    assert_true(text.len <= most);
    assert_memory_equal(text.len ? text.ptr : body, body, text.len);
}

static void any_chunk_arrives(void **state)
{
    static const size_t records[] = {16384, 1400, 5000, 16383};
    uint64_t spliced = 0;

    for (uint64_t seed = 1; seed <= (lab_way.sockets ? 18 : 100); seed++) {
        struct lab_conf conf = conf_of(seed);
        size_t len = seed * 60007 % (BODY - 1) + 1;
        struct lab lab;
        begin_with(&lab, &conf, len, len, records[seed % 4], seed % 2 ? len : 0);
        lab_send(&lab.client, behind, strlen(behind), 16384);
        lab_run(&lab, 3600000);
        assert_int_equal(lab.relays_done, 1);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        assert_int_equal(lab.result.flow.bytes, len);
        assert_int_equal(lab.result.flow.length, 0);
        server_has(&lab, len);
        assert_int_equal(buf_len(&lab.a.text), strlen(behind));
        assert_memory_equal(buf_span(&lab.a.text).ptr, behind, strlen(behind));
        struct dp_counters now = counters_of(&lab);
        if (lab_way.refuse_per_mille == 0 && len > 600000) {
            assert_true(now.kernel_rx >= 1 && now.kernel_tx >= 1);
            assert_true(now.bytes_spliced >= len / 2);
        }
        spliced += now.bytes_spliced;
        assert_int_equal(dp_pending(lab.dp, lab.b.id), 0);
        lab_close(&lab);
    }
    assert_true(spliced > 0);
}

/* Chunk after chunk on the same legs: the pipe comes and goes. */
static void chunk_after_chunk(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lab_conf conf = conf_of(seed);
        size_t at = 0, chunk = 100000 + seed * 3001;
        struct body_flow flow;
        struct lab lab;
        lab_open(&lab, &conf);
        lab.a.keep = SIZE_MAX;
        lab_send(&lab.client, body, BODY, 16000);
        body_flow_init(&flow, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
        for (unsigned n = 1; at < BODY; n++) {
            size_t len = BODY - at < chunk ? BODY - at : chunk;
            body_flow_chunk(&flow, len, at + len == BODY);
            assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
            lab_run(&lab, 600000);
            assert_int_equal(lab.relays_done, n);
            assert_int_equal(lab.result.end, DP_RELAY_DONE);
            at += len;
            flow = lab.result.flow;
        }
        assert_int_equal(flow.bytes, BODY);
        server_has(&lab, BODY);
        lab_close(&lab);
    }
}

/* What must be looked at is looked at. */
static void a_scanned_chunk_is_not_spliced(void **state)
{
    struct lab_conf conf = conf_of(12);
    struct body_flow flow;
    struct lab lab;

    lab_open(&lab, &conf);
    body_flow_init(&flow, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
    body_flow_chunk(&flow, BODY, true);
    flow.scan = true;
    lab_send(&lab.client, body, BODY, 16384);
    assert_int_equal(lab_relay(&lab, &flow, 30000), ERR_OK);
    lab_run(&lab, 600000);
    assert_int_equal(lab.result.end, DP_RELAY_DONE);
    assert_int_equal(counters_of(&lab).bytes_spliced, 0);
    server_has(&lab, BODY);
    lab_close(&lab);
}

static void one_that_is_too_big(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct lab_conf conf = conf_of(seed);
        struct lab lab;
        begin_with(&lab, &conf, BODY, BODY, 16384, BODY - 1 - seed * 50000);
        lab_run(&lab, 600000);
        assert_int_equal(lab.relays_done, 1);
        assert_int_equal(lab.result.end, DP_RELAY_TOO_BIG);
        server_has_part(&lab, BODY - 1 - seed * 50000);
        lab_close(&lab);
    }
}

enum kill { KILL_RESET, KILL_FIN, KILL_NOTIFY, KILL_HALF, KILL_GARBAGE, KILLS };

static void kill_end(struct lab_end *end, enum kill how)
{
    static const uint8_t garbage[40] = {0x17, 3, 3, 0, 35}, half[10] = {0x17, 3, 3, 1, 0};

    if (how == KILL_RESET)
        lab_reset(end);
    if (how == KILL_NOTIFY)
        lab_send_record(end, TLS_CONTENT_ALERT, "\1\0", 2);
    if (how == KILL_HALF)
        lab_send_bytes(end, half, sizeof(half));
    if (how == KILL_GARBAGE)
        lab_send_bytes(end, garbage, sizeof(garbage));
    if (how != KILL_RESET)
        lab_finish(end);
}

/* Either side goes away at any point, in any way. */
static void killed_at_each_point(void **state)
{
    static const enum dp_lost lost[] = {DP_LOST_RESET, DP_LOST_TRUNCATED, DP_LOST_EOF,
                                        DP_LOST_TRUNCATED, DP_LOST_BAD_RECORD};
    unsigned killed = 0, spliced = 0;

    for (unsigned round = 0; round < 300; round++) {
        struct lab_conf conf = conf_of(round);
        bool client = round & 1;
        enum kill how = (enum kill)(round / 2 % KILLS);
        size_t sent = client ? round * 2903 % BODY : BODY;
        struct lab lab;
        begin(&lab, &conf, BODY, sent);
        lab_run(&lab, client ? round : round % 40);
        if (lab.relays_done > 0) {
            lab_close(&lab);
            continue;
        }
        killed++;
        spliced += counters_of(&lab).bytes_spliced > 0;
        kill_end(client ? &lab.client : &lab.server, how);
        lab_run(&lab, 3600000);
        assert_int_equal(lab.relays_done, 1);
        if (client || lab.result.end != DP_RELAY_DONE) {
            assert_int_equal(lab.result.end, client ? DP_RELAY_FROM_LOST : DP_RELAY_TO_LOST);
            assert_true(client ? lab.a.lost : lab.b.lost);
            assert_int_equal((client ? lab.a : lab.b).lost_info.why, lost[how]);
        }
        server_has_part(&lab, sent);
        lab_close(&lab);
    }
    assert_true(killed >= 240); /* the others were faster */
    assert_true(spliced >= (lab_way.refuse_per_mille > 0 ? 20 : 200));
}

static void silence_ends_it(void **state)
{
    struct lab_conf conf = conf_of(3);
    struct lab lab;

    begin(&lab, &conf, BODY, BODY / 2);
    lab_run(&lab, 25000);
    assert_int_equal(lab.relays_done, 0);
    lab_run(&lab, 10000);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_TIMEOUT_FROM);
    server_has_part(&lab, BODY / 2);
    lab_close(&lab);

    begin(&lab, &conf, BODY, BODY);
    lab_hold(&lab.server, true);
    lab_run(&lab, 40000);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_TIMEOUT_TO);
    assert_true(lab.result.flow.length > 0);
    lab_close(&lab);
}

/* It stops and goes on, on either side, again and again. */
static void stalls_are_survived(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lab_conf conf = conf_of(seed);
        size_t at = 0;
        struct lab lab;
        begin(&lab, &conf, BODY, 0);
        for (unsigned burst = 0; at < BODY; burst++) {
            size_t n = burst % 3 == 0 ? 150000 : burst % 3 == 1 ? 1 : 30000;
            n = BODY - at < n ? BODY - at : n;
            lab_send(&lab.client, body + at, n, 16384);
            at += n;
            lab_hold(&lab.server, burst % 2);
            lab_run(&lab, 9000);
        }
        lab_hold(&lab.server, false);
        lab_run(&lab, 600000);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        server_has(&lab, BODY);
        lab_close(&lab);
    }
}

static void drain_rest(struct lab *lab)
{
    struct dp_relay drain = {.from = lab->a.id, .flow = lab->result.flow, .idle_timeout_ms = 60000};

    lab->a.keep = 0;
    assert_int_equal(dp_relay(lab->dp, &drain, lab_relay_done, lab), ERR_OK);
    lab_run(lab, 600000);
    assert_int_equal(lab->result.end, DP_RELAY_DONE);
    assert_int_equal(buf_len(&lab->a.text), strlen(behind));
    assert_memory_equal(buf_span(&lab->a.text).ptr, behind, strlen(behind));
}

/* The next hop answers in mid-chunk; control stops it, or closes a leg, and drains the source. */
static void ended_from_outside(void **state)
{
    unsigned ended = 0, spliced = 0;

    for (unsigned round = 0; round < 90; round++) {
        struct lab_conf conf = conf_of(round);
        struct lab lab;
        begin(&lab, &conf, BODY, BODY);
        lab_send(&lab.client, behind, strlen(behind), 16384);
        lab.a.keep = SIZE_MAX;
        lab_run(&lab, round / 3);
        lab_send(&lab.server, "552 too big\r\n", 13, 100);
        lab_run(&lab, 5);
        if (lab.relays_done > 0) {
            lab_close(&lab);
            continue;
        }
        ended++;
        spliced += counters_of(&lab).bytes_spliced > 0;
        assert_int_equal(buf_len(&lab.b.text), 13);
        if (round % 3 == 0)
            assert_int_equal(dp_relay_stop(lab.dp, lab.a.id), ERR_OK);
        else
            dp_close(lab.dp, round % 3 == 1 ? lab.a.id : lab.b.id, DP_CLOSE_CUT);
        assert_int_equal(lab.relays_done, 1);
        assert_int_equal(lab.result.end, DP_RELAY_STOPPED);
        if (round % 3 != 1)
            drain_rest(&lab);
        lab_run(&lab, 600000);
        if (round % 3 != 0)
            assert_true(round % 3 == 1 ? lab.client.reset : lab.server.reset);
        server_has_part(&lab, BODY - 1);
        lab_close(&lab);
    }
    assert_true(ended >= 55); /* the others were faster */
    assert_true(spliced >= (lab_way.refuse_per_mille > 0 ? 3 : 55));
}

/* Empty ones count in a row only, whoever takes the data in between: a splice or a receive. */
static void empty_records_between_others(void **state)
{
    enum { STEP = 1000 };
    struct lab_conf conf = conf_of(9);
    struct lab lab;

    begin(&lab, &conf, BODY, 300000);
    lab_run(&lab, 2000);
    for (size_t at = 300000; at < BODY; at += STEP) {
        lab_send_record(&lab.client, TLS_CONTENT_DATA, "", 0);
        lab_send(&lab.client, body + at, STEP, STEP);
        lab_run(&lab, 20);
    }
    lab_run(&lab, 20000);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_DONE);
    server_has(&lab, BODY);
    lab_close(&lab);
}

/* All of the chunk was taken, the last of it waits in the pipe for the target, and the source goes
 * away: the chunk is whole all the same. */
static void the_source_ends_behind_its_chunk(void **state)
{
    unsigned waited = 0;

    for (uint64_t seed = 1; seed < 40; seed++) {
        struct lab_conf conf = conf_of(seed);
        size_t len = 70000 + seed * 997;
        struct lab lab;
        conf.sim.window = 40000;
        begin(&lab, &conf, len, len);
        lab_hold(&lab.server, true);
        lab_run(&lab, 2000);
        waited += lab.relays_done == 0;
        lab_reset(&lab.client);
        (void)!dp_send(lab.dp, lab.a.id, "250 x\r\n", 7);
        lab_run(&lab, 500);
        lab_hold(&lab.server, false);
        lab_run(&lab, 5000);
        assert_int_equal(lab.relays_done, 1);
        if (lab.result.end == DP_RELAY_DONE)
            server_has(&lab, len);
        else
            assert_int_equal(lab.result.end, DP_RELAY_FROM_LOST);
        lab_close(&lab);
    }
    assert_true(waited > 0);
}

/* Records that are not data, in mid-chunk. */
static void control_records_on_the_way(void **state)
{
    static const uint8_t update[] = {24, 0, 0, 1, 0}, ticket[] = {4, 0, 0, 2, 1, 2};

    for (uint64_t seed = 6; seed < 30; seed++) {
        struct lab_conf conf = conf_of(seed);
        size_t at = 0;
        bool rekey = seed % 2;
        struct lab lab;
        conf.a = kinds[seed % 3];
        conf.b = kinds[seed / 3 % 3];
        begin(&lab, &conf, BODY, 0);
        while (at < BODY) {
            size_t n = BODY - at < 120000 ? BODY - at : 120000;
            lab_send(&lab.client, body + at, n, 16384);
            at += n;
            lab_send_record(&lab.client, TLS_CONTENT_DATA, "", 0);
            lab_send_record(&lab.server, TLS_CONTENT_HANDSHAKE, ticket, sizeof(ticket));
            if (rekey && at == 240000) {
                lab_send_record(&lab.client, TLS_CONTENT_HANDSHAKE, update, sizeof(update));
                assert_int_equal(tls_record_rekey(&lab.client.tx), ERR_OK);
            }
        }
        lab_run(&lab, 600000);
        assert_int_equal(lab.relays_done, 1);
        if (rekey && !lab_rekeys(&lab)) {
            assert_int_equal(lab.result.end, DP_RELAY_FROM_LOST);
            assert_int_equal(lab.a.lost_info.why, DP_LOST_REKEY);
            server_has_part(&lab, 240000);
        } else {
            assert_int_equal(lab.result.end, DP_RELAY_DONE);
            server_has(&lab, BODY);
        }
        lab_close(&lab);
    }
}

/* A peer may not send empty records for ever. (A receive of a real kernel passes over those that a
 * splice did not meet, and tells nobody: there the time for the body ends it.) */
static void empty_records_are_counted(void **state)
{
    struct lab_conf conf = conf_of(9);
    struct lab lab;

    begin(&lab, &conf, BODY, 300000);
    lab_run(&lab, 20000);
    assert_int_equal(lab.relays_done, 0);
    for (unsigned i = 0; i < 200; i++)
        lab_send_record(&lab.client, TLS_CONTENT_DATA, "", 0);
    lab_run(&lab, 8000);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_FROM_LOST);
    assert_int_equal(lab.a.lost_info.why, DP_LOST_LIMIT);
    assert_int_equal(lab.client.alert, TLS_ALERT_UNEXPECTED_MESSAGE);
    lab_close(&lab);
}

static int all(const char *way)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_chunk_arrives),
        cmocka_unit_test(chunk_after_chunk),
        cmocka_unit_test(a_scanned_chunk_is_not_spliced),
        cmocka_unit_test(one_that_is_too_big),
        cmocka_unit_test(killed_at_each_point),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(stalls_are_survived),
        cmocka_unit_test(ended_from_outside),
    };
    /* What a kernel that refuses its services has its own answers to. */
    const struct CMUnitTest willing[] = {
        cmocka_unit_test(control_records_on_the_way),
        cmocka_unit_test(empty_records_are_counted),
        cmocka_unit_test(empty_records_between_others),
        cmocka_unit_test(the_source_ends_behind_its_chunk),
    };

    if (!lab_way.kernel_rx.on || !lab_way.kernel_tx.on) /* it takes both for a splice */
        return 0;
    int failed = cmocka_run_group_tests_name(way, tests, NULL, NULL);
    if (lab_way.refuse_per_mille == 0)
        failed += cmocka_run_group_tests_name(way, willing, NULL, NULL);
    return failed;
}

/* Those that don't depend on virtual time, on this machine's own kernel. */
static int real(struct dp_kernel_when when, const char *way)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_chunk_arrives),
        cmocka_unit_test(chunk_after_chunk),
        cmocka_unit_test(a_scanned_chunk_is_not_spliced),
        cmocka_unit_test(one_that_is_too_big),
        cmocka_unit_test(control_records_on_the_way),
    };

    lab_way = (struct lab_way){
        .name = way, .sockets = true, .settled = true, .kernel_rx = when, .kernel_tx = when};
    if (!lab_kernel_has_tls()) {
        lab_skipped(way);
        return 0;
    }
    return cmocka_run_group_tests_name(way, tests, NULL, NULL);
}

int main(void)
{
    static const struct dp_kernel_when on = {.on = true}, late = {.on = true, .after_bytes = 20000};

    lab_body(body, sizeof(body), 21);
    return lab_sim_run(all) + real(on, "sockets") + real(late, "sockets, in mid-body");
}
