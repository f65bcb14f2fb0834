/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor_priv.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    LIVED_LONG_US = 60 * 1000 * 1000, /* a death after so long is the first one again */
    DELAY_FIRST_MS = 500,             /* the first restart is at once, the second after this */
    DELAY_MAX_MS = 30 * 1000,
    FD_FIRST = 3, /* what a child keeps is moved from here on */
};

void member_child_keep(int *fds, size_t len)
{
    unsigned next = FD_FIRST;

    /* First out of the way of the places that they go to. */
    for (size_t i = 0; i < len; i++)
        if (fds[i] >= 0)
            fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_FIRST + (int)len);
    for (size_t i = 0; i < len; i++)
        if (fds[i] >= 0)
            fds[i] = dup3(fds[i], (int)next++, O_CLOEXEC);
    close_range(next, ~0U, 0);
}

static void signals_reset(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGPIPE, SIGUSR1, SIGUSR2};
    sigset_t none;

    /* Ctrl-C in a terminal reaches the whole group: the supervisor alone decides what it means. */
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void member_child_begin(const struct member *m, pid_t parent)
{
    signals_reset();
    /* Again after the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EX_OSERR);
    if (m->kind != MEMBER_RATCHET)
        ratchet_table_seal(m->supervisor->ratchet_table);
    /* What ps shows: "postern worker/0", cut to 15 bytes. */
    char title[16];
    snprintf(title, sizeof(title), "postern %.7s", m->name);
    prctl(PR_SET_NAME, title);
}

void member_child_ready(int channel, int err, struct channel_message *message)
{
    message->kind = err ? CHANNEL_FAILED : CHANNEL_READY;
    if (channel_send(channel, message, -1) != 0 || err)
        _exit(EX_CONFIG);
}

void member_child_end(const struct member *m, int err)
{
    if (err)
        log_text(LOG_LEVEL_ERROR, m->name, "ended: %s", err_text(err));
    _exit(err ? EX_SOFTWARE : 0);
}

void member_kill(struct member *m, int signal)
{
    if (m->pid > 0)
        kill(m->pid, signal);
}

void member_release(struct member *m)
{
    m->exit_source = sd_event_source_disable_unref(m->exit_source);
    m->channel_source = sd_event_source_disable_unref(m->channel_source);
    m->restart_timer = sd_event_source_disable_unref(m->restart_timer);
    if (m->channel >= 0)
        close(m->channel);
    m->channel = -1;
    m->pid = 0;
    m->pings = 0;
}

static void log_death(const struct member *m, const siginfo_t *info, uint64_t restart_ms)
{
    struct log_line l;
    /* It was told to, or we killed it. */
    bool expected = m->state == MEMBER_DRAINING &&
                    info->si_status == (info->si_code == CLD_EXITED ? 0 : SIGKILL);

    log_begin(&l, expected ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, SUPERVISOR_NAME,
              expected ? "process_ended" : "process_died");
    log_str(&l, "process", m->name);
    log_u64(&l, "pid", (uint64_t)info->si_pid);
    if (info->si_code == CLD_EXITED)
        log_u64(&l, "exit", (uint64_t)info->si_status);
    else
        log_str(&l, "signal", sigabbrev_np(info->si_status) ? sigabbrev_np(info->si_status) : "?");
    if (m->why[0])
        log_str(&l, "why", m->why);
    if (m->state == MEMBER_WAITING)
        log_fixed(&l, "restart_in", restart_ms, 3);
    log_write(&l);
}

static int restart_due(sd_event_source *source, uint64_t usec, void *user)
{
    struct member *m = user;

    m->restart_timer = sd_event_source_disable_unref(m->restart_timer);
    m->restarts++;
    generation_member_restart(m);
    return 0;
}

static uint64_t restart_delay_ms(const struct member *m)
{
    uint64_t delay = DELAY_FIRST_MS;

    if (m->deaths <= 1)
        return 0;
    for (unsigned i = 2; i < m->deaths && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    return delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS;
}

static uint64_t restart_plan(struct member *m)
{
    uint64_t delay;

    if (clock_us() - m->started_us > LIVED_LONG_US)
        m->deaths = 0;
    m->deaths++;
    delay = restart_delay_ms(m);
    m->state = MEMBER_WAITING;
    if (sd_event_add_time_relative(m->supervisor->event, &m->restart_timer, CLOCK_MONOTONIC,
                                   delay * 1000, 1000, restart_due, m) < 0)
        m->state = MEMBER_GONE;
    return delay;
}

void member_retry(struct member *m)
{
    (void)restart_plan(m);
}

/* A process that was to go on is started again, whatever generation it is in: also what drains
 * still needs its resolver. */
static bool restarts(const struct member *m)
{
    const struct generation *g = m->generation;

    if (m->state == MEMBER_DRAINING)
        return false;
    if (!g)
        return true;
    if (g->state == GENERATION_STARTING)
        return false;
    return m->kind == MEMBER_RESOLVER || g->state != GENERATION_DRAINING;
}

/* Why it ended may still lie in the channel: its exit can be heard of first. */
static void last_words_take(struct member *m)
{
    struct channel_message message;
    int got;

    while (m->channel >= 0 && channel_receive(m->channel, &message, &got) == 0) {
        if (got >= 0)
            close(got);
        if (message.kind == CHANNEL_FAILED)
            memcpy(m->why, message.text, sizeof(m->why));
    }
}

static int member_exited(sd_event_source *source, const siginfo_t *info, void *user)
{
    struct member *m = user;
    struct supervisor *s = m->supervisor;
    uint64_t delay = 0;
    bool again = restarts(m);

    last_words_take(m);
    member_release(m);
    if (m->kind == MEMBER_WORKER) {
        shared_clear_column(s->shared, m->column);
        s->columns_used[m->column] = false;
    }
    if (again) {
        const struct shared_column own = {s->shared, SHARED_COLUMN_SUPERVISOR};
        counter_add(&own, COUNTER_WORKER_DEATHS, 1);
        delay = restart_plan(m);
    }
    log_death(m, info, delay);
    if (!again)
        m->state = MEMBER_GONE;
    supervisor_workers_count(s);
    if (s->admin)
        admin_member_gone(s->admin, info->si_pid);
    if (m->generation)
        generation_member_died(m);
    else if (m->kind == MEMBER_RATCHET)
        supervisor_ratchet_gone(s);
    supervisor_handover(s);
    return 0;
}

static void message_take(struct member *m, const struct channel_message *message)
{
    switch ((enum channel_kind)message->kind) {
    case CHANNEL_READY:
        if (m->state != MEMBER_STARTING)
            return;
        m->state = MEMBER_READY;
        m->why[0] = '\0';
        m->pings = 0;
        if (m->generation)
            generation_member_ready(m);
        else if (m->kind == MEMBER_RATCHET)
            supervisor_ratchet_ready(m->supervisor);
        supervisor_workers_count(m->supervisor);
        return;
    case CHANNEL_FAILED:
        memcpy(m->why, message->text, sizeof(m->why));
        return;
    case CHANNEL_ROWS:
        if (m->supervisor->admin)
            admin_rows(m->supervisor->admin, m, message);
        return;
    case CHANNEL_PONG:
        m->pings = 0;
        return;
    case CHANNEL_UNLISTENED:
        m->unlistened = true;
        supervisor_handover(m->supervisor);
        return;
    case CHANNEL_LISTEN:
    case CHANNEL_RETIRE:
    case CHANNEL_DRAIN:
    case CHANNEL_SESSIONS:
    case CHANNEL_HOSTS:
    case CHANNEL_EXPLAIN:
    case CHANNEL_RESOLVER:
    case CHANNEL_CLIENT:
    case CHANNEL_RATCHET:
    case CHANNEL_EXPIRY:
    case CHANNEL_TLSRPT:
    case CHANNEL_CERTIFICATES:
    case CHANNEL_PING:
        return;
    }
}

static int channel_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
    struct member *m = user;
    struct channel_message message;
    int got;
    int err = ERR_AGAIN;

    for (int turn = 0; turn < 16; turn++) {
        err = channel_receive(fd, &message, &got);
        if (err)
            break;
        if (got >= 0)
            close(got); /* no child has one to give */
        message_take(m, &message);
        if (m->channel != fd)
            return 0;
    }
    /* Closed: its exit is on the way. Anything else is not our child's talk. */
    if (err == ERR_CLOSED)
        sd_event_source_set_enabled(m->channel_source, SD_EVENT_OFF);
    else if (err && err != ERR_AGAIN)
        member_kill(m, SIGKILL);
    return 0;
}

/* m->pid and m->channel are new. */
static int watch(struct member *m)
{
    sd_event *event = m->supervisor->event;

    m->state = MEMBER_STARTING;
    m->started_us = clock_us();
    if (sd_event_add_child(event, &m->exit_source, m->pid, WEXITED, member_exited, m) < 0 ||
        sd_event_add_io(event, &m->channel_source, m->channel, EPOLLIN, channel_ready, m) < 0) {
        kill(m->pid, SIGKILL);
        return ERR_SYSTEM;
    }
    return 0;
}

int member_fork(struct member *m, member_child *child, int fd)
{
    pid_t self = getpid();
    int pair[2];

    if (channel_pair(pair) != 0)
        return ERR_SYSTEM;
    m->pid = fork();
    if (m->pid == 0) {
        m->channel = pair[1];
        child(m, fd, self);
    }
    close(pair[1]);
    m->channel = pair[0];
    if (m->pid < 0) {
        member_release(m);
        return ERR_SYSTEM;
    }
    return watch(m);
}

void member_start(struct member *m, member_child *child)
{
    if (member_fork(m, child, -1) == ERR_OK)
        return;
    if (m->pid > 0)
        log_text(LOG_LEVEL_ERROR, SUPERVISOR_NAME, "process=%s can't be watched", m->name);
    else
        member_retry(m);
}

const char *member_state_text(enum member_state state)
{
    switch (state) {
    case MEMBER_GONE:
        return "gone";
    case MEMBER_STARTING:
        return "starting";
    case MEMBER_READY:
        return "ready";
    case MEMBER_DRAINING:
        return "draining";
    case MEMBER_WAITING:
        return "waiting";
    }
    return "?";
}
