/* SPDX-License-Identifier: Apache-2.0 */
#include "server_talk.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_MAX = 256 * 1024, CHUNK = 16 * 1024 };

static bool fail(struct server_talk *t, const char *why)
{
    t->state = SERVER_TALK_FAILED;
    snprintf(t->why, sizeof(t->why), "%s", why);
    return false;
}

static bool wait_until(struct server_talk *t, short events)
{
    struct pollfd p = {.fd = t->fd, .events = events};
    int n;

    do {
        int64_t left = t->deadline_ms - (int64_t)clock_ms();
        n = left > 0 ? poll(&p, 1, (int)left) : 0;
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        return true;
    return fail(t, n < 0           ? strerror(errno)
                   : !t->connected ? "nobody answers at this address"
                   : !t->heard     ? "it is connected, and no greeting came"
                                   : "the server does not answer any more");
}

bool server_talk_send(struct server_talk *t, struct span bytes)
{
    while (bytes.len > 0) {
        if (!wait_until(t, POLLOUT))
            return false;
        ssize_t n = send(t->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            t->closed = true;
            return fail(t, "the server closed the connection");
        }
        bytes = span_from(bytes, n > 0 ? (size_t)n : 0);
    }
    return true;
}

bool server_talk_receive(struct server_talk *t, struct buf *ret)
{
    uint8_t bytes[CHUNK];

    if (!wait_until(t, POLLIN))
        return false;
    ssize_t n = recv(t->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        t->closed = true;
        return fail(t, n == 0 ? "the server closed the connection"
                              : "the server reset the connection");
    }
    if (buf_append(ret, bytes, (size_t)n) != ERR_OK)
        return fail(t, "the server says more than is looked at");
    return true;
}

/* --- SMTP --- */

static void on_event(void *user, struct smtp_client *c, const struct smtp_client_event *event)
{
    struct server_talk *t = user;
    const struct smtp_reply *reply = &event->reply;

    switch (event->kind) {
    case SMTP_CLIENT_START_TLS:
        t->state = SERVER_TALK_TLS;
        return;
    case SMTP_CLIENT_READY:
        t->state = SERVER_TALK_READY;
        return;
    case SMTP_CLIENT_FAILED:
    case SMTP_CLIENT_BROKEN:
        t->state = SERVER_TALK_FAILED;
        if (reply->code && event->kind == SMTP_CLIENT_FAILED)
            snprintf(t->why, sizeof(t->why), "%s: %u %.*s", event->text, reply->code,
                     (int)strcspn(reply->text, "\n"), reply->text);
        else
            snprintf(t->why, sizeof(t->why), "%s", event->text);
        return;
    case SMTP_CLIENT_ANSWER:
    case SMTP_CLIENT_NO_TLS:
    case SMTP_CLIENT_CLOSING:
        return;
    }
}

static void greeting_keep(struct server_talk *t, struct span line)
{
    size_t len = 0;

    while (len < line.len && len + 1 < sizeof(t->greeting) && line.ptr[len] != '\r' &&
           line.ptr[len] != '\n') {
        uint8_t c = line.ptr[len];
        t->greeting[len++] = c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    t->greeting[len] = '\0';
    t->heard = true;
}

void server_talk_input(struct server_talk *t, struct span bytes)
{
    if (!t->heard && bytes.len > 0)
        greeting_keep(t, bytes);
    if (buf_append_span(&t->input, bytes) != ERR_OK) {
        fail(t, "the server says more than is looked at");
        return;
    }
    struct span all = buf_span(&t->input);
    buf_consume(&t->input, smtp_client_input(t->client, all.ptr, all.len));
}

/* Up to the 220 to STARTTLS. */
static void dialogue(struct server_talk *t)
{
    struct buf came;

    buf_init(&came, INPUT_MAX);
    while (t->state == SERVER_TALK_SMTP) {
        buf_clear(&came);
        if (!server_talk_receive(t, &came))
            break;
        server_talk_input(t, buf_span(&came));
        if (!server_talk_send(t, buf_span(&t->commands)))
            break;
        buf_clear(&t->commands);
    }
    buf_release(&came);
}

static bool connect_to(struct server_talk *t, const union net_addr *addr)
{
    int error = 0;
    socklen_t len = sizeof(error);

    t->fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return fail(t, strerror(errno));
    if (connect(t->fd, &addr->any, net_addr_len(addr)) != 0) {
        if (errno != EINPROGRESS)
            return fail(t, strerror(errno));
        if (!wait_until(t, POLLOUT))
            return false;
        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error)
            return fail(t, strerror(error ? error : errno));
    }
    t->connected = true;
    return true;
}

void server_talk_open(struct server_talk *t, const union net_addr *addr, const char *helo,
                      enum smtp_client_tls tls, int timeout_s)
{
    static const struct smtp_client_events events = {.event = on_event};

    *t = (struct server_talk){.fd = -1,
                              .deadline_ms = (int64_t)clock_ms() + timeout_s * 1000ll,
                              .conf = {.helo = helo, .tls = tls}};
    buf_init(&t->commands, INPUT_MAX);
    buf_init(&t->input, INPUT_MAX);
    if (smtp_client_new(&t->conf, &t->commands, &events, t, &t->client) != ERR_OK)
        fail(t, "out of memory");
    else if (connect_to(t, addr) && tls == SMTP_CLIENT_TLS_IMPLICIT)
        t->state = SERVER_TALK_TLS;
    else if (t->connected)
        dialogue(t);
}

void server_talk_close(struct server_talk *t)
{
    if (t->fd >= 0)
        close(t->fd);
    smtp_client_free(t->client);
    buf_release(&t->commands);
    buf_release(&t->input);
    t->fd = -1;
    t->client = NULL;
}
