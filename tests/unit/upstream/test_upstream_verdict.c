/* SPDX-License-Identifier: Apache-2.0 */
/* Levels that DNS and HTTPS decide, from a transaction to its next hop: what each answer leads to,
 * which hosts are skipped and what the sender hears then, and that a verdict which changed holds
 * for the next message: never a MAIL FROM on a connection that is weaker than the verdict. */
#include "policy_list.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HEARD "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 250 2.6.0\n"

static const char no_starttls[] = "250-mx\r\n250 PIPELINING\r\n";
static const char *const both_hosts[] = {"*.test", NULL};
static const char *const second_host[] = {"mx2.test", NULL};
static const char *const no_host[] = {"mx.elsewhere.test", NULL};

static struct world w;

/* --- one host --- */

/* Plaintext will do, and with the second the name is looked at where there is TLS; how it is
 * judged. */
enum outcome { BY_NONE, BY_LOOKS, BY_NOTHING, BY_NAME, BY_DANE };

struct cell {
    enum conf_level level;
    bool insecure_mx;
    enum dns_status tlsa; /* of mx1.test, where usages has none */
    const char *usages;   /* "3", "23", ... */
    enum dns_status sts;
    enum sts_mode mode;
    const char *const *patterns;
    const char *heard; /* NULL: delivered */
    enum outcome outcome;
    enum tls_source source;
};

#define NO_TLSA DNS_NODATA, NULL
#define NO_STS DNS_NODATA, STS_MODE_NONE, NULL
#define STS(mode, patterns) DNS_OK, STS_MODE_##mode, patterns
#define DANE(usages) DNS_OK, usages
#define REFUSED "lost 451 4.7.5\n"
#define UNKNOWN "lost 451 4.4.3\n"

static const struct cell cells[] = {
    /* dane */
    {CONF_LEVEL_DANE, false, DANE("3"), NO_STS, NULL, BY_DANE, TLS_SOURCE_DANE},
    {CONF_LEVEL_DANE, false, DANE("2"), NO_STS, NULL, BY_DANE, TLS_SOURCE_DANE},
    {CONF_LEVEL_DANE, false, DANE("13"), NO_STS, NULL, BY_DANE, TLS_SOURCE_DANE},
    {CONF_LEVEL_DANE, false, DANE("01"), NO_STS, REFUSED, 0, 0},
    {CONF_LEVEL_DANE, false, NO_TLSA, NO_STS, REFUSED, 0, 0},
    {CONF_LEVEL_DANE, false, DNS_FAILED, NULL, NO_STS, UNKNOWN, 0, 0},
    {CONF_LEVEL_DANE, false, DNS_BOGUS, NULL, NO_STS, UNKNOWN, 0, 0},
    {CONF_LEVEL_DANE, true, DANE("3"), NO_STS, REFUSED, 0, 0},
    {CONF_LEVEL_DANE, false, NO_TLSA, STS(ENFORCE, both_hosts), REFUSED, 0, 0},
    /* sts */
    {CONF_LEVEL_STS, true, NO_TLSA, STS(ENFORCE, both_hosts), NULL, BY_NAME, TLS_SOURCE_STS},
    {CONF_LEVEL_STS, true, NO_TLSA, STS(TESTING, both_hosts), NULL, BY_NAME, TLS_SOURCE_STS},
    {CONF_LEVEL_STS, true, NO_TLSA, STS(TESTING, no_host), REFUSED, 0, 0},
    {CONF_LEVEL_STS, true, NO_TLSA, STS(ENFORCE, no_host), REFUSED, 0, 0},
    {CONF_LEVEL_STS, true, NO_TLSA, STS(NONE, both_hosts), REFUSED, 0, 0},
    {CONF_LEVEL_STS, true, NO_TLSA, NO_STS, REFUSED, 0, 0},
    {CONF_LEVEL_STS, true, NO_TLSA, DNS_BOGUS, STS_MODE_NONE, NULL, UNKNOWN, 0, 0},
    /* auto */
    {CONF_LEVEL_AUTO, false, DANE("3"), NO_STS, NULL, BY_DANE, TLS_SOURCE_DANE},
    {CONF_LEVEL_AUTO, false, DANE("01"), NO_STS, NULL, BY_NOTHING, TLS_SOURCE_DANE},
    {CONF_LEVEL_AUTO, false, NO_TLSA, NO_STS, NULL, BY_NONE, TLS_SOURCE_NONE},
    {CONF_LEVEL_AUTO, true, DANE("3"), NO_STS, NULL, BY_NONE, TLS_SOURCE_NONE},
    {CONF_LEVEL_AUTO, false, DNS_FAILED, NULL, NO_STS, UNKNOWN, 0, 0},
    {CONF_LEVEL_AUTO, false, DNS_BOGUS, NULL, NO_STS, UNKNOWN, 0, 0},
    {CONF_LEVEL_AUTO, true, NO_TLSA, STS(ENFORCE, both_hosts), NULL, BY_NAME, TLS_SOURCE_STS},
    {CONF_LEVEL_AUTO, true, NO_TLSA, STS(ENFORCE, no_host), REFUSED, 0, 0},
    {CONF_LEVEL_AUTO, true, NO_TLSA, STS(TESTING, no_host), NULL, BY_LOOKS, TLS_SOURCE_STS},
    {CONF_LEVEL_AUTO, true, NO_TLSA, STS(TESTING, both_hosts), NULL, BY_LOOKS, TLS_SOURCE_STS},
    {CONF_LEVEL_AUTO, true, NO_TLSA, STS(NONE, no_host), NULL, BY_NONE, TLS_SOURCE_NONE},
    {CONF_LEVEL_AUTO, true, NO_TLSA, DNS_FAILED, STS_MODE_NONE, NULL, NULL, BY_NONE,
     TLS_SOURCE_NONE},
    {CONF_LEVEL_AUTO, true, NO_TLSA, DNS_BOGUS, STS_MODE_NONE, NULL, UNKNOWN, 0, 0},
    /* DANE wins, and what it refuses a policy does not allow (RFC 8461 section 2). */
    {CONF_LEVEL_AUTO, false, DANE("3"), STS(ENFORCE, both_hosts), NULL, BY_DANE, TLS_SOURCE_DANE},
    {CONF_LEVEL_AUTO, false, DANE("3"), STS(ENFORCE, no_host), NULL, BY_DANE, TLS_SOURCE_DANE},
    {CONF_LEVEL_AUTO, false, DNS_BOGUS, NULL, STS(ENFORCE, both_hosts), UNKNOWN, 0, 0},
};

enum { CELLS = sizeof(cells) / sizeof(cells[0]) };

static void cell_set(const struct cell *c)
{
    world_mx(&w, c->level, 1);
    w.mx.secure = !c->insecure_mx;
    w.tlsa[0].status = c->tlsa;
    for (const char *usage = c->usages; usage && *usage; usage++)
        world_tlsa(&w, 1, (uint8_t)(*usage - '0'), 7);
    if (c->sts == DNS_OK)
        world_sts(&w, c->mode, "20261122", c->patterns);
    else
        w.sts.status = c->sts;
}

static enum tls_check check_of(enum outcome outcome)
{
    return outcome == BY_DANE                          ? TLS_CHECK_DANE
           : outcome == BY_NAME || outcome == BY_LOOKS ? TLS_CHECK_NAME
                                                       : TLS_CHECK_NOTHING;
}

static void expect_facts(const struct cell *c, const struct hop_facts *facts)
{
    assert_int_equal(facts->verdict->source, c->source);
    assert_int_equal(facts->verdict->use, TLS_USE);
    if (c->source == TLS_SOURCE_STS)
        assert_string_equal(facts->sts_id, "20261122");
    else
        assert_null(facts->sts_id);
}

/* A list of policies, at level auto alone, where the domain has no policy of its own to be had. */
static void test_list(void **state)
{
    static const struct {
        enum conf_level level;
        enum dns_status sts; /* OK: a policy of its own that names every host */
        const char *text;    /* of the list */
        const char *heard;
        enum tls_source source;
    } rows[] = {
#define LIST(mode, mx)                                                                             \
    "{\"version\": \"0.1\", \"expires\": 4000000000, \"policies\": {\"example.org\": "             \
    "{\"mode\": \"" mode "\", \"mxs\": [\"" mx "\"]}}}"
#define EXPIRED                                                                                    \
    "{\"version\": \"0.1\", \"expires\": 1, \"policies\": {\"example.org\": "                      \
    "{\"mode\": \"enforce\", \"mxs\": [\"mx9.test\"]}}}"
        {CONF_LEVEL_AUTO, DNS_NODATA, LIST("enforce", "mx1.test"), NULL, TLS_SOURCE_LIST},
        {CONF_LEVEL_AUTO, DNS_FAILED, LIST("enforce", "mx1.test"), NULL, TLS_SOURCE_LIST},
        {CONF_LEVEL_AUTO, DNS_NODATA, LIST("enforce", ".mx9.test"), REFUSED, 0},
        {CONF_LEVEL_AUTO, DNS_NODATA, LIST("testing", ".mx9.test"), NULL, TLS_SOURCE_LIST},
        {CONF_LEVEL_AUTO, DNS_NODATA, EXPIRED, NULL, TLS_SOURCE_NONE},
        {CONF_LEVEL_AUTO, DNS_OK, LIST("enforce", ".mx9.test"), NULL, TLS_SOURCE_STS},
        {CONF_LEVEL_AUTO, DNS_BOGUS, LIST("enforce", "mx1.test"), UNKNOWN, 0},
        {CONF_LEVEL_STS, DNS_NODATA, LIST("enforce", "mx1.test"), REFUSED, 0},
        {CONF_LEVEL_MAY, DNS_NODATA, LIST("enforce", ".mx9.test"), NULL, TLS_SOURCE_ROUTE},
    };
    char why[256];

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        world_mx(&w, rows[i].level, 1);
        w.mx.secure = false;
        w.sts.status = rows[i].sts;
        if (rows[i].sts == DNS_OK)
            world_sts(&w, STS_MODE_ENFORCE, "1", both_hosts);
        assert_int_equal(
            policy_list_parse(span_str(rows[i].text), &w.conf.tls.policies, why, sizeof(why)),
            ERR_OK);
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(s, rows[i].heard ? rows[i].heard : "rcpt 250 2.1.5\n");
        if (!rows[i].heard) {
            struct hop_facts facts;
            hop_facts(s->hop, &facts);
            assert_int_equal(facts.verdict->source, rows[i].source);
            assert_true(!facts.sts_id == (rows[i].source != TLS_SOURCE_STS));
        }
        policy_list_free(w.conf.tls.policies);
        w.conf.tls.policies = NULL;
        world_end(&w);
    }
}

static void test_every_cell(void **state)
{
    for (unsigned i = 0; i < CELLS; i++) {
        const struct cell *c = &cells[i];
        struct hop_facts facts;
        cell_set(c);
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        hop_facts(s->hop, &facts);
        if (c->heard) {
            sender_expect(s, c->heard);
            assert_int_equal(w.mtas[0].connections, 0);
            assert_int_equal(facts.verdict->use, TLS_SKIP);
            assert_string_not_equal(facts.verdict->why, "");
        } else {
            sender_expect(s, "rcpt 250 2.1.5\n");
            assert_int_equal(w.requests_len, 1);
            assert_int_equal(w.requests[0].check, check_of(c->outcome));
            assert_int_equal(w.requests[0].lenient, c->outcome < BY_NAME);
            expect_facts(c, &facts);
        }
        /* What is not to count is not asked. */
        if (c->insecure_mx)
            assert_int_equal(w.tlsa_lookups, 0);
        if (c->level == CONF_LEVEL_DANE)
            assert_int_equal(w.sts_lookups, 0);
        world_end(&w);
    }
}

/* A next hop, or whoever sits before it, that does not do what the verdict needs. */
static void trouble_set(unsigned number)
{
    static const char *const starttls[] = {NULL, "454 4.7.0 no\r\n", NULL, NULL, NULL};

    w.mtas[0].starttls = starttls[number];
    w.mtas[0].ehlo = number == 0 ? no_starttls : NULL;
    w.mtas[0].bad_handshake = number == 2;
    w.mtas[0].cut_at = number == 3 ? "HANDSHAKE" : NULL;
    w.verify = number == 4 ? TLS_VERIFY_UNCHECKED : TLS_VERIFY_OK; /* another's certificate */
}

static void test_nothing_weaker_in_any_cell(void **state)
{
    for (unsigned i = 0; i < CELLS; i++) {
        for (unsigned trouble = 0; trouble < 5; trouble++) {
            const struct cell *c = &cells[i];
            bool judged = c->outcome == BY_NAME || c->outcome == BY_DANE;
            if (c->heard || (trouble == 4 && !judged))
                continue;
            cell_set(c);
            trouble_set(trouble);
            world_start(&w);
            struct sender *s = sender_open(&w, 0, 0, 1);
            world_run(&w, 5000);
            if (c->outcome <= BY_LOOKS) {
                struct hop_facts facts;
                hop_facts(s->hop, &facts);
                sender_expect(s, "rcpt 250 2.1.5\n");
                assert_true(facts.plaintext_retry && !facts.has_tls && facts.why[0]);
            } else {
                sender_expect(s, REFUSED);
                mta_never(&w.mtas[0], "MAIL");
            }
            world_end(&w);
        }
    }
}

/* The resolver takes no question: nobody knows what it would have said. */
static void test_nobody_to_ask(void **state)
{
    static const enum conf_level levels[] = {CONF_LEVEL_DANE, CONF_LEVEL_STS, CONF_LEVEL_AUTO};

    for (unsigned i = 0; i < 6; i++) {
        world_mx(&w, levels[i / 2], 1);
        w.mx.secure = levels[i / 2] == CONF_LEVEL_DANE || i % 2 == 0;
        w.deaf = true;
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(s, UNKNOWN);
        assert_int_equal(w.mtas[0].connections, 0);
        world_end(&w);
    }
}

static void test_gone_while_asking(void **state)
{
    for (unsigned ms = 0; ms < 20; ms++) {
        world_mx(&w, CONF_LEVEL_AUTO, 1);
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, ms);
        sender_close(s);
        world_run(&w, 1000);
        sender_expect(s, "");
        mta_never(&w.mtas[0], "MAIL");
        world_end(&w);
    }
}

/* --- several hosts --- */

static void test_a_skipped_host_is_passed_by(void **state)
{
    /* The first one's records can't be looked up, the second has good ones. */
    world_mx(&w, CONF_LEVEL_AUTO, 2);
    w.tlsa[0].status = DNS_FAILED;
    world_tlsa(&w, 2, 3, 7);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.mtas[0].connections, 0);
    assert_int_equal(w.mtas[1].connections, 1);
    assert_string_equal(w.requests[0].sni, "mx2.test");
    world_end(&w);
    /* The policy names the second one only. */
    world_mx(&w, CONF_LEVEL_STS, 2);
    world_sts(&w, STS_MODE_ENFORCE, "1", second_host);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.mtas[0].connections, 0);
    assert_int_equal(w.mtas[1].connections, 1);
    assert_string_equal(w.requests[0].names, "mx2.test ");
    world_end(&w);
    /* Each host is judged by what it has itself: the first one's are not the second one's. */
    world_mx(&w, CONF_LEVEL_DANE, 2);
    world_tlsa(&w, 1, 3, 7);
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    sender_expect(s, REFUSED);
    mta_never(&w.mtas[0], "MAIL");
    assert_int_equal(w.mtas[0].connections, 1);
    assert_int_equal(w.mtas[1].connections, 0);
    world_end(&w);
}

static void test_none_is_left(void **state)
{
    world_mx(&w, CONF_LEVEL_AUTO, 2);
    w.tlsa[0].status = w.tlsa[1].status = DNS_BOGUS;
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    sender_expect(s, UNKNOWN);
    assert_true(memmem(s->last.text, s->last.len, "mx2.test: ", 10) == s->last.text);
    assert_int_equal(w.mtas[0].connections + w.mtas[1].connections, 0);
    world_end(&w);
    /* None came to be judged. */
    struct hop_facts facts;
    world_mx(&w, CONF_LEVEL_AUTO, 2);
    w.mx.status = DNS_FAILED;
    world_start(&w);
    s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    sender_expect(s, UNKNOWN);
    hop_facts(s->hop, &facts);
    assert_null(facts.verdict);
    assert_null(facts.sts_id);
    world_end(&w);
}

static void test_fixed_host(void **state)
{
    world_mx(&w, CONF_LEVEL_DANE, 1);
    w.routes[0].mx = false;
    world_tlsa(&w, 1, 2, 7);
    snprintf(w.tlsa[0].base, sizeof(w.tlsa[0].base), "real.test"); /* behind a secure CNAME */
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD HEARD);
    assert_string_equal(w.requests[0].sni, "real.test");
    assert_string_equal(w.requests[0].names, "real.test mx1.test ");
    assert_int_equal(w.mtas[0].connections, 1);
    world_end(&w);
    /* No domain is behind it whose policy could count. */
    world_mx(&w, CONF_LEVEL_AUTO, 1);
    w.routes[0].mx = false;
    world_sts(&w, STS_MODE_ENFORCE, "1", no_host);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.sts_lookups, 0);
    world_end(&w);
}

static void test_names_of_dane_with_mx(void **state)
{
    world_mx(&w, CONF_LEVEL_DANE, 1);
    world_tlsa(&w, 1, 2, 7);
    world_tlsa(&w, 1, 3, 8);
    world_start(&w);
    sender_message(&w, 0, 0);
    assert_string_equal(w.requests[0].names, "mx1.test example.org ");
    assert_int_equal(w.requests[0].tlsa_len, 2);
    world_end(&w);
}

/* An address literal has no MX, no zone and no policy. */
static void test_literal(void **state)
{
    static const struct {
        enum conf_level level;
        const char *heard;
    } by_level[] = {{CONF_LEVEL_DANE, REFUSED},
                    {CONF_LEVEL_STS, REFUSED},
                    {CONF_LEVEL_AUTO, "rcpt 250 2.1.5\n"}};

    for (size_t i = 0; i < 3; i++) {
        world_mx(&w, by_level[i].level, 1);
        w.domain = "[10.0.0.1]";
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(s, by_level[i].heard);
        assert_int_equal(w.lookups + w.tlsa_lookups + w.sts_lookups, 0);
        world_end(&w);
    }
}

/* --- what is kept --- */

/* Two messages, the world changed between them: whether the second went over the first's leg, and
 * whether its session was the first's. */
static void expect_kept(void (*change)(void), bool leg)
{
    world_start(&w);
    sender_message(&w, 0, 0);
    change();
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD HEARD);
    assert_int_equal(w.mtas[0].connections, leg ? 1 : 2);
    if (!leg)
        assert_memory_not_equal(w.requests[0].session_key, w.requests[1].session_key, 32);
    world_end(&w);
}

static void change_nothing(void)
{
}

static void change_order(void)
{
    struct dns_tlsa first = w.tlsa[0].records[0];

    w.tlsa[0].records[0] = w.tlsa[0].records[1];
    w.tlsa[0].records[1] = first;
}

static void change_data(void)
{
    w.tlsa[0].data[40] ^= 1;
}

static void change_usage(void)
{
    w.tlsa[0].records[0].usage = 3;
}

static void change_more(void)
{
    world_tlsa(&w, 1, 3, 9);
}

static void change_gone(void)
{
    w.tlsa[0].status = DNS_NODATA;
    w.tlsa[0].len = 0;
}

static void change_id(void)
{
    world_sts(&w, STS_MODE_ENFORCE, "2", both_hosts);
}

static void change_to_testing(void)
{
    world_sts(&w, STS_MODE_TESTING, "1", both_hosts);
}

static void change_to_dane(void)
{
    world_tlsa(&w, 1, 3, 7);
}

static void records_two(void)
{
    world_mx(&w, CONF_LEVEL_AUTO, 1);
    world_tlsa(&w, 1, 2, 7);
    world_tlsa(&w, 1, 3, 8);
}

static void change_to_enforce(void)
{
    world_sts(&w, STS_MODE_ENFORCE, "1", both_hosts);
}

static void change_no_policy(void)
{
    w.sts.status = DNS_NODATA;
}

static void policy_testing(void)
{
    world_mx(&w, CONF_LEVEL_AUTO, 1);
    world_sts(&w, STS_MODE_TESTING, "1", both_hosts);
}

static void policy_enforced(void)
{
    world_mx(&w, CONF_LEVEL_AUTO, 1);
    world_sts(&w, STS_MODE_ENFORCE, "1", both_hosts);
}

static void test_a_leg_is_of_its_verdict(void **state)
{
    static const struct {
        void (*before)(void);
        void (*change)(void);
        bool leg;
    } changes[] = {
        {records_two, change_nothing, true},       {records_two, change_order, true},
        {records_two, change_data, false},         {records_two, change_usage, false},
        {records_two, change_more, false},         {records_two, change_gone, false},
        {policy_enforced, change_nothing, true},   {policy_enforced, change_id, false},
        {policy_enforced, change_to_dane, false},  {policy_enforced, change_to_testing, false},
        {policy_testing, change_nothing, true},    {policy_testing, change_to_enforce, false},
        {policy_testing, change_no_policy, false},
    };

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        changes[i].before();
        expect_kept(changes[i].change, changes[i].leg);
    }
}

/* Who waits for a connection looks for one by the verdict that was made for it. */
static void expect_waited(void (*change)(void), unsigned connections)
{
    for (unsigned r = 0; r < ROUTES; r++)
        w.routes[r].max_connections = 1;
    world_start(&w);
    struct sender *first = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    change();
    struct sender *second = sender_open(&w, 1, 0, 1);
    world_run(&w, 5000);
    sender_expect(second, "");
    sender_close(first);
    world_run(&w, 2000);
    sender_expect(second, "rcpt 250 2.1.5\n");
    assert_int_equal(w.mtas[0].connections, connections);
    world_end(&w);
}

static void test_what_is_waited_for_is_of_its_verdict(void **state)
{
    policy_enforced();
    expect_waited(change_nothing, 1);
    policy_enforced();
    expect_waited(change_id, 2);
    records_two();
    expect_waited(change_order, 1);
    records_two();
    expect_waited(change_data, 2);
}

/* RFC 8461 section 5: a policy in testing mode refuses nothing, and what it would have refused is
 * known, for the log and for reports. */
static void test_testing_tells_what_it_would_refuse(void **state)
{
    static const struct {
        const char *tlsa; /* usages */
        const char *const *patterns;
        enum tls_verify verify;
        const char *ehlo;
        const char *refusal;
    } rows[] = {
        {NULL, both_hosts, TLS_VERIFY_OK, NULL, NULL},
        {NULL, both_hosts, TLS_VERIFY_FAILED, NULL, "fake name"},
        {NULL, both_hosts, TLS_VERIFY_OK, no_starttls, "there was no TLS"},
        {NULL, no_host, TLS_VERIFY_OK, NULL, "the policy does not list the host"},
        {NULL, no_host, TLS_VERIFY_FAILED, no_starttls, "the policy does not list the host"},
        {"01", both_hosts, TLS_VERIFY_FAILED, NULL, "fake name"}, /* beside unusable records */
        {"01", both_hosts, TLS_VERIFY_OK, NULL, NULL},
        {"3", no_host, TLS_VERIFY_OK, NULL, NULL}, /* DANE wins */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hop_facts facts;
        world_mx(&w, CONF_LEVEL_AUTO, 1);
        for (const char *usage = rows[i].tlsa; usage && *usage; usage++)
            world_tlsa(&w, 1, (uint8_t)(*usage - '0'), 7);
        world_sts(&w, STS_MODE_TESTING, "1", rows[i].patterns);
        w.verify = rows[i].verify;
        w.mtas[0].ehlo = rows[i].ehlo;
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(s, "rcpt 250 2.1.5\n");
        hop_facts(s->hop, &facts);
        if (rows[i].refusal)
            assert_string_equal(facts.would_refuse, rows[i].refusal);
        else
            assert_null(facts.would_refuse);
        world_end(&w);
    }
}

/* Who was looked at leniently is of no use to who must be verified, also as a session. */
static void test_looked_at_is_not_verified(void **state)
{
    world_mx(&w, CONF_LEVEL_AUTO, 1);
    world_sts(&w, STS_MODE_TESTING, "1", both_hosts);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    world_sts(&w, STS_MODE_ENFORCE, "1", both_hosts);
    sender_message(&w, 1, 0);
    sender_expect(&w.senders[1], HEARD);
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(w.requests_len, 2);
    assert_true(w.requests[0].lenient && !w.requests[1].lenient);
    assert_string_equal(w.requests[0].names, w.requests[1].names);
    assert_memory_not_equal(w.requests[0].session_key, w.requests[1].session_key, 32);
    world_end(&w);
}

/* A leg that was good is not used where the host may not be used any more. */
static void test_a_verdict_that_turned(void **state)
{
    world_mx(&w, CONF_LEVEL_DANE, 1);
    world_tlsa(&w, 1, 3, 7);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    buf_clear(&w.mtas[0].log);
    w.tlsa[0].status = DNS_BOGUS;
    struct sender *s = sender_open(&w, 1, 0, 1);
    world_run(&w, 5000);
    sender_expect(s, UNKNOWN);
    mta_never(&w.mtas[0], "MAIL");
    world_end(&w);
}

/* RFC 7671 section 5.1: of usage 3 a certificate may have run out, of usage 2 not. */
static void test_dates_by_usage(void **state)
{
    for (uint8_t usage = 2; usage <= 3; usage++) {
        world_mx(&w, CONF_LEVEL_DANE, 1);
        world_tlsa(&w, 1, usage, 7);
        w.not_after = 1700000000 + 50;
        world_start(&w);
        sender_message(&w, 0, 0);
        world_run(&w, 60000);
        sender_message(&w, 0, 0);
        sender_expect(&w.senders[0], HEARD HEARD);
        assert_int_equal(w.mtas[0].connections, usage == 2 ? 2 : 1);
        world_end(&w);
    }
}

/* A pooled leg turns out stale: the new one is made under the same verdict. */
static void test_stale_leg(void **state)
{
    world_mx(&w, CONF_LEVEL_DANE, 1);
    world_tlsa(&w, 1, 3, 7);
    world_start(&w);
    sender_message(&w, 0, 0);
    w.mtas[0].cut_at = "MAIL";
    w.mtas[0].cut_times = 1;
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD HEARD);
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(w.requests[1].check, TLS_CHECK_DANE);
    assert_int_equal(w.requests[1].tlsa_len, 1);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_nothing_weaker_in_any_cell),
        cmocka_unit_test(test_nobody_to_ask),
        cmocka_unit_test(test_gone_while_asking),
        cmocka_unit_test(test_a_skipped_host_is_passed_by),
        cmocka_unit_test(test_none_is_left),
        cmocka_unit_test(test_fixed_host),
        cmocka_unit_test(test_names_of_dane_with_mx),
        cmocka_unit_test(test_literal),
        cmocka_unit_test(test_a_leg_is_of_its_verdict),
        cmocka_unit_test(test_what_is_waited_for_is_of_its_verdict),
        cmocka_unit_test(test_testing_tells_what_it_would_refuse),
        cmocka_unit_test(test_looked_at_is_not_verified),
        cmocka_unit_test(test_a_verdict_that_turned),
        cmocka_unit_test(test_dates_by_usage),
        cmocka_unit_test(test_stale_leg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
