/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same over kernel TCP on loopback: a client and a server, each a thread with a blocking
 * socket and the record layer, and the dataplane between them.
 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_lab.h"
#include "dp_transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum kill { KILL_NONE, KILL_RESET, KILL_FIN };

/* A far end. */
struct far {
    int fd; /* the server's: listening */
    uint16_t port;
    bool server, tls;
    struct tls_record_dir tx, rx;
    struct tls_keys keys;
    const uint8_t *body;
    size_t len, record, kill_at;
    enum kill kill;
    unsigned seed;
    /* The result: */
    struct buf text;
    bool close_notify, clean;
    pthread_t thread;
};

struct bridge {
    struct dp *dp;
    struct leg_id a, b;
    bool have_a, have_b, finish;
    struct tls_keys a_keys, b_keys;
    bool a_tls, b_tls;
    struct body_flow flow;
    unsigned done, lost;
    enum dp_relay_end end;
    struct buf a_text, b_text;
    struct dp_timer give_up;
    unsigned cycles; /* connections still to come */
};

static int loopback_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int loopback_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void far_kill(struct far *far, int fd)
{
    const struct linger at_once = {.l_onoff = 1};

    if (far->kill != KILL_NONE && !far->server)
        usleep(20000); /* not before it is accepted */
    if (far->kill == KILL_RESET)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static bool far_send(struct far *far, int fd, enum tls_content type, const uint8_t *data, size_t n)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t size;

    if (!far->tls)
        return type != TLS_CONTENT_DATA || write_all(fd, data, n);
    ASSERT(tls_record_seal(&far->tx, type, data, n, record, &size) == ERR_OK);
    /* In two pieces, so that records are cut anywhere. */
    size_t cut = (size_t)rand_r(&far->seed) % size;
    return write_all(fd, record, cut) && write_all(fd, record + cut, size - cut);
}

/* Sends the body until it is killed; false where it was. */
static bool far_body(struct far *far, int fd)
{
    for (size_t at = 0; at < far->len; at += far->record) {
        size_t n = far->len - at < far->record ? far->len - at : far->record;
        if (far->kill != KILL_NONE && at + n > far->kill_at)
            return false;
        if (!far_send(far, fd, TLS_CONTENT_DATA, far->body + at, n))
            return false;
    }
    return true;
}

static void far_open(struct far *far, struct buf *raw)
{
    for (;;) {
        struct tls_record record;
        struct span left = buf_span(raw);
        size_t n;
        int err = tls_record_length(&far->rx, left.ptr, left.len, &n);
        if (err == ERR_AGAIN || n > left.len)
            return;
        ASSERT(err == ERR_OK);
        ASSERT(tls_record_open(&far->rx, (uint8_t *)left.ptr, n, &record) == ERR_OK);
        if (record.type == TLS_CONTENT_DATA)
            ASSERT(buf_append(&far->text, record.data, record.len) == ERR_OK);
        else if (record.type == TLS_CONTENT_ALERT && record.data[1] == 0)
            far->close_notify = true;
        buf_consume(raw, n);
    }
}

/* Reads to the end. */
static void far_read(struct far *far, int fd)
{
    uint8_t data[65536];
    struct buf raw;
    ssize_t n = 1;

    buf_init(&raw, 0);
    while (n > 0) {
        n = recv(fd, data, 1 + (size_t)rand_r(&far->seed) % sizeof(data), 0);
        if (n > 0)
            ASSERT(buf_append(far->tls ? &raw : &far->text, data, (size_t)n) == ERR_OK);
        if (far->tls)
            far_open(far, &raw);
        if (far->server && far->kill != KILL_NONE && buf_len(&far->text) > far->kill_at)
            break;
    }
    far->clean = n == 0;
    buf_release(&raw);
}

static void *far_main(void *user)
{
    struct far *far = user;
    int fd;

    if (far->tls) {
        ASSERT(tls_record_init(&far->tx, &far->keys, TLS_DIR_TX) == ERR_OK);
        ASSERT(tls_record_init(&far->rx, &far->keys, TLS_DIR_RX) == ERR_OK);
    }
    if (far->server) {
        fcntl(far->fd, F_SETFL, 0);
        fd = accept(far->fd, NULL, NULL);
    } else {
        fd = loopback_connect(far->port);
    }
    ASSERT(fd >= 0);
    if (far->server || far_body(far, fd))
        far_read(far, fd);
    far_kill(far, fd);
    close(fd);
    tls_record_free(&far->tx);
    tls_record_free(&far->rx);
    return NULL;
}

/* Between them. */

static void bridge_done(void *user, const struct dp_relay *relay,
                        const struct dp_relay_result *result)
{
    struct bridge *bridge = user;

    bridge->done++;
    bridge->end = result->end;
    if (result->end == DP_RELAY_DONE) {
        struct span finish = body_flow_finish(&result->flow);
        ASSERT(dp_send(bridge->dp, bridge->b, finish.ptr, finish.len) == ERR_OK);
        ASSERT(dp_send(bridge->dp, bridge->a, "250 ok\r\n", 8) == ERR_OK);
    }
    enum dp_close how = result->end == DP_RELAY_DONE ? DP_CLOSE_FLUSH : DP_CLOSE_CUT;
    ASSERT(dp_close(bridge->dp, bridge->a, how) == ERR_OK);
    ASSERT(dp_close(bridge->dp, bridge->b, how) == ERR_OK);
    dp_stop(bridge->dp);
}

static void bridge_ready(struct bridge *bridge)
{
    const struct dp_relay relay = {
        .from = bridge->a, .to = bridge->b, .flow = bridge->flow, .idle_timeout_ms = 20000};

    if (!bridge->have_a || !bridge->have_b)
        return;
    if (bridge->a_tls)
        ASSERT(dp_set_keys(bridge->dp, bridge->a, &bridge->a_keys, span_make(NULL, 0), 0) ==
               ERR_OK);
    if (bridge->b_tls)
        ASSERT(dp_set_keys(bridge->dp, bridge->b, &bridge->b_keys, span_make(NULL, 0), 0) ==
               ERR_OK);
    ASSERT(dp_relay(bridge->dp, &relay, bridge_done, bridge) == ERR_OK);
}

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer, const union net_addr *local)
{
    struct bridge *bridge = user;

    ASSERT(peer->any.sa_family == AF_INET && net_addr_port(local) != 0);
    bridge->a = leg;
    bridge->have_a = true;
    ASSERT(dp_pause(bridge->dp, leg) == ERR_OK);
    bridge_ready(bridge);
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    struct bridge *bridge = user;

    ASSERT(error == 0);
    bridge->have_b = true;
    bridge_ready(bridge);
}

static size_t on_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    return len;
}

static void on_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    ((struct bridge *)user)->lost++;
}

static const struct dp_events bridge_events = {
    .accepted = on_accepted, .connected = on_connected, .received = on_received, .lost = on_lost};

static void too_long(void *user, struct dp_timer *timer)
{
    ASSERT(!"the loop hangs");
}

static void start(pthread_t *thread, void *(*main)(void *), void *user)
{
    ASSERT(pthread_create(thread, NULL, main, user) == 0);
}

/* One body from client to server; the caller looks at the ends. */
static void cross(const struct lab_tls *a, const struct lab_tls *b, struct far *client,
                  struct far *server, struct bridge *bridge)
{
    const struct dp_conf conf = {.max_legs = 16, .max_relays = 4};
    union net_addr to = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    uint16_t port;
    int listener = loopback_listen(&port);

    *bridge = (struct bridge){.a_tls = a->on, .b_tls = b->on, .give_up = {.fire = too_long}};
    body_flow_init(&bridge->flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_keys(a, 10, &bridge->a_keys, &client->keys);
    lab_keys(b, 40, &bridge->b_keys, &server->keys);
    client->tls = a->on;
    client->port = port;
    server->tls = b->on;
    server->server = true;
    server->fd = loopback_listen(&server->port);
    net_addr_set_port(&to, server->port);
    assert_int_equal(dp_uring_new(&conf, &bridge_events, bridge, &bridge->dp), ERR_OK);
    assert_int_equal(dp_listen(bridge->dp, listener, 3), ERR_OK);
    assert_int_equal(dp_connect(bridge->dp, &to, NULL, &bridge->b), ERR_OK);
    assert_int_equal(dp_timer_start(bridge->dp, &bridge->give_up, 30000), ERR_OK);
    start(&server->thread, far_main, server);
    start(&client->thread, far_main, client);
    assert_int_equal(dp_run(bridge->dp), ERR_OK);
    dp_timer_stop(bridge->dp, &bridge->give_up);
    for (int i = 0; i < 1000; i++) { /* the FINs */
        struct dp_counters counters;
        dp_counters(bridge->dp, &counters);
        if (counters.legs == 0)
            break;
        assert_int_equal(dp_turn(bridge->dp, 5), ERR_OK);
    }
    pthread_join(client->thread, NULL);
    pthread_join(server->thread, NULL);
    dp_free(bridge->dp);
    close(listener);
    close(server->fd);
}

static void far_free(struct far *far)
{
    buf_release(&far->text);
}

static const struct lab_tls kinds[] = {
    {false, 0, 0},
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static uint8_t *body_with_end(size_t len)
{
    uint8_t *body = malloc(len);

    ASSERT(body);
    lab_body(body, len - 3, 21);
    memcpy(body + len - 3, ".\r\n", 3);
    return body;
}

static void bodies_cross(void **state)
{
    static const size_t sizes[] = {5, 4096, 3000000};

    for (size_t pair = 0; pair < KINDS * KINDS; pair++) {
        for (size_t s = 0; s < 3; s++) {
            uint8_t *body = body_with_end(sizes[s]);
            struct far client = {.body = body,
                                 .len = sizes[s],
                                 .seed = (unsigned)pair,
                                 .record = pair % 4 == 3 ? 1400 : 16384};
            struct far server = {.seed = (unsigned)pair};
            struct bridge bridge;
            cross(&kinds[pair / KINDS], &kinds[pair % KINDS], &client, &server, &bridge);
            assert_int_equal(bridge.end, DP_RELAY_DONE);
            assert_int_equal(buf_len(&server.text), sizes[s]);
            assert_memory_equal(buf_span(&server.text).ptr, body, sizes[s]);
            assert_int_equal(buf_len(&client.text), 8);
            assert_memory_equal(buf_span(&client.text).ptr, "250 ok\r\n", 8);
            assert_true(client.clean && server.clean);
            assert_int_equal(client.close_notify, client.tls);
            assert_int_equal(server.close_notify, server.tls);
            far_free(&client);
            far_free(&server);
            free(body);
        }
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
        cross(kind, kind, &client, &server, &bridge);
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
    unsigned accepted, connected, received, lost, ready;
    int error;
    struct leg_id leg;
};

static void tally_accepted(void *user, unsigned listener, struct leg_id leg,
                           const union net_addr *peer, const union net_addr *local)
{
    struct tally *tally = user;

    tally->accepted++;
    tally->leg = leg;
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

static const struct dp_events tally_events = {.accepted = tally_accepted,
                                              .connected = tally_connected,
                                              .received = tally_received,
                                              .lost = tally_lost};

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
            assert_int_equal(recv(fds[i], answer, sizeof(answer), MSG_DONTWAIT), n);
            assert_memory_equal(answer, text, (size_t)n);
        }
    }
    /* The table is full: one more is turned away, and taken once there is room. */
    int extra = loopback_connect(port);
    turns(tally.dp, 3);
    char byte;
    assert_int_equal(recv(extra, &byte, 1, MSG_DONTWAIT), 0);
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
        cmocka_unit_test(bodies_cross),        cmocka_unit_test(one_side_is_killed),
        cmocka_unit_test(many_sessions_echo),  cmocka_unit_test(connects_end),
        cmocka_unit_test(watched_descriptors), cmocka_unit_test(timers_wake_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
