/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_partner.h"

#include "base64.h"
#include "conf.h"
#include "tls_cert_file.h"

#include <stdio.h>
#include <time.h>

enum { DAY_S = 86400, WARN_DAYS = 30, PIN_TEXT = 7 + 44 + 1, CERT_TEXT = 64 + 1, SNIPPET = 1024 };

struct pins {
    char spki[2][PIN_TEXT], cert[2][CERT_TEXT];
    size_t len;
};

static void pins_add(struct pins *pins, const struct tls_facts *facts)
{
    char *spki = pins->spki[pins->len], *cert = pins->cert[pins->len];

    memcpy(spki, "sha256/", 7);
    base64_encode(span_make(facts->spki_sha256, 32), spki + 7);
    for (size_t i = 0; i < 32; i++)
        snprintf(cert + 2 * i, 3, "%02x", facts->cert_sha256[i]);
    pins->len++;
}

static void date_text(int64_t at, char out[16])
{
    time_t seconds = (time_t)at;
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        snprintf(out, 16, "?");
}

static void expiry_warn(json_t *warnings, const char *file, const char *until, int64_t days)
{
    if (days < 0)
        json_array_append_new(warnings,
                              json_sprintf("%s: the certificate has expired on %s", file, until));
    else if (days < WARN_DAYS)
        json_array_append_new(
            warnings, json_sprintf("%s: the certificate expires on %s, in %lld days: have the next "
                                   "one's pin in the configuration before",
                                   file, until, (long long)days));
}

static bool certificate_add(json_t *data, struct pins *pins, const char *file, int64_t now,
                            char *why, size_t why_room)
{
    struct tls_facts facts = {0};
    char until[16];

    if (tls_cert_file_facts(file, &facts, why, why_room) != ERR_OK)
        return false;
    int64_t left = facts.not_after - now, days = left < 0 ? -1 : left / DAY_S;
    pins_add(pins, &facts);
    date_text(facts.not_after, until);
    json_array_append_new(json_object_get(data, "certificates"),
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "file", file, "name",
                                    facts.peer_name, "fingerprint", pins->cert[pins->len - 1],
                                    "spki", pins->spki[pins->len - 1], "not_after", until,
                                    "days_left", (json_int_t)days));
    expiry_warn(json_object_get(data, "warnings"), file, until, days);
    return true;
}

static bool is_domain(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

    return text[0] != '\0' && strlen(text) <= 253 && text[strspn(text, allowed)] == '\0';
}

/* What goes into the lists routes and senders; a test has conf_parse read it. */
static void snippets_add(json_t *data, const char *domain, const struct pins *pins)
{
    bool two = pins->len == 2;
    const char *quote = two ? "\", \"" : "";

    json_object_set_new(data, "route",
                        json_sprintf("{ domain = \"%s\"; next_hop = \"mx\"; relay = true;\n"
                                     "  tls = { level = \"pin\"; spki = [ \"%s%s%s\" ]; }; }",
                                     domain, pins->spki[0], quote, two ? pins->spki[1] : ""));
    json_object_set_new(data, "sender",
                        json_sprintf("{ domain = \"%s\"; level = \"verify\";\n"
                                     "  certs = [ \"%s%s%s\" ]; }",
                                     domain, pins->cert[0], quote, two ? pins->cert[1] : ""));
}

json_t *ctl_partner_add(const char *domain, const char *cert, const char *next, int64_t now,
                        char *why, size_t why_room)
{
    struct pins pins = {.len = 0};

    if (!is_domain(domain)) {
        snprintf(why, why_room, "%.253s is no domain: letters, digits, '-' and '.'", domain);
        return NULL;
    }
    json_t *data = json_pack("{s:s, s:[], s:[]}", "partner", domain, "certificates", "warnings");
    if (!data || !certificate_add(data, &pins, cert, now, why, why_room) ||
        (next && !certificate_add(data, &pins, next, now, why, why_room))) {
        json_decref(data);
        return NULL;
    }
    if (!next)
        json_array_append_new(
            json_object_get(data, "warnings"),
            json_string("no --next: mail will wait when the partner changes its key, "
                        "until the new pin is in the configuration"));
    else if (strcmp(pins.spki[0], pins.spki[1]) == 0)
        json_array_append_new(json_object_get(data, "warnings"),
                              json_string("both certificates have the same key"));
    snippets_add(data, domain, &pins);
    return data;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

void ctl_print_partner(const json_t *data)
{
    const json_t *cert, *warning;
    size_t i;

    json_array_foreach(json_object_get(data, "certificates"), i, cert)
    {
        printf("# %s: %s, until %s\n", i == 0 ? "now" : "next", text_of(cert, "name"),
               text_of(cert, "not_after"));
        printf("#   certificate %s\n#   public key  %s\n", text_of(cert, "fingerprint"),
               text_of(cert, "spki"));
    }
    printf("# Mail to it, one of routes:\n%s\n", text_of(data, "route"));
    printf("# Mail from it, one of senders:\n%s\n", text_of(data, "sender"));
    json_array_foreach(json_object_get(data, "warnings"), i, warning)
    {
        fprintf(stderr, "posternctl: %s\n", json_string_value(warning));
    }
}
