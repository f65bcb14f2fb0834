/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_tlsrpt.h"

#include "moment.h"
#include "tlsrpt_mail.h"
#include "tlsrpt_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { WHY_MAX = 512, DATE_LEN = 10 };

/* --- one file --- */

static int file_read(const char *name, struct buf *out)
{
    bool is_stdin = strcmp(name, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    int err = fd >= 0 ? ERR_OK : ERR_IO;
    ssize_t n = 1;

    while (!err && n > 0) {
        uint8_t *room = buf_reserve(out, 65536);
        n = room ? read(fd, room, 65536) : 0;
        err = !room ? ERR_FULL : n < 0 ? ERR_IO : ERR_OK;
        if (n > 0)
            buf_commit(out, (size_t)n);
    }
    if (fd >= 0 && !is_stdin)
        close(fd);
    return err;
}

/* NULL: why says more, and the exit code. */
static struct tlsrpt_report *report_read(const char *name, char *why, int *ret_exit)
{
    struct tlsrpt_report *report = NULL;
    struct buf file, json;
    int err;

    buf_init(&file, TLSRPT_MAIL_MAX + 65536);
    buf_init(&json, TLSRPT_JSON_MAX);
    err = file_read(name, &file);
    *ret_exit = EX_NOINPUT;
    if (err) {
        snprintf(why, WHY_MAX, "%s", err == ERR_IO ? strerror(errno) : "larger than 32 MiB");
    } else {
        *ret_exit = EX_DATAERR;
        err = tlsrpt_unpack(buf_span(&file), &json, why, WHY_MAX);
    }
    if (!err && tlsrpt_report_parse(buf_span(&json), &report, why, WHY_MAX) == ERR_OK)
        *ret_exit = EX_OK;
    buf_release(&json);
    buf_release(&file);
    return report;
}

/* --- sums --- */

static void count_add(json_t *object, const char *key, uint64_t more)
{
    json_int_t now = json_integer_value(json_object_get(object, key));
    json_int_t room = INT64_MAX - now;

    json_object_set_new(object, key,
                        json_integer(more > (uint64_t)room ? INT64_MAX : now + (json_int_t)more));
}

static void text_set(json_t *object, const char *key, const char *text)
{
    if (text[0])
        json_object_set_new(object, key, json_string(text));
}

/* The member of map for these texts, made where it is missing. */
static json_t *row_of(json_t *map, const char *const *texts, size_t len)
{
    struct buf key;
    json_t *row = NULL;
    int err = ERR_OK;

    buf_init(&key, 0);
    for (size_t i = 0; i < len && !err; i++)
        err = buf_printf(&key, "%s\n", texts[i]); /* texts of a report have no such byte */
    if (!err)
        err = buf_append(&key, "", 1);
    if (!err) {
        const char *name = (const char *)buf_span(&key).ptr;
        row = json_object_get(map, name);
        if (!row && json_object_set_new(map, name, json_object()) == 0)
            row = json_object_get(map, name);
    }
    buf_release(&key);
    return row;
}

static void failure_add(json_t *failures, const struct tlsrpt_failure *f)
{
    const char *texts[] = {f->result, f->mx,     f->receiving_ip, f->sending_ip,
                           f->helo,   f->reason, f->info};
    json_t *row = row_of(failures, texts, sizeof(texts) / sizeof(texts[0]));

    if (!row)
        return;
    count_add(row, "sessions", f->sessions);
    text_set(row, "result", f->result);
    text_set(row, "mx", f->mx);
    text_set(row, "receiving_ip", f->receiving_ip);
    text_set(row, "sending_ip", f->sending_ip);
    text_set(row, "helo", f->helo);
    text_set(row, "reason", f->reason);
    text_set(row, "information", f->info);
}

static json_t *strings_json(const struct tlsrpt_strings *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->len; i++)
        json_array_append_new(list, json_string(s->items[i]));
    return list;
}

/* Moments of one form compare as texts. */
static void range_add(json_t *row, const struct tlsrpt_report *report)
{
    char start[MOMENT_TEXT], end[MOMENT_TEXT];
    const char *from = json_string_value(json_object_get(row, "from"));
    const char *to = json_string_value(json_object_get(row, "to"));

    moment_text(report->start, start);
    moment_text(report->end, end);
    if (!from || strcmp(start, from) < 0)
        json_object_set_new(row, "from", json_string(start));
    if (!to || strcmp(end, to) > 0)
        json_object_set_new(row, "to", json_string(end));
}

static void policy_add(json_t *rows, const struct tlsrpt_report *report,
                       const struct tlsrpt_policy *p)
{
    const char *sender = report->organization[0] ? report->organization : report->contact;
    const char *texts[] = {p->domain, sender, p->type};
    json_t *row = row_of(rows, texts, sizeof(texts) / sizeof(texts[0]));

    if (!row)
        return;
    if (json_object_size(row) == 0)
        json_object_update_new(row, json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:{}}", "domain",
                                              p->domain, "sender", sender, "policy", p->type,
                                              "reports", 0, "good", 0, "failed", 0, "failures"));
    text_set(row, "contact", report->contact);
    range_add(row, report);
    count_add(row, "reports", 1);
    count_add(row, "good", p->good);
    count_add(row, "failed", p->failed);
    json_object_set_new(row, "policy_strings", strings_json(&p->policy)); /* the newest file's */
    json_object_set_new(row, "mx_hosts", strings_json(&p->mx));
    for (size_t i = 0; i < p->failures_len; i++)
        failure_add(json_object_get(row, "failures"), &p->failures[i]);
}

static int by_sessions(const void *a, const void *b)
{
    json_int_t left = json_integer_value(json_object_get(*(json_t *const *)a, "sessions"));
    json_int_t right = json_integer_value(json_object_get(*(json_t *const *)b, "sessions"));

    return left < right ? 1 : left > right ? -1 : 0;
}

/* A map's rows as a list, the most frequent first. */
static json_t *failures_sorted(json_t *map)
{
    size_t len = json_object_size(map), at = 0;
    json_t **rows = calloc(len ? len : 1, sizeof(json_t *));
    json_t *list = json_array(), *row;
    const char *key;

    json_object_foreach(map, key, row)
    {
        if (rows)
            rows[at++] = row;
    }
    if (rows)
        qsort(rows, at, sizeof(json_t *), by_sessions);
    for (size_t i = 0; i < at; i++)
        json_array_append(list, rows[i]);
    free(rows);
    return list;
}

static json_t *rows_list(json_t *rows)
{
    json_t *list = json_array(), *row;
    const char *key;

    json_object_foreach(rows, key, row)
    {
        json_object_set_new(row, "failures", failures_sorted(json_object_get(row, "failures")));
        json_array_append(list, row);
    }
    return list;
}

json_t *ctl_tlsrpt_read(char *const *files, int *ret_exit)
{
    json_t *data = json_pack("{s:i, s:i, s:[]}", "reports", 0, "duplicates", 0, "errors");
    json_t *rows = json_object(), *seen = json_object();
    char why[WHY_MAX];

    *ret_exit = EX_OK;
    for (; *files && data; files++) {
        int code;
        struct tlsrpt_report *report = report_read(*files, why, &code);
        if (!report) {
            *ret_exit = code;
            json_array_append_new(json_object_get(data, "errors"),
                                  json_pack("{s:s, s:s}", "file", *files, "error", why));
            continue;
        }
        const char *texts[] = {report->organization, report->id};
        json_t *mark = row_of(seen, texts, sizeof(texts) / sizeof(texts[0]));
        bool again = json_object_size(mark) > 0;
        json_object_set_new(mark, "seen", json_true());
        count_add(data, again ? "duplicates" : "reports", 1);
        for (size_t i = 0; i < report->policies_len && !again; i++)
            policy_add(rows, report, &report->policies[i]);
        tlsrpt_report_free(report);
    }
    json_object_set_new(data, "domains", rows_list(rows));
    json_decref(rows);
    json_decref(seen);
    return data;
}

/* --- for people --- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_failure(const json_t *f, bool seen[TLSRPT_RESULTS + 1])
{
    const char *ip = text_of(f, "receiving_ip"), *from = text_of(f, "sending_ip");
    const char *reason = text_of(f, "reason"), *info = text_of(f, "information");

    printf("  %8lld  %s  %s", number_of(f, "sessions"), text_of(f, "result"), text_of(f, "mx"));
    printf("%s%s%s", ip[0] ? " [" : "", ip, ip[0] ? "]" : "");
    printf("%s%s", from[0] ? " from " : "", from);
    printf("%s%s%s%s\n", reason[0] ? ": " : "", reason, info[0] ? ", see " : "", info);
    seen[tlsrpt_result_find(text_of(f, "result"))] = true;
}

static void print_row(const json_t *row, bool seen[TLSRPT_RESULTS + 1])
{
    const char *contact = text_of(row, "contact");
    const json_t *failure;
    size_t i;

    printf("%s, from %s", text_of(row, "domain"), text_of(row, "sender"));
    printf("%s%s%s, policy %s\n", contact[0] ? " (" : "", contact, contact[0] ? ")" : "",
           text_of(row, "policy"));
    printf("  %.*s to %.*s, %lld report%s: %lld sessions good, %lld failed\n", DATE_LEN,
           text_of(row, "from"), DATE_LEN, text_of(row, "to"), number_of(row, "reports"),
           number_of(row, "reports") == 1 ? "" : "s", number_of(row, "good"),
           number_of(row, "failed"));
    json_array_foreach(json_object_get(row, "failures"), i, failure)
    {
        print_failure(failure, seen);
    }
}

void ctl_print_tlsrpt_read(const json_t *data)
{
    bool seen[TLSRPT_RESULTS + 1] = {false}, any = false;
    const json_t *row, *error;
    size_t i;

    json_array_foreach(json_object_get(data, "domains"), i, row)
    {
        print_row(row, seen);
    }
    for (int result = 0; result < TLSRPT_RESULTS; result++) {
        if (seen[result])
            printf("%s  %-26s %s\n", any ? "" : "\n",
                   tlsrpt_result_text((enum tlsrpt_result)result),
                   tlsrpt_result_meaning((enum tlsrpt_result)result));
        any |= seen[result];
    }
    if (number_of(data, "duplicates") > 0)
        printf("\n%lld came more than once, and counted once\n", number_of(data, "duplicates"));
    json_array_foreach(json_object_get(data, "errors"), i, error)
    {
        fprintf(stderr, "posternctl: %s: %s\n", text_of(error, "file"), text_of(error, "error"));
    }
}

/* --- what we count --- */

json_t *ctl_tlsrpt_report(const json_t *data)
{
    const char *text = json_string_value(json_object_get(data, "report"));

    return text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static void print_report(const json_t *data)
{
    struct tlsrpt_report *report;
    bool seen[TLSRPT_RESULTS + 1] = {false};
    char why[WHY_MAX];

    if (tlsrpt_report_parse(span_str(text_of(data, "report")), &report, why, sizeof(why)) !=
        ERR_OK) {
        fprintf(stderr, "posternctl: %s\n", why);
        return;
    }
    json_t *rows = json_object(), *row;
    const char *key;
    for (size_t i = 0; i < report->policies_len; i++)
        policy_add(rows, report, &report->policies[i]);
    json_t *list = rows_list(rows);
    json_object_foreach(rows, key, row)
    {
        print_row(row, seen);
    }
    json_decref(list);
    json_decref(rows);
    tlsrpt_report_free(report);
}

void ctl_print_tlsrpt_show(const json_t *data)
{
    const json_t *row;
    size_t i;

    if (json_object_get(data, "report")) {
        print_report(data);
        return;
    }
    printf("%s: %lld sessions good, %lld failed", text_of(data, "day"), number_of(data, "good"),
           number_of(data, "failed"));
    if (number_of(data, "dropped") > 0)
        printf(", %lld not counted for lack of room", number_of(data, "dropped"));
    putchar('\n');
    json_array_foreach(json_object_get(data, "domains"), i, row)
    {
        const char *report = text_of(row, "report");
        printf("%10lld good %10lld failed  %s%s%s\n", number_of(row, "good"),
               number_of(row, "failed"), text_of(row, "domain"), report[0] ? ", report " : "",
               report);
    }
    if (number_of(data, "domains_omitted") > 0)
        printf("and %lld more domains\n", number_of(data, "domains_omitted"));
}
