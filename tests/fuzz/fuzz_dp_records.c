/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a far end that has the keys says, in whatever records and fragments, while control
 * pauses, relays and closes: the dataplane lives, tells a loss once, and leaks nothing. The input
 * is a script of far end and control.
 */
#include "fuzz.h"

#include "assertion.h"
#include "dp_sim.h"
#include "tls_record.h"

struct stage {
    struct dp *dp;
    struct leg_id a, b;
    struct dp_sim_peer *client, *server;
    struct tls_record_dir client_tx;
    unsigned lost_a, lost_b, relays;
    uint8_t appetite; /* how much control uses of what it gets */
};

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer, const union net_addr *local)
{
    ((struct stage *)user)->a = leg;
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    ASSERT(error == 0);
}

static size_t on_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    struct stage *stage = user;

    ASSERT(len > 0 && (leg_same(leg, stage->a) ? stage->lost_a : stage->lost_b) == 0);
    int err = dp_send(stage->dp, stage->a, data, len > 100 ? 100 : len);
    ASSERT(err != ERR_STATE && err != ERR_NOMEM);
    return len * stage->appetite / 255;
}

static void on_ticket(void *user, struct leg_id leg, struct span record)
{
    ASSERT(record.len >= TLS_RECORD_HEADER);
}

static void on_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    struct stage *stage = user;
    unsigned *lost = leg_same(leg, stage->a) ? &stage->lost_a : &stage->lost_b;

    ASSERT(++*lost == 1);
}

static void on_writable(void *user, struct leg_id leg)
{
}

static const struct dp_events events = {on_accepted, on_connected, on_received,
                                        on_ticket,   on_lost,      on_writable};

static void peer_accepted(void *user, struct dp_sim_peer *peer, const union net_addr *to)
{
    ((struct stage *)user)->server = peer;
}

static void peer_received(void *user, struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
}

static void peer_closed(void *user, struct dp_sim_peer *peer, bool reset)
{
}

static const struct dp_sim_peer_events peer_events = {peer_accepted, peer_received, peer_closed};

static void relay_done(void *user, const struct dp_relay *relay,
                       const struct dp_relay_result *result)
{
    struct stage *stage = user;

    ASSERT(stage->relays-- == 1);
}

static struct tls_keys keys_of(uint8_t choice)
{
    struct tls_keys keys = {.version = choice & 1 ? TLS_VERSION_1_2 : TLS_VERSION_1_3,
                            .aead = choice & 2 ? TLS_AEAD_CHACHA20_POLY1305 : TLS_AEAD_AES_128_GCM,
                            .max_plaintext = TLS_PLAINTEXT_MAX,
                            .key_len = choice & 2 ? 32 : 16,
                            .secret_len = choice & 1 ? 0 : 32};

    return keys; /* both directions alike: the far end seals with tx what the leg opens with rx */
}

static void stage_open(struct stage *stage, uint8_t choice, uint8_t seed)
{
    const struct dp_conf conf = {.max_legs = 4, .max_relays = choice & 64 ? 1 : 0};
    const struct dp_sim_conf sim = {.seed = seed,
                                    .delay_max_ms = 2,
                                    .fragment_max = choice & 4 ? 700 : 0,
                                    .window = choice & 8 ? 5000 : 1 << 20};
    const union net_addr here = {.v4 = {.sin_family = AF_INET, .sin_port = 1}};
    const union net_addr there = {.v4 = {.sin_family = AF_INET, .sin_port = 2}};
    const struct tls_keys keys = keys_of(choice), server_keys = keys_of(choice >> 4);

    *stage = (struct stage){.appetite = 255};
    ASSERT(dp_sim_new(&conf, &sim, &events, stage, &stage->dp) == ERR_OK);
    ASSERT(dp_sim_listen(stage->dp, &here, 1) == ERR_OK);
    ASSERT(dp_sim_serve(stage->dp, &there, &peer_events, stage) == ERR_OK);
    stage->client = dp_sim_dial(stage->dp, &there, &here, &peer_events, stage);
    ASSERT(dp_connect(stage->dp, &there, NULL, &stage->b) == ERR_OK);
    dp_sim_run(stage->dp, 100);
    ASSERT(tls_record_init(&stage->client_tx, &keys, TLS_DIR_TX) == ERR_OK);
    ASSERT(dp_set_keys(stage->dp, stage->a, &keys, span_make(NULL, 0),
                       choice & 128 ? DP_KEYS_TICKETS : 0) == ERR_OK);
    ASSERT(dp_set_keys(stage->dp, stage->b, &server_keys, span_make(NULL, 0), 0) == ERR_OK);
}

static void client_record(struct stage *stage, uint8_t type, const uint8_t *data, size_t len)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t n;

    if (tls_record_seal(&stage->client_tx, (enum tls_content)type, data, len, record, &n) == ERR_OK)
        dp_sim_peer_send(stage->client, record, n);
}

/* Long bodies from short scripts. */
static void client_lines(struct stage *stage, uint8_t count)
{
    static uint8_t lines[TLS_PLAINTEXT_MAX];

    for (size_t i = 0; i < sizeof(lines); i++)
        lines[i] = (uint8_t) "abcdef\r\n"[i % 8];
    for (unsigned i = 0; i < count % 5U; i++)
        client_record(stage, TLS_CONTENT_DATA, lines, sizeof(lines));
}

static void relay(struct stage *stage, uint8_t choice, uint8_t length)
{
    struct dp_relay r = {
        .from = stage->a, .to = choice & 1 ? LEG_NONE : stage->b, .idle_timeout_ms = 50};

    body_flow_init(&r.flow, choice & 2 ? BODY_FRAME_LENGTH : BODY_FRAME_DOT,
                   choice & 4 ? BODY_FRAME_LENGTH : BODY_FRAME_DOT);
    body_flow_chunk(&r.flow, (uint64_t)length * 1000, choice & 8);
    r.flow.normalize = choice & 16;
    r.flow.scan = choice & 32;
    if (dp_relay(stage->dp, &r, relay_done, stage) == ERR_OK)
        stage->relays++;
}

static size_t act(struct stage *stage, const uint8_t *script, size_t len)
{
    uint8_t what = script[0], value = len > 1 ? script[1] : 0;
    size_t rest = len > 2 ? len - 2 : 0, n = value < rest ? value : rest;
    int err;

    switch (what % 12) {
    case 0:
        dp_sim_peer_send(stage->client, script + 2, n);
        return 2 + n;
    case 1:
    case 2:
        client_record(stage, (uint8_t)(what / 12 % 5 + 20), script + 2, n);
        return 2 + n;
    case 3:
        client_lines(stage, value);
        return 2;
    case 4:
        err = tls_record_rekey(&stage->client_tx);
        ASSERT(err == ERR_OK || err == ERR_STATE);
        return 1;
    case 5:
        relay(stage, value, what);
        return 2;
    case 6:
        err = value & 1 ? dp_pause(stage->dp, stage->a) : dp_resume(stage->dp, stage->a);
        ASSERT(err == ERR_OK || err == ERR_STALE);
        return 2;
    case 7:
        stage->appetite = value;
        return 2;
    case 8:
        if (dp_relay_stop(stage->dp, stage->a) == ERR_OK)
            ASSERT(stage->relays == 0);
        return 1;
    case 9:
        dp_sim_peer_hold(stage->server, value & 1);
        return 2;
    case 10:
        if (value & 1)
            dp_sim_peer_finish(value & 2 ? stage->client : stage->server);
        else if (value % 8 == 0)
            dp_sim_peer_reset(value & 16 ? stage->client : stage->server);
        else if (value % 8 == 2)
            (void)dp_close(stage->dp, value & 16 ? stage->a : stage->b,
                           value & 32 ? DP_CLOSE_CUT : DP_CLOSE_FLUSH);
        return 2;
    default:
        dp_sim_run(stage->dp, dp_now_ms(stage->dp) + value % 8);
        return 2;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stage stage;
    size_t at = 2;

    if (size < 2 || size > 512)
        return 0;
    stage_open(&stage, data[0], data[1]);
    while (at < size)
        at += act(&stage, data + at, size - at);
    (void)dp_sim_run(stage.dp, dp_now_ms(stage.dp) + 60000);
    ASSERT(stage.relays == 0);
    struct dp_counters counters;
    dp_counters(stage.dp, &counters);
    ASSERT(counters.relays == 0);
    dp_free(stage.dp);
    tls_record_free(&stage.client_tx);
    return 0;
}
