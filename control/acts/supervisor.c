/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include "clock.h"
#include "log.h"
#include "supervisor_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

enum {
    HANDOVER_TIMEOUT_US = 1000 * 1000,
    PING_US = 10 * 1000 * 1000,
    PINGS_MAX = 3,       /* unanswered: the worker is stuck */
    GENERATIONS_MAX = 8, /* no reload before one of them is gone */
    RETIRING_MAX = 3,    /* older ones finish their transactions, and end */
};

static void count(const struct supervisor *s, enum counter which, int64_t n)
{
    const struct shared_column own = {s->shared, SHARED_COLUMN_SUPERVISOR};

    counter_add(&own, which, n);
}

const char *supervisor_state_text(const struct supervisor *s)
{
    if (s->stopping)
        return "stopping";
    if (s->starting || s->check_source)
        return s->serving || s->handover_from_old ? "reloading" : "starting";
    return "serving";
}

/* A line of its own for each error: the check's text has several. */
static void log_errors(const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        if (len > 0)
            log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME, "%.*s", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

void supervisor_workers_count(const struct supervisor *s)
{
    const struct shared_column own = {s->shared, SHARED_COLUMN_SUPERVISOR};
    unsigned ready = 0;

    for (unsigned i = 0; s->serving && i < s->serving->plan.workers; i++)
        ready += s->serving->workers[i].state == MEMBER_READY;
    counter_set(&own, COUNTER_WORKERS, ready);
}

/* --- generations come and go -------------------------------------------------------------- */

static void notify_serving(const struct supervisor *s)
{
    sd_notifyf(0, "READY=1\nSTATUS=Serving with %u workers, configuration %u of this start",
               s->serving->plan.workers, s->serving->number);
}

static void reload_begin(struct supervisor *s);

/* What was asked while something else was under way. */
static void reload_if_asked(struct supervisor *s)
{
    if (s->reload_again) {
        s->reload_again = false;
        reload_begin(s);
    }
}

static void reload_end(struct supervisor *s, const char *error)
{
    if (error) {
        log_errors(error);
        count(s, COUNTER_RELOADS_FAILED, 1);
        log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME,
                 "reload_failed: the configuration from before goes on");
        sd_notify(0, "READY=1\nSTATUS=Serving; the last reload failed, see the log");
    }
    if (s->admin)
        admin_reload_done(s->admin, error);
    reload_if_asked(s);
}

/* What can only be set at a start, and was changed: said, so that nobody waits for its effect. */
static void log_restart_settings(const struct supervisor *s, const struct plan *plan)
{
    for (size_t i = 0; i < PLAN_RESTARTS; i++) {
        const struct plan_restart *r = &plan_restarts[i];
        if (strcmp((const char *)&s->first + r->place, (const char *)plan + r->place) != 0)
            log_text(LOG_LEVEL_WARNING, SUPERVISOR_NAME, "%s needs a restart", r->setting);
    }
}

static void log_records(const struct record_choice *records)
{
    struct log_line l;

    log_begin(&l, records->unfixed ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, SUPERVISOR_NAME,
              "records");
    log_str(&l, "way", record_way_word(records->way));
    log_str(&l, "why", records->why);
    log_write(&l);
}

static void log_aead(const struct aead_choice *aead)
{
    struct log_line l;

    log_begin(&l, LOG_LEVEL_INFO, SUPERVISOR_NAME, "aead");
    log_str(&l, "by", tls_aead_backend_name(aead->backend));
    log_str(&l, "why", aead->why);
    log_write(&l);
}

static void take_over(struct generation *g)
{
    struct supervisor *s = g->supervisor;
    bool first = !s->handover_from_old;

    s->starting = NULL;
    s->serving = g;
    s->handover_from_old = false;
    log_set_level((enum log_level)g->plan.log_level);
    generation_listen(g);
    listener_set_prune(s->listeners, &g->plan);
    log_text(LOG_LEVEL_INFO, SUPERVISOR_NAME, "%s workers=%u listeners=%u generation=%u",
             first ? "serving" : "reloaded", g->plan.workers, g->plan.listeners_len, g->number);
    log_records(&g->plan.records);
    log_aead(&g->plan.aead);
    notify_serving(s);
    supervisor_workers_count(s);
    ratchet_reload(s);
    expiry_serve(s);
    if (first) {
        metrics_start(s);
        reload_if_asked(s);
        return;
    }
    count(s, COUNTER_RELOADS, 1);
    log_restart_settings(s, &g->plan);
    reload_end(s, NULL);
}

static bool old_workers_listen(const struct supervisor *s)
{
    const struct generation *g;

    TAILQ_FOREACH (g, &s->generations, all) {
        if (g->state != GENERATION_DRAINING)
            continue;
        for (unsigned i = 0; i < g->plan.workers; i++)
            if (g->workers[i].pid > 0 && !g->workers[i].unlistened)
                return true;
    }
    return false;
}

void supervisor_handover(struct supervisor *s)
{
    struct generation *g = s->starting;

    if (g && g->state == GENERATION_HANDOVER && !old_workers_listen(s))
        take_over(g);
}

/* An old worker that is stuck must not keep the new ones from serving. */
static int handover_timeout(sd_event_source *source, uint64_t usec, void *user)
{
    take_over(user);
    return 0;
}

static unsigned columns_free(const struct supervisor *s)
{
    unsigned free_ones = 0;

    for (unsigned i = 0; i < SHARED_COLUMN_SUPERVISOR; i++)
        free_ones += !s->columns_used[i];
    return free_ones;
}

/* The oldest of those whose sessions go on for as long as they like end them, but for keep. */
static void retiring_drain(struct supervisor *s, unsigned keep)
{
    struct generation *g, *next;
    unsigned retiring = 0;

    TAILQ_FOREACH (g, &s->generations, all)
        retiring += g->state == GENERATION_DRAINING && g->retiring;
    for (g = TAILQ_FIRST(&s->generations); g && retiring > keep; g = next) {
        next = TAILQ_NEXT(g, all);
        if (g->state != GENERATION_DRAINING || !g->retiring)
            continue;
        retiring--;
        generation_drain(g);
    }
}

void supervisor_generation_ready(struct generation *g)
{
    struct supervisor *s = g->supervisor;

    s->handover_from_old = s->serving != NULL;
    if (s->serving)
        generation_retire(s->serving);
    retiring_drain(s, columns_free(s) < g->plan.workers ? 0 : RETIRING_MAX);
    if (sd_event_add_time_relative(s->event, &g->timer, CLOCK_MONOTONIC, HANDOVER_TIMEOUT_US, 0,
                                   handover_timeout, g) < 0)
        take_over(g);
    else
        supervisor_handover(s);
}

void supervisor_generation_failed(struct generation *g, const char *why)
{
    struct supervisor *s = g->supervisor;
    char error[CHANNEL_TEXT];

    /* why may be a member's, which goes with the generation. */
    snprintf(error, sizeof(error), "%s", why);
    s->starting = NULL;
    if (s->serving) {
        listener_set_prune(s->listeners, &s->serving->plan);
        generation_kill(g);
        reload_end(s, error);
        return;
    }
    log_errors(error);
    s->exit_code = EX_CONFIG;
    s->stopping = true;
    generation_kill(g);
}

void supervisor_generation_gone(struct supervisor *s)
{
    /* Workers' last words are on the way to the ratchet's process: it goes after them. */
    if (s->stopping && TAILQ_EMPTY(&s->generations) && !ratchet_end(s))
        sd_event_exit(s->event, s->exit_code);
}

void supervisor_ratchet_ready(struct supervisor *s)
{
    s->ratchet_loaded = true;
    if (s->starting)
        generation_ready_check(s->starting);
}

void supervisor_ratchet_gone(struct supervisor *s)
{
    if (s->ratchet_again)
        ratchet_start(s);
    supervisor_generation_gone(s);
}

/* Whether there is room for the processes of one generation more. Transactions of older ones are
 * not cut for it: their own drain timeout bounds them. */
static int room_check(struct supervisor *s, const struct plan *plan, char *why, size_t why_room)
{
    unsigned len = 0, processes = 0, longest_s = 0;
    const struct generation *g;

    TAILQ_FOREACH (g, &s->generations, all) {
        len++;
        if (g == s->serving)
            continue;
        for (unsigned i = 0; i < g->plan.workers; i++)
            processes += g->workers[i].pid > 0;
        if (longest_s < g->plan.drain_timeout_s)
            longest_s = g->plan.drain_timeout_s;
    }
    if (len < GENERATIONS_MAX && columns_free(s) >= plan->workers)
        return 0;
    retiring_drain(s, 0);
    snprintf(why, why_room,
             "%u older configurations still serve sessions, with %u worker processes: they are "
             "told to finish, and gone within %u seconds (gateway.drain_timeout_s); reload again "
             "then",
             len - 1, processes, longest_s);
    return ERR_LIMIT;
}

/* files: taken. */
static void generation_begin(struct supervisor *s, const struct plan *plan,
                             const struct plan_files *files)
{
    char why[512];
    int err = room_check(s, plan, why, sizeof(why));

    if (!err)
        err = listener_set_open(s->listeners, plan, why, sizeof(why));
    expiry_offer(s, files->expiry);
    if (err)
        close(files->text);
    else
        err = generation_start(s, plan, files->text, why, sizeof(why));
    if (!err)
        return;
    if (s->serving) {
        listener_set_prune(s->listeners, &s->serving->plan);
        reload_end(s, why);
        return;
    }
    log_errors(why);
    s->exit_code = EX_UNAVAILABLE;
    s->stopping = true;
    supervisor_generation_gone(s);
}

/* --- a new configuration ------------------------------------------------------------------ */

static int check_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
    struct supervisor *s = user;
    struct plan_verdict verdict;
    bool only = s->check_only;
    struct plan_files files;

    s->check_source = sd_event_source_disable_unref(s->check_source);
    s->check_only = false;
    plan_check_finish(&s->check, &verdict, &files);
    if (only || s->stopping) {
        plan_files_close(&files);
        if (s->admin)
            admin_reload_done(s->admin, verdict.accepted ? NULL : verdict.errors.text);
        reload_if_asked(s);
        return 0;
    }
    if (!verdict.accepted)
        reload_end(s, verdict.errors.text);
    else
        generation_begin(s, &verdict.plan, &files);
    return 0;
}

static int check_begin(struct supervisor *s, bool only)
{
    if (s->stopping || s->starting || s->check_source)
        return ERR_STATE;
    if (plan_check_start(s->conf_file, only ? PLAN_CHECK : PLAN_SERVE, &s->check) != 0)
        return ERR_SYSTEM;
    s->check_only = only;
    if (sd_event_add_io(s->event, &s->check_source, s->check.result_fd, EPOLLIN, check_ready, s) <
        0) {
        struct plan_verdict verdict;
        struct plan_files files;
        plan_check_finish(&s->check, &verdict, &files);
        plan_files_close(&files);
        return ERR_SYSTEM;
    }
    return 0;
}

int supervisor_check(struct supervisor *s)
{
    return check_begin(s, true);
}

int supervisor_reload(struct supervisor *s)
{
    int err = check_begin(s, false);

    if (err)
        return err;
    log_text(LOG_LEVEL_INFO, SUPERVISOR_NAME, "reloading file=%s", s->conf_file);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Reloading",
               (unsigned long long)clock_us());
    return 0;
}

static void reload_begin(struct supervisor *s)
{
    int err = supervisor_reload(s);

    if (err == ERR_STATE)
        s->reload_again = !s->stopping;
    else if (err)
        reload_end(s, "the check of the configuration can't be started");
}

/* --- signals ------------------------------------------------------------------------------ */

static void stop(struct supervisor *s)
{
    struct generation *g, *next;

    s->stopping = true;
    s->stop_signals++;
    if (s->stop_signals > 1)
        log_text(LOG_LEVEL_WARNING, SUPERVISOR_NAME, "stopping at once: open transactions are cut");
    else
        log_text(LOG_LEVEL_INFO, SUPERVISOR_NAME, "stopping");
    sd_notify(0, "STOPPING=1\nSTATUS=Finishing open transactions");
    for (g = TAILQ_FIRST(&s->generations); g; g = next) {
        next = TAILQ_NEXT(g, all);
        if (s->stop_signals > 1 || g == s->starting)
            generation_kill(g);
        else
            generation_drain(g);
    }
    /* The workers have let go of theirs: new connections are refused from here on. */
    listener_set_prune(s->listeners, &(struct plan){0});
    supervisor_generation_gone(s);
}

static int signal_received(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
    struct supervisor *s = user;

    if (info->ssi_signo == SIGHUP)
        reload_begin(s);
    else
        stop(s);
    return 0;
}

static int signals_watch(struct supervisor *s)
{
    static const int watched[] = {SIGHUP, SIGTERM, SIGINT};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&blocked, watched[i]);
    if (sigprocmask(SIG_BLOCK, &blocked, NULL) != 0)
        return ERR_SYSTEM;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        if (sd_event_add_signal(s->event, NULL, watched[i], signal_received, s) < 0)
            return ERR_SYSTEM;
    return 0;
}

/* --- stuck workers ------------------------------------------------------------------------ */

static void member_ping(struct member *m)
{
    const struct channel_message message = {.kind = CHANNEL_PING};
    bool starts = m->state == MEMBER_STARTING && m->generation->state != GENERATION_STARTING;

    if (m->state != MEMBER_READY && m->state != MEMBER_DRAINING && !starts)
        return;
    if (m->pings++ >= PINGS_MAX) {
        log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME, "process_stuck process=%s pid=%d: killed",
                 m->name, (int)m->pid);
        /* Its core shows where. */
        member_kill(m, m->pings > PINGS_MAX + 1 ? SIGKILL : SIGABRT);
        return;
    }
    if (!starts)
        (void)!channel_send(m->channel, &message, -1);
}

static int ping_due(sd_event_source *source, uint64_t usec, void *user)
{
    struct supervisor *s = user;
    struct generation *g;

    TAILQ_FOREACH (g, &s->generations, all)
        for (unsigned i = 0; i < g->plan.workers; i++)
            member_ping(&g->workers[i]);
    sd_event_source_set_time_relative(source, PING_US);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* --- start and end ------------------------------------------------------------------------ */

static int first_check(struct supervisor *s, struct plan *ret_plan, struct plan_files *ret_files)
{
    struct plan_verdict verdict;

    if (plan_check_start(s->conf_file, PLAN_SERVE, &s->check) != 0) {
        log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME, "%s: %s", s->conf_file, strerror(errno));
        return EX_OSERR;
    }
    plan_check_finish(&s->check, &verdict, ret_files);
    if (!verdict.accepted) {
        log_errors(verdict.errors.text);
        return EX_CONFIG;
    }
    *ret_plan = verdict.plan;
    return 0;
}

static int setup(struct supervisor *s)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    s->started_wall_us = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000;
    s->started_us = clock_us();
    if (sd_event_new(&s->event) < 0 || signals_watch(s) != 0 || shared_new(&s->shared) != 0 ||
        listener_set_new(&s->listeners) != 0 || ratchet_open(s) != 0 ||
        sd_event_add_time_relative(s->event, &s->ping_timer, CLOCK_MONOTONIC, PING_US, 0, ping_due,
                                   s) < 0) {
        log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME, "can't start: %s", strerror(errno));
        return EX_OSERR;
    }
    /* Where systemd watches: this loop answers. */
    sd_event_set_watchdog(s->event, true);
    return 0;
}

/* As many as the hard limit allows; the workers' own need is larger than ours. */
static void descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)!setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_all(struct supervisor *s)
{
    struct plan plan;
    char why[512];
    struct plan_files files;
    int code = first_check(s, &plan, &files);

    if (code)
        return code;
    s->first = plan;
    log_set_level((enum log_level)plan.log_level);
    if (admin_new(s, plan.control_socket, why, sizeof(why), &s->admin) != 0 ||
        metrics_open(s, plan.metrics, why, sizeof(why)) != 0) {
        log_errors(why);
        plan_files_close(&files);
        return EX_UNAVAILABLE;
    }
    ratchet_start(s);
    generation_begin(s, &plan, &files);
    return s->stopping && TAILQ_EMPTY(&s->generations) ? s->exit_code : 0;
}

static void teardown(struct supervisor *s)
{
    admin_free(s->admin);
    if (s->check_source) {
        s->check_source = sd_event_source_disable_unref(s->check_source);
        kill(s->check.pid, SIGKILL);
        struct plan_verdict verdict;
        struct plan_files files;
        plan_check_finish(&s->check, &verdict, &files);
        plan_files_close(&files);
    }
    member_kill(&s->metrics, SIGKILL);
    member_release(&s->metrics);
    ratchet_close(s);
    expiry_close(s);
    if (s->metrics_fd >= 0)
        close(s->metrics_fd);
    sd_event_source_disable_unref(s->ping_timer);
    listener_set_free(s->listeners);
    shared_free(s->shared);
    sd_event_unref(s->event);
}

int supervisor_run(const char *conf_file)
{
    struct supervisor s = {.conf_file = conf_file,
                           .metrics_fd = -1,
                           .expiry_fd = -1,
                           .expiry_next_fd = -1,
                           .metrics.channel = -1,
                           .ratchet.channel = -1,
                           .ratchet_line = {-1, -1}};
    int code;

    TAILQ_INIT(&s.generations);
    descriptors_raise();
    code = setup(&s);
    if (!code)
        code = open_all(&s);
    if (!code) {
        code = sd_event_loop(s.event);
        if (code < 0)
            code = EX_SOFTWARE;
        log_text(LOG_LEVEL_INFO, SUPERVISOR_NAME, "stopped");
    }
    teardown(&s);
    return code;
}
