/* SPDX-License-Identifier: Apache-2.0 */
/* Several addresses of one host (RFC 8305): who joins when, who stays, and that whoever is not
 * needed is closed, and is there again when the first turns out to be of no use. */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { RACE_MS = 250, NEVER = INT32_MAX };

static struct world w;

static void slow(unsigned place, uint32_t ms)
{
    assert_int_equal(dp_sim_slow(w.dp, &w.mtas[place].addr, ms), ERR_OK);
}

/* One host, mx1.test, whose addresses are those of this many next hops; nothing takes time but what
 * a test says. */
static void world_of(unsigned addrs, enum conf_level level)
{
    world_init(&w, addrs);
    w.sim.delay_min_ms = w.sim.delay_max_ms = 0;
    w.addrs = addrs;
    for (unsigned r = 0; r < ROUTES; r++) {
        w.routes[r].hops_len = 1;
        w.routes[r].tls.level = level;
    }
    w.conf.limits.hop_race_ms = RACE_MS;
    world_start(&w);
}

static void world_at(unsigned addrs)
{
    world_of(addrs, CONF_LEVEL_NONE);
}

static unsigned accepted(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MTAS; i++)
        n += w.mtas[i].connections;
    return n;
}

/* The message is at that next hop, by the only connection that there is. */
static void expect_at(struct sender *s, unsigned place)
{
    struct hop_facts facts;

    sender_expect(s, "rcpt 250 2.1.5\n");
    hop_facts(s->hop, &facts);
    assert_true(net_addr_same_ip(&facts.addr, &w.mtas[place].addr));
    assert_int_equal(upstream_legs(w.u), 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_HOP_CONNECTIONS_OPEN), 1);
}

/* How many connections are under way, or there, at a time. */
static void expect_legs(uint64_t ms, unsigned legs)
{
    world_run(&w, ms);
    assert_int_equal(upstream_legs(w.u), legs);
}

static void test_a_dead_address_costs_little(void **state)
{
    world_at(2);
    slow(0, NEVER);
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(RACE_MS - 1, 1);
    world_run(&w, 100);
    expect_at(s, 1);
    assert_int_equal(accepted(), 1);
    sender_close(s);
    world_run(&w, 100); /* RSET */
    /* It is nothing to remember: the host is alive. */
    s = sender_open(&w, 1, 0, 1);
    world_run(&w, 1000);
    expect_at(s, 1);
    world_end(&w);
}

static void test_who_is_in_time_is_alone(void **state)
{
    world_at(2);
    slow(0, RACE_MS - 10);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 2000);
    expect_at(s, 0);
    assert_int_equal(accepted(), 1);
    world_end(&w);
}

/* The first is not given up for the second. */
static void test_the_first_may_still_win(void **state)
{
    world_at(2);
    slow(0, 400);
    slow(1, 400);
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(300, 2);
    world_run(&w, 1000);
    expect_at(s, 0);
    assert_int_equal(accepted(), 1);
    world_end(&w);
}

/* A refusal has the next tried at once, whoever it is of. */
static void test_refusals_do_not_wait(void **state)
{
    world_at(4);
    slow(0, 2000);
    mta_fail(&w.mtas[1], ECONNREFUSED);
    slow(2, NEVER);
    slow(3, NEVER);
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(RACE_MS + 10, 2); /* 0 and 2: the one between was refused */
    expect_legs(RACE_MS + 10, 3);
    world_run(&w, 2000);
    expect_at(s, 0);
    world_end(&w);

    world_at(3);
    slow(0, 300);
    mta_fail(&w.mtas[0], ECONNREFUSED); /* after the second has begun */
    slow(1, 1000);
    slow(2, 100);
    s = sender_open(&w, 0, 0, 1);
    expect_legs(310, 2); /* 1 and 2, which did not wait for its time */
    world_run(&w, 200);
    expect_at(s, 2);
    world_end(&w);
}

/* The winner is of no use: those that were left for it are tried again. */
static void test_a_bad_winner_gives_way(void **state)
{
    world_at(3);
    slow(0, 400);
    w.mtas[1].greeting = "554 5.3.2 not you\r\n";
    slow(2, NEVER);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    expect_at(s, 0);
    assert_int_equal(w.mtas[1].connections, 1);
    world_end(&w);
}

static void test_all_dead(void **state)
{
    world_at(4);
    for (unsigned i = 0; i < 4; i++)
        slow(i, NEVER);
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(2000, 3); /* no more at a time */
    world_run(&w, 30000);
    sender_expect(s, "lost 451 4.4.1\n");
    assert_int_equal(upstream_legs(w.u), 0);
    sender_close(s);
    /* Now it is remembered. */
    s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1);
    sender_expect(s, "lost 451 4.4.1\n");
    assert_int_equal(upstream_legs(w.u), 0);
    world_end(&w);
}

static void test_the_sender_goes(void **state)
{
    world_at(4);
    for (unsigned i = 0; i < 4; i++)
        slow(i, NEVER);
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(2000, 3);
    sender_close(s);
    assert_int_equal(upstream_legs(w.u), 0);
    expect_legs(60000, 0);
    world_end(&w);
}

static void test_a_limit_of_connections_holds(void **state)
{
    world_at(3);
    slow(0, 3000);
    w.routes[0].max_connections = 1;
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(2000, 1);
    world_run(&w, 3000);
    expect_at(s, 0);
    world_end(&w);
}

static void test_switched_off(void **state)
{
    world_at(2);
    w.conf.limits.hop_race_ms = 0;
    slow(0, NEVER);
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(9000, 1);
    sender_expect(s, "");
    world_run(&w, 2000); /* hop_connect_timeout_s is 10 */
    expect_at(s, 1);
    world_end(&w);
}

/* Level may, in plaintext after a handshake that failed: this address once more, and no other
 * beside it. */
static void test_no_race_in_plaintext(void **state)
{
    world_of(2, CONF_LEVEL_MAY);
    w.mtas[0].bad_handshake = true;
    slow(0, 100);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 50);
    slow(0, 1000); /* the second time */
    expect_legs(900, 1);
    world_run(&w, 2000);
    expect_at(s, 0);
    assert_int_equal(w.mtas[1].connections, 0);
    world_end(&w);
}

/* A host refuses, and the next one has a free connection only once another message is done with
 * it: what was begun for the first host's addresses adds nothing to the transaction on it. */
static void test_no_race_with_a_pooled_connection(void **state)
{
    world_init(&w, 2);
    w.sim.delay_min_ms = w.sim.delay_max_ms = 0;
    w.addrs = 2;
    w.conf.limits.hop_race_ms = RACE_MS;
    for (unsigned r = 0; r < 2; r++) {
        w.routes[r].hops_len = r + 1;
        w.routes[r].max_connections = 2;
    }
    w.hops[1][0] = (struct conf_hop){.host = "mx1.test", .port = 2525}; /* nobody is there */
    w.hops[1][1] = w.hops[0][0];
    world_start(&w);
    struct sender *first = sender_open(&w, 0, 0, 1), *second = sender_open(&w, 1, 0, 1);
    world_run(&w, 1000);
    sender_expect(first, "rcpt 250 2.1.5\n");
    sender_expect(second, "rcpt 250 2.1.5\n");
    struct sender *s = sender_open(&w, 2, 1, 1);
    world_run(&w, 50);
    sender_expect(s, "");
    sender_close(first);
    world_run(&w, 50);
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 10);
    sender_expect(s, "rcpt 250 2.1.5\ndata 354 0.0.0\n");
    w.mtas[0].close_after = "RSET"; /* and so its place is free */
    sender_close(second);
    expect_legs(50, 1);
    expect_legs(1000, 1);
    assert_int_equal(w.mtas[0].open, 1);
    assert_int_equal(hop_send(s->hop, SPAN_LIT("Subject: x\r\n\r\nhello\r\n")), ERR_OK);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "final 250 2.6.0\n");
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(w.mtas[1].connections, 0);
    world_end(&w);
}

static void on_first_ends(void *user, struct dp_timer *timer)
{
    slow(0, 1);
    sender_close(&w.senders[0]);
}

/* A place that gets free is of who waits for one, and not of who has one under way: not even where
 * it gets free in the very turn in which an address would join. */
static void test_who_waits_goes_first(void **state)
{
    struct dp_timer first_ends = {.fire = on_first_ends};

    world_at(2);
    w.routes[0].max_connections = 2;
    struct sender *first = sender_open(&w, 0, 0, 1);
    assert_int_equal(hop_data(first->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(first, "rcpt 250 2.1.5\ndata 354 0.0.0\n");
    slow(0, NEVER);
    slow(1, NEVER);
    struct sender *dials = sender_open(&w, 1, 0, 1);
    /* Its address is known in 3 ms; one more would join in RACE_MS, and in twice that. */
    assert_int_equal(dp_timer_start(w.dp, &first_ends, 3 + 2 * RACE_MS), ERR_OK);
    world_run(&w, 2);
    struct sender *waits = sender_open(&w, 2, 0, 1);
    expect_legs(2 * RACE_MS, 2);
    sender_expect(waits, "");
    expect_legs(10, 2); /* in mid-body, the first one's is cut at once */
    sender_expect(waits, "rcpt 250 2.1.5\n");
    expect_legs(2 * RACE_MS, 2);
    sender_close(dials);
    world_end(&w);
}

/* However many messages meet dead addresses: most of a worker's legs are for its sessions. */
static void test_all_races_have_a_limit(void **state)
{
    enum { MESSAGES = 20, RACERS_ALL = 32 };

    world_at(4);
    w.routes[0].max_connections = 100;
    for (unsigned i = 0; i < 4; i++)
        slow(i, NEVER);
    for (unsigned i = 0; i < MESSAGES; i++)
        sender_open(&w, i, 0, 1);
    expect_legs(2000, MESSAGES + RACERS_ALL);
    expect_legs(5000, MESSAGES + RACERS_ALL);
    for (unsigned i = 0; i < MESSAGES; i++)
        sender_close(&w.senders[i]);
    expect_legs(1, 0);
    /* Each that is gone has left its place. */
    struct sender *s = sender_open(&w, 0, 0, 1);
    expect_legs(2000, 3);
    sender_close(s);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_dead_address_costs_little),
        cmocka_unit_test(test_who_is_in_time_is_alone),
        cmocka_unit_test(test_the_first_may_still_win),
        cmocka_unit_test(test_refusals_do_not_wait),
        cmocka_unit_test(test_a_bad_winner_gives_way),
        cmocka_unit_test(test_all_dead),
        cmocka_unit_test(test_the_sender_goes),
        cmocka_unit_test(test_a_limit_of_connections_holds),
        cmocka_unit_test(test_switched_off),
        cmocka_unit_test(test_no_race_in_plaintext),
        cmocka_unit_test(test_no_race_with_a_pooled_connection),
        cmocka_unit_test(test_who_waits_goes_first),
        cmocka_unit_test(test_all_races_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
