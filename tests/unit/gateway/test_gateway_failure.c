/* SPDX-License-Identifier: Apache-2.0 */
/* DESIGN.md's failure table, line by line: each side is killed at each point. */
#include "world.h"

#include <errno.h>
#include <stdio.h>

static void say_envelope(struct actor *a)
{
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n");
    client_hear(a, "250 2.1.0");
}

static uint64_t count(const struct world *w, enum counter which)
{
    return counter_sum(w->shared, which);
}

/* The session goes on after whatever happened: the next message passes. */
static void assert_next_message_passes(struct world *w, struct actor *a)
{
    unsigned before = w->hops[0].messages;

    w->hops[0].cut_at = w->hops[0].silent_at = NULL;
    world_run(w, 2000000); /* a dead host's back-off is over */
    client_say(a, "RSET\r\n");
    if (a->closed) { /* a long wait may have ended an idle session */
        a = client_ready(w);
    } else {
        struct span in = buf_span(&a->in);
        if (in.len >= 3 && memcmp(in.ptr, "421", 3) == 0)
            a = client_ready(w);
        else
            client_hear(a, "250 2.0.0");
    }
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    assert_int_equal(w->hops[0].messages, before + 1);
}

/* "next hop refuses or is down before DATA: its code, or 451 4.4.1" */
static void hop_down(void **state)
{
    struct world *w = world_new(20, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    assert_int_equal(dp_sim_fail(w->dp, &w->hops[0].addr, ECONNREFUSED), ERR_OK);
    say_envelope(a);
    world_run(w, 150000);
    client_hear(a, "451 4.4.1");
    client_say(a, "DATA\r\n");
    client_hear(a, "451 4.4.1");
    assert_int_equal(w->hops[0].mails, 0);
    assert_int_equal(dp_sim_fail(w->dp, &w->hops[0].addr, 0), ERR_OK);
    assert_next_message_passes(w, a);
    world_free(w);
}

static void hop_answers_reach_the_sender(void **state)
{
    struct world *w = world_new(21, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].rcpt_reply[0] = "550 5.1.1 no such user\r\n";
    w->hops[0].rcpt_reply[1] = "452 4.2.2 mailbox full\r\n";
    client_say(a,
               "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n"
               "RCPT TO:<d@example.org>\r\nDATA\r\n");
    client_hear(a, "250 2.1.0");
    client_hear(a, "550 5.1.1 no such user");
    client_hear(a, "452 4.2.2 mailbox full");
    client_hear(a, "250 2.1.5");
    client_hear(a, "354");
    w->hops[0].final_reply = "554 5.7.1 spam\r\n";
    client_say(a, world_body);
    client_say(a, ".\r\n");
    client_hear(a, "554 5.7.1 spam");
    assert_int_equal(count(w, COUNTER_MESSAGES_REFUSED), 1);
    assert_int_equal(count(w, COUNTER_MESSAGES_RELAYED), 0);
    world_free(w);
}

/* "The next hop's refusal of MAIL goes to each RCPT"; 421 becomes 451 and the session stays. */
static void hop_refuses_mail(void **state)
{
    struct world *w = world_new(22, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].mail_reply = "550 5.7.1 not you\r\n";
    say_envelope(a);
    client_hear(a, "550 5.7.1 not you");
    client_say(a, "RSET\r\n");
    client_hear(a, "250 2.0.0");
    w->hops[0].mail_reply = "421 4.3.2 going down\r\n";
    say_envelope(a);
    client_hear(a, "451 ");
    client_say(a, "NOOP\r\n");
    client_hear(a, "250 2.0.0");
    w->hops[0].mail_reply = NULL;
    assert_next_message_passes(w, a);
    world_free(w);
}

/* "5yz to greeting, EHLO, STARTTLS, and 530 or protocol errors become 451 4.3.5 with an alarm" */
static void gateway_faults_never_bounce(void **state)
{
    static const struct {
        const char *greeting, *ehlo, *starttls, *mail, *expected;
    } rows[] = {
        {"554 5.7.1 go away\r\n", NULL, NULL, NULL, "451 4.3.5"},
        {NULL, "550 5.7.1 bad helo\r\n", NULL, NULL, "451 4.3.5"},
        {NULL, NULL, NULL, "530 5.7.0 STARTTLS first\r\n", "451 4.3.5"},
        {NULL, NULL, NULL, "503 5.5.1 out of order\r\n", "451 4.3.5"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *w = world_new(23 + i, NULL, NULL, NULL);
        struct actor *a = client_ready(w);
        w->hops[0].greeting = rows[i].greeting;
        w->hops[0].ehlo_reply = rows[i].ehlo;
        w->hops[0].mail_reply = rows[i].mail;
        say_envelope(a);
        world_run(w, 130000);
        client_hear(a, rows[i].expected);
        assert_true(count(w, COUNTER_ALARMS) >= 1);
        world_free(w);
    }
}

/* "TLS demanded by policy cannot be had: 451 4.7.5 and why; no MAIL FROM, ever" */
static void demanded_tls_not_to_be_had(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = world_new(
            30 + i, NULL, "next_hop = \"hop1.example:25\"; tls = { level = \"encrypt\"; };", NULL);
        struct actor *a = client_ready(w);
        w->hops[0].no_starttls = i == 0;
        w->hops[0].starttls_reply = i == 1   ? "454 4.7.0 not now\r\n"
                                    : i == 2 ? "220 go\r\nXX\r\n"
                                             : NULL;
        say_envelope(a);
        world_run(w, 130000);
        client_hear(a, "451 4.7.5");
        assert_int_equal(w->hops[0].mails, 0);
        world_free(w);
    }
}

/* may: retries once in plaintext, and says so in a counter. */
static void may_falls_back_to_plaintext(void **state)
{
    struct world *w = world_new(34, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].no_starttls = true;
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    assert_true(w->hops[0].mail_in_plaintext);
    assert_int_equal(count(w, COUNTER_HOP_PLAINTEXT), 1);
    world_free(w);
}

/* "sender vanishes in the body: connection cut, no final dot" */
static void sender_vanishes_in_body(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        struct world *w = world_new(40 + i, NULL, NULL, NULL);
        struct actor *a = (i & 1) ? client_ready_tls(w) : client_ready(w);
        if (i < 4)
            client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
        else
            client_say(
                a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 5000 LAST\r\n");
        client_say(a, i < 2 ? "Subject: x\r\n" : world_body);
        if (i < 2)
            dp_sim_peer_finish(a->peer);
        else
            dp_sim_peer_reset(a->peer);
        world_run(w, 20000);
        assert_int_equal(w->hops[0].messages, 0);
        assert_true(w->hops[0].actors->closed);
        assert_int_equal(count(w, COUNTER_MESSAGES_ABORTED), 1);
        assert_int_equal(count(w, COUNTER_SESSIONS_OPEN), 0);
        world_free(w);
    }
}

/* "sender lost after the final dot: a complete message"; the log waits for what became of it. */
static void sender_lost_after_final_dot(void **state)
{
    struct world *w = world_new(50, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].silent_at = ".";
    client_message(a, world_body);
    dp_sim_peer_reset(a->peer);
    world_run(w, 1000);
    assert_int_equal(w->hops[0].messages, 1);
    dp_sim_peer_send(w->hops[0].actors->peer, "", 0);
    world_run(w, 1000000); /* no answer ever comes */
    assert_int_equal(count(w, COUNTER_MESSAGES_INDETERMINATE), 1);
    assert_int_equal(count(w, COUNTER_SESSIONS_OPEN), 0);
    world_free(w);
}

/* "next hop vanishes before its final reply: 451 4.4.2, indeterminate" */
static void hop_lost_after_final_dot(void **state)
{
    struct world *w = world_new(51, NULL, NULL, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    w->hops[0].cut_at = ".";
    client_message(a, world_body);
    client_hear(a, "451 4.4.2");
    assert_int_equal(count(w, COUNTER_MESSAGES_INDETERMINATE), 1);
    client_say(a, "NOOP\r\n");
    client_hear(a, "250 2.0.0");
    world_free(w);
}

/* The next hop is cut at every verb, in both framings; nothing is ever said better than it was. */
static void hop_cut_at_each_point(void **state)
{
    static const char *const points[] = {"220", "EHLO", "STAR", "MAIL", "RCPT", "DATA"};

    (void)state;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct world *w = world_new(60 + i, NULL, NULL, NULL);
        struct actor *a = client_ready(w);
        w->hops[0].cut_at = points[i];
        client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n");
        world_run(w, 130000);
        client_hear(a, "250 2.1.0");
        /* A connection that is cut at STARTTLS has none to give: may goes on in plaintext. */
        client_hear(a, i == 5 || i == 2 ? "250 2.1.5" : "451 4.4.");
        if (i == 5) {
            client_say(a, "DATA\r\n");
            client_hear(a, "451 4.4.2");
        }
        assert_int_equal(w->hops[0].messages, 0);
        assert_int_equal(count(w, COUNTER_MESSAGES_RELAYED), 0);
        assert_next_message_passes(w, a);
        world_free(w);
    }
}

/* The next hop is lost in mid-body: the sender is drained, then hears 451. */
static void hop_lost_in_body(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = world_new(70 + i, NULL, NULL, NULL);
        struct actor *a = client_ready(w);
        if (i == 0)
            client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
        else
            client_say(a,
                       "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 100 LAST\r\n");
        client_hear(a, "250 2.1.0");
        client_hear(a, "250 2.1.5");
        if (i == 0)
            client_hear(a, "354");
        client_say(a, "Subject: x\r\n\r\nfirst\r\n"); /* 21 bytes */
        dp_sim_peer_reset(w->hops[0].actors->peer);
        w->hops[0].actors->closed = true;
        world_run(w, 1000);
        client_hear_nothing(a); /* not before the end of its data */
        if (i == 0)
            client_say(a, "second\r\n.\r\n");
        else
            client_say(
                a,
                "0123456789012345678901234567890123456789012345678901234567890123456789012345678");
        client_hear(a, "451 4.4.2");
        client_say(a, "NOOP\r\n");
        client_hear(a, "250 2.0.0");
        assert_int_equal(w->hops[0].messages, 0);
        world_free(w);
    }
}

/* "we refuse in mid-body: 5yz after its end of data; cut, or RSET between chunks" */
static void we_refuse_in_mid_body(void **state)
{
    static const struct {
        const char *body, *expected;
    } rows[] = {
        {"Subject: x\r\n\r\na\nb\r\n", "554 5.6.0 bare <LF>"},
        {"Subject: x\r\n\r\na\rb\r\n", "554 5.6.0 bare <CR>"},
        {"Subject: x\nTo: y\r\n\r\n", "554 5.6.0 bare <LF>"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *w = world_new(80 + i, NULL, NULL, NULL);
        struct actor *a = client_ready_tls(w);
        client_data(a);
        client_say(a, rows[i].body);
        client_hear_nothing(a);
        client_say(a, "more\r\n.\r\n");
        client_hear(a, rows[i].expected);
        assert_int_equal(w->hops[0].messages, 0);
        assert_true(w->hops[0].actors->closed);
        client_message(a, world_body);
        client_hear(a, "250 2.0.0");
        assert_int_equal(w->hops[0].messages, 1);
        world_free(w);
    }
}

static void size_refused_in_mid_body(void **state)
{
    struct world *w = world_new(85, NULL, NULL, "limits = { max_message = 65536; };");
    struct actor *a = client_ready(w);

    (void)state;
    client_data(a);
    for (unsigned i = 0; i < 100; i++)
        client_say(a, "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                      "0123456789012345678901234567890123456789012345678901234567890123456789\r\n");
    client_hear_nothing(a);
    client_say(a, ".\r\n");
    client_hear(a, "552 5.3.4");
    assert_int_equal(w->hops[0].messages, 0);
    world_free(w);
}

static void loop_is_stopped(void **state)
{
    struct world *w = world_new(86, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    client_data(a);
    for (unsigned i = 0; i < 110; i++)
        client_say(a, "Received: from a by b; x\r\n");
    client_say(a, "\r\nbody\r\n.\r\n");
    client_hear(a, "554 5.4.6");
    assert_int_equal(w->hops[0].messages, 0);
    assert_int_equal(count(w, COUNTER_LOOPS), 1);
    world_free(w);
}

/* A refusal that only shows together with the body's end must not wait for another end. */
static void refused_at_the_very_end(void **state)
{
    struct world *w = world_new(87, NULL, NULL, "limits = { max_header = 16384; };");
    struct actor *a = client_ready(w);
    char text[20100];

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "Subject: ", 9);
    for (size_t i = 70; i + 2 < 20000; i += 72)
        memcpy(text + i, "\r\n ", 3);
    memcpy(text + 20000, "\r\n\r\n.\r\n", 8);
    client_data(a);
    client_say_bytes(a, text, 20007);
    client_hear(a, "552 5.3.4");
    client_say(a, "NOOP\r\n");
    client_hear(a, "250 2.0.0");
    world_free(w);
}

/* "overload: 421 4.3.2, in time, for new sessions first" */
static void overload(void **state)
{
    struct world *w =
        world_new(90, NULL, NULL, "limits = { max_sessions = 3; max_sessions_per_address = 2; };");
    struct actor *a = client_ready(w), *b = client_ready(w), *c;

    (void)state;
    c = client_dial(w);
    client_hear(c, "421 4.3.2");
    client_hear_closed(c);
    c = client_dial_from(w, "192.0.2.201");
    client_hear(c, "220");
    c = client_dial_from(w, "192.0.2.202");
    client_hear(c, "421 4.3.2");
    client_hear_closed(c);
    client_say(a, "QUIT\r\n");
    client_hear(a, "221");
    world_run(w, 1000);
    c = client_dial(w);
    client_hear(c, "220");
    client_message(b, world_body);
    client_hear(b, "250 2.0.0");
    world_free(w);
}

static void drain_lets_transactions_finish(void **state)
{
    struct world *w = world_new(91, NULL, NULL, NULL);
    struct actor *idle = client_ready(w), *busy = client_ready(w);

    (void)state;
    client_data(busy);
    gateway_drain(w->gateway);
    world_run(w, 1000);
    client_hear(idle, "421 4.3.2");
    client_hear_closed(idle);
    assert_false(w->drained);
    client_say(busy, world_body);
    client_say(busy, ".\r\n");
    client_hear(busy, "250 2.0.0");
    client_hear(busy, "421 4.3.2");
    client_hear_closed(busy);
    assert_int_equal(w->hops[0].messages, 1);
    world_run(w, 20000);
    assert_true(w->drained);
    world_free(w);
}

/* After a reload old sessions go on until they end; a later drain still ends what is left. */
static void retirement_lets_sessions_finish(void **state)
{
    struct world *w = world_new(93, NULL, NULL, NULL);
    struct actor *a = client_ready(w), *b = client_ready(w);

    (void)state;
    gateway_retire(w->gateway);
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    client_say(a, "QUIT\r\n");
    client_hear(a, "221");
    client_say(b, "NOOP\r\n");
    client_hear(b, "250 2.0.0");
    assert_false(w->drained);
    gateway_drain(w->gateway);
    world_run(w, 1000);
    client_hear(b, "421 4.3.2");
    client_hear_closed(b);
    assert_true(w->drained);
    world_free(w);
}

static void idle_session_is_closed(void **state)
{
    struct world *w = world_new(92, NULL, NULL, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    world_run(w, 400000);
    client_hear(a, "421 4.4.2");
    client_hear_closed(a);
    world_free(w);
}

/* Random resets anywhere: whatever the sender was told with 250 is at the next hop, and nothing
 * leaks. A seed that fails can be run again alone. */
static void random_resets_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1150; seed++) {
        struct dp_sim_conf sim = {.seed = seed,
                                  .delay_min_ms = 0,
                                  .delay_max_ms = 20,
                                  .fragment_max = 200,
                                  .reset_per_mille = 15,
                                  .wall_us = 1767225600ull * 1000000};
        struct world *w = world_new_sim(&sim, NULL, NULL, NULL);
        unsigned told = 0;
        for (unsigned m = 0; m < 5; m++) {
            struct actor *a = client_dial(w);
            client_say(a, "EHLO c.example\r\n");
            client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
            world_run(w, 3000);
            struct span in = buf_span(&a->in);
            if (!a->closed && in.len && memmem(in.ptr, in.len, "\r\n354", 5)) {
                buf_clear(&a->in);
                client_say(a, world_body);
                client_say(a, ".\r\n");
                world_run(w, 3000);
                in = buf_span(&a->in);
                told += in.len > 3 && memcmp(in.ptr, "250", 3) == 0;
            }
            if (!a->closed)
                dp_sim_peer_reset(a->peer);
            a->closed = true;
            world_run(w, 100000);
        }
        assert_true(w->hops[0].messages >= told);
        world_run(w, 4000000);
        assert_int_equal(count(w, COUNTER_SESSIONS_OPEN), 0);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hop_down),
        cmocka_unit_test(hop_answers_reach_the_sender),
        cmocka_unit_test(hop_refuses_mail),
        cmocka_unit_test(gateway_faults_never_bounce),
        cmocka_unit_test(demanded_tls_not_to_be_had),
        cmocka_unit_test(may_falls_back_to_plaintext),
        cmocka_unit_test(sender_vanishes_in_body),
        cmocka_unit_test(sender_lost_after_final_dot),
        cmocka_unit_test(hop_lost_after_final_dot),
        cmocka_unit_test(hop_cut_at_each_point),
        cmocka_unit_test(hop_lost_in_body),
        cmocka_unit_test(we_refuse_in_mid_body),
        cmocka_unit_test(size_refused_in_mid_body),
        cmocka_unit_test(loop_is_stopped),
        cmocka_unit_test(refused_at_the_very_end),
        cmocka_unit_test(overload),
        cmocka_unit_test(drain_lets_transactions_finish),
        cmocka_unit_test(retirement_lets_sessions_finish),
        cmocka_unit_test(idle_session_is_closed),
        cmocka_unit_test(random_resets_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
