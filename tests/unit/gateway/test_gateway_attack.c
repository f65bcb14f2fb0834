/* SPDX-License-Identifier: Apache-2.0 */
/* What a client or a next hop with bad intent could gain: one test for each hole that was closed.
 */
#include "world.h"

#include <stdio.h>

/* The next hop gives up in mid-body, with and without a cut. The rest of the body is never taken
 * for commands. */
static void rest_of_a_refused_body_is_no_command(void **state)
{
    static const char *const refusals[] = {"421 4.3.2 closing\r\n", "552 5.3.4 too big\r\n",
                                           "250 2.0.0 so soon\r\n", "nonsense\r\n"};

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        struct world *w = world_new(
            i + 1, NULL, "next_hop = \"hop1.example:25\"; tls = { level = \"none\"; };", NULL);
        struct actor *a = client_ready(w);
        client_data(a);
        client_say(a, i & 8 ? "Subject: x\r\n" : "Subject: x\r\n\r\nfirst\r\n");
        struct actor *hop = w->hops[0].actors;
        const char *refusal = refusals[i % 4];
        dp_sim_peer_send(hop->peer, refusal, strlen(refusal));
        if (i & 4) {
            dp_sim_peer_reset(hop->peer);
            hop->closed = true;
        }
        client_say(a, "RSET\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<c@example.org>\r\n");
        client_hear_nothing(a);
        client_say(a, ".\r\nNOOP\r\n");
        client_hear(a, i % 4 == 1 && !(i & 4) ? "552 5.3.4" : i % 4 == 1 ? "" : "451 4.");
        client_hear(a, "250 2.0.0");
        client_hear_nothing(a);
        assert_int_equal(w->hops[0].messages, 0);
        world_free(w);
    }
}

/* A client that reads nothing, and has asked for so many answers of 14 bytes. */
static struct world *world_of_deaf_client(unsigned answers, struct actor **ret)
{
    struct dp_sim_conf sim = {.seed = 5, .window = 1000, .wall_us = 1767225600ull * 1000000};
    struct world *w = world_new_sim(&sim, NULL, NULL, "limits = { max_commands = 1000000; };");

    *ret = client_ready(w);
    dp_sim_peer_hold((*ret)->peer, true);
    for (unsigned i = 0; i < answers; i++) {
        client_send(*ret, "NOOP\r\n", 6);
        if (i % 100 == 0)
            world_run(w, 100);
    }
    world_run(w, 1000);
    return w;
}

/* The final answer does not fit any more: the session ends, and nothing of it stays. */
static void deaf_client_leaves_nothing_behind(void **state)
{
    unsigned fit = 0, step = 16384;
    char reply[1400] = "";
    struct actor *a;
    struct world *w;

    (void)state;
    for (; step >= 16; step /= 2) { /* how many answers fit */
        w = world_of_deaf_client(fit + step, &a);
        fit += counter_sum(w->shared, COUNTER_SESSIONS_OPEN) == 1 ? step : 0;
        world_free(w);
    }
    for (size_t len = 0; len + 100 < sizeof(reply);)
        len += (size_t)snprintf(reply + len, sizeof(reply) - len, "250%c2.0.0 %070u\r\n",
                                len + 200 < sizeof(reply) ? '-' : ' ', 0);
    w = world_of_deaf_client(fit - 16, &a);
    assert_int_equal(counter_sum(w->shared, COUNTER_SESSIONS_OPEN), 1);
    w->hops[0].final_reply = reply;
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    client_say(a, world_body);
    client_say(a, ".\r\n");
    world_run(w, 1000);
    assert_int_equal(w->hops[0].messages, 1);
    assert_int_equal(counter_sum(w->shared, COUNTER_SESSIONS_OPEN), 0);
    assert_int_equal(counter_sum(w->shared, COUNTER_MESSAGES_RELAYED), 1);
    world_free(w);
}

/* A chunk without a recipient is dropped while the next hop is still there; then it is not. */
static void hop_lost_while_a_chunk_is_dropped(void **state)
{
    struct world *w = world_new(7, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].rcpt_reply[0] = "550 5.1.1 no such user\r\n";
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 20\r\n0123456789");
    client_hear(a, "250 2.1.0");
    client_hear(a, "550 5.1.1");
    dp_sim_peer_reset(w->hops[0].actors->peer);
    w->hops[0].actors->closed = true;
    world_run(w, 1000);
    client_hear_nothing(a);
    client_say(a, "0123456789RCPT TO:<c@example.org>\r\n");
    client_hear(a, "451 4.4.2");
    client_hear(a, "451 4.4.2");
    client_say(a, "RSET\r\n");
    client_hear(a, "250 2.0.0");
    w->hops[0].rcpt_reply[0] = NULL;
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    world_free(w);
}

/* limits.session_timeout_s: "it ends between two messages", though not even a message is endless.
 */
static void session_time_ends_between_messages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = world_new(8 + i, NULL, NULL, "limits = { session_timeout_s = 60; };");
        struct actor *a = client_ready(w);
        if (i == 0) { /* commands without a message */
            for (unsigned n = 0; n < 8; n++) {
                world_run(w, 10000);
                client_say(a, "NOOP\r\n");
            }
            for (unsigned n = 0; n < 5; n++)
                client_hear(a, "250 2.0.0");
            client_hear(a, "421 4.4.2");
            client_hear_closed(a);
            world_free(w);
            continue;
        }
        client_data(a);
        for (unsigned n = 0; n < (i == 1 ? 9 : 16) && !a->closed; n++) {
            world_run(w, 9000);
            client_say(a, n == 0 ? "Subject: x\r\n\r\n" : "line\r\n");
        }
        if (i == 1) {
            client_say(a, ".\r\n");
            client_hear(a, "250 2.0.0");
        }
        client_hear(a, "421 4.4.2");
        client_hear_closed(a);
        assert_int_equal(w->hops[0].messages, i == 1);
        assert_int_equal(counter_sum(w->shared, COUNTER_SESSIONS_OPEN), 0);
        world_free(w);
    }
}

static unsigned closed_of(struct actor *const *actors, unsigned len)
{
    unsigned closed = 0;

    for (unsigned i = 0; i < len; i++)
        closed += actors[i]->closed;
    return closed;
}

/* Handshakes that don't go on hold their places until others come that want them: two that may be
 * in flight and two that wait. Sessions that are there go on. */
static void handshakes_are_bounded(void **state)
{
    struct world *w =
        world_new(12, NULL, NULL, "limits = { max_handshakes = 2; handshake_timeout_s = 20; };");
    struct actor *a[5], *other = client_ready(w), *late;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        a[i] = client_ready(w);
    for (unsigned i = 0; i < 5; i++)
        client_send(a[i], "STARTTLS\r\n", 10);
    world_run(w, 100);
    for (unsigned i = 0; i < 5; i++)
        client_hear(a[i], "220 2.0.0");
    assert_int_equal(closed_of(a, 5), 1);
    late = client_dial(w);
    client_hear(late, "421 4.3.2");
    client_hear_closed(late);
    client_message(other, world_body);
    client_hear(other, "250 2.0.0");
    /* The one that began first has had its time. */
    world_run(w, 2000);
    client_starttls(client_ready(w));
    assert_int_equal(closed_of(a, 5), 2);
    /* And so has the next. */
    client_starttls(client_ready(w));
    assert_int_equal(counter_sum(w->shared, COUNTER_TLS_IN_FAILED), 2);
    world_run(w, 22000);
    assert_int_equal(closed_of(a, 5), 5);
    client_starttls(client_ready(w));
    world_free(w);
}

/* From half of the places on, one address gets an eighth of all. */
static void one_address_does_not_get_all_handshakes(void **state)
{
    enum { PLACES = 64, PART = PLACES / 8 };
    struct world *w = world_new(14, NULL, NULL, "limits = { max_handshakes = 32; };");
    struct actor *a[PLACES / 2 + 1], *b[PART + 1];

    (void)state;
    for (unsigned i = 0; i < PLACES / 2 + 1; i++)
        a[i] = client_ready(w);
    for (unsigned i = 0; i < PART + 1; i++) {
        b[i] = client_dial_from(w, "192.0.2.77");
        client_hear(b[i], "220 gw.example.org");
        client_say(b[i], "EHLO client.example.net\r\n");
        client_hear(b[i], "250-gw.example.org");
    }
    for (unsigned i = 0; i < PLACES / 2 + 1; i++)
        client_send(a[i], "STARTTLS\r\n", 10);
    world_run(w, 100);
    assert_int_equal(closed_of(a, PLACES / 2 + 1), 1);
    client_hear(client_dial(w), "421 4.3.2");
    for (unsigned i = 0; i < PART + 1; i++)
        client_send(b[i], "STARTTLS\r\n", 10);
    world_run(w, 100);
    assert_int_equal(closed_of(b, PART + 1), 1);
    client_hear(client_dial_from(w, "192.0.2.78"), "220 gw.example.org");
    world_free(w);
}

static void deaf_received(void *user, struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
}

static void deaf_closed(void *user, struct dp_sim_peer *peer, bool reset)
{
}

static const struct dp_sim_peer_events deaf_events = {NULL, deaf_received, deaf_closed};

/* Refused clients that keep their end open take no place that mail needs. */
static void refused_clients_do_not_fill_the_table(void **state)
{
    struct world *w = world_new(13, NULL, NULL, "limits = { max_sessions_per_address = 1; };");
    struct actor *a = client_ready(w);
    struct dp_counters now;
    union net_addr from;

    (void)state;
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.200"), 40001, &from), ERR_OK);
    for (unsigned i = 0; i < 100; i++) {
        assert_non_null(dp_sim_dial(w->dp, &from, &w->listen, &deaf_events, NULL));
        world_run(w, 10);
    }
    dp_counters(w->dp, &now);
    assert_true(now.legs < WORLD_LEGS / 4);
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    assert_int_equal(counter_sum(w->shared, COUNTER_SESSIONS_REFUSED), 100);
    world_run(w, 60000);
    dp_counters(w->dp, &now);
    assert_true(now.legs <= 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_of_a_refused_body_is_no_command),
        cmocka_unit_test(deaf_client_leaves_nothing_behind),
        cmocka_unit_test(hop_lost_while_a_chunk_is_dropped),
        cmocka_unit_test(session_time_ends_between_messages),
        cmocka_unit_test(handshakes_are_bounded),
        cmocka_unit_test(one_address_does_not_get_all_handshakes),
        cmocka_unit_test(refused_clients_do_not_fill_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
