/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_print.h"

static const json_t *drop_of(const json_t *row)
{
    const json_t *drop = json_object_get(row, "drop");

    return json_is_object(drop) ? drop : NULL;
}

/* "dane", or with who asked for it where the level does not say: "verify (sts)". */
static void write_had(char *out, size_t room, const json_t *had)
{
    const char *level = ctl_text(had, "level"), *source = ctl_text(had, "source");
    bool says = strcmp(level, source) == 0 || strcmp(source, "none") == 0 ||
                strcmp(level, "plaintext") == 0;

    if (says)
        snprintf(out, room, "%s", level);
    else
        snprintf(out, room, "%s (%s)", level, source);
}

CTL_TEXT_CELL(destination)
CTL_TEXT_CELL(last)

static void write_host(char *out, size_t room, const json_t *row)
{
    const char *host = ctl_text(row, "host");

    /* A next hop of a route's own is both. */
    snprintf(out, room, "%s", strcmp(host, ctl_text(row, "destination")) == 0 ? "-" : host);
}

static void write_best(char *out, size_t room, const json_t *row)
{
    write_had(out, room, row);
}

static void write_now(char *out, size_t room, const json_t *row)
{
    const json_t *drop = drop_of(row);

    if (drop)
        write_had(out, room, drop);
    else
        snprintf(out, room, "%s", json_is_true(json_object_get(row, "expired")) ? "expired" : "-");
}

static void write_drop_since(char *out, size_t room, const json_t *row)
{
    const json_t *drop = drop_of(row);

    snprintf(out, room, "%s", drop ? ctl_text(drop, "since") : "-");
}

static void write_note(char *out, size_t room, const json_t *row)
{
    bool new_host = json_is_true(json_object_get(row, "new_host"));

    snprintf(out, room, "%s", new_host ? "new host: held to the domain's others" : "");
}

void ctl_print_ratchet(const json_t *data)
{
    static const struct ctl_column columns[] = {
        {"DESTINATION", write_destination, false},
        {"HOST", write_host, false},
        {"BEST", write_best, false},
        {"LAST", write_last, false},
        {"NOW", write_now, false},
        {"SINCE", write_drop_since, false},
        {"", write_note, false},
    };
    const json_t *rows = json_object_get(data, "hosts");
    long long omitted = ctl_number(data, "omitted");

    if (json_array_size(rows) == 0) {
        printf("none of %lld hosts that are remembered\n", ctl_number(data, "remembered"));
        return;
    }
    ctl_print_table(rows, columns, sizeof(columns) / sizeof(columns[0]));
    if (omitted > 0)
        printf("and %lld more; name a domain to see its own\n", omitted);
}

void ctl_print_ratchet_done(const json_t *data)
{
    bool accept = strcmp(ctl_text(data, "done"), "accept") == 0;
    long long hosts = ctl_number(data, "hosts");

    printf("%s: %lld host%s %s\n", ctl_text(data, "destination"), hosts, hosts == 1 ? "" : "s",
           accept ? "taken as now offered; mail that was held goes out when its sender tries again"
                  : "forgotten; what they have next counts as new");
}
