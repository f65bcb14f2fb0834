/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_list.h"

#include "arena.h"
#include "ascii.h"
#include "moment.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_LEN = 253, LABEL_MAX = 63 };

struct policy {
    enum sts_mode mode;
    unsigned mx_len;
    const char *mx; /* one behind the other, each with its NUL */
};

struct listed {
    const char *domain;
    const struct policy *policy;
};

struct policy_list {
    struct arena arena;
    int64_t expires;
    struct listed *domains; /* sorted */
    size_t len;
};

/* Where the reading is, and where it says what is wrong. */
struct reading {
    struct policy_list *list;
    struct listed *aliases; /* sorted */
    size_t aliases_len;
    char *why;
    size_t why_room;
};

static int wrong(const struct reading *r, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int wrong(const struct reading *r, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, r->why_room, format, args);
    va_end(args);
    ascii_mask(r->why); /* names are the file's */
    return err;
}

/* --- names --- */

/* Two labels at least, of letters, digits and hyphens. */
static bool name_valid(const char *name)
{
    size_t label = 0, dots = 0, len = strlen(name);

    if (len == 0 || len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool edge = label == 0 || name[i + 1] == '.' || name[i + 1] == '\0';
        if (name[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            dots++;
            continue;
        }
        if (!ascii_is_alnum((uint8_t)name[i]) && (name[i] != '-' || edge))
            return false;
        if (++label > LABEL_MAX)
            return false;
    }
    return label > 0 && dots > 0;
}

static bool is_one_of(const char *key, const char *const *known)
{
    while (*known && strcmp(key, *known) != 0)
        known++;
    return *known != NULL;
}

static bool expiry_read(const json_t *json, int64_t *ret)
{
    if (!json_is_integer(json))
        return json_is_string(json) && moment_read(json_string_value(json), ret);
    *ret = (int64_t)json_integer_value(json);
    return *ret >= 0;
}

/* --- a policy --- */

static int mxs_read(const struct reading *r, const char *name, const json_t *mxs,
                    struct policy *ret)
{
    size_t size = 0, i;
    json_t *mx;
    char *to;

    if (!json_is_array(mxs) || json_array_size(mxs) == 0)
        return wrong(r, ERR_SYNTAX, "%.80s: mxs must list at least one name", name);
    if (json_array_size(mxs) > STS_MX_MAX)
        return wrong(r, ERR_LIMIT, "%.80s: mxs lists more than %d names", name, STS_MX_MAX);
    json_array_foreach(mxs, i, mx)
    {
        const char *text = json_string_value(mx);
        if (!text || !name_valid(text + (text[0] == '.')))
            return wrong(r, ERR_SYNTAX, "%.80s: mxs has \"%.80s\", which is no name", name,
                         text ? text : "");
        size += strlen(text) + 1;
    }
    to = arena_alloc(&r->list->arena, size);
    if (!to)
        return wrong(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    ret->mx = to;
    json_array_foreach(mxs, i, mx)
    {
        size_t len = json_string_length(mx) + 1;
        memcpy(to, json_string_value(mx), len);
        ascii_lower_all(to);
        to += len;
    }
    ret->mx_len = (unsigned)json_array_size(mxs);
    return ERR_OK;
}

static int policy_read(const struct reading *r, const char *name, json_t *json,
                       const struct policy **ret)
{
    const char *mode = json_string_value(json_object_get(json, "mode"));
    struct policy *p = arena_alloc(&r->list->arena, sizeof(*p));
    const char *key;
    json_t *value;

    if (!p)
        return wrong(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (!json_is_object(json))
        return wrong(r, ERR_SYNTAX, "%.80s: a policy must be an object", name);
    json_object_foreach(json, key, value)
    {
        static const char *const known[] = {"mode", "mxs", "mta-sts", "report", NULL};
        if (!is_one_of(key, known))
            return wrong(r, ERR_SYNTAX, "%.80s: \"%.40s\" is not known, or can't be honoured", name,
                         key);
    }
    if (mode && strcmp(mode, "enforce") == 0)
        p->mode = STS_MODE_ENFORCE;
    else if (mode && strcmp(mode, "testing") == 0)
        p->mode = STS_MODE_TESTING;
    else
        return wrong(r, ERR_SYNTAX, "%.80s: mode must be \"enforce\" or \"testing\"", name);
    *ret = p;
    return mxs_read(r, name, json_object_get(json, "mxs"), p);
}

static int listed_compare(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->domain, ((const struct listed *)b)->domain);
}

/* Once, however many domains name one. Names are the file's for as long as it is read. */
static int aliases_read(struct reading *r, json_t *aliases)
{
    const char *key;
    json_t *value;

    r->aliases = calloc(json_object_size(aliases) + 1, sizeof(*r->aliases));
    if (!r->aliases)
        return wrong(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    json_object_foreach(aliases, key, value)
    {
        struct listed *a = &r->aliases[r->aliases_len++];
        a->domain = key;
        int err = policy_read(r, key, value, &a->policy);
        if (err)
            return err;
    }
    qsort(r->aliases, r->aliases_len, sizeof(*r->aliases), listed_compare);
    return ERR_OK;
}

/* Of a domain: its own, or the one that it names. */
static int domain_policy(const struct reading *r, const char *domain, json_t *json,
                         const struct policy **ret)
{
    const json_t *alias = json_object_get(json, "policy-alias");

    if (!alias)
        return policy_read(r, domain, json, ret);
    const struct listed key = {.domain = json_string_value(alias)};
    const struct listed *named =
        key.domain && r->aliases_len > 0
            ? bsearch(&key, r->aliases, r->aliases_len, sizeof(key), listed_compare)
            : NULL;
    if (!named)
        return wrong(r, ERR_SYNTAX, "%.80s: there is no policy-alias \"%.40s\"", domain,
                     key.domain ? key.domain : "");
    *ret = named->policy;
    return ERR_OK;
}

/* --- the list --- */

static int domains_read(const struct reading *r, json_t *policies)
{
    struct policy_list *list = r->list;
    const char *key;
    json_t *value;

    if (json_object_size(policies) > POLICY_LIST_DOMAINS_MAX)
        return wrong(r, ERR_LIMIT, "policies: more than %d domains", POLICY_LIST_DOMAINS_MAX);
    list->domains = calloc(json_object_size(policies) + 1, sizeof(*list->domains));
    if (!list->domains)
        return wrong(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    json_object_foreach(policies, key, value)
    {
        struct listed *d = &list->domains[list->len];
        if (!name_valid(key))
            return wrong(r, ERR_SYNTAX, "policies: \"%.80s\" is no domain", key);
        char *domain = arena_strdup(&list->arena, span_str(key));
        if (!domain)
            return wrong(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        ascii_lower_all(domain);
        d->domain = domain;
        int err = domain_policy(r, key, value, &d->policy);
        if (err)
            return err;
        list->len++;
    }
    qsort(list->domains, list->len, sizeof(*list->domains), listed_compare);
    for (size_t i = 1; i < list->len; i++)
        if (listed_compare(&list->domains[i - 1], &list->domains[i]) == 0)
            return wrong(r, ERR_SYNTAX, "policies: %.80s is there twice", list->domains[i].domain);
    return ERR_OK;
}

static int members_check(const struct reading *r, json_t *root)
{
    static const char *const known[] = {"timestamp", "author",         "expires",  "version",
                                        "pinsets",   "policy-aliases", "policies", NULL};
    const char *version = json_string_value(json_object_get(root, "version"));
    const char *key;
    json_t *value;

    json_object_foreach(root, key, value)
    {
        if (!is_one_of(key, known))
            return wrong(r, ERR_SYNTAX, "\"%.40s\" is not known", key);
    }
    if (!version || strcmp(version, "0.1") != 0)
        return wrong(r, ERR_SYNTAX, "version must be \"0.1\"");
    if (!expiry_read(json_object_get(root, "expires"), &r->list->expires))
        return wrong(r, ERR_SYNTAX, "expires must be a time, \"2026-11-22T06:30:00+00:00\" say");
    if (!json_is_object(json_object_get(root, "policies")))
        return wrong(r, ERR_SYNTAX, "policies must be an object");
    const json_t *aliases = json_object_get(root, "policy-aliases");
    if (aliases && !json_is_object(aliases))
        return wrong(r, ERR_SYNTAX, "policy-aliases must be an object");
    return ERR_OK;
}

static int list_read(struct reading *r, json_t *root)
{
    if (!json_is_object(root))
        return wrong(r, ERR_SYNTAX, "the list must be an object");
    int err = members_check(r, root);
    if (!err)
        err = aliases_read(r, json_object_get(root, "policy-aliases"));
    return err ? err : domains_read(r, json_object_get(root, "policies"));
}

int policy_list_parse(struct span text, struct policy_list **ret, char *why, size_t why_room)
{
    struct reading r = {.why = why, .why_room = why_room};
    json_error_t error;

    *ret = NULL;
    if (text.len > POLICY_LIST_BYTES_MAX)
        return wrong(&r, ERR_LIMIT, "it is larger than %d bytes", POLICY_LIST_BYTES_MAX);
    r.list = calloc(1, sizeof(*r.list));
    if (!r.list)
        return wrong(&r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    arena_init(&r.list->arena, 0);
    json_t *root = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    int err = root ? list_read(&r, root)
                   : wrong(&r, ERR_SYNTAX, "line %d: %.120s", error.line, error.text);
    free(r.aliases);
    json_decref(root);
    if (err) {
        policy_list_free(r.list);
        return err;
    }
    *ret = r.list;
    return ERR_OK;
}

void policy_list_free(struct policy_list *list)
{
    if (!list)
        return;
    arena_free(&list->arena);
    free(list->domains);
    free(list);
}

int64_t policy_list_expires(const struct policy_list *list)
{
    return list->expires;
}

size_t policy_list_len(const struct policy_list *list)
{
    return list->len;
}

bool policy_list_find(const struct policy_list *list, const char *domain, int64_t now,
                      struct sts_answer *ret)
{
    const struct listed key = {.domain = domain};
    const struct listed *found =
        now < list->expires ? bsearch(&key, list->domains, list->len, sizeof(key), listed_compare)
                            : NULL;

    if (!found)
        return false;
    const char *mx = found->policy->mx;
    ret->status = DNS_OK;
    ret->listed = true;
    ret->mode = found->policy->mode;
    ret->id[0] = ret->why[0] = '\0';
    ret->expires = list->expires;
    ret->from_cache = true;
    ret->mx_len = found->policy->mx_len;
    for (unsigned i = 0; i < ret->mx_len; i++) {
        size_t len = strlen(mx) + 1;
        memcpy(ret->mx[i], mx, len);
        mx += len;
    }
    return true;
}
