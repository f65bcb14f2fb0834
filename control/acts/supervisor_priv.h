/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor's files share. A generation is one accepted configuration and the processes
 * that serve it: a resolver and a worker per slot, each a member. A reload starts a new generation;
 * once all of it is ready the old one drains.
 */
#pragma once

#include "channel.h"
#include "listener_set.h"
#include "plan.h"
#include "ratchet_table.h"
#include "shared.h"

#include <sys/queue.h>
#include <systemd/sd-event.h>

#define SUPERVISOR_NAME "supervisor"

struct supervisor;
struct generation;

enum member_kind { MEMBER_RESOLVER, MEMBER_WORKER, MEMBER_METRICS, MEMBER_RATCHET };

enum member_state {
    MEMBER_GONE,     /* never to be started again */
    MEMBER_STARTING, /* forked, READY not yet heard */
    MEMBER_READY,
    MEMBER_DRAINING, /* told to drain */
    MEMBER_WAITING,  /* dead; will be started again */
};

struct member {
    enum member_kind kind;
    enum member_state state;
    struct supervisor *supervisor;
    struct generation *generation; /* NULL: metrics, ratchet */
    unsigned slot;
    char name[24];
    pid_t pid;
    int channel;
    unsigned column;
    unsigned deaths;   /* since it last lived long enough */
    unsigned restarts; /* for people */
    unsigned pings;    /* not answered */
    bool unlistened;   /* it drains, and accepts nothing any more */
    uint64_t started_us;
    char why[CHANNEL_TEXT]; /* what it said when it could not start */
    sd_event_source *exit_source, *channel_source, *restart_timer;
};

enum generation_state {
    GENERATION_STARTING,
    GENERATION_HANDOVER, /* all of it is ready; the old one's workers still let go of the sockets */
    GENERATION_SERVING,
    GENERATION_DRAINING,
};

struct generation {
    TAILQ_ENTRY(generation) all;
    struct supervisor *supervisor;
    enum generation_state state;
    bool retiring; /* it drains, and its sessions go on until they end by themselves */
    unsigned number;
    struct plan plan;
    int conf_fd;
    struct member resolver;
    struct member *workers; /* plan.workers of them */
    sd_event_source *timer; /* the bound on starting, on the handover, on draining */
};

struct admin;

struct supervisor {
    sd_event *event;
    const char *conf_file;
    struct shared *shared;
    bool columns_used[SHARED_COLUMNS];
    struct listener_set *listeners;
    TAILQ_HEAD(, generation) generations;
    struct generation *serving, *starting;
    unsigned generations_made;
    bool handover_from_old; /* the generation that starts replaces one */
    struct plan first;      /* of the start: what needs a restart stays as it says */
    struct plan_check check;
    sd_event_source *check_source, *ping_timer;
    bool check_only;   /* the check under way is posternctl's "config check" */
    bool reload_again; /* SIGHUP came while a reload was under way */
    bool stopping;
    unsigned stop_signals;
    int exit_code;
    uint64_t started_wall_us, started_us;
    struct member metrics;
    int metrics_fd;
    struct member ratchet;
    struct ratchet_table *ratchet_table;
    int ratchet_line[2];    /* the workers' end, and its own */
    bool ratchet_loaded;    /* the table has what was known */
    bool ratchet_again;     /* it ends, and is started anew by another plan */
    struct plan ratchet_of; /* that it was started by */
    struct admin *admin;
    int expiry_fd, expiry_next_fd; /* the list of expiry.h; that of a configuration that starts */
    sd_event_source *expiry_timer;
};

/* generation.c: a generation and its members. */
int generation_start(struct supervisor *s, const struct plan *plan, int conf_fd, char *why,
                     size_t why_room) ERR_CHECK;
/* Its workers take no new sessions and serve those they have; after the plan's drain timeout they
 * are drained. */
void generation_retire(struct generation *g);
/* Its workers finish open transactions, bounded by the same time. */
void generation_drain(struct generation *g);
/* Its workers begin to accept. */
void generation_listen(struct generation *g);
/* Kills every process of it. */
void generation_kill(struct generation *g);
/* Frees it where it drains and nothing of it is left. */
void generation_settle(struct generation *g);
const char *member_state_text(enum member_state state);

/* member.c: one child process. */
/* In a new child: the supervisor's signal handling ends, the process dies with parent, and none but
 * the ratchet's can write its table. */
void member_child_begin(const struct member *m, pid_t parent);
/* The child's own descriptors become 3 and up, in this order; all others are closed, among them the
 * event loop's and the other children's. An entry of -1 stays -1. */
void member_child_keep(int *fds, size_t len);
/* The supervisor hears that it is ready; or, with err, why not, in message->text, and it ends. */
void member_child_ready(int channel, int err, struct channel_message *message);
_Noreturn void member_child_end(const struct member *m, int err);
/* What a new process does, with parent's process id; fd as given to member_fork. It does not
 * return. */
typedef void member_child(struct member *m, int fd, pid_t parent);
/* Forks the process and watches it. ERR_SYSTEM; where m->pid is not 0 it ran, and was killed. */
int member_fork(struct member *m, member_child *child, int fd) ERR_CHECK;
/* A process that is of no generation; where it can't be forked, again later. */
void member_start(struct member *m, member_child *child);
void member_kill(struct member *m, int signal);
/* Lets go of its sources and channel; the process must be gone. */
void member_release(struct member *m);
/* After a start that failed: again later. */
void member_retry(struct member *m);
/* Where member.c tells what happened to a member of a generation (generation.c). */
void generation_member_ready(struct member *m);
/* Perhaps all that it starts with is ready now. */
void generation_ready_check(struct generation *g);
void generation_member_died(struct member *m);
/* Forks the process and gives it what it needs (generation.c, for resolver and worker). */
void generation_member_restart(struct member *m);

/* supervisor.c: what the others report to it. */
/* The ratchet's process is ready, for the first time or again. */
void supervisor_ratchet_ready(struct supervisor *s);
/* It has ended. */
void supervisor_ratchet_gone(struct supervisor *s);
void supervisor_generation_ready(struct generation *g);
/* A worker has let go of its sockets, or is gone: perhaps the new generation can listen now. */
void supervisor_handover(struct supervisor *s);
void supervisor_generation_failed(struct generation *g, const char *why);
void supervisor_generation_gone(struct supervisor *s);
/* Begins a reload; ERR_STATE where one is under way, or the gateway stops. */
int supervisor_reload(struct supervisor *s) ERR_CHECK;
/* Checks the file as a reload does, and says the result to admin. ERR_STATE as above. */
int supervisor_check(struct supervisor *s) ERR_CHECK;
/* Brings the gauge of ready workers up to date. */
void supervisor_workers_count(const struct supervisor *s);
const char *supervisor_state_text(const struct supervisor *s);

/* metrics_process.c: the process that serves the metrics. Opens the socket; ERR_SYSTEM, why. */
int metrics_open(struct supervisor *s, const char *address, char *why, size_t why_room) ERR_CHECK;
void metrics_start(struct supervisor *s);

/* ratchet_member.c: the process that keeps the ratchet's book. ERR_SYSTEM. */
int ratchet_open(struct supervisor *s) ERR_CHECK;
void ratchet_close(struct supervisor *s);
void ratchet_start(struct supervisor *s);
/* The configuration that serves is a new one. */
void ratchet_reload(struct supervisor *s);
/* It puts the book on disk and ends; false: it is not there. */
bool ratchet_end(struct supervisor *s);

/* expiry_watch.c: when certificates end. Takes the list of a configuration that may serve next. */
void expiry_offer(struct supervisor *s, int fd);
/* It serves. */
void expiry_serve(struct supervisor *s);
/* Gives the metrics process the list. */
void expiry_tell(const struct supervisor *s);
void expiry_close(struct supervisor *s);

/* admin.c: the control socket. */
int admin_new(struct supervisor *s, const char *path, char *why, size_t why_room,
              struct admin **ret) ERR_CHECK;
/* Also removes the socket file. */
void admin_free(struct admin *a);
/* The reload or check that clients wait for has ended; error is NULL where it went well. */
void admin_reload_done(struct admin *a, const char *error);
/* A worker's answer to a request for rows; a member that died answers nothing any more. */
void admin_rows(struct admin *a, const struct member *m, const struct channel_message *message);
void admin_member_gone(struct admin *a, pid_t pid);
