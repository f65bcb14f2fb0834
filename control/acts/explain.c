/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_priv.h"

#include "ascii.h"
#include "smtp_address.h"

#include <stdlib.h>
#include <stdio.h>
#include <sysexits.h>

enum {
    ADDRESS_MAX = SMTP_ADDRESS_MAX + 8,
    ROUTES_OTHER = 20, /* shown, where more do not match */
    ROUTES_MAX = 200,  /* shown at all, but for the one taken */
};

struct explain {
    struct explain_request request; /* its texts are gone after explain_begin */
    const struct conf_route *route;
    struct hop *hop;
    json_t *answer, *hosts;
    bool plaintext; /* some host may have mail in it */
    bool refused;   /* some host is, by what the policy demands */
};

static void explain_free(struct explain *e)
{
    hop_close(&e->hop);
    json_decref(e->answer);
    free(e);
}

void explain_cancel(struct explain *e)
{
    explain_free(e);
}

static void tell(const struct explain_request *r, json_t *answer, int code)
{
    if (answer && json_object_set_new(answer, "exit", json_integer(code)) != 0) {
        json_decref(answer);
        answer = NULL;
    }
    r->done(r->user, answer);
}

/* --- routes --- */

static json_t *next_hop_json(const struct conf_route *route)
{
    struct buf text;
    json_t *json;

    if (route->mx)
        return json_string("mx");
    buf_init(&text, 0);
    for (size_t i = 0; i < route->hops_len; i++)
        (void)!buf_printf(&text, "%s%s:%u", i ? ", " : "", route->hops[i].host,
                          route->hops[i].port);
    json = explain_text("%.*s", (int)buf_len(&text), (const char *)buf_span(&text).ptr);
    buf_release(&text);
    return json;
}

static json_t *listener_names_json(const struct conf_route *route)
{
    json_t *list = json_array();

    for (size_t i = 0; i < route->listeners.len; i++)
        json_array_append_new(list, explain_text("%s", route->listeners.items[i]));
    return list;
}

/* Why this route takes the mail or does not. */
static json_t *route_why(const struct conf_route *route, const struct conf_route *taken,
                         const struct conf_listener *listener, struct span domain)
{
    if (route == taken)
        return explain_text("it matches, and no other is more specific or comes before it");
    if (policy_domain_fit(route->domain, domain) == 0)
        return explain_text("its domain does not match");
    if (!conf_at_listener(&route->listeners, listener))
        return explain_text("it matches, but is not for listener %s", listener->name);
    if (policy_domain_fit(route->domain, domain) < policy_domain_fit(taken->domain, domain))
        return explain_text("it matches, but \"%s\" is more specific", taken->domain);
    return explain_text("it matches, but \"%s\" comes first", taken->domain);
}

static json_t *route_json(const struct conf_route *route, const struct conf_route *taken,
                          const struct conf_listener *listener, struct span domain)
{
    return json_pack("{s:o, s:o, s:s, s:o, s:b, s:o}", "domain", explain_text("%s", route->domain),
                     "next_hop", next_hop_json(route), "level", conf_level_text(route->tls.level),
                     "listeners", listener_names_json(route), "taken", route == taken, "why",
                     route_why(route, taken, listener, domain));
}

/* Those that match, and of the others some: a thousand lines of them would say nothing more. */
static json_t *routes_json(const struct conf *conf, const struct conf_route *taken,
                           const struct conf_listener *listener, struct span domain,
                           size_t *ret_omitted)
{
    json_t *list = json_array();

    *ret_omitted = 0;
    for (size_t i = 0; i < conf->routes_len; i++) {
        const struct conf_route *route = &conf->routes[i];
        bool matches = policy_domain_fit(route->domain, domain) > 0;
        if (route != taken && json_array_size(list) >= (matches ? ROUTES_MAX : ROUTES_OTHER))
            ++*ret_omitted;
        else
            json_array_append_new(list, route_json(route, taken, listener, domain));
    }
    return list;
}

/* Where each listener would send it: they may differ, and the question may be about another. */
static json_t *listeners_json(const struct conf *conf, struct span domain)
{
    json_t *list = json_array();

    for (size_t i = 0; i < conf->listeners_len; i++) {
        bool elsewhere;
        const struct conf_route *route =
            policy_route(conf, &conf->listeners[i], domain, &elsewhere);
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:b}", "name", explain_text("%s", conf->listeners[i].name),
                            "route", route ? explain_text("%s", route->domain) : json_null(),
                            "needs_right", elsewhere));
    }
    return list;
}

/* The one that was named; else the first that has a route, else the first. NULL: no such one. */
static const struct conf_listener *listener_of(const struct conf *conf, const char *name,
                                               struct span domain)
{
    const struct conf_listener *first = name[0] ? NULL : &conf->listeners[0];
    bool elsewhere;

    for (size_t i = 0; i < conf->listeners_len; i++) {
        const struct conf_listener *l = &conf->listeners[i];
        if (name[0] ? strcmp(l->name, name) == 0
                    : policy_route(conf, l, domain, &elsewhere) != NULL)
            return l;
    }
    return first;
}

/* --- what DNS and HTTPS said of the domain --- */

static json_t *mx_json(const struct dns_mx_answer *mx)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < mx->len && i < DNS_MX_MAX; i++)
        json_array_append_new(list, json_pack("{s:i, s:o}", "preference", (int)mx->mx[i].preference,
                                              "host", explain_text("%s", mx->mx[i].host)));
    return json_pack("{s:s, s:b, s:I, s:o}", "status", explain_dns_text(mx->status), "secure",
                     mx->secure, "ttl_s", (json_int_t)mx->ttl_s, "hosts", list);
}

static json_t *sts_json(const struct sts_answer *sts)
{
    json_t *list = json_array();
    bool has = sts->status == DNS_OK;

    for (unsigned i = 0; has && i < sts->mx_len && i < STS_MX_MAX; i++)
        json_array_append_new(list, explain_text("%s", sts->mx[i]));
    return json_pack(
        "{s:s, s:b, s:s, s:o, s:I, s:b, s:o, s:o}", "status", explain_dns_text(sts->status),
        "listed", sts->listed, "mode", has ? sts_mode_text(sts->mode) : "none", "id",
        explain_text("%s", has ? sts->id : ""), "expires", (json_int_t)(has ? sts->expires : 0),
        "from_cache", sts->from_cache, "mx", list, "why", explain_text("%s", sts->why));
}

/* --- how it ends --- */

static int exit_of(const struct explain *e, const struct upstream_probe_end *end)
{
    if (end->failure->code == 0)
        return 0;
    if (e->refused)
        return EX_NOPERM;
    return end->failure->code >= 500 ? EX_NOHOST : EX_TEMPFAIL;
}

static json_t *outcome_json(const struct explain *e, const struct upstream_probe_end *end)
{
    const struct smtp_reply *r = end->failure;
    bool plain = e->plaintext;

    if (r->code >= 500)
        return explain_text("No host is left. The sender hears: %u %u.%u.%u %.*s. The message goes "
                            "back to its author.",
                            r->code, r->enhanced.class, r->enhanced.subject, r->enhanced.detail,
                            (int)r->len, r->text);
    if (r->code != 0)
        return explain_text("No host is left. The sender hears: %u %u.%u.%u %.*s. It keeps the "
                            "message and tries again; nothing of it crosses meanwhile.",
                            r->code, r->enhanced.class, r->enhanced.subject, r->enhanced.detail,
                            (int)r->len, r->text);
    if (end->connects)
        return explain_text("Mail goes to the first host that met its level.");
    return explain_text("Mail goes to the first host that meets its level%s. If none does, the "
                        "sender hears 451 with the reason, keeps the message and tries again.",
                        plain ? ", in plaintext where level may lets it" : "");
}

/* Where there was no host to say it of. */
static const char *domain_advice(const struct smtp_reply *failure)
{
    if (failure->code >= 500)
        return "See how the domain is written. If it is right, it has no mail server, and its "
               "owner "
               "alone can change that.";
    return "See that the servers of resolver.forward and resolver.stub answer for this domain, and "
           "that its MX records do not lead to this gateway.";
}

static void on_host(void *user, const struct upstream_probe_host *host)
{
    struct explain *e = user;
    bool tls_failed = host->result == UPSTREAM_PROBE_FAILED &&
                      (host->phase == SMTP_PHASE_TLS || host->phase == SMTP_PHASE_STARTTLS);

    e->refused |= tls_failed || host->result == UPSTREAM_PROBE_HELD ||
                  (host->result == UPSTREAM_PROBE_SKIPPED && !host->verdict->failed);
    e->plaintext |=
        host->verdict && host->verdict->use == TLS_USE &&
        (host->verdict->level == CONF_LEVEL_MAY || host->verdict->level == CONF_LEVEL_NONE);
    json_array_append_new(e->hosts, explain_host_json(e->route, host));
}

static void on_done(void *user, const struct upstream_probe_end *end)
{
    struct explain *e = user;
    const struct explain_request request = e->request;
    json_t *answer = json_incref(e->answer);
    int code = exit_of(e, end);

    json_object_set_new(answer, "mx", end->mx ? mx_json(end->mx) : json_null());
    json_object_set_new(answer, "sts", end->sts ? sts_json(end->sts) : json_null());
    json_object_set_new(answer, "outcome", outcome_json(e, end));
    if (end->failure->code != 0 && json_array_size(e->hosts) == 0)
        json_object_set_new(answer, "advice", json_string(domain_advice(end->failure)));
    explain_free(e);
    tell(&request, answer, code);
}

static const struct upstream_probe_events events = {.host = on_host, .done = on_done};

/* --- its beginning --- */

static void refuse(const struct explain_request *r, int code, json_t *text)
{
    tell(r, json_pack("{s:o}", "error", text), code);
}

/* The domain that mail to the address is routed by. */
static int domain_of(const struct explain_request *r, char ret[SMTP_DOMAIN_MAX + 1])
{
    char line[ADDRESS_MAX];
    struct smtp_rcpt rcpt;
    int len = snprintf(line, sizeof(line), "TO:<%s>", r->address);

    if (len < 0 || (size_t)len >= sizeof(line) || strpbrk(r->address, "<> \r\n"))
        return ERR_SYNTAX;
    int err = smtp_parse_rcpt(span_str(line), true, &rcpt);
    if (!err && rcpt.domain.len == 0)
        return span_to_cstr(span_str(r->conf->gateway.hostname), ret, SMTP_DOMAIN_MAX + 1);
    return err ? err : smtp_domain_ascii(rcpt.domain, ret);
}

static void no_route(const struct explain_request *r, json_t *answer)
{
    json_object_set_new(
        answer, "outcome",
        explain_text(
            "No route takes it: the sender hears 550 5.7.1 and the message goes back to its "
            "author. Add a route for the domain to the configuration, or this listener to "
            "the listeners of one that matches; then reload."));
    tell(r, answer, EX_NOPERM);
}

static void begin(const struct explain_request *r, const char *domain, json_t *answer,
                  const struct conf_route *route, struct explain **ret)
{
    struct explain *e = calloc(1, sizeof(*e));

    if (!e) {
        json_decref(answer);
        tell(r, NULL, EX_OSERR);
        return;
    }
    e->request = *r;
    e->route = route;
    e->answer = answer;
    e->hosts = json_array();
    json_object_set_new(answer, "hosts", e->hosts);
    ascii_lower_all((char *)domain); /* as the transaction of a message has it */
    if (upstream_probe_open(r->upstream, route, domain, r->probe, &events, e, &e->hop) != ERR_OK) {
        explain_free(e);
        tell(r, NULL, EX_OSERR);
        return;
    }
    *ret = e;
}

void explain_begin(const struct explain_request *r, struct explain **ret)
{
    char domain[SMTP_DOMAIN_MAX + 1];
    bool elsewhere;

    *ret = NULL;
    if (domain_of(r, domain) != ERR_OK) {
        refuse(r, EX_USAGE,
               explain_text("\"%s\" is no mail address; write user@domain", r->address));
        return;
    }
    struct span name = span_str(domain);
    const struct conf_listener *listener = listener_of(r->conf, r->listener, name);
    if (!listener) {
        refuse(
            r, EX_USAGE,
            explain_text("there is no listener \"%s\"; posternctl status lists them", r->listener));
        return;
    }
    const struct conf_route *route = policy_route(r->conf, listener, name, &elsewhere);
    size_t omitted;
    json_t *routes = routes_json(r->conf, route, listener, name, &omitted);
    json_t *answer = json_pack("{s:o, s:s, s:b, s:o, s:o, s:o, s:I, s:b}", "address",
                               explain_text("%s", r->address), "domain", domain, "probe", r->probe,
                               "listener", explain_text("%s", listener->name), "listeners",
                               listeners_json(r->conf, name), "routes", routes, "routes_omitted",
                               (json_int_t)omitted, "needs_right", elsewhere);
    if (!answer)
        tell(r, NULL, EX_OSERR);
    else if (!route)
        no_route(r, answer);
    else
        begin(r, domain, answer, route, ret);
}
