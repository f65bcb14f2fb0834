/* SPDX-License-Identifier: Apache-2.0 */
/* The lab over kernel TCP on loopback: the far ends are sockets of the same thread. */
#include "dp_lab.h"

#include "assertion.h"
#include "dp_transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* Turns that left nothing to do, in a row, after which nothing more is to come by itself. Loopback
 * delivers within the system call that sends, so that the kernel holds nothing back. */
enum { QUIET_TURNS = 4, TURN_MS = 1 };

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

/* On an emulated machine, where bytes need longer from socket to socket, the environment says so.
 */
unsigned lab_patience(void)
{
    const char *times = getenv("POSTERN_PATIENCE");
    unsigned long n = times ? strtoul(times, NULL, 10) : 1;

    return n >= 1 && n <= 100 ? (unsigned)n : 1;
}

void lab_net_run(struct lab *lab, uint64_t ms)
{
    struct lab_end *ends[] = {&lab->client, &lab->server};
    unsigned quiet_most = QUIET_TURNS * lab_patience();
    uint64_t until_ms = dp_now_ms(lab->dp) + ms * lab_patience();

    for (unsigned quiet = 0; quiet < quiet_most && dp_now_ms(lab->dp) < until_ms; quiet++) {
        unsigned before = lab->events;
        for (unsigned i = 0; i < 2; i++) {
            if (ends[i]->fd < 0)
                continue;
            end_write(lab, ends[i]);
            end_read(lab, ends[i]);
        }
        ASSERT(dp_turn(lab->dp, TURN_MS) == ERR_OK);
        if (lab->events != before || dp_busy(lab->dp))
            quiet = 0;
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
