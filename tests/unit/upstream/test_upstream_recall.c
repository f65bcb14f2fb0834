/* SPDX-License-Identifier: Apache-2.0 */
/* A decision that stands: the next message for its destination takes a connection at once and asks
 * nobody; and where it does not stand, or there is no connection, all is asked again. */
#include "policy_list.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HEARD "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 250 2.6.0\n"

static const char *const both_hosts[] = {"*.test", NULL};

static struct world w;

/* A domain of a signed zone with hosts mx1.test and on, whose answers may be kept for a minute. */
static void world_at(enum conf_level level, unsigned hosts)
{
    world_mx(&w, level, hosts);
    w.mx.ttl_s = w.sts.ttl_s = 60;
    for (unsigned i = 0; i < hosts; i++)
        w.tlsa[i].ttl_s = 60;
}

static void message(unsigned route)
{
    sender_message(&w, 0, route);
    sender_expect(&w.senders[0], HEARD);
}

/* Whether a message asks anything. */
static bool asks(unsigned route)
{
    unsigned before = w.lookups;

    message(route);
    return w.lookups > before;
}

static void test_nothing_is_asked_twice(void **state)
{
    static const struct {
        enum conf_level level;
        bool records, policy;
        enum tls_source source;
    } rows[] = {{CONF_LEVEL_DANE, true, false, TLS_SOURCE_DANE},
                {CONF_LEVEL_STS, false, true, TLS_SOURCE_STS},
                {CONF_LEVEL_AUTO, true, true, TLS_SOURCE_DANE},
                {CONF_LEVEL_AUTO, false, true, TLS_SOURCE_STS},
                {CONF_LEVEL_AUTO, false, false, TLS_SOURCE_NONE},
                {CONF_LEVEL_ENCRYPT, false, false, TLS_SOURCE_ROUTE}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_at(rows[i].level, 2);
        if (rows[i].records)
            world_tlsa(&w, 1, 3, 7);
        if (rows[i].policy) {
            world_sts(&w, STS_MODE_ENFORCE, "20261122", both_hosts);
            w.sts.ttl_s = 60;
        }
        world_start(&w);
        assert_true(asks(0));
        for (unsigned n = 0; n < 3; n++) {
            struct hop_facts facts;
            unsigned before = w.lookups;
            struct sender *s = sender_open(&w, 0, 0, 1);
            world_run(&w, 1000);
            sender_expect(s, "rcpt 250 2.1.5\n");
            assert_int_equal(w.lookups, before);
            hop_facts(s->hop, &facts);
            assert_true(facts.reused);
            assert_string_equal(facts.host, "mx1.test");
            assert_int_equal(facts.verdict->source, rows[i].source);
            assert_int_equal(facts.verdict->use, TLS_USE);
            assert_true(!facts.sts_id == (rows[i].source != TLS_SOURCE_STS));
            sender_close(s);
            world_run(&w, 1000);
        }
        assert_int_equal(w.mtas[0].connections, 1);
        assert_int_equal(w.mtas[1].connections, 0);
        world_end(&w);
    }
}

/* It stands for as long as the answer that stands for the shortest time, which for one that there
 * is nothing is five minutes at most. */
static void test_it_stands_as_long_as_all_answers(void **state)
{
    static const struct {
        uint32_t mx_s, tlsa_s, sts_s;
        uint64_t stands_ms, fallen_ms; /* after it was made; a message takes 4 s */
    } rows[] = {{20, 60, 60, 10000, 20000},
                {60, 20, 60, 10000, 20000},
                {60, 60, 20, 10000, 20000},
                {4000, 4000, 4000, 280000, 300000}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_at(CONF_LEVEL_AUTO, 1);
        world_tlsa(&w, 1, 3, 7); /* a connection for nothing else is kept for long enough */
        w.conf.limits.hop_idle_s = 3600;
        w.mx.ttl_s = rows[i].mx_s;
        w.tlsa[0].ttl_s = rows[i].tlsa_s;
        w.sts.ttl_s = rows[i].sts_s;
        world_start(&w);
        message(0);
        uint64_t began = world_now(&w);
        world_run(&w, rows[i].stands_ms - 4000);
        assert_false(asks(0));
        world_run(&w, began + rows[i].fallen_ms - world_now(&w));
        assert_true(asks(0));
        world_end(&w);
    }
}

static void none_kept(void)
{
    world_start(&w);
    message(0);
    assert_true(asks(0));
    world_end(&w);
}

static void test_what_is_not_kept(void **state)
{
    static const char list[] =
        "{\"version\": \"0.1\", \"expires\": 4000000000, \"policies\": {\"example.org\": "
        "{\"mode\": \"enforce\", \"mxs\": [\"mx1.test\"]}}}";
    char why[256];

    /* A policy that could not be had, this time. */
    world_at(CONF_LEVEL_AUTO, 1);
    w.mx.secure = false;
    w.sts.status = DNS_FAILED;
    none_kept();
    /* A list of policies, which has an end of its own. */
    world_at(CONF_LEVEL_AUTO, 1);
    w.mx.secure = false;
    assert_int_equal(policy_list_parse(span_str(list), &w.conf.tls.policies, why, sizeof(why)),
                     ERR_OK);
    none_kept();
    policy_list_free(w.conf.tls.policies);
    w.conf.tls.policies = NULL;
    /* The first host was no good: it may be next time. */
    world_at(CONF_LEVEL_AUTO, 2);
    w.tlsa[0].status = DNS_FAILED;
    none_kept();
    /* An answer that is good for this time alone. */
    world_at(CONF_LEVEL_ENCRYPT, 1);
    w.mx.ttl_s = 0;
    none_kept();
}

/* Hosts of one preference take turns by chance, also where nothing is asked any more. */
static void test_equals_share(void **state)
{
    enum { EQUALS = 3, MESSAGES = 300 };
    unsigned arrived[EQUALS] = {0}, before;

    world_at(CONF_LEVEL_AUTO, EQUALS + 1);
    w.conf.limits.hop_idle_s = 3600;
    w.conf.limits.hop_max_messages = 1000000;
    w.mx.ttl_s = w.sts.ttl_s = 86400;
    for (unsigned i = 0; i < EQUALS; i++)
        w.mx.mx[i].preference = 5;
    for (unsigned i = 0; i <= EQUALS; i++)
        w.tlsa[i] = (struct dns_tlsa_answer){.status = DNS_OK, .ttl_s = 86400};
    for (unsigned i = 0; i <= EQUALS; i++)
        world_tlsa(&w, i + 1, 3, 7);
    w.sts = (struct sts_answer){.status = DNS_OK, .ttl_s = 86400};
    world_start(&w);
    for (unsigned i = 0; i < 30; i++) { /* the resolver's order turns too */
        struct dns_mx first = w.mx.mx[0];
        message(0);
        w.mx.mx[0] = w.mx.mx[1];
        w.mx.mx[1] = w.mx.mx[2];
        w.mx.mx[2] = first;
    }
    before = w.lookups;
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct hop_facts facts;
        struct sender *s = sender_open(&w, 0, 0, 1);
        hop_facts(s->hop, &facts);
        arrived[facts.host[2] - '1']++;
        world_run(&w, 100);
        sender_close(s);
        world_run(&w, 100);
    }
    assert_int_equal(w.lookups, before);
    for (unsigned i = 0; i < EQUALS; i++)
        assert_in_range(arrived[i], 70, 130);
    assert_int_equal(w.mtas[EQUALS].connections, 0);
    world_end(&w);
}

static void test_others_ask_for_themselves(void **state)
{
    world_at(CONF_LEVEL_AUTO, 1);
    world_start(&w);
    message(0);
    assert_true(asks(1)); /* another route */
    assert_false(asks(0));
    assert_false(asks(1));
    w.domain = "example.net";
    assert_true(asks(0));
    assert_false(asks(0));
    w.domain = "example.org";
    assert_false(asks(0));
    /* A message that requires TLS is for a host that takes REQUIRETLS. */
    w.senders[0].txn.mail.requiretls = true;
    unsigned before = w.lookups;
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, "lost 550 5.7.10\n");
    assert_int_equal(w.lookups, before + 3); /* MX, MTA-STS, TLSA */
    world_end(&w);
}

static void test_without_a_connection_all_is_asked_again(void **state)
{
    world_at(CONF_LEVEL_AUTO, 1);
    world_start(&w);
    message(0);
    struct sender *s = sender_open(&w, 1, 0, 1); /* has the only one */
    assert_true(asks(0));
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    assert_int_equal(w.mtas[0].connections, 2);
    sender_close(s);
    world_end(&w);
}

/* The verdict has changed since, and would not let the message over the old connection. */
static void test_a_connection_that_was_gone(void **state)
{
    world_at(CONF_LEVEL_AUTO, 2);
    world_start(&w);
    message(0);
    w.mtas[0].cut_at = "MAIL";
    w.mtas[0].cut_times = 1;
    world_tlsa(&w, 1, 3, 7);
    world_tlsa(&w, 2, 3, 7);
    w.verify = TLS_VERIFY_OK;
    unsigned before = w.lookups;
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_true(w.lookups > before);
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(w.requests[w.requests_len - 1].check, TLS_CHECK_DANE);
    assert_false(asks(0));
    /* And where nobody can be asked then, it waits. */
    w.mtas[0].cut_at = "MAIL";
    w.mtas[0].cut_times = 2;
    w.mx.status = DNS_FAILED;
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    sender_expect(s, "lost 451 4.4.3\n");
    world_end(&w);
}

/* A connection on which XCLIENT told of one client is recalled for none but it. */
static void test_who_it_speaks_for(void **state)
{
    static const char caps[] = "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR NAME\r\n";

    world_at(CONF_LEVEL_ENCRYPT, 1);
    w.routes[0].xclient = true;
    w.mtas[0].ehlo_tls = caps;
    world_start(&w);
    message(0);
    sender_message(&w, 1, 0);
    sender_expect(&w.senders[1], HEARD);
    assert_int_equal(w.mtas[0].connections, 2);
    struct span heard = buf_span(&w.mtas[0].log);
    assert_non_null(memmem(heard.ptr, heard.len, "ADDR=192.0.2.1 ", 15));
    for (unsigned i = 0; i < 2; i++) { /* each on its own, and nothing is asked */
        unsigned before = w.lookups;
        sender_message(&w, i, 0);
        sender_expect(&w.senders[i], HEARD);
        assert_int_equal(w.lookups, before);
    }
    assert_int_equal(w.mtas[0].connections, 2);
    world_end(&w);
}

/* Where the host is asked for again, it is not the one that a failure is told of. */
static void test_a_failure_names_the_domain(void **state)
{
    struct hop_facts facts;

    world_at(CONF_LEVEL_AUTO, 1);
    world_start(&w);
    message(0);
    struct sender *first = sender_open(&w, 1, 0, 1); /* has the only connection */
    w.mx.status = DNS_NXDOMAIN;
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, "lost 550 5.1.2\n");
    assert_memory_equal(s->last.text, "example.org: ", 13);
    hop_facts(s->hop, &facts);
    assert_string_equal(facts.host, "");
    sender_close(first);
    world_end(&w);
}

/* However many destinations there are, as many are known as were last used. */
static void test_the_number_is_bounded(void **state)
{
    enum { KNOWN = 1024 };
    char domain[32];

    world_at(CONF_LEVEL_ENCRYPT, 1);
    w.mx.ttl_s = 86400;
    w.conf.limits.hop_idle_s = 3600;
    w.conf.limits.hop_max_messages = 1000000;
    w.domain = domain;
    world_start(&w);
    for (unsigned i = 0; i <= KNOWN; i++) {
        snprintf(domain, sizeof(domain), "d%u.example", i);
        message(0);
    }
    assert_false(asks(0));
    snprintf(domain, sizeof(domain), "d1.example");
    assert_false(asks(0));
    snprintf(domain, sizeof(domain), "d0.example"); /* takes the place of the second */
    assert_true(asks(0));
    snprintf(domain, sizeof(domain), "d1.example");
    assert_false(asks(0));
    snprintf(domain, sizeof(domain), "d2.example");
    assert_true(asks(0));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_asked_twice),
        cmocka_unit_test(test_it_stands_as_long_as_all_answers),
        cmocka_unit_test(test_what_is_not_kept),
        cmocka_unit_test(test_equals_share),
        cmocka_unit_test(test_others_ask_for_themselves),
        cmocka_unit_test(test_without_a_connection_all_is_asked_again),
        cmocka_unit_test(test_a_connection_that_was_gone),
        cmocka_unit_test(test_who_it_speaks_for),
        cmocka_unit_test(test_a_failure_names_the_domain),
        cmocka_unit_test(test_the_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
