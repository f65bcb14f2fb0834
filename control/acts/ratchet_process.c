/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet_process.h"

#include "channel.h"
#include "clock.h"
#include "log.h"
#include "ratchet_file.h"
#include "ratchet_show.h"
#include "state_folder.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NAME "ratchet"
#define FILE_NAME "hosts"
#define FILE_ASIDE "hosts.damaged"

enum {
    SAVE_SOON_MS = 1000,    /* what changes a decision */
    SAVE_LATER_MS = 60000,  /* times */
    SAVE_AGAIN_FACTOR = 20, /* so many times as long as it took */
    SAVE_FAILED_MS = 60000,
    TELL_AGAIN_S = 60 * 60,
    REPORTS_A_TURN = 256,
};

struct ratchet_process {
    struct ratchet_table *table;
    struct ratchet_book *book;
    int store;
    struct shared_column counters;
    int64_t expiry_s;
    uint64_t save_at_ms; /* 0: all is saved */
    uint64_t save_not_before_ms;
    uint64_t evicted; /* what was told of */
    bool evicted_told, refused_told, unpublished;
    int64_t evicted_at, refused_at;
    bool save_failed; /* that it did was said */
};

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

/* --- the book's events --- */

static void publish(struct ratchet_process *p, const char *destination, const char *host,
                    const struct ratchet_known *known)
{
    if (!ratchet_table_put(p->table, destination, host, known) && !p->unpublished) {
        p->unpublished = true;
        log_text(LOG_LEVEL_WARNING, NAME, "no room in the table for %s: it counts as new",
                 destination);
    }
}

static void on_changed(void *user, const struct ratchet_entry *e, bool gone)
{
    const struct ratchet_known known = {
        .memory = {.known = !gone, .best = e->best, .last = e->last}, .dropped = e->dropped};

    publish(user, ratchet_destination(e), ratchet_host(e), &known);
}

static void on_weakest(void *user, const char *destination, const struct ratchet_memory *memory)
{
    const struct ratchet_known known = {.memory = *memory};

    publish(user, destination, NULL, &known);
}

static const struct ratchet_book_events book_events = {.changed = on_changed,
                                                       .weakest = on_weakest};

/* --- disk --- */

static void save_in(struct ratchet_process *p, uint64_t ms)
{
    uint64_t at = clock_ms() + ms;

    if (at < p->save_not_before_ms)
        at = p->save_not_before_ms;
    if (p->save_at_ms == 0 || at < p->save_at_ms)
        p->save_at_ms = at;
}

static void save(struct ratchet_process *p)
{
    uint64_t began = clock_ms();
    struct buf file;

    p->save_at_ms = 0;
    if (p->store < 0)
        return;
    buf_init(&file, RATCHET_FILE_MAX);
    int err = ratchet_file_write(p->book, &file);
    if (!err)
        err = state_folder_write_synced(p->store, FILE_NAME, buf_span(&file));
    if (err && !p->save_failed)
        log_text(LOG_LEVEL_ERROR, NAME,
                 "what is remembered can't be written: %s; it is tried again",
                 err == ERR_IO ? strerror(errno) : err_text(err));
    p->save_failed = err != 0;
    buf_release(&file);
    uint64_t ended = clock_ms();
    p->save_not_before_ms = ended + (ended - began) * SAVE_AGAIN_FACTOR;
    if (err)
        save_in(p, SAVE_FAILED_MS);
}

static int book_new(struct ratchet_process *p)
{
    ratchet_book_free(p->book);
    int err = ratchet_book_new(RATCHET_ENTRIES_MAX, ratchet_table_salt(p->table), &book_events, p,
                               &p->book);
    if (!err)
        ratchet_book_expiry(p->book, p->expiry_s);
    return err;
}

/* A file that can't be believed is kept for people to look at, and mail goes on. */
static int damaged(struct ratchet_process *p, const char *why)
{
    int err = state_folder_set_aside(p->store, FILE_NAME, FILE_ASIDE);

    log_text(LOG_LEVEL_ERROR, NAME,
             "ratchet/hosts is damaged: %s; %s; what destinations had before is forgotten", why,
             err ? "it can't be set aside, and is overwritten"
                 : "it is kept as " RATCHET_FOLDER "/" FILE_ASIDE);
    ratchet_table_take(p->table);
    return book_new(p);
}

static int load(struct ratchet_process *p)
{
    char why[128];
    struct buf file;
    int err;

    buf_init(&file, RATCHET_FILE_MAX);
    err = p->store < 0 ? ERR_NOTFOUND : state_folder_read(p->store, FILE_NAME, &file);
    if (err && err != ERR_NOTFOUND)
        snprintf(why, sizeof(why), "%s", err_text(err));
    else if (!err)
        err = ratchet_file_parse(buf_span(&file), p->book, why, sizeof(why));
    buf_release(&file);
    if (err && err != ERR_NOTFOUND)
        return damaged(p, why);
    return ERR_OK;
}

/* --- what workers tell --- */

static void gauges(struct ratchet_process *p)
{
    counter_set(&p->counters, COUNTER_RATCHET_HOSTS, ratchet_book_len(p->book));
    counter_set(&p->counters, COUNTER_RATCHET_DROPPED, ratchet_book_dropped(p->book));
}

/* What goes to make room, at most once an hour: destinations are the world's. */
static void tell_evicted(struct ratchet_process *p, int64_t now)
{
    uint64_t evicted = ratchet_book_evicted(p->book);

    if (evicted == p->evicted)
        return;
    counter_add(&p->counters, COUNTER_RATCHET_EVICTED, (int64_t)(evicted - p->evicted));
    p->evicted = evicted;
    if (p->evicted_told && now - p->evicted_at < TELL_AGAIN_S)
        return;
    p->evicted_told = true;
    p->evicted_at = now;
    log_text(LOG_LEVEL_WARNING, NAME,
             "ratchet_full: %u hosts are remembered, and those used least recently are forgotten",
             ratchet_book_len(p->book));
}

static void tell_refused(struct ratchet_process *p, const char *destination, int64_t now)
{
    struct log_line l;

    if (p->refused_told && now - p->refused_at < TELL_AGAIN_S)
        return;
    p->refused_told = true;
    p->refused_at = now;
    log_begin(&l, LOG_LEVEL_WARNING, NAME, "ratchet_refused");
    log_peer(&l, "destination", span_str(destination));
    log_str(&l, "why", "no room or no memory: it is not remembered");
    log_write(&l);
}

static void log_had(struct log_line *l, const char *key, const char *by,
                    const struct ratchet_had *had)
{
    log_str(l, key, ratchet_level_text(had->level));
    log_str(l, by, tls_source_text(had->source));
}

static void log_names(struct log_line *l, const struct ratchet_entry *e)
{
    log_peer(l, "destination", span_str(ratchet_destination(e)));
    log_peer(l, "host", span_str(ratchet_host(e)));
}

static void log_drop(const struct ratchet_report *r, const struct ratchet_entry *e)
{
    char date[RATCHET_DATE];
    struct log_line l;

    log_begin(&l, LOG_LEVEL_WARNING, NAME, "ratchet_drop");
    log_names(&l, e);
    log_had(&l, "was", "was_source", &e->best);
    log_str(&l, "was_last", ratchet_date(e->last, date));
    log_had(&l, "now", "now_source", &e->offered);
    log_u64(&l, "connections", e->drops);
    log_str(&l, "new_host", e->lent ? "1" : "0");
    log_peer(&l, "route", span_str(r->route));
    log_str(&l, "ratchet", r->holds ? "hold" : "warn");
    log_peer(&l, "why", span_str(r->why));
    log_write(&l);
}

static void log_better(const char *event, const struct ratchet_entry *e)
{
    struct log_line l;

    log_begin(&l, LOG_LEVEL_INFO, NAME, event);
    log_names(&l, e);
    log_had(&l, "now", "source", &e->best);
    log_write(&l);
}

static void report_take(struct ratchet_process *p, const struct ratchet_report *r)
{
    const struct ratchet_had had = {(enum conf_level)r->level, (enum tls_source)r->source};
    const struct ratchet_entry *e;
    int64_t now = now_s();
    enum ratchet_change change =
        (r->kind == RATCHET_TOLD_SEEN ? ratchet_book_seen : ratchet_book_drop)(
            p->book, r->destination, r->host, &had, now, &e);

    tell_evicted(p, now);
    switch (change) {
    case RATCHET_SAME:
        save_in(p, SAVE_LATER_MS);
        return;
    case RATCHET_NEW:
        break;
    case RATCHET_RAISED:
        log_better("ratchet_raised", e);
        break;
    case RATCHET_RESTORED:
        log_better("ratchet_restored", e);
        break;
    case RATCHET_DROPPED:
        log_drop(r, e);
        break;
    case RATCHET_REFUSED:
        tell_refused(p, r->destination, now);
        return;
    }
    gauges(p);
    save_in(p, SAVE_SOON_MS);
}

static int line_ready(struct ratchet_process *p, int line)
{
    struct ratchet_report report;

    for (int i = 0; i < REPORTS_A_TURN; i++) {
        int err = ratchet_hear(line, &report);
        if (err == ERR_AGAIN)
            return ERR_OK;
        if (err == ERR_SYSTEM)
            return err;
        if (!err)
            report_take(p, &report);
    }
    return ERR_OK;
}

/* --- what posternctl asks --- */

static void log_asked(const struct ratchet_request *request, unsigned count)
{
    struct log_line l;

    log_begin(&l, LOG_LEVEL_INFO, NAME,
              request->verb == RATCHET_ACCEPT ? "ratchet_accepted" : "ratchet_cleared");
    log_peer(&l, "destination", span_str(request->destination ? request->destination : "*"));
    log_peer(&l, "host", span_str(request->host ? request->host : "*"));
    log_u64(&l, "hosts", count);
    log_write(&l);
}

static json_t *request_answer(struct ratchet_process *p, const struct ratchet_request *request)
{
    unsigned count = 0;

    switch (request->verb) {
    case RATCHET_LIST:
        return ratchet_show_list(p->book, request->destination, now_s(), p->expiry_s);
    case RATCHET_ACCEPT:
        count = ratchet_book_accept(p->book, request->destination, request->host, now_s());
        break;
    case RATCHET_CLEAR:
        count = ratchet_book_clear(p->book, request->destination, request->host, now_s());
        break;
    }
    if (count > 0) {
        log_asked(request, count);
        gauges(p);
        save(p); /* what the administrator did is not to be done again */
    }
    return ratchet_show_done(request, count);
}

/* Takes fd. */
static void request_take(struct ratchet_process *p, struct channel_message *message, int channel,
                         int fd)
{
    struct channel_message answer = {.kind = CHANNEL_ROWS, .id = message->id};
    struct ratchet_request request;
    FILE *file = fdopen(fd, "w");
    json_t *json;

    if (!file) {
        close(fd);
        return;
    }
    json = ratchet_request_read(message->text, &request) ? request_answer(p, &request)
                                                         : ratchet_show_senseless();
    if (json && json_dumpf(json, file, JSON_COMPACT) == 0)
        answer.number = (uint64_t)ftell(file);
    json_decref(json);
    if (fclose(file) != 0)
        answer.number = 0;
    (void)!channel_send(channel, &answer, -1);
}

static int channel_ready(struct ratchet_process *p, int channel)
{
    struct channel_message message;
    int fd;
    int err = channel_receive(channel, &message, &fd);

    if (err == ERR_AGAIN)
        return ERR_OK;
    if (err)
        return err;
    if (message.kind == CHANNEL_RATCHET && fd >= 0) {
        request_take(p, &message, channel, fd);
        return ERR_OK;
    }
    if (message.kind == CHANNEL_EXPIRY) {
        p->expiry_s = (int64_t)message.number;
        ratchet_book_expiry(p->book, p->expiry_s);
    }
    if (fd >= 0)
        close(fd);
    return ERR_OK;
}

/* --- the whole --- */

static int wait_ms(const struct ratchet_process *p)
{
    uint64_t now = clock_ms();

    if (p->save_at_ms == 0)
        return -1;
    return p->save_at_ms > now ? (int)(p->save_at_ms - now) : 0;
}

int ratchet_process_run(struct ratchet_process *p, int channel, int line)
{
    struct pollfd fds[] = {{channel, POLLIN, 0}, {line, POLLIN, 0}};
    int err = ERR_OK;

    while (!err) {
        if (poll(fds, 2, wait_ms(p)) < 0 && errno != EINTR)
            return ERR_SYSTEM;
        if (fds[1].revents)
            err = line_ready(p, line);
        if (!err && fds[0].revents)
            err = channel_ready(p, channel);
        if (p->save_at_ms > 0 && (err || p->save_at_ms <= clock_ms()))
            save(p);
        fds[0].revents = fds[1].revents = 0;
    }
    return err == ERR_CLOSED ? ERR_OK : err;
}

int ratchet_process_new(struct ratchet_table *table, int store,
                        const struct shared_column *counters, int64_t expiry_s,
                        struct ratchet_process **ret)
{
    struct ratchet_process *p = calloc(1, sizeof(*p));

    *ret = NULL;
    if (!p)
        return ERR_NOMEM;
    p->table = table;
    p->store = store;
    p->counters = *counters;
    p->expiry_s = expiry_s;
    ratchet_table_take(table);
    int err = book_new(p);
    if (!err)
        err = load(p);
    if (err) {
        ratchet_book_free(p->book);
        free(p);
        return err;
    }
    ratchet_table_sweep(table);
    gauges(p);
    *ret = p;
    return ERR_OK;
}
