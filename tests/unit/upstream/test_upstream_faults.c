/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many senders, next hops whose connections are reset at random, fixed ones and such that MX
 * records name, senders that leave at random: for each seed the same run. A message that was
 * answered 250 arrived, none arrived twice by our own doing, whoever waits hears something, and in
 * the end nothing is held.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { SEEDS = 40, BUSY = 6, MESSAGES = 60 };

static struct world w;

struct plan {
    uint64_t random;
    unsigned begun, accepted, deferred, left;
    char bodies[MESSAGES][32];
    int of[BUSY]; /* the message that a sender is at, -1: none */
};

static unsigned pick(struct plan *p, unsigned below)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return (unsigned)(p->random % below);
}

static unsigned arrived(const char *body)
{
    unsigned n = 0;

    for (unsigned m = 0; m < MTAS; m++) {
        struct span s = buf_span(&w.mtas[m].bodies);
        const uint8_t *at;
        while (s.len > 0 && (at = memmem(s.ptr, s.len, body, strlen(body)))) {
            n++;
            s = span_from(s, (size_t)(at - s.ptr) + strlen(body));
        }
    }
    return n;
}

static void settle(struct plan *p, unsigned number)
{
    struct sender *s = &w.senders[number];
    const char *body = p->bodies[p->of[number]];

    assert_true(s->last.code >= 250);
    if (s->last.code == 250) {
        assert_int_equal(arrived(body), 1);
        p->accepted++;
    } else {
        assert_int_equal(s->last.code / 100, 4);
        p->deferred++;
    }
    p->of[number] = -1;
}

static void turn(struct plan *p, unsigned number)
{
    struct sender *s = &w.senders[number];

    if (p->of[number] >= 0 && !s->hop) {
        settle(p, number);
    } else if (p->of[number] >= 0 && pick(p, 12) == 0) {
        sender_close(s);
        p->of[number] = -1;
        p->left++;
    } else if (p->of[number] < 0 && p->begun < MESSAGES) {
        p->of[number] = (int)p->begun++;
        s->body = p->bodies[p->of[number]];
        s->close_on_final = true;
        sender_open(&w, number, pick(p, 3), 1);
        assert_int_equal(hop_data(s->hop), ERR_OK);
    }
}

/* Next hops that are looked up, judged and recalled, for a few seconds each. */
static void routes_by_mx(uint64_t seed)
{
    for (unsigned r = 0; r < ROUTES; r++)
        w.routes[r].mx = true;
    w.routes[0].xclient = true; /* which they do not offer, but each client has its own */
    w.routes[2].tls.level = CONF_LEVEL_AUTO;
    w.mx = (struct dns_mx_answer){.secure = true, .ttl_s = 1 + seed % 7, .len = 3};
    w.sts.ttl_s = 1 + seed % 5;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(w.mx.mx[i].host, sizeof(w.mx.mx[i].host), "mx%u.test", i + 1);
        w.mx.mx[i].preference = seed % 8 < 6 ? 0 : (uint16_t)i;
        w.tlsa[i].ttl_s = 1 + seed % 3;
        if (seed % 3 == 0)
            world_tlsa(&w, i + 1, 3, 7);
    }
}

static void run(uint64_t seed, struct plan *p)
{
    *p = (struct plan){.random = seed * 0x9e3779b97f4a7c15u + 1};
    for (unsigned i = 0; i < MESSAGES; i++)
        snprintf(p->bodies[i], sizeof(p->bodies[i]), "message %u.\r\n", i);
    for (unsigned i = 0; i < BUSY; i++)
        p->of[i] = -1;
    world_init(&w, 3);
    w.sim.seed = seed;
    w.sim.reset_per_mille = seed % 2 ? 4 : 0;
    w.conf.limits.hop_dead_s = 1;
    w.routes[1].tls.level = CONF_LEVEL_MAY;
    w.routes[2].tls.level = CONF_LEVEL_ENCRYPT;
    for (unsigned r = 0; r < ROUTES; r++)
        w.routes[r].max_connections = 3;
    if (seed % 4 >= 2)
        routes_by_mx(seed);
    w.mtas[0].cut_at = seed % 3 ? "MAIL" : "BODY";
    w.mtas[0].cut_times = 9;
    world_start(&w);
    for (unsigned round = 0; round < 3000; round++) {
        for (unsigned i = 0; i < BUSY; i++)
            turn(p, i);
        world_run(&w, pick(p, 40));
    }
    world_run(&w, 130000); /* every wait has ended by now */
    for (unsigned i = 0; i < BUSY; i++)
        turn(p, i);
    assert_int_equal(p->accepted + p->deferred + p->left, MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(arrived(p->bodies[i]) <= 1);
    world_end(&w);
}

static void test_faults(void **state)
{
    unsigned accepted = 0, deferred = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct plan p;
        run(seed, &p);
        accepted += p.accepted;
        deferred += p.deferred;
    }
    assert_true(accepted > SEEDS * MESSAGES / 4 && deferred > 0);
}

static void test_a_seed_repeats(void **state)
{
    struct plan a, b;

    run(7, &a);
    run(7, &b);
    assert_memory_equal(&a, &b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
