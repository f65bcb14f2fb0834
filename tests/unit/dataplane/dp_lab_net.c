/* SPDX-License-Identifier: Apache-2.0 */
/* The lab over kernel TCP on loopback: the far ends are sockets of the same thread. */
#include "dp_lab.h"

#include "../patience.h"
#include "assertion.h"
#include "dp_uring_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* Turns in a row that left nothing to do, after which nothing more is to come by itself; and how
 * many are waited for what a busy kernel, or a full window, still has on its way. */
enum { QUIET_TURNS = 4, MOVING_TURNS = 200, TURN_MS = 1 };

static void no_delay(int fd)
{
    const int on = 1;

    ASSERT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
}

static int listen_on(union net_addr *ret)
{
    socklen_t len = sizeof(ret->v4);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *ret =
        (union net_addr){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    ASSERT(fd >= 0 && bind(fd, &ret->any, len) == 0 && listen(fd, 4) == 0);
    ASSERT(getsockname(fd, &ret->any, &len) == 0);
    return fd;
}

void lab_net_open(struct lab *lab, const struct dp_conf *conf)
{
    union net_addr gateway, server;

    ASSERT(dp_uring_new(conf, &lab_events, lab, &lab->dp) == ERR_OK);
    lab->listener = listen_on(&gateway);
    lab->server_listener = listen_on(&server);
    ASSERT(dp_listen(lab->dp, lab->listener, 7) == ERR_OK);
    ASSERT(dp_connect(lab->dp, &server, NULL, &lab->b.id) == ERR_OK);
    lab->client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(connect(lab->client.fd, &gateway.any, sizeof(gateway.v4)) == 0);
    ASSERT(fcntl(lab->client.fd, F_SETFL, O_NONBLOCK) == 0);
    no_delay(lab->client.fd);
}

/* The server's end of what the gateway connected. */
void lab_net_connect(struct lab *lab)
{
    lab->server.fd = accept4(lab->server_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ASSERT(lab->server.fd >= 0);
    no_delay(lab->server.fd);
}

static void end_write(struct lab *lab, struct lab_end *end)
{
    while (buf_len(&end->outbox) > 0) {
        struct span left = buf_span(&end->outbox);
        ssize_t n = send(end->fd, left.ptr, left.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        lab->events++;
        buf_consume(&end->outbox, n < 0 ? left.len : (size_t)n);
    }
    buf_release(&end->outbox);
    if (end->finishing) {
        shutdown(end->fd, SHUT_WR);
        end->finishing = false;
    }
}

static void end_read(struct lab *lab, struct lab_end *end)
{
    uint8_t data[16384];

    while (!end->held && !end->closed) {
        ssize_t n = recv(end->fd, data, sizeof(data), 0);
        if (n < 0 && errno == EAGAIN)
            return;
        lab->events++;
        if (n > 0)
            lab_peer_events.received(end, NULL, data, (size_t)n);
        else
            lab_peer_events.closed(end, NULL, n < 0);
    }
}

/* One end of a connection; a closed descriptor's is all zero. */
static struct tcp_info info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    if (fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        info = (struct tcp_info){0};
    return info;
}

/* tcpi_state, as in the kernel's include/net/tcp_states.h. */
enum {
    STATE_NONE = 0,
    STATE_ESTABLISHED = 1,
    STATE_TIME_WAIT = 6,
    STATE_CLOSE = 7,
    STATE_CLOSE_WAIT = 8,
    STATE_LAST_ACK = 9,
    STATE_CLOSING = 11,
};

static bool fin_sent(const struct tcp_info *info)
{
    return info->tcpi_state != STATE_ESTABLISHED && info->tcpi_state != STATE_CLOSE_WAIT;
}

static bool fin_here(const struct tcp_info *info)
{
    return info->tcpi_state == STATE_CLOSE_WAIT || info->tcpi_state == STATE_LAST_ACK ||
           info->tcpi_state == STATE_CLOSING || info->tcpi_state == STATE_TIME_WAIT ||
           info->tcpi_state == STATE_CLOSE || info->tcpi_state == STATE_NONE;
}

/* A busy kernel may deliver long after the call that sends. */
static bool on_the_way(const struct tcp_info *from, const struct tcp_info *to)
{
    if (to->tcpi_state == STATE_NONE || to->tcpi_state == STATE_CLOSE)
        return false; /* what comes for it is dropped */
    return from->tcpi_bytes_sent - from->tcpi_bytes_retrans > to->tcpi_bytes_received ||
           (fin_sent(from) && !fin_here(to));
}

static bool end_moves(const struct lab *lab, const struct lab_end *end, struct leg_id id)
{
    const struct dp_uring *u = dp_uring_of(dp_transport_of(lab->dp));

    if (end->fd < 0 || leg_is_none(id))
        return false;
    struct tcp_info far = info_of(end->fd), near = info_of(u->legs[id.slot].fd);
    return on_the_way(&far, &near) || on_the_way(&near, &far);
}

static bool moving(const struct lab *lab)
{
    return end_moves(lab, &lab->client, lab->a.id) || end_moves(lab, &lab->server, lab->b.id);
}

unsigned lab_patience(void)
{
    return patience();
}

void lab_net_run(struct lab *lab, uint64_t ms)
{
    struct lab_end *ends[] = {&lab->client, &lab->server};
    unsigned quiet_most = QUIET_TURNS * lab_patience();
    uint64_t until_ms = dp_now_ms(lab->dp) + ms * lab_patience();
    unsigned quiet = 0, waited = 0;

    while ((quiet < quiet_most && dp_now_ms(lab->dp) < until_ms) ||
           (waited++ < MOVING_TURNS * lab_patience() && moving(lab))) {
        unsigned before = lab->events;
        for (unsigned i = 0; i < 2; i++) {
            if (ends[i]->fd < 0)
                continue;
            end_write(lab, ends[i]);
            end_read(lab, ends[i]);
        }
        ASSERT(dp_turn(lab->dp, TURN_MS) == ERR_OK);
        quiet = lab->events != before || dp_busy(lab->dp) ? 0 : quiet + 1;
    }
}

void lab_net_close(struct lab *lab)
{
    if (lab->client.fd >= 0)
        close(lab->client.fd);
    if (lab->server.fd >= 0)
        close(lab->server.fd);
    close(lab->listener);
    close(lab->server_listener);
}
