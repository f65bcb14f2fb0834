/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_priv.h"

#include "policy_list.h"

#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

static void read_section(struct conf_reader *r, enum conf_group group,
                         const config_setting_t *setting, const char *path, void *base);

static void *field_of(void *base, size_t offset)
{
    return (uint8_t *)base + offset;
}

static void complain_value(struct conf_reader *r, const struct conf_row *row,
                           const config_setting_t *setting, const char *path)
{
    char found[CONF_FOUND_TEXT], allowed[CONF_ALLOWED_TEXT];

    conf_complain(r, setting, path, "found %s, allowed %s", conf_found(setting, found),
                  conf_row_allowed(row, allowed));
}

static void note_result(struct conf_reader *r, const struct conf_row *row,
                        const config_setting_t *setting, const char *path, int result)
{
    if (result == ERR_NOMEM)
        r->out_of_memory = true;
    else if (result != ERR_OK)
        complain_value(r, row, setting, path);
}

static bool read_number(const config_setting_t *setting, const struct conf_row *row, int64_t *ret)
{
    int type = config_setting_type(setting);

    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
        return false;
    *ret = config_setting_get_int64(setting);
    return *ret >= row->min && *ret <= row->max;
}

static void store_number(const struct conf_row *row, int64_t value, void *field)
{
    if (row->type == CONF_TYPE_U64)
        *(uint64_t *)field = (uint64_t)value;
    else
        *(unsigned *)field = (unsigned)value;
}

static void read_word(struct conf_reader *r, const struct conf_row *row,
                      const config_setting_t *setting, const char *path, void *field)
{
    const char *text = config_setting_get_string(setting);
    const struct conf_word *word = text ? conf_word_find(row->words, text) : NULL;
    char found[CONF_FOUND_TEXT], allowed[CONF_ALLOWED_TEXT];

    if (!word)
        complain_value(r, row, setting, path);
    else if (word->refused)
        conf_complain(r, setting, path, "found %s, allowed %s (%s)", conf_found(setting, found),
                      conf_row_allowed(row, allowed), word->refused);
    else
        *(int *)field = word->value;
}

static bool is_string(const config_setting_t *setting)
{
    return config_setting_type(setting) == CONFIG_TYPE_STRING;
}

static const char *string_of(const config_setting_t *setting)
{
    const char *text = config_setting_get_string(setting);

    return text ? text : "";
}

/* One string may stand for a list of one. */
static void read_list(struct conf_reader *r, const struct conf_row *row,
                      const config_setting_t *setting, const char *path, void *base)
{
    int type = config_setting_type(setting);
    bool single = type == CONFIG_TYPE_STRING;
    size_t size = conf_value_size(row->type);
    char element_path[CONF_PATH_TEXT];

    if (!single && type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST) {
        complain_value(r, row, setting, path);
        return;
    }
    size_t len = single ? 1 : (size_t)config_setting_length(setting);
    if (len < (size_t)row->min || len > (size_t)row->max) {
        complain_value(r, row, setting, path);
        return;
    }
    uint8_t *items = arena_alloc(r->arena, len * size);
    if (!items) {
        r->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < len; i++) {
        const config_setting_t *element =
            single ? setting : config_setting_get_elem(setting, (unsigned)i);
        const char *at = single ? path : conf_path_index(path, i, element_path);
        if (is_string(element))
            note_result(r, row, element, at,
                        conf_value_convert(r, row, string_of(element), items + i * size));
        else
            complain_value(r, row, element, at);
    }
    *(void **)field_of(base, row->offset) = items;
    *(size_t *)field_of(base, row->len_offset) = len;
}

static void read_source(struct conf_reader *r, const struct conf_row *row,
                        const config_setting_t *setting, const char *path, struct conf_route *route)
{
    bool single = is_string(setting);
    int len = single ? 1 : config_setting_length(setting);

    if ((!single && !config_setting_is_aggregate(setting)) || len < 1 || len > 2) {
        complain_value(r, row, setting, path);
        return;
    }
    for (int i = 0; i < len; i++) {
        const config_setting_t *element =
            single ? setting : config_setting_get_elem(setting, (unsigned)i);
        union net_addr addr;
        bool ok =
            is_string(element) && conf_value_convert(r, row, string_of(element), &addr) == ERR_OK;
        bool v6 = ok && net_addr_is_v6(&addr);
        if (!ok || (v6 ? route->has_source6 : route->has_source4)) {
            complain_value(r, row, setting, path);
            return;
        }
        *(v6 ? &route->source6 : &route->source4) = addr;
        *(v6 ? &route->has_source6 : &route->has_source4) = true;
    }
}

static void read_sections(struct conf_reader *r, const struct conf_row *row,
                          const config_setting_t *setting, const char *path, void *base)
{
    size_t size = conf_group_size(row->section), len = (size_t)config_setting_length(setting);
    char element_path[CONF_PATH_TEXT];

    if (!config_setting_is_list(setting) || len < (size_t)row->min || len > (size_t)row->max) {
        complain_value(r, row, setting, path);
        return;
    }
    uint8_t *items = arena_alloc(r->arena, len * size);
    if (!items) {
        r->out_of_memory = true;
        return;
    }
    *(void **)field_of(base, row->offset) = items;
    *(size_t *)field_of(base, row->len_offset) = len;
    for (size_t i = 0; i < len; i++)
        read_section(r, row->section, config_setting_get_elem(setting, (unsigned)i),
                     conf_path_index(path, i, element_path), items + i * size);
}

static void read_string(struct conf_reader *r, const struct conf_row *row,
                        const config_setting_t *setting, const char *path, void *field)
{
    if (is_string(setting))
        note_result(r, row, setting, path, conf_value_convert(r, row, string_of(setting), field));
    else
        complain_value(r, row, setting, path);
}

static void read_value(struct conf_reader *r, const struct conf_row *row,
                       const config_setting_t *setting, const char *path, void *base)
{
    void *field = field_of(base, row->offset);
    int64_t number = 0;

    switch (row->type) {
    case CONF_TYPE_UINT:
    case CONF_TYPE_U64:
        if (read_number(setting, row, &number))
            store_number(row, number, field);
        else
            complain_value(r, row, setting, path);
        return;
    case CONF_TYPE_BOOL:
        if (config_setting_type(setting) == CONFIG_TYPE_BOOL)
            *(bool *)field = config_setting_get_bool(setting) != 0;
        else
            complain_value(r, row, setting, path);
        return;
    case CONF_TYPE_WORD:
        read_word(r, row, setting, path, field);
        return;
    case CONF_TYPE_STRING:
    case CONF_TYPE_FILE:
    case CONF_TYPE_HOSTNAME:
    case CONF_TYPE_DOMAIN:
    case CONF_TYPE_PARTNER:
    case CONF_TYPE_NAME:
    case CONF_TYPE_MAILBOX:
    case CONF_TYPE_ADDRESS:
    case CONF_TYPE_METRICS:
    case CONF_TYPE_PIN:
    case CONF_TYPE_FINGERPRINT:
    case CONF_TYPE_MOMENT:
    case CONF_TYPE_INTERFACE:
    case CONF_TYPE_HOST:
    case CONF_TYPE_TIME_ZONE:
    case CONF_TYPE_CRYPT:
    case CONF_TYPE_URL:
        read_string(r, row, setting, path, field);
        return;
    case CONF_TYPE_SOURCE:
        read_source(r, row, setting, path, base);
        return;
    case CONF_TYPE_STRINGS:
    case CONF_TYPE_USERS:
    case CONF_TYPE_GROUPS:
    case CONF_TYPE_SUITES:
    case CONF_TYPE_HOSTNAMES:
    case CONF_TYPE_TLS_NAMES:
    case CONF_TYPE_DNS_SERVERS:
    case CONF_TYPE_DNS_STUBS:
    case CONF_TYPE_PREFIXES:
    case CONF_TYPE_FINGERPRINTS:
    case CONF_TYPE_PINS:
    case CONF_TYPE_INTERFACES:
    case CONF_TYPE_ADDRESSES:
    case CONF_TYPE_IPS:
    case CONF_TYPE_SSH_KEYS:
    case CONF_TYPE_HOPS:
        read_list(r, row, setting, path, base);
        return;
    case CONF_TYPE_SECTION:
        read_section(r, row->section, setting, path,
                     row->presence == CONF_SECTION_SAME ? base : field);
        return;
    case CONF_TYPE_SECTIONS:
        read_sections(r, row, setting, path, base);
        return;
    }
}

/* The value of a key that is not written. "=KEY" is left to conf_check: the other key may not be
 * read yet. */
static void read_fallback(struct conf_reader *r, const struct conf_row *row, const char *path,
                          void *base)
{
    void *field = field_of(base, row->offset);

    if (row->type == CONF_TYPE_SECTION && row->presence != CONF_SECTION_OPTIONAL)
        read_section(r, row->section, NULL, path,
                     row->presence == CONF_SECTION_SAME ? base : field);
    if (!row->fallback || row->fallback[0] == '=')
        return;
    if (row->type == CONF_TYPE_UINT || row->type == CONF_TYPE_U64)
        store_number(row, strtoll(row->fallback, NULL, 10), field);
    else if (row->type == CONF_TYPE_BOOL)
        *(bool *)field = strcmp(row->fallback, "true") == 0;
    else if (row->type == CONF_TYPE_WORD)
        *(int *)field = conf_word_find(row->words, row->fallback)->value;
    else if (conf_value_convert(r, row, row->fallback, field) != ERR_OK)
        r->out_of_memory = true;
}

static void complain_unknown(struct conf_reader *r, enum conf_group group,
                             const config_setting_t *member, const char *path)
{
    const char *key = config_setting_name(member), *nearest = conf_row_nearest(group, key);
    const char *other = NULL, *file = conf_group_file(group), *other_file = file;

    for (size_t i = 0; i < conf_rows_len && !other; i++) {
        if (strcmp(conf_rows[i].key, key) == 0 &&
            strcmp(conf_group_file(conf_rows[i].group), file) == 0)
            other = conf_group_name(conf_rows[i].group);
    }
    for (size_t i = 0; i < conf_rows_len && !other && other_file == file; i++) {
        if (strcmp(conf_rows[i].key, key) == 0)
            other_file = conf_group_file(conf_rows[i].group);
    }
    if (other_file != file)
        conf_complain(r, member, path, "found a key that does not belong here, it is one of %s",
                      other_file);
    else if (other && other[0])
        conf_complain(r, member, path, "found a key that does not belong here, it is one of %s",
                      other);
    else if (other)
        conf_complain(r, member, path,
                      "found a key that does not belong here, it stands outside of all groups");
    else if (nearest)
        conf_complain(r, member, path, "found an unknown key, the nearest known one is \"%s\"",
                      nearest);
    else
        conf_complain(r, member, path, "found an unknown key, %s lists the known ones",
                      conf_group_manual(group));
}

/* setting may be NULL: every key at its default. */
static void read_section(struct conf_reader *r, enum conf_group group,
                         const config_setting_t *setting, const char *path, void *base)
{
    char key_path[CONF_PATH_TEXT], found[CONF_FOUND_TEXT], allowed[CONF_ALLOWED_TEXT];
    bool unreadable = false;

    if (setting && config_setting_type(setting) != CONFIG_TYPE_GROUP) {
        conf_complain(r, setting, path, "found %s, allowed a group of settings { ... }",
                      conf_found(setting, found));
        setting = NULL;
        unreadable = true; /* told already: its keys are not missed as well */
    }
    for (int i = 0; setting && i < config_setting_length(setting); i++) {
        const config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
        if (!conf_row_find(group, config_setting_name(member)))
            complain_unknown(r, group, member,
                             conf_path_key(path, config_setting_name(member), key_path));
    }
    for (size_t i = 0; i < conf_rows_len; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->group != group)
            continue;
        const config_setting_t *member =
            setting ? config_setting_get_member(setting, row->key) : NULL;
        conf_path_key(path, row->key, key_path);
        if (member)
            read_value(r, row, member, key_path, base);
        else
            read_fallback(r, row, key_path, base);
        if (!member && row->must && !unreadable)
            conf_complain(r, setting, key_path, "found nothing, it must be set: %s",
                          conf_row_allowed(row, allowed));
    }
}

static void read_text(struct conf_reader *r, const char *text, enum conf_group group, void *base,
                      conf_checks *check)
{
    config_t config;

    config_init(&config);
    if (config_read_string(&config, text) == CONFIG_TRUE) {
        const config_setting_t *root = config_root_setting(&config);
        read_section(r, group, root, "", base);
        if (check && !r->out_of_memory)
            check(r, root);
    } else {
        const char *why = config_error_text(&config);
        conf_errors_add(r->errors, r->file, (unsigned)config_error_line(&config), "",
                        "%s; allowed is libconfig's syntax, see %s",
                        why ? why : "found something unreadable", conf_group_manual(group));
    }
    config_destroy(&config);
}

int conf_read(struct conf_reader *r, const char *text, size_t max, enum conf_group group,
              void *base, conf_checks *check)
{
    const char *slash = strrchr(r->file, '/');
    size_t before = r->errors->count;
    char *prepared = NULL;

    r->dir = span_make(r->file, slash ? (size_t)(slash + 1 - r->file) : 0);
    if (strnlen(text, max + 1) > max) {
        conf_errors_add(r->errors, r->file, 0, "", "found more than %zu bytes, allowed up to that",
                        max);
        return ERR_CONFIG;
    }
    int result = conf_text_prepare(r, text, &prepared);
    if (result != ERR_OK)
        return result == ERR_SYNTAX ? ERR_CONFIG : result;
    read_text(r, prepared, group, base, check);
    free(prepared);
    if (r->out_of_memory)
        return ERR_NOMEM;
    return r->errors->count > before ? ERR_CONFIG : ERR_OK;
}

int conf_parse(const char *text, const char *file, struct conf **ret, struct conf_errors *errors)
{
    struct conf *conf = calloc(1, sizeof(*conf));
    struct conf_reader r = {.file = file, .errors = errors, .conf = conf};

    *ret = NULL;
    *errors = (struct conf_errors){0};
    if (!conf)
        return ERR_NOMEM;
    arena_init(&conf->arena, 0);
    r.arena = &conf->arena;
    int result = conf_read(&r, text, CONF_TEXT_MAX, CONF_GROUP_ROOT, conf, conf_check);
    if (result == ERR_OK)
        *ret = conf;
    else
        conf_free(conf);
    return result;
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    policy_list_free(conf->tls.policies);
    arena_free(&conf->arena);
    free(conf);
}

/* libconfig writes routes[0].tls as routes.[0].tls */
static void lookup_path(const char *path, char out[CONF_PATH_TEXT])
{
    size_t len = 0;

    for (; *path && len + 2 < CONF_PATH_TEXT; path++) {
        if (*path == '[')
            out[len++] = '.';
        out[len++] = *path;
    }
    out[len] = '\0';
}

unsigned conf_line_of(const char *text, const char *path)
{
    char name[CONF_PATH_TEXT];
    unsigned line = 0;
    config_t config;

    lookup_path(path, name);
    config_init(&config);
    if (config_read_string(&config, text) == CONFIG_TRUE) {
        const config_setting_t *at = config_lookup(&config, name);
        for (char *dot = strrchr(name, '.'); !at && dot; dot = strrchr(name, '.')) {
            *dot = '\0';
            at = config_lookup(&config, name);
        }
        line = at ? (unsigned)config_setting_source_line(at) : 0;
    }
    config_destroy(&config);
    return line;
}
