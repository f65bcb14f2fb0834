/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_print.h"

#include <stdlib.h>

enum { COLUMNS_MAX = 10, CELL_MAX = 72 };

const char *ctl_text(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text && *text ? text : "-";
}

long long ctl_number(const json_t *row, const char *key)
{
    return (long long)json_integer_value(json_object_get(row, key));
}

void ctl_print_json(json_t *data)
{
    json_dumpf(data, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(data);
}

int ctl_failed(bool json, const char *why, int code)
{
    if (json)
        ctl_print_json(json_pack("{s:b, s:s, s:i}", "ok", 0, "error", why, "exit", code));
    else
        fprintf(stderr, "posternctl: %s%s", why, *why && why[strlen(why) - 1] == '\n' ? "" : "\n");
    return code;
}

/* "-" where a row has none: a resolver has no connections whose records could be the kernel's. */
static void write_number(char *out, size_t room, const json_t *row, const char *key)
{
    if (json_is_integer(json_object_get(row, key)))
        snprintf(out, room, "%lld", ctl_number(row, key));
    else
        snprintf(out, room, "-");
}

static void write_seconds(char *out, size_t room, long long s)
{
    if (s < 60)
        snprintf(out, room, "%llds", s);
    else if (s < 3600)
        snprintf(out, room, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, room, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, room, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void write_bytes(char *out, size_t room, long long n)
{
    static const char units[] = "kMGTP";
    double value = (double)n;
    int unit = -1;

    while (value >= 1000 && unit < (int)sizeof(units) - 2) {
        value /= 1000;
        unit++;
    }
    if (unit < 0)
        snprintf(out, room, "%lld", n);
    else
        snprintf(out, room, "%.1f%c", value, units[unit]);
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    if (right)
        printf("%*s", (int)width, text);
    else if (last)
        fputs(text, stdout);
    else
        printf("%-*s", (int)width, text);
    fputs(last ? "\n" : "  ", stdout);
}

void ctl_print_table(const json_t *rows, const struct ctl_column *columns, size_t columns_len)
{
    size_t width[COLUMNS_MAX];
    char cell[CELL_MAX];
    const json_t *row;
    size_t i;

    for (size_t c = 0; c < columns_len; c++) {
        width[c] = strlen(columns[c].title);
        json_array_foreach(rows, i, row)
        {
            columns[c].write(cell, sizeof(cell), row);
            width[c] = strlen(cell) > width[c] ? strlen(cell) : width[c];
        }
    }
    for (size_t c = 0; c < columns_len; c++)
        print_cell(columns[c].title, width[c], columns[c].right, c + 1 == columns_len);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < columns_len; c++) {
            columns[c].write(cell, sizeof(cell), row);
            print_cell(cell, width[c], columns[c].right, c + 1 == columns_len);
        }
    }
}

#define PRINT_TABLE(rows, columns)                                                                 \
    ctl_print_table(rows, columns, sizeof(columns) / sizeof((columns)[0]))

#define NUMBER_CELL(key)                                                                           \
    static void write_##key(char *out, size_t room, const json_t *row)                             \
    {                                                                                              \
        write_number(out, room, row, #key);                                                        \
    }

CTL_TEXT_CELL(process)
CTL_TEXT_CELL(state)
CTL_TEXT_CELL(records)
CTL_TEXT_CELL(id)
CTL_TEXT_CELL(worker)
CTL_TEXT_CELL(listener)
CTL_TEXT_CELL(client)
CTL_TEXT_CELL(helo)
CTL_TEXT_CELL(host)
CTL_TEXT_CELL(last_error)
NUMBER_CELL(pid)
NUMBER_CELL(generation)
NUMBER_CELL(restarts)
NUMBER_CELL(kernel_receive)
NUMBER_CELL(kernel_send)
NUMBER_CELL(messages)
NUMBER_CELL(open)
NUMBER_CELL(idle)

static void write_uptime(char *out, size_t room, const json_t *row)
{
    write_seconds(out, room, ctl_number(row, "uptime_s"));
}

static void write_age(char *out, size_t room, const json_t *row)
{
    write_seconds(out, room, ctl_number(row, "age_ms") / 1000);
}

static void write_idle_time(char *out, size_t room, const json_t *row)
{
    write_seconds(out, room, ctl_number(row, "idle_ms") / 1000);
}

static void write_body(char *out, size_t room, const json_t *row)
{
    write_bytes(out, room, ctl_number(row, "body_bytes"));
}

static void write_tls(char *out, size_t room, const json_t *row)
{
    if (json_is_true(json_object_get(row, "tls")))
        snprintf(out, room, "%s", ctl_text(row, "tls_version"));
    else
        snprintf(out, room, "-");
}

static void write_dead(char *out, size_t room, const json_t *row)
{
    long long ms = ctl_number(row, "dead_for_ms");

    if (ms > 0)
        write_seconds(out, room, (ms + 999) / 1000);
    else
        snprintf(out, room, "-");
}

static void print_counters(const json_t *counters)
{
    static const struct {
        const char *key, *title;
        bool bytes;
    } shown[] = {
        {"postern_sessions_open", "sessions open", false},
        {"postern_sessions_total", "sessions", false},
        {"postern_sessions_refused_total", "sessions refused", false},
        {"postern_messages_relayed_total", "messages relayed", false},
        {"postern_messages_refused_total", "messages refused", false},
        {"postern_messages_deferred_total", "messages deferred", false},
        {"postern_messages_indeterminate_total", "messages indeterminate", false},
        {"postern_message_body_bytes_total", "body bytes", true},
        {"postern_hop_connections_open", "next hop connections", false},
        {"postern_hop_plaintext_messages_total", "messages in plaintext", false},
        {"postern_ratchet_hosts_dropped", "hosts with less TLS", false},
        {"postern_alarms_total", "alarms", false},
    };

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        char value[32];
        long long n = ctl_number(counters, shown[i].key);
        if (shown[i].bytes)
            write_bytes(value, sizeof(value), n);
        else
            snprintf(value, sizeof(value), "%lld", n);
        printf("%-22s  %10s\n", shown[i].title, value);
    }
}

/* Those that end soon; or the one that ends first. */
static void print_certificates(const json_t *certificates)
{
    const json_t *row;
    size_t i;

    json_array_foreach(certificates, i, row)
    {
        long long days = ctl_number(row, "days_left");
        bool near = json_is_true(json_object_get(row, "warn"));
        if (!near && i > 0)
            return;
        if (days < 0)
            printf("CERTIFICATE EXPIRED on %.10s: %s (%s)\n", ctl_text(row, "not_after"),
                   ctl_text(row, "file"), ctl_text(row, "name"));
        else
            printf("%s on %.10s, in %lld days: %s (%s)\n",
                   near ? "CERTIFICATE EXPIRES" : "the first certificate expires",
                   ctl_text(row, "not_after"), days, ctl_text(row, "file"), ctl_text(row, "name"));
    }
}

void ctl_print_status(const json_t *data)
{
    static const struct ctl_column columns[] = {
        {"PROCESS", write_process, false},
        {"CONFIG", write_generation, true},
        {"PID", write_pid, true},
        {"STATE", write_state, false},
        {"UP", write_uptime, true},
        {"RESTARTS", write_restarts, true},
        {"KERNEL RX", write_kernel_receive, true},
        {"KERNEL TX", write_kernel_send, true},
        {"RECORDS", write_records, false},
    };
    const json_t *row;
    char uptime[32];
    size_t i;

    write_seconds(uptime, sizeof(uptime), ctl_number(data, "uptime_s"));
    printf("postern %s is %s, pid %lld, up %s, since %s\n", ctl_text(data, "version"),
           ctl_text(data, "state"), ctl_number(data, "pid"), uptime, ctl_text(data, "started"));
    printf("configuration %lld of this start, from %s\n", ctl_number(data, "generation"),
           ctl_text(data, "config"));
    json_array_foreach(json_object_get(data, "listeners"), i, row)
        printf("listens on %s (%s)\n", ctl_text(row, "address"), ctl_text(row, "name"));
    printf("%s\n", ctl_text(json_object_get(data, "records"), "why"));
    printf("AES-GCM by %s\n", ctl_text(json_object_get(data, "aead"), "why"));
    print_certificates(json_object_get(data, "certificates"));
    putchar('\n');
    PRINT_TABLE(json_object_get(data, "processes"), columns);
    putchar('\n');
    print_counters(json_object_get(data, "counters"));
}

static void print_missing(const json_t *data)
{
    long long missing = ctl_number(data, "workers_missing");

    if (missing > 0)
        fprintf(stderr, "posternctl: %lld workers did not answer in time\n", missing);
}

void ctl_print_sessions(const json_t *data)
{
    static const struct ctl_column columns[] = {
        {"ID", write_id, false},         {"LISTENER", write_listener, false},
        {"CLIENT", write_client, false}, {"STATE", write_state, false},
        {"TLS", write_tls, false},       {"MESSAGES", write_messages, true},
        {"BODY", write_body, true},      {"AGE", write_age, true},
        {"IDLE", write_idle_time, true}, {"HELO", write_helo, false},
    };
    const json_t *rows = json_object_get(data, "sessions");

    if (json_array_size(rows) == 0)
        puts("no sessions");
    else
        PRINT_TABLE(rows, columns);
    print_missing(data);
}

void ctl_print_routes(const json_t *data)
{
    static const struct ctl_column columns[] = {
        {"HOST", write_host, false},    {"WORKER", write_worker, false},
        {"OPEN", write_open, true},     {"IDLE", write_idle, true},
        {"DEAD FOR", write_dead, true}, {"LAST ERROR", write_last_error, false},
    };
    const json_t *rows = json_object_get(data, "hosts");

    if (json_array_size(rows) == 0)
        puts("no next hop was used yet");
    else
        PRINT_TABLE(rows, columns);
    print_missing(data);
}
