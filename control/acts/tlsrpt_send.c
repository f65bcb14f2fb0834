/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_send.h"

#include "clock.h"
#include "gzip.h"
#include "log.h"
#include "moment.h"
#include "resolver_ask.h"
#include "tlsrpt_message.h"
#include "tlsrpt_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    SETTLE_S = 300,      /* after midnight: until then every process has written its day */
    LOOK_MS = 30 * 1000, /* between looks whether it is another day */
    WRITE_MS = 2000,     /* after the first end that is not on disk */
    WHY_MAX = 160,
};

/* How it stands with a domain's report. What is behind UNDER_WAY is for ever. */
enum state { WAITING, UNDER_WAY, SENT, UNWANTED, GIVEN_UP };

struct job {
    struct tlsrpt_send *send;
    char *domain;
    enum state state;
    unsigned tries;
    uint64_t next_ms; /* WAITING: when it is tried */
    /* UNDER_WAY */
    struct tlsrpt_record record;
    unsigned uri; /* in turn */
    struct resolver_addresses addresses;
    char why[WHY_MAX]; /* of the last failure */
};

struct tlsrpt_send {
    struct tlsrpt_tally *tally;
    const struct dkim_key *key;
    struct ub_ctx *ub;
    struct resolver_fetches *fetches;
    char *organization, *contact, *host, *from, *selector;
    bool has_server;
    union net_addr server; /* for mail */
    unsigned delay_s, retry_s;
    int64_t day;     /* whose reports these are; 0: none */
    uint64_t end_ms; /* when the next day begins, whose reports are others */
    struct tlsrpt_day *counts;
    struct job *jobs;
    size_t jobs_len;
    unsigned under_way;
    bool dirty;
    uint64_t write_ms, look_ms;
    uint64_t next_ms; /* no job is due before */
};

static const struct {
    enum state state;
    const char *name;
} ends[] = {{SENT, "sent"}, {UNWANTED, "unwanted"}, {GIVEN_UP, "given-up"}};
enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

static void job_log(const struct job *j, enum log_level level, const char *event, const char *to)
{
    struct log_line l;

    log_begin(&l, level, "resolver", event);
    log_str(&l, "domain", j->domain);
    if (to)
        log_peer(&l, "to", span_str(to));
    if (j->why[0])
        log_peer(&l, "why", span_str(j->why));
    log_u64(&l, "tries", j->tries);
    log_write(&l);
}

/* --- what is on disk: a line "DOMAIN END" for each that is done with --- */

static void progress_write(struct tlsrpt_send *s)
{
    struct buf text;
    int err = ERR_OK;

    s->dirty = false;
    buf_init(&text, 0);
    for (size_t i = 0; i < s->jobs_len; i++)
        for (size_t e = 0; e < ENDS && !err; e++)
            if (s->jobs[i].state == ends[e].state)
                err = buf_printf(&text, "%s %s\n", s->jobs[i].domain, ends[e].name);
    if (!err)
        err = tlsrpt_tally_ends_write(s->tally, s->day, buf_span(&text));
    if (err)
        log_text(LOG_LEVEL_WARNING, "resolver", "tlsrpt_not_kept what=sent why=\"%s\"",
                 err_text(err));
    buf_release(&text);
}

/* Lines are in the order of jobs, mostly: each search begins where the last one ended. */
static struct job *job_find(struct tlsrpt_send *s, struct span domain, size_t *at)
{
    for (size_t i = 0; i < s->jobs_len; i++, *at = (*at + 1) % s->jobs_len)
        if (span_equal(span_str(s->jobs[*at].domain), domain))
            return &s->jobs[*at];
    return NULL;
}

/* A line that is none is passed by: that report may go out twice, with the same id. */
static void progress_read(struct tlsrpt_send *s, struct span rest)
{
    size_t at = 0;

    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        struct span line = span_make(rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len);
        const uint8_t *blank = line.len > 0 ? memchr(line.ptr, ' ', line.len) : NULL;
        size_t len = blank ? (size_t)(blank - line.ptr) : 0;
        struct job *j = blank ? job_find(s, span_make(line.ptr, len), &at) : NULL;
        for (size_t e = 0; e < ENDS && j && j->state == WAITING; e++)
            if (span_equal(span_from(line, len + 1), span_str(ends[e].name)))
                j->state = ends[e].state;
        rest = span_from(rest, line.len + (end != NULL));
    }
}

/* --- one report's ways --- */

static void job_end(struct job *j, enum state state)
{
    struct tlsrpt_send *s = j->send;

    j->state = state;
    s->under_way--;
    s->next_ms = 0; /* its place is free */
    if (!s->dirty)
        s->write_ms = clock_ms() + WRITE_MS;
    s->dirty = true;
}

/* Every way failed, or nobody knows the ways: later, each time twice as late. */
static void job_retry(struct job *j)
{
    struct tlsrpt_send *s = j->send;
    unsigned doublings = j->tries < TLSRPT_SEND_DOUBLINGS ? j->tries : TLSRPT_SEND_DOUBLINGS;
    uint64_t wait_ms = (uint64_t)s->retry_s * 1000 << doublings;

    j->tries++;
    j->next_ms = clock_ms() + wait_ms + resolver_random_below(wait_ms / 4);
    if (j->next_ms >= s->end_ms) {
        job_log(j, LOG_LEVEL_WARNING, "tlsrpt_given_up", NULL);
        job_end(j, GIVEN_UP);
        return;
    }
    job_log(j, LOG_LEVEL_INFO, "tlsrpt_retry", NULL);
    j->state = WAITING;
    s->under_way--;
    s->next_ms = 0;
}

static void uri_try(struct job *j);

static void uri_failed(struct job *j, const char *why)
{
    snprintf(j->why, sizeof(j->why), "%.80s: %.70s", j->record.uris[j->uri].text, why);
    j->uri++;
    uri_try(j);
}

static void uri_done(void *user, struct span body, bool rejected, const char *why)
{
    struct job *j = user;

    if (why) {
        uri_failed(j, why);
        return;
    }
    j->why[0] = '\0';
    job_log(j, LOG_LEVEL_INFO, "tlsrpt_sent", j->record.uris[j->uri].text);
    job_end(j, SENT);
}

static int report_gzip(const struct job *j, struct buf *out)
{
    const struct tlsrpt_send *s = j->send;
    const struct tlsrpt_sender sender = {s->organization, s->contact, s->host};
    struct buf json;

    buf_init(&json, 0);
    int err = tlsrpt_day_report(s->counts, j->domain, &sender, &json);
    if (!err)
        err = gzip_deflate(buf_span(&json), out);
    buf_release(&json);
    return err;
}

static int post(struct job *j, const struct dns_addr_answer *addr)
{
    const struct tlsrpt_uri *uri = &j->record.uris[j->uri];
    struct buf gzip;

    buf_init(&gzip, 0);
    int err = report_gzip(j, &gzip);
    const struct resolver_post request = {.url = uri->text,
                                          .host = uri->host,
                                          .port = uri->port,
                                          .addrs = addr->addr,
                                          .addrs_len = addr->len,
                                          .type = "application/tlsrpt+gzip",
                                          .body = buf_span(&gzip)};
    if (!err)
        err = resolver_fetch_post(j->send->fetches, &request, uri_done, j);
    buf_release(&gzip);
    return err;
}

static void addresses_done(void *user, const struct dns_addr_answer *addr)
{
    struct job *j = user;
    int err = addr->status == DNS_OK ? post(j, addr) : ERR_NOTFOUND;

    if (err)
        uri_failed(j, addr->status == DNS_OK ? err_text(err) : "its address can't be had");
}

static void post_begin(struct job *j)
{
    j->addresses.done = addresses_done;
    j->addresses.user = j;
    resolver_ask_addresses(j->send->ub, j->record.uris[j->uri].host, &j->addresses);
}

/* The domain of an address is who submits and who signs (RFC 8460 section 3). */
static const char *domain_of(const char *address)
{
    return strrchr(address, '@') + 1; /* conf_value.c: it has one */
}

static int mail_make(const struct job *j, struct span gzip, struct buf *out)
{
    const struct tlsrpt_send *s = j->send;
    struct buf header, body;
    char id[2 * DNS_NAME_MAX + 32];
    char day[MOMENT_TEXT];

    snprintf(id, sizeof(id), "%.10s.%s@%s", moment_text(s->day, day), j->domain, s->host);
    const struct tlsrpt_mail mail = {.from = s->from,
                                     .to = j->record.uris[j->uri].text,
                                     .domain = j->domain,
                                     .submitter = domain_of(s->from),
                                     .report_id = id,
                                     .start = s->day,
                                     .end = s->day + TLSRPT_DAY_S - 1,
                                     .now = (int64_t)time(NULL),
                                     .gzip = gzip};
    const struct dkim_request request = {.key = s->key,
                                         .domain = mail.submitter,
                                         .selector = s->selector,
                                         .headers = tlsrpt_mail_signed,
                                         .now = mail.now};

    buf_init(&header, 0);
    buf_init(&body, 0);
    int err = tlsrpt_mail_write(&mail, &header, &body);
    if (!err)
        err = dkim_sign(&request, buf_span(&header), buf_span(&body), out);
    if (!err)
        err = buf_append_span(out, buf_span(&header));
    if (!err)
        err = buf_append(out, "\r\n", 2);
    if (!err)
        err = buf_append_span(out, buf_span(&body));
    buf_release(&header);
    buf_release(&body);
    return err;
}

static int submit(struct job *j)
{
    const struct tlsrpt_send *s = j->send;
    struct buf gzip, mail;

    buf_init(&gzip, 0);
    buf_init(&mail, 0);
    int err = report_gzip(j, &gzip);
    if (!err)
        err = mail_make(j, buf_span(&gzip), &mail);
    const struct resolver_submission request = {.server = s->server,
                                                .helo = s->host,
                                                .from = s->from,
                                                .to = j->record.uris[j->uri].text,
                                                .mail = buf_span(&mail)};
    if (!err)
        err = resolver_fetch_submit(s->fetches, &request, uri_done, j);
    buf_release(&gzip);
    buf_release(&mail);
    return err;
}

/* The way in turn; one that we have not is passed by. */
static void uri_try(struct job *j)
{
    const struct tlsrpt_send *s = j->send;

    for (; j->uri < j->record.len; j->uri++) {
        if (j->record.uris[j->uri].kind == TLSRPT_HTTPS) {
            post_begin(j);
            return;
        }
        if (!s->has_server)
            continue;
        int err = submit(j);
        if (!err)
            return;
        snprintf(j->why, sizeof(j->why), "%s", err_text(err));
    }
    if (j->why[0])
        job_retry(j);
    else
        job_end(j, UNWANTED); /* by mail, which we do not send */
}

static void record_done(void *user, int error, struct ub_result *result)
{
    struct job *j = user;
    enum dns_status status = resolver_status(error, result);
    int err = status == DNS_OK ? resolver_tlsrpt_record(result, &j->record) : ERR_NOTFOUND;

    ub_resolve_free(result);
    j->uri = 0;
    j->why[0] = '\0';
    if (status == DNS_FAILED || status == DNS_BOGUS) {
        snprintf(j->why, sizeof(j->why), "its record at _smtp._tls can't be looked up");
        job_retry(j);
    } else if (err) {
        job_end(j, UNWANTED);
    } else {
        uri_try(j);
    }
}

static void job_begin(struct job *j)
{
    char name[DNS_NAME_MAX + 16];

    j->state = UNDER_WAY;
    j->send->under_way++;
    snprintf(name, sizeof(name), "_smtp._tls.%s", j->domain);
    resolver_ask(j->send->ub, name, DNS_TYPE_TXT, record_done, j);
}

/* --- a day --- */

static void day_end(struct tlsrpt_send *s)
{
    if (s->dirty)
        progress_write(s);
    for (size_t i = 0; i < s->jobs_len; i++)
        free(s->jobs[i].domain);
    free(s->jobs);
    s->jobs = NULL;
    s->jobs_len = 0;
    tlsrpt_day_free(s->counts);
    s->counts = NULL;
}

/* At any time of the first delay_s of the next day, each domain for itself. */
static void job_add(void *user, const struct tlsrpt_day_sum *sum)
{
    struct tlsrpt_send *s = user;
    struct job *j = &s->jobs[s->jobs_len];
    int64_t due = s->day + TLSRPT_DAY_S + (int64_t)resolver_random_below(s->delay_s + 1ull);
    int64_t late = (int64_t)time(NULL) - due;

    *j = (struct job){.send = s, .domain = strdup(sum->domain)};
    j->next_ms = clock_ms() + (late < 0 ? (uint64_t)-late * 1000 : 0);
    s->jobs_len += j->domain != NULL;
}

static void day_begin(struct tlsrpt_send *s, int64_t day)
{
    struct buf ends_text;

    s->counts = tlsrpt_tally_day(s->tally, day);
    size_t len = s->counts ? tlsrpt_day_domains(s->counts) : 0;
    s->jobs = calloc(len ? len : 1, sizeof(*s->jobs));
    if (!s->counts || !s->jobs) {
        day_end(s);
        return; /* at the next look */
    }
    s->day = day;
    int64_t left_s = day + 2 * TLSRPT_DAY_S - (int64_t)time(NULL);
    s->end_ms = clock_ms() + (left_s > 0 ? (uint64_t)left_s * 1000 : 0);
    tlsrpt_day_each(s->counts, job_add, s);
    s->next_ms = 0;
    buf_init(&ends_text, 0);
    if (tlsrpt_tally_ends_read(s->tally, day, &ends_text) == ERR_OK)
        progress_read(s, buf_span(&ends_text));
    buf_release(&ends_text);
}

/* What still waits for its turn. */
static void day_give_up(struct tlsrpt_send *s)
{
    for (size_t i = 0; i < s->jobs_len; i++) {
        struct job *j = &s->jobs[i];
        if (j->state != WAITING)
            continue;
        job_log(j, LOG_LEVEL_WARNING, "tlsrpt_given_up", NULL);
        j->state = GIVEN_UP;
        s->dirty = true;
    }
}

/* Jobs of an old day that are under way hold it for that long. */
static void day_look(struct tlsrpt_send *s)
{
    int64_t now = (int64_t)time(NULL), today = now - now % TLSRPT_DAY_S;
    int64_t settled = today + (s->delay_s < SETTLE_S ? s->delay_s : SETTLE_S);

    s->look_ms = clock_ms() + LOOK_MS;
    if (s->under_way > 0 || now < settled || s->day == today - TLSRPT_DAY_S ||
        !tlsrpt_tally_reports(s->tally))
        return;
    day_give_up(s);
    day_end(s);
    day_begin(s, today - TLSRPT_DAY_S);
}

/* Looks at all of them only where one can begin. */
static void jobs_begin(struct tlsrpt_send *s)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;

    if (s->under_way >= TLSRPT_SENDS_MAX || now < s->next_ms)
        return;
    s->next_ms = UINT64_MAX;
    for (size_t i = 0; i < s->jobs_len && s->under_way < TLSRPT_SENDS_MAX; i++) {
        if (s->jobs[i].state == WAITING && s->jobs[i].next_ms <= now)
            job_begin(&s->jobs[i]);
        if (s->jobs[i].state == WAITING && s->jobs[i].next_ms < next)
            next = s->jobs[i].next_ms;
    }
    /* One that ended at once said 0. */
    if (s->next_ms != 0)
        s->next_ms = next;
}

/* --- its life --- */

int tlsrpt_send_wait_ms(const struct tlsrpt_send *s)
{
    uint64_t now = clock_ms(), due = s->look_ms;

    if (s->dirty && s->write_ms < due)
        due = s->write_ms;
    if (s->under_way < TLSRPT_SENDS_MAX && s->next_ms < due)
        due = s->next_ms;
    return due > now ? (int)(due - now) : 0;
}

void tlsrpt_send_turn(struct tlsrpt_send *s)
{
    if (clock_ms() >= s->look_ms)
        day_look(s);
    jobs_begin(s);
    if (s->dirty && clock_ms() >= s->write_ms)
        progress_write(s);
}

void tlsrpt_send_begin(struct tlsrpt_send *s, struct ub_ctx *ub, struct resolver_fetches *fetches)
{
    s->ub = ub;
    s->fetches = fetches;
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

int tlsrpt_send_new(const struct conf *conf, const struct dkim_key *key, struct tlsrpt_tally *tally,
                    struct tlsrpt_send **ret)
{
    const struct conf_tlsrpt *c = &conf->tlsrpt;
    bool mails = c->send.submission && key;
    struct tlsrpt_send *s;

    *ret = NULL;
    if (!c->send.from)
        return ERR_OK;
    s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    s->tally = tally;
    s->key = key;
    s->organization = copy(c->organization);
    s->contact = copy(c->contact);
    s->host = copy(conf->gateway.hostname);
    s->from = copy(c->send.from);
    s->selector = copy(c->send.dkim_selector);
    s->has_server = mails && net_addr_parse(span_str(c->send.submission), &s->server) == ERR_OK;
    s->delay_s = c->send.delay_s;
    s->retry_s = c->send.retry_s;
    if (!s->organization || !s->contact || !s->host || !s->from || !s->selector) {
        tlsrpt_send_free(s);
        return ERR_NOMEM;
    }
    *ret = s;
    return ERR_OK;
}

void tlsrpt_send_free(struct tlsrpt_send *s)
{
    if (!s)
        return;
    day_end(s);
    free(s->organization);
    free(s->contact);
    free(s->host);
    free(s->from);
    free(s->selector);
    free(s);
}
