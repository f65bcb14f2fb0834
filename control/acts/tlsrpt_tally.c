/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_tally.h"

#include "clock.h"
#include "log.h"
#include "moment.h"
#include "state_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
    WRITE_MS = 5000,                  /* after the first session that is not on disk */
    WRITE_BYTES_A_SECOND = 64 * 1024, /* a large file is written more rarely */
    DAYS_KEPT = 2,
    DISCARD_PORT = 9,
    NAME_ROOM = 40,
};

struct tlsrpt_tally {
    int folder, lock; /* -1: none */
    int sender;       /* open: its lock may be taken; -1: none */
    bool reports;
    unsigned place;
    struct tlsrpt_day *day;
    bool dirty, complained;
    uint64_t write_ms; /* when, where dirty */
    uint64_t written;  /* bytes, last time */
    char *organization, *contact, *host;
};

static int64_t today(void)
{
    int64_t now = (int64_t)time(NULL);

    return now - now % TLSRPT_DAY_S;
}

/* --- files --- */

static const char *file_name(int64_t day, unsigned place, char out[NAME_ROOM])
{
    char text[MOMENT_TEXT];

    snprintf(out, NAME_ROOM, "%.10s.%u", moment_text(day, text), place);
    return out;
}

static const char *ends_name(int64_t day, char out[NAME_ROOM])
{
    char text[MOMENT_TEXT];

    snprintf(out, NAME_ROOM, "%.10s.ends", moment_text(day, text));
    return out;
}

static void complain(struct tlsrpt_tally *t, const char *what, int err)
{
    if (!t->complained)
        log_text(LOG_LEVEL_WARNING, "resolver", "tlsrpt_not_kept what=%s why=\"%s\"", what,
                 err_text(err));
    t->complained = true;
}

static void day_write(struct tlsrpt_tally *t)
{
    char name[NAME_ROOM];
    struct buf text;
    int err;

    t->dirty = false;
    if (t->folder < 0 || t->lock < 0)
        return;
    buf_init(&text, TLSRPT_DAY_FILE_MAX);
    err = tlsrpt_day_write(t->day, &text);
    if (!err)
        err = state_folder_write(t->folder, file_name(tlsrpt_day_start(t->day), t->place, name),
                                 buf_span(&text));
    if (err)
        complain(t, "counts", err);
    t->written = buf_len(&text);
    buf_release(&text);
}

/* What the file of a place has of the day is added to it. */
static void day_read(int folder, unsigned place, struct tlsrpt_day *day)
{
    char name[NAME_ROOM];
    struct buf text;
    int err;

    buf_init(&text, TLSRPT_DAY_FILE_MAX);
    err = state_folder_read(folder, file_name(tlsrpt_day_start(day), place, name), &text);
    if (!err)
        err = tlsrpt_day_read(day, buf_span(&text));
    if (err && err != ERR_NOTFOUND)
        log_text(LOG_LEVEL_WARNING, "resolver", "tlsrpt_damaged file=%s why=\"%s\"", name,
                 err_text(err));
    buf_release(&text);
}

/* Of days that nobody asks for any more, as far back as a gateway may have stood still for. */
static void old_remove(const struct tlsrpt_tally *t, int64_t before)
{
    char name[NAME_ROOM];

    for (int64_t day = before - 30 * TLSRPT_DAY_S; day < before && t->folder >= 0;
         day += TLSRPT_DAY_S) {
        state_folder_remove(t->folder, ends_name(day, name));
        for (unsigned place = 0; place < TLSRPT_TALLY_PLACES; place++)
            state_folder_remove(t->folder, file_name(day, place, name));
    }
}

int tlsrpt_tally_ends_read(const struct tlsrpt_tally *t, int64_t day, struct buf *out)
{
    char name[NAME_ROOM];

    return t->folder < 0 ? ERR_NOTFOUND : state_folder_read(t->folder, ends_name(day, name), out);
}

int tlsrpt_tally_ends_write(const struct tlsrpt_tally *t, int64_t day, struct span text)
{
    char name[NAME_ROOM];

    return t->folder < 0 ? ERR_IO : state_folder_write(t->folder, ends_name(day, name), text);
}

/* Without a folder nobody could tell what was sent before. */
bool tlsrpt_tally_reports(struct tlsrpt_tally *t)
{
    if (!t->reports && t->sender >= 0)
        t->reports = flock(t->sender, LOCK_EX | LOCK_NB) == 0;
    return t->reports;
}

/* The first place that no other process has. */
static void place_take(struct tlsrpt_tally *t)
{
    char name[NAME_ROOM];

    if (t->folder >= 0)
        t->sender = openat(t->folder, "sender", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    for (t->place = 0; t->place < TLSRPT_TALLY_PLACES && t->folder >= 0; t->place++) {
        snprintf(name, sizeof(name), "place.%u", t->place);
        t->lock = openat(t->folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (t->lock >= 0 && flock(t->lock, LOCK_EX | LOCK_NB) == 0)
            return;
        if (t->lock >= 0)
            close(t->lock);
        t->lock = -1;
    }
    if (t->folder >= 0)
        complain(t, "place", ERR_LIMIT);
}

/* --- its life --- */

void tlsrpt_tally_flush(struct tlsrpt_tally *t)
{
    if (t->dirty)
        day_write(t);
}

int tlsrpt_tally_new(const struct conf *conf, int folder, struct tlsrpt_tally **ret)
{
    struct tlsrpt_tally *t = calloc(1, sizeof(*t));

    *ret = NULL;
    if (!t) {
        if (folder >= 0)
            close(folder);
        return ERR_NOMEM;
    }
    t->folder = folder;
    t->lock = t->sender = -1;
    t->organization = strdup(conf->tlsrpt.organization);
    t->contact = strdup(conf->tlsrpt.contact);
    t->host = strdup(conf->gateway.hostname);
    if (!t->organization || !t->contact || !t->host || tlsrpt_day_new(today(), &t->day) != ERR_OK) {
        tlsrpt_tally_free(t);
        return ERR_NOMEM;
    }
    place_take(t);
    if (t->lock >= 0)
        day_read(t->folder, t->place, t->day);
    *ret = t;
    return ERR_OK;
}

void tlsrpt_tally_free(struct tlsrpt_tally *t)
{
    if (!t)
        return;
    tlsrpt_tally_flush(t);
    tlsrpt_day_free(t->day);
    if (t->lock >= 0)
        close(t->lock);
    if (t->sender >= 0)
        close(t->sender);
    if (t->folder >= 0)
        close(t->folder);
    free(t->organization);
    free(t->contact);
    free(t->host);
    free(t);
}

/* --- counting --- */

/* Where it is another day: that one begins. */
static void day_turn(struct tlsrpt_tally *t)
{
    int64_t now = today();
    struct tlsrpt_day *next;

    if (now == tlsrpt_day_start(t->day) || tlsrpt_day_new(now, &next) != ERR_OK)
        return;
    tlsrpt_tally_flush(t);
    tlsrpt_day_free(t->day);
    t->day = next;
    /* A clock that was set back comes to a day that it had before. */
    if (t->lock >= 0)
        day_read(t->folder, t->place, t->day);
    old_remove(t, now - (DAYS_KEPT - 1) * TLSRPT_DAY_S);
}

/* Of a packet to the address: a look into the routing table, nothing is sent. */
static const char *sending_ip_find(const union net_addr *to, char out[NET_ADDR_TEXT])
{
    int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    union net_addr addr = *to;
    socklen_t len = sizeof(addr);

    out[0] = '\0';
    net_addr_set_port(&addr, DISCARD_PORT);
    if (fd >= 0 && connect(fd, &addr.any, net_addr_len(&addr)) == 0 &&
        getsockname(fd, &addr.any, &len) == 0)
        net_addr_ip_text(&addr, out);
    if (fd >= 0)
        close(fd);
    return out;
}

void tlsrpt_tally_add(struct tlsrpt_tally *t, const struct tlsrpt_event *e)
{
    char ip[NET_ADDR_TEXT] = "";

    day_turn(t);
    if (e->failed && e->sending.any.sa_family == 0 && e->receiving.any.sa_family != 0)
        sending_ip_find(&e->receiving, ip);
    tlsrpt_day_add(t->day, e, ip);
    if (t->dirty)
        return;
    t->dirty = true;
    t->write_ms = clock_ms() + WRITE_MS + t->written * 1000 / WRITE_BYTES_A_SECOND;
}

int tlsrpt_tally_wait_ms(const struct tlsrpt_tally *t)
{
    uint64_t now = clock_ms();

    return !t->dirty ? -1 : t->write_ms > now ? (int)(t->write_ms - now) : 0;
}

void tlsrpt_tally_turn(struct tlsrpt_tally *t)
{
    day_turn(t);
    if (t->dirty && clock_ms() >= t->write_ms)
        day_write(t);
}

/* --- what there is --- */

struct showing {
    json_t *domains, *ends;
    uint64_t good, failed;
};

static void domain_show(void *user, const struct tlsrpt_day_sum *sum)
{
    struct showing *s = user;

    s->good += sum->good;
    s->failed += sum->failed;
    if (json_array_size(s->domains) < TLSRPT_TALLY_SHOWN)
        json_array_append_new(s->domains,
                              json_pack("{s:s, s:I, s:I, s:O*}", "domain", sum->domain, "good",
                                        (json_int_t)sum->good, "failed", (json_int_t)sum->failed,
                                        "report", json_object_get(s->ends, sum->domain)));
}

static json_t *ends_json(const struct tlsrpt_tally *t, int64_t day)
{
    json_t *json = json_object();
    struct buf text;
    char *line, *rest, *blank;

    buf_init(&text, 0);
    if (tlsrpt_tally_ends_read(t, day, &text) == ERR_OK && buf_append(&text, "", 1) == ERR_OK)
        for (rest = (char *)text.data + text.start; (line = strsep(&rest, "\n"));)
            if ((blank = strchr(line, ' '))) {
                *blank = '\0';
                json_object_set_new(json, line, json_string(blank + 1));
            }
    buf_release(&text);
    return json;
}

static json_t *day_show(const struct tlsrpt_tally *t, const struct tlsrpt_day *day)
{
    struct showing s = {.domains = json_array(), .ends = ends_json(t, tlsrpt_day_start(day))};
    char text[MOMENT_TEXT];

    tlsrpt_day_each(day, domain_show, &s);
    json_decref(s.ends);
    size_t left_out = tlsrpt_day_domains(day) - json_array_size(s.domains);
    return json_pack("{s:s%, s:I, s:I, s:I, s:I, s:o}", "day",
                     moment_text(tlsrpt_day_start(day), text), (size_t)10, "good",
                     (json_int_t)s.good, "failed", (json_int_t)s.failed, "dropped",
                     (json_int_t)tlsrpt_day_dropped(day), "domains_omitted", (json_int_t)left_out,
                     "domains", s.domains);
}

static json_t *domain_report(const struct tlsrpt_tally *t, const struct tlsrpt_day *day,
                             const char *domain)
{
    const struct tlsrpt_sender sender = {t->organization, t->contact, t->host};
    struct buf text;
    json_t *json;

    buf_init(&text, 0);
    int err = tlsrpt_day_report(day, domain, &sender, &text);
    if (err == ERR_NOTFOUND)
        json = json_pack("{s:s, s:i}", "error", "no session with that domain is counted that day",
                         "exit", EX_UNAVAILABLE);
    else if (err)
        json = NULL;
    else
        json = json_pack("{s:s%}", "report", (const char *)buf_span(&text).ptr, buf_len(&text));
    buf_release(&text);
    return json;
}

/* A copy, with what all places have on disk but this one, whose counts are newer here. */
struct tlsrpt_day *tlsrpt_tally_day(const struct tlsrpt_tally *t, int64_t start)
{
    bool own = start == tlsrpt_day_start(t->day);
    struct tlsrpt_day *day;
    struct buf text;

    if (tlsrpt_day_new(start, &day) != ERR_OK)
        return NULL;
    for (unsigned place = 0; place < TLSRPT_TALLY_PLACES && t->folder >= 0; place++)
        if (!own || t->lock < 0 || place != t->place)
            day_read(t->folder, place, day);
    buf_init(&text, TLSRPT_DAY_FILE_MAX);
    if (own && (tlsrpt_day_write(t->day, &text) != ERR_OK ||
                tlsrpt_day_read(day, buf_span(&text)) != ERR_OK)) {
        tlsrpt_day_free(day);
        day = NULL;
    }
    buf_release(&text);
    return day;
}

char *tlsrpt_tally_show(const struct tlsrpt_tally *t, unsigned back, const char *domain)
{
    struct tlsrpt_day *day = tlsrpt_tally_day(t, today() - (int64_t)back * TLSRPT_DAY_S);
    json_t *json = !day ? NULL : domain[0] ? domain_report(t, day, domain) : day_show(t, day);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    json_decref(json);
    tlsrpt_day_free(day);
    return text;
}
