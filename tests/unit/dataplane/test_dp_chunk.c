/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a DATA body that goes out in chunks the same body, each chunk as long as its command says,
 * and is there never half a chunk, nor a last one before the body's end, whatever fails?
 */
#include "../cmocka_all.h"

#include "dp_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lab_tls kinds[] = {
    {false, 0, 0},
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const char *const after_body = "MAIL FROM:<next@example.org>\r\n";

/* Control, as far as chunks go. */
struct chunks {
    struct lab *lab;
    unsigned asked, refuse; /* of so many in a row, all but the last are told: not now */
    unsigned sent, last;
    size_t bytes;
};
static struct chunks chunks;

static bool on_chunk(void *user, const struct dp_relay *relay, size_t len, bool last)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "BDAT %zu%s\r\n", len, last ? " LAST" : "");

    assert_ptr_equal(user, chunks.lab);
    assert_true(leg_same(relay->from, chunks.lab->a.id));
    assert_int_equal(chunks.last, 0);
    assert_true(len > 0 || last);
    if (chunks.refuse && ++chunks.asked % chunks.refuse != 0)
        return false;
    int err = dp_send(chunks.lab->dp, relay->to, line, (size_t)n);
    assert_true(err == ERR_OK || err == ERR_CLOSED);
    chunks.sent++;
    chunks.last += last;
    chunks.bytes += len;
    return true;
}

static int begin(struct lab *lab, uint64_t max_bytes, bool normalize)
{
    struct dp_relay relay = {
        .from = lab->a.id, .to = lab->b.id, .idle_timeout_ms = 60000, .chunk = on_chunk};

    chunks = (struct chunks){.lab = lab, .refuse = chunks.refuse};
    body_flow_init(&relay.flow, BODY_FRAME_DOT, BODY_FRAME_LENGTH);
    relay.flow.max_bytes = max_bytes;
    relay.flow.normalize = normalize;
    return dp_relay(lab->dp, &relay, lab_relay_done, lab);
}

/* What the server has: whole chunks, in body; a part of one more only where cut. Returns true where
 * the last one is there. */
static bool server_body(struct lab *lab, struct buf *body, bool cut)
{
    struct span text = buf_span(&lab->server.text);
    bool last = false;

    buf_init(body, 0);
    while (text.len > 0) {
        char line[64] = "", mark[8] = "";
        const uint8_t *end = text.ptr ? memmem(text.ptr, text.len, "\r\n", 2) : NULL;
        size_t len, head = end ? (size_t)(end - text.ptr) + 2 : 0;
        assert_false(last);
        if (cut && !end)
            break;
        assert_true(head > 2 && head < sizeof(line));
        memcpy(line, text.ptr, head);
        assert_true(sscanf(line, "BDAT %zu %7s", &len, mark) >= 1);
        last = strcmp(mark, "LAST") == 0;
        text = span_from(text, head);
        if (cut && text.len < len) {
            last = false;
            len = text.len;
        }
        assert_true(len <= text.len);
        assert_int_equal(buf_append(body, text.ptr, len), ERR_OK);
        text = span_from(text, len);
    }
    return last;
}

/* lab_body with lines that begin with dots; in DATA's framing in stuffed. */
static size_t stuff(uint8_t *body, size_t len, uint8_t *stuffed)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        bool line = i == 0 || body[i - 1] == '\n';
        if (line && body[i] != '\r' && (body[i] & 3) == 1)
            body[i] = '.';
        if (line && body[i] == '.')
            stuffed[n++] = '.';
        stuffed[n++] = body[i];
    }
    return n;
}

static struct lab_conf conf_of(uint64_t seed, const struct lab_tls *a, const struct lab_tls *b)
{
    return (struct lab_conf){
        .sim = {.seed = seed, .delay_max_ms = 3}, .a = *a, .b = *b, .max_relays = 4};
}

static void resume_while_running(struct lab *lab)
{
    for (unsigned i = 0; i < 4000 && lab->relays_done == 0; i++) {
        lab_run(lab, 50);
        if (lab->relays_done == 0 && chunks.refuse)
            assert_int_equal(dp_relay_resume(lab->dp, lab->a.id), ERR_OK);
    }
    assert_int_equal(dp_relay_resume(lab->dp, lab->a.id), ERR_STATE);
    lab_run(lab, 600000);
}

static void cross(const struct lab_conf *conf, uint8_t *body, size_t len, size_t record)
{
    static uint8_t stuffed[800000];
    struct buf got;
    struct lab lab;
    size_t n = stuff(body, len, stuffed);

    lab_open(&lab, conf);
    lab_send(&lab.client, stuffed, n, record);
    lab_send(&lab.client, ".\r\n", 3, record);
    lab_send(&lab.client, after_body, strlen(after_body), record);
    assert_int_equal(begin(&lab, 0, false), ERR_OK);
    resume_while_running(&lab);
    assert_int_equal(lab.relays_done, 1);
    assert_int_equal(lab.result.end, DP_RELAY_DONE);
    assert_true(lab.result.body_ended);
    assert_int_equal(lab.result.flow.bytes, len);
    assert_int_equal(chunks.bytes, len);
    assert_true(server_body(&lab, &got, false));
    assert_int_equal(buf_len(&got), len);
    assert_memory_equal(buf_span(&got).ptr, body, len);
    assert_int_equal(buf_len(&lab.a.text), strlen(after_body));
    assert_memory_equal(buf_span(&lab.a.text).ptr, after_body, strlen(after_body));
    buf_release(&got);
    lab_close(&lab);
}

static void the_same_body_arrives(void **state)
{
    static uint8_t body[400000];
    static const size_t sizes[] = {2, 5000, 66000, 100001, 400000};

    for (unsigned round = 0; round < 2 * KINDS * KINDS * 5; round++) {
        struct lab_conf conf = conf_of(round, &kinds[round % KINDS], &kinds[round / KINDS % KINDS]);
        size_t len = sizes[round / KINDS / KINDS % 5];
        lab_body(body, len, round);
        chunks.refuse = round % 3;
        if (round >= KINDS * KINDS * 5)
            conf.sim.window = 300000;
        cross(&conf, body, len, 16384);
    }
    chunks.refuse = 0;
}

static void every_fragmentation(void **state)
{
    static uint8_t body[300000];

    srandom(5);
    for (unsigned round = 0; round < 120; round++) {
        size_t len = 2 + (size_t)random() % (sizeof(body) - 2);
        size_t record = 1 + (size_t)random() % (round % 3 == 0 ? 100 : 16384);
        if (record < 20)
            len = 2 + len / 40;
        lab_body(body, len, round);
        struct lab_conf conf = conf_of(round, &kinds[random() % KINDS], &kinds[random() % KINDS]);
        conf.sim.fragment_max = random() % 3 == 0 ? 0 : 1 + (uint32_t)random() % 30000;
        if (len > 20000 && conf.sim.fragment_max > 0 && conf.sim.fragment_max < 200)
            conf.sim.fragment_max = 200;
        conf.sim.window = random() % 2 == 0 ? 0 : 1000 + (uint32_t)random() % 500000;
        conf.max_relays = random() % 4 != 0;
        chunks.refuse = (unsigned)random() % 4;
        cross(&conf, body, len, record);
    }
    chunks.refuse = 0;
}

/* A small one is one chunk and, with its command, one record. */
static void a_small_body_is_one_chunk(void **state)
{
    static uint8_t body[30000];

    for (size_t len = 2; len < sizeof(body); len += 997) {
        struct lab_conf conf = conf_of(len, &kinds[1], &kinds[1]);
        conf.sim.fragment_max = 3000;
        lab_body(body, len, 3);
        cross(&conf, body, len, 1400);
        assert_int_equal(chunks.sent, 1);
        assert_int_equal(chunks.last, 1);
    }
}

/* Large ones go in chunks that are worth their answers. */
static void a_large_body_is_few_chunks(void **state)
{
    static uint8_t body[400000];

    lab_body(body, sizeof(body), 4);
    for (size_t fragment = 500; fragment < 100000; fragment *= 3) {
        struct lab_conf conf = conf_of(fragment, &kinds[1], &kinds[1]);
        conf.sim.fragment_max = (uint32_t)fragment;
        conf.sim.window = 1 << 20;
        cross(&conf, body, sizeof(body), 16384);
        assert_in_range(chunks.sent, 2, 7); /* 64 KiB or more */
    }
}

/* A source that stops for a while: what it sent is not kept back. */
static void a_slow_source_is_passed_on(void **state)
{
    struct lab_conf conf = conf_of(1, &kinds[1], &kinds[1]);
    struct buf got;
    struct lab lab;

    lab_open(&lab, &conf);
    assert_int_equal(begin(&lab, 0, false), ERR_OK);
    lab_send(&lab.client, "one\r\n", 5, 100);
    lab_run(&lab, 3000);
    assert_int_equal(chunks.sent, 1);
    lab_run(&lab, 20000);
    assert_int_equal(chunks.sent, 1); /* nothing is no chunk */
    lab_send(&lab.client, "two\r\n.\r\n", 8, 100);
    lab_run(&lab, 10);
    assert_int_equal(chunks.sent, 2);
    assert_true(server_body(&lab, &got, false));
    assert_int_equal(buf_len(&got), 10);
    buf_release(&got);
    lab_close(&lab);
}

static void normalized(void **state)
{
    static uint8_t body[200000], want[300000];
    size_t want_len = 0;

    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = i % 50 == 49 ? '\n' : (uint8_t)('a' + i % 26);
        if (body[i] == '\n')
            want[want_len++] = '\r';
        want[want_len++] = body[i];
    }
    for (size_t b = 0; b < KINDS; b++) {
        struct lab_conf conf = conf_of(b, &kinds[1], &kinds[b]);
        struct buf got;
        struct lab lab;
        lab_open(&lab, &conf);
        lab_send(&lab.client, body, sizeof(body), 16384);
        lab_send(&lab.client, "\r\n.\r\n", 5, 100);
        assert_int_equal(begin(&lab, 0, true), ERR_OK);
        lab_run(&lab, 600000);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        assert_true(server_body(&lab, &got, false));
        assert_int_equal(buf_len(&got), want_len + 2);
        assert_memory_equal(buf_span(&got).ptr, want, want_len);
        buf_release(&got);
        lab_close(&lab);
    }
}

/* Refused in mid-body: what went before is whole chunks, and none of them is the last. */
static void refused_between_chunks(void **state)
{
    static uint8_t body[300000];
    static const size_t places[] = {10, 70000, 200000, 299000};

    for (unsigned round = 0; round < 4 * 3 * KINDS; round++) {
        struct lab_conf conf = conf_of(round, &kinds[round % KINDS], &kinds[1]);
        size_t place = places[round / KINDS % 4];
        unsigned how = round / KINDS / 4;
        struct dp_relay drain = {.idle_timeout_ms = 1000};
        struct buf got;
        struct lab lab;
        lab_body(body, sizeof(body), 13);
        for (size_t i = place - 1; i < place + 4; i++) { /* within a line */
            if (body[i] < 'a')
                place = i + 2, i = place - 2;
        }
        memcpy(body + place, how == 0 ? "x\ny" : how == 1 ? "x\ry" : "xyz", 3);
        lab_open(&lab, &conf);
        lab_send(&lab.client, body, sizeof(body), 16384);
        lab_send(&lab.client, ".\r\n", 3, 16384);
        lab_send(&lab.client, after_body, strlen(after_body), 16384);
        lab.a.keep = SIZE_MAX;
        assert_int_equal(begin(&lab, how == 2 ? place : 0, false), ERR_OK);
        while (lab.relays_done == 0)
            lab_run(&lab, 1);
        assert_int_equal(lab.result.end, how == 0   ? DP_RELAY_BARE_LF
                                         : how == 1 ? DP_RELAY_BARE_CR
                                                    : DP_RELAY_TOO_BIG);
        assert_false(lab.result.body_ended);
        drain.from = lab.a.id;
        drain.flow = lab.result.flow;
        lab.a.keep = 0;
        assert_int_equal(dp_relay(lab.dp, &drain, lab_relay_done, &lab), ERR_OK);
        lab_run(&lab, 600000);
        assert_int_equal(lab.result.end, DP_RELAY_DONE);
        assert_int_equal(buf_len(&lab.a.text), strlen(after_body));
        assert_false(server_body(&lab, &got, false));
        assert_true(buf_len(&got) <= place + 2);
        assert_memory_equal(body, buf_len(&got) ? buf_span(&got).ptr : body, buf_len(&got));
        buf_release(&got);
        lab_close(&lab);
    }
}

/* Either side goes away at any point: there is never a last chunk that is whole before the end. */
static void killed_at_each_point(void **state)
{
    static uint8_t body[300000];

    lab_body(body, sizeof(body), 14);
    for (unsigned round = 0; round < 240; round++) {
        struct lab_conf conf = conf_of(round, &kinds[round % KINDS], &kinds[round / 7 % KINDS]);
        bool client = round & 1, reset = round & 2, whole = round & 4;
        struct buf got;
        struct lab lab;
        conf.sim.fragment_max = 3000;
        conf.sim.window = 30000;
        lab_open(&lab, &conf);
        chunks.refuse = round % 3;
        lab_send(&lab.client, body, sizeof(body), 16384);
        if (whole)
            lab_send(&lab.client, ".\r\n", 3, 16384);
        assert_int_equal(begin(&lab, 0, false), ERR_OK);
        lab_run(&lab, round / 2);
        struct lab_end *end = client ? &lab.client : &lab.server;
        if (reset)
            dp_sim_peer_reset(end->peer);
        else
            dp_sim_peer_finish(end->peer);
        resume_while_running(&lab);
        assert_int_equal(lab.relays_done, 1);
        if (lab.result.end != DP_RELAY_DONE)
            assert_int_equal(lab.result.end, client ? DP_RELAY_FROM_LOST : DP_RELAY_TO_LOST);
        bool last = server_body(&lab, &got, true);
        if (last)
            assert_int_equal(lab.result.end, DP_RELAY_DONE);
        if (last || lab.result.end == DP_RELAY_DONE)
            assert_true(whole && lab.result.body_ended);
        if (last)
            assert_int_equal(buf_len(&got), sizeof(body));
        assert_memory_equal(body, buf_len(&got) ? buf_span(&got).ptr : body, buf_len(&got));
        buf_release(&got);
        lab_close(&lab);
    }
    chunks.refuse = 0;
}

/* Control says "not now" for ever. */
static void waiting_has_its_time(void **state)
{
    static uint8_t body[300000];
    struct lab_conf conf = conf_of(1, &kinds[1], &kinds[1]);
    struct lab lab;

    lab_body(body, sizeof(body), 16);
    for (size_t len = 100; len <= sizeof(body); len += sizeof(body) - 100) {
        lab_open(&lab, &conf);
        chunks.refuse = 1000000;
        lab_send(&lab.client, body, len - 2, 16384);
        lab_send(&lab.client, "\r\n.\r\n", 5, 16384);
        assert_int_equal(begin(&lab, 0, false), ERR_OK);
        lab_run(&lab, 59000);
        assert_int_equal(lab.relays_done, 0);
        assert_int_equal(chunks.asked, 1);
        lab_run(&lab, 3000);
        assert_int_equal(lab.relays_done, 1);
        assert_int_equal(lab.result.end, DP_RELAY_TIMEOUT_TO);
        assert_int_equal(lab.result.body_ended, len == 100);
        assert_int_equal(buf_len(&lab.server.text), 0);
        lab_close(&lab);
    }
    chunks.refuse = 0;
}

static int all(const char *way)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_body_arrives),      cmocka_unit_test(every_fragmentation),
        cmocka_unit_test(a_small_body_is_one_chunk),  cmocka_unit_test(a_large_body_is_few_chunks),
        cmocka_unit_test(a_slow_source_is_passed_on), cmocka_unit_test(normalized),
        cmocka_unit_test(refused_between_chunks),     cmocka_unit_test(killed_at_each_point),
        cmocka_unit_test(waiting_has_its_time),
    };

    return cmocka_run_group_tests_name(way, tests, NULL, NULL);
}

int main(void)
{
    return lab_sim_run(all);
}
