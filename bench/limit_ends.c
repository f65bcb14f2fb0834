/* SPDX-License-Identifier: Apache-2.0 */
#include "limit_ends.h"

#include "tls_record.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE = 78, READ_ROOM = 256 * 1024 };

/* One connection of the sender's or the sink's: blocking, in plaintext or with keys of its own. */
struct end {
    int fd;
    bool tls;
    struct tls_record_dir tx, rx;
    uint8_t *partial; /* of a record, TLS_RECORD_MAX bytes */
    size_t have;
    uint64_t left; /* the sink's: of the message that is coming */
};

static bool end_init(struct end *e, int fd, const struct tls_keys *keys)
{
    *e = (struct end){.fd = fd, .tls = keys};
    if (fd < 0 || !keys)
        return fd >= 0;
    e->partial = malloc(TLS_RECORD_MAX);
    return e->partial && tls_record_init(&e->tx, keys, TLS_DIR_TX) == ERR_OK &&
           tls_record_init(&e->rx, keys, TLS_DIR_RX) == ERR_OK;
}

static bool bytes_write(int fd, const uint8_t *data, size_t len)
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

static bool end_write(struct end *e, const uint8_t *data, size_t len)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t size;

    if (!e->tls)
        return bytes_write(e->fd, data, len);
    for (size_t at = 0; at < len; at += TLS_PLAINTEXT_MAX) {
        size_t n = len - at < TLS_PLAINTEXT_MAX ? len - at : TLS_PLAINTEXT_MAX;
        if (tls_record_seal(&e->tx, TLS_CONTENT_DATA, data + at, n, record, &size) != ERR_OK ||
            !bytes_write(e->fd, record, size))
            return false;
    }
    return true;
}

/* Opens whole records at data in place and keeps the rest; false where one is not authentic. */
static bool records_open(struct end *e, uint8_t *data, size_t len, uint64_t *ret_plain)
{
    while (len > 0) {
        struct tls_record opened;
        uint8_t *record = data;
        size_t need, took = 0;
        if (e->have > 0) { /* completes the one that began in the last read */
            took = TLS_RECORD_MAX - e->have < len ? TLS_RECORD_MAX - e->have : len;
            memcpy(e->partial + e->have, data, took);
            record = e->partial;
        }
        size_t there = e->have > 0 ? e->have + took : len;
        int err = tls_record_length(&e->rx, record, there, &need);
        if (err == ERR_AGAIN || (err == ERR_OK && need > there)) {
            if (e->have == 0)
                memcpy(e->partial, data, len);
            e->have = there;
            return true;
        }
        if (err != ERR_OK || tls_record_open(&e->rx, record, need, &opened) != ERR_OK)
            return false;
        *ret_plain += opened.type == TLS_CONTENT_DATA ? opened.len : 0;
        data += need - e->have;
        len -= need - e->have;
        e->have = 0;
    }
    return true;
}

/* Bytes for the application that came with one read; false at the end of the connection. */
static bool end_read(struct end *e, uint64_t *ret_len)
{
    static uint8_t data[READ_ROOM];
    ssize_t n = recv(e->fd, data, sizeof(data), 0);

    *ret_len = 0;
    if (n <= 0)
        return false;
    if (e->tls)
        return records_open(e, data, (size_t)n, ret_len);
    *ret_len = (uint64_t)n;
    return true;
}

static bool answer_await(struct end *e)
{
    uint64_t got = 0, more;

    while (got < strlen(LIMIT_ANSWER)) {
        if (!end_read(e, &more))
            return false;
        got += more;
    }
    return true;
}

/* Lines of text with the final dot. */
static uint8_t *message_make(size_t size)
{
    static const char end[] = "\r\n.\r\n";
    uint8_t *text = malloc(size);

    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        size_t column = i % LINE;
        text[i] = (uint8_t)(column == LINE - 2   ? '\r'
                            : column == LINE - 1 ? '\n'
                                                 : 'a' + column % 26);
    }
    memcpy(text + size - strlen(end), end, strlen(end));
    if (text[size - strlen(end) - 1] == '\r') /* no CR alone before the end */
        text[size - strlen(end) - 1] = 'a';
    return text;
}

static void sender_run(const struct limit_relay_conf *conf, const struct limit_ends *ends)
{
    static struct end e[LIMIT_SESSIONS_MAX];
    uint8_t *message = message_make(conf->size);

    if (!message)
        return;
    for (unsigned i = 0; i < conf->sessions; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!end_init(&e[i], fd, conf->keys) ||
            connect(fd, (const struct sockaddr *)&ends->front_at, sizeof(ends->front_at)) < 0)
            return;
    }
    for (unsigned n = 0; n < conf->messages; n++) {
        for (unsigned i = 0; i < conf->sessions; i++) {
            if (!end_write(&e[i], message, conf->size))
                return;
        }
        for (unsigned i = 0; i < conf->sessions; i++) {
            if (!answer_await(&e[i]))
                return;
        }
    }
    (void)pause(); /* the relay ends first */
}

static bool sink_take(struct end *e, size_t size)
{
    uint64_t len;

    if (!end_read(e, &len) || len > e->left)
        return false;
    e->left -= len;
    if (e->left > 0)
        return true;
    e->left = size;
    return end_write(e, (const uint8_t *)LIMIT_ANSWER, strlen(LIMIT_ANSWER));
}

static void sink_run(const struct limit_relay_conf *conf, const struct limit_ends *ends)
{
    static struct end e[LIMIT_SESSIONS_MAX];
    static struct pollfd polls[LIMIT_SESSIONS_MAX];

    for (unsigned i = 0; i < conf->sessions; i++) {
        if (!end_init(&e[i], accept4(ends->back, NULL, NULL, SOCK_CLOEXEC), conf->keys))
            return;
        e[i].left = conf->size;
        polls[i] = (struct pollfd){.fd = e[i].fd, .events = POLLIN};
    }
    while (poll(polls, conf->sessions, -1) > 0) {
        for (unsigned i = 0; i < conf->sessions; i++) {
            if (polls[i].revents != 0 && !sink_take(&e[i], conf->size))
                return;
        }
    }
}

/* Every processor but the relay's, where there are others. */
static void cpu_avoid(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE && i < sysconf(_SC_NPROCESSORS_CONF); i++) {
        if ((unsigned)i != cpu)
            CPU_SET(i, &set);
    }
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static pid_t process_start(void (*run)(const struct limit_relay_conf *, const struct limit_ends *),
                           const struct limit_relay_conf *conf, const struct limit_ends *ends)
{
    pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        cpu_avoid(conf->cpu);
        run(conf, ends);
    }
    _exit(0);
}

static int loopback_listen(struct sockaddr_in *ret_at)
{
    socklen_t len = sizeof(*ret_at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)ret_at, len) < 0 ||
        listen(fd, LIMIT_SESSIONS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)ret_at, &len) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

int limit_ends_start(const struct limit_relay_conf *conf, struct limit_ends *ret)
{
    *ret = (struct limit_ends){.sender = -1, .sink = -1};
    ret->front = loopback_listen(&ret->front_at);
    ret->back = loopback_listen(&ret->back_at);
    if (ret->front >= 0 && ret->back >= 0) {
        ret->sink = process_start(sink_run, conf, ret);
        ret->sender = process_start(sender_run, conf, ret);
    }
    if (ret->sink >= 0 && ret->sender >= 0)
        return ERR_OK;
    limit_ends_stop(ret);
    return ERR_SYSTEM;
}

static void process_stop(pid_t pid)
{
    if (pid < 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void limit_ends_stop(struct limit_ends *ends)
{
    process_stop(ends->sender);
    process_stop(ends->sink);
    if (ends->front >= 0)
        close(ends->front);
    if (ends->back >= 0)
        close(ends->back);
}
