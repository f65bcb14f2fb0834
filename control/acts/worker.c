/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include "channel.h"
#include "dp.h"
#include "explain.h"
#include "gateway.h"
#include "log.h"
#include "platform.h"
#include "resolver.h"
#include "sandbox.h"
#include "tls_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    PUBLISH_MS = 1000,
    RELAYS_MAX = 64,      /* bodies moving at once; further ones wait: 256 KiB each */
    UNLISTEN_MS = 10,     /* for the loop to take its accepts back */
    SESSIONS_KEPT = 4096, /* client TLS sessions for resumption to next hops */
    FDS_SPARE = 256,      /* descriptors for all that is no leg */
    EXPLAINS_MAX = 4,     /* explanations and probes at once */
};

struct worker;

/* A question of an administrator's that is being answered. */
struct explaining {
    struct worker *worker;
    struct explain *explain; /* NULL: the place is free, or it is answered at once */
    uint32_t id;
    int fd;
    bool used;
};

struct worker {
    const struct worker_start *start;
    struct conf *conf;
    struct gateway *gateway;
    struct dp *dp;
    struct tls_service *tls;
    int tls_fd; /* its answers */
    struct resolver *resolver;
    int resolver_fd;
    bool listening, failed;
    bool leaving, unlistened; /* no new sessions; and that was said */
    bool draining;            /* and the open ones end after their transactions */
    struct explaining explaining[EXPLAINS_MAX];
    struct dp_timer publish, unlisten_timer;
    char why[CHANNEL_TEXT];
};

static void say(const struct worker *w, enum channel_kind kind, uint32_t id, uint64_t number)
{
    struct channel_message message = {.kind = kind, .id = id, .number = number};

    if (kind == CHANNEL_FAILED)
        snprintf(message.text, sizeof(message.text), "%s", w->why);
    /* A full channel means a supervisor that is stuck: its watchdog or ours ends that. */
    (void)!channel_send(w->start->channel, &message, -1);
}

/* Rows go through a buffered file, so that thousands of sessions are a few writes. */
struct rows {
    FILE *file;
    uint64_t count;
};

static void text_copy(char *out, size_t room, const char *text)
{
    snprintf(out, room, "%s", text ? text : "");
}
#define TEXT_COPY(row, field, text) text_copy((row).field, sizeof((row).field), text)

static void session_row(void *user, const struct gateway_session_status *s)
{
    struct rows *rows = user;
    struct channel_session row = {.age_ms = s->age_ms,
                                  .idle_ms = s->idle_ms,
                                  .body_bytes = s->body_bytes,
                                  .messages = s->messages,
                                  .tls = s->tls};
    char client[NET_ADDR_TEXT];

    TEXT_COPY(row, id, s->id);
    TEXT_COPY(row, state, s->state);
    TEXT_COPY(row, listener, s->listener);
    TEXT_COPY(row, helo, s->helo);
    TEXT_COPY(row, client, net_addr_text(&s->client, client));
    TEXT_COPY(row, tls_version, s->tls_version);
    TEXT_COPY(row, tls_suite, s->tls_suite);
    TEXT_COPY(row, route, s->route);
    rows->count += fwrite(&row, sizeof(row), 1, rows->file);
}

static void host_row(void *user, const struct upstream_host_status *s)
{
    struct rows *rows = user;
    struct channel_host row = {.dead_for_ms = s->dead_for_ms, .open = s->open, .idle = s->idle};

    TEXT_COPY(row, host, s->host);
    TEXT_COPY(row, last_error, s->last_error);
    rows->count += fwrite(&row, sizeof(row), 1, rows->file);
}

/* Takes fd. */
static void rows_write(struct worker *w, const struct channel_message *request, int fd)
{
    struct rows rows = {.file = fdopen(fd, "w")};

    if (!rows.file) {
        close(fd);
        return;
    }
    if (request->kind == CHANNEL_SESSIONS)
        gateway_sessions(w->gateway, session_row, &rows);
    else
        gateway_hosts(w->gateway, host_row, &rows);
    if (fclose(rows.file) == 0)
        say(w, CHANNEL_ROWS, request->id, rows.count);
}

/* Into a file, so that nobody waits for anybody. An answer without memory has no bytes. */
static void explain_write(struct worker *w, uint32_t id, int fd, json_t *answer)
{
    FILE *file = fdopen(fd, "w");
    uint64_t bytes = 0;

    if (!file)
        close(fd);
    else if (answer && json_dumpf(answer, file, JSON_COMPACT) == 0)
        bytes = (uint64_t)ftell(file);
    if (file && fclose(file) != 0)
        bytes = 0;
    json_decref(answer);
    say(w, CHANNEL_ROWS, id, bytes);
}

static void explain_done(void *user, json_t *answer)
{
    struct explaining *x = user;

    x->used = false;
    x->explain = NULL;
    explain_write(x->worker, x->id, x->fd, answer);
}

static struct explaining *explaining_free_place(struct worker *w)
{
    for (size_t i = 0; i < EXPLAINS_MAX; i++)
        if (!w->explaining[i].used)
            return &w->explaining[i];
    return NULL;
}

/* Takes fd. */
static void explain_take(struct worker *w, const struct channel_message *message, int fd)
{
    struct explaining *x = explaining_free_place(w);
    char address[CHANNEL_TEXT];
    const char *listener = "";

    if (!x) {
        explain_write(w, message->id, fd,
                      json_pack("{s:s, s:i}", "error",
                                "too many explanations and probes at once; try again in a minute",
                                "exit", EX_TEMPFAIL));
        return;
    }
    memcpy(address, message->text, sizeof(address));
    char *feed = strchr(address, '\n');
    if (feed) {
        *feed = '\0';
        listener = feed + 1;
    }
    *x = (struct explaining){.worker = w, .id = message->id, .fd = fd, .used = true};
    const struct explain_request request = {.conf = w->conf,
                                            .upstream = gateway_upstream(w->gateway),
                                            .address = address,
                                            .listener = listener,
                                            .probe = message->number == 1,
                                            .done = explain_done,
                                            .user = x};
    explain_begin(&request, &x->explain);
}

static void explains_cancel(struct worker *w)
{
    for (size_t i = 0; i < EXPLAINS_MAX; i++) {
        if (!w->explaining[i].used)
            continue;
        explain_cancel(w->explaining[i].explain);
        close(w->explaining[i].fd);
        w->explaining[i].used = false;
    }
}

static void drained(void *user)
{
    struct worker *w = user;

    dp_stop(w->dp);
}

static void unlisten_done(void *user, struct dp_timer *timer)
{
    struct worker *w = user;

    w->unlistened = true;
    say(w, CHANNEL_UNLISTENED, 0, 0);
    if (w->draining)
        gateway_drain(w->gateway);
    else
        gateway_retire(w->gateway);
}

/* Two rings that accept from one socket steal each other's wake-ups, and a connection then waits
 * for the next one to come. Therefore the next generation's worker listens only once this one has
 * taken its accepts back, which is some turns of the loop later: connections wait in the socket. */
static void leave(struct worker *w)
{
    if (w->leaving)
        return;
    w->leaving = true;
    for (unsigned i = 0; i < w->start->plan->listeners_len && w->listening; i++) {
        (void)!dp_unlisten(w->dp, i);
        close(w->start->listen_fds[i]);
    }
    w->unlisten_timer.fire = unlisten_done;
    w->unlisten_timer.user = w;
    if (dp_timer_start(w->dp, &w->unlisten_timer, UNLISTEN_MS) != 0)
        unlisten_done(w, &w->unlisten_timer);
}

static void drain(struct worker *w)
{
    w->draining = true;
    if (w->unlistened)
        gateway_drain(w->gateway);
    else
        leave(w);
}

static void listen_all(struct worker *w)
{
    if (w->listening || w->leaving)
        return;
    w->listening = true;
    for (unsigned i = 0; i < w->start->plan->listeners_len; i++) {
        int err = dp_listen(w->dp, w->start->listen_fds[i], i);
        if (!err)
            continue;
        log_text(LOG_LEVEL_ERROR, w->start->name, "listener %s: %s",
                 w->start->plan->listeners[i].name, err_text(err));
        w->failed = true;
        dp_stop(w->dp);
    }
}

static void resolver_replace(struct worker *w, int fd)
{
    resolver_client_set_fd(w->resolver, fd);
    close(w->resolver_fd);
    w->resolver_fd = fd;
}

static void message_take(struct worker *w, const struct channel_message *message, int fd)
{
    switch ((enum channel_kind)message->kind) {
    case CHANNEL_LISTEN:
        listen_all(w);
        break;
    case CHANNEL_RETIRE:
        leave(w);
        break;
    case CHANNEL_DRAIN:
        drain(w);
        break;
    case CHANNEL_SESSIONS:
    case CHANNEL_HOSTS:
        if (fd >= 0)
            rows_write(w, message, fd);
        return;
    case CHANNEL_EXPLAIN:
        if (fd >= 0)
            explain_take(w, message, fd);
        return;
    case CHANNEL_RESOLVER:
        if (fd >= 0)
            resolver_replace(w, fd);
        return;
    case CHANNEL_PING:
        say(w, CHANNEL_PONG, message->id, 0);
        break;
    case CHANNEL_CLIENT:
    case CHANNEL_RATCHET:
    case CHANNEL_EXPIRY:
    case CHANNEL_TLSRPT:
    case CHANNEL_CERTIFICATES:
    case CHANNEL_READY:
    case CHANNEL_FAILED:
    case CHANNEL_ROWS:
    case CHANNEL_UNLISTENED:
    case CHANNEL_PONG:
        break;
    }
    if (fd >= 0)
        close(fd);
}

static void channel_ready(void *user, int channel)
{
    struct worker *w = user;
    struct channel_message message;
    int fd;
    int err;

    while ((err = channel_receive(channel, &message, &fd)) == 0)
        message_take(w, &message, fd);
    if (err == ERR_CLOSED) /* nobody is left who could tell us to stop */
        dp_stop(w->dp);
}

static void publish_fired(void *user, struct dp_timer *timer)
{
    struct worker *w = user;

    gateway_publish(w->gateway);
    if (dp_timer_start(w->dp, timer, PUBLISH_MS) != 0)
        log_text(LOG_LEVEL_WARNING, w->start->name, "metrics stop: %s", err_text(ERR_NOMEM));
}

static int fail(struct worker *w, int err, const char *what)
{
    snprintf(w->why, sizeof(w->why), "%s: %s", what, err_text(err));
    return err;
}

/* What the kernel lacks says more than the call that failed. */
static int uring_fail(struct worker *w, int err)
{
    struct platform_ring ring;

    platform_ring_probe(&ring);
    if (ring.usable)
        return fail(w, err, "io_uring");
    snprintf(w->why, sizeof(w->why), "io_uring: %s", ring.why);
    return err;
}

/* A session takes a leg, and one more to its next hop; the pool's idle legs are among them. What is
 * left over is for next hops' addresses that are tried beside another, of which upstream has half
 * as many at a time, and for legs that outlive their session. */
static uint32_t legs_wanted(const struct worker *w)
{
    return w->conf->limits.max_sessions * 2 + 64;
}

/* Descriptors for so many legs, or as many legs as there are descriptors for. */
static uint32_t legs_possible(const struct worker *w)
{
    uint32_t wanted = legs_wanted(w);
    struct rlimit limit = {wanted + FDS_SPARE, wanted + FDS_SPARE};
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) != 0)
        return wanted;
    if (now.rlim_max > limit.rlim_max)
        limit.rlim_max = now.rlim_max;
    if (now.rlim_cur >= limit.rlim_cur || setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return wanted;
    now.rlim_cur = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_max >= limit.rlim_cur)
        return wanted;
    if (now.rlim_max <= FDS_SPARE * 2)
        return FDS_SPARE;
    log_text(
        LOG_LEVEL_WARNING, w->start->name,
        "limits.max_sessions = %u needs %llu descriptors and the limit is %llu: fewer sessions",
        w->conf->limits.max_sessions, (unsigned long long)wanted + FDS_SPARE,
        (unsigned long long)now.rlim_max);
    return (uint32_t)now.rlim_max - FDS_SPARE;
}

/* Under memory pressure a worker goes before the supervisor, and its sessions are tried again. */
static void oom_prefer(void)
{
    FILE *f = fopen("/proc/self/oom_score_adj", "we");

    if (!f)
        return;
    fputs("200", f);
    fclose(f);
}

static int conf_read(struct worker *w)
{
    struct conf_errors errors = {0};
    int err = plan_conf_load(w->start->conf_fd, w->start->conf_file, &w->conf, &errors);

    if (err) {
        errors.text[strcspn(errors.text, "\n")] = '\0';
        snprintf(w->why, sizeof(w->why), "%.500s", errors.text);
    }
    return err;
}

/* The child that checked the configuration has used it on this machine, so that this does not fail;
 * where it does all the same, mail goes on, as well protected, at OpenSSL's price. */
static void aead_use(const struct worker *w)
{
    enum tls_aead_backend backend = w->start->plan->aead.backend;
    char why[TLS_AEAD_WHY_TEXT];

    if (tls_aead_use(backend, why, sizeof(why)) != ERR_OK)
        log_text(LOG_LEVEL_WARNING, w->start->name, "aead %s: %s; it is OpenSSL's here",
                 tls_aead_backend_name(backend), why);
}

static int services_make(struct worker *w)
{
    uint32_t legs = legs_possible(w);
    struct gateway_conf gateway = {.conf = w->conf,
                                   .shared = w->start->shared,
                                   .name = w->start->name,
                                   .max_legs = legs,
                                   .ratchet = w->start->ratchet,
                                   .drained = drained,
                                   .user = w};
    const struct record_choice *records = &w->start->plan->records;
    struct dp_conf dp = {
        .max_legs = legs,
        .max_relays = RELAYS_MAX,
        .kernel_rx = {record_way_rx(records->way), records->after_bytes},
        .kernel_tx = {record_way_tx(records->way), records->after_bytes},
    };
    uint32_t handshakes = w->conf->limits.max_handshakes;
    struct tls_service_conf tls = {.max_legs = legs,
                                   .max_handshakes = handshakes,
                                   .max_waiting = gateway_handshakes_max(w->conf) - handshakes,
                                   .max_sessions = SESSIONS_KEPT,
                                   .idle = gateway_idle};
    const struct conf_resolver *names = &w->conf->resolver;
    const struct resolver_client_conf resolver = {.timeout_s = names->timeout_s,
                                                  .sts_timeout_s = names->sts_timeout_s,
                                                  .cache_entries = names->cache_entries};
    int err;

    if (getrandom(&gateway.id_seed, sizeof(gateway.id_seed), 0) != sizeof(gateway.id_seed))
        return fail(w, ERR_SYSTEM, "getrandom");
    /* By itself it would read a file, which the sandbox does not let it. */
    json_object_seed((size_t)gateway.id_seed | 1);
    err = gateway_new(&gateway, &w->gateway);
    if (err)
        return fail(w, err, "gateway");
    /* The ring is made after the fork: a ring that two processes share is nobody's. */
    err = dp_uring_new(&dp, &gateway_dp_events, w->gateway, &w->dp);
    if (err)
        return uring_fail(w, err);
    err = tls_service_openssl_new(&tls, &gateway_tls_events, w->gateway, &w->tls);
    if (err)
        return fail(w, err, "tls");
    err = resolver_client_new(w->dp, w->start->resolver_fd, &resolver, &w->start->shared,
                              &w->resolver);
    if (err)
        return fail(w, err, "resolver");
    w->resolver_fd = w->start->resolver_fd;
    return gateway_start(w->gateway, w->dp, w->tls, w->resolver, w->why, sizeof(w->why));
}

static void tls_ready(void *user, int fd)
{
    struct worker *w = user;

    w->tls->ops->answer(w->tls);
}

/* The thread for handshakes is made in between: it has no more rights than the worker then, and the
 * filter, which forbids to make threads, holds for it too. */
static int confine(struct worker *w)
{
    const struct plan *plan = w->start->plan;
    int err = sandbox_drop_root(plan->uid, plan->gid, w->start->parent, w->why, sizeof(w->why));

    if (err)
        return err;
    err = tls_service_openssl_thread(w->tls, &w->tls_fd);
    return err ? fail(w, err, "handshake thread")
               : sandbox_enter(SANDBOX_WORKER, w->why, sizeof(w->why));
}

static int serve_start(struct worker *w)
{
    int err = dp_watch_fd(w->dp, w->start->channel, channel_ready, w);

    if (!err)
        err = dp_watch_fd(w->dp, w->tls_fd, tls_ready, w);
    w->publish.fire = publish_fired;
    w->publish.user = w;
    if (!err)
        err = dp_timer_start(w->dp, &w->publish, PUBLISH_MS);
    return err ? fail(w, err, "event loop") : 0;
}

static int start_all(struct worker *w)
{
    int err;

    oom_prefer();
    aead_use(w);
    err = conf_read(w);
    close(w->start->conf_fd);
    if (!err)
        err = services_make(w);
    if (!err)
        err = confine(w);
    if (!err)
        err = serve_start(w);
    return err;
}

int worker_main(const struct worker_start *start)
{
    struct worker w = {.start = start, .resolver_fd = -1};
    int err = start_all(&w);

    if (err) {
        say(&w, CHANNEL_FAILED, 0, 0);
        return EX_CONFIG;
    }
    say(&w, CHANNEL_READY, 0, 0);
    log_collect(); /* the gateway has them written before a turn's replies go out */
    err = dp_run(w.dp);
    if (err)
        log_text(LOG_LEVEL_ERROR, start->name, "event loop ended: %s", err_text(err));
    gateway_publish(w.gateway);
    explains_cancel(&w);
    w.tls->ops->halt(w.tls); /* the gateway's contexts go */
    gateway_free(w.gateway);
    resolver_client_free(w.resolver);
    w.tls->ops->free(w.tls);
    dp_free(w.dp);
    conf_free(w.conf);
    log_flush();
    return err || w.failed ? EX_SOFTWARE : 0;
}
