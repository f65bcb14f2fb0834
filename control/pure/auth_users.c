/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_users.h"

#include "base64.h"
#include "sip_hash.h"

#include <stdio.h>
#include <stdlib.h>

static const char mechanism[] = "SCRAM-SHA-256$";

bool auth_name_valid(struct span name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-";

    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '\0' || !strchr(allowed, name.ptr[i]))
            return false;
    }
    return name.len >= 1 && name.len <= AUTH_NAME_MAX;
}

/* Cuts what is before the mark off *rest, and the mark; all of it where there is none. */
static struct span cut(struct span *rest, char mark)
{
    const uint8_t *at = rest->len ? memchr(rest->ptr, mark, rest->len) : NULL;
    struct span head = span_make(rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len);

    *rest = span_from(*rest, head.len + 1);
    return head;
}

static bool key_read(struct span text, uint8_t ret[32])
{
    size_t len;

    return base64_decode(text, ret, 32, &len) == ERR_OK && len == 32;
}

/* NULL, or what is wrong. */
static const char *record_read(struct span rest, struct auth_record *ret)
{
    uint64_t iterations;

    if (!span_starts_nocase(rest, span_str(mechanism)))
        return "no record that begins with SCRAM-SHA-256$";
    rest = span_from(rest, sizeof(mechanism) - 1);
    if (span_to_u64(cut(&rest, ':'), AUTH_ITERATIONS_MAX, &iterations) != ERR_OK ||
        iterations < AUTH_ITERATIONS_MIN)
        return "iterations that are not 4096 to 16384";
    ret->iterations = (unsigned)iterations;
    if (base64_decode(cut(&rest, '$'), ret->salt, sizeof(ret->salt), &ret->salt_len) != ERR_OK ||
        ret->salt_len < AUTH_SALT_MIN)
        return "a salt that is not base64 of 8 to 64 bytes";
    if (!key_read(cut(&rest, ':'), ret->stored_key) || !key_read(rest, ret->server_key))
        return "keys that are not base64 of 32 bytes";
    return NULL;
}

static const char *line_read(struct span line, struct auth_user *ret)
{
    struct span name = cut(&line, ':');

    if (!auth_name_valid(name) || span_to_cstr(name, ret->name, sizeof(ret->name)) != ERR_OK)
        return "a name that is not 1 to 64 letters, digits and \"._@+-\"";
    return record_read(line, &ret->record);
}

static int user_compare(const void *a, const void *b)
{
    return strcmp(((const struct auth_user *)a)->name, ((const struct auth_user *)b)->name);
}

static struct span line_next(struct span *rest)
{
    struct span line = cut(rest, '\n');

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool says_nothing(struct span line)
{
    return line.len == 0 || line.ptr[0] == '#';
}

int auth_users_parse(const char *text, struct arena *arena, struct auth_users *ret, char *why,
                     size_t why_room)
{
    const struct span all = span_str(text);
    size_t room = 0, number = 0;

    *ret = (struct auth_users){0};
    for (struct span rest = all; rest.len > 0;)
        room += !says_nothing(line_next(&rest));
    ret->users = arena_alloc(arena, (room + 1) * sizeof(*ret->users));
    if (!ret->users)
        return ERR_NOMEM;
    for (struct span rest = all; rest.len > 0;) {
        struct span line = line_next(&rest);
        number++;
        const char *wrong = says_nothing(line) ? NULL : line_read(line, &ret->users[ret->len]);
        if (wrong) {
            snprintf(why, why_room, "line %zu: %s", number, wrong);
            return ERR_SYNTAX;
        }
        ret->len += !says_nothing(line);
    }
    qsort(ret->users, ret->len, sizeof(*ret->users), user_compare);
    for (size_t i = 1; i < ret->len; i++) {
        if (user_compare(&ret->users[i - 1], &ret->users[i]) == 0) {
            snprintf(why, why_room, "two lines for %s", ret->users[i].name);
            return ERR_SYNTAX;
        }
    }
    if (ret->len == 0)
        snprintf(why, why_room, "no user at all");
    return ret->len > 0 ? ERR_OK : ERR_SYNTAX;
}

const struct auth_user *auth_users_find(const struct auth_users *users, const char *name)
{
    struct auth_user key;

    if (span_to_cstr(span_str(name), key.name, sizeof(key.name)) != ERR_OK)
        return NULL;
    return bsearch(&key, users->users, users->len, sizeof(*users->users), user_compare);
}

void auth_users_pretend(const struct auth_users *users, const char *name, struct auth_record *ret)
{
    const struct auth_record *first = &users->users[0].record;
    uint64_t key[2], part;

    *ret = (struct auth_record){.iterations = first->iterations, .salt_len = first->salt_len};
    memcpy(key, first->server_key, sizeof(key));
    for (size_t at = 0; at < ret->salt_len; at += sizeof(part)) {
        part = sip_hash(key, (const uint8_t *)name, strlen(name));
        key[1]++;
        size_t left = ret->salt_len - at;
        memcpy(ret->salt + at, &part, left < sizeof(part) ? left : sizeof(part));
    }
}

void auth_line_write(const char *name, const struct auth_record *record, char out[AUTH_LINE_MAX])
{
    char salt[(AUTH_SALT_MAX + 2) / 3 * 4 + 1], stored[45], server[45];

    snprintf(out, AUTH_LINE_MAX, "%s:%s%u:%s$%s:%s\n", name, mechanism, record->iterations,
             base64_encode(span_make(record->salt, record->salt_len), salt),
             base64_encode(span_make(record->stored_key, 32), stored),
             base64_encode(span_make(record->server_key, 32), server));
}
