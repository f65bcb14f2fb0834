/* SPDX-License-Identifier: Apache-2.0 */
/* Where mail goes and on which connection: hosts, failover, the pool, limits, time. */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HELLO "EHLO gw.test\n"
#define MESSAGE "MAIL FROM:<s@client.test>\nRCPT TO:<a@example.org>\nDATA\n"
#define HEARD "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 250 2.6.0\n"

static struct world w;

static void test_message_and_reuse(void **state)
{
    world_init(&w, 1);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    mta_expect(&w.mtas[0], HELLO MESSAGE);
    assert_int_equal(buf_len(&w.mtas[0].bodies), 21);
    sender_message(&w, 1, 0);
    sender_expect(&w.senders[1], HEARD);
    mta_expect(&w.mtas[0], MESSAGE);
    assert_int_equal(w.mtas[0].connections, 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_HOP_REUSED), 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_HOP_PLAINTEXT), 2);
    /* Its time without a message ends with QUIT. */
    world_run(&w, 101000);
    mta_expect(&w.mtas[0], "QUIT\n");
    assert_int_equal(w.mtas[0].open, 0);
    world_end(&w);
}

static void test_retirement(void **state)
{
    world_init(&w, 1);
    w.conf.limits.hop_max_messages = 2;
    world_start(&w);
    for (unsigned i = 0; i < 4; i++)
        sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 2);
    world_end(&w);

    world_init(&w, 1);
    w.mtas[0].ehlo = "250-mx\r\n250 LIMITS MAILMAX=1\r\n";
    world_start(&w);
    for (unsigned i = 0; i < 3; i++)
        sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 3);
    world_end(&w);
}

static void test_failover_and_dead_host(void **state)
{
    world_init(&w, 2);
    world_start(&w);
    mta_fail(&w.mtas[0], ECONNREFUSED);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.lookups, 2);
    assert_int_equal(w.mtas[1].connections, 1);
    /* The dead one is remembered, and after its time tried again. */
    mta_fail(&w.mtas[0], 0);
    sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 0);
    world_run(&w, 30000);
    sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);
}

static void test_all_dead_is_answered_at_once(void **state)
{
    world_init(&w, 2);
    world_start(&w);
    mta_fail(&w.mtas[0], ECONNREFUSED);
    mta_fail(&w.mtas[1], ETIMEDOUT);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.1\n");
    s = sender_open(&w, 1, 0, 1);
    world_run(&w, 1);
    sender_expect(s, "lost 451 4.4.1\n");
    assert_int_equal(w.lookups, 2);
    assert_non_null(memmem(s->last.text, s->last.len, "mx2.test", 8));
    world_end(&w);
}

static void test_back_off_doubles(void **state)
{
    static const unsigned dead_s[] = {30, 60, 120};

    world_init(&w, 1);
    world_start(&w);
    mta_fail(&w.mtas[0], ECONNREFUSED);
    for (unsigned i = 0; i < 3; i++) {
        sender_open(&w, 0, 0, 1);
        world_run(&w, 1000);
        unsigned lookups = w.lookups;
        world_run(&w, (dead_s[i] - 3) * 1000);
        sender_open(&w, 0, 0, 1);
        world_run(&w, 1000);
        assert_int_equal(w.lookups, lookups);
        world_run(&w, 2000);
    }
    world_end(&w);
}

static void test_stale_pooled_leg(void **state)
{
    world_init(&w, 1);
    world_start(&w);
    sender_message(&w, 0, 0);
    w.mtas[0].cut_at = "MAIL";
    w.mtas[0].cut_times = 1;
    sender_message(&w, 1, 0);
    sender_expect(&w.senders[1], HEARD);
    assert_int_equal(w.mtas[0].connections, 2);
    world_end(&w);

    /* Also where it says so. */
    world_init(&w, 1);
    world_start(&w);
    sender_message(&w, 0, 0);
    w.mtas[0].mail = "421 4.3.2 too long idle\r\n";
    struct sender *s = sender_open(&w, 1, 0, 1);
    world_run(&w, 15);
    w.mtas[0].mail = NULL;
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    assert_int_equal(w.mtas[0].connections, 2);
    world_end(&w);

    /* A connection that ended while it was idle is just gone. */
    world_init(&w, 1);
    w.mtas[0].close_after = "DOT";
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_message(&w, 1, 0);
    sender_expect(&w.senders[1], HEARD);
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(counter_sum(w.shared, COUNTER_HOP_REUSED), 0);
    world_end(&w);
}

static void test_max_connections(void **state)
{
    world_init(&w, 1);
    for (unsigned r = 0; r < ROUTES; r++)
        w.routes[r].max_connections = 1;
    w.routes[1].helo = "other.test";
    world_start(&w);
    struct sender *first = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(first, "rcpt 250 2.1.5\n");
    struct sender *second = sender_open(&w, 1, 0, 1);
    world_run(&w, 10000);
    sender_expect(second, "");
    sender_close(first);
    world_run(&w, 500);
    sender_expect(second, "rcpt 250 2.1.5\n");
    assert_int_equal(w.mtas[0].connections, 1);
    /* The wait has an end. */
    struct sender *third = sender_open(&w, 2, 0, 1);
    world_run(&w, 31000);
    sender_expect(third, "lost 451 4.3.2\n");
    /* An idle leg that another policy can't use makes room for it. */
    sender_close(second);
    world_run(&w, 100);
    struct sender *fourth = sender_open(&w, 3, 1, 1);
    world_run(&w, 500);
    sender_expect(fourth, "rcpt 250 2.1.5\n");
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(w.mtas[0].open, 1);
    world_end(&w);
}

/* Idle connections to hosts that nobody needs now leave places for those that somebody does. */
static void test_idle_legs_make_room(void **state)
{
    enum { LEGS = 32 };

    world_init(&w, 2);
    w.max_legs = LEGS;
    w.hops[1][0] = w.hops[1][1];
    for (unsigned r = 0; r < 2; r++) {
        w.routes[r].hops_len = 1;
        w.routes[r].max_connections = LEGS;
    }
    world_start(&w);
    for (unsigned route = 0; route < 2; route++) {
        struct sender *senders[SENDERS];
        for (unsigned i = 0; i < SENDERS; i++) {
            senders[i] = sender_open(&w, i, route, 1);
            world_run(&w, 1000);
            sender_expect(senders[i], "rcpt 250 2.1.5\n");
        }
        for (unsigned i = 0; i < SENDERS; i++)
            sender_close(senders[i]);
        world_run(&w, 1000);
    }
    assert_int_equal(w.mtas[1].open, SENDERS);
    /* No more than what had to go. */
    assert_int_equal(w.mtas[0].open, LEGS - LEGS / 8 - SENDERS);
    world_end(&w);
}

/* Its time, or a second where the host has as many connections as it may. */
static void test_idle_legs_end(void **state)
{
    for (unsigned full = 0; full < 2; full++) {
        world_init(&w, 1);
        if (full)
            w.routes[0].max_connections = 1;
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 1000);
        sender_close(s);
        world_run(&w, 500);
        assert_int_equal(w.mtas[0].open, 1);
        world_run(&w, 1500);
        assert_int_equal(w.mtas[0].open, full ? 0 : 1);
        world_run(&w, 95000);
        assert_int_equal(w.mtas[0].open, full ? 0 : 1);
        world_run(&w, 5000); /* hop_idle_s is 100 */
        assert_int_equal(w.mtas[0].open, 0);
        world_end(&w);
    }
}

static void test_refused_beginnings(void **state)
{
    static const struct {
        const char *greeting, *ehlo, *helo, *heard;
        unsigned alarms;
    } cases[] = {
        {"554 5.7.1 go away\r\n", NULL, NULL, "lost 451 4.3.5\n", 1},
        {"421 4.3.2 busy\r\n", NULL, NULL, "lost 451 4.3.2\n", 0},
        {"450 4.7.1 later\r\n", NULL, NULL, "lost 451 4.7.1\n", 0},
        {"SSH-2.0-x\r\n", NULL, NULL, "lost 451 4.4.2\n", 0},
        {NULL, "550 5.7.1 no\r\n", "550 5.7.1 no\r\n", "lost 451 4.3.5\n", 1},
        {NULL, "500 what\r\n", NULL, "rcpt 250 2.1.5\n", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_init(&w, 1);
        w.mtas[0].greeting = cases[i].greeting;
        w.mtas[0].ehlo = cases[i].ehlo;
        w.mtas[0].helo = cases[i].helo;
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 1000);
        sender_expect(s, cases[i].heard);
        assert_int_equal(counter_sum(w.shared, COUNTER_ALARMS), cases[i].alarms);
        struct hop_facts facts;
        hop_facts(s->hop, &facts);
        assert_int_equal(facts.alarm, cases[i].alarms > 0);
        assert_string_equal(facts.host, "mx1.test");
        world_end(&w);
    }
}

static void test_refused_greeting_fails_over(void **state)
{
    world_init(&w, 2);
    w.mtas[0].greeting = "421 4.3.2 busy\r\n";
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    mta_expect(&w.mtas[0], "QUIT\n");
    world_end(&w);
}

static void test_budget(void **state)
{
    world_init(&w, 4);
    w.conf.limits.hop_command_timeout_s = 50;
    for (unsigned i = 0; i < 4; i++)
        w.mtas[i].silent = true;
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 119000);
    sender_expect(s, "");
    world_run(&w, 1001);
    sender_expect(s, "lost 451 4.4.1\n");
    assert_int_equal(w.mtas[2].connections, 1);
    assert_int_equal(w.mtas[3].connections, 0);
    world_end(&w);
}

static void mx_set(const char *const hosts[], const uint16_t preferences[], unsigned len)
{
    w.routes[0].mx = true;
    w.routes[0].hops_len = 0;
    w.mx = (struct dns_mx_answer){.status = DNS_OK, .len = len};
    for (unsigned i = 0; i < len; i++) {
        w.mx.mx[i].preference = preferences[i];
        snprintf(w.mx.mx[i].host, sizeof(w.mx.mx[i].host), "%s", hosts[i]);
    }
}

static void test_mx(void **state)
{
    world_init(&w, 1);
    mx_set((const char *const[]){"mx2.test", "mx1.test"}, (const uint16_t[]){10, 20}, 2);
    world_start(&w);
    mta_fail(&w.mtas[1], ECONNREFUSED);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.mtas[0].connections, 1);
    sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);
}

static void expect_mx(const char *heard)
{
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, heard);
    world_end(&w);
}

static void test_mx_answers(void **state)
{
    static const struct {
        enum dns_status mx, addr;
        const char *heard;
    } cases[] = {
        {DNS_NXDOMAIN, DNS_OK, "lost 550 5.1.2\n"},
        {DNS_FAILED, DNS_OK, "lost 451 4.4.3\n"},
        {DNS_BOGUS, DNS_OK, "lost 451 4.4.3\n"},
        {DNS_NODATA, DNS_NODATA, "lost 550 5.1.2\n"}, /* implicit MX without an address */
        {DNS_NODATA, DNS_FAILED, "lost 451 4.4.3\n"},
        {DNS_OK, DNS_NXDOMAIN, "lost 451 4.4.4\n"},
        {DNS_OK, DNS_BOGUS, "lost 451 4.4.3\n"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_init(&w, 1);
        mx_set((const char *const[]){"mx1.test"}, (const uint16_t[]){10}, 1);
        w.mx.status = cases[i].mx;
        w.addr_status = cases[i].addr;
        expect_mx(cases[i].heard);
    }
    world_init(&w, 1);
    mx_set((const char *const[]){""}, (const uint16_t[]){0}, 1);
    expect_mx("lost 556 5.1.10\n");
    /* We are an MX ourselves: only better ones are tried. */
    world_init(&w, 1);
    mx_set((const char *const[]){"mx1.test", "GW.test", "mx2.test"}, (const uint16_t[]){5, 10, 20},
           3);
    expect_mx("rcpt 250 2.1.5\n");
    world_init(&w, 1);
    mx_set((const char *const[]){"gw.test", "mx1.test"}, (const uint16_t[]){10, 10}, 2);
    expect_mx("lost 451 4.4.6\n");
}

static void test_address_literal(void **state)
{
    world_init(&w, 1);
    mx_set((const char *const[]){"mx2.test"}, (const uint16_t[]){10}, 1);
    world_start(&w);
    struct sender *s = &w.senders[0];
    sender_open(&w, 0, 0, 0);
    sender_close(s);
    s->txn.domain = "[10.0.0.1]";
    union net_addr addr = w.mtas[3].addr;
    struct hop_client who = {.name = "", .helo = "h", .addr = &addr};
    static const struct hop_events none;
    assert_int_equal(hop_open(w.u, &s->txn, 0, &who, &none, s, &s->hop), ERR_OK);
    world_run(&w, 1000);
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);
}

static void test_hop_close_before_there_is_a_leg(void **state)
{
    for (unsigned ms = 0; ms < 40; ms++) {
        world_init(&w, 2);
        mx_set((const char *const[]){"mx1.test"}, (const uint16_t[]){10}, 1);
        w.mtas[0].rcpt[0] = ms % 2 ? NULL : "550 5.1.1 no\r\n";
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 2);
        world_run(&w, ms);
        sender_close(s);
        world_run(&w, 1000);
        mta_never(&w.mtas[0], "DATA");
        world_end(&w);
    }
}

static void test_xclient_legs_are_not_shared(void **state)
{
    world_init(&w, 1);
    w.routes[0].xclient = true;
    w.mtas[0].ehlo = "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR NAME\r\n";
    world_start(&w);
    sender_message(&w, 0, 0);
    mta_expect(&w.mtas[0], HELLO "XCLIENT ADDR=192.0.2.0 NAME=client.test\n" HELLO MESSAGE);
    sender_message(&w, 1, 0);
    mta_expect(&w.mtas[0], HELLO "XCLIENT ADDR=192.0.2.1 NAME=client.test\n" HELLO MESSAGE);
    assert_int_equal(w.mtas[0].connections, 2);
    world_end(&w);
}

static void test_offers(void **state)
{
    struct smtp_offers offers;

    world_init(&w, 2);
    for (unsigned r = 0; r < ROUTES; r++)
        w.routes[r].tls.level = CONF_LEVEL_ENCRYPT;
    w.conf.routes_len = 1;
    world_start(&w);
    upstream_offers(w.u, &w.listener, &offers);
    assert_false(offers.dsn || offers.binarymime || offers.size);
    sender_message(&w, 0, 0);
    upstream_offers(w.u, &w.listener, &offers);
    assert_false(offers.dsn || offers.binarymime || offers.size); /* the second was never seen */
    w.mtas[0].greeting = "421 4.3.2 busy\r\n";
    w.mtas[1].ehlo_tls = "250-mx\r\n250-SIZE 500\r\n250 DSN\r\n";
    world_run(&w, 200000);
    sender_message(&w, 0, 0);
    upstream_offers(w.u, &w.listener, &offers);
    assert_true(offers.dsn && !offers.binarymime);
    assert_int_equal(offers.size, 500);
    world_end(&w);

    world_init(&w, 1);
    w.routes[1].mx = true;
    world_start(&w);
    sender_message(&w, 0, 0);
    upstream_offers(w.u, &w.listener, &offers);
    assert_false(offers.dsn || offers.binarymime || offers.size);
    world_end(&w);
}

static unsigned rows;
static void on_row(void *user, const struct upstream_host_status *s)
{
    rows++;
    if (strcmp(s->host, "mx1.test:25") == 0) {
        assert_true(s->dead_for_ms > 0);
        assert_string_equal(s->last_error, strerror(ECONNREFUSED));
    } else {
        assert_string_equal(s->host, "mx2.test:25");
        assert_int_equal(s->open * 10 + s->idle, 11);
    }
}

static void test_status_and_drain(void **state)
{
    world_init(&w, 2);
    world_start(&w);
    mta_fail(&w.mtas[0], ECONNREFUSED);
    sender_message(&w, 0, 0);
    rows = 0;
    upstream_hosts(w.u, on_row, NULL);
    assert_int_equal(rows, 2);
    struct sender *s = sender_open(&w, 1, 1, 1);
    w.routes[1].helo = "other.test";
    world_run(&w, 1000);
    upstream_drain(w.u);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    sender_close(s);
    world_run(&w, 1000);
    assert_int_equal(w.mtas[1].open, 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_and_reuse),
        cmocka_unit_test(test_retirement),
        cmocka_unit_test(test_failover_and_dead_host),
        cmocka_unit_test(test_all_dead_is_answered_at_once),
        cmocka_unit_test(test_back_off_doubles),
        cmocka_unit_test(test_stale_pooled_leg),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_idle_legs_make_room),
        cmocka_unit_test(test_idle_legs_end),
        cmocka_unit_test(test_refused_beginnings),
        cmocka_unit_test(test_refused_greeting_fails_over),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_mx),
        cmocka_unit_test(test_mx_answers),
        cmocka_unit_test(test_address_literal),
        cmocka_unit_test(test_hop_close_before_there_is_a_leg),
        cmocka_unit_test(test_xclient_legs_are_not_shared),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_status_and_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
