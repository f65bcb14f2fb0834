/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics process: Prometheus text over HTTP by libmicrohttpd. A process of its own, because it
 * parses what the network sends; it has no privileges and sees nothing but the shared counters, and
 * when certificates end. The supervisor owns the socket, so that a restart of this process loses no
 * scrape.
 */
#include "supervisor_priv.h"

#include "buf.h"
#include "expiry.h"
#include "log.h"
#include "sandbox.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 16,
    BACKLOG = 128,
    IDLE_S = 10,
    WAIT_MS = 1000, /* the library accepts again after a crowd only when it is called again */
    MEMORY_MAX = 16 * 1024, /* of one connection, headers included */
    TEXT_MAX = 8 << 20,
};

/* What is shown. */
struct page {
    const struct shared *shared;
    struct expiry_list *expiry; /* NULL: not heard of yet */
};

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             const char *text, size_t len)
{
    /* The library wants a pointer to bytes that it could change; with MUST_COPY it does not. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) != MHD_YES ||
        (status == MHD_HTTP_METHOD_NOT_ALLOWED &&
         MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") != MHD_YES)) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status,
                                  const char *text)
{
    return reply(connection, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result request(void *user, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *upload_data,
                               size_t *upload_data_size, void **state)
{
    const struct page *page = user;
    enum MHD_Result result;
    struct buf text;

    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return reply_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (strcmp(url, "/metrics") != 0)
        return reply_text(connection, MHD_HTTP_NOT_FOUND, "metrics are at /metrics\n");
    buf_init(&text, TEXT_MAX);
    if (shared_write_metrics(page->shared, &text) != 0 ||
        (page->expiry && expiry_write_metrics(page->expiry, &text) != 0))
        result = reply_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    else
        result = reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                       (const char *)buf_span(&text).ptr, buf_len(&text));
    buf_release(&text);
    return result;
}

static struct MHD_Daemon *daemon_start(struct page *page, int socket)
{
    return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, request, page, MHD_OPTION_LISTEN_SOCKET,
                            socket, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX, MHD_OPTION_END);
}

/* False: the supervisor is gone. */
static bool channel_heard(struct page *page, int channel)
{
    struct channel_message message;
    struct expiry_list *list;
    int fd;

    for (;;) {
        int err = channel_receive(channel, &message, &fd);
        if (err == ERR_AGAIN)
            return true;
        if (err)
            return false;
        if (message.kind == CHANNEL_CERTIFICATES && fd >= 0 && expiry_read(fd, &list) == ERR_OK) {
            free(page->expiry);
            page->expiry = list;
        }
        if (fd >= 0)
            close(fd);
    }
}

/* Until the supervisor is gone. */
static int serve(struct MHD_Daemon *daemon, struct page *page, int channel)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

    if (!info)
        return EX_SOFTWARE;
    for (;;) {
        struct pollfd fds[2] = {{info->epoll_fd, POLLIN, 0}, {channel, POLLIN, 0}};
        unsigned long long timeout_ms;
        int wait = WAIT_MS;
        if (MHD_get_timeout(daemon, &timeout_ms) == MHD_YES && timeout_ms < WAIT_MS)
            wait = (int)timeout_ms;
        if (poll(fds, 2, wait) < 0 && errno != EINTR)
            return EX_OSERR;
        if (fds[1].revents && !channel_heard(page, channel))
            return 0;
        if (MHD_run(daemon) != MHD_YES)
            return EX_SOFTWARE;
    }
}

static _Noreturn void metrics_child(struct member *m, int fd, pid_t parent)
{
    struct supervisor *s = m->supervisor;
    const struct plan *plan = &s->serving->plan;
    struct channel_message message = {0};
    int fds[2] = {m->channel, s->metrics_fd};
    struct page page = {.shared = s->shared};
    struct MHD_Daemon *daemon;
    int err;

    member_child_begin(m, parent);
    member_child_keep(fds, 2);
    shared_forget_seed(s->shared);
    err = sandbox_drop_root(plan->uid, plan->gid, parent, message.text, sizeof(message.text));
    daemon = err ? NULL : daemon_start(&page, fds[1]);
    if (!err && !daemon) {
        snprintf(message.text, sizeof(message.text), "the HTTP server can't be started");
        err = ERR_SYSTEM;
    }
    if (!err)
        err = sandbox_enter(SANDBOX_METRICS, message.text, sizeof(message.text));
    member_child_ready(fds[0], err, &message);
    _exit(serve(daemon, &page, fds[0]));
}

int metrics_open(struct supervisor *s, const char *address, char *why, size_t why_room)
{
    const int on = 1;
    union net_addr addr;

    if (!*address)
        return 0;
    if (net_addr_parse(span_str(address), &addr) != 0) {
        snprintf(why, why_room, "gateway.metrics: found \"%s\", allowed an address and a port",
                 address);
        return ERR_CONFIG;
    }
    s->metrics_fd = socket(addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->metrics_fd >= 0 &&
        setsockopt(s->metrics_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(s->metrics_fd, &addr.any, net_addr_len(&addr)) == 0 &&
        listen(s->metrics_fd, BACKLOG) == 0)
        return 0;
    snprintf(why, why_room, "gateway.metrics: %s: %s", address, strerror(errno));
    return ERR_SYSTEM;
}

void metrics_start(struct supervisor *s)
{
    struct member *m = &s->metrics;

    if (s->metrics_fd < 0 || s->stopping || !s->serving)
        return;
    m->kind = MEMBER_METRICS;
    m->supervisor = s;
    snprintf(m->name, sizeof(m->name), "metrics");
    member_start(m, metrics_child);
    expiry_tell(s);
}
