/* SPDX-License-Identifier: Apache-2.0 */
/* How the supervisor starts and ends the ratchet's process (ratchet_process.h). */
#include "supervisor_priv.h"

#include "log.h"
#include "ratchet_process.h"
#include "sandbox.h"
#include "state_folder.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum { END_US = 10 * 1000 * 1000 }; /* for the book to be on disk */

static const struct plan *plan_of(const struct supervisor *s)
{
    return s->serving ? &s->serving->plan : &s->first;
}

static int prepare(const struct member *m, pid_t parent, struct ratchet_process **ret, char *why,
                   size_t why_room)
{
    const struct supervisor *s = m->supervisor;
    const struct plan *plan = plan_of(s);
    const struct shared_column counters = {s->shared, SHARED_COLUMN_SUPERVISOR};
    size_t seed;
    int store =
        state_folder_open(plan->state_dir, RATCHET_FOLDER, plan->uid, plan->gid, why, why_room);

    if (store < 0)
        log_text(LOG_LEVEL_WARNING, m->name, "what is remembered is not kept over a restart: %s",
                 why);
    why[0] = '\0';
    /* By itself it would read a file. */
    if (getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed))
        json_object_seed(seed | 1);
    int err = sandbox_drop_root(plan->uid, plan->gid, parent, why, why_room);
    if (!err)
        err = sandbox_write_below(&store, 1, why, why_room);
    if (!err)
        err = sandbox_enter_with(SANDBOX_RATCHET, &store, 1, why, why_room);
    if (err)
        return err;
    err = ratchet_process_new(s->ratchet_table, store, &counters, plan->ratchet_expiry_s, ret);
    if (err)
        snprintf(why, why_room, "ratchet: %s", err_text(err));
    return err;
}

static _Noreturn void ratchet_child(struct member *m, int fd, pid_t parent)
{
    struct supervisor *s = m->supervisor;
    struct channel_message message = {0};
    struct ratchet_process *p = NULL;
    int fds[2] = {m->channel, s->ratchet_line[1]};

    member_child_begin(m, parent);
    member_child_keep(fds, 2);
    shared_forget_seed(s->shared);
    int err = prepare(m, parent, &p, message.text, sizeof(message.text));
    member_child_ready(fds[0], err, &message);
    member_child_end(m, ratchet_process_run(p, fds[0], fds[1]));
}

/* In memory that all processes share, and a line that outlives the process: what workers tell while
 * it is started again waits in it. */
int ratchet_open(struct supervisor *s)
{
    int err = ratchet_table_new(&s->ratchet_table);

    return err ? err : channel_pair(s->ratchet_line);
}

void ratchet_close(struct supervisor *s)
{
    member_kill(&s->ratchet, SIGKILL);
    member_release(&s->ratchet);
    for (int i = 0; i < 2; i++)
        if (s->ratchet_line[i] >= 0)
            close(s->ratchet_line[i]);
    ratchet_table_free(s->ratchet_table);
}

void ratchet_start(struct supervisor *s)
{
    struct member *m = &s->ratchet;

    if (s->stopping)
        return;
    m->kind = MEMBER_RATCHET;
    m->supervisor = s;
    snprintf(m->name, sizeof(m->name), "ratchet");
    s->ratchet_again = false;
    s->ratchet_of = *plan_of(s);
    member_start(m, ratchet_child);
}

static int end_timeout(sd_event_source *source, uint64_t usec, void *user)
{
    struct member *m = user;

    member_kill(m, SIGKILL);
    return 0;
}

/* It puts the book on disk, and goes. */
static void end(struct member *m)
{
    if (m->state == MEMBER_DRAINING)
        return;
    m->state = MEMBER_DRAINING;
    shutdown(m->channel, SHUT_RDWR);
    if (sd_event_add_time_relative(m->supervisor->event, &m->restart_timer, CLOCK_MONOTONIC, END_US,
                                   0, end_timeout, m) < 0)
        member_kill(m, SIGKILL);
}

bool ratchet_end(struct supervisor *s)
{
    if (s->ratchet.pid <= 0)
        return false;
    s->ratchet_again = false;
    end(&s->ratchet);
    return true;
}

void ratchet_reload(struct supervisor *s)
{
    const struct plan *plan = &s->serving->plan;
    const struct channel_message message = {.kind = CHANNEL_EXPIRY,
                                            .number = plan->ratchet_expiry_s};

    if (s->ratchet.pid <= 0)
        return; /* it starts by this plan */
    if (strcmp(plan->state_dir, s->ratchet_of.state_dir) != 0 || plan->uid != s->ratchet_of.uid) {
        s->ratchet_again = true;
        end(&s->ratchet);
    } else {
        (void)!channel_send(s->ratchet.channel, &message, -1);
    }
}
