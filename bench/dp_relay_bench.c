/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does the dataplane alone cost? CPU-seconds of one relay thread per GB, TLS in and TLS out
 * over loopback, next to its limits measured in the same run: the AEAD's open and seal in memory,
 * and the same relay in plaintext. Sender and sink are processes of their own, uncounted.
 *
 *   dp-relay-bench [MB a body] [bodies]
 */
#include "assertion.h"
#include "dp.h"
#include "tls_record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORD = TLS_PLAINTEXT_MAX };

struct bench {
    struct dp *dp;
    struct leg_id a, b;
    const struct tls_keys *keys; /* NULL: plaintext */
    struct body_flow flow;
    unsigned legs, bodies;
    size_t body_len;
    double cpu_s;
};

static double cpu_now(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int loopback_listen(struct sockaddr_in *ret_address)
{
    socklen_t len = sizeof(*ret_address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)ret_address, len) == 0 && listen(fd, 8) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)ret_address, &len) == 0);
    return fd;
}

static void write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        ASSERT(n > 0 || errno == EINTR);
        data += n;
        len -= (size_t)n;
    }
}

static void sender_send(int fd, struct tls_record_dir *tx, const uint8_t *data, size_t len)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t size;

    for (size_t at = 0; at < len; at += RECORD) {
        size_t n = len - at < RECORD ? len - at : RECORD;
        if (!tx) {
            write_all(fd, data + at, n);
            continue;
        }
        ASSERT(tls_record_seal(tx, TLS_CONTENT_DATA, data + at, n, record, &size) == ERR_OK);
        write_all(fd, record, size);
    }
}

static _Noreturn void sender(const struct sockaddr_in *to, const struct tls_keys *keys,
                             const struct bench *bench)
{
    struct tls_record_dir tx = {0};
    uint8_t *body = malloc(bench->body_len);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(body && fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0);
    if (keys)
        ASSERT(tls_record_init(&tx, keys, TLS_DIR_TX) == ERR_OK);
    for (size_t i = 0; i < bench->body_len; i++)
        body[i] = (uint8_t)(i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'a' + i % 26);
    memcpy(body + bench->body_len - 7, "\r\n.\r\n", 5);
    for (unsigned i = 0; i < bench->bodies; i++)
        sender_send(fd, keys ? &tx : NULL, body, bench->body_len - 2);
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    _exit(0);
}

static _Noreturn void sink(int listener)
{
    static uint8_t data[1 << 20];
    int fd = accept(listener, NULL, NULL);

    while (recv(fd, data, sizeof(data), 0) > 0)
        ;
    _exit(0);
}

static void next_body(struct bench *bench);

static void body_done(void *user, const struct dp_relay *relay,
                      const struct dp_relay_result *result)
{
    struct bench *bench = user;
    struct span finish = body_flow_finish(&result->flow);

    ASSERT(result->end == DP_RELAY_DONE);
    ASSERT(dp_send(bench->dp, bench->b, finish.ptr, finish.len) == ERR_OK);
    next_body(bench);
}

static void next_body(struct bench *bench)
{
    struct dp_relay relay = {.from = bench->a, .to = bench->b, .idle_timeout_ms = 20000};

    if (bench->bodies-- == 0) {
        bench->cpu_s = cpu_now() - bench->cpu_s;
        (void)dp_close(bench->dp, bench->a, DP_CLOSE_FLUSH);
        (void)dp_close(bench->dp, bench->b, DP_CLOSE_FLUSH);
        dp_stop(bench->dp);
        return;
    }
    body_flow_init(&relay.flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    ASSERT(dp_relay(bench->dp, &relay, body_done, bench) == ERR_OK);
}

static void leg_ready(struct bench *bench, struct leg_id leg)
{
    if (bench->keys)
        ASSERT(dp_set_keys(bench->dp, leg, bench->keys, span_make(NULL, 0), 0) == ERR_OK);
    if (++bench->legs < 2)
        return;
    bench->cpu_s = cpu_now();
    next_body(bench);
}

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer, const union net_addr *local)
{
    struct bench *bench = user;

    bench->a = leg;
    ASSERT(dp_pause(bench->dp, leg) == ERR_OK);
    leg_ready(bench, leg);
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    ASSERT(error == 0);
    leg_ready(user, leg);
}

static size_t on_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    return len;
}

static void on_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
}

static const struct dp_events events = {
    .accepted = on_accepted, .connected = on_connected, .received = on_received, .lost = on_lost};

/* Both directions have the same keys, so that one value serves both ends. */
static struct tls_keys keys_of(enum tls_aead aead)
{
    bool small = aead == TLS_AEAD_AES_128_GCM;

    return (struct tls_keys){.version = TLS_VERSION_1_3,
                             .aead = aead,
                             .max_plaintext = TLS_PLAINTEXT_MAX,
                             .key_len = small ? 16 : 32,
                             .secret_len = aead == TLS_AEAD_AES_256_GCM ? 48 : 32};
}

/* CPU-seconds per GB. */
static double relay_cost(const struct tls_keys *keys, size_t body_len, unsigned bodies)
{
    const struct dp_conf conf = {.max_legs = 8, .max_relays = 8};
    struct bench bench = {.keys = keys, .body_len = body_len, .bodies = bodies};
    struct sockaddr_in front, back;
    int listener = loopback_listen(&front), sink_listener = loopback_listen(&back);
    union net_addr to = {.v4 = back};
    pid_t sink_pid = fork();

    ASSERT(sink_pid >= 0);
    if (sink_pid == 0)
        sink(sink_listener);
    pid_t sender_pid = fork();
    ASSERT(sender_pid >= 0);
    if (sender_pid == 0)
        sender(&front, keys, &bench);
    ASSERT(dp_uring_new(&conf, &events, &bench, &bench.dp) == ERR_OK);
    ASSERT(dp_listen(bench.dp, listener, 0) == ERR_OK);
    ASSERT(dp_connect(bench.dp, &to, NULL, &bench.b) == ERR_OK);
    ASSERT(dp_run(bench.dp) == ERR_OK);
    dp_free(bench.dp);
    close(listener);
    close(sink_listener);
    waitpid(sender_pid, NULL, 0);
    waitpid(sink_pid, NULL, 0);
    return bench.cpu_s / ((double)body_len * bodies / 1e9);
}

/* Open and seal in memory, CPU-seconds per GB. */
static double aead_cost(const struct tls_keys *keys)
{
    enum { ROUNDS = 30000 };
    static uint8_t record[TLS_RECORD_MAX];
    struct tls_record_dir tx, rx;
    struct tls_record opened;
    size_t n;

    ASSERT(tls_record_init(&tx, keys, TLS_DIR_TX) == ERR_OK);
    ASSERT(tls_record_init(&rx, keys, TLS_DIR_RX) == ERR_OK);
    double start_s = cpu_now();
    for (int i = 0; i < ROUNDS; i++) {
        ASSERT(tls_record_seal(&tx, TLS_CONTENT_DATA, record + 5, RECORD, record, &n) == ERR_OK);
        ASSERT(tls_record_open(&rx, record, n, &opened) == ERR_OK);
    }
    double cost = (cpu_now() - start_s) / ((double)ROUNDS * RECORD / 1e9);
    tls_record_free(&tx);
    tls_record_free(&rx);
    return cost;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum tls_aead aead;
    } kinds[] = {{"TLS 1.3 AES-128-GCM", TLS_AEAD_AES_128_GCM},
                 {"TLS 1.3 AES-256-GCM", TLS_AEAD_AES_256_GCM},
                 {"TLS 1.3 ChaCha20-Poly1305", TLS_AEAD_CHACHA20_POLY1305}};
    long mb = argc > 1 ? strtol(argv[1], NULL, 10) : 10,
         bodies = argc > 2 ? strtol(argv[2], NULL, 10) : 100;

    if (mb < 1 || mb > 1000 || bodies < 1 || bodies > 100000) {
        fprintf(stderr, "usage: dp-relay-bench [MB a body, 1 to 1000] [bodies, 1 to 100000]\n");
        return 64;
    }
    double plain = relay_cost(NULL, (size_t)mb * 1000000, (unsigned)bodies);
    printf("%-28s %6.2f s/GB\n", "plaintext", plain);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct tls_keys keys = keys_of(kinds[i].aead);
        double aead = aead_cost(&keys);
        double cost = relay_cost(&keys, (size_t)mb * 1000000, (unsigned)bodies);
        printf("%-28s %6.2f s/GB, open and seal alone %.2f, %3.0f%% of the limit\n", kinds[i].name,
               cost, aead, 100 * (plain + aead) / cost);
        fflush(stdout);
    }
    return 0;
}
