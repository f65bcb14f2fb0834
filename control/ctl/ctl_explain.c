/* SPDX-License-Identifier: Apache-2.0 */
/* "policy explain" and "policy probe" for people: the steps in the order in which mail takes them.
 */
#include "ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LABEL = 12, WIDTH = 96 };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static bool truth_of(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

void ctl_say(int indent, const char *label, const char *text)
{
    int column = indent + LABEL;

    printf("%*s%-*s", indent, "", LABEL, label);
    for (bool first = true; *text; first = false) {
        size_t word = strcspn(text, " ");
        if (!first && column + 1 + (int)word > WIDTH) {
            printf("\n%*s", indent + LABEL, "");
            column = indent + LABEL;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += (int)word;
        text += word;
        text += *text == ' ';
    }
    putchar('\n');
}

static void say_time(int indent, const char *label, long long seconds)
{
    time_t at = (time_t)seconds;
    char text[64];
    struct tm tm;

    gmtime_r(&at, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    ctl_say(indent, label, text);
}

/* The strings of a list, or one member of its objects, with commas. */
static void say_list(int indent, const char *label, const json_t *list, const char *none)
{
    char text[4096] = "";
    size_t used = 0, i;
    const json_t *item;

    json_array_foreach(list, i, item)
    {
        int n = snprintf(text + used, sizeof(text) - used, "%s%s", i ? ", " : "",
                         json_string_value(item) ? json_string_value(item) : "");
        used += n > 0 && used + (size_t)n < sizeof(text) ? (size_t)n : 0;
    }
    ctl_say(indent, label, *text ? text : none);
}

static const char *status_words(const json_t *answer)
{
    static const char *const words[][2] = {
        {"ok", "found"},
        {"nodata", "none"},
        {"nxdomain", "the name does not exist"},
        {"failed", "the look-up failed"},
        {"bogus", "DNSSEC finds the answer forged"},
    };
    const char *status = text_of(answer, "status");

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i][0], status) == 0)
            return words[i][1];
    return status;
}

static const char *secure_words(const json_t *answer)
{
    return truth_of(answer, "secure") ? "secure (DNSSEC proves it)" : "not secure (not signed)";
}

/* --- the steps --- */

static void print_routes(const json_t *data)
{
    const json_t *row;
    size_t i;

    printf("\nRoute, for mail that comes in at listener %s\n", text_of(data, "listener"));
    json_array_foreach(json_object_get(data, "routes"), i, row)
    {
        char head[1024];
        snprintf(head, sizeof(head), "%s to %s, level %s: %s", text_of(row, "domain"),
                 text_of(row, "next_hop"), text_of(row, "level"), text_of(row, "why"));
        ctl_say(2, truth_of(row, "taken") ? "taken" : "not taken", head);
    }
    if (number_of(data, "routes_omitted") > 0)
        printf("  and %lld more that are not taken\n", number_of(data, "routes_omitted"));
    if (truth_of(data, "needs_right"))
        ctl_say(
            2, "right",
            "It leads elsewhere: only a client with the right to relay at this listener may use "
            "it, "
            "others hear 550 5.7.1.");
    json_array_foreach(json_object_get(data, "listeners"), i, row)
    {
        char text[512];
        if (strcmp(text_of(row, "name"), text_of(data, "listener")) == 0)
            continue;
        snprintf(text, sizeof(text), "at listener %s it would be %s%s%s", text_of(row, "name"),
                 json_is_string(json_object_get(row, "route")) ? "the route for " : "no route",
                 text_of(row, "route"),
                 truth_of(row, "needs_right") ? ", with the right to relay" : "");
        ctl_say(2, "elsewhere", text);
    }
}

static void print_mx(const json_t *data)
{
    const json_t *mx = json_object_get(data, "mx"), *row;
    char text[512];
    size_t i;

    printf("\nDNS, MX records of %s\n", text_of(data, "domain"));
    if (!json_is_object(mx)) {
        ctl_say(2, "not asked", "The hosts are the route's own, or the address names one.");
        return;
    }
    snprintf(text, sizeof(text), "%s, %s", status_words(mx), secure_words(mx));
    ctl_say(2, "answer", text);
    if (strcmp(text_of(mx, "status"), "nodata") == 0)
        ctl_say(2, "so", "The domain itself is its only host (RFC 5321 section 5.1).");
    json_array_foreach(json_object_get(mx, "hosts"), i, row)
    {
        const char *host = text_of(row, "host");
        snprintf(text, sizeof(text), "%lld %s", number_of(row, "preference"),
                 *host ? host : ". (null MX: the domain takes no mail)");
        ctl_say(2, "host", text);
    }
}

static void print_sts(const json_t *data)
{
    const json_t *sts = json_object_get(data, "sts");
    char text[512];

    printf("\nMTA-STS policy of %s\n", text_of(data, "domain"));
    if (!json_is_object(sts)) {
        ctl_say(2, "not asked", "It has no say at this level, or the search ended before it.");
        return;
    }
    if (strcmp(text_of(sts, "status"), "ok") != 0) {
        snprintf(text, sizeof(text), "%s%s%s", status_words(sts), *text_of(sts, "why") ? ": " : "",
                 text_of(sts, "why"));
        ctl_say(2, "answer", text);
        return;
    }
    if (truth_of(sts, "listed"))
        snprintf(text, sizeof(text), "none of its own; the policy list has one, mode %s",
                 text_of(sts, "mode"));
    else
        snprintf(text, sizeof(text), "mode %s, id %s, %s", text_of(sts, "mode"), text_of(sts, "id"),
                 truth_of(sts, "from_cache") ? "kept from before" : "fetched now");
    ctl_say(2, "answer", text);
    say_list(2, "hosts", json_object_get(sts, "mx"), "none");
    say_time(2, "until", number_of(sts, "expires"));
    if (*text_of(sts, "why"))
        ctl_say(2, "but", text_of(sts, "why"));
}

static void print_tlsa(const json_t *tlsa)
{
    const json_t *row;
    char text[1024];
    size_t i;

    if (!tlsa)
        return;
    if (strcmp(text_of(tlsa, "status"), "ok") == 0)
        snprintf(text, sizeof(text), "secure, at base domain %s", text_of(tlsa, "base"));
    else
        snprintf(text, sizeof(text), "%s", status_words(tlsa));
    ctl_say(4, "TLSA", text);
    json_array_foreach(json_object_get(tlsa, "records"), i, row)
    {
        snprintf(text, sizeof(text), "%s%s", text_of(row, "record"),
                 truth_of(row, "usable") ? "" : " (not usable)");
        ctl_say(4, "", text);
    }
}

static const char *source_words(const char *source)
{
    return strcmp(source, "none") == 0   ? "no policy"
           : strcmp(source, "list") == 0 ? "the policy list"
                                         : source;
}

static void print_verdict(const json_t *host)
{
    const json_t *v = json_object_get(host, "verdict");
    char text[512];

    if (!v)
        return;
    if (strcmp(text_of(v, "source"), "route") == 0)
        snprintf(text, sizeof(text), "%s, as the route says", text_of(v, "level"));
    else
        snprintf(text, sizeof(text), "%s, by %s: %s", text_of(v, "level"),
                 source_words(text_of(v, "source")), text_of(v, "why"));
    ctl_say(4, "level", text);
    if (!truth_of(v, "use"))
        ctl_say(4, "so", "The host is not used.");
    if (*text_of(host, "accepts"))
        ctl_say(4, "accepted", text_of(host, "accepts"));
    if (json_object_get(host, "names"))
        say_list(4, "names", json_object_get(host, "names"), "");
}

static void print_ratchet(const json_t *ratchet)
{
    char text[512];

    if (!ratchet)
        return;
    snprintf(text, sizeof(text), "%s until %s%s; with less, mail %s", text_of(ratchet, "level"),
             text_of(ratchet, "last"),
             truth_of(ratchet, "new_host") ? ", the weakest of the domain's other hosts" : "",
             truth_of(ratchet, "hold") ? "waits" : "goes out, and the log says so");
    ctl_say(4, "before", text);
    if (*text_of(ratchet, "drop"))
        ctl_say(4, "less now", text_of(ratchet, "drop"));
}

static void print_tls(const json_t *tls)
{
    char text[1024];

    snprintf(text, sizeof(text), "%s %s %s%s", text_of(tls, "version"), text_of(tls, "suite"),
             text_of(tls, "group"), truth_of(tls, "resumed") ? ", resumed" : "");
    ctl_say(4, "TLS", text);
    snprintf(text, sizeof(text), "%s%s%s", text_of(tls, "verify"),
             *text_of(tls, "verified_by") ? ": " : "", text_of(tls, "verified_by"));
    ctl_say(4, "verified", text);
    if (json_array_size(json_object_get(tls, "names")) > 0)
        say_list(4, "certificate", json_object_get(tls, "names"), "");
    else
        ctl_say(4, "certificate", text_of(tls, "name"));
    if (number_of(tls, "not_after") > 0)
        say_time(4, "valid until", number_of(tls, "not_after"));
    ctl_say(4, "its SHA-256", text_of(tls, "cert_sha256"));
    ctl_say(4, "key's", text_of(tls, "spki_sha256"));
}

static void print_result(const json_t *host)
{
    const char *result = text_of(host, "result"), *why = text_of(host, "why");
    char text[1024];

    if (strcmp(result, "met") == 0) {
        bool tls = json_is_object(json_object_get(host, "tls"));
        snprintf(text, sizeof(text), "policy is met at %s%s%s%s", text_of(host, "address"),
                 tls ? "" : ", in plaintext", *why ? ": " : "", why);
        ctl_say(4, "result", text);
        if (tls)
            print_tls(json_object_get(host, "tls"));
        if (*text_of(host, "would_refuse")) {
            snprintf(text, sizeof(text), "in mode enforce the policy would refuse the host: %s",
                     text_of(host, "would_refuse"));
            ctl_say(4, "testing", text);
        }
    } else if (strcmp(result, "held") == 0) {
        snprintf(text, sizeof(text), "mail waits: %s", why);
        ctl_say(4, "result", text);
        if (json_is_object(json_object_get(host, "tls")))
            print_tls(json_object_get(host, "tls"));
    } else if (strcmp(result, "failed") == 0) {
        snprintf(text, sizeof(text), "%s%s%s", text_of(host, "address"),
                 *text_of(host, "address") ? ": " : "", why);
        ctl_say(4, "failed", text);
    } else if (strcmp(result, "late") == 0) {
        ctl_say(4, "not tried", *why ? why : "the time for it was over");
    }
}

static void print_host(const json_t *host)
{
    const json_t *addresses = json_object_get(host, "addresses");
    const json_t *dead = json_object_get(host, "not_tried_for_s");
    char text[512];

    printf("\n  %s port %lld\n", text_of(host, "host"), number_of(host, "port"));
    print_tlsa(json_object_get(host, "tlsa"));
    print_verdict(host);
    print_ratchet(json_object_get(host, "ratchet"));
    if (addresses) {
        say_list(4, "addresses", json_object_get(addresses, "list"), status_words(addresses));
        ctl_say(4, "", secure_words(addresses));
    }
    if (dead) {
        snprintf(text, sizeof(text),
                 "It could not be reached lately (%s): mail is not tried there for "
                 "another %lld seconds.",
                 text_of(dead, "why"), number_of(dead, "seconds"));
        ctl_say(4, "note", text);
    }
    print_result(host);
    if (*text_of(host, "advice"))
        ctl_say(4, "what to do", text_of(host, "advice"));
}

void ctl_print_explain(const json_t *data)
{
    const json_t *hosts = json_object_get(data, "hosts"), *host;
    size_t i;

    printf("Mail to %s%s\n", text_of(data, "address"),
           truth_of(data, "probe") ? ", tried without sending any" : "");
    print_routes(data);
    if (hosts) {
        print_mx(data);
        print_sts(data);
        puts("\nHosts, in the order in which mail tries them");
        json_array_foreach(hosts, i, host) print_host(host);
        if (json_array_size(hosts) == 0)
            ctl_say(2, "none", "The search ended before there was one.");
    }
    puts("\nOutcome");
    ctl_say(2, "mail", text_of(data, "outcome"));
    if (*text_of(data, "advice"))
        ctl_say(2, "what to do", text_of(data, "advice"));
}
