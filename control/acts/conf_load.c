/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_load.h"

#include "dkim.h"
#include "policy_list.h"
#include "tls_signature.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSWORD_MAX = 255, PATH_TEXT = 64, WHY_TEXT = 1024 };

struct loading {
    const char *file;
    const char *text; /* its content; NULL before it is read */
    struct conf_errors *errors;
};

static unsigned line_of(const struct loading *l, const char *path)
{
    return l->text && path[0] ? conf_line_of(l->text, path) : 0;
}

/* A regular file of at most max bytes, with a NUL after them; NULL after a complaint. */
static char *file_read(const struct loading *l, const char *path, const char *name, size_t max,
                       struct stat *ret_stat)
{
    char *text = NULL;
    size_t len = 0;
    ssize_t n = 1;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, ret_stat) != 0) {
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found that %s can't be read: %s", name, strerror(errno));
        goto out;
    }
    if (!S_ISREG(ret_stat->st_mode)) {
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found that %s is not a file, allowed is one", name);
        goto out;
    }
    text = malloc(max + 2);
    while (text && n > 0 && len <= max) {
        n = read(fd, text + len, max + 1 - len);
        if (n > 0)
            len += (size_t)n;
    }
    if (!text || n < 0 || len > max) {
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found that %s can't be read: %s", name,
                        len > max ? "it is too long" : strerror(errno));
        free(text);
        text = NULL;
        goto out;
    }
    text[len] = '\0';
    if (strlen(text) != len) {
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found a NUL byte in %s, allowed is text", name);
        free(text);
        text = NULL;
    }
out:
    if (fd >= 0)
        close(fd);
    return text;
}

static void private_demand(const struct loading *l, const char *path, const char *name, mode_t mode)
{
    if (mode & S_IRWXO)
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found a password in %s, whose mode is %04o, allowed are modes without "
                        "rights for others (chmod o= %s)",
                        name, (unsigned)(mode & 07777), name);
}

static int password_load(const struct loading *l, struct conf *conf, struct conf_route *route,
                         const char *path)
{
    struct stat st;
    char *text = file_read(l, path, route->auth.password_file, 4096, &st);
    int result = ERR_OK;

    if (!text)
        return ERR_OK;
    private_demand(l, path, route->auth.password_file, st.st_mode);
    size_t len = strcspn(text, "\r\n");
    if (len == 0 || len > PASSWORD_MAX) {
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found a first line of %zu bytes in %s, allowed 1 to %d", len,
                        route->auth.password_file, PASSWORD_MAX);
    } else {
        route->auth.password = arena_strdup(&conf->arena, span_make(text, len));
        result = route->auth.password ? ERR_OK : ERR_NOMEM;
    }
    explicit_bzero(text, strlen(text));
    free(text);
    return result;
}

static int passwords_load(const struct loading *l, struct conf *conf, mode_t conf_mode)
{
    bool inside = false;

    for (size_t i = 0; i < conf->routes_len; i++) {
        struct conf_route *route = &conf->routes[i];
        char path[PATH_TEXT];
        inside = inside || route->auth.password;
        snprintf(path, sizeof(path), "routes[%zu].auth.password_file", i);
        if (route->auth.password_file && password_load(l, conf, route, path) != ERR_OK)
            return ERR_NOMEM;
    }
    if (inside)
        private_demand(l, "", l->file, conf_mode);
    return ERR_OK;
}

static int users_load(const struct loading *l, struct conf *conf, struct conf_listener *listener,
                      const char *path)
{
    struct stat st;
    char why[WHY_TEXT] = "";
    char *text = file_read(l, path, listener->auth_users, AUTH_FILE_MAX, &st);
    struct auth_users *users = arena_alloc(&conf->arena, sizeof(*users));
    int result = users ? ERR_OK : ERR_NOMEM;

    if (!text)
        return result;
    private_demand(l, path, listener->auth_users, st.st_mode);
    if (result == ERR_OK)
        result = auth_users_parse(text, &conf->arena, users, why, sizeof(why));
    explicit_bzero(text, strlen(text));
    free(text);
    if (result == ERR_SYNTAX) {
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found in %s %s, allowed are lines of posternctl user add",
                        listener->auth_users, why);
        return ERR_OK;
    }
    listener->users = users;
    return result;
}

static int all_users_load(const struct loading *l, struct conf *conf)
{
    int result = ERR_OK;

    for (size_t i = 0; i < conf->listeners_len && result == ERR_OK; i++) {
        char path[PATH_TEXT];
        snprintf(path, sizeof(path), "listeners[%zu].auth_users", i);
        if (conf->listeners[i].auth_users)
            result = users_load(l, conf, &conf->listeners[i], path);
    }
    return result;
}

/* --- pin files --- */

/* NULL after a complaint; *ret_err is ERR_NOMEM where that was it. */
static const struct conf_pins *pins_read(const struct loading *l, struct conf *conf,
                                         const char *path, const char *file, int *ret_err)
{
    struct stat st;
    char *text = file_read(l, path, file, CONF_PINS_MAX, &st);
    struct conf_pins *pins = arena_alloc(&conf->arena, sizeof(*pins));
    int err = pins ? ERR_OK : ERR_NOMEM;

    if (text && !err)
        err = conf_pins_parse(text, file, &conf->arena, pins, l->errors);
    *ret_err = err == ERR_NOMEM ? err : ERR_OK;
    bool whole = text && !err;
    free(text);
    return whole ? pins : NULL;
}

/* What is compared with a partner's certificate: of all that the file has, one of these. */
enum pins_what { PINS_SPKI, PINS_CERTIFICATE };

static int pins_take(struct conf *conf, const struct conf_pins *pins, enum pins_what what,
                     struct conf_hash **ret, size_t *ret_len)
{
    const struct conf_pin *of[] = {&pins->current, &pins->next};
    size_t len = pins->next.name ? 2 : 1;

    *ret = arena_alloc(&conf->arena, len * sizeof(**ret));
    if (!*ret)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++)
        (*ret)[i] = what == PINS_SPKI ? of[i]->spki : of[i]->certificate;
    *ret_len = len;
    return ERR_OK;
}

static int all_pins_load(const struct loading *l, struct conf *conf)
{
    char path[PATH_TEXT];
    int err = ERR_OK;

    for (size_t i = 0; i < conf->routes_len && !err; i++) {
        struct conf_route *route = &conf->routes[i];
        snprintf(path, sizeof(path), "routes[%zu].tls.pin_file", i);
        if (route->tls.pin_file)
            route->tls.pins = pins_read(l, conf, path, route->tls.pin_file, &err);
        if (route->tls.pins)
            err =
                pins_take(conf, route->tls.pins, PINS_SPKI, &route->tls.spki, &route->tls.spki_len);
    }
    for (size_t i = 0; i < conf->senders_len && !err; i++) {
        struct conf_sender *sender = &conf->senders[i];
        snprintf(path, sizeof(path), "senders[%zu].pin_file", i);
        if (sender->pin_file)
            sender->pins = pins_read(l, conf, path, sender->pin_file, &err);
        if (sender->pins)
            err =
                pins_take(conf, sender->pins, PINS_CERTIFICATE, &sender->certs, &sender->certs_len);
    }
    return err;
}

static struct tls_cert_files cert_files_of(const struct conf_cert *cert)
{
    return (struct tls_cert_files){.cert = cert->cert, .key = cert->key};
}

static int listener_check(const struct loading *l, const struct conf *conf, size_t index)
{
    const struct conf_listener *listener = &conf->listeners[index];
    bool own = listener->certificates_len > 0;
    const struct conf_cert *certs = own ? listener->certificates : conf->tls.certificates;
    size_t len = own ? listener->certificates_len : conf->tls.certificates_len;
    struct tls_server_ctx *ctx = NULL;
    char path[PATH_TEXT], why[WHY_TEXT] = "";

    if (listener->tls == CONF_LISTENER_NONE)
        return ERR_OK;
    struct tls_cert_files *files = calloc(len, sizeof(*files));
    if (!files)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++)
        files[i] = cert_files_of(&certs[i]);
    const struct tls_server_conf server = {
        .name = listener->name,
        .profile = listener->profile,
        .min_version = listener->min_version,
        .groups = {listener->groups.items, listener->groups.len},
        .suites = {listener->suites.items, listener->suites.len},
        .certs = files,
        .certs_len = len,
        .client_cert = listener->client_cert,
        .client_ca = listener->client_ca,
    };
    int result = tls_server_ctx_new(&server, &ctx, why, sizeof(why));
    free(files);
    tls_server_ctx_free(ctx);
    if (result == ERR_NOMEM)
        return result;
    snprintf(path, sizeof(path), "listeners[%zu]", index);
    if (result != ERR_OK)
        conf_errors_add(l->errors, l->file, line_of(l, path), path, "%s", why);
    return ERR_OK;
}

static int route_check(const struct loading *l, const struct conf *conf, size_t index)
{
    const struct conf_route *route = &conf->routes[index];
    struct tls_client_ctx *ctx = NULL;
    char path[PATH_TEXT], why[WHY_TEXT] = "";

    if (!route->tls.ca && !route->tls.client.cert && route->tls.suites.len == 0)
        return ERR_OK; /* nothing of its own to try */
    const struct tls_client_conf client = {
        .profile = route->tls.profile,
        .min_version = route->tls.min_version,
        .groups = {route->tls.groups.items, route->tls.groups.len},
        .suites = {route->tls.suites.items, route->tls.suites.len},
        .names = conf_level_names(route->tls.level),
        .ca = route->tls.ca,
        .cert = route->tls.client.cert,
        .key = route->tls.client.key,
        .spki_pins = (const uint8_t(*)[32])route->tls.spki,
        .spki_pins_len = route->tls.spki_len,
        .cert_pins = (const uint8_t(*)[32])route->tls.fingerprints,
        .cert_pins_len = route->tls.fingerprints_len,
    };
    int result = tls_client_ctx_new(&client, &ctx, why, sizeof(why));
    tls_client_ctx_free(ctx);
    if (result == ERR_NOMEM)
        return result;
    snprintf(path, sizeof(path), "routes[%zu].tls", index);
    if (result != ERR_OK)
        conf_errors_add(l->errors, l->file, line_of(l, path), path, "%s", why);
    return ERR_OK;
}

/* A place where suites and groups stand, and what it has from elsewhere. */
struct choice {
    const struct conf_strings *groups, *suites;
    enum tls_version min_version;
};

/* What this system's library has is known here, not to the parser. */
static void choice_check(const struct loading *l, const struct choice *c,
                         const struct conf_tls_defaults *outer, const char *where)
{
    const struct tls_groups groups = {c->groups->items, c->groups->len};
    const struct tls_suites suites = {c->suites->items, c->suites->len};
    char path[PATH_TEXT], why[WHY_TEXT];
    bool groups_own = !outer || c->groups->items != outer->groups.items;
    bool suites_own =
        !outer || c->suites->items != outer->suites.items || c->min_version != outer->min_version;

    snprintf(path, sizeof(path), "%s.groups", where);
    if (groups_own && tls_groups_check(&groups, why, sizeof(why)) != ERR_OK)
        conf_errors_add(l->errors, l->file, line_of(l, path), path, "%s", why);
    snprintf(path, sizeof(path), "%s.suites", where);
    if (suites_own && tls_suites_check(&suites, c->min_version, why, sizeof(why)) != ERR_OK)
        conf_errors_add(l->errors, l->file, line_of(l, path), path, "%s", why);
}

static void all_choices_check(const struct loading *l, const struct conf *conf)
{
    const struct conf_tls_defaults *tls = &conf->tls;
    struct choice c = {&tls->groups, &tls->suites, tls->min_version};
    char where[PATH_TEXT];

    choice_check(l, &c, NULL, "tls");
    for (size_t i = 0; i < conf->listeners_len; i++) {
        const struct conf_listener *at = &conf->listeners[i];
        snprintf(where, sizeof(where), "listeners[%zu]", i);
        c = (struct choice){&at->groups, &at->suites, at->min_version};
        choice_check(l, &c, tls, where);
    }
    for (size_t i = 0; i < conf->routes_len; i++) {
        const struct conf_route *at = &conf->routes[i];
        snprintf(where, sizeof(where), "routes[%zu].tls", i);
        c = (struct choice){&at->tls.groups, &at->tls.suites, at->tls.min_version};
        choice_check(l, &c, tls, where);
    }
}

static int tls_files_check(const struct loading *l, const struct conf *conf)
{
    int result = ERR_OK;

    for (size_t i = 0; i < conf->listeners_len && result == ERR_OK; i++)
        result = listener_check(l, conf, i);
    for (size_t i = 0; i < conf->routes_len && result == ERR_OK; i++)
        result = route_check(l, conf, i);
    return result;
}

/* --- the list of policies --- */

enum { KEY_BYTES_MAX = 64 * 1024, SIGNATURE_BYTES_MAX = 4096 };

/* Bytes, which a signature is; text all the same for the other two. */
static bool list_file_read(const struct loading *l, const char *path, const char *name, size_t max,
                           struct buf *ret)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t n = -1;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        uint8_t *room;
        do {
            room = buf_reserve(ret, 65536);
            n = room ? read(fd, room, 65536) : -1;
            if (n > 0)
                buf_commit(ret, (size_t)n);
        } while (n > 0 && buf_len(ret) <= max);
    } else if (fd >= 0) {
        errno = EINVAL;
    }
    if (n < 0 || buf_len(ret) > max)
        conf_errors_add(l->errors, l->file, line_of(l, path), path,
                        "found that %s can't be read: %s", name,
                        n < 0 ? strerror(errno) : "it is too long");
    if (fd >= 0)
        close(fd);
    return n >= 0 && buf_len(ret) <= max;
}

static int list_take(const struct loading *l, struct conf *conf, const struct buf *list,
                     const struct buf *signature, const struct buf *key)
{
    static const char path[] = "tls.policy_list.file", signed_by[] = "tls.policy_list.signature";
    const struct conf_policy_list *at = &conf->tls.policy_list;
    char why[256];
    int err =
        tls_signature_check(buf_span(list), buf_span(signature), buf_span(key), why, sizeof(why));

    if (err) {
        conf_errors_add(l->errors, l->file, line_of(l, signed_by), signed_by,
                        "found %s (%s, %s, %s), allowed is a list that the key has signed", why,
                        at->file, at->signature, at->key);
        return ERR_OK;
    }
    err = policy_list_parse(buf_span(list), &conf->tls.policies, why, sizeof(why));
    if (err == ERR_NOMEM)
        return err;
    if (err)
        conf_errors_add(l->errors, l->file, line_of(l, path), path, "found in %s: %s", at->file,
                        why);
    return ERR_OK;
}

static int policy_list_load(const struct loading *l, struct conf *conf)
{
    const struct conf_policy_list *at = &conf->tls.policy_list;
    struct buf list, signature, key;
    int result = ERR_OK;

    if (!at->file)
        return ERR_OK;
    buf_init(&list, 0);
    buf_init(&signature, 0);
    buf_init(&key, 0);
    bool all = list_file_read(l, "tls.policy_list.file", at->file, POLICY_LIST_BYTES_MAX, &list);
    all &= list_file_read(l, "tls.policy_list.signature", at->signature, SIGNATURE_BYTES_MAX,
                          &signature);
    all &= list_file_read(l, "tls.policy_list.key", at->key, KEY_BYTES_MAX, &key);
    if (all)
        result = list_take(l, conf, &list, &signature, &key);
    buf_release(&list);
    buf_release(&signature);
    buf_release(&key);
    return result;
}

static void anchor_check(const struct loading *l, const struct conf *conf)
{
    const char *name = conf->resolver.trust_anchor;

    if (name[0] && access(name, R_OK) != 0)
        conf_errors_add(l->errors, l->file, line_of(l, "resolver.trust_anchor"),
                        "resolver.trust_anchor", "found that %s can't be read: %s", name,
                        strerror(errno));
}

/* The resolver process reads it again: here it is the administrator who hears. */
static void dkim_check(const struct loading *l, const struct conf *conf)
{
    static const char path[] = "tlsrpt.send.dkim_key";
    const char *file = conf->tlsrpt.send.dkim_key;
    struct dkim_key *key = NULL;
    char why[WHY_TEXT];

    if (file && dkim_key_load(file, &key, why, sizeof(why)) != ERR_OK)
        conf_errors_add(l->errors, l->file, line_of(l, path), path, "found that %s", why);
    dkim_key_free(key);
}

char *conf_load_read(const char *file, mode_t *ret_mode, struct conf_errors *errors)
{
    const struct loading l = {.file = file, .errors = errors};
    struct stat st;

    *errors = (struct conf_errors){0};
    char *text = file_read(&l, "", file, CONF_TEXT_MAX, &st);
    *ret_mode = text ? st.st_mode : 0;
    return text;
}

int conf_load_text(const char *text, const char *file, mode_t mode, struct conf **ret,
                   struct conf_errors *errors)
{
    const struct loading l = {.file = file, .text = text, .errors = errors};
    int result;

    *errors = (struct conf_errors){0};
    result = conf_parse(text, file, ret, errors);
    if (result != ERR_OK)
        return result;
    result = passwords_load(&l, *ret, mode);
    if (result == ERR_OK)
        result = all_users_load(&l, *ret);
    if (result == ERR_OK)
        result = all_pins_load(&l, *ret);
    size_t before = errors->count;
    if (result == ERR_OK)
        all_choices_check(&l, *ret);
    if (result == ERR_OK && errors->count == before) /* else each context would say it again */
        result = tls_files_check(&l, *ret);
    if (result == ERR_OK)
        result = policy_list_load(&l, *ret);
    if (result == ERR_OK)
        anchor_check(&l, *ret);
    if (result == ERR_OK)
        dkim_check(&l, *ret);
    if (result == ERR_OK && errors->count > 0)
        result = ERR_CONFIG;
    if (result != ERR_OK) {
        conf_free(*ret);
        *ret = NULL;
    }
    return result;
}
