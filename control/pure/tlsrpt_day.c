/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_day.h"

#include "arena.h"
#include "moment.h"
#include "sip_hash.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { BUCKETS = 4096, LINE_MAX_LEN = 9000 };

struct failure {
    SIMPLEQ_ENTRY(failure) next;
    enum tlsrpt_result result;
    uint64_t sessions;
    const char *sending_ip, *receiving_ip, *mx, *reason; /* "": none */
};

struct policy {
    SIMPLEQ_ENTRY(policy) next;
    enum tlsrpt_policy_type type;
    const char *domain;
    struct span strings; /* a line feed behind each */
    uint64_t good, failed;
    unsigned failures_len;
    SIMPLEQ_HEAD(, failure) failures;
};

struct domain {
    SIMPLEQ_ENTRY(domain) next;
    struct domain *in_bucket;
    const char *name;
    unsigned policies_len;
    SIMPLEQ_HEAD(, policy) policies;
};

struct tlsrpt_day {
    struct arena arena;
    int64_t start;
    uint64_t dropped;
    size_t len;
    SIMPLEQ_HEAD(, domain) domains;
    struct domain *buckets[BUCKETS];
};

int tlsrpt_day_new(int64_t start, struct tlsrpt_day **ret)
{
    struct tlsrpt_day *day = calloc(1, sizeof(*day));

    *ret = day;
    if (!day)
        return ERR_NOMEM;
    arena_init(&day->arena, TLSRPT_DAY_BYTES_MAX);
    day->start = start;
    SIMPLEQ_INIT(&day->domains);
    return ERR_OK;
}

void tlsrpt_day_free(struct tlsrpt_day *day)
{
    if (!day)
        return;
    arena_free(&day->arena);
    free(day);
}

int64_t tlsrpt_day_start(const struct tlsrpt_day *day)
{
    return day->start;
}

size_t tlsrpt_day_domains(const struct tlsrpt_day *day)
{
    return day->len;
}

uint64_t tlsrpt_day_dropped(const struct tlsrpt_day *day)
{
    return day->dropped;
}

static void count_add(uint64_t *count, uint64_t more)
{
    *count = more > (uint64_t)INT64_MAX - *count ? (uint64_t)INT64_MAX : *count + more;
}

/* --- finding and making --- */

/* The names are those of an administrator's mail, and their number is bounded: no secret is needed.
 */
static struct domain **bucket_of(const struct tlsrpt_day *day, const char *name)
{
    static const uint64_t key[2] = {0x7c3a, 0x8460};
    uint64_t hash = sip_hash(key, (const uint8_t *)name, strlen(name));

    return (struct domain **)&day->buckets[hash % BUCKETS];
}

static struct domain *domain_find(const struct tlsrpt_day *day, const char *name)
{
    struct domain *d = *bucket_of(day, name);

    while (d && strcmp(d->name, name) != 0)
        d = d->in_bucket;
    return d;
}

/* NULL: there is no room. */
static struct domain *domain_get(struct tlsrpt_day *day, const char *name)
{
    struct domain *d = domain_find(day, name);

    if (d || day->len >= TLSRPT_DAY_DOMAINS_MAX)
        return d;
    d = arena_alloc(&day->arena, sizeof(*d));
    const char *copy = arena_strdup(&day->arena, span_str(name));
    if (!d || !copy)
        return NULL;
    d->name = copy;
    SIMPLEQ_INIT(&d->policies);
    struct domain **bucket = bucket_of(day, name);
    d->in_bucket = *bucket;
    *bucket = d;
    SIMPLEQ_INSERT_TAIL(&day->domains, d, next);
    day->len++;
    return d;
}

static struct policy *policy_get(struct tlsrpt_day *day, struct domain *d,
                                 enum tlsrpt_policy_type type, const char *domain,
                                 struct span strings)
{
    struct policy *p;

    SIMPLEQ_FOREACH(p, &d->policies, next)
    if (p->type == type && strcmp(p->domain, domain) == 0 && span_equal(p->strings, strings))
        return p;
    if (d->policies_len >= TLSRPT_DAY_POLICIES_MAX)
        return NULL;
    p = arena_alloc(&day->arena, sizeof(*p));
    const char *copy = p ? arena_strdup(&day->arena, span_str(domain)) : NULL;
    const char *text = copy ? arena_strdup(&day->arena, strings) : NULL;
    if (!text)
        return NULL;
    p->type = type;
    p->domain = copy;
    p->strings = span_make(text, strings.len);
    SIMPLEQ_INIT(&p->failures);
    SIMPLEQ_INSERT_TAIL(&d->policies, p, next);
    d->policies_len++;
    return p;
}

static bool failure_is(const struct failure *f, const struct failure *like)
{
    return f->result == like->result && strcmp(f->sending_ip, like->sending_ip) == 0 &&
           strcmp(f->receiving_ip, like->receiving_ip) == 0 && strcmp(f->mx, like->mx) == 0 &&
           strcmp(f->reason, like->reason) == 0;
}

static struct failure *failure_get(struct tlsrpt_day *day, struct policy *p, unsigned max,
                                   const struct failure *like)
{
    struct failure *f;

    SIMPLEQ_FOREACH(f, &p->failures, next)
    if (failure_is(f, like))
        return f;
    if (p->failures_len >= max)
        return NULL;
    f = arena_alloc(&day->arena, sizeof(*f));
    if (!f)
        return NULL;
    f->result = like->result;
    f->sending_ip = arena_strdup(&day->arena, span_str(like->sending_ip));
    f->receiving_ip = arena_strdup(&day->arena, span_str(like->receiving_ip));
    f->mx = arena_strdup(&day->arena, span_str(like->mx));
    f->reason = arena_strdup(&day->arena, span_str(like->reason));
    if (!f->sending_ip || !f->receiving_ip || !f->mx || !f->reason)
        return NULL;
    SIMPLEQ_INSERT_TAIL(&p->failures, f, next);
    p->failures_len++;
    return f;
}

/* like->sessions more. Each result has a place of its own behind the bound. */
static void failure_add(struct tlsrpt_day *day, struct policy *p, const struct failure *like)
{
    struct failure *f = failure_get(day, p, TLSRPT_DAY_FAILURES_MAX, like);

    if (!f) {
        const struct failure bare = {
            .result = like->result, .sending_ip = "", .receiving_ip = "", .mx = "", .reason = ""};
        f = failure_get(day, p, TLSRPT_DAY_FAILURES_MAX + TLSRPT_RESULTS, &bare);
    }
    if (f)
        count_add(&f->sessions, like->sessions);
}

static const char *ip_text(const union net_addr *addr, char out[NET_ADDR_TEXT])
{
    out[0] = '\0';
    return addr->any.sa_family == 0 ? out : net_addr_ip_text(addr, out);
}

void tlsrpt_day_add(struct tlsrpt_day *day, const struct tlsrpt_event *e, const char *sending_ip)
{
    struct domain *d = domain_get(day, e->domain);
    struct policy *p = d ? policy_get(day, d, (enum tlsrpt_policy_type)e->type, e->policy_domain,
                                      span_make(e->policy, e->policy_len))
                         : NULL;
    char sending[NET_ADDR_TEXT], receiving[NET_ADDR_TEXT];

    if (!p) {
        count_add(&day->dropped, 1);
        return;
    }
    if (!e->failed) {
        count_add(&p->good, 1);
        return;
    }
    count_add(&p->failed, 1);
    ip_text(&e->sending, sending);
    failure_add(day, p,
                &(struct failure){.result = (enum tlsrpt_result)e->result,
                                  .sessions = 1,
                                  .sending_ip = sending[0] ? sending : sending_ip,
                                  .receiving_ip = ip_text(&e->receiving, receiving),
                                  .mx = e->mx,
                                  .reason = e->reason});
}

/* --- the file ---
 *
 * A line a value, and a last one, so that a file that was cut is none. Names and addresses have no
 * blanks; "-" stands for none.
 */

#define TITLE "postern tlsrpt 1"

static const char *mark(const char *text)
{
    return text[0] ? text : "-";
}

static int policy_write(const struct policy *p, struct buf *out)
{
    const struct failure *f;
    struct span rest = p->strings;
    int err = buf_printf(out, "policy %s %s %" PRIu64 " %" PRIu64 "\n",
                         tlsrpt_policy_type_text(p->type), p->domain, p->good, p->failed);

    while (!err && rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = (size_t)(end - rest.ptr) + 1; /* each ends so: tlsrpt_event_valid */
        err = buf_printf(out, "string ");
        if (!err)
            err = buf_append(out, rest.ptr, len);
        rest = span_from(rest, len);
    }
    SIMPLEQ_FOREACH(f, &p->failures, next)
    if (!err)
        err = buf_printf(out, "failure %s %" PRIu64 " %s %s %s %s\n", tlsrpt_result_text(f->result),
                         f->sessions, mark(f->sending_ip), mark(f->receiving_ip), mark(f->mx),
                         f->reason);
    return err;
}

int tlsrpt_day_write(const struct tlsrpt_day *day, struct buf *out)
{
    const struct domain *d;
    const struct policy *p;
    int err =
        buf_printf(out, TITLE "\nday %" PRId64 " dropped %" PRIu64 "\n", day->start, day->dropped);

    SIMPLEQ_FOREACH(d, &day->domains, next)
    {
        if (!err)
            err = buf_printf(out, "domain %s\n", d->name);
        SIMPLEQ_FOREACH(p, &d->policies, next)
        if (!err)
            err = policy_write(p, out);
    }
    return err ? err : buf_printf(out, "end\n");
}

/* Where the reading is. */
struct reading {
    struct span rest;
    char line[LINE_MAX_LEN];
    char *words[8];
    size_t words_len;
};

/* The next line, with its first words apart; what follows the last of max is its own. False at the
 * end, or where it is no line of ours. */
static bool line_take(struct reading *r, size_t max)
{
    const uint8_t *end = r->rest.len > 0 ? memchr(r->rest.ptr, '\n', r->rest.len) : NULL;
    size_t len = end ? (size_t)(end - r->rest.ptr) : 0;
    char *at = r->line;

    if (!end || len >= sizeof(r->line))
        return false;
    for (size_t i = 0; i < len; i++)
        if (r->rest.ptr[i] < 0x20 || r->rest.ptr[i] > 0x7e)
            return false;
    memcpy(r->line, r->rest.ptr, len);
    r->line[len] = '\0';
    r->rest = span_from(r->rest, len + 1);
    for (r->words_len = 0; at && r->words_len < max;) {
        r->words[r->words_len++] = at;
        at = r->words_len < max ? strchr(at, ' ') : NULL;
        if (at)
            *at++ = '\0';
    }
    return true;
}

static bool next_is(const struct reading *r, const char *word)
{
    size_t len = strlen(word);

    return r->rest.len > len && memcmp(r->rest.ptr, word, len) == 0;
}

static bool count_read(const char *text, uint64_t *ret)
{
    return span_to_u64(span_str(text), INT64_MAX, ret) == ERR_OK;
}

static bool name_ok(const char *text)
{
    return text[0] && strlen(text) <= DNS_NAME_MAX;
}

static const char *unmark(const char *text)
{
    return strcmp(text, "-") == 0 ? "" : text;
}

/* p: NULL where there is no room for it. */
static int failure_read(struct tlsrpt_day *day, struct policy *p, struct reading *r)
{
    struct failure f;

    if (!line_take(r, 7) || r->words_len != 7 || !count_read(r->words[2], &f.sessions))
        return ERR_SYNTAX;
    f.result = tlsrpt_result_find(r->words[1]);
    f.sending_ip = unmark(r->words[3]);
    f.receiving_ip = unmark(r->words[4]);
    f.mx = unmark(r->words[5]);
    f.reason = r->words[6];
    if (f.result == TLSRPT_RESULTS || strlen(f.sending_ip) >= NET_ADDR_TEXT ||
        strlen(f.receiving_ip) >= NET_ADDR_TEXT || strlen(f.mx) > DNS_NAME_MAX ||
        strlen(f.reason) >= TLSRPT_EVENT_REASON)
        return ERR_SYNTAX;
    if (p)
        failure_add(day, p, &f);
    return ERR_OK;
}

static int type_read(const char *text, enum tlsrpt_policy_type *ret)
{
    for (int i = 0; i < TLSRPT_POLICY_TYPES; i++) {
        *ret = (enum tlsrpt_policy_type)i;
        if (strcmp(text, tlsrpt_policy_type_text(*ret)) == 0)
            return ERR_OK;
    }
    return ERR_SYNTAX;
}

static int strings_read(struct reading *r, struct buf *out)
{
    while (next_is(r, "string ")) {
        if (!line_take(r, 2) || buf_append_span(out, span_str(r->words[1])) != ERR_OK ||
            buf_append(out, "\n", 1) != ERR_OK)
            return ERR_SYNTAX;
    }
    return ERR_OK;
}

static int policy_read(struct tlsrpt_day *day, struct domain *d, struct reading *r)
{
    char domain[DNS_NAME_MAX + 1];
    enum tlsrpt_policy_type type;
    uint64_t good, failed;
    struct buf strings;

    if (!line_take(r, 6) || r->words_len != 5 || type_read(r->words[1], &type) != ERR_OK ||
        !name_ok(r->words[2]) || !count_read(r->words[3], &good) ||
        !count_read(r->words[4], &failed))
        return ERR_SYNTAX;
    memcpy(domain, r->words[2], strlen(r->words[2]) + 1);
    buf_init(&strings, TLSRPT_EVENT_POLICY);
    int err = strings_read(r, &strings);
    struct policy *p = !err && d ? policy_get(day, d, type, domain, buf_span(&strings)) : NULL;
    buf_release(&strings);
    if (p) {
        count_add(&p->good, good);
        count_add(&p->failed, failed);
    } else {
        count_add(&day->dropped, good);
        count_add(&day->dropped, failed);
    }
    while (!err && next_is(r, "failure "))
        err = failure_read(day, p, r);
    return err;
}

static int file_read(struct tlsrpt_day *day, struct reading *r)
{
    uint64_t start, dropped;
    int err = ERR_OK;

    if (!line_take(r, 1) || strcmp(r->line, TITLE) != 0 || !line_take(r, 5) || r->words_len != 4 ||
        strcmp(r->words[0], "day") != 0 || !count_read(r->words[1], &start) ||
        strcmp(r->words[2], "dropped") != 0 || !count_read(r->words[3], &dropped))
        return ERR_SYNTAX;
    if ((int64_t)start != day->start)
        return ERR_STATE;
    count_add(&day->dropped, dropped);
    while (!err && next_is(r, "domain ")) {
        if (!line_take(r, 3) || r->words_len != 2 || !name_ok(r->words[1]))
            return ERR_SYNTAX;
        struct domain *d = domain_get(day, r->words[1]);
        while (!err && next_is(r, "policy "))
            err = policy_read(day, d, r);
    }
    if (!err && (!line_take(r, 1) || strcmp(r->line, "end") != 0 || r->rest.len > 0))
        err = ERR_SYNTAX;
    return err;
}

/* A day of its own first, so that what turns out to be damaged leaves nothing behind. */
int tlsrpt_day_read(struct tlsrpt_day *day, struct span text)
{
    struct reading *r = malloc(sizeof(*r));
    struct tlsrpt_day *trial = NULL;
    int err = r ? tlsrpt_day_new(day->start, &trial) : ERR_NOMEM;

    if (!err) {
        r->rest = text;
        err = file_read(trial, r);
    }
    tlsrpt_day_free(trial);
    if (!err) {
        r->rest = text;
        err = file_read(day, r);
    }
    free(r);
    return err;
}

/* --- what it comes to --- */

void tlsrpt_day_each(const struct tlsrpt_day *day,
                     void (*each)(void *user, const struct tlsrpt_day_sum *sum), void *user)
{
    const struct domain *d;
    const struct policy *p;

    SIMPLEQ_FOREACH(d, &day->domains, next)
    {
        struct tlsrpt_day_sum sum = {.domain = d->name};
        SIMPLEQ_FOREACH(p, &d->policies, next)
        {
            count_add(&sum.good, p->good);
            count_add(&sum.failed, p->failed);
        }
        each(user, &sum);
    }
}

static void text_set(json_t *object, const char *key, const char *text)
{
    if (text[0])
        json_object_set_new(object, key, json_string(text));
}

static json_t *failure_json(const struct failure *f)
{
    json_t *json = json_pack("{s:s}", "result-type", tlsrpt_result_text(f->result));

    text_set(json, "sending-mta-ip", f->sending_ip);
    text_set(json, "receiving-mx-hostname", f->mx);
    text_set(json, "receiving-ip", f->receiving_ip);
    json_object_set_new(json, "failed-session-count", json_integer((json_int_t)f->sessions));
    text_set(json, "failure-reason-code", f->reason);
    return json;
}

/* All of them, and of an MTA-STS policy the hosts that it names. */
static void strings_json(const struct policy *p, json_t *policy)
{
    json_t *strings = json_array(), *hosts = json_array();
    struct span rest = p->strings;

    while (rest.len > 0) {
        const char *text = (const char *)rest.ptr;
        size_t len = (size_t)((const uint8_t *)memchr(rest.ptr, '\n', rest.len) - rest.ptr);
        json_array_append_new(strings, json_stringn(text, len));
        if (p->type == TLSRPT_STS && len > 4 && memcmp(text, "mx: ", 4) == 0)
            json_array_append_new(hosts, json_stringn(text + 4, len - 4));
        rest = span_from(rest, len + 1);
    }
    if (json_array_size(strings) > 0)
        json_object_set(policy, "policy-string", strings);
    json_object_set_new(policy, "policy-domain", json_string(p->domain));
    if (json_array_size(hosts) > 0)
        json_object_set(policy, "mx-host", hosts);
    json_decref(strings);
    json_decref(hosts);
}

static json_t *policy_json(const struct policy *p)
{
    json_t *policy = json_pack("{s:s}", "policy-type", tlsrpt_policy_type_text(p->type));
    json_t *failures = json_array();
    const struct failure *f;

    strings_json(p, policy);
    SIMPLEQ_FOREACH(f, &p->failures, next)
    json_array_append_new(failures, failure_json(f));
    json_t *json = json_pack("{s:o, s:{s:I, s:I}}", "policy", policy, "summary",
                             "total-successful-session-count", (json_int_t)p->good,
                             "total-failure-session-count", (json_int_t)p->failed);
    if (json_array_size(failures) > 0)
        json_object_set(json, "failure-details", failures);
    json_decref(failures);
    return json;
}

static json_t *report_json(const struct tlsrpt_day *day, const struct domain *d,
                           const struct tlsrpt_sender *sender)
{
    char start[MOMENT_TEXT], end[MOMENT_TEXT];
    json_t *policies = json_array();
    const struct policy *p;

    moment_text(day->start, start);
    moment_text(day->start + TLSRPT_DAY_S - 1, end);
    SIMPLEQ_FOREACH(p, &d->policies, next)
    json_array_append_new(policies, policy_json(p));
    return json_pack("{s:s, s:{s:s, s:s}, s:s, s:o, s:o}", "organization-name",
                     sender->organization, "date-range", "start-datetime", start, "end-datetime",
                     end, "contact-info", sender->contact, "report-id",
                     json_sprintf("%.10s.%s@%s", start, d->name, sender->host), "policies",
                     policies);
}

int tlsrpt_day_report(const struct tlsrpt_day *day, const char *domain,
                      const struct tlsrpt_sender *sender, struct buf *out)
{
    const struct domain *d = domain_find(day, domain);

    if (!d)
        return ERR_NOTFOUND;
    json_t *json = report_json(day, d, sender);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int err = text ? buf_append_span(out, span_str(text)) : ERR_NOMEM;
    free(text);
    json_decref(json);
    return err;
}
