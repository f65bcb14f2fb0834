/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_report.h"

#include "arena.h"
#include "ascii.h"
#include "moment.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 4096, PLACE_MAX = 96 };

struct whole {
    struct tlsrpt_report report; /* first: what the caller has */
    struct arena arena;
};

struct reading {
    struct arena *arena;
    size_t failures; /* so far */
    char *why;
    size_t why_room;
};

/* --- result types --- */

static const struct {
    const char *text, *meaning;
} results[] = {
#define RESULT(name, text, meaning) {text, meaning},
#include "tlsrpt_result.def"
#undef RESULT
};

const char *tlsrpt_result_text(enum tlsrpt_result result)
{
    return results[result].text;
}

const char *tlsrpt_result_meaning(enum tlsrpt_result result)
{
    return results[result].meaning;
}

enum tlsrpt_result tlsrpt_result_find(const char *text)
{
    int i = 0;

    while (i < TLSRPT_RESULTS && strcmp(results[i].text, text) != 0)
        i++;
    return (enum tlsrpt_result)i;
}

/* --- what is wrong, and where --- */

static int wrong(const struct reading *r, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int wrong(const struct reading *r, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, r->why_room, format, args);
    va_end(args);
    ascii_mask(r->why);
    return err;
}

static const char *kind_of(const json_t *json)
{
    if (!json)
        return "missing";
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "?";
}

static int wrong_kind(const struct reading *r, const char *place, const char *key,
                      const char *right, const json_t *found)
{
    return wrong(r, ERR_SYNTAX, "%s%s%s: must be %s, is %s", place, *place ? "." : "", key, right,
                 kind_of(found));
}

/* Jansson follows nested values by recursion, and each of them costs it memory: both are bounded
 * before it sees them. Brackets and commas in texts count for nothing. */
static int bounds_check(const struct reading *r, struct span json)
{
    size_t depth = 0, values = 0;
    bool text = false;

    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.ptr[i];
        if (text) {
            i += c == '\\';
            text = c != '"';
            continue;
        }
        text = c == '"';
        values += c == ',' || c == '{' || c == '[';
        depth += c == '{' || c == '[';
        depth -= (c == '}' || c == ']') && depth > 0;
        if (depth > TLSRPT_DEPTH_MAX)
            return wrong(r, ERR_FULL,
                         "byte %zu: more than %d values within values, which no report needs", i,
                         TLSRPT_DEPTH_MAX);
        if (values > TLSRPT_VALUES_MAX)
            return wrong(r, ERR_FULL, "more than %d values", TLSRPT_VALUES_MAX);
    }
    return ERR_OK;
}

/* --- texts --- */

/* Bytes at text (valid UTF-8) that are no text: controls, and what turns the writing around. */
static size_t unfit_len(const uint8_t *text)
{
    if (text[0] < 0x20 || text[0] == 0x7f)
        return 1;
    if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f)
        return 2;
    if (text[0] == 0xe2 && ((text[1] == 0x80 && text[2] >= 0xa8 && text[2] <= 0xae) ||
                            (text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9)))
        return 3;
    return 0;
}

/* Cut at TEXT_MAX, between characters. NULL: no memory. */
static const char *text_copy(const struct reading *r, const json_t *json)
{
    const uint8_t *from = (const uint8_t *)json_string_value(json);
    size_t size = json_string_length(json), len = 0;

    if (size > TEXT_MAX)
        for (size = TEXT_MAX; size > 0 && (from[size] & 0xc0) == 0x80; size--)
            ;
    char *out = arena_alloc(r->arena, size + 1);
    for (size_t i = 0; out && i < size;) {
        size_t unfit = unfit_len(from + i);
        out[len++] = unfit > 0 ? '?' : (char)from[i];
        i += unfit > 0 ? unfit : 1;
    }
    return out;
}

static int no_memory(const struct reading *r)
{
    return wrong(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
}

/* "" where it is missing, unless it must be there. */
static int text_read(const struct reading *r, const json_t *object, const char *place,
                     const char *key, bool must, const char **ret)
{
    const json_t *json = json_object_get(object, key);

    *ret = "";
    if (!must && (!json || json_is_null(json)))
        return ERR_OK;
    if (!json_is_string(json))
        return wrong_kind(r, place, key, "a text", json);
    *ret = text_copy(r, json);
    return *ret ? ERR_OK : no_memory(r);
}

/* A list of texts, or one, or nothing. */
static int texts_read(const struct reading *r, const json_t *object, const char *place,
                      const char *key, struct tlsrpt_strings *ret)
{
    const json_t *json = json_object_get(object, key);
    bool single = json_is_string(json);
    size_t len = single ? 1 : json_array_size(json);

    if (!json || json_is_null(json))
        return ERR_OK;
    if (!single && !json_is_array(json))
        return wrong_kind(r, place, key, "a list of texts", json);
    if (len > TLSRPT_STRINGS_MAX)
        return wrong(r, ERR_FULL, "%s.%s: more than %d texts", place, key, TLSRPT_STRINGS_MAX);
    ret->items = arena_alloc(r->arena, (len ? len : 1) * sizeof(*ret->items));
    if (!ret->items)
        return no_memory(r);
    for (size_t i = 0; i < len; i++) {
        const json_t *item = single ? json : json_array_get(json, i);
        if (!json_is_string(item))
            return wrong_kind(r, place, key, "a list of texts", item);
        ret->items[i] = text_copy(r, item);
        if (!ret->items[i])
            return no_memory(r);
        ret->len++;
    }
    return ERR_OK;
}

static int count_read(const struct reading *r, const json_t *object, const char *place,
                      const char *key, uint64_t *ret)
{
    const json_t *json = json_object_get(object, key);

    if (!json_is_integer(json))
        return wrong_kind(r, place, key, "a number of sessions, 0 or more", json);
    if (json_integer_value(json) < 0)
        return wrong(r, ERR_SYNTAX, "%s.%s: must be a number of sessions, 0 or more, is %lld",
                     place, key, (long long)json_integer_value(json));
    *ret = (uint64_t)json_integer_value(json);
    return ERR_OK;
}

static int moment_take(const struct reading *r, const json_t *range, const char *key, int64_t *ret)
{
    const json_t *json = json_object_get(range, key);

    if (!json_is_string(json))
        return wrong_kind(r, "date-range", key, "a time like 2016-04-01T00:00:00Z", json);
    if (!moment_read(json_string_value(json), ret))
        return wrong(r, ERR_SYNTAX,
                     "date-range.%s: must be a time like 2016-04-01T00:00:00Z, is \"%.40s\"", key,
                     json_string_value(json));
    return ERR_OK;
}

/* --- policies --- */

static int failure_read(const struct reading *r, const json_t *json, const char *place,
                        struct tlsrpt_failure *ret)
{
    const struct {
        const char *key;
        bool must;
        const char **ret;
    } texts[] = {
        {"result-type", true, &ret->result},           {"sending-mta-ip", false, &ret->sending_ip},
        {"receiving-ip", false, &ret->receiving_ip},   {"receiving-mx-hostname", false, &ret->mx},
        {"receiving-mx-helo", false, &ret->helo},      {"failure-reason-code", false, &ret->reason},
        {"additional-information", false, &ret->info},
    };
    int err = ERR_OK;

    if (!json_is_object(json))
        return wrong(r, ERR_SYNTAX, "%s: must be an object, is %s", place, kind_of(json));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !err; i++)
        err = text_read(r, json, place, texts[i].key, texts[i].must, texts[i].ret);
    return err ? err : count_read(r, json, place, "failed-session-count", &ret->sessions);
}

static int failures_read(struct reading *r, const json_t *json, const char *place,
                         struct tlsrpt_policy *ret)
{
    const json_t *list = json_object_get(json, "failure-details");
    size_t len = json_array_size(list);
    char item[PLACE_MAX];

    if (!list || json_is_null(list))
        return ERR_OK;
    if (!json_is_array(list))
        return wrong_kind(r, place, "failure-details", "a list", list);
    r->failures += len;
    if (r->failures > TLSRPT_FAILURES_MAX)
        return wrong(r, ERR_FULL, "%s: more than %d failure-details in the report", place,
                     TLSRPT_FAILURES_MAX);
    ret->failures = arena_alloc(r->arena, (len ? len : 1) * sizeof(*ret->failures));
    if (!ret->failures)
        return no_memory(r);
    for (size_t i = 0; i < len; i++) {
        snprintf(item, sizeof(item), "%s.failure-details[%zu]", place, i);
        int err = failure_read(r, json_array_get(list, i), item, &ret->failures[i]);
        if (err)
            return err;
        ret->failures_len++;
    }
    return ERR_OK;
}

static int policy_read(struct reading *r, const json_t *json, size_t index,
                       struct tlsrpt_policy *ret)
{
    const json_t *policy = json_object_get(json, "policy");
    const json_t *summary = json_object_get(json, "summary");
    char place[48], within[64];
    int err;

    snprintf(place, sizeof(place), "policies[%zu]", index);
    if (!json_is_object(policy))
        return wrong_kind(r, place, "policy", "an object", policy);
    if (!json_is_object(summary))
        return wrong_kind(r, place, "summary", "an object", summary);
    snprintf(within, sizeof(within), "%s.policy", place);
    err = text_read(r, policy, within, "policy-type", true, &ret->type);
    if (!err)
        err = text_read(r, policy, within, "policy-domain", true, &ret->domain);
    if (!err)
        err = texts_read(r, policy, within, "policy-string", &ret->policy);
    if (!err)
        err = texts_read(r, policy, within, "mx-host", &ret->mx);
    snprintf(within, sizeof(within), "%s.summary", place);
    if (!err)
        err = count_read(r, summary, within, "total-successful-session-count", &ret->good);
    if (!err)
        err = count_read(r, summary, within, "total-failure-session-count", &ret->failed);
    return err ? err : failures_read(r, json, place, ret);
}

static int policies_read(struct reading *r, const json_t *root, struct tlsrpt_report *ret)
{
    const json_t *list = json_object_get(root, "policies");
    size_t len = json_array_size(list);

    if (!json_is_array(list))
        return wrong_kind(r, "", "policies", "a list", list);
    if (len > TLSRPT_POLICIES_MAX)
        return wrong(r, ERR_FULL, "policies: more than %d", TLSRPT_POLICIES_MAX);
    ret->policies = arena_alloc(r->arena, (len ? len : 1) * sizeof(*ret->policies));
    if (!ret->policies)
        return no_memory(r);
    for (size_t i = 0; i < len; i++) {
        int err = policy_read(r, json_array_get(list, i), i, &ret->policies[i]);
        if (err)
            return err;
        ret->policies_len++;
    }
    return ERR_OK;
}

/* --- the whole --- */

static int root_read(struct reading *r, const json_t *root, struct tlsrpt_report *ret)
{
    const json_t *range = json_object_get(root, "date-range");
    int err;

    if (!json_is_object(root))
        return wrong(r, ERR_SYNTAX, "must be an object, is %s", kind_of(root));
    err = text_read(r, root, "", "organization-name", false, &ret->organization);
    if (!err)
        err = text_read(r, root, "", "contact-info", false, &ret->contact);
    if (!err)
        err = text_read(r, root, "", "report-id", true, &ret->id);
    if (!err && !json_is_object(range))
        err = wrong_kind(r, "", "date-range", "an object", range);
    if (!err)
        err = moment_take(r, range, "start-datetime", &ret->start);
    if (!err)
        err = moment_take(r, range, "end-datetime", &ret->end);
    return err ? err : policies_read(r, root, ret);
}

int tlsrpt_report_parse(struct span json, struct tlsrpt_report **ret, char *why, size_t why_room)
{
    struct whole *w = calloc(1, sizeof(*w));
    struct reading r = {.arena = w ? &w->arena : NULL, .why = why, .why_room = why_room};
    json_error_t error;
    json_t *root = NULL;
    int err;

    *ret = NULL;
    if (!w)
        return no_memory(&r);
    arena_init(&w->arena, ARENA_MAX);
    err = bounds_check(&r, json);
    if (!err) {
        root = json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
        err = root ? root_read(&r, root, &w->report)
                   : wrong(&r, ERR_SYNTAX, "line %d, column %d: no JSON: %.120s", error.line,
                           error.column, error.text);
    }
    json_decref(root);
    if (err) {
        tlsrpt_report_free(&w->report);
        return err;
    }
    *ret = &w->report;
    return ERR_OK;
}

void tlsrpt_report_free(struct tlsrpt_report *report)
{
    struct whole *w = (struct whole *)report;

    if (!w)
        return;
    arena_free(&w->arena);
    free(w);
}
