/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of expiry.h: the list of the configuration that serves, its lines in the
 * log once a day, and its way to the metrics process.
 */
#include "expiry.h"
#include "log.h"
#include "supervisor_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_US (UINT64_C(1000000) * EXPIRY_DAY_S)

static void fd_replace(int *fd, int by)
{
    if (*fd >= 0)
        close(*fd);
    *fd = by;
}

static void list_log(const struct supervisor *s)
{
    struct expiry_list *list;
    int err = expiry_read(s->expiry_fd, &list);

    if (err) {
        log_text(LOG_LEVEL_WARNING, SUPERVISOR_NAME, "certificates are not watched: %s",
                 err_text(err));
        return;
    }
    expiry_log(list, (int64_t)time(NULL), SUPERVISOR_NAME);
    free(list);
}

static int day_over(sd_event_source *source, uint64_t usec, void *user)
{
    list_log(user);
    sd_event_source_set_time_relative(source, DAY_US);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

void expiry_offer(struct supervisor *s, int fd)
{
    fd_replace(&s->expiry_next_fd, fd);
}

void expiry_serve(struct supervisor *s)
{
    fd_replace(&s->expiry_fd, s->expiry_next_fd);
    s->expiry_next_fd = -1;
    expiry_tell(s);
    list_log(s);
    sd_event_source_disable_unref(s->expiry_timer);
    s->expiry_timer = NULL;
    if (sd_event_add_time_relative(s->event, &s->expiry_timer, CLOCK_MONOTONIC, DAY_US, 0, day_over,
                                   s) < 0)
        log_text(LOG_LEVEL_WARNING, SUPERVISOR_NAME, "certificates are not watched: no timer");
}

void expiry_tell(const struct supervisor *s)
{
    const struct channel_message message = {.kind = CHANNEL_CERTIFICATES};
    const struct member *m = &s->metrics;

    if (m->pid > 0 && m->channel >= 0 && s->expiry_fd >= 0 &&
        channel_send(m->channel, &message, s->expiry_fd) != 0)
        log_text(LOG_LEVEL_WARNING, SUPERVISOR_NAME,
                 "the metrics of certificates are those from before");
}

void expiry_close(struct supervisor *s)
{
    sd_event_source_disable_unref(s->expiry_timer);
    s->expiry_timer = NULL;
    fd_replace(&s->expiry_next_fd, -1);
    fd_replace(&s->expiry_fd, -1);
}
