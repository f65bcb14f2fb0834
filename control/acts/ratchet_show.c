/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet_show.h"

#include <stdio.h>
#include <sysexits.h>

static const char *const verbs[] = {
    [RATCHET_LIST] = "list", [RATCHET_ACCEPT] = "accept", [RATCHET_CLEAR] = "clear"};

bool ratchet_request_write(const char *verb, const char *destination, const char *host, char *out,
                           size_t room)
{
    int len = snprintf(out, room, "%s\n%s\n%s", verb, destination, host);

    return len > 0 && (size_t)len < room;
}

/* The text up to a line feed, which is cut off; NULL where there is none more. */
static char *line_cut(char **text)
{
    char *line = *text, *end = line ? strchr(line, '\n') : NULL;

    *text = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return line;
}

bool ratchet_request_read(char *text, struct ratchet_request *ret)
{
    const char *verb = line_cut(&text);
    const char *destination = line_cut(&text), *host = line_cut(&text);

    if (!host || text)
        return false;
    *ret = (struct ratchet_request){.destination = *destination ? destination : NULL,
                                    .host = *host ? host : NULL};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verb, verbs[i]) != 0)
            continue;
        ret->verb = (enum ratchet_verb)i;
        return ret->verb != RATCHET_ACCEPT || ret->destination;
    }
    return false;
}

/* --- the list --- */

static bool below(const char *name, const char *domain)
{
    struct span whole = span_str(name), end = span_str(domain);

    return span_equal(whole, end) || (whole.len > end.len && span_ends_nocase(whole, end) &&
                                      whole.ptr[whole.len - end.len - 1] == '.');
}

static bool shown(const struct ratchet_entry *e, const char *filter)
{
    return !filter || below(ratchet_destination(e), filter) || below(ratchet_host(e), filter);
}

static json_t *date_json(int64_t seconds)
{
    char date[RATCHET_DATE];

    return json_string(ratchet_date(seconds, date));
}

static json_t *drop_json(const struct ratchet_entry *e)
{
    if (!e->dropped)
        return json_null();
    return json_pack("{s:s, s:s, s:o, s:o, s:I}", "level", ratchet_level_text(e->offered.level),
                     "source", tls_source_text(e->offered.source), "since",
                     date_json(e->drop_since), "last", date_json(e->drop_last), "connections",
                     (json_int_t)e->drops);
}

static json_t *entry_json(const struct ratchet_entry *e, bool expired)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:o}", "destination",
                     ratchet_destination(e), "host", ratchet_host(e), "level",
                     ratchet_level_text(e->best.level), "source", tls_source_text(e->best.source),
                     "since", date_json(e->since), "last", date_json(e->last), "new_host", e->lent,
                     "expired", expired, "drop", drop_json(e));
}

static void list_add(json_t *list, const struct ratchet_entry *e, bool expired, json_int_t *omitted)
{
    if (json_array_size(list) >= RATCHET_SHOWN_MAX)
        ++*omitted;
    else
        json_array_append_new(list, entry_json(e, expired));
}

json_t *ratchet_show_list(const struct ratchet_book *book, const char *filter, int64_t now,
                          int64_t expiry_s)
{
    json_t *list = json_array();
    json_int_t omitted = 0;

    for (int dropped = 1; dropped >= 0; dropped--)
        for (const struct ratchet_entry *e = ratchet_book_last(book); e; e = ratchet_book_before(e))
            if (e->dropped == (dropped == 1) && shown(e, filter))
                list_add(list, e, ratchet_book_expired(book, e, now), &omitted);
    return json_pack("{s:o, s:I, s:I, s:I, s:I}", "hosts", list, "omitted", omitted, "remembered",
                     (json_int_t)ratchet_book_len(book), "most", (json_int_t)RATCHET_ENTRIES_MAX,
                     "expiry_days", (json_int_t)(expiry_s / 86400));
}

/* --- accept and clear --- */

json_t *ratchet_show_done(const struct ratchet_request *request, unsigned count)
{
    char error[2 * RATCHET_NAME_MAX + 128];
    bool accept = request->verb == RATCHET_ACCEPT;

    if (count > 0)
        return json_pack("{s:s, s:s, s:I}", "done", verbs[request->verb], "destination",
                         request->destination ? request->destination : "*", "hosts",
                         (json_int_t)count);
    if (!request->destination)
        snprintf(error, sizeof(error), "nothing to clear: nothing is remembered");
    else
        snprintf(error, sizeof(error),
                 "nothing to %s: %s%s%s %s; posternctl policy ratchet lists what is known",
                 verbs[request->verb], request->host ? request->host : "",
                 request->host ? " of " : "", request->destination,
                 accept ? "has not dropped" : "is not remembered");
    return json_pack("{s:s, s:i}", "error", error, "exit", EX_DATAERR);
}

json_t *ratchet_show_senseless(void)
{
    return json_pack("{s:s, s:i}", "error",
                     "the ratchet is not asked so; versions of posternctl and posternd may differ",
                     "exit", EX_USAGE);
}
