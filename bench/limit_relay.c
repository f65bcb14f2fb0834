/* SPDX-License-Identifier: Apache-2.0 */
#include "limit.h"

#include "dp.h"
#include "limit_ends.h"

#include <string.h>

enum { IDLE_MS = 20000, SPARE_LEGS = 8 };

struct pair { /* of legs: from the sender, to the next hop */
    struct relay_run *run;
    struct leg_id from, to;
    unsigned left; /* messages */
    size_t answer; /* bytes of it that came */
};

struct relay_run {
    const struct limit_relay_conf *conf;
    struct dp *dp;
    struct pair pairs[LIMIT_SESSIONS_MAX];
    unsigned accepted, connected, ended;
    int err;
    double cpu_s;
};

static void run_fail(struct relay_run *run, int err)
{
    if (run->err == ERR_OK)
        run->err = err;
    dp_stop(run->dp);
}

static void body_done(void *user, const struct dp_relay *relay,
                      const struct dp_relay_result *result)
{
    struct pair *p = user;
    struct span finish = body_flow_finish(&result->flow);
    int err = result->end == DP_RELAY_DONE ? ERR_OK : ERR_CLOSED;

    if (err == ERR_OK)
        err = dp_send(p->run->dp, p->to, finish.ptr, finish.len);
    if (err != ERR_OK)
        run_fail(p->run, err);
}

static void message_begin(struct pair *p)
{
    struct dp_relay relay = {.from = p->from, .to = p->to, .idle_timeout_ms = IDLE_MS};

    body_flow_init(&relay.flow, BODY_FRAME_DOT, BODY_FRAME_DOT);
    int err = dp_relay(p->run->dp, &relay, body_done, p);
    if (err != ERR_OK)
        run_fail(p->run, err);
}

static struct pair *pair_of(struct relay_run *run, struct leg_id to)
{
    for (unsigned i = 0; i < run->connected; i++) {
        if (run->pairs[i].to.slot == to.slot)
            return &run->pairs[i];
    }
    return NULL;
}

/* The next hop's answer goes back, then the next message may come. */
static size_t on_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    struct relay_run *run = user;
    struct pair *p = pair_of(run, leg);

    if (!p)
        return len;
    p->answer += len;
    if (p->answer < strlen(LIMIT_ANSWER))
        return len;
    p->answer = 0;
    int err = dp_send(run->dp, p->from, LIMIT_ANSWER, strlen(LIMIT_ANSWER));
    if (err != ERR_OK)
        run_fail(run, err);
    else if (--p->left > 0)
        message_begin(p);
    else if (++run->ended == run->conf->sessions)
        dp_stop(run->dp);
    return len;
}

/* Once all legs of both sides are there, the clock starts. */
static void leg_ready(struct relay_run *run, struct leg_id leg)
{
    const struct tls_keys *keys = run->conf->keys;
    int err = keys ? dp_set_keys(run->dp, leg, keys, span_make(NULL, 0), 0) : ERR_OK;

    if (err != ERR_OK) {
        run_fail(run, err);
        return;
    }
    if (run->accepted < run->conf->sessions || run->connected < run->conf->sessions)
        return;
    run->cpu_s = limit_cpu_s();
    for (unsigned i = 0; i < run->conf->sessions; i++)
        message_begin(&run->pairs[i]);
}

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer, const union net_addr *local)
{
    struct relay_run *run = user;

    if (run->accepted == run->conf->sessions)
        return;
    run->pairs[run->accepted++].from = leg;
    if (dp_pause(run->dp, leg) != ERR_OK)
        run_fail(run, ERR_STATE);
    leg_ready(run, leg);
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    struct relay_run *run = user;

    if (error != 0) {
        run_fail(run, ERR_CLOSED);
        return;
    }
    run->pairs[run->connected++].to = leg;
    leg_ready(run, leg);
}

static void on_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    run_fail(user, ERR_CLOSED);
}

static void on_late(void *user, struct dp_timer *timer)
{
    run_fail(user, ERR_CLOSED);
}

static const struct dp_events events = {
    .accepted = on_accepted, .connected = on_connected, .received = on_received, .lost = on_lost};

static int dp_prepare(struct relay_run *run, const struct limit_ends *ends)
{
    const union net_addr to = {.v4 = ends->back_at};
    int err = dp_listen(run->dp, ends->front, 0);

    for (unsigned i = 0; i < run->conf->sessions && err == ERR_OK; i++) {
        struct leg_id leg;
        run->pairs[i].run = run;
        run->pairs[i].left = run->conf->messages;
        err = dp_connect(run->dp, &to, NULL, &leg);
    }
    return err;
}

int limit_relay(const struct limit_relay_conf *conf, double *ret_s)
{
    const struct dp_conf dp_conf = {.max_legs = 2 * conf->sessions + SPARE_LEGS,
                                    .max_relays = conf->sessions};
    struct relay_run run = {.conf = conf};
    struct dp_timer late = {.fire = on_late, .user = &run};
    struct limit_ends ends;
    int err = limit_ends_start(conf, &ends);

    if (err != ERR_OK)
        return err;
    err = dp_uring_new(&dp_conf, &events, &run, &run.dp);
    if (err == ERR_OK) {
        err = dp_prepare(&run, &ends);
        if (err == ERR_OK)
            err = dp_timer_start(run.dp, &late, 3 * IDLE_MS);
        if (err == ERR_OK)
            err = dp_run(run.dp);
        run.cpu_s = limit_cpu_s() - run.cpu_s;
        dp_timer_stop(run.dp, &late);
        dp_free(run.dp);
    }
    limit_ends_stop(&ends);
    *ret_s = run.cpu_s / ((double)conf->size * conf->messages * conf->sessions);
    return err != ERR_OK ? err : run.err;
}
