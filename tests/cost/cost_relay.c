/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare relays that the gateway is held against: blocking sockets, one connection in, one out,
 * no protocol. Sender and sink are processes of their own, uncounted; so are handshakes.
 */
#include "cost.h"

#include "assertion.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum { RECORD = 16384, PIPE = 256 * 1024 };

/* The machine's own test certificate. */
#define CERTIFICATE "/etc/postern/cert.pem"
#define KEY "/etc/postern/key.pem"

struct end {
    int fd;
    SSL *ssl; /* NULL: read and written as it is */
};

struct kind {
    const char *name;
    void (*open)(struct end *end, bool server);
    void (*relay)(const struct end *in, const struct end *out);
};

static void as_it_is(struct end *end, bool server)
{
    (void)end;
    (void)server;
}

/* One key for all: nobody listens on this machine. */
static void kernel_keys(struct end *end, bool server)
{
    struct tls12_crypto_info_aes_gcm_128 keys = {
        .info = {.version = TLS_1_3_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128}};

    (void)server;
    ASSERT(setsockopt(end->fd, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) == 0);
    ASSERT(setsockopt(end->fd, SOL_TLS, TLS_TX, &keys, sizeof(keys)) == 0);
    ASSERT(setsockopt(end->fd, SOL_TLS, TLS_RX, &keys, sizeof(keys)) == 0);
}

static void ssl_handshake(struct end *end, bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    ASSERT(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1);
    if (server) {
        ASSERT(SSL_CTX_use_certificate_chain_file(ctx, CERTIFICATE) == 1 &&
               SSL_CTX_use_PrivateKey_file(ctx, KEY, SSL_FILETYPE_PEM) == 1);
    }
    end->ssl = SSL_new(ctx);
    ASSERT(end->ssl != NULL && SSL_set_fd(end->ssl, end->fd) == 1);
    ASSERT((server ? SSL_accept(end->ssl) : SSL_connect(end->ssl)) == 1);
    SSL_CTX_free(ctx);
}

static void ssl_relay(const struct end *in, const struct end *out)
{
    static uint8_t room[RECORD];
    int n;

    while ((n = SSL_read(in->ssl, room, sizeof(room))) > 0)
        ASSERT(SSL_write(out->ssl, room, n) == n);
}

static void splice_relay(const struct end *in, const struct end *out)
{
    int pipe_fds[2];
    ssize_t n, done;

    ASSERT(pipe(pipe_fds) == 0 && fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE) >= PIPE);
    while ((n = splice(in->fd, NULL, pipe_fds[1], NULL, PIPE, SPLICE_F_MOVE)) > 0) {
        for (; n > 0; n -= done) {
            done = splice(pipe_fds[0], NULL, out->fd, NULL, (size_t)n, SPLICE_F_MOVE);
            ASSERT(done > 0);
        }
    }
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static const struct kind kinds[] = {
    {.name = "splice", .open = as_it_is, .relay = splice_relay},
    {.name = "kernel", .open = kernel_keys, .relay = splice_relay},
    {.name = "ssl", .open = ssl_handshake, .relay = ssl_relay},
};

static ssize_t end_write(const struct end *end, const uint8_t *data, size_t len)
{
    return end->ssl != NULL ? SSL_write(end->ssl, data, (int)len) : write(end->fd, data, len);
}

static ssize_t end_read(const struct end *end, uint8_t *room, size_t len)
{
    return end->ssl != NULL ? SSL_read(end->ssl, room, (int)len) : read(end->fd, room, len);
}

static void send_bytes(const struct end *end, size_t bytes)
{
    static uint8_t record[RECORD];

    memset(record, 'x', sizeof(record));
    while (bytes > 0) {
        size_t len = bytes < sizeof(record) ? bytes : sizeof(record);
        ssize_t n = end_write(end, record, len);

        ASSERT(n > 0);
        bytes -= (size_t)n;
    }
    shutdown(end->fd, SHUT_WR);
}

static void take_bytes(const struct end *end, size_t bytes)
{
    static uint8_t room[4 * RECORD];
    size_t taken = 0;
    ssize_t n;

    while ((n = end_read(end, room, sizeof(room))) > 0)
        taken += (size_t)n;
    ASSERT(taken == bytes);
}

static int loopback_listen(struct sockaddr_in *ret_address)
{
    socklen_t len = sizeof(*ret_address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)ret_address, len) == 0 && listen(fd, 1) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)ret_address, &len) == 0);
    return fd;
}

static int loopback_connect(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0);
    return fd;
}

/* The far end, in a process of its own. The relay serves the sender and is the sink's client. */
static pid_t sender_start(const struct kind *kind, const struct sockaddr_in *to, size_t bytes)
{
    pid_t pid = fork();

    ASSERT(pid >= 0);
    if (pid == 0) {
        struct end end = {.fd = loopback_connect(to)};

        kind->open(&end, false);
        send_bytes(&end, bytes);
        _exit(EXIT_SUCCESS);
    }
    return pid;
}

static pid_t sink_start(const struct kind *kind, int listener, size_t bytes)
{
    pid_t pid = fork();

    ASSERT(pid >= 0);
    if (pid == 0) {
        struct end end = {.fd = accept(listener, NULL, NULL)};

        ASSERT(end.fd >= 0);
        kind->open(&end, true);
        take_bytes(&end, bytes);
        _exit(EXIT_SUCCESS);
    }
    return pid;
}

static void end_free(struct end *end)
{
    SSL_free(end->ssl);
    close(end->fd);
}

static void child_wait(pid_t pid)
{
    int status;

    ASSERT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int cost_relay_main(const char *name, size_t bytes)
{
    const struct kind *kind = kinds;
    struct sockaddr_in in_address, out_address;
    struct end in = {.fd = -1}, out = {.fd = -1};
    int in_listener = loopback_listen(&in_address), out_listener = loopback_listen(&out_address);
    pid_t sender, sink;
    uint64_t began_ns;

    while (strcmp(kind->name, name) != 0) {
        kind++;
        ASSERT(kind < kinds + sizeof(kinds) / sizeof(kinds[0]));
    }
    sink = sink_start(kind, out_listener, bytes);
    out.fd = loopback_connect(&out_address);
    kind->open(&out, false);
    sender = sender_start(kind, &in_address, bytes);
    in.fd = accept(in_listener, NULL, NULL);
    ASSERT(in.fd >= 0);
    kind->open(&in, true);

    began_ns = cost_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    kind->relay(&in, &out);
    printf("%llu\n", (unsigned long long)(cost_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns));
    shutdown(out.fd, SHUT_WR);
    child_wait(sender);
    child_wait(sink);
    end_free(&in);
    end_free(&out);
    close(in_listener);
    close(out_listener);
    return EXIT_SUCCESS;
}
