/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor_priv.h"

#include "assertion.h"
#include "log.h"
#include "resolver_process.h"
#include "resolver_store.h"
#include "sandbox.h"
#include "state_folder.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* A busy machine takes its time; systemd gives a service 90 s to start. */
enum { START_TIMEOUT_US = 80 * 1000 * 1000 };

/* --- in the child ------------------------------------------------------------------------- */

static _Noreturn void worker_child(struct member *m, int resolver_fd, pid_t parent)
{
    struct generation *g = m->generation;
    struct worker_start start = {.slot = m->slot,
                                 .name = m->name,
                                 .conf_file = m->supervisor->conf_file,
                                 .plan = &g->plan,
                                 .shared = {m->supervisor->shared, m->column},
                                 .parent = parent};
    int fds[PLAN_LISTENERS_MAX + 4];
    size_t len = 0;

    member_child_begin(m, parent);
    fds[len++] = m->channel;
    fds[len++] = g->conf_fd;
    fds[len++] = resolver_fd;
    fds[len++] = m->supervisor->ratchet_line[0];
    for (unsigned i = 0; i < g->plan.listeners_len; i++)
        fds[len++] = listener_set_fd(m->supervisor->listeners, m->slot, &g->plan.listeners[i].addr);
    member_child_keep(fds, len);
    start.channel = fds[0];
    start.conf_fd = fds[1];
    start.resolver_fd = fds[2];
    start.ratchet = (struct ratchet_line){m->supervisor->ratchet_table, fds[3]};
    memcpy(start.listen_fds, fds + 4, (len - 4) * sizeof(fds[0]));
    /* Without the C library's exit handlers: they are the supervisor's. */
    _exit(worker_main(&start));
}

static int folder_open(const struct member *m, const struct conf *conf, const char *name,
                       const char *what)
{
    const struct plan *plan = &m->generation->plan;
    char why[CHANNEL_TEXT];
    int folder =
        state_folder_open(conf->gateway.state_dir, name, plan->uid, plan->gid, why, sizeof(why));

    if (folder < 0)
        log_text(LOG_LEVEL_INFO, m->name, "%s are not kept: %s", what, why);
    return folder;
}

static int resolver_prepare(const struct member *m, int conf_fd, pid_t parent,
                            struct resolver_process **ret, char *why, size_t why_room)
{
    /* All resolver processes add to one column: nothing of theirs needs clearing. */
    const struct shared_column counters = {m->supervisor->shared, SHARED_COLUMN_SUPERVISOR};
    const struct plan *plan = &m->generation->plan;
    struct conf_errors errors = {0};
    struct conf *conf;
    struct tlsrpt_tally *tally = NULL;
    struct tlsrpt_send *send = NULL;
    struct dkim_key *key = NULL; /* the process's, as long as it lives */
    int folders[2];
    int err = plan_conf_load(conf_fd, m->supervisor->conf_file, &conf, &errors);

    if (err) {
        snprintf(why, why_room, "%.*s", (int)strcspn(errors.text, "\n"), errors.text);
        return err;
    }
    close(conf_fd);
    folders[0] = folder_open(m, conf, RESOLVER_STORE_FOLDER, "policies of MTA-STS");
    folders[1] = conf->tlsrpt.organization
                     ? folder_open(m, conf, TLSRPT_TALLY_FOLDER, "counts for TLS reports")
                     : -1;
    if (conf->tlsrpt.send.dkim_key)
        err = dkim_key_load(conf->tlsrpt.send.dkim_key, &key, why, why_room);
    if (!err)
        err = sandbox_drop_root(plan->uid, plan->gid, parent, why, why_room);
    if (!err)
        err = sandbox_write_below(folders, 2, why, why_room);
    if (!err && conf->tlsrpt.organization)
        err = tlsrpt_tally_new(conf, folders[1], &tally);
    if (!err && tally)
        err = tlsrpt_send_new(conf, key, tally, &send);
    if (!err)
        err = resolver_process_new(&conf->resolver, folders[0], tally, send, &counters, ret, why,
                                   why_room);
    /* It held passwords of next hops, which are no business of this process. */
    conf_free(conf);
    if (!err)
        err = sandbox_enter_with(SANDBOX_RESOLVER, folders, 2, why, why_room);
    return err;
}

static _Noreturn void resolver_child(struct member *m, int fd, pid_t parent)
{
    struct channel_message message = {0};
    struct resolver_process *r = NULL;
    int fds[2] = {m->channel, m->generation->conf_fd};
    int err;

    member_child_begin(m, parent);
    member_child_keep(fds, 2);
    shared_forget_seed(m->supervisor->shared);
    err = resolver_prepare(m, fds[1], parent, &r, message.text, sizeof(message.text));
    member_child_ready(fds[0], err, &message);
    member_child_end(m, resolver_process_run(r, fds[0]));
}

/* --- members ------------------------------------------------------------------------------ */

static int column_take(struct supervisor *s, unsigned *ret)
{
    for (unsigned i = 0; i < SHARED_COLUMN_SUPERVISOR; i++) {
        if (s->columns_used[i])
            continue;
        s->columns_used[i] = true;
        *ret = i;
        return 0;
    }
    return ERR_LIMIT;
}

/* A worker's line to its generation's resolver: the worker's end, or -1. Where the resolver is dead
 * the line is too, and a new one follows with the new resolver. */
static int resolver_line(struct generation *g)
{
    struct channel_message message = {.kind = CHANNEL_CLIENT};
    int pair[2];

    if (g->resolver.channel < 0 || channel_pair(pair) != 0)
        return -1;
    (void)!channel_send(g->resolver.channel, &message, pair[1]);
    close(pair[1]);
    return pair[0];
}

static int worker_run(struct member *m)
{
    int err = column_take(m->supervisor, &m->column);

    if (err)
        return err;
    listener_set_resume(m->supervisor->listeners, m->slot);
    int resolver_fd = resolver_line(m->generation);
    err = member_fork(m, worker_child, resolver_fd);
    if (resolver_fd >= 0)
        close(resolver_fd);
    if (err && m->pid <= 0)
        m->supervisor->columns_used[m->column] = false;
    return err;
}

static int member_run(struct member *m)
{
    return m->kind == MEMBER_WORKER ? worker_run(m) : member_fork(m, resolver_child, -1);
}

static void member_init(struct member *m, struct generation *g, enum member_kind kind,
                        unsigned slot)
{
    m->kind = kind;
    m->supervisor = g->supervisor;
    m->generation = g;
    m->slot = slot;
    m->channel = -1;
    if (kind == MEMBER_WORKER)
        snprintf(m->name, sizeof(m->name), "worker/%u", slot);
    else
        snprintf(m->name, sizeof(m->name), "resolver");
}

void generation_member_restart(struct member *m)
{
    if (m->kind == MEMBER_METRICS) {
        metrics_start(m->supervisor);
        return;
    }
    if (m->kind == MEMBER_RATCHET) {
        ratchet_start(m->supervisor);
        return;
    }
    if (member_run(m) == 0)
        return;
    log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME, "process=%s can't be started: %s", m->name,
             strerror(errno));
    /* As a death of the new process: it is tried again, later each time. */
    member_retry(m);
}

/* --- generations -------------------------------------------------------------------------- */

static void generation_free(struct generation *g)
{
    struct supervisor *s = g->supervisor;

    TAILQ_REMOVE(&s->generations, g, all);
    if (s->serving == g)
        s->serving = NULL;
    if (s->starting == g)
        s->starting = NULL;
    sd_event_source_disable_unref(g->timer);
    member_release(&g->resolver);
    for (unsigned i = 0; i < g->plan.workers; i++)
        member_release(&g->workers[i]);
    close(g->conf_fd);
    free(g->workers);
    free(g);
}

static void member_end(struct member *m)
{
    m->restart_timer = sd_event_source_disable_unref(m->restart_timer);
    m->state = m->pid > 0 ? MEMBER_DRAINING : MEMBER_GONE;
    member_kill(m, SIGKILL);
}

void generation_kill(struct generation *g)
{
    g->state = GENERATION_DRAINING;
    g->timer = sd_event_source_disable_unref(g->timer);
    member_end(&g->resolver);
    for (unsigned i = 0; i < g->plan.workers; i++)
        member_end(&g->workers[i]);
    generation_settle(g);
}

static int start_timeout(sd_event_source *source, uint64_t usec, void *user)
{
    supervisor_generation_failed(user, "the new processes were not ready in time");
    return 0;
}

int generation_start(struct supervisor *s, const struct plan *plan, int conf_fd, char *why,
                     size_t why_room)
{
    struct generation *g = calloc(1, sizeof(*g));
    int err = 0;

    if (g)
        g->workers = calloc(plan->workers, sizeof(*g->workers));
    if (!g || !g->workers) {
        free(g);
        close(conf_fd);
        snprintf(why, why_room, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    g->supervisor = s;
    g->state = GENERATION_STARTING;
    g->number = ++s->generations_made;
    g->plan = *plan;
    g->conf_fd = conf_fd;
    TAILQ_INSERT_TAIL(&s->generations, g, all);
    s->starting = g;
    member_init(&g->resolver, g, MEMBER_RESOLVER, 0);
    for (unsigned i = 0; i < plan->workers; i++)
        member_init(&g->workers[i], g, MEMBER_WORKER, i);
    err = member_run(&g->resolver);
    for (unsigned i = 0; i < plan->workers && !err; i++)
        err = member_run(&g->workers[i]);
    if (!err && sd_event_add_time_relative(s->event, &g->timer, CLOCK_MONOTONIC, START_TIMEOUT_US,
                                           0, start_timeout, g) < 0)
        err = ERR_SYSTEM;
    if (err) {
        snprintf(why, why_room, "processes can't be started: %s", err_text(err));
        s->starting = NULL;
        generation_kill(g);
    }
    return err;
}

static bool all_ready(const struct generation *g)
{
    /* What destinations had before is known before the first message goes out. */
    if (g->resolver.state != MEMBER_READY || !g->supervisor->ratchet_loaded)
        return false;
    for (unsigned i = 0; i < g->plan.workers; i++)
        if (g->workers[i].state != MEMBER_READY)
            return false;
    return true;
}

/* A resolver that was started again has no lines to the workers yet. */
static void resolver_lines_renew(struct generation *g)
{
    struct channel_message message = {.kind = CHANNEL_RESOLVER};

    for (unsigned i = 0; i < g->plan.workers; i++) {
        struct member *w = &g->workers[i];
        if (w->channel < 0)
            continue;
        int fd = resolver_line(g);
        if (fd < 0)
            continue;
        (void)!channel_send(w->channel, &message, fd);
        close(fd);
    }
}

static void member_listen(struct member *m)
{
    const struct channel_message message = {.kind = CHANNEL_LISTEN};

    if (m->state == MEMBER_READY && channel_send(m->channel, &message, -1) != 0)
        member_kill(m, SIGKILL);
}

void generation_listen(struct generation *g)
{
    g->timer = sd_event_source_disable_unref(g->timer);
    g->state = GENERATION_SERVING;
    for (unsigned i = 0; i < g->plan.workers; i++)
        member_listen(&g->workers[i]);
}

void generation_ready_check(struct generation *g)
{
    if (g->state != GENERATION_STARTING || !all_ready(g))
        return;
    g->timer = sd_event_source_disable_unref(g->timer);
    g->state = GENERATION_HANDOVER;
    supervisor_generation_ready(g);
}

void generation_member_ready(struct member *m)
{
    struct generation *g = m->generation;

    switch (g->state) {
    case GENERATION_STARTING:
        generation_ready_check(g);
        return;
    case GENERATION_SERVING:
        if (m->kind == MEMBER_WORKER)
            member_listen(m);
        __attribute__((fallthrough));
    case GENERATION_HANDOVER:
    case GENERATION_DRAINING:
        if (m->kind == MEMBER_RESOLVER)
            resolver_lines_renew(g);
        if (m->restarts > 0)
            log_text(LOG_LEVEL_INFO, SUPERVISOR_NAME, "process_restarted process=%s pid=%d",
                     m->name, (int)m->pid);
        return;
    }
}

/* A generation that drains is gone with its last worker; its resolver goes with them. */
void generation_settle(struct generation *g)
{
    struct supervisor *s = g->supervisor;

    if (g->state != GENERATION_DRAINING)
        return;
    for (unsigned i = 0; i < g->plan.workers; i++)
        if (g->workers[i].pid > 0)
            return;
    if (g->resolver.pid > 0) {
        if (g->resolver.state != MEMBER_DRAINING)
            shutdown(g->resolver.channel, SHUT_RDWR); /* which tells it to go */
        g->resolver.state = MEMBER_DRAINING;
        return;
    }
    generation_free(g);
    supervisor_generation_gone(s);
}

/* Where neighbours can accept, a slot whose worker has to wait gives them its connections. */
static void slot_rest(const struct member *m)
{
    const struct generation *g = m->generation;

    for (unsigned i = 0; i < g->plan.workers; i++) {
        if (g->workers[i].state != MEMBER_READY)
            continue;
        listener_set_rest(m->supervisor->listeners, m->slot);
        return;
    }
}

void generation_member_died(struct member *m)
{
    struct generation *g = m->generation;

    if (g->state == GENERATION_STARTING)
        supervisor_generation_failed(g, m->why[0] ? m->why : "a new process died");
    else if (g->state == GENERATION_SERVING && m->kind == MEMBER_WORKER && m->deaths > 1)
        slot_rest(m);
    else
        generation_settle(g);
}

static int drain_timeout(sd_event_source *source, uint64_t usec, void *user)
{
    struct generation *g = user;
    unsigned left = 0;

    for (unsigned i = 0; i < g->plan.workers; i++)
        left += g->workers[i].pid > 0;
    log_text(LOG_LEVEL_WARNING, SUPERVISOR_NAME,
             "drain_timeout generation=%u workers=%u: open transactions are cut", g->number, left);
    generation_kill(g);
    return 0;
}

static void member_leave(struct member *m, enum channel_kind how)
{
    const struct channel_message message = {.kind = how};

    m->restart_timer = sd_event_source_disable_unref(m->restart_timer);
    switch (m->state) {
    case MEMBER_READY:
    case MEMBER_DRAINING: /* it retired, and is to drain now */
        if (m->pid > 0 && m->channel >= 0 && channel_send(m->channel, &message, -1) != 0)
            member_kill(m, SIGKILL);
        m->state = MEMBER_DRAINING;
        return;
    case MEMBER_STARTING: /* it serves nobody yet */
        member_kill(m, SIGKILL);
        m->state = MEMBER_DRAINING;
        return;
    case MEMBER_WAITING:
        m->state = MEMBER_GONE;
        return;
    case MEMBER_GONE:
        return;
    }
}

static void generation_leave(struct generation *g, enum channel_kind how,
                             sd_event_time_handler_t at_the_end)
{
    g->state = GENERATION_DRAINING;
    g->retiring = how == CHANNEL_RETIRE;
    g->timer = sd_event_source_disable_unref(g->timer);
    if (g->supervisor->serving == g)
        g->supervisor->serving = NULL;
    if (g->supervisor->starting == g)
        g->supervisor->starting = NULL;
    for (unsigned i = 0; i < g->plan.workers; i++)
        member_leave(&g->workers[i], how);
    if (sd_event_add_time_relative(g->supervisor->event, &g->timer, CLOCK_MONOTONIC,
                                   (uint64_t)g->plan.drain_timeout_s * 1000000, 0, at_the_end,
                                   g) < 0)
        generation_kill(g);
    else
        generation_settle(g);
}

static int retire_timeout(sd_event_source *source, uint64_t usec, void *user)
{
    generation_drain(user);
    return 0;
}

void generation_retire(struct generation *g)
{
    if (g->state != GENERATION_DRAINING)
        generation_leave(g, CHANNEL_RETIRE, retire_timeout);
}

void generation_drain(struct generation *g)
{
    if (g->state != GENERATION_DRAINING || g->retiring)
        generation_leave(g, CHANNEL_DRAIN, drain_timeout);
}
