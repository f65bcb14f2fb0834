/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "dp_bridge.h"

#include "assertion.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int loopback_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int loopback_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

bool write_all(int fd, const uint8_t *data, size_t len)
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
        while (sem_wait(far->accepted) != 0)
            ASSERT(errno == EINTR);
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
    const struct dp_relay relay = {.from = bridge->a,
                                   .to = bridge->b,
                                   .flow = bridge->flow,
                                   .idle_timeout_ms = 20000 * lab_patience()};

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
    ASSERT(sem_post(&bridge->accepted) == 0);
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

void bridge_cross(const struct dp_conf *conf, const struct lab_tls *a, const struct lab_tls *b,
                  struct far *client, struct far *server, struct bridge *bridge)
{
    union net_addr to = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    uint16_t port;
    int listener = loopback_listen(&port);

    *bridge = (struct bridge){.a_tls = a->on, .b_tls = b->on, .give_up = {.fire = too_long}};
    body_flow_init(&bridge->flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    lab_keys(a, 10, &bridge->a_keys, &client->keys);
    lab_keys(b, 40, &bridge->b_keys, &server->keys);
    client->tls = a->on;
    client->port = port;
    client->accepted = &bridge->accepted;
    ASSERT(sem_init(&bridge->accepted, 0, 0) == 0);
    server->tls = b->on;
    server->server = true;
    server->fd = loopback_listen(&server->port);
    net_addr_set_port(&to, server->port);
    ASSERT(dp_uring_new(conf, &bridge_events, bridge, &bridge->dp) == ERR_OK);
    ASSERT(dp_listen(bridge->dp, listener, 3) == ERR_OK);
    ASSERT(dp_connect(bridge->dp, &to, NULL, &bridge->b) == ERR_OK);
    ASSERT(dp_timer_start(bridge->dp, &bridge->give_up, 30000 * lab_patience()) == ERR_OK);
    start(&server->thread, far_main, server);
    start(&client->thread, far_main, client);
    ASSERT(dp_run(bridge->dp) == ERR_OK);
    dp_timer_stop(bridge->dp, &bridge->give_up);
    for (int i = 0; i < 1000; i++) { /* the FINs */
        struct dp_counters counters;
        dp_counters(bridge->dp, &counters);
        if (counters.legs == 0)
            break;
        ASSERT(dp_turn(bridge->dp, 5) == ERR_OK);
    }
    pthread_join(client->thread, NULL);
    sem_destroy(&bridge->accepted);
    pthread_join(server->thread, NULL);
    dp_free(bridge->dp);
    close(listener);
    close(server->fd);
}

void far_free(struct far *far)
{
    buf_release(&far->text);
}

uint8_t *body_with_end(size_t len)
{
    uint8_t *body = malloc(len);

    ASSERT(body);
    lab_body(body, len - 3, 21);
    memcpy(body + len - 3, ".\r\n", 3);
    return body;
}

size_t bridge_large(unsigned round)
{
    return lab_emulated() && round % 7 != 0 ? 600000 : 3000000;
}

void bridge_whole(const struct dp_conf *conf, const struct lab_tls *a, const struct lab_tls *b,
                  size_t len, size_t record, unsigned seed)
{
    uint8_t *body = body_with_end(len);
    struct far client = {.body = body, .len = len, .record = record, .seed = seed};
    struct far server = {.seed = seed};
    struct bridge bridge;

    bridge_cross(conf, a, b, &client, &server, &bridge);
    assert_int_equal(bridge.end, DP_RELAY_DONE);
    assert_int_equal(buf_len(&server.text), len);
    assert_memory_equal(buf_span(&server.text).ptr, body, len);
    assert_int_equal(buf_len(&client.text), 8);
    assert_memory_equal(buf_span(&client.text).ptr, "250 ok\r\n", 8);
    assert_true(client.clean && server.clean);
    assert_int_equal(client.close_notify, client.tls);
    assert_int_equal(server.close_notify, server.tls);
    far_free(&client);
    far_free(&server);
    free(body);
}
