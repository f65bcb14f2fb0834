/* SPDX-License-Identifier: Apache-2.0 */
/* Probes: each host is found, judged and connected to as for mail, what came of it is told once,
 * and no host ever hears MAIL, AUTH or XCLIENT. */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define GOOD "EHLO gw.test\nSTARTTLS\nT EHLO gw.test\nT QUIT\n"

static const char no_starttls[] = "250-mx\r\n250 PIPELINING\r\n";

static struct world w;

struct told { /* a line a host, and one for the end */
    struct hop *hop;
    char text[2048];
    size_t len;
    bool over;
};

static void __attribute__((format(printf, 2, 3))) tell(struct told *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    t->len += (size_t)vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, args);
    va_end(args);
    assert_true(t->len < sizeof(t->text));
}

static void on_host(void *user, const struct upstream_probe_host *host)
{
    static const char *const results[] = {"skipped", "usable", "met", "held", "failed", "late"};
    struct told *t = user;

    assert_false(t->over);
    tell(t, "%s %s %s", host->host, results[host->result],
         host->verdict ? conf_level_text(host->verdict->level) : "unjudged");
    if (host->result == UPSTREAM_PROBE_MET)
        tell(t, host->tls ? " tls" : " plain");
    if (host->names_len > 0)
        tell(t, " name=%s", host->names[0]);
    if (host->dead_for_ms > 0)
        tell(t, " dead");
    tell(t, "\n");
}

static void on_done(void *user, const struct upstream_probe_end *end)
{
    struct told *t = user;

    assert_false(t->over);
    t->over = true;
    if (end->failure->code != 0)
        tell(t, "%u %u.%u.%u\n", end->failure->code, end->failure->enhanced.class,
             end->failure->enhanced.subject, end->failure->enhanced.detail);
    hop_close(&t->hop);
}

static const struct upstream_probe_events events = {.host = on_host, .done = on_done};

static void world_at(enum conf_level level, unsigned hosts)
{
    world_init(&w, hosts);
    w.routes[0].tls.level = level;
    w.routes[0].mx = true;
    w.mx = (struct dns_mx_answer){.secure = true, .len = hosts};
    for (unsigned i = 0; i < hosts; i++) {
        w.mx.mx[i].preference = (uint16_t)(10 * i);
        snprintf(w.mx.mx[i].host, sizeof(w.mx.mx[i].host), "mx%u.test", i + 1);
    }
}

static void probe(bool connects, const char *expected)
{
    struct told t = {0};

    assert_int_equal(
        upstream_probe_open(w.u, &w.routes[0], "example.org", connects, &events, &t, &t.hop),
        ERR_OK);
    world_run(&w, (UPSTREAM_PROBE_S + 1) * 1000);
    assert_true(t.over);
    assert_string_equal(t.text, expected);
}

static void nobody_heard_mail(void)
{
    for (unsigned i = 0; i < MTAS; i++) {
        mta_never(&w.mtas[i], "MAIL");
        mta_never(&w.mtas[i], "AUTH");
        mta_never(&w.mtas[i], "XCLIENT");
    }
}

static void test_every_host_is_told(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 3);
    w.mtas[1].ehlo = no_starttls;
    world_start(&w);
    mta_fail(&w.mtas[2], ECONNREFUSED);
    probe(true, "mx1.test met encrypt tls\nmx2.test failed encrypt\nmx3.test failed encrypt\n");
    mta_expect(&w.mtas[0], GOOD);
    nobody_heard_mail();
    world_end(&w);
}

static void test_asking_connects_to_nobody(void **state)
{
    world_at(CONF_LEVEL_VERIFY, 2);
    world_start(&w);
    probe(false, "mx1.test usable verify name=example.org\n"
                 "mx2.test usable verify name=example.org\n");
    assert_int_equal(w.mtas[0].connections + w.mtas[1].connections, 0);
    world_end(&w);
}

static void test_verdicts_are_those_of_mail(void **state)
{
    static const char *const first[] = {"mx1.test", NULL};

    world_at(CONF_LEVEL_AUTO, 3);
    world_tlsa(&w, 2, 3, 7);
    world_sts(&w, STS_MODE_ENFORCE, "1", first);
    world_start(&w);
    probe(true, "mx1.test met verify tls name=mx1.test\nmx2.test met dane tls name=mx2.test\n"
                "mx3.test skipped verify\n");
    assert_int_equal(w.mtas[2].connections, 0);
    nobody_heard_mail();
    world_end(&w);
}

static void test_no_host_is_left(void **state)
{
    world_at(CONF_LEVEL_DANE, 2);
    world_start(&w);
    probe(true, "mx1.test skipped dane\nmx2.test skipped dane\n451 4.7.5\n");
    probe(false, "mx1.test skipped dane\nmx2.test skipped dane\n451 4.7.5\n");
    w.tlsa[1].status = DNS_FAILED;
    probe(false, "mx1.test skipped dane\nmx2.test skipped dane\n451 4.4.3\n");
    assert_int_equal(w.mtas[0].connections + w.mtas[1].connections, 0);
    world_end(&w);
}

static void test_domain_without_hosts(void **state)
{
    world_at(CONF_LEVEL_AUTO, 0);
    w.mx.status = DNS_NXDOMAIN;
    world_start(&w);
    probe(true, "550 5.1.2\n");
    world_end(&w);
}

static void test_level_may_falls_back_as_mail_does(void **state)
{
    world_at(CONF_LEVEL_MAY, 2);
    w.mtas[0].ehlo = no_starttls;
    w.mtas[1].bad_handshake = true;
    world_start(&w);
    probe(true, "mx1.test met may plain\nmx2.test met may plain\n");
    assert_int_equal(w.mtas[1].connections, 2);
    nobody_heard_mail();
    world_end(&w);
}

static void test_silent_hosts_cost_their_share(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 4);
    w.mtas[0].silent = w.mtas[1].silent = w.mtas[2].silent = true;
    world_start(&w);
    probe(true, "mx1.test failed encrypt\nmx2.test failed encrypt\nmx3.test failed encrypt\n"
                "mx4.test late unjudged\n451 4.4.1\n");
    assert_int_equal(w.mtas[3].connections, 0);
    assert_int_equal(w.mtas[0].open, 0);
    world_end(&w);
}

static void test_silent_host_before_a_good_one(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 2);
    w.mtas[0].silent = true;
    world_start(&w);
    probe(true, "mx1.test failed encrypt\nmx2.test met encrypt tls\n");
    world_end(&w);
}

/* It takes no pooled connection, and a host that it can't reach is not one that mail leaves alone.
 */
static void test_pool_and_back_off_stay_as_they_are(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 2);
    world_start(&w);
    sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    mta_fail(&w.mtas[1], ECONNREFUSED);
    probe(true, "mx1.test met encrypt tls\nmx2.test failed encrypt\n");
    assert_int_equal(w.mtas[0].connections, 2);
    probe(false, "mx1.test usable encrypt\nmx2.test usable encrypt\n"); /* not "dead" */
    world_end(&w);
}

/* A host that mail leaves alone for a while is tried, and told of. */
static void test_dead_host_is_tried(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 1);
    world_start(&w);
    mta_fail(&w.mtas[0], ECONNREFUSED);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.4.1\n");
    sender_close(s);
    mta_fail(&w.mtas[0], 0);
    probe(false, "mx1.test usable encrypt dead\n");
    probe(true, "mx1.test met encrypt tls\n");
    world_end(&w);
}

static void test_no_secrets_are_said(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 1);
    w.routes[0].auth.mechanism = CONF_AUTH_PLAIN;
    w.routes[0].auth.user = "gateway";
    w.routes[0].auth.password = "secret";
    w.routes[0].xclient = true;
    w.mtas[0].ehlo_tls = "250-mx\r\n250-XCLIENT NAME ADDR\r\n250 AUTH PLAIN\r\n";
    world_start(&w);
    probe(true, "mx1.test met encrypt tls\n");
    mta_expect(&w.mtas[0], GOOD);
    nobody_heard_mail();
    world_end(&w);
}

static void test_closed_in_between(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT, 2);
    w.mtas[0].silent = true;
    world_start(&w);
    struct told t = {0};
    assert_int_equal(
        upstream_probe_open(w.u, &w.routes[0], "example.org", true, &events, &t, &t.hop), ERR_OK);
    world_run(&w, 100);
    assert_int_equal(w.mtas[0].open, 1);
    hop_close(&t.hop);
    world_run(&w, 100);
    assert_int_equal(w.mtas[0].open, 0);
    assert_false(t.over);
    assert_string_equal(t.text, "");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_host_is_told),
        cmocka_unit_test(test_asking_connects_to_nobody),
        cmocka_unit_test(test_verdicts_are_those_of_mail),
        cmocka_unit_test(test_no_host_is_left),
        cmocka_unit_test(test_domain_without_hosts),
        cmocka_unit_test(test_level_may_falls_back_as_mail_does),
        cmocka_unit_test(test_silent_hosts_cost_their_share),
        cmocka_unit_test(test_silent_host_before_a_good_one),
        cmocka_unit_test(test_pool_and_back_off_stay_as_they_are),
        cmocka_unit_test(test_dead_host_is_tried),
        cmocka_unit_test(test_no_secrets_are_said),
        cmocka_unit_test(test_closed_in_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
