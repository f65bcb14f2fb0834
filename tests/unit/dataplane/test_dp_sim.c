/* SPDX-License-Identifier: Apache-2.0 */
/* Do legs, their loss, back-pressure and timers behave, and is a run fixed by its seed? */
#include "../cmocka_all.h"

#include "dp_lab.h"

#include <errno.h>
#include <stdlib.h>

static const struct lab_conf plain_conf = {
    .sim = {.seed = 1, .delay_min_ms = 1, .delay_max_ms = 5, .fragment_max = 7}};

static void text_is(const struct buf *text, const char *want)
{
    assert_int_equal(buf_len(text), strlen(want));
    assert_memory_equal(buf_span(text).ptr, want, strlen(want));
}

static void bytes_cross_both_ways(void **state)
{
    struct lab lab;

    lab_open(&lab, &plain_conf);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "220 hello\r\n", 11), ERR_OK);
    lab_send(&lab.client, "EHLO there\r\n", 12, 100);
    lab_send(&lab.server, "220 mx\r\n", 8, 100);
    lab_run(&lab, 1000);
    text_is(&lab.client.text, "220 hello\r\n");
    text_is(&lab.a.text, "EHLO there\r\n");
    text_is(&lab.b.text, "220 mx\r\n");
    lab_close(&lab);
}

/* Everything of one turn goes out in one send. */
static void sends_of_a_turn_are_one(void **state)
{
    struct lab_conf conf = plain_conf;
    struct lab lab;

    conf.sim.fragment_max = 0;
    conf.a = (struct lab_tls){true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM};
    lab_open(&lab, &conf);
    for (int i = 0; i < 10; i++)
        assert_int_equal(dp_send(lab.dp, lab.a.id, "250 ok\r\n", 8), ERR_OK);
    lab_run(&lab, 1000);
    assert_int_equal(buf_len(&lab.client.text), 80);
    assert_int_equal(lab.client.records, 1);
    lab_close(&lab);
}

/* What is held goes with the next bytes in one record, and at the latest with a close; bytes that
 * are not held don't wait because later ones are. */
static void held_bytes_wait_for_the_next(void **state)
{
    struct lab_conf conf = plain_conf;
    struct lab lab;

    conf.sim.fragment_max = 0;
    conf.a = conf.b = (struct lab_tls){true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM};
    lab_open(&lab, &conf);
    assert_int_equal(dp_send_held(lab.dp, lab.a.id, "250 one\r\n", 9), ERR_OK);
    assert_int_equal(dp_send_held(lab.dp, lab.a.id, "250 two\r\n", 9), ERR_OK);
    lab_run(&lab, 1000);
    assert_int_equal(lab.client.records, 0);
    assert_int_equal(dp_pending(lab.dp, lab.a.id), 18);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "354 go\r\n", 8), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.client.text, "250 one\r\n250 two\r\n354 go\r\n");
    assert_int_equal(lab.client.records, 1);
    assert_int_equal(dp_send(lab.dp, lab.b.id, "a", 1), ERR_OK);
    assert_int_equal(dp_send_held(lab.dp, lab.b.id, "b", 1), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.server.text, "ab");
    assert_int_equal(dp_send_held(lab.dp, lab.b.id, "c", 1), ERR_OK);
    dp_close(lab.dp, lab.b.id, DP_CLOSE_FLUSH);
    lab_run(&lab, 1000);
    text_is(&lab.server.text, "abc");
    assert_true(lab.server.close_notify);
    lab_close(&lab);
}

static void held_bytes_go_with_a_body(void **state)
{
    struct lab_conf conf = plain_conf;
    struct body_flow flow;
    struct lab lab;

    conf.sim.fragment_max = 0;
    lab_open(&lab, &conf);
    lab.finish = true;
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    assert_int_equal(dp_send_held(lab.dp, lab.b.id, "Received: x\r\n", 13), ERR_OK);
    lab_run(&lab, 1000);
    assert_int_equal(buf_len(&lab.server.text), 0);
    assert_int_equal(lab_relay(&lab, &flow, 10000), ERR_OK);
    lab_send(&lab.client, "text\r\n.\r\n", 9, 100);
    lab_run(&lab, 1000);
    text_is(&lab.server.text, "Received: x\r\ntext\r\n.\r\n");
    lab_close(&lab);
}

static void unused_bytes_come_again(void **state)
{
    struct lab lab;

    lab_open(&lab, &plain_conf);
    lab.a.keep = 3;
    lab_send(&lab.client, "abcdefghij", 10, 100);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "abcdefg");
    lab.a.keep = 0;
    assert_int_equal(dp_resume(lab.dp, lab.a.id), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "abcdefghij");
    lab_close(&lab);
}

static void a_paused_leg_is_silent(void **state)
{
    struct lab lab;

    lab_open(&lab, &plain_conf);
    lab_run(&lab, 100);
    assert_int_equal(dp_pause(lab.dp, lab.a.id), ERR_OK);
    lab_send(&lab.client, "one", 3, 100);
    dp_sim_peer_finish(lab.client.peer);
    lab_run(&lab, 1000);
    assert_int_equal(lab.a.received, 0);
    assert_false(lab.a.lost);
    assert_int_equal(dp_resume(lab.dp, lab.a.id), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "one");
    assert_true(lab.a.lost);
    assert_int_equal(lab.a.lost_info.why, DP_LOST_EOF);
    lab_close(&lab);
}

/* A receiver that uses nothing is stopped at the stash's bound, and the sender with it. */
static void the_stash_has_a_bound(void **state)
{
    struct lab_conf conf = plain_conf;
    static uint8_t flood[1 << 20];
    struct lab lab;

    conf.sim.fragment_max = 0;
    lab_open(&lab, &conf);
    lab.a.keep = SIZE_MAX;
    lab_send(&lab.client, flood, sizeof(flood), 100);
    lab_run(&lab, 10000);
    struct dp_counters counters;
    dp_counters(lab.dp, &counters);
    assert_in_range(counters.bytes_in, DP_STASH_MAX, 2 * DP_STASH_MAX);
    lab.a.keep = 0;
    assert_int_equal(dp_resume(lab.dp, lab.a.id), ERR_OK);
    lab_run(&lab, 10000);
    assert_int_equal(buf_len(&lab.a.text), sizeof(flood));
    lab_close(&lab);
}

static void output_has_a_bound(void **state)
{
    static uint8_t flood[100 * 1024];
    struct lab lab;
    int err = ERR_OK;

    lab_open(&lab, &plain_conf);
    dp_sim_peer_hold(lab.client.peer, true);
    for (int i = 0; i < 3 && err == ERR_OK; i++)
        err = dp_send(lab.dp, lab.a.id, flood, sizeof(flood));
    assert_int_equal(err, ERR_FULL);
    lab_run(&lab, 1000);
    assert_false(lab.a.writable);
    assert_in_range(dp_pending(lab.dp, lab.a.id), 2 * sizeof(flood) - 64 * 1024, 2 * sizeof(flood));
    dp_sim_peer_hold(lab.client.peer, false);
    lab_run(&lab, 10000);
    assert_true(lab.a.writable);
    assert_int_equal(buf_len(&lab.client.text), 2 * sizeof(flood));
    assert_int_equal(dp_pending(lab.dp, lab.a.id), 0);
    lab_close(&lab);
}

static void loss_is_told_once_after_the_bytes(void **state)
{
    struct lab lab;

    lab_open(&lab, &plain_conf);
    lab_send(&lab.client, "QUIT\r\n", 6, 100);
    dp_sim_peer_finish(lab.client.peer);
    lab_run(&lab, 1000);
    text_is(&lab.a.text, "QUIT\r\n");
    assert_true(lab.a.lost);
    assert_int_equal(lab.a.lost_info.why, DP_LOST_EOF);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "x", 1), ERR_CLOSED);
    dp_sim_peer_reset(lab.server.peer);
    lab_run(&lab, 1000);
    assert_true(lab.b.lost);
    assert_int_equal(lab.b.lost_info.why, DP_LOST_RESET);
    assert_int_equal(lab.b.lost_info.error, ECONNRESET);
    lab_close(&lab);
}

static void a_name_is_stale_after_close(void **state)
{
    struct lab lab;

    lab_open(&lab, &plain_conf);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "221 bye\r\n", 9), ERR_OK);
    assert_int_equal(dp_close(lab.dp, lab.a.id, DP_CLOSE_FLUSH), ERR_OK);
    assert_int_equal(dp_close(lab.dp, lab.a.id, DP_CLOSE_FLUSH), ERR_STALE);
    assert_int_equal(dp_send(lab.dp, lab.a.id, "x", 1), ERR_STALE);
    assert_int_equal(dp_pause(lab.dp, lab.a.id), ERR_STALE);
    assert_int_equal(dp_close(lab.dp, lab.b.id, DP_CLOSE_CUT), ERR_OK);
    lab_run(&lab, 1000);
    text_is(&lab.client.text, "221 bye\r\n");
    assert_true(lab.client.closed && !lab.client.reset);
    assert_true(lab.server.closed && lab.server.reset);
    /* The client never says FIN: the leg goes after its time. */
    struct dp_counters counters;
    dp_counters(lab.dp, &counters);
    assert_int_equal(counters.legs, 1);
    lab_run(&lab, 20000);
    dp_counters(lab.dp, &counters);
    assert_int_equal(counters.legs, 0);
    assert_false(lab.a.lost);
    lab_close(&lab);
}

static void connects_fail(void **state)
{
    const union net_addr nobody = {
        .v4 = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x0900007f}};
    struct lab lab;
    struct leg_id id;

    lab_open(&lab, &plain_conf);
    assert_int_equal(dp_connect(lab.dp, &nobody, NULL, &id), ERR_OK);
    assert_int_equal(dp_send(lab.dp, id, "x", 1), ERR_STATE);
    lab_run(&lab, 1000);
    assert_int_equal(lab.connect_error, ECONNREFUSED);
    assert_int_equal(dp_close(lab.dp, id, DP_CLOSE_CUT), ERR_STALE);
    assert_int_equal(dp_sim_fail(lab.dp, &nobody, ETIMEDOUT), ERR_OK);
    assert_int_equal(dp_connect(lab.dp, &nobody, NULL, &id), ERR_OK);
    lab_run(&lab, 1000);
    assert_int_equal(lab.connect_error, ETIMEDOUT);
    /* Given up before it ends: no event. */
    lab.connect_error = 5;
    assert_int_equal(dp_connect(lab.dp, &nobody, NULL, &id), ERR_OK);
    assert_int_equal(dp_close(lab.dp, id, DP_CLOSE_CUT), ERR_OK);
    lab_run(&lab, 1000);
    assert_int_equal(lab.connect_error, 5);
    lab_close(&lab);
}

static void the_leg_table_has_a_bound(void **state)
{
    const union net_addr nobody = {
        .v4 = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x0900007f}};
    struct lab lab;
    struct leg_id id;
    int err = ERR_OK, count = 0;

    lab_open(&lab, &plain_conf);
    while ((err = dp_connect(lab.dp, &nobody, NULL, &id)) == ERR_OK)
        count++;
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, 6);
    lab_run(&lab, 1000);
    assert_int_equal(dp_connect(lab.dp, &nobody, NULL, &id), ERR_OK);
    lab_close(&lab);
}

/* Timers. */

struct alarm {
    struct dp_timer timer;
    struct dp *dp;
    uint64_t due_ms, fired_ms;
    unsigned fired;
};

static void alarm_fire(void *user, struct dp_timer *timer)
{
    struct alarm *alarm = user;

    alarm->fired++;
    alarm->fired_ms = dp_now_ms(alarm->dp);
}

static void timers_fire_in_time(void **state)
{
    static struct alarm alarms[500];
    struct lab lab;

    lab_open(&lab, &plain_conf);
    srandom(3);
    uint64_t start_ms = dp_now_ms(lab.dp);
    for (size_t i = 0; i < 500; i++) {
        alarms[i] = (struct alarm){.dp = lab.dp, .timer = {.fire = alarm_fire, .user = &alarms[i]}};
        alarms[i].due_ms = start_ms + (uint64_t)random() % 10000;
        assert_int_equal(dp_timer_start(lab.dp, &alarms[i].timer, alarms[i].due_ms - start_ms),
                         ERR_OK);
    }
    for (size_t i = 0; i < 500; i += 3) {
        alarms[i].due_ms = start_ms + (uint64_t)random() % 10000;
        assert_int_equal(dp_timer_start(lab.dp, &alarms[i].timer, alarms[i].due_ms - start_ms),
                         ERR_OK);
    }
    for (size_t i = 0; i < 500; i += 7)
        dp_timer_stop(lab.dp, &alarms[i].timer);
    dp_timer_stop(lab.dp, &alarms[0].timer);
    assert_false(dp_sim_run(lab.dp, start_ms + 20000));
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(alarms[i].fired, i % 7 == 0 ? 0 : 1);
        if (i % 7 != 0)
            assert_int_equal(alarms[i].fired_ms, alarms[i].due_ms);
    }
    lab_close(&lab);
}

/* The same seed gives the same run, another one another. */
static uint64_t run_of(uint64_t seed, uint64_t *ret_end_ms)
{
    static uint8_t body[20000];
    struct lab_conf conf = {.sim = {.seed = seed,
                                    .delay_min_ms = 0,
                                    .delay_max_ms = 9,
                                    .fragment_max = 500,
                                    .reset_per_mille = 10},
                            .a = {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
                            .max_relays = 4};
    struct body_flow flow;
    struct lab lab;

    lab_body(body, sizeof(body), 5);
    lab_open(&lab, &conf);
    body_flow_init(&flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_send(&lab.client, body, sizeof(body), 3000);
    lab_send(&lab.client, ".\r\nQUIT\r\n", 9, 3000);
    assert_int_equal(lab_relay(&lab, &flow, 60000), ERR_OK);
    lab_run(&lab, 300000);
    uint64_t trace = lab.trace;
    *ret_end_ms = dp_now_ms(lab.dp);
    lab_close(&lab);
    return trace;
}

static void a_seed_fixes_a_run(void **state)
{
    uint64_t first_ms, second_ms;
    unsigned different = 0;

    for (uint64_t seed = 1; seed < 30; seed++) {
        uint64_t trace = run_of(seed, &first_ms);
        assert_true(trace == run_of(seed, &second_ms));
        assert_int_equal(first_ms, second_ms);
        different += trace != run_of(seed + 1, &second_ms);
    }
    assert_int_equal(different, 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_cross_both_ways),
        cmocka_unit_test(sends_of_a_turn_are_one),
        cmocka_unit_test(held_bytes_wait_for_the_next),
        cmocka_unit_test(held_bytes_go_with_a_body),
        cmocka_unit_test(unused_bytes_come_again),
        cmocka_unit_test(a_paused_leg_is_silent),
        cmocka_unit_test(the_stash_has_a_bound),
        cmocka_unit_test(output_has_a_bound),
        cmocka_unit_test(loss_is_told_once_after_the_bytes),
        cmocka_unit_test(a_name_is_stale_after_close),
        cmocka_unit_test(connects_fail),
        cmocka_unit_test(the_leg_table_has_a_bound),
        cmocka_unit_test(timers_fire_in_time),
        cmocka_unit_test(a_seed_fixes_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
