/* SPDX-License-Identifier: Apache-2.0 */
/* Each TLS level against next hops that lack, refuse or break it: never a MAIL FROM on a weaker
 * connection, and the sender hears why. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HELLO "EHLO gw.test\n"
#define HEARD "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 250 2.6.0\n"

static const char no_starttls[] = "250-mx\r\n250 PIPELINING\r\n";

static struct world w;
static struct conf_hash pin;

static void world_at(enum conf_level level)
{
    world_init(&w, 1);
    for (unsigned r = 0; r < ROUTES; r++) {
        w.routes[r].tls.level = level;
        if (level == CONF_LEVEL_PIN) {
            w.routes[r].tls.spki = &pin;
            w.routes[r].tls.spki_len = 1;
        }
    }
}

static void test_message_over_tls(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    mta_expect(&w.mtas[0], HELLO "STARTTLS\nT " HELLO "T MAIL FROM:<s@client.test>\n"
                                 "T RCPT TO:<a@example.org>\nT DATA\n");
    sender_message(&w, 1, 0);
    assert_int_equal(w.requests_len, 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_TLS_OUT), 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_HOP_PLAINTEXT), 0);
    world_end(&w);
}

static void test_implicit_tls(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[0].tls.mode = CONF_HOP_IMPLICIT;
    w.mtas[0].silent = true;
    world_start(&w);
    /* The fake's server side begins with the first bytes of the client. */
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 100);
    assert_int_equal(w.requests_len, 1);
    sender_expect(s, "");
    mta_never(&w.mtas[0], "EHLO");
    world_end(&w);
}

struct trouble {
    const char *ehlo, *starttls, *cut_at;
    bool bad_handshake;
    const char *demanded; /* what the sender hears where TLS is demanded */
};

static const struct trouble troubles[] = {
    {no_starttls, NULL, NULL, false, "lost 451 4.7.5\n"},
    {NULL, "454 4.7.0 no\r\n", NULL, false, "lost 451 4.7.5\n"},
    {NULL, "502 5.5.1 no\r\n", NULL, false, "lost 451 4.3.5\n"},
    {NULL, NULL, NULL, true, "lost 451 4.7.5\n"},
    {NULL, NULL, "HANDSHAKE", false, "lost 451 4.7.5\n"},
};

static void trouble_set(const struct trouble *t)
{
    w.mtas[0].ehlo = t->ehlo;
    w.mtas[0].starttls = t->starttls;
    w.mtas[0].cut_at = t->cut_at;
    w.mtas[0].bad_handshake = t->bad_handshake;
}

static void test_demanded_and_not_had(void **state)
{
    static const enum conf_level levels[] = {CONF_LEVEL_ENCRYPT, CONF_LEVEL_VERIFY, CONF_LEVEL_PIN};

    for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
        for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
            world_at(levels[l]);
            trouble_set(&troubles[i]);
            world_start(&w);
            struct sender *s = sender_open(&w, 0, 0, 1);
            assert_int_equal(hop_data(s->hop), ERR_OK);
            world_run(&w, 5000);
            sender_expect(s, troubles[i].demanded);
            mta_never(&w.mtas[0], "MAIL");
            world_end(&w);
        }
    }
}

static void test_why_is_said(void **state)
{
    struct hop_facts facts;

    world_at(CONF_LEVEL_ENCRYPT);
    w.mtas[0].starttls = "454 4.7.0 certificate on holiday\r\n";
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    static const char said[] =
        "mx1.test[10.0.0.1]: STARTTLS is refused: 454 certificate on holiday";
    assert_int_equal(s->last.len, strlen(said));
    assert_memory_equal(s->last.text, said, s->last.len);
    hop_facts(s->hop, &facts);
    assert_string_equal(facts.why, "STARTTLS is refused: 454 certificate on holiday");
    world_end(&w);
}

static void test_may_goes_on_in_plaintext(void **state)
{
    for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
        struct hop_facts facts;
        world_at(CONF_LEVEL_MAY);
        trouble_set(&troubles[i]);
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(s, "rcpt 250 2.1.5\n");
        hop_facts(s->hop, &facts);
        assert_true(facts.plaintext_retry && !facts.has_tls && facts.why[0]);
        /* Once, and on a new connection only where the handshake spoiled the old one. */
        assert_int_equal(w.mtas[0].connections, i < 3 ? 1 : 2);
        world_end(&w);
    }
    world_at(CONF_LEVEL_MAY);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.requests_len, 1);
    assert_int_equal(counter_sum(w.shared, COUNTER_HOP_PLAINTEXT), 0);
    world_end(&w);
}

/* The service's word is checked once more. */
static void test_certificate_not_as_asked(void **state)
{
    static const enum conf_level levels[] = {CONF_LEVEL_VERIFY, CONF_LEVEL_PIN};

    for (size_t i = 0; i < 2; i++) {
        world_at(levels[i]);
        w.verify = TLS_VERIFY_UNCHECKED;
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(s, "lost 451 4.7.5\n");
        mta_never(&w.mtas[0], "MAIL");
        world_end(&w);
    }
}

/* Our own overload: no fault of the next hop's, and no reason for plaintext. */
static void test_too_many_handshakes(void **state)
{
    static const enum conf_level levels[] = {CONF_LEVEL_MAY, CONF_LEVEL_ENCRYPT};

    for (size_t i = 0; i < 2; i++) {
        world_at(levels[i]);
        w.handshakes_max = 1;
        w.routes[1].helo = "other.test";
        world_start(&w);
        sender_message(&w, 0, 0);
        buf_clear(&w.mtas[0].log);
        struct sender *s = sender_open(&w, 1, 1, 1);
        world_run(&w, 5000);
        sender_expect(s, "lost 451 4.3.2\n");
        mta_never(&w.mtas[0], "MAIL");
        world_end(&w);
    }
}

/* The same of a handshake that ends by a fault of ours: the next address may do. */
static void test_own_fault_in_a_handshake(void **state)
{
    static const enum conf_level levels[] = {CONF_LEVEL_MAY, CONF_LEVEL_AUTO, CONF_LEVEL_ENCRYPT,
                                             CONF_LEVEL_VERIFY};
    static const enum world_fault faults[] = {FAULT_SERVICE, FAULT_KEYS};

    for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
        for (size_t i = 0; i < 2; i++) {
            world_at(levels[l]);
            w.hops[0][1] = (struct conf_hop){.host = "mx2.test", .port = 25};
            w.routes[0].hops_len = 2;
            w.own_fault = faults[i];
            world_start(&w);
            struct sender *s = sender_open(&w, 0, 0, 1);
            world_run(&w, 5000);
            sender_expect(s, "lost 451 4.3.2\n");
            for (unsigned m = 0; m < 2; m++) {
                assert_int_equal(w.mtas[m].connections, 1);
                mta_never(&w.mtas[m], "MAIL");
            }
            world_end(&w);
        }
    }
}

static void test_expired_certificate_ends_a_leg(void **state)
{
    world_at(CONF_LEVEL_VERIFY);
    w.not_after = 1700000000 + 50;
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    world_run(&w, 60000);
    w.not_after += 1000;
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD HEARD HEARD);
    assert_int_equal(w.mtas[0].connections, 2);
    world_end(&w);
}

/* --- names and keys --- */

static void test_reference_names(void **state)
{
    static const char *const own[] = {"a.test", ".b.test"};

    /* A fixed hop: its own name. */
    world_at(CONF_LEVEL_VERIFY);
    world_start(&w);
    sender_message(&w, 0, 0);
    assert_string_equal(w.requests[0].names, "mx1.test ");
    assert_string_equal(w.requests[0].sni, "mx1.test");
    world_end(&w);
    /* With mx: the domain and below, never what insecure DNS said; SNI is the MX name. */
    world_at(CONF_LEVEL_VERIFY);
    w.routes[0].mx = true;
    w.mx = (struct dns_mx_answer){.len = 1, .mx = {{10, "mx1.test"}}};
    world_start(&w);
    sender_message(&w, 0, 0);
    assert_string_equal(w.requests[0].names, "example.org .example.org ");
    assert_string_equal(w.requests[0].sni, "mx1.test");
    world_end(&w);
    /* As the administrator says. */
    world_at(CONF_LEVEL_VERIFY);
    w.routes[0].tls.names = (struct conf_strings){own, 2};
    w.routes[0].tls.sni = "sni.test";
    world_start(&w);
    sender_message(&w, 0, 0);
    assert_string_equal(w.requests[0].names, "a.test .b.test ");
    assert_string_equal(w.requests[0].sni, "sni.test");
    world_end(&w);
    /* An address has no SNI. */
    world_at(CONF_LEVEL_ENCRYPT);
    w.hops[0][0] = (struct conf_hop){"10.0.0.1", 25, true, w.mtas[0].addr};
    world_start(&w);
    sender_message(&w, 0, 0);
    assert_string_equal(w.requests[0].names, "");
    assert_string_equal(w.requests[0].sni, "-");
    assert_int_equal(w.lookups, 0);
    world_end(&w);
}

static bool same_session(unsigned a, unsigned b)
{
    return memcmp(w.requests[a].session_key, w.requests[b].session_key, 32) == 0;
}

/* Two routes to one host: legs and sessions are shared only where the whole policy is the same. */
static void expect_shared(bool legs, bool sessions)
{
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_message(&w, 1, 1);
    sender_expect(&w.senders[1], HEARD);
    assert_int_equal(w.mtas[0].connections, legs ? 1 : 2);
    if (!legs)
        assert_int_equal(same_session(0, 1), sessions);
    world_end(&w);
}

static void test_keys_by_policy(void **state)
{
    static const char *const names[] = {"mx1.test"};
    static const char *const others[] = {"mx1.test", "x"};

    world_at(CONF_LEVEL_ENCRYPT);
    expect_shared(true, true);
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[1].tls.level = CONF_LEVEL_VERIFY;
    expect_shared(false, false);
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[1].tls.level = CONF_LEVEL_MAY;
    expect_shared(false, false);
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[1].tls.profile = TLS_PROFILE_NIST_800_52R2;
    expect_shared(false, false);
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[1].tls.sni = "sni.test";
    expect_shared(false, false);
    world_at(CONF_LEVEL_VERIFY);
    w.routes[1].tls.names = (struct conf_strings){names, 1};
    expect_shared(true, true); /* what is said by default */
    world_at(CONF_LEVEL_VERIFY);
    w.routes[1].tls.names = (struct conf_strings){others, 2};
    expect_shared(false, false);
    world_at(CONF_LEVEL_PIN);
    static struct conf_hash other_pin = {{1}};
    w.routes[1].tls.spki = &other_pin;
    expect_shared(false, false);
    /* Not of TLS, but of the connection. */
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[1].helo = "other.test";
    expect_shared(false, true);
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[1].auth.mechanism = CONF_AUTH_PLAIN;
    w.routes[1].auth.user = w.routes[1].auth.password = "x";
    w.mtas[0].ehlo_tls = "250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n";
    expect_shared(false, true);
}

/* Values of each length around that of what is gathered before it is digested, and far longer. */
static void test_keys_by_each_byte(void **state)
{
    enum { SAME, FIRST, LAST, NEXT, ALL };
    static char text[2][3000];

    for (size_t len = 1; len < sizeof(text[0]); len += len < 600 ? 5 : 799) {
        for (unsigned other = SAME; other < ALL; other++) {
            world_at(CONF_LEVEL_ENCRYPT);
            memset(text[0], 'a', len);
            memset(text[1], 'a', len);
            if (other == FIRST || other == LAST)
                text[1][other == FIRST ? 0 : len - 1] = 'b';
            for (unsigned r = 0; r < 2; r++) {
                w.routes[r].auth.user = text[r];
                w.routes[r].auth.password = r == 1 && other == NEXT ? "y" : "x";
            }
            expect_shared(other == SAME, true);
        }
    }
}

static void test_auth_refused(void **state)
{
    world_at(CONF_LEVEL_ENCRYPT);
    w.routes[0].auth.mechanism = CONF_AUTH_PLAIN;
    w.routes[0].auth.user = w.routes[0].auth.password = "x";
    w.mtas[0].ehlo_tls = "250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n";
    w.mtas[0].auth = "535 5.7.8 no\r\n";
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, "lost 451 4.3.5\n");
    mta_never(&w.mtas[0], "MAIL");
    assert_int_equal(counter_sum(w.shared, COUNTER_ALARMS), 1);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_over_tls),
        cmocka_unit_test(test_implicit_tls),
        cmocka_unit_test(test_demanded_and_not_had),
        cmocka_unit_test(test_why_is_said),
        cmocka_unit_test(test_may_goes_on_in_plaintext),
        cmocka_unit_test(test_certificate_not_as_asked),
        cmocka_unit_test(test_too_many_handshakes),
        cmocka_unit_test(test_own_fault_in_a_handshake),
        cmocka_unit_test(test_expired_certificate_ends_a_leg),
        cmocka_unit_test(test_reference_names),
        cmocka_unit_test(test_keys_by_policy),
        cmocka_unit_test(test_keys_by_each_byte),
        cmocka_unit_test(test_auth_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
