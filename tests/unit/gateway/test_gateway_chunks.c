/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA that goes out in chunks (route setting data_to_bdat): does the message arrive as it was
 * sent, in how many chunks, and what does the sender hear where one is refused?
 */
#include "world.h"

#include "received.h"

#include <stdio.h>
#include <stdlib.h>

static const char route[] =
    "next_hop = \"hop1.example:25\"; tls = { level = \"may\"; }; data_to_bdat = true;";

static const char unstuffed[] = "From: a@example.net\r\nMessage-ID: <m1@example.net>\r\n"
                                "Subject: x\r\n\r\none line\r\n.two\r\nlast\r\n";

static void assert_arrived(struct hop_double *h, const char *expected, size_t len)
{
    struct span m = buf_span(&h->message);

    assert_true(span_starts_nocase(m, SPAN_LIT("Received: from ")));
    assert_true(m.len > len && m.len - len < SMTP_RECEIVED_MAX);
    assert_memory_equal(m.ptr + m.len - len, expected, len);
    assert_memory_equal(m.ptr + m.len - len - 2, "\r\n", 2);
}

static bool said(const struct hop_double *h, const char *command)
{
    struct span all = buf_span(&h->commands);

    return all.len > 0 && memmem(all.ptr, all.len, command, strlen(command));
}

static char *make_large(size_t len)
{
    char *text = malloc(len + 64);
    size_t at = (size_t)snprintf(text, len + 64, "Subject: large\r\n\r\n");

    assert_non_null(text);
    for (unsigned i = 0; at + 64 < len; i++)
        at += (size_t)snprintf(text + at, 64, "%08u %s\r\n", i, "the quick brown fox jumps over");
    return text;
}

static void a_small_message_is_one_chunk(void **state)
{
    struct world *w = world_new(1, NULL, route, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        client_message(a, world_body);
        client_hear(a, "250 2.0.0 queued");
        assert_int_equal(w->hops[0].chunks, i);
        assert_int_equal(w->hops[0].messages, i);
        assert_arrived(&w->hops[0], unstuffed, sizeof(unstuffed) - 1);
    }
    assert_false(said(&w->hops[0], "DATA"));
    assert_int_equal(w->hops[0].connections, 1);
    world_free(w);
}

static void without_chunking_it_stays_data(void **state)
{
    struct world *w = world_new(2, NULL, route, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    w->hops[0].no_chunking = true;
    client_message(a, world_body);
    client_hear(a, "250 2.0.0 queued");
    assert_true(said(&w->hops[0], "DATA"));
    assert_int_equal(w->hops[0].chunks, 0);
    assert_arrived(&w->hops[0], unstuffed, sizeof(unstuffed) - 1);
    world_free(w);
}

static void without_a_recipient_nothing_is_said(void **state)
{
    struct world *w = world_new(3, NULL, route, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].rcpt_reply[0] = "550 5.1.1 nobody\r\n";
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    client_hear(a, "250 2.1.0");
    client_hear(a, "550 5.1.1");
    client_hear(a, "554 5.5.1");
    w->hops[0].rcpt_reply[0] = NULL;
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    assert_int_equal(w->hops[0].chunks, 1);
    world_free(w);
}

/* It arrives in so many chunks, with and without pipelining, and the session goes on. */
static void arrives_in_chunks(const char *text, unsigned seed, unsigned least, unsigned most)
{
    for (unsigned pipelining = 0; pipelining < 2; pipelining++) {
        struct world *w = world_new(seed + pipelining, NULL, route, NULL);
        struct actor *a = client_ready_tls(w);
        w->hops[0].no_pipelining = !pipelining;
        client_message(a, text);
        world_run(w, 60000);
        client_hear(a, "250 2.0.0 queued");
        assert_arrived(&w->hops[0], text, strlen(text));
        assert_in_range(w->hops[0].chunks, least, most);
        client_say(a, "NOOP\r\nQUIT\r\n");
        client_hear(a, "250 2.0.0");
        client_hear(a, "221");
        world_free(w);
    }
}

static void a_large_message_is_a_few(void **state)
{
    char *text = make_large(500000);

    (void)state;
    arrives_in_chunks(text, 4, 2, 10);
    free(text);
}

/* A header that is larger than what waits goes ahead of the rest. */
static void a_long_header(void **state)
{
    char *text = malloc(210000);
    size_t at = 0;

    (void)state;
    assert_non_null(text);
    while (at < 200000)
        at += (size_t)snprintf(text + at, 64, "X-Filler-%06zu: some text\r\n", at);
    snprintf(text + at, 64, "\r\nbody\r\n");
    arrives_in_chunks(text, 6, 4, 9);
    free(text);
}

/* Its answer comes while later ones are on their way: the rest of the body is read and dropped, and
 * the connection to the next hop is good for the next message. */
static void a_refused_chunk(void **state)
{
    char *text = make_large(500000);

    (void)state;
    for (unsigned pipelining = 0; pipelining < 2; pipelining++) {
        struct world *w = world_new(8 + pipelining, NULL, route, NULL);
        struct actor *a = client_ready_tls(w);
        w->hops[0].no_pipelining = !pipelining;
        w->hops[0].chunk_reply = "452 4.3.1 no room\r\n";
        client_message(a, text);
        world_run(w, 60000);
        client_hear(a, "452 4.3.1 no room");
        assert_int_equal(w->hops[0].messages, 0);
        w->hops[0].chunk_reply = NULL;
        client_message(a, world_body);
        client_hear(a, "250 2.0.0 queued");
        assert_int_equal(w->hops[0].messages, 1);
        assert_arrived(&w->hops[0], unstuffed, sizeof(unstuffed) - 1);
        world_free(w);
    }
    free(text);
}

/* We refuse in mid-body: RSET between chunks, and never a last one. */
static void we_refuse(void **state)
{
    char *text = make_large(500000);

    (void)state;
    memcpy(text + 300000, "a\nb", 3);
    struct world *w = world_new(10, NULL, route, NULL);
    struct actor *a = client_ready_tls(w);
    client_message(a, text);
    world_run(w, 10000);
    client_hear(a, "554 5.6.0");
    assert_int_equal(w->hops[0].messages, 0);
    assert_false(said(&w->hops[0], "LAST"));
    assert_int_equal(w->hops[0].rsets, 1);
    client_message(a, world_body);
    client_hear(a, "250 2.0.0 queued");
    assert_int_equal(w->hops[0].connections, 1);
    world_free(w);
    free(text);
}

/* The last chunk is refused, or its answer is lost. */
static void the_last_answer(void **state)
{
    static const struct {
        const char *reply, *cut, *hear;
    } cases[] = {{"550 5.7.1 spam\r\n", NULL, "550 5.7.1 spam"},
                 {"421 4.3.2 bye\r\n", NULL, "451 4.3.2"},
                 {NULL, ".", "451 4.4.2"}};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = world_new(20 + i, NULL, route, NULL);
        struct actor *a = client_ready_tls(w);
        w->hops[0].final_reply = cases[i].reply;
        w->hops[0].cut_at = cases[i].cut;
        client_message(a, world_body);
        client_hear(a, cases[i].hear);
        client_say(a, "NOOP\r\n");
        client_hear(a, "250 2.0.0");
        world_free(w);
    }
}

/* The sender vanishes: nothing is complete. */
static void the_sender_vanishes(void **state)
{
    char *text = make_large(500000);

    (void)state;
    for (size_t sent = 1000; sent < 500000; sent += 60000) {
        struct world *w = world_new(sent, NULL, route, NULL);
        struct actor *a = client_ready_tls(w);
        client_data(a);
        client_send(a, text, sent);
        world_run(w, 20000);
        dp_sim_peer_reset(a->peer);
        world_run(w, 300000);
        assert_int_equal(w->hops[0].messages, 0);
        assert_false(said(&w->hops[0], "LAST"));
        world_free(w);
    }
    free(text);
}

/* A next hop that takes chunks and answers none. */
static void silence(void **state)
{
    char *text = make_large(500000);
    struct world *w = world_new(30, NULL, route, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    w->hops[0].no_pipelining = true;
    w->hops[0].silent_at = "BDAT+";
    client_message(a, text);
    world_run(w, 100000);
    client_hear(a, "451 4.4.2");
    assert_int_equal(w->hops[0].chunks, 1);
    client_say(a, "NOOP\r\n");
    client_hear(a, "250 2.0.0");
    world_free(w);
    free(text);
}

/* A next hop that stops reading while control still has the body, its end too: that is no reason to
 * wait until the session's own end, whatever the sizes of what is sent and what waits. */
static void a_next_hop_that_stops_reading(void **state)
{
    enum { STEP = 8 * 1024, LEAST = 240 * 1024, MOST = 400 * 1024, PATIENCE_MS = 600 * 1000 };
    char *text = malloc(MOST + 128), reply[512];

    (void)state;
    assert_non_null(text);
    for (size_t size = LEAST; size < MOST; size += STEP) {
        struct world *w = world_new(size, NULL, route, "limits: { max_header = 1000000; };");
        struct actor *a = client_ready(w);
        size_t at = 0;
        while (at < size)
            at += (size_t)snprintf(text + at, 64, "X-Filler-%06zu: some text\r\n", at);
        snprintf(text + at, 64, "\r\nbody\r\n.\r\n");
        client_data(a);
        assert_non_null(w->hops[0].actors);
        dp_sim_peer_hold(w->hops[0].actors->peer, true);
        client_say(a, text);
        world_run(w, PATIENCE_MS);
        if (!client_reply(a, reply, sizeof(reply)))
            fail_msg("%zu bytes: no answer in %d s", size, PATIENCE_MS / 1000);
        assert_int_equal(reply[0], '4');
        assert_int_equal(w->hops[0].messages, 0);
        world_free(w);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_message_is_one_chunk),
        cmocka_unit_test(without_chunking_it_stays_data),
        cmocka_unit_test(without_a_recipient_nothing_is_said),
        cmocka_unit_test(a_large_message_is_a_few),
        cmocka_unit_test(a_long_header),
        cmocka_unit_test(a_refused_chunk),
        cmocka_unit_test(we_refuse),
        cmocka_unit_test(the_last_answer),
        cmocka_unit_test(the_sender_vanishes),
        cmocka_unit_test(silence),
        cmocka_unit_test(a_next_hop_that_stops_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
