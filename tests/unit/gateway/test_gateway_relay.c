/* SPDX-License-Identifier: Apache-2.0 */
/* Whole messages from a client to a next hop, over the simulated dataplane. */
#include "world.h"

#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What the next hop got, without the line that we put in front. */
static struct span after_received(struct hop_double *h)
{
    struct span m = buf_span(&h->message);
    size_t at = 0;

    assert_true(span_starts_nocase(m, SPAN_LIT("Received: from ")));
    do {
        const uint8_t *end = memmem(m.ptr + at, m.len - at, "\r\n", 2);
        assert_non_null(end);
        at = (size_t)(end - m.ptr) + 2;
    } while (at < m.len && (m.ptr[at] == ' ' || m.ptr[at] == '\t'));
    return span_from(m, at);
}

static void assert_got(struct hop_double *h, const char *expected)
{
    struct span got = after_received(h);

    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.ptr, expected, got.len);
}

static const char small_unstuffed[] = "From: a@example.net\r\nMessage-ID: <m1@example.net>\r\n"
                                      "Subject: x\r\n\r\none line\r\n.two\r\nlast\r\n";

static void plain_to_tls(void **state)
{
    struct world *w = world_new(1, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    assert_int_equal(w->hops[0].messages, 1);
    assert_int_equal(w->hops[0].starttls, 1);
    assert_false(w->hops[0].mail_in_plaintext);
    assert_got(&w->hops[0], small_unstuffed);
    client_say(a, "QUIT\r\n");
    client_hear(a, "221 2.0.0");
    client_hear_closed(a);
    world_free(w);
}

static void tls_to_tls(void **state)
{
    struct world *w = world_new(2, NULL, NULL, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    for (unsigned i = 1; i <= 5; i++) {
        client_message(a, world_body);
        client_hear(a, "250 2.0.0");
        assert_int_equal(w->hops[0].messages, i);
        assert_got(&w->hops[0], small_unstuffed);
    }
    assert_int_equal(w->hops[0].connections, 1); /* the pool's leg was used again */
    assert_non_null(memmem(w->hops[0].message.data, buf_len(&w->hops[0].message), "TLS1.3", 6));
    world_free(w);
}

/* The log is a pipe meanwhile. */
static void a_sender_is_told_what_the_log_has(void **state)
{
    struct world *w = world_new(4, NULL, NULL, NULL);
    struct actor *a = client_ready(w);
    char got[4096];
    int fds[2], kept = dup(STDERR_FILENO);

    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    client_data(a);
    log_collect();
    assert_true(kept >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
    client_say(a, world_body);
    client_say(a, ".\r\n");
    ssize_t n = read(fds[0], got, sizeof(got));
    dup2(kept, STDERR_FILENO);
    assert_true(n > 0 && memmem(got, (size_t)n, "result=relayed", 14));
    client_hear(a, "250 2.0.0");
    close(kept);
    close(fds[0]);
    close(fds[1]);
    world_free(w);
    log_flush();
}

static void implicit_tls(void **state)
{
    struct world *w = world_new(3, "tls = \"implicit\";", NULL, NULL);
    struct actor *a = client_dial(w);

    (void)state;
    client_hear_nothing(a);
    client_implicit(a);
    client_hear(a, "220 gw.example.org");
    client_say(a, "EHLO client.example.net\r\n");
    client_hear(a, "250-gw.example.org");
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    assert_got(&w->hops[0], small_unstuffed);
    world_free(w);
}

static char *make_large(size_t lines, size_t *ret_len)
{
    size_t room = lines * 80 + 200, at = 0;
    char *text = malloc(room);

    assert_non_null(text);
    at += (size_t)snprintf(text, room, "Subject: large\r\n\r\n");
    for (size_t i = 0; i < lines; i++)
        at += (size_t)snprintf(text + at, room - at, "%08zu %-60.*s\r\n", i, (int)(i % 60),
                               "the quick brown fox jumps over the lazy dog and then some more");
    *ret_len = at;
    return text;
}

static void large_by_data_and_by_bdat(void **state)
{
    struct world *w = world_new(4, NULL, NULL, NULL);
    struct actor *a = client_ready_tls(w);
    size_t len;
    char *text = make_large(20000, &len), line[64];

    (void)state;
    client_message(a, text);
    world_run(w, 60000);
    client_hear(a, "250 2.0.0");
    assert_got(&w->hops[0], text);

    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n");
    client_hear(a, "250 2.1.0");
    client_hear(a, "250 2.1.5");
    snprintf(line, sizeof(line), "BDAT %zu\r\n", len / 2);
    client_say(a, line);
    client_say_bytes(a, text, len / 2);
    world_run(w, 60000);
    client_hear(a, "250 2.0.0");
    snprintf(line, sizeof(line), "BDAT %zu LAST\r\n", len - len / 2);
    client_say(a, line);
    client_say_bytes(a, text + len / 2, len - len / 2);
    world_run(w, 60000);
    client_hear(a, "250 2.0.0");
    assert_int_equal(w->hops[0].messages, 2);
    assert_got(&w->hops[0], text);
    free(text);
    world_free(w);
}

/* RFC 3030: a chunked message towards a next hop without CHUNKING goes out as DATA, dots stuffed.
 */
static void bdat_goes_out_as_data(void **state)
{
    struct world *w = world_new(5, NULL, NULL, NULL);
    struct actor *a = client_ready(w);

    (void)state;
    w->hops[0].no_chunking = true;
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"
                  "BDAT 14\r\nSubject: x\r\n\r\nBDAT 9\r\n.one\r\n.\r\nBDAT 3 LAST\r\nend");
    client_hear(a, "250 2.1.0");
    client_hear(a, "250 2.1.5");
    client_hear(a, "250 2.0.0");
    client_hear(a, "250 2.0.0");
    client_hear(a, "250 2.0.0");
    assert_int_equal(w->hops[0].messages, 1);
    assert_got(&w->hops[0], "Subject: x\r\n\r\n.one\r\n.\r\nend\r\n");
    world_free(w);
}

static void whole_message_in_one_write(void **state)
{
    struct world *w = world_new(6, NULL, NULL, NULL);
    struct actor *a = client_ready_tls(w);

    (void)state;
    /* A second transaction is pipelined behind the first one's body: RFC 2920 allows it. */
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"
                  "BDAT 14\r\nSubject: x\r\n\r\nBDAT 2 LAST\r\nx\n"
                  "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"
                  "BDAT 14 LAST\r\nSubject: y\r\n\r\nQUIT\r\n");
    client_hear(a, "250 2.1.0");
    client_hear(a, "250 2.1.5");
    client_hear(a, "250 2.0.0");
    client_hear(a, "250 2.0.0");
    client_hear(a, "250 2.1.0");
    client_hear(a, "250 2.1.5");
    client_hear(a, "250 2.0.0");
    client_hear(a, "221 2.0.0");
    client_hear_closed(a);
    assert_int_equal(w->hops[0].messages, 2);
    assert_got(&w->hops[0], "Subject: y\r\n\r\n");
    world_free(w);
}

/* The session's id and facts stand in our Received line. */
static void received_line_says_what_is_known(void **state)
{
    struct world *w = world_new(7, NULL, NULL, NULL);
    struct span m;

    (void)state;
    w->ptr.status = DNS_OK;
    snprintf(w->ptr.name, sizeof(w->ptr.name), "client.example.net");
    struct actor *a = client_ready_tls(w);
    client_message(a, world_body);
    client_hear(a, "250 2.0.0");
    m = buf_span(&w->hops[0].message);
    static const char *const parts[] = {
        "from client.example.net (client.example.net [192.0.2.200])",
        "by gw.example.org (postern)",
        "with ESMTPS",
        "TLS_AES_128_GCM_SHA256",
        "for <b@example.org>",
        "1 Jan 2026 00:00:"};
    char flat[SMTP_RECEIVED_MAX];
    size_t n = 0;
    for (size_t i = 0; i < m.len && n + 1 < sizeof(flat); i++) { /* unfolded */
        if (m.ptr[i] == '\r' || m.ptr[i] == '\n')
            continue;
        char c = m.ptr[i] == '\t' ? ' ' : (char)m.ptr[i];
        if (c == ' ' && n > 0 && flat[n - 1] == ' ')
            continue;
        flat[n++] = c;
    }
    flat[n] = '\0';
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!strstr(flat, parts[i]))
            fail_msg("\"%s\" is not in: %s", parts[i], flat);
    }
    world_free(w);
}

/* Every seed gives another fragmentation and order of events, and the same mail. */
static void any_seed_gives_the_same_mail(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 160; seed++) {
        struct dp_sim_conf sim = {.seed = seed,
                                  .delay_min_ms = 0,
                                  .delay_max_ms = seed % 50,
                                  .fragment_max = 1 + (uint32_t)(seed % 40),
                                  .window = 512,
                                  .wall_us = 1767225600ull * 1000000};
        struct world *w = world_new_sim(&sim, NULL, NULL, NULL);
        struct actor *a = client_dial(w);
        world_run(w, 20000);
        client_hear(a, "220");
        client_say(a, "EHLO c.example\r\n");
        world_run(w, 20000);
        client_hear(a, "250-");
        client_say(a, "STARTTLS\r\n");
        world_run(w, 20000);
        client_hear(a, "220");
        client_handshake(a);
        world_run(w, 60000);
        client_say(a, "EHLO c.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"
                      "DATA\r\n");
        world_run(w, 60000);
        client_hear(a, "250-");
        client_hear(a, "250 2.1.0");
        client_hear(a, "250 2.1.5");
        client_hear(a, "354");
        client_say(a, world_body);
        client_say(a, ".\r\nQUIT\r\n");
        world_run(w, 60000);
        client_hear(a, "250 2.0.0");
        client_hear(a, "221");
        assert_got(&w->hops[0], small_unstuffed);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_to_tls),
        cmocka_unit_test(tls_to_tls),
        cmocka_unit_test(a_sender_is_told_what_the_log_has),
        cmocka_unit_test(implicit_tls),
        cmocka_unit_test(large_by_data_and_by_bdat),
        cmocka_unit_test(bdat_goes_out_as_data),
        cmocka_unit_test(whole_message_in_one_write),
        cmocka_unit_test(received_line_says_what_is_known),
        cmocka_unit_test(any_seed_gives_the_same_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
