/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that kernel records can cost: two sockets, a pipe, and splice(2) between them, with no
 * ring, no framing and no look at a byte. Messages and answers go in the order in which the sender
 * sends them, so that nothing needs to be polled.
 */
#include "limit.h"

#include "ktls.h"
#include "limit_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PIPE_SIZE = 256 * 1024, TIMEOUT_S = 20 };

struct lane {
    int from, to;
};

struct kernel_run {
    const struct limit_relay_conf *conf;
    struct lane lanes[LIMIT_SESSIONS_MAX];
    int pipe[2];
    size_t room;
};

static int keys_install(int fd, const struct tls_keys *keys)
{
    static const enum tls_dir dirs[] = {TLS_DIR_TX, TLS_DIR_RX};
    int err = ktls_attach(fd);

    for (unsigned i = 0; i < 2 && err == ERR_OK; i++) {
        struct tls_record_dir dir = {0};
        err = tls_record_init(&dir, keys, dirs[i]);
        if (err == ERR_OK)
            err = ktls_install(fd, dirs[i], &dir);
        tls_record_free(&dir);
    }
    return err;
}

static int socket_prepare(int fd, const struct tls_keys *keys)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int one = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        return ERR_SYSTEM;
    return keys_install(fd, keys);
}

static int lane_open(struct lane *lane, const struct limit_ends *ends, const struct tls_keys *keys)
{
    lane->to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (lane->to < 0 ||
        connect(lane->to, (const struct sockaddr *)&ends->back_at, sizeof(ends->back_at)) < 0)
        return ERR_SYSTEM;
    lane->from = accept4(ends->front, NULL, NULL, SOCK_CLOEXEC);
    int err = socket_prepare(lane->from, keys);
    return err == ERR_OK ? socket_prepare(lane->to, keys) : err;
}

/* Waits for the first record only; then takes what is there, up to a pipe full. */
static ssize_t pipe_fill(const struct kernel_run *run, int from, size_t want)
{
    size_t have = 0;

    if (want > run->room)
        want = run->room;
    while (have < want) {
        ssize_t n = splice(from, NULL, run->pipe[1], NULL, want - have,
                           SPLICE_F_MOVE | (have > 0 ? SPLICE_F_NONBLOCK : 0));
        if (n <= 0)
            return have > 0 && n < 0 && errno == EAGAIN ? (ssize_t)have : -1;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static bool message_move(const struct kernel_run *run, const struct lane *lane)
{
    for (size_t left = run->conf->size; left > 0;) {
        ssize_t have = pipe_fill(run, lane->from, left);
        if (have < 0)
            return false;
        left -= (size_t)have;
        while (have > 0) {
            ssize_t n = splice(run->pipe[0], NULL, lane->to, NULL, (size_t)have, SPLICE_F_MOVE);
            if (n <= 0)
                return false;
            have -= n;
        }
    }
    return true;
}

static bool answer_move(const struct lane *lane)
{
    char answer[sizeof(LIMIT_ANSWER)];
    size_t have = 0, len = strlen(LIMIT_ANSWER);

    while (have < len) {
        ssize_t n = recv(lane->to, answer + have, len - have, 0);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return send(lane->from, answer, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static int messages_move(const struct kernel_run *run)
{
    for (unsigned n = 0; n < run->conf->messages; n++) {
        for (unsigned i = 0; i < run->conf->sessions; i++) {
            if (!message_move(run, &run->lanes[i]))
                return ERR_CLOSED;
        }
        for (unsigned i = 0; i < run->conf->sessions; i++) {
            if (!answer_move(&run->lanes[i]))
                return ERR_CLOSED;
        }
    }
    return ERR_OK;
}

static int run_open(struct kernel_run *run, const struct limit_ends *ends)
{
    int err = ERR_OK;

    for (unsigned i = 0; i < LIMIT_SESSIONS_MAX; i++)
        run->lanes[i] = (struct lane){-1, -1};
    if (pipe2(run->pipe, O_CLOEXEC) < 0) {
        run->pipe[0] = run->pipe[1] = -1;
        return ERR_SYSTEM;
    }
    int size = fcntl(run->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
    run->room = size > 0 ? (size_t)size : 64 * 1024;
    for (unsigned i = 0; i < run->conf->sessions && err == ERR_OK; i++)
        err = lane_open(&run->lanes[i], ends, run->conf->keys);
    return err;
}

static void run_close(const struct kernel_run *run)
{
    int fds[2 * LIMIT_SESSIONS_MAX + 2] = {run->pipe[0], run->pipe[1]};

    for (unsigned i = 0; i < LIMIT_SESSIONS_MAX; i++) {
        fds[2 * i + 2] = run->lanes[i].from;
        fds[2 * i + 3] = run->lanes[i].to;
    }
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

int limit_kernel(const struct limit_relay_conf *conf, double *ret_s)
{
    struct kernel_run run = {.conf = conf};
    struct limit_ends ends;
    int err = limit_ends_start(conf, &ends);

    if (err != ERR_OK)
        return err;
    err = run_open(&run, &ends);
    double began = limit_cpu_s();
    if (err == ERR_OK)
        err = messages_move(&run);
    *ret_s = (limit_cpu_s() - began) / ((double)conf->size * conf->messages * conf->sessions);
    run_close(&run);
    limit_ends_stop(&ends);
    return err;
}
