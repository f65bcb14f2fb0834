/* SPDX-License-Identifier: Apache-2.0 */
#include "record_measure.h"

#include "clock.h"
#include "dp.h"
#include "tls_record.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECORD = TLS_PLAINTEXT_MAX,
    BODY_SMALL = 4096,
    BODY_BIG = 2 << 20,
    BODY_BIG_MIB = BODY_BIG >> 20,
    ROUNDS = 3,
    ENOUGH_MS = 500, /* no further round after it */
    RUN_MS = 10000,  /* bounds one run: something is wrong */
    PENDING_MS = 1,
};

/* The bodies of a run, in their order. */
enum body { BODY_FIRST, BODY_CHUNK, BODY_DATA, BODY_COUNT };

/* What the sender sends, sealed: the same for each run, for each begins at the first record. */
struct wire {
    uint8_t *data;
    size_t len;
};

struct run {
    const struct tls_keys *keys;
    const struct wire *wire;
    int sender_fd, sink_listener;
    struct dp *dp;
    struct leg_id from, to;
    bool from_there, to_there;
    enum body body;
    uint64_t cpu_ns; /* of the thread, when the body began */
    uint64_t cost_ns[BODY_COUNT];
    bool done;
    uint64_t limit_ms;
    struct dp_counters counters;
    struct dp_timer pending, limit;
};

/* --- the far ends, a thread each ---------------------------------------------------------- */

static void *sender(void *argument)
{
    const struct run *run = argument;
    size_t sent = 0;

    while (sent < run->wire->len) {
        ssize_t n =
            send(run->sender_fd, run->wire->data + sent, run->wire->len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    return NULL;
}

static void *sink(void *argument)
{
    const struct run *run = argument;
    int fd = accept4(run->sink_listener, NULL, NULL, SOCK_CLOEXEC);

    /* Dropped in the kernel, without a copy. */
    while (fd >= 0 && recv(fd, NULL, BODY_BIG, MSG_TRUNC) > 0)
        ;
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* --- the relay ---------------------------------------------------------------------------- */

static void body_begin(struct run *run);

static void stop(struct run *run)
{
    dp_timer_stop(run->dp, &run->pending);
    dp_timer_stop(run->dp, &run->limit);
    dp_stop(run->dp);
}

/* A body counts until its last byte is the socket's. */
static void pending_fired(void *user, struct dp_timer *timer)
{
    struct run *run = user;

    if (dp_pending(run->dp, run->to) > 0) {
        if (dp_timer_start(run->dp, timer, PENDING_MS) != 0)
            stop(run);
        return;
    }
    run->cost_ns[run->body] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - run->cpu_ns;
    run->body++;
    if (run->body < BODY_COUNT) {
        run->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        body_begin(run);
        return;
    }
    run->done = true;
    dp_counters(run->dp, &run->counters);
    stop(run);
}

static void body_done(void *user, const struct dp_relay *relay,
                      const struct dp_relay_result *result)
{
    struct run *run = user;

    if (result->end != DP_RELAY_DONE)
        stop(run);
    else
        pending_fired(run, &run->pending);
}

static void body_begin(struct run *run)
{
    struct dp_relay relay = {.from = run->from, .to = run->to, .idle_timeout_ms = RUN_MS};

    if (run->body == BODY_DATA) {
        body_flow_init(&relay.flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    } else {
        body_flow_init(&relay.flow, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
        body_flow_chunk(&relay.flow, run->body == BODY_FIRST ? BODY_SMALL : BODY_BIG, true);
    }
    if (dp_relay(run->dp, &relay, body_done, run) != 0)
        stop(run);
}

/* The hand-off counts to the first body. */
static void legs_ready(struct run *run)
{
    if (!run->from_there || !run->to_there)
        return;
    run->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (dp_set_keys(run->dp, run->from, run->keys, span_make(NULL, 0), 0) != 0 ||
        dp_set_keys(run->dp, run->to, run->keys, span_make(NULL, 0), 0) != 0)
        stop(run);
    else
        body_begin(run);
}

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer, const union net_addr *local)
{
    struct run *run = user;

    run->from = leg;
    run->from_there = dp_pause(run->dp, leg) == 0;
    legs_ready(run);
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    struct run *run = user;

    run->to_there = error == 0;
    if (error)
        stop(run);
    else
        legs_ready(run);
}

static size_t on_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    return 0;
}

static void on_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    stop(user);
}

static void limit_fired(void *user, struct dp_timer *timer)
{
    stop(user);
}

static const struct dp_events events = {
    .accepted = on_accepted, .connected = on_connected, .received = on_received, .lost = on_lost};

/* --- one run ------------------------------------------------------------------------------ */

static int loopback_listen(struct sockaddr_in *ret)
{
    socklen_t len = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && (bind(fd, (struct sockaddr *)ret, len) != 0 || listen(fd, 2) != 0 ||
                    getsockname(fd, (struct sockaddr *)ret, &len) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void relay_run(struct run *run, int listener, const struct sockaddr_in *back)
{
    union net_addr to = {.v4 = *back};
    pthread_t sender_thread, sink_thread;

    if (pthread_create(&sink_thread, NULL, sink, run) != 0) {
        dp_free(run->dp);
        return;
    }
    bool sends = pthread_create(&sender_thread, NULL, sender, run) == 0;
    run->pending = (struct dp_timer){.fire = pending_fired, .user = run};
    run->limit = (struct dp_timer){.fire = limit_fired, .user = run};
    if (sends && dp_listen(run->dp, listener, 0) == 0 &&
        dp_connect(run->dp, &to, NULL, &run->to) == 0 &&
        dp_timer_start(run->dp, &run->limit, run->limit_ms) == 0)
        (void)!dp_run(run->dp);
    dp_free(run->dp);
    run->dp = NULL;
    /* A far end that still waits hears the end. */
    shutdown(run->sender_fd, SHUT_RDWR);
    shutdown(run->sink_listener, SHUT_RDWR);
    if (sends)
        pthread_join(sender_thread, NULL);
    pthread_join(sink_thread, NULL);
}

enum way_end { WAY_MEASURED, WAY_NOT_THERE, WAY_NOT_GRANTED, WAY_FAILED };

static enum way_end way_run(enum record_way way, const struct tls_keys *keys,
                            const struct wire *wire, uint64_t limit_ms, uint64_t ret_ns[BODY_COUNT])
{
    const struct dp_conf conf = {.max_legs = 8,
                                 .max_relays = 2,
                                 .kernel_rx = {.on = record_way_rx(way)},
                                 .kernel_tx = {.on = record_way_tx(way)}};
    struct run run = {
        .keys = keys, .wire = wire, .limit_ms = limit_ms, .sender_fd = -1, .sink_listener = -1};
    struct sockaddr_in front, back;
    int listener = loopback_listen(&front);

    run.sink_listener = loopback_listen(&back);
    run.sender_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener >= 0 && run.sink_listener >= 0 && run.sender_fd >= 0 &&
        connect(run.sender_fd, (struct sockaddr *)&front, sizeof(front)) == 0 &&
        dp_uring_new(&conf, &events, &run, &run.dp) == 0)
        relay_run(&run, listener, &back);
    if (listener >= 0)
        close(listener);
    if (run.sink_listener >= 0)
        close(run.sink_listener);
    if (run.sender_fd >= 0)
        close(run.sender_fd);
    for (int i = 0; i < BODY_COUNT; i++)
        ret_ns[i] = run.cost_ns[i];
    if (!run.done)
        return WAY_FAILED;
    return (run.counters.kernel_rx > 0) == record_way_rx(way) &&
                   (run.counters.kernel_tx > 0) == record_way_tx(way)
               ? WAY_MEASURED
               : WAY_NOT_GRANTED;
}

/* --- the whole ---------------------------------------------------------------------------- */

/* They protect nothing. Both directions have the same, so that one value serves both ends. */
static int keys_make(struct tls_keys *ret)
{
    *ret = (struct tls_keys){.version = TLS_VERSION_1_3,
                             .aead = TLS_AEAD_AES_128_GCM,
                             .max_plaintext = TLS_PLAINTEXT_MAX,
                             .key_len = 16,
                             .secret_len = 32};
    if (getrandom(&ret->tx, sizeof(ret->tx), 0) != sizeof(ret->tx))
        return ERR_SYSTEM;
    ret->tx.seq = 0;
    ret->rx = ret->tx;
    return 0;
}

static size_t body_size(enum body body)
{
    return body == BODY_FIRST ? BODY_SMALL : BODY_BIG;
}

/* Lines of text, so that the scan of DATA has its usual work. */
static void body_fill(uint8_t *out, enum body body)
{
    static const char end[] = "\r\n.\r\n";
    size_t len = body_size(body);

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : 'a' + i % 26);
    memcpy(out + len - (sizeof(end) - 1) - 2, "xx", 2);
    memcpy(out + len - (sizeof(end) - 1), end, sizeof(end) - 1);
}

static int body_seal(struct tls_record_dir *tx, const uint8_t *body, size_t len, struct wire *wire)
{
    int err = 0;

    for (size_t at = 0; at < len && !err; at += RECORD) {
        size_t n = len - at < RECORD ? len - at : RECORD, size = 0;
        err = tls_record_seal(tx, TLS_CONTENT_DATA, body + at, n, wire->data + wire->len, &size);
        wire->len += size;
    }
    return err;
}

static int wire_make(const struct tls_keys *keys, struct wire *ret)
{
    size_t records = 2 * (BODY_BIG / RECORD) + 1;
    uint8_t *body = malloc(BODY_BIG);
    struct tls_record_dir tx = {0};
    int err = tls_record_init(&tx, keys, TLS_DIR_TX);

    ret->len = 0;
    ret->data = malloc(records * TLS_RECORD_MAX);
    if (!body || !ret->data)
        err = err ? err : ERR_NOMEM;
    for (int i = 0; i < BODY_COUNT && !err; i++) {
        body_fill(body, (enum body)i);
        err = body_seal(&tx, body, body_size((enum body)i), ret);
    }
    tls_record_free(&tx);
    free(body);
    if (err) {
        free(ret->data);
        ret->data = NULL;
    }
    return err;
}

/* A clock that goes in ticks may have stood still: 0 is kept for what was not measured. */
static void least(uint64_t *best, uint64_t value)
{
    value = value > 0 ? value : 1;
    if (*best == 0 || value < *best)
        *best = value;
}

/* By what the probe found, the cipher of these runs can go that way. */
static bool is_there(const struct platform_ktls *ktls, enum record_way way)
{
    return (!record_way_rx(way) || ktls->ciphers[KTLS_TLS13_AES128].rx) &&
           (!record_way_tx(way) || ktls->ciphers[KTLS_TLS13_AES128].tx);
}

static uint64_t passed_ms(uint64_t begun_ns)
{
    return (clock_ns(CLOCK_MONOTONIC) - begun_ns) / 1000000;
}

/* One round in turns, so that a busy moment meets all of them. */
static void round_run(const struct tls_keys *keys, const struct wire *wire, uint64_t begun_ns,
                      enum way_end ends[RECORD_WAY_COUNT], struct record_cost *ret)
{
    for (int i = 0; i < RECORD_WAY_COUNT; i++) {
        uint64_t passed = passed_ms(begun_ns), ns[BODY_COUNT];
        uint64_t left = passed < RECORD_MEASURE_MS ? RECORD_MEASURE_MS - passed : 0;
        if (ends[i] != WAY_MEASURED || ends[RECORD_WAY_USER] != WAY_MEASURED)
            continue;
        ends[i] = left > 0
                      ? way_run((enum record_way)i, keys, wire, left < RUN_MS ? left : RUN_MS, ns)
                      : WAY_FAILED;
        if (ends[i] != WAY_MEASURED)
            continue;
        least(&ret->switch_ns[i], ns[BODY_FIRST]);
        least(&ret->chunk_ns[i], ns[BODY_CHUNK] / BODY_BIG_MIB);
        least(&ret->data_ns[i], ns[BODY_DATA] / BODY_BIG_MIB);
    }
}

int record_measure(const struct platform_ktls *ktls, struct record_cost *ret, bool *ret_whole)
{
    uint64_t begun_ns = clock_ns(CLOCK_MONOTONIC);
    enum way_end ends[RECORD_WAY_COUNT];
    struct tls_keys keys;
    struct wire wire;
    int err = keys_make(&keys);

    *ret = (struct record_cost){0};
    *ret_whole = true;
    if (!err)
        err = wire_make(&keys, &wire);
    if (err)
        return err;
    for (int i = 0; i < RECORD_WAY_COUNT; i++)
        ends[i] = is_there(ktls, (enum record_way)i) ? WAY_MEASURED : WAY_NOT_THERE;
    for (int round = 0; round < ROUNDS && ends[RECORD_WAY_USER] == WAY_MEASURED; round++) {
        round_run(&keys, &wire, begun_ns, ends, ret);
        if (passed_ms(begun_ns) > ENOUGH_MS)
            break;
    }
    for (int i = 0; i < RECORD_WAY_COUNT; i++)
        *ret_whole = *ret_whole && (ends[i] == WAY_MEASURED || ends[i] == WAY_NOT_THERE);
    free(wire.data);
    tls_keys_wipe(&keys);
    return ret->chunk_ns[RECORD_WAY_USER] > 0 ? 0 : ERR_SYSTEM;
}
