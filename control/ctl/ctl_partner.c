/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_partner.h"

#include "conf.h"
#include "ctl_pin_file.h"
#include "moment.h"
#include "tls_cert_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PARTNERS POSTERN_SYSCONFDIR "/postern/partners"

enum { DAY_S = 86400, WARN_DAYS = 30, DATE_LEN = 10 };

/* One partner while it is added. */
struct adding {
    const struct ctl_partner_request *request;
    struct arena arena;
    struct conf_pins pins, before; /* what the file had; all zeros where there is none */
    char file[PATH_MAX];
    json_t *data, *warnings;
    char *why;
    size_t why_room;
};

static void warn(struct adding *a, json_t *text)
{
    json_array_append_new(a->warnings, text);
}

static bool is_domain(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

    return text[0] != '\0' && strlen(text) <= 253 && text[strspn(text, allowed)] == '\0';
}

/* --- the pins --- */

static int pin_of_file(struct adding *a, const char *file, struct conf_pin *ret)
{
    struct tls_facts facts = {0};

    if (tls_cert_file_facts(file, &facts, a->why, a->why_room) != ERR_OK)
        return EX_DATAERR;
    memcpy(ret->spki.sha256, facts.spki_sha256, sizeof(ret->spki.sha256));
    memcpy(ret->certificate.sha256, facts.cert_sha256, sizeof(ret->certificate.sha256));
    ret->not_after = facts.not_after;
    ret->name = arena_strdup(&a->arena, span_str(facts.peer_name));
    return ret->name ? 0 : EX_OSERR;
}

static const char *date_of(int64_t at, char out[MOMENT_TEXT])
{
    moment_text(at, out);
    out[DATE_LEN] = '\0';
    return out;
}

/* file: where it came from. */
static void pin_show(struct adding *a, const struct conf_pin *pin, const char *file)
{
    char spki[CONF_PIN_TEXT], certificate[CONF_FINGERPRINT_TEXT], until[MOMENT_TEXT];
    int64_t left = pin->not_after - a->request->now, days = left < 0 ? -1 : left / DAY_S;

    date_of(pin->not_after, until);
    json_array_append_new(json_object_get(a->data, "certificates"),
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "file", file, "name",
                                    pin->name, "fingerprint",
                                    conf_fingerprint_text(&pin->certificate, certificate), "spki",
                                    conf_pin_text(&pin->spki, spki), "not_after", until,
                                    "days_left", (json_int_t)days));
    if (days < 0)
        warn(a, json_sprintf("%s: the certificate has expired on %s", file, until));
    else if (days < WARN_DAYS)
        warn(a, json_sprintf("%s: the certificate expires on %s, in %lld days: have the next "
                             "one's pin in the configuration before",
                             file, until, (long long)days));
}

static bool hash_same(const struct conf_hash *x, const struct conf_hash *y)
{
    return memcmp(x->sha256, y->sha256, sizeof(x->sha256)) == 0;
}

static int pins_make(struct adding *a)
{
    const struct ctl_partner_request *r = a->request;
    int code = 0;

    if (r->cert)
        code = pin_of_file(a, r->cert, &a->pins.current);
    else
        a->pins.current = a->before.current;
    if (!code && !a->pins.current.name) {
        snprintf(a->why, a->why_room, "%s has no current pin yet: --cert FILE is needed", a->file);
        code = EX_USAGE;
    }
    if (!code && r->next)
        code = pin_of_file(a, r->next, &a->pins.next);
    if (code)
        return code;
    a->pins.partner = r->domain;
    pin_show(a, &a->pins.current, r->cert ? r->cert : a->file);
    if (r->next)
        pin_show(a, &a->pins.next, r->next);
    if (!r->next)
        warn(a, json_string("no --next: mail will wait when the partner changes its key, "
                            "until the new pin is in the configuration"));
    else if (hash_same(&a->pins.current.spki, &a->pins.next.spki))
        warn(a, json_string("both certificates have the same key"));
    return 0;
}

/* --- the pin file --- */

static int file_name(struct adding *a)
{
    const char *given = a->request->file;
    int len = given ? snprintf(a->file, sizeof(a->file), "%s", given)
                    : snprintf(a->file, sizeof(a->file), PARTNERS "/%s.conf", a->request->domain);

    if (len < 0 || (size_t)len >= sizeof(a->file)) {
        snprintf(a->why, a->why_room, "the file's name is too long");
        return EX_USAGE;
    }
    for (char *c = a->file; !given && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    if (given || mkdir(PARTNERS, 0755) == 0 || errno == EEXIST)
        return 0;
    snprintf(a->why, a->why_room, PARTNERS " can't be made: %s", strerror(errno));
    return EX_CANTCREAT;
}

static json_t *pin_text(const struct conf_pin *pin)
{
    char spki[CONF_PIN_TEXT], until[MOMENT_TEXT];

    if (!pin->name)
        return json_string("nothing");
    return json_sprintf("%s (%s, until %s)", conf_pin_text(&pin->spki, spki), pin->name,
                        date_of(pin->not_after, until));
}

static void change_show(struct adding *a, const char *which, const struct conf_pin *before,
                        const struct conf_pin *after)
{
    bool same = before->name && after->name && hash_same(&before->certificate, &after->certificate);

    json_array_append_new(json_object_get(a->data, "changes"),
                          json_pack("{s:s, s:o, s:o, s:b}", "pin", which, "before",
                                    pin_text(before), "after", pin_text(after), "same",
                                    same || (!before->name && !after->name)));
}

/* A key that the partner may still show, and that is not taken any more. */
static void loss_warn(struct adding *a, const struct conf_pin *before)
{
    char spki[CONF_PIN_TEXT];

    if (!before->name || hash_same(&before->spki, &a->pins.current.spki) ||
        (a->pins.next.name && hash_same(&before->spki, &a->pins.next.spki)))
        return;
    warn(a, json_sprintf("%s (%s) is not among the pins any more: mail waits while the partner "
                         "shows that key",
                         conf_pin_text(&before->spki, spki), before->name));
}

static int file_change(struct adding *a)
{
    char full[PATH_MAX];
    int code = ctl_pin_file_write(a->file, &a->pins, a->why, a->why_room);

    if (code)
        return code;
    json_object_set_new(a->data, "pin_file", json_string(realpath(a->file, full) ? full : a->file));
    json_object_set_new(a->data, "changes", json_array());
    change_show(a, "current", &a->before.current, &a->pins.current);
    change_show(a, "next", &a->before.next, &a->pins.next);
    loss_warn(a, &a->before.current);
    loss_warn(a, &a->before.next);
    return 0;
}

/* --- what the configuration says --- */

/* What goes into the lists routes and senders; a test has conf_parse read it. */
static void snippets_add(struct adding *a)
{
    const char *domain = a->request->domain, *quote = a->pins.next.name ? "\", \"" : "";
    const char *file = json_string_value(json_object_get(a->data, "pin_file"));
    char spki[2][CONF_PIN_TEXT] = {"", ""}, certs[2][CONF_FINGERPRINT_TEXT] = {"", ""};
    json_t *pins, *cert_list;

    conf_pin_text(&a->pins.current.spki, spki[0]);
    conf_fingerprint_text(&a->pins.current.certificate, certs[0]);
    if (a->pins.next.name) {
        conf_pin_text(&a->pins.next.spki, spki[1]);
        conf_fingerprint_text(&a->pins.next.certificate, certs[1]);
    }
    if (file) {
        pins = json_sprintf("pin_file = \"%s\"", file);
        cert_list = json_incref(pins);
    } else {
        pins = json_sprintf("spki = [ \"%s%s%s\" ]", spki[0], quote, spki[1]);
        cert_list = json_sprintf("certs = [ \"%s%s%s\" ]", certs[0], quote, certs[1]);
    }
    json_object_set_new(a->data, "route",
                        json_sprintf("{ domain = \"%s\"; next_hop = \"mx\"; relay = true;\n"
                                     "  tls = { level = \"pin\"; %s; }; }",
                                     domain, json_string_value(pins)));
    json_object_set_new(a->data, "sender",
                        json_sprintf("{ domain = \"%s\"; level = \"verify\";\n  %s; }", domain,
                                     json_string_value(cert_list)));
    json_decref(pins);
    json_decref(cert_list);
}

static int add(struct adding *a)
{
    const struct ctl_partner_request *r = a->request;
    int code = 0;

    if (!is_domain(r->domain)) {
        snprintf(a->why, a->why_room, "%.253s is no domain: letters, digits, '-' and '.'",
                 r->domain);
        return EX_DATAERR;
    }
    if (r->write)
        code = file_name(a);
    if (!code && r->write)
        code = ctl_pin_file_read(a->file, r->domain, &a->arena, &a->before, a->why, a->why_room);
    if (!code)
        code = pins_make(a);
    if (!code && r->write)
        code = file_change(a);
    if (!code)
        snippets_add(a);
    return code;
}

json_t *ctl_partner_add(const struct ctl_partner_request *request, int *ret_exit, char *why,
                        size_t why_room)
{
    struct adding a = {.request = request, .why = why, .why_room = why_room};

    snprintf(why, why_room, "out of memory");
    *ret_exit = EX_OSERR;
    arena_init(&a.arena, 0);
    a.data = json_pack("{s:s, s:[], s:[]}", "partner", request->domain, "certificates", "warnings");
    a.warnings = json_object_get(a.data, "warnings");
    if (a.data)
        *ret_exit = add(&a);
    arena_free(&a.arena);
    if (*ret_exit == 0)
        return a.data;
    json_decref(a.data);
    return NULL;
}

/* --- for people --- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void print_changes(const json_t *data)
{
    const json_t *change;
    size_t i;

    printf("# Written: %s\n", text_of(data, "pin_file"));
    json_array_foreach(json_object_get(data, "changes"), i, change)
    {
        if (json_is_true(json_object_get(change, "same")))
            printf("#   %-7s as before: %s\n", text_of(change, "pin"), text_of(change, "after"));
        else
            printf("#   %-7s was %s\n#           is  %s\n", text_of(change, "pin"),
                   text_of(change, "before"), text_of(change, "after"));
    }
}

void ctl_print_partner(const json_t *data)
{
    bool written = text_of(data, "pin_file") != NULL;
    const json_t *cert, *warning;
    size_t i;

    json_array_foreach(json_object_get(data, "certificates"), i, cert)
    {
        printf("# %s: %s, until %s\n", i == 0 ? "now" : "next", text_of(cert, "name"),
               text_of(cert, "not_after"));
        printf("#   certificate %s\n#   public key  %s\n", text_of(cert, "fingerprint"),
               text_of(cert, "spki"));
    }
    if (written)
        print_changes(data);
    printf("# Mail to it, one of routes%s:\n%s\n", written ? " (unless it is there)" : "",
           text_of(data, "route"));
    printf("# Mail from it, one of senders%s:\n%s\n", written ? " (unless it is there)" : "",
           text_of(data, "sender"));
    if (written)
        printf("# The gateway reads the file at the next \"posternctl reload\".\n");
    json_array_foreach(json_object_get(data, "warnings"), i, warning)
    {
        fprintf(stderr, "posternctl: %s\n", json_string_value(warning));
    }
}
