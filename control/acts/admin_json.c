/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_json.h"

#include "ascii.h"
#include "clock.h"
#include "expiry.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    ROWS_MAX = 100000, /* of one worker */
    OBJECT_BYTES_MAX = 1 << 20,
    OBJECT_DEPTH_MAX = 8,
};

static json_t *time_json(uint64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

/* A worker's records: as its generation's plan has it, and what the kernel does for it now. */
static void member_records_json(const struct member *m, json_t *object)
{
    const struct shared *shared = m->supervisor->shared;

    json_object_set_new(object, "records",
                        json_string(record_way_word(m->generation->plan.records.way)));
    json_object_set_new(object, "kernel_receive",
                        json_integer((json_int_t)counter_of(shared, m->column, COUNTER_KERNEL_RX)));
    json_object_set_new(object, "kernel_send",
                        json_integer((json_int_t)counter_of(shared, m->column, COUNTER_KERNEL_TX)));
}

static json_t *member_json(const struct member *m)
{
    uint64_t age_us = m->pid > 0 ? clock_us() - m->started_us : 0;
    json_t *object = json_pack("{s:s, s:i, s:i, s:s, s:I, s:i}", "process", m->name, "generation",
                               m->generation ? (int)m->generation->number : 0, "pid", (int)m->pid,
                               "state", member_state_text(m->state), "uptime_s",
                               (json_int_t)(age_us / 1000000), "restarts", (int)m->restarts);

    if (object && m->kind == MEMBER_WORKER && m->pid > 0)
        member_records_json(m, object);
    return object;
}

static json_t *processes_json(const struct supervisor *s)
{
    json_t *array = json_array();
    const struct generation *g;

    TAILQ_FOREACH (g, &s->generations, all) {
        json_array_append_new(array, member_json(&g->resolver));
        for (unsigned i = 0; i < g->plan.workers; i++)
            json_array_append_new(array, member_json(&g->workers[i]));
    }
    json_array_append_new(array, member_json(&s->ratchet));
    if (s->metrics.supervisor)
        json_array_append_new(array, member_json(&s->metrics));
    return array;
}

static json_t *listeners_json(const struct supervisor *s)
{
    json_t *array = json_array();
    char text[NET_ADDR_TEXT];

    for (unsigned i = 0; s->serving && i < s->serving->plan.listeners_len; i++) {
        const struct plan_listener *l = &s->serving->plan.listeners[i];
        json_array_append_new(array, json_pack("{s:s, s:s}", "name", l->name, "address",
                                               net_addr_text(&l->addr, text)));
    }
    return array;
}

/* A choice by cost has its figures: CPU nanoseconds a MiB, and those of a hand-off. */
static json_t *record_costs_json(const struct record_choice *r)
{
    json_t *costs = json_object();

    for (int i = 0; r->costed && i < RECORD_WAY_COUNT; i++)
        json_object_set_new(costs, record_way_word((enum record_way)i),
                            json_pack("{s:I, s:I, s:I}", "chunk_ns_per_mib",
                                      (json_int_t)r->cost.chunk_ns[i], "data_ns_per_mib",
                                      (json_int_t)r->cost.data_ns[i], "hand_off_ns",
                                      (json_int_t)r->cost.switch_ns[i]));
    return costs;
}

static json_t *records_json(const struct supervisor *s)
{
    const struct record_choice *r = s->serving ? &s->serving->plan.records : NULL;

    if (!r)
        return json_object();
    return json_pack("{s:s, s:b, s:b, s:I, s:s, s:I, s:o}", "way", record_way_word(r->way),
                     "kernel_receive", record_way_rx(r->way), "kernel_send", record_way_tx(r->way),
                     "after_bytes", (json_int_t)r->after_bytes, "why", r->why, "peers_without",
                     (json_int_t)shared_rekeyed_count(s->shared, clock_us() / 1000000), "measured",
                     record_costs_json(r));
}

static json_t *aead_json(const struct supervisor *s)
{
    const struct aead_choice *a = s->serving ? &s->serving->plan.aead : NULL;

    return a ? json_pack("{s:s, s:s}", "by", tls_aead_backend_name(a->backend), "why", a->why)
             : json_object();
}

static json_t *counters_json(const struct supervisor *s)
{
    json_t *object = json_object();

    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        json_object_set_new(object, counter_name((enum counter)i),
                            json_integer((json_int_t)counter_sum(s->shared, (enum counter)i)));
    return object;
}

static json_t *certificates_json(const struct supervisor *s)
{
    struct expiry_list *list;

    if (s->expiry_fd < 0 || expiry_read(s->expiry_fd, &list) != ERR_OK)
        return json_array();
    json_t *array = expiry_json(list, (int64_t)time(NULL));
    free(list);
    return array;
}

json_t *admin_status_json(const struct supervisor *s)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:i, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
                     POSTERN_VERSION, "state", supervisor_state_text(s), "pid", (int)getpid(),
                     "config", s->conf_file, "generation", s->serving ? (int)s->serving->number : 0,
                     "started", time_json(s->started_wall_us), "uptime_s",
                     (json_int_t)((clock_us() - s->started_us) / 1000000), "listeners",
                     listeners_json(s), "records", records_json(s), "aead", aead_json(s),
                     "processes", processes_json(s), "counters", counters_json(s), "certificates",
                     certificates_json(s));
}

/* A worker wrote it: it may hold a peer's bytes, or anything at all. */
static void text_clean(char *text, size_t room)
{
    text[room - 1] = '\0';
    ascii_mask(text);
}
#define TEXT_CLEAN(row, field) text_clean((row).field, sizeof((row).field))

static json_t *session_json(const char *worker, struct channel_session row)
{
    TEXT_CLEAN(row, id);
    TEXT_CLEAN(row, state);
    TEXT_CLEAN(row, listener);
    TEXT_CLEAN(row, helo);
    TEXT_CLEAN(row, client);
    TEXT_CLEAN(row, tls_version);
    TEXT_CLEAN(row, tls_suite);
    TEXT_CLEAN(row, route);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "id",
                     row.id, "worker", worker, "listener", row.listener, "client", row.client,
                     "helo", row.helo, "state", row.state, "tls", row.tls != 0, "tls_version",
                     row.tls_version, "tls_suite", row.tls_suite, "route", row.route, "messages",
                     (json_int_t)row.messages, "body_bytes", (json_int_t)row.body_bytes, "age_ms",
                     (json_int_t)row.age_ms, "idle_ms", (json_int_t)row.idle_ms);
}

static json_t *host_json(const char *worker, struct channel_host row)
{
    TEXT_CLEAN(row, host);
    TEXT_CLEAN(row, last_error);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "host", row.host, "worker", worker, "open",
                     (json_int_t)row.open, "idle", (json_int_t)row.idle, "dead_for_ms",
                     (json_int_t)row.dead_for_ms, "last_error", row.last_error);
}

size_t admin_rows_json(json_t *array, enum channel_kind kind, const char *worker, int fd,
                       uint64_t number)
{
    union {
        struct channel_session session;
        struct channel_host host;
    } row;
    size_t size = kind == CHANNEL_SESSIONS ? sizeof(row.session) : sizeof(row.host);
    size_t added = 0;

    while (added < number && added < ROWS_MAX &&
           pread(fd, &row, size, (off_t)(added * size)) == (ssize_t)size) {
        json_t *json = kind == CHANNEL_SESSIONS ? session_json(worker, row.session)
                                                : host_json(worker, row.host);
        if (json_array_append_new(array, json) != 0)
            break;
        added++;
    }
    return added;
}

/* --- explanations: a worker's JSON --- */

static bool text_printable(const char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

/* Workers write printable ASCII alone, and no deeper than this: what is else is no answer. */
static bool object_sane(json_t *json, unsigned depth)
{
    const char *key, *text = json_string_value(json);
    json_t *value;
    size_t i;

    if (depth > OBJECT_DEPTH_MAX || (text && !text_printable(text)))
        return false;
    json_object_foreach(json, key, value)
    {
        if (!text_printable(key) || !object_sane(value, depth + 1))
            return false;
    }
    json_array_foreach(json, i, value)
    {
        if (!object_sane(value, depth + 1))
            return false;
    }
    return true;
}

json_t *admin_object_json(int fd, uint64_t bytes)
{
    char *text = bytes > 0 && bytes <= OBJECT_BYTES_MAX ? malloc(bytes) : NULL;
    json_t *json = NULL;

    if (text && pread(fd, text, bytes, 0) == (ssize_t)bytes)
        json = json_loadb(text, bytes, 0, NULL);
    free(text);
    if (!json_is_object(json) || !object_sane(json, 0)) {
        json_decref(json);
        return NULL;
    }
    return json;
}
