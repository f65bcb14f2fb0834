/* SPDX-License-Identifier: Apache-2.0 */
#include "dp_lab.h"

#include "assertion.h"
#include "dp_transport.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const union net_addr gateway_address = {
    .v4 = {.sin_family = AF_INET, .sin_port = 0x1900, .sin_addr.s_addr = 0x0100007f}};
static const union net_addr client_address = {
    .v4 = {.sin_family = AF_INET, .sin_port = 0x1234, .sin_addr.s_addr = 0x0200007f}};
static const union net_addr server_address = {
    .v4 = {.sin_family = AF_INET, .sin_port = 0x1900, .sin_addr.s_addr = 0x0300007f}};

struct lab_way lab_way = {.name = "simulated"};

const struct lab_tls lab_kinds[LAB_KINDS] = {
    {false, 0, 0},
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305},
};

static void trace(struct lab *lab, const char *what, uint64_t value, const void *data, size_t len)
{
    uint64_t hash = lab->trace ^ value ^ dp_now_ms(lab->dp) << 20;

    lab->events++;
    for (; *what; what++)
        hash = (hash ^ (uint8_t)*what) * 0x100000001b3;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    lab->trace = hash;
}

static struct lab_leg *leg_of(struct lab *lab, struct leg_id id)
{
    ASSERT(leg_same(id, lab->a.id) || leg_same(id, lab->b.id));
    return leg_same(id, lab->a.id) ? &lab->a : &lab->b;
}

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer, const union net_addr *local)
{
    struct lab *lab = user;

    ASSERT(listener == 7);
    ASSERT(lab_way.sockets ||
           (net_addr_same_ip(peer, &client_address) && net_addr_same_ip(local, &gateway_address)));
    lab->a.id = leg;
    trace(lab, "accepted", leg.slot, NULL, 0);
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    struct lab *lab = user;

    lab->connect_error = error;
    trace(lab, "connected", (uint64_t)error, NULL, 0);
}

static size_t on_received(void *user, struct leg_id id, const uint8_t *data, size_t len)
{
    struct lab *lab = user;
    struct lab_leg *leg = leg_of(lab, id);
    size_t used = len > leg->keep ? len - leg->keep : 0;

    ASSERT(!leg->lost);
    leg->received++;
    ASSERT(buf_append(&leg->text, data, used) == ERR_OK);
    trace(lab, "received", id.slot, data, used);
    return used;
}

static void on_ticket_record(void *user, struct leg_id id, struct span record)
{
    struct lab *lab = user;

    ASSERT(record.len > 5 && record.ptr[0] == TLS_CONTENT_DATA);
    leg_of(lab, id)->tickets++;
}

static void on_lost(void *user, struct leg_id id, const struct dp_lost_info *info)
{
    struct lab *lab = user;
    struct lab_leg *leg = leg_of(lab, id);

    ASSERT(!leg->lost);
    leg->lost = true;
    leg->lost_info = *info;
    trace(lab, "lost", info->why, NULL, 0);
}

static void on_writable(void *user, struct leg_id id)
{
    leg_of(user, id)->writable = true;
}

const struct dp_events lab_events = {
    .accepted = on_accepted,
    .connected = on_connected,
    .received = on_received,
    .ticket_record = on_ticket_record,
    .lost = on_lost,
    .writable = on_writable,
};

/* The far ends. */

static void end_record(struct lab_end *end, const struct tls_record *record)
{
    end->records++;
    switch (record->type) {
    case TLS_CONTENT_DATA:
        ASSERT(buf_append(&end->text, record->data, record->len) == ERR_OK);
        break;
    case TLS_CONTENT_ALERT:
        ASSERT(record->len == 2);
        if (record->data[1] == TLS_ALERT_CLOSE_NOTIFY)
            end->close_notify = true;
        else
            end->alert = record->data[1];
        break;
    case TLS_CONTENT_HANDSHAKE:
        end->handshakes++;
        if (record->data[0] == 24) {
            end->key_updates++;
            ASSERT(tls_record_rekey(&end->rx) == ERR_OK);
        }
        break;
    case TLS_CONTENT_CCS:
        ASSERT(false);
    }
}

static void peer_received(void *user, struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
    struct lab_end *end = user;

    if (!end->tls) {
        ASSERT(buf_append(&end->text, data, len) == ERR_OK);
        return;
    }
    ASSERT(buf_append(&end->raw, data, len) == ERR_OK);
    for (;;) {
        struct tls_record record;
        struct span raw = buf_span(&end->raw);
        size_t n;
        int err = tls_record_length(&end->rx, raw.ptr, raw.len, &n);
        if (err == ERR_AGAIN || (err == ERR_OK && n > raw.len))
            return;
        ASSERT(err == ERR_OK);
        ASSERT(tls_record_open(&end->rx, (uint8_t *)raw.ptr, n, &record) == ERR_OK);
        end_record(end, &record);
        buf_consume(&end->raw, n);
    }
}

static void peer_closed(void *user, struct dp_sim_peer *peer, bool reset)
{
    struct lab_end *end = user;

    end->closed = true;
    end->reset = reset;
}

static void peer_accepted(void *user, struct dp_sim_peer *peer, const union net_addr *to)
{
    ((struct lab_end *)user)->peer = peer;
}

const struct dp_sim_peer_events lab_peer_events = {
    .accepted = peer_accepted, .received = peer_received, .closed = peer_closed};

void lab_send_bytes(struct lab_end *end, const void *data, size_t len)
{
    if (end->peer)
        dp_sim_peer_send(end->peer, data, len);
    else
        ASSERT(buf_append(&end->outbox, data, len) == ERR_OK);
}

void lab_finish(struct lab_end *end)
{
    end->finishing = true;
    if (end->peer)
        dp_sim_peer_finish(end->peer);
}

void lab_reset(struct lab_end *end)
{
    const struct linger at_once = {.l_onoff = 1};

    if (end->peer) {
        dp_sim_peer_reset(end->peer);
        return;
    }
    setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(end->fd);
    end->fd = -1;
}

void lab_hold(struct lab_end *end, bool hold)
{
    end->held = hold;
    if (end->peer)
        dp_sim_peer_hold(end->peer, hold);
}

void lab_send_record(struct lab_end *end, enum tls_content type, const void *data, size_t len)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t n;

    ASSERT(tls_record_seal(&end->tx, type, data, len, record, &n) == ERR_OK);
    lab_send_bytes(end, record, n);
}

void lab_send(struct lab_end *end, const void *data, size_t len, size_t record)
{
    if (!end->tls) {
        lab_send_bytes(end, data, len);
        return;
    }
    for (size_t at = 0; at < len; at += record) {
        size_t n = len - at < record ? len - at : record;
        lab_send_record(end, TLS_CONTENT_DATA, (const uint8_t *)data + at, n);
    }
}

/* The whole. */

void lab_keys(const struct lab_tls *tls, uint8_t seed, struct tls_keys *ret_gateway,
              struct tls_keys *ret_far)
{
    struct tls_keys k = {
        .version = tls->version, .aead = tls->aead, .max_plaintext = TLS_PLAINTEXT_MAX};

    k.key_len = tls->aead == TLS_AEAD_AES_128_GCM ? 16 : 32;
    if (tls->version == TLS_VERSION_1_3)
        k.secret_len = tls->aead == TLS_AEAD_AES_256_GCM ? 48 : 32;
    memset(k.tx.key, seed + 1, sizeof(k.tx.key));
    memset(k.rx.key, seed + 2, sizeof(k.rx.key));
    memset(k.tx.iv, seed + 3, sizeof(k.tx.iv));
    memset(k.rx.iv, seed + 4, sizeof(k.rx.iv));
    memset(k.tx.secret, seed + 5, sizeof(k.tx.secret));
    memset(k.rx.secret, seed + 6, sizeof(k.rx.secret));
    k.tx.seq = tls->version == TLS_VERSION_1_2 ? 1 : 0;
    k.rx.seq = k.tx.seq;
    *ret_gateway = k;
    *ret_far = k;
    ret_far->tx = k.rx;
    ret_far->rx = k.tx;
}

static void establish(struct lab *lab, struct leg_id id, struct lab_end *end,
                      const struct lab_tls *tls, uint8_t seed, unsigned flags)
{
    struct tls_keys gateway, far;

    if (!tls->on)
        return;
    lab_keys(tls, seed, &gateway, &far);
    end->tls = true;
    ASSERT(tls_record_init(&end->tx, &far, TLS_DIR_TX) == ERR_OK);
    ASSERT(tls_record_init(&end->rx, &far, TLS_DIR_RX) == ERR_OK);
    ASSERT(dp_set_keys(lab->dp, id, &gateway, span_make(NULL, 0), flags) == ERR_OK);
}

static void lab_sim_open(struct lab *lab, const struct dp_conf *conf, struct dp_sim_conf sim)
{
    sim.kernel = lab_way.kernel_rx.on || lab_way.kernel_tx.on;
    sim.kernel_rekey = lab_way.rekey;
    sim.kernel_refuse_per_mille = lab_way.refuse_per_mille;
    sim.pipe_size = lab_way.pipe_size;
    ASSERT(dp_sim_new(conf, &sim, &lab_events, lab, &lab->dp) == ERR_OK);
    ASSERT(dp_sim_listen(lab->dp, &gateway_address, 7) == ERR_OK);
    ASSERT(dp_sim_serve(lab->dp, &server_address, &lab_peer_events, &lab->server) == ERR_OK);
    lab->client.peer =
        dp_sim_dial(lab->dp, &client_address, &gateway_address, &lab_peer_events, &lab->client);
    ASSERT(dp_connect(lab->dp, &server_address, NULL, &lab->b.id) == ERR_OK);
}

void lab_open(struct lab *lab, const struct lab_conf *conf)
{
    const struct dp_conf dp_conf = {.max_legs = 8,
                                    .max_relays = conf->max_relays,
                                    .kernel_rx = lab_way.kernel_rx,
                                    .kernel_tx = lab_way.kernel_tx};

    *lab = (struct lab){.connect_error = -1, .client.fd = -1, .server.fd = -1};
    if (lab_way.sockets)
        lab_net_open(lab, &dp_conf);
    else
        lab_sim_open(lab, &dp_conf, conf->sim);
    lab_run(lab, 10000);
    if (lab_way.sockets)
        lab_net_connect(lab);
    ASSERT(lab->connect_error == 0 && !leg_is_none(lab->a.id));
    establish(lab, lab->a.id, &lab->client, &conf->a, 10, 0);
    establish(lab, lab->b.id, &lab->server, &conf->b, 40, conf->want_tickets ? DP_KEYS_TICKETS : 0);
    if (lab_way.settled)
        lab_run(lab, 1000);
}

static void end_free(struct lab_end *end)
{
    buf_release(&end->raw);
    buf_release(&end->text);
    buf_release(&end->outbox);
    tls_record_free(&end->tx);
    tls_record_free(&end->rx);
}

void lab_close(struct lab *lab)
{
    dp_free(lab->dp);
    if (lab_way.sockets)
        lab_net_close(lab);
    end_free(&lab->client);
    end_free(&lab->server);
    buf_release(&lab->a.text);
    buf_release(&lab->b.text);
}

void lab_run(struct lab *lab, uint64_t ms)
{
    if (lab_way.sockets)
        lab_net_run(lab, ms);
    else
        (void)dp_sim_run(lab->dp, dp_now_ms(lab->dp) + ms);
}

void lab_relay_done(void *user, const struct dp_relay *relay, const struct dp_relay_result *result)
{
    struct lab *lab = user;

    lab->relays_done++;
    lab->result = *result;
    trace(lab, "relay", result->end, NULL, 0);
    if (lab->finish && result->end == DP_RELAY_DONE) {
        struct span finish = body_flow_finish(&result->flow);
        int err = dp_send(lab->dp, lab->b.id, finish.ptr, finish.len);
        ASSERT(err == ERR_OK || err == ERR_CLOSED);
    }
}

int lab_relay(struct lab *lab, const struct body_flow *flow, uint32_t idle_timeout_ms)
{
    const struct dp_relay relay = {
        .from = lab->a.id, .to = lab->b.id, .flow = *flow, .idle_timeout_ms = idle_timeout_ms};

    return dp_relay(lab->dp, &relay, lab_relay_done, lab);
}

void lab_body(uint8_t *out, size_t len, unsigned seed)
{
    size_t at = 0;

    ASSERT(len >= 2);
    while (at < len) {
        seed = seed * 1103515245 + 12345;
        size_t line = seed >> 16 & 127;
        if (len - at < line + 4)
            line = len - at - 2;
        for (size_t i = 0; i < line; i++)
            out[at++] = (uint8_t)('a' + (seed + i) % 26);
        out[at++] = '\r';
        out[at++] = '\n';
    }
}

/* It joins an established TCP connection, and no other. */
bool lab_kernel_has_tls(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ASSERT(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    ASSERT(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    ASSERT(connect(fd, (struct sockaddr *)&address, len) == 0);
    bool has = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0;
    close(fd);
    close(listener);
    return has;
}

void lab_skipped(const char *name)
{
    printf("ok 1 - %s # SKIP no kernel TLS\n", name);
    fflush(stdout);
}

static const struct dp_kernel_when on = {.on = true}, late = {.on = true, .after_bytes = 20000};

static bool environment_says(const char *name, const char *word)
{
    const char *value = getenv(name);

    return value && strcmp(value, word) == 0;
}

/* A virtual machine is there for its kernel, which the simulation asks for nothing. */
static bool simulation_wanted(void)
{
    return !environment_says("POSTERN_SIMULATION", "no");
}

bool lab_emulated(void)
{
    return environment_says("POSTERN_EMULATED", "yes");
}

int lab_ways(int (*group)(const char *way))
{
    const struct lab_way ways[] = {
        {.name = "simulated"},
        {.name = "simulated kernel", .settled = true, .kernel_rx = on, .kernel_tx = on},
        {.name = "sockets", .sockets = true},
        {.name = "kernel rx", .sockets = true, .settled = true, .kernel_rx = on},
        {.name = "kernel tx", .sockets = true, .settled = true, .kernel_tx = on},
        {.name = "kernel", .sockets = true, .settled = true, .kernel_rx = on, .kernel_tx = on},
        {.name = "kernel at once", .sockets = true, .kernel_rx = on, .kernel_tx = on},
        {.name = "kernel late", .sockets = true, .kernel_rx = late, .kernel_tx = late},
    };
    bool has = lab_kernel_has_tls();
    int failed = 0;

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        lab_way = ways[i];
        lab_way.number = (unsigned)i;
        if (!lab_way.sockets && !simulation_wanted())
            continue;
        if (has || !lab_way.sockets || (!lab_way.kernel_rx.on && !lab_way.kernel_tx.on))
            failed += group(lab_way.name);
        else
            lab_skipped(lab_way.name);
    }
    return failed;
}

int lab_sim_run(int (*group)(const char *way))
{
    const struct lab_way ways[] = {
        {.name = "user records"},
        {.name = "kernel records", .kernel_rx = on, .kernel_tx = on},
        {.name = "kernel records in", .kernel_rx = on, .rekey = true},
        {.name = "kernel records out", .kernel_tx = on},
        {.name = "kernel records in mid-body", .kernel_rx = late, .kernel_tx = late, .rekey = true},
        {.name = "a small pipe", .kernel_rx = on, .kernel_tx = on, .pipe_size = 9000},
        {.name = "failures", .kernel_rx = on, .kernel_tx = on, .refuse_per_mille = 300},
    };
    int failed = 0;

    for (size_t i = 0; simulation_wanted() && i < sizeof(ways) / sizeof(ways[0]); i++) {
        lab_way = ways[i];
        failed += group(lab_way.name);
    }
    return failed;
}

bool lab_takes(unsigned *calls)
{
    enum { ONE_OF = 23 }; /* prime, so that it meets all that rounds take in turns */
    unsigned call = (*calls)++;

    ASSERT(lab_way.number < 8);
    return !lab_way.sockets || call % ONE_OF == lab_way.number;
}

bool lab_rekeys(const struct lab *lab)
{
    return dp_transport_of(lab->dp)->kernel_rekey ||
           (!lab_way.kernel_rx.on && !lab_way.kernel_tx.on);
}
