/* SPDX-License-Identifier: Apache-2.0 */
#include "expiry.h"

#include "log.h"
#include "moment.h"
#include "tls_cert_file.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const use_words[] = {
    [EXPIRY_LISTENER] = "listener",
    [EXPIRY_NEXT_HOP] = "next_hop",
    [EXPIRY_CA] = "ca",
    [EXPIRY_PIN] = "pin",
};
enum { USES = sizeof(use_words) / sizeof(use_words[0]) };

/* --- the list --- */

static bool is_known(const struct expiry_list *list, const char *file)
{
    for (uint32_t i = 0; i < list->len; i++)
        if (strcmp(list->entries[i].file, file) == 0)
            return true;
    return false;
}

/* Where the list is full, it takes the place of the one that ends last, if it ends before that. */
static void entry_add(struct expiry_list *list, enum expiry_use use, const char *file,
                      const char *name, int64_t not_after)
{
    struct expiry_entry *e = &list->entries[0];

    if (list->len < EXPIRY_MAX) {
        e = &list->entries[list->len++];
    } else {
        list->omitted++;
        for (uint32_t i = 1; i < list->len; i++)
            if (list->entries[i].not_after > e->not_after)
                e = &list->entries[i];
        if (e->not_after <= not_after)
            return;
    }
    *e = (struct expiry_entry){.not_after = not_after, .use = use};
    snprintf(e->file, sizeof(e->file), "%s", file);
    snprintf(e->name, sizeof(e->name), "%s", name);
}

static void file_add(struct expiry_list *list, enum expiry_use use, const char *file)
{
    struct tls_facts facts;
    char why[256];

    if (!file || !file[0] || is_known(list, file))
        return;
    if (tls_cert_file_first_end(file, &facts, why, sizeof(why)) == ERR_OK)
        entry_add(list, use, file, facts.peer_name, facts.not_after);
}

static void pins_add(struct expiry_list *list, const char *file, const struct conf_pins *pins)
{
    if (!pins || is_known(list, file))
        return;
    entry_add(list, EXPIRY_PIN, file, pins->current.name, pins->current.not_after);
    if (pins->next.name)
        entry_add(list, EXPIRY_PIN, file, pins->next.name, pins->next.not_after);
}

static int entry_compare(const void *a, const void *b)
{
    const struct expiry_entry *x = a, *y = b;

    return x->not_after < y->not_after ? -1 : x->not_after > y->not_after;
}

int expiry_gather(const struct conf *conf, struct expiry_list **ret)
{
    struct expiry_list *list = calloc(1, sizeof(*list));

    *ret = list;
    if (!list)
        return ERR_NOMEM;
    list->warning_days = conf->tls.expiry_warning_days;
    for (size_t i = 0; i < conf->tls.certificates_len; i++)
        file_add(list, EXPIRY_LISTENER, conf->tls.certificates[i].cert);
    for (size_t i = 0; i < conf->listeners_len; i++) {
        const struct conf_listener *l = &conf->listeners[i];
        for (size_t j = 0; j < l->certificates_len; j++)
            file_add(list, EXPIRY_LISTENER, l->certificates[j].cert);
        file_add(list, EXPIRY_CA, l->client_ca);
    }
    for (size_t i = 0; i < conf->routes_len; i++) {
        const struct conf_route *r = &conf->routes[i];
        file_add(list, EXPIRY_NEXT_HOP, r->tls.client.cert);
        file_add(list, EXPIRY_CA, r->tls.ca);
        pins_add(list, r->tls.pin_file, r->tls.pins);
    }
    for (size_t i = 0; i < conf->senders_len; i++)
        pins_add(list, conf->senders[i].pin_file, conf->senders[i].pins);
    file_add(list, EXPIRY_CA, conf->resolver.sts_ca);
    qsort(list->entries, list->len, sizeof(list->entries[0]), entry_compare);
    return ERR_OK;
}

static size_t bytes_of(uint32_t len)
{
    return offsetof(struct expiry_list, entries) + len * sizeof(struct expiry_entry);
}

int expiry_keep(const struct expiry_list *list, int fd)
{
    size_t bytes = bytes_of(list->len);

    if (pwrite(fd, list, bytes, 0) != (ssize_t)bytes ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return ERR_SYSTEM;
    return ERR_OK;
}

int expiry_read(int fd, struct expiry_list **ret)
{
    struct expiry_list *list = calloc(1, sizeof(*list));
    ssize_t n = list ? pread(fd, list, sizeof(*list), 0) : -1;
    bool sane =
        n >= (ssize_t)bytes_of(0) && list->len <= EXPIRY_MAX && (size_t)n == bytes_of(list->len);

    for (uint32_t i = 0; sane && i < list->len; i++) {
        struct expiry_entry *e = &list->entries[i];
        e->file[sizeof(e->file) - 1] = e->name[sizeof(e->name) - 1] = '\0';
        sane = e->use < USES;
    }
    *ret = sane ? list : NULL;
    if (sane)
        return ERR_OK;
    free(list);
    return !list ? ERR_NOMEM : n < 0 ? ERR_SYSTEM : ERR_SYNTAX;
}

/* --- what it says --- */

int64_t expiry_days(int64_t not_after, int64_t now)
{
    int64_t left = not_after - now;

    return left >= 0 ? left / EXPIRY_DAY_S : -((EXPIRY_DAY_S - 1 - left) / EXPIRY_DAY_S);
}

bool expiry_is_near(const struct expiry_list *list, const struct expiry_entry *e, int64_t now)
{
    return expiry_days(e->not_after, now) < (int64_t)list->warning_days;
}

static void line_begin(struct log_line *l, enum log_level expired, const char *id, int64_t days)
{
    if (days < 0)
        log_begin(l, expired, id, "certificate_expired");
    else
        log_begin(l, LOG_LEVEL_WARNING, id, "certificate_expires");
}

static void line_end(struct log_line *l, const char *name, const char *use, int64_t not_after,
                     int64_t days)
{
    char until[MOMENT_TEXT];

    log_peer(l, "name", span_str(name));
    log_str(l, "use", use);
    log_str(l, "not_after", moment_text(not_after, until));
    if (days >= 0)
        log_u64(l, "days_left", (uint64_t)days);
    log_write(l);
}

void expiry_log(const struct expiry_list *list, int64_t now, const char *id)
{
    for (uint32_t i = 0; i < list->len && expiry_is_near(list, &list->entries[i], now); i++) {
        const struct expiry_entry *e = &list->entries[i];
        int64_t days = expiry_days(e->not_after, now);
        struct log_line l;

        line_begin(&l, LOG_LEVEL_ERROR, id, days);
        log_str(&l, "file", e->file);
        line_end(&l, e->name, use_words[e->use], e->not_after, days);
    }
}

void expiry_log_peer(const char *hop, const struct tls_facts *facts, int64_t now, const char *id)
{
    int64_t days = expiry_days(facts->not_after, now);
    struct log_line l;

    line_begin(&l, LOG_LEVEL_WARNING, id, days);
    log_peer(&l, "hop", span_str(hop));
    line_end(&l, facts->peer_name, "peer", facts->not_after, days);
}

void expiry_warn(const struct expiry_list *list, int64_t now, struct conf_errors *warnings)
{
    for (uint32_t i = 0; i < list->len && expiry_is_near(list, &list->entries[i], now); i++) {
        const struct expiry_entry *e = &list->entries[i];
        int64_t days = expiry_days(e->not_after, now);
        char until[MOMENT_TEXT];

        moment_text(e->not_after, until);
        if (days < 0)
            conf_errors_add(warnings, e->file, 0, "", "the certificate %s has expired on %.10s",
                            e->name, until);
        else
            conf_errors_add(warnings, e->file, 0, "",
                            "the certificate %s expires on %.10s, in %lld days", e->name, until,
                            (long long)days);
    }
}

/* A label's value as Prometheus reads it. */
static int label_write(const char *key, const char *value, struct buf *out)
{
    int err = buf_printf(out, "%s=\"", key);

    for (; *value && !err; value++) {
        if (*value == '\n')
            err = buf_append(out, "\\n", 2);
        else if (*value == '"' || *value == '\\')
            err = buf_printf(out, "\\%c", *value);
        else
            err = buf_append(out, value, 1);
    }
    return err ? err : buf_append(out, "\"", 1);
}

/* Whether one that ends earlier has its labels, as a partner's certificate has those of the next.
 */
static bool is_shown(const struct expiry_list *list, uint32_t place)
{
    const struct expiry_entry *e = &list->entries[place];

    for (uint32_t i = 0; i < place; i++) {
        const struct expiry_entry *before = &list->entries[i];
        if (before->use == e->use && strcmp(before->file, e->file) == 0 &&
            strcmp(before->name, e->name) == 0)
            return true;
    }
    return false;
}

int expiry_write_metrics(const struct expiry_list *list, struct buf *out)
{
    static const char name[] = "postern_certificate_not_after_seconds";
    int err = buf_printf(out,
                         "# HELP %s When a certificate ends, in seconds since 1970; of a "
                         "file with several, the first.\n# TYPE %s gauge\n",
                         name, name);

    for (uint32_t i = 0; i < list->len && !err; i++) {
        const struct expiry_entry *e = &list->entries[i];
        if (is_shown(list, i))
            continue;
        err = buf_printf(out, "%s{", name);
        if (!err)
            err = label_write("file", e->file, out);
        if (!err)
            err = buf_append(out, ",", 1);
        if (!err)
            err = label_write("name", e->name, out);
        if (!err)
            err =
                buf_printf(out, ",use=\"%s\"} %lld\n", use_words[e->use], (long long)e->not_after);
    }
    return err;
}

json_t *expiry_json(const struct expiry_list *list, int64_t now)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < list->len; i++) {
        const struct expiry_entry *e = &list->entries[i];
        char until[MOMENT_TEXT];
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:s, s:s, s:I, s:b}", "file", e->file, "name",
                                        e->name, "use", use_words[e->use], "not_after",
                                        moment_text(e->not_after, until), "days_left",
                                        (json_int_t)expiry_days(e->not_after, now), "warn",
                                        expiry_is_near(list, e, now)));
    }
    return array;
}
