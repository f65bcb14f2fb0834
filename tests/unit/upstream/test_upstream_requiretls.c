/* SPDX-License-Identifier: Apache-2.0 */
/* RFC-RULES REQUIRETLS: a message that requires TLS goes only to a host that proves who it is, by
 * MX records that are secure where they name it, and that takes REQUIRETLS after TLS; else 5.7.30
 * or 5.7.10 (RFC 8689 section 4.2.1), and no MAIL FROM. */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HEARD "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 250 2.6.0\n"

static const char takes[] = "250-mx\r\n250-PIPELINING\r\n250 REQUIRETLS\r\n";
static const char lacks[] = "250-mx\r\n250 PIPELINING\r\n";
static const char plain_takes[] = "250-mx\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n";
static const char no_starttls[] = "250-mx\r\n250 REQUIRETLS\r\n";
static const char *const every_host[] = {"*.test", NULL};
static const char *const no_host[] = {"mx.elsewhere.test", NULL};

static struct world w;

enum published { NOTHING, TLSA, STS, STS_OTHER, TLSA_FAILED };

/* How a next hop is. */
enum how {
    FIT,
    WITHOUT,
    ONLY_BEFORE_TLS,
    NO_TLS,
    REFUSES_TLS,
    TLS_NOT_NOW,
    BAD_TLS,
    CUT_STARTTLS, /* the connection, when that is said */
    CUT_TLS,
    CLOSED_TLS,
    NO_STARTTLS_ANSWER,
    NO_TLS_ANSWER,
    OUR_MEMORY, /* is at its end in the handshake */
    OUR_KEYS,   /* are not taken by the dataplane */
    DOWN,
};

#define NO_SUPPORT "lost 550 5.7.30\n"
#define NO_PROOF "lost 550 5.7.10\n"
#define NOT_NOW "lost 451 4.7.5\n"

static const struct cell {
    enum conf_level level;
    bool mx, insecure_mx;
    enum published published;
    enum how how, second; /* FIT, FIT: there is but one host */
    const char *heard;    /* NULL: delivered */
} cells[] = {
    /* Fixed next hops: the levels that authenticate. */
    {CONF_LEVEL_VERIFY, false, false, NOTHING, FIT, FIT, NULL},
    {CONF_LEVEL_PIN, false, false, NOTHING, FIT, FIT, NULL},
    {CONF_LEVEL_DANE, false, false, TLSA, FIT, FIT, NULL},
    {CONF_LEVEL_NONE, false, false, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_MAY, false, false, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_ENCRYPT, false, false, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_AUTO, false, false, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_DANE, false, false, NOTHING, FIT, FIT, NO_PROOF},
    /* What the next hop has. */
    {CONF_LEVEL_VERIFY, false, false, NOTHING, WITHOUT, FIT, NO_SUPPORT},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, ONLY_BEFORE_TLS, FIT, NO_SUPPORT},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, NO_TLS, FIT, NO_PROOF},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, REFUSES_TLS, FIT, NO_PROOF},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, BAD_TLS, FIT, NO_PROOF},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, TLS_NOT_NOW, FIT, NOT_NOW},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, CUT_STARTTLS, FIT, NOT_NOW},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, CUT_TLS, FIT, NOT_NOW},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, CLOSED_TLS, FIT, NOT_NOW},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, NO_STARTTLS_ANSWER, FIT, NOT_NOW},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, NO_TLS_ANSWER, FIT, NOT_NOW},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, OUR_MEMORY, FIT, "lost 451 4.3.2\n"},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, OUR_KEYS, FIT, "lost 451 4.3.2\n"},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, DOWN, FIT, "lost 451 4.4.1\n"},
    /* MX records: secure by DNSSEC or vouched for by MTA-STS, or the route names who may answer. */
    {CONF_LEVEL_DANE, true, false, TLSA, FIT, FIT, NULL},
    {CONF_LEVEL_AUTO, true, false, TLSA, FIT, FIT, NULL},
    {CONF_LEVEL_AUTO, true, true, STS, FIT, FIT, NULL},
    {CONF_LEVEL_STS, true, true, STS, FIT, FIT, NULL},
    {CONF_LEVEL_VERIFY, true, true, NOTHING, FIT, FIT, NULL},
    {CONF_LEVEL_AUTO, true, true, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_AUTO, true, true, TLSA, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_AUTO, true, false, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_AUTO, true, true, STS_OTHER, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_AUTO, true, false, TLSA_FAILED, FIT, FIT, "lost 451 4.4.3\n"},
    {CONF_LEVEL_ENCRYPT, true, false, NOTHING, FIT, FIT, NO_PROOF},
    {CONF_LEVEL_STS, true, true, STS, WITHOUT, FIT, NO_SUPPORT},
    /* Each host is tried; while one may be fit later, the message is not sent back. */
    {CONF_LEVEL_VERIFY, false, false, NOTHING, FIT, WITHOUT, NULL},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, WITHOUT, WITHOUT, NO_SUPPORT},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, NO_TLS, WITHOUT, NO_SUPPORT},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, WITHOUT, NO_TLS, NO_PROOF},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, DOWN, WITHOUT, "lost 451 4.7.30\n"},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, DOWN, NO_TLS, "lost 451 4.7.10\n"},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, WITHOUT, DOWN, "lost 451 4.4.1\n"},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, CUT_TLS, WITHOUT, "lost 451 4.7.30\n"},
    {CONF_LEVEL_VERIFY, false, false, NOTHING, CUT_STARTTLS, NO_TLS, "lost 451 4.7.10\n"},
};
enum { CELLS = sizeof(cells) / sizeof(cells[0]) };

static void mta_make(struct mta *m, enum how how)
{
    m->ehlo_tls = how == WITHOUT || how == ONLY_BEFORE_TLS ? lacks : takes;
    m->ehlo = how == ONLY_BEFORE_TLS ? plain_takes : how == NO_TLS ? no_starttls : NULL;
    m->starttls = how == REFUSES_TLS          ? "502 5.5.1 no\r\n"
                  : how == TLS_NOT_NOW        ? "454 4.7.0 not now\r\n"
                  : how == NO_STARTTLS_ANSWER ? "454-" /* and no more */
                                              : NULL;
    m->bad_handshake = how == BAD_TLS;
    m->no_handshake = how == NO_TLS_ANSWER || how == CLOSED_TLS;
    m->cut_at = how == CUT_STARTTLS ? "STARTTLS" : how == CUT_TLS ? "HANDSHAKE" : NULL;
    m->close_after = how == CLOSED_TLS ? "STARTTLS" : NULL;
}

/* A next hop that says nothing more has hop_command_timeout_s. */
static bool waits(enum how how)
{
    return how == NO_STARTTLS_ANSWER || how == NO_TLS_ANSWER;
}

static void cell_start(const struct cell *c)
{
    unsigned hosts = c->second == FIT ? 1 : 2;

    world_init(&w, hosts);
    w.routes[0].tls.level = c->level;
    w.routes[0].mx = c->mx;
    w.mx = (struct dns_mx_answer){.secure = !c->insecure_mx, .len = hosts};
    for (unsigned i = 0; i < hosts; i++)
        snprintf(w.mx.mx[i].host, sizeof(w.mx.mx[i].host), "mx%u.test", i + 1);
    if (c->published == TLSA)
        world_tlsa(&w, 1, 3, 7);
    if (c->published == TLSA_FAILED)
        w.tlsa[0].status = DNS_FAILED;
    if (c->published == STS || c->published == STS_OTHER)
        world_sts(&w, STS_MODE_ENFORCE, "1", c->published == STS ? every_host : no_host);
    w.own_fault = c->how == OUR_MEMORY ? FAULT_SERVICE
                  : c->how == OUR_KEYS ? FAULT_KEYS
                                       : FAULT_NONE;
    mta_make(&w.mtas[0], c->how);
    mta_make(&w.mtas[1], c->second);
    world_start(&w);
    if (c->how == DOWN)
        mta_fail(&w.mtas[0], ECONNREFUSED);
    if (c->second == DOWN)
        mta_fail(&w.mtas[1], ECONNREFUSED);
    w.senders[0].txn.mail.requiretls = true;
}

static void test_every_cell(void **state)
{
    for (unsigned i = 0; i < CELLS; i++) {
        const struct cell *c = &cells[i];
        cell_start(c);
        if (c->heard) {
            struct sender *s = sender_open(&w, 0, 0, 1);
            world_run(&w, waits(c->how) ? 65000 : 5000);
            sender_expect(s, c->heard);
            for (unsigned m = 0; m < MTAS; m++)
                mta_never(&w.mtas[m], "MAIL");
        } else {
            sender_message(&w, 0, 0);
            sender_expect(&w.senders[0], HEARD);
            struct span log = buf_span(&w.mtas[0].log);
            assert_non_null(
                memmem(log.ptr, log.len, "T MAIL FROM:<s@client.test> REQUIRETLS\n", 39));
        }
        world_end(&w);
    }
}

/* A connection that is there already is judged like a new one, and stays in the pool for others. */
static void test_pooled_connection(void **state)
{
    static const struct cell without = {CONF_LEVEL_VERIFY, false, false, NOTHING, WITHOUT, FIT};

    cell_start(&without);
    w.senders[0].txn.mail.requiretls = false;
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    w.senders[1].txn.mail.requiretls = true;
    struct sender *s = sender_open(&w, 1, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, NO_SUPPORT);
    sender_close(s);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.mtas[0].connections, 1);
    mta_never(&w.mtas[0], "REQUIRETLS");
    world_end(&w);
}

/* DESIGN, "SMTP in a cut-through gateway": what a listener may offer. */
static void test_offers(void **state)
{
    static const struct {
        enum conf_level level;
        bool mx;
        enum how how;
        bool offered;
    } offers[] = {
        {CONF_LEVEL_VERIFY, false, FIT, true},
        {CONF_LEVEL_PIN, false, FIT, true},
        {CONF_LEVEL_ENCRYPT, false, FIT, false},
        {CONF_LEVEL_MAY, false, FIT, false},
        {CONF_LEVEL_AUTO, false, FIT, false},
        {CONF_LEVEL_VERIFY, false, WITHOUT, false},
        {CONF_LEVEL_VERIFY, false, ONLY_BEFORE_TLS, false},
        {CONF_LEVEL_VERIFY, true, FIT, false},
    };

    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        const struct cell cell = {offers[i].level, offers[i].mx,  false,
                                  NOTHING,         offers[i].how, FIT};
        struct smtp_offers said;
        cell_start(&cell);
        w.conf.routes_len = 1;
        upstream_offers(w.u, &w.listener, &said);
        assert_false(said.requiretls); /* nobody was seen yet */
        w.senders[0].txn.mail.requiretls = false;
        sender_message(&w, 0, 0);
        upstream_offers(w.u, &w.listener, &said);
        assert_int_equal(said.requiretls, offers[i].offered);
        w.conf.routes_len = ROUTES;
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_pooled_connection),
        cmocka_unit_test(test_offers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
