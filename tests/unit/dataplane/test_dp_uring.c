/* SPDX-License-Identifier: Apache-2.0 */
/* The io_uring transport, over kernel TCP on loopback. */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct lab_tls kinds[] = {
    {false, 0, 0},
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct dp_conf crossing = {.max_legs = 16, .max_relays = 4};

static void bodies_cross(void **state)
{
    for (size_t pair = 0; pair < KINDS * KINDS; pair++) {
        const size_t sizes[] = {5, 4096, bridge_large((unsigned)pair)};
        for (size_t s = 0; s < 3; s++)
            bridge_whole(&crossing, &kinds[pair / KINDS], &kinds[pair % KINDS], sizes[s],
                         pair % 4 == 3 ? 1400 : 16384, (unsigned)pair);
    }
}

/* A body that does not get to its end never looks complete at the server. */
static void one_side_is_killed(void **state)
{
    static const size_t places[] = {0, 1000, 100000, 2500000};
    uint8_t *body = body_with_end(3000000);

    for (unsigned round = 0; round < 32; round++) {
        struct far client = {.body = body, .len = 3000000, .record = 16384, .seed = round};
        struct far server = {.seed = round};
        struct far *killed = round % 2 ? &server : &client;
        struct bridge bridge;
        killed->kill = round / 2 % 2 ? KILL_RESET : KILL_FIN;
        killed->kill_at = places[round / 4 % 4];
        const struct lab_tls *kind = &kinds[round / 16];
        bridge_cross(&crossing, kind, kind, &client, &server, &bridge);
        assert_int_equal(bridge.done, 1);
        if (round % 2 == 0) {
            assert_int_equal(bridge.end, DP_RELAY_FROM_LOST);
            assert_true(buf_len(&server.text) < 3000000);
            assert_false(server.close_notify);
        } else if (bridge.end != DP_RELAY_DONE) { /* the kernel may have taken the whole body */
            assert_int_equal(bridge.end, DP_RELAY_TO_LOST);
        }
        far_free(&client);
        far_free(&server);
    }
    free(body);
}

/* What events count. */
struct tally {
    struct dp *dp;
    unsigned accepted, connected, received, lost, writable, ready;
    int error;
    struct leg_id leg;
    union net_addr peer, local;
};

static void tally_accepted(void *user, unsigned listener, struct leg_id leg,
                           const union net_addr *peer, const union net_addr *local)
{
    struct tally *tally = user;

    tally->accepted++;
    tally->leg = leg;
    tally->peer = *peer;
    tally->local = *local;
}

static void tally_connected(void *user, struct leg_id leg, int error)
{
    struct tally *tally = user;

    tally->connected++;
    tally->error = error;
}

static size_t tally_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    struct tally *tally = user;

    tally->received++;
    if (dp_send(tally->dp, leg, data, len) != ERR_OK)
        tally->error = 1;
    return len;
}

static void tally_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    struct tally *tally = user;

    tally->lost++;
    (void)dp_close(tally->dp, leg, DP_CLOSE_FLUSH);
}

static void tally_writable(void *user, struct leg_id leg)
{
    struct tally *tally = user;

    tally->writable++;
}

static const struct dp_events tally_events = {.accepted = tally_accepted,
                                              .connected = tally_connected,
                                              .received = tally_received,
                                              .lost = tally_lost,
                                              .writable = tally_writable};

static void turns(struct dp *dp, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(dp_turn(dp, 5), ERR_OK);
}

/* A kernel gives only some completions a call. */
static void turns_until(struct dp *dp, const unsigned *count, unsigned wanted)
{
    for (unsigned i = 0; i < 2000 && *count < wanted; i++)
        assert_int_equal(dp_turn(dp, 5), ERR_OK);
    assert_int_equal(*count, wanted);
    turns(dp, 1);
}

/* The answer has left the ring, and on a busy machine is not yet at the other end. */
static ssize_t answer_take(struct dp *dp, int fd, void *room, size_t size)
{
    ssize_t n = recv(fd, room, size, MSG_DONTWAIT);

    for (unsigned i = 0; i < 400 && n < 0 && errno == EAGAIN; i++) {
        turns(dp, 1);
        n = recv(fd, room, size, MSG_DONTWAIT);
    }
    return n;
}

static uint32_t legs_now(struct dp *dp)
{
    struct dp_counters counters;

    dp_counters(dp, &counters);
    return counters.legs;
}

/* The limit that a shell gives is too low for both ends of many sessions. */
static void descriptors_allow(void)
{
    struct rlimit limit;

    ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    ASSERT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void many_sessions_echo(void **state)
{
    enum { SESSIONS = 600 };
    const struct dp_conf conf = {.max_legs = SESSIONS, .max_relays = 1};
    struct tally tally = {0};
    static int fds[SESSIONS];
    uint16_t port;
    int listener = loopback_listen(&port);

    descriptors_allow();
    assert_int_equal(dp_uring_new(&conf, &tally_events, &tally, &tally.dp), ERR_OK);
    assert_int_equal(dp_listen(tally.dp, listener, 1), ERR_OK);
    for (int i = 0; i < SESSIONS; i++) {
        fds[i] = loopback_connect(port);
        if (i % 20 == 0)
            turns(tally.dp, 1);
    }
    turns_until(tally.dp, &tally.accepted, SESSIONS);
    for (int round = 0; round < 5; round++) {
        char text[32];
        for (int i = 0; i < SESSIONS; i++) {
            int n = snprintf(text, sizeof(text), "NOOP %d %d\r\n", round, i);
            assert_true(write_all(fds[i], (const uint8_t *)text, (size_t)n));
        }
        turns_until(tally.dp, &tally.received, SESSIONS * (unsigned)(round + 1));
        for (int i = 0; i < SESSIONS; i++) {
            char answer[64];
            int n = snprintf(text, sizeof(text), "NOOP %d %d\r\n", round, i);
            assert_int_equal(answer_take(tally.dp, fds[i], answer, sizeof(answer)), n);
            assert_memory_equal(answer, text, (size_t)n);
        }
    }
    /* The table is full: one more is turned away, and taken once there is room. */
    int extra = loopback_connect(port);
    char byte;
    assert_int_equal(answer_take(tally.dp, extra, &byte, 1), 0);
    close(extra);
    for (int i = 0; i < SESSIONS; i++)
        close(fds[i]);
    turns_until(tally.dp, &tally.lost, SESSIONS);
    for (int i = 0; i < 1000 && legs_now(tally.dp) > 0; i++)
        turns(tally.dp, 1);
    assert_int_equal(legs_now(tally.dp), 0);
    assert_int_equal(tally.error, 0);
    assert_int_equal(dp_unlisten(tally.dp, 1), ERR_OK);
    assert_int_equal(dp_unlisten(tally.dp, 1), ERR_NOTFOUND);
    dp_free(tally.dp);
    close(listener);
}

/* Accepts a client whose socket takes little at once. */
static int slow_client(struct tally *tally, int listener, uint16_t port)
{
    const int small = 4096;
    unsigned before = tally->accepted;

    ASSERT(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
    int fd = loopback_connect(port);
    turns_until(tally->dp, &tally->accepted, before + 1);
    return fd;
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

/* Sends as much as the output takes, a turn after each. */
static size_t fill_output(struct dp *dp, struct leg_id leg)
{
    uint8_t piece[1500];
    size_t at = 0;

    for (;;) {
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = pattern(at + i);
        int err = dp_send(dp, leg, piece, sizeof(piece));
        if (err == ERR_FULL)
            return at;
        assert_int_equal(err, ERR_OK);
        at += sizeof(piece);
        assert_int_equal(dp_turn(dp, 0), ERR_OK);
    }
}

/* A full socket loses nothing, repeats nothing, and holds up nobody else. */
static void a_full_socket_gets_it_all(void **state)
{
    const struct dp_conf conf = {.max_legs = 8, .max_relays = 1};
    struct tally tally = {0};
    uint16_t port;
    int listener = loopback_listen(&port);
    uint8_t got[4096], text[8] = {0};

    assert_int_equal(dp_uring_new(&conf, &tally_events, &tally, &tally.dp), ERR_OK);
    assert_int_equal(dp_listen(tally.dp, listener, 1), ERR_OK);
    int slow = slow_client(&tally, listener, port);
    struct leg_id leg = tally.leg;
    int other = slow_client(&tally, listener, port);
    size_t sent = fill_output(tally.dp, leg), at = 0;
    assert_true(sent > DP_OUTPUT_MAX / 2);
    assert_true(write_all(other, (const uint8_t *)"NOOP\r\n", 6));
    turns_until(tally.dp, &tally.received, 1);
    assert_int_equal(answer_take(tally.dp, other, text, sizeof(text)), 6);
    assert_memory_equal(text, "NOOP\r\n", 6);
    for (unsigned i = 0; i < 100000 && at < sent; i++) {
        ssize_t n = recv(slow, got, sizeof(got), MSG_DONTWAIT);
        for (ssize_t k = 0; k < n; k++)
            assert_int_equal(got[k], pattern(at + (size_t)k));
        at += n > 0 ? (size_t)n : 0;
        turns(tally.dp, 1);
    }
    assert_int_equal(at, sent);
    assert_int_equal(tally.writable, 1);
    assert_int_equal(dp_pending(tally.dp, leg), 0);
    /* And from then on as before. */
    assert_int_equal(dp_send(tally.dp, leg, "250\r\n", 5), ERR_OK);
    assert_int_equal(answer_take(tally.dp, slow, got, sizeof(got)), 5);
    dp_free(tally.dp);
    close(slow);
    close(other);
    close(listener);
}

struct waits {
    struct dp *dp;
    struct leg_id leg;
    struct dp_timer give_up;
    bool full, writable;
};

/* More than the output holds, so that the end of its send is what the rest waits for. */
static void waits_accepted(void *user, unsigned listener, struct leg_id leg,
                           const union net_addr *peer, const union net_addr *local)
{
    static const uint8_t piece[DP_OUTPUT_MAX - 8];
    struct waits *waits = user;

    waits->leg = leg;
    assert_int_equal(dp_send(waits->dp, leg, piece, 4096), ERR_OK);
    waits->full = dp_send(waits->dp, leg, piece, sizeof(piece)) == ERR_FULL;
}

static void waits_writable(void *user, struct leg_id leg)
{
    struct waits *waits = user;

    waits->writable = true;
    dp_stop(waits->dp);
}

static void waits_too_long(void *user, struct dp_timer *timer)
{
    struct waits *waits = user;

    dp_stop(waits->dp);
}

/* What waits for the end of a send does not wait for another event. */
static void the_end_of_a_send_is_seen(void **state)
{
    static const struct dp_events events = {.accepted = waits_accepted, .writable = waits_writable};
    const struct dp_conf conf = {.max_legs = 8, .max_relays = 1};
    struct waits waits = {.give_up = {.fire = waits_too_long, .user = &waits}};
    uint16_t port;
    int listener = loopback_listen(&port);

    assert_int_equal(dp_uring_new(&conf, &events, &waits, &waits.dp), ERR_OK);
    assert_int_equal(dp_listen(waits.dp, listener, 1), ERR_OK);
    int fd = loopback_connect(port);
    assert_int_equal(dp_timer_start(waits.dp, &waits.give_up, 10000), ERR_OK);
    assert_int_equal(dp_run(waits.dp), ERR_OK);
    assert_true(waits.full && waits.writable);
    dp_timer_stop(waits.dp, &waits.give_up);
    dp_free(waits.dp);
    close(fd);
    close(listener);
}

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof(name);

    ASSERT(getsockname(fd, (struct sockaddr *)&name, &len) == 0);
    return name;
}

static void same_name(const union net_addr *a, const struct sockaddr_in *name)
{
    assert_int_equal(a->any.sa_family, AF_INET);
    assert_int_equal(a->v4.sin_addr.s_addr, name->sin_addr.s_addr);
    assert_int_equal(a->v4.sin_port, name->sin_port);
}

/* Both addresses of a connection are told, whether the listener has one or all of them. */
static void addresses_are_told(void **state)
{
    const struct dp_conf conf = {.max_legs = 8, .max_relays = 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000003)};
    struct sockaddr_in6 all = {.sin6_family = AF_INET6};
    struct tally tally = {0};
    uint16_t port;
    int one = loopback_listen(&port), dual = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(dp_uring_new(&conf, &tally_events, &tally, &tally.dp), ERR_OK);
    assert_int_equal(dp_listen(tally.dp, one, 1), ERR_OK);
    int client = loopback_connect(port);
    turns_until(tally.dp, &tally.accepted, 1);
    struct sockaddr_in near = name_of(client), far = name_of(one);
    same_name(&tally.peer, &near);
    same_name(&tally.local, &far);
    close(client);
    assert_true(dual >= 0 && bind(dual, (struct sockaddr *)&all, sizeof(all)) == 0);
    assert_int_equal(listen(dual, 8), 0);
    socklen_t len = sizeof(all);
    assert_int_equal(getsockname(dual, (struct sockaddr *)&all, &len), 0);
    assert_int_equal(dp_listen(tally.dp, dual, 2), ERR_OK);
    to.sin_port = all.sin6_port;
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    turns_until(tally.dp, &tally.accepted, 2);
    near = name_of(client);
    same_name(&tally.peer, &near);
    same_name(&tally.local, &to);
    close(client);
    dp_free(tally.dp);
    close(one);
    close(dual);
}

/* An echo, and whether its far end has a byte of it when a turn's events were told. */
struct turned {
    struct tally tally; /* first: the events are its own */
    int far;
    unsigned told, too_late;
};

static void turned_look(void *user)
{
    struct turned *turned = user;
    char byte;

    if (turned->told == turned->tally.received)
        return;
    turned->told = turned->tally.received;
    turned->too_late += recv(turned->far, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void a_turn_is_told_before_its_bytes_go_out(void **state)
{
    const struct dp_conf conf = {.max_legs = 4, .max_relays = 1};
    struct dp_events events = tally_events;
    struct turned turned = {.far = -1};
    uint16_t port;
    int listener = loopback_listen(&port);

    events.turned = turned_look;
    assert_int_equal(dp_uring_new(&conf, &events, &turned, &turned.tally.dp), ERR_OK);
    assert_int_equal(dp_listen(turned.tally.dp, listener, 1), ERR_OK);
    turned.far = loopback_connect(port);
    turns_until(turned.tally.dp, &turned.tally.accepted, 1);
    for (unsigned i = 1; i <= 3; i++) {
        char byte = 'x';
        assert_int_equal(send(turned.far, &byte, 1, 0), 1);
        turns_until(turned.tally.dp, &turned.tally.received, i);
        assert_int_equal(turned.told, i);
        assert_int_equal(recv(turned.far, &byte, 1, 0), 1);
    }
    assert_int_equal(turned.too_late, 0);
    dp_free(turned.tally.dp);
    close(turned.far);
    close(listener);
}

static void connects_end(void **state)
{
    const struct dp_conf conf = {.max_legs = 4, .max_relays = 1};
    union net_addr to = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    union net_addr source = to, elsewhere = to;
    struct tally tally = {0};
    struct leg_id leg;
    uint16_t port;
    int listener = loopback_listen(&port);

    assert_int_equal(dp_uring_new(&conf, &tally_events, &tally, &tally.dp), ERR_OK);
    source.v4.sin_addr.s_addr = htonl(0x7f000002);
    net_addr_set_port(&to, port);
    assert_int_equal(dp_connect(tally.dp, &to, &source, &leg), ERR_OK);
    turns(tally.dp, 3);
    assert_int_equal(tally.connected, 1);
    assert_int_equal(tally.error, 0);
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    int fd = accept(listener, (struct sockaddr *)&peer, &len);
    assert_true(fd >= 0);
    assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000002);
    close(fd);
    close(listener);
    /* Nobody listens any more. */
    assert_int_equal(dp_connect(tally.dp, &to, NULL, &leg), ERR_OK);
    turns(tally.dp, 3);
    assert_int_equal(tally.connected, 2);
    assert_int_equal(tally.error, ECONNREFUSED);
    /* An address that is not ours. */
    elsewhere.v4.sin_addr.s_addr = htonl(0x08080808);
    assert_int_equal(dp_connect(tally.dp, &to, &elsewhere, &leg), ERR_OK);
    assert_int_equal(tally.connected, 2);
    turns(tally.dp, 3);
    assert_int_equal(tally.connected, 3);
    assert_int_equal(tally.error, EADDRNOTAVAIL);
    dp_free(tally.dp);
}

static void pipe_ready(void *user, int fd)
{
    struct tally *tally = user;
    char byte;

    tally->ready++;
    assert_int_equal(read(fd, &byte, 1), 1); /* one of what is there: it is told again */
}

static void watched_descriptors(void **state)
{
    const struct dp_conf conf = {.max_legs = 4, .max_relays = 1};
    struct tally tally = {0};
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(dp_uring_new(&conf, &tally_events, &tally, &tally.dp), ERR_OK);
    assert_int_equal(dp_watch_fd(tally.dp, fds[0], pipe_ready, &tally), ERR_OK);
    turns(tally.dp, 2);
    assert_int_equal(tally.ready, 0);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    turns(tally.dp, 6);
    assert_int_equal(tally.ready, 3);
    dp_unwatch_fd(tally.dp, fds[0]);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    turns(tally.dp, 6);
    assert_int_equal(tally.ready, 3);
    dp_free(tally.dp);
    close(fds[0]);
    close(fds[1]);
}

static void stop_loop(void *user, struct dp_timer *timer)
{
    dp_stop(user);
}

static void timers_wake_the_loop(void **state)
{
    const struct dp_conf conf = {.max_legs = 4, .max_relays = 1};
    struct tally tally = {0};

    assert_int_equal(dp_uring_new(&conf, &tally_events, &tally, &tally.dp), ERR_OK);
    struct dp_timer timer = {.fire = stop_loop, .user = tally.dp};
    uint64_t start_ms = dp_now_ms(tally.dp);
    assert_int_equal(dp_timer_start(tally.dp, &timer, 30), ERR_OK);
    assert_int_equal(dp_run(tally.dp), ERR_OK);
    assert_in_range(dp_now_ms(tally.dp) - start_ms, 30, 1000);
    struct dp_counters counters;
    dp_counters(tally.dp, &counters);
    assert_in_range(counters.submits, 1, 5);
    dp_free(tally.dp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_cross),
        cmocka_unit_test(one_side_is_killed),
        cmocka_unit_test(many_sessions_echo),
        cmocka_unit_test(a_turn_is_told_before_its_bytes_go_out),
        cmocka_unit_test(connects_end),
        cmocka_unit_test(addresses_are_told),
        cmocka_unit_test(a_full_socket_gets_it_all),
        cmocka_unit_test(the_end_of_a_send_is_seen),
        cmocka_unit_test(watched_descriptors),
        cmocka_unit_test(timers_wake_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
