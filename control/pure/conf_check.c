/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_priv.h"

#include <stdio.h>
#include <string.h>

static void certificates_finish(struct conf_cert *certificates, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!certificates[i].key)
            certificates[i].key = certificates[i].cert;
    }
}

/* --- profile hipaa: docs/policy.md has its reasons --- */

static bool suite_is_of_800_52(const char *name)
{
    return !strstr(name, "CHACHA20") && strncmp(name, "TLS_RSA_", 8) != 0;
}

static bool group_is_of_800_52(const char *name)
{
    return strncmp(name, "P-", 2) == 0 || strncmp(name, "ffdhe", 5) == 0;
}

static void hipaa_check_list(const struct conf_place *p, const char *key,
                             const struct conf_strings *list, bool (*allowed)(const char *name))
{
    for (size_t i = 0; i < list->len; i++) {
        if (!list->items[i] || allowed(list->items[i]))
            continue;
        conf_refuse(
            p, key, "with profile \"hipaa\" one that NIST SP 800-52 does not name",
            "suites with AES and an ephemeral key, and the groups P-256, P-384, P-521 and ffdhe");
        return;
    }
}

static void hipaa_check_listener(const struct conf_place *p, const struct conf_listener *l)
{
    if (l->profile != TLS_PROFILE_HIPAA)
        return;
    if (l->tls == CONF_LISTENER_NONE)
        conf_refuse(p, "tls", "\"none\" with profile \"hipaa\"", "\"starttls\" or \"implicit\"");
    if (l->tls == CONF_LISTENER_STARTTLS && !l->require_tls)
        conf_refuse(p, "require_tls", "false with profile \"hipaa\"",
                    "true, or profile = \"nist-800-52r2\" where strangers must be able to send");
    hipaa_check_list(p, "suites", &l->suites, suite_is_of_800_52);
    hipaa_check_list(p, "groups", &l->groups, group_is_of_800_52);
}

static void hipaa_check_route(const struct conf_place *p, const struct conf_route *route)
{
    enum conf_level level = route->tls.level;

    if (route->tls.profile != TLS_PROFILE_HIPAA)
        return;
    if (level != CONF_LEVEL_VERIFY && level != CONF_LEVEL_PIN && level != CONF_LEVEL_DANE &&
        level != CONF_LEVEL_STS)
        conf_refuse(p, "tls.level",
                    "with profile \"hipaa\" one that takes any certificate, or none",
                    "\"verify\", \"pin\", \"dane\" or \"sts\"");
    hipaa_check_list(p, "tls.suites", &route->tls.suites, suite_is_of_800_52);
    hipaa_check_list(p, "tls.groups", &route->tls.groups, group_is_of_800_52);
}

/* --- listeners --- */

static void listener_check_tls(const struct conf_place *p, struct conf_listener *l,
                               const struct conf_tls_defaults *tls)
{
    if (!conf_written(p, "profile"))
        l->profile = tls->profile;
    if (!conf_written(p, "min_version"))
        l->min_version = tls->min_version;
    if (!conf_written(p, "suites"))
        l->suites = tls->suites;
    if (!conf_written(p, "groups"))
        l->groups = tls->groups;
    certificates_finish(l->certificates, l->certificates_len);
    hipaa_check_listener(p, l);
    if (l->require_auth && !l->auth_users)
        conf_refuse(p, "require_auth", "true", "it with auth_users: nobody could send");
    if (l->tls == CONF_LISTENER_NONE) {
        if (l->require_tls)
            conf_refuse(p, "require_tls", "true", "false where tls is \"none\": nobody could send");
        if (l->client_cert != TLS_CLIENT_CERT_NONE)
            conf_refuse(p, "client_cert", "a demand for certificates",
                        "\"none\" where tls is \"none\": certificates need TLS");
        static const char *const of_tls[] = {"profile",     "min_version",  "suites",
                                             "groups",      "certificates", "client_ca",
                                             "relay_certs", "relay_names",  "auth_users"};
        for (size_t i = 0; i < sizeof(of_tls) / sizeof(of_tls[0]); i++)
            conf_refuse_unused(p, of_tls[i], "with tls = \"starttls\" or \"implicit\"");
        return;
    }
    if (l->certificates_len == 0 && tls->certificates_len == 0)
        conf_refuse(p, "certificates", "none, here and in tls",
                    "at least one certificate, or tls = \"none\"");
    if (l->client_cert == TLS_CLIENT_CERT_NONE) {
        conf_refuse_unused(p, "client_ca", "with client_cert = \"ask\" or \"require\"");
        conf_refuse_unused(p, "relay_certs", "with client_cert = \"ask\" or \"require\"");
    }
    if (!l->client_ca)
        conf_refuse_unused(p, "relay_names",
                           "with client_ca: without an authority a name proves nothing");
    if (l->client_cert == TLS_CLIENT_CERT_REQUIRE && l->tls == CONF_LISTENER_STARTTLS &&
        !l->require_tls)
        conf_refuse(p, "client_cert", "\"require\"",
                    "it with require_tls = true: without TLS nobody would be asked");
}

static bool address_same(const union net_addr *a, const union net_addr *b)
{
    return net_addr_same_ip(a, b) && net_addr_port(a) == net_addr_port(b);
}

static void listeners_check(struct conf_reader *r, const config_setting_t *root)
{
    struct conf *conf = r->conf;

    for (size_t i = 0; i < conf->listeners_len; i++) {
        struct conf_listener *l = &conf->listeners[i];
        struct conf_place p = conf_place_of(r, root, "listeners", i);
        listener_check_tls(&p, l, &conf->tls);
        union net_addr metrics;
        bool has_metrics = conf->gateway.metrics &&
                           net_addr_parse(span_str(conf->gateway.metrics), &metrics) == ERR_OK;
        if (l->address && net_addr_parse(span_str(l->address), &l->addr) == ERR_OK && has_metrics &&
            address_same(&l->addr, &metrics))
            conf_refuse(&p, "address", "the address of gateway.metrics", "another one");
        for (size_t j = 0; j < i; j++) {
            const struct conf_listener *other = &conf->listeners[j];
            if (l->name && other->name && strcmp(l->name, other->name) == 0)
                conf_refuse(&p, "name", "a name that an earlier listener has", "another one");
            if (l->address && other->address && address_same(&l->addr, &other->addr))
                conf_refuse(&p, "address", "an address that an earlier listener has",
                            "another one");
        }
    }
}

static const struct conf_listener *listener_find(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->listeners_len; i++) {
        if (conf->listeners[i].name && strcmp(conf->listeners[i].name, name) == 0)
            return &conf->listeners[i];
    }
    return NULL;
}

static const char *listener_nearest(const struct conf *conf, const char *name)
{
    const char *nearest = NULL;
    unsigned best = 3;

    for (size_t i = 0; i < conf->listeners_len; i++) {
        const char *known = conf->listeners[i].name;
        unsigned distance = known ? conf_distance(name, known) : best;
        if (distance < best) {
            best = distance;
            nearest = known;
        }
    }
    return nearest;
}

static void check_listener_names(const struct conf_place *p, const struct conf_strings *names)
{
    char found[128], allowed[128];

    for (size_t i = 0; i < names->len; i++) {
        const char *name = names->items[i];
        if (!name || listener_find(p->r->conf, name))
            continue;
        const char *nearest = listener_nearest(p->r->conf, name);
        snprintf(found, sizeof(found), "\"%.63s\", which no listener is called", name);
        snprintf(allowed, sizeof(allowed), "the name of one%s%.63s%s",
                 nearest ? ", perhaps \"" : "", nearest ? nearest : "", nearest ? "\"" : "");
        conf_refuse(p, "listeners", found, allowed);
    }
}

static void route_check_hops(const struct conf_place *p, struct conf_route *route)
{
    for (size_t i = 0; i < route->hops_len; i++) {
        if (route->hops[i].host && route->hops[i].port == 0)
            route->mx = true; /* conf_value.c leaves "mx" so */
    }
    if (route->mx && route->hops_len > 1)
        conf_refuse(p, "next_hop", "\"mx\" among others",
                    "\"mx\" alone, or \"host:port\" entries only");
    if (route->mx) {
        route->hops = NULL;
        route->hops_len = 0;
    } else {
        conf_refuse_unused(p, "mx_port", "with next_hop = \"mx\"");
    }
    for (size_t i = 0; i < route->hops_len; i++) {
        const struct conf_hop *hop = &route->hops[i];
        for (size_t j = 0; hop->is_addr && j < p->r->conf->listeners_len; j++) {
            if (address_same(&p->r->conf->listeners[j].addr, &hop->addr))
                conf_refuse(p, "next_hop", "the address of a listener of this gateway",
                            "another server: mail would go round in a loop");
        }
    }
}

static bool hops_have_address(const struct conf_route *route)
{
    for (size_t i = 0; i < route->hops_len; i++) {
        if (route->hops[i].is_addr)
            return true;
    }
    return false;
}

/* True where the level that is written is one of those that are taken: the rules below would only
 * judge the default in its place. */
static bool level_taken(const struct conf_place *p)
{
    const config_setting_t *level = conf_written(p, "tls.level");
    const char *text = level ? config_setting_get_string(level) : NULL;

    if (!text)
        return !level;
    const struct conf_word *word =
        conf_word_find(conf_row_find(CONF_GROUP_ROUTE_TLS, "level")->words, text);
    return word && !word->refused;
}

/* What the certificate is judged by, and who may say so. */
static void route_check_judges(const struct conf_place *p, const struct conf_route *route)
{
    enum conf_level level = route->tls.level;

    if (!conf_level_names(level))
        conf_refuse_unused(p, "tls.ca", "with level = \"verify\", \"sts\" or \"auto\"");
    if (level != CONF_LEVEL_VERIFY)
        conf_refuse_unused(p, "tls.names", "with level = \"verify\"");
    else if (route->tls.names.len == 0 && hops_have_address(route))
        conf_refuse(p, "tls.names", "none, and a next_hop that is an address",
                    "names that the certificate may carry, or host names in next_hop");
    if (level != CONF_LEVEL_PIN) {
        conf_refuse_unused(p, "tls.spki", "with level = \"pin\"");
        conf_refuse_unused(p, "tls.fingerprints", "with level = \"pin\"");
        conf_refuse_unused(p, "tls.pin_file", "with level = \"pin\"");
    } else if (route->tls.pin_file) {
        const char *alone = "one or the other: two places would say whom to trust";
        if (route->tls.spki_len > 0 || route->tls.fingerprints_len > 0)
            conf_refuse(p, "tls.pin_file", "it beside spki or fingerprints", alone);
    } else if (route->tls.spki_len == 0 && route->tls.fingerprints_len == 0) {
        conf_refuse(p, "tls.level", "\"pin\" without spki and fingerprints",
                    "it with at least one pin, or with pin_file");
    }
}

/* Whether DNSSEC can prove nothing of a name, or of what a route's domain stands for. A file of
 * anchors may have one for a zone below, so then nobody can tell here. */
static bool is_insecure(const struct conf_resolver *resolver, const char *name)
{
    struct span all = span_str(name[0] == '.' ? name + 1 : name);

    if (resolver->trust_anchor && resolver->trust_anchor[0])
        return false;
    for (size_t i = 0; i < resolver->insecure.len; i++) {
        struct span domain =
            span_str(resolver->insecure.items[i] ? resolver->insecure.items[i] : "");
        bool below = domain.len > 0 && domain.len < all.len &&
                     all.ptr[all.len - domain.len - 1] == '.' && span_ends_nocase(all, domain);
        if (below || span_equal_nocase(all, domain))
            return true;
    }
    return false;
}

/* Level dane waits for ever where nothing is ever proved. */
static void route_check_insecure(const struct conf_place *p, const struct conf_route *route)
{
    const struct conf_resolver *resolver = &p->r->conf->resolver;
    bool insecure = route->mx && route->domain && is_insecure(resolver, route->domain);

    for (size_t i = 0; i < route->hops_len; i++)
        insecure |= route->hops[i].host && is_insecure(resolver, route->hops[i].host);
    if (insecure && route->tls.level == CONF_LEVEL_DANE)
        conf_refuse(
            p, "tls.level", "\"dane\" for a host in a domain of resolver.insecure",
            "\"verify\" or \"pin\": DNSSEC proves no TLSA record there, and mail would wait for "
            "ever");
}

/* Levels that DNS and HTTPS decide need a name to ask for. */
static void route_check_asked(const struct conf_place *p, const struct conf_route *route)
{
    enum conf_level level = route->tls.level;

    if (level < CONF_LEVEL_DANE)
        return;
    conf_refuse_unused(p, "tls.sni",
                       "with a level below \"dane\": here the host's own name is asked for");
    if (level == CONF_LEVEL_STS && !route->mx)
        conf_refuse(
            p, "tls.level", "\"sts\" with a fixed next_hop",
            "it with next_hop = \"mx\": a policy of MTA-STS is about a domain's mail exchangers");
    else if (hops_have_address(route))
        conf_refuse(p, "tls.level",
                    level == CONF_LEVEL_DANE ? "\"dane\" with a next_hop that is an address"
                                             : "\"auto\" with a next_hop that is an address",
                    "it with next_hop = \"mx\" or host names: an address has no TLSA records");
}

static bool may_fall_back(enum conf_level level)
{
    return level == CONF_LEVEL_MAY || level == CONF_LEVEL_AUTO;
}

static void route_check_tls(const struct conf_place *p, struct conf_route *route,
                            const struct conf_tls_defaults *tls)
{
    if (!conf_written(p, "tls.profile"))
        route->tls.profile = tls->profile;
    if (!conf_written(p, "tls.min_version"))
        route->tls.min_version = tls->min_version;
    if (!conf_written(p, "tls.suites"))
        route->tls.suites = tls->suites;
    if (!conf_written(p, "tls.groups"))
        route->tls.groups = tls->groups;
    if (!conf_written(p, "tls.ratchet"))
        route->tls.ratchet = tls->ratchet;
    else if (!may_fall_back(route->tls.level))
        conf_refuse_unused(p, "tls.ratchet",
                           "with level \"may\" or \"auto\": others refuse what is less");
    certificates_finish(&route->tls.client, 1);
    hipaa_check_route(p, route);
    route_check_judges(p, route);
    route_check_asked(p, route);
    route_check_insecure(p, route);
    if (route->tls.level == CONF_LEVEL_NONE) {
        static const char *const of_tls[] = {"tls.mode",   "tls.profile", "tls.min_version",
                                             "tls.suites", "tls.groups",  "tls.sni",
                                             "tls.client"};
        for (size_t i = 0; i < sizeof(of_tls) / sizeof(of_tls[0]); i++)
            conf_refuse_unused(p, of_tls[i], "with a level above \"none\"");
    }
    if (may_fall_back(route->tls.level) && route->tls.mode == CONF_HOP_IMPLICIT)
        conf_refuse(p, "tls.mode", "\"implicit\" at a level that may do without TLS",
                    "level \"encrypt\" or above: a port with implicit TLS knows no plaintext");
}

static void route_check_auth(const struct conf_place *p, const struct conf_route *route)
{
    if (route->auth.mechanism == CONF_AUTH_NONE) {
        conf_refuse_unused(p, "auth.user", "with mechanism = \"plain\" or \"login\"");
        conf_refuse_unused(p, "auth.password", "with mechanism = \"plain\" or \"login\"");
        conf_refuse_unused(p, "auth.password_file", "with mechanism = \"plain\" or \"login\"");
        return;
    }
    if (!route->auth.user)
        conf_refuse(p, "auth.user", "none", "a user name where mechanism is set");
    if (!route->auth.password && !route->auth.password_file)
        conf_refuse(p, "auth.password_file", "no password", "password_file or password");
    if (route->auth.password && route->auth.password_file)
        conf_refuse(p, "auth.password", "password and password_file", "one of them");
    if (route->tls.level == CONF_LEVEL_NONE || may_fall_back(route->tls.level))
        conf_refuse(p, "auth.mechanism", "credentials on a route that may go without TLS",
                    "them with tls.level = \"encrypt\", \"verify\", \"pin\" or \"dane\"");
    if (route->mx)
        conf_refuse(p, "auth.mechanism", "credentials for whatever host DNS names",
                    "them with a fixed next_hop");
}

/* True where every listener of b is one of a. */
static bool listeners_cover(const struct conf_strings *a, const struct conf_strings *b)
{
    if (a->len == 0)
        return true;
    for (size_t i = 0; i < b->len; i++) {
        bool has = false;
        for (size_t j = 0; j < a->len && !has; j++)
            has = a->items[j] && b->items[i] && strcmp(a->items[j], b->items[i]) == 0;
        if (!has)
            return false;
    }
    return b->len > 0;
}

static void routes_check(struct conf_reader *r, const config_setting_t *root)
{
    struct conf *conf = r->conf;

    for (size_t i = 0; i < conf->routes_len; i++) {
        struct conf_route *route = &conf->routes[i];
        struct conf_place p = conf_place_of(r, root, "routes", i);
        check_listener_names(&p, &route->listeners);
        route_check_hops(&p, route);
        if (level_taken(&p)) {
            route_check_tls(&p, route, &conf->tls);
            route_check_auth(&p, route);
        }
        if (!route->domain)
            continue;
        if (strcmp(route->domain, "*") == 0)
            route->relay = true;
        for (size_t j = 0; j < i; j++) {
            const struct conf_route *earlier = &conf->routes[j];
            if (earlier->domain && strcmp(earlier->domain, route->domain) == 0 &&
                listeners_cover(&earlier->listeners, &route->listeners)) {
                conf_refuse(&p, "domain",
                            "a domain that an earlier route takes for the same listeners",
                            "one route for each domain and listener: this one would never be used");
                break;
            }
        }
    }
}

/* --- senders --- */

/* What the listeners of a rule can know of a client. */
struct knowledge {
    bool tls, cert, ca, users;
};

/* False where a listener's name is wrong, which was complained of. */
static bool listeners_know(const struct conf *conf, const struct conf_strings *names,
                           struct knowledge *ret)
{
    *ret = (struct knowledge){0};
    for (size_t i = 0; i < names->len; i++) {
        if (!names->items[i] || !listener_find(conf, names->items[i]))
            return false;
    }
    for (size_t i = 0; i < conf->listeners_len; i++) {
        const struct conf_listener *l = &conf->listeners[i];
        if (!l->name)
            return false;
        if (!conf_at_listener(names, l))
            continue;
        ret->tls |= l->tls != CONF_LISTENER_NONE;
        ret->cert |= l->client_cert != TLS_CLIENT_CERT_NONE;
        ret->ca |= l->client_ca != NULL;
        ret->users |= l->auth_users != NULL;
    }
    return true;
}

static void sender_check_listeners(const struct conf_place *p, const struct conf_sender *sender)
{
    bool certs = sender->certs_len > 0 || sender->pin_file;
    bool any = !certs && sender->names.len == 0 && sender->users.len == 0;
    bool wants_ca = sender->names.len > 0 || (sender->level == CONF_SENDER_VERIFY && any);
    struct knowledge know;

    if (!listeners_know(p->r->conf, &sender->listeners, &know))
        return;
    if (!know.tls)
        conf_refuse(p, "level", "a demand that no listener of the rule can meet",
                    "it where a listener has TLS");
    else if (!know.cert && (wants_ca || certs))
        conf_refuse(p, "level", "a rule about certificates, for which no listener of it asks",
                    "it where a listener has client_cert = \"ask\" or \"require\"");
    else if (!know.ca && wants_ca)
        conf_refuse(p, "names", "a rule about certificates that are vouched for, and no authority",
                    "certs, or it where a listener has client_ca");
    else if (!know.users && sender->users.len > 0)
        conf_refuse(p, "users", "users, and no listener of the rule where they could log in",
                    "it where a listener has auth_users");
}

static void senders_check(struct conf_reader *r, const config_setting_t *root)
{
    struct conf *conf = r->conf;

    for (size_t i = 0; i < conf->senders_len; i++) {
        const struct conf_sender *sender = &conf->senders[i];
        struct conf_place p = conf_place_of(r, root, "senders", i);
        check_listener_names(&p, &sender->listeners);
        sender_check_listeners(&p, sender);
        if (sender->pin_file && sender->certs_len > 0)
            conf_refuse(&p, "pin_file", "it beside certs",
                        "one or the other: two places would say whom to trust");
        if (!sender->domain)
            continue;
        for (size_t j = 0; j < i; j++) {
            const struct conf_sender *earlier = &conf->senders[j];
            if (earlier->domain && strcmp(earlier->domain, sender->domain) == 0 &&
                listeners_cover(&earlier->listeners, &sender->listeners)) {
                conf_refuse(&p, "domain",
                            "a domain that an earlier rule has for the same listeners",
                            "one rule for each domain and listener: this one would never be used");
                break;
            }
        }
    }
}

/* A default that is above another limit does no harm, the lower one holds; written down it is a
 * contradiction. */
static void limits_check(struct conf_reader *r, const config_setting_t *root)
{
    const struct conf_limits *l = &r->conf->limits;
    struct conf_place p = {
        .r = r, .setting = config_setting_get_member(root, "limits"), .path = "limits"};

    if (l->hop_connect_timeout_s > l->hop_budget_s && conf_written(&p, "hop_connect_timeout_s"))
        conf_refuse(&p, "hop_connect_timeout_s", "more than hop_budget_s", "at most as much");
    if (l->handshake_timeout_s > l->session_timeout_s && conf_written(&p, "handshake_timeout_s"))
        conf_refuse(&p, "handshake_timeout_s", "more than session_timeout_s", "at most as much");
    if (l->max_header > l->max_message && conf_written(&p, "max_header"))
        conf_refuse(&p, "max_header", "more than max_message", "at most as much");
}

/* A report that goes by mail is signed (RFC 8460 section 3). */
static void tlsrpt_check(struct conf_reader *r, const config_setting_t *root)
{
    const struct conf_tlsrpt_send *send = &r->conf->tlsrpt.send;
    const config_setting_t *of = config_setting_get_member(root, "tlsrpt");
    struct conf_place p = {.r = r,
                           .setting = of ? config_setting_get_member(of, "send") : NULL,
                           .path = "tlsrpt.send"};

    if (!send->from)
        return;
    if (send->submission && (!send->dkim_key || !send->dkim_selector))
        conf_refuse(&p, "submission", "a server for mail, and no key to sign it with",
                    "dkim_key and dkim_selector beside it");
    if (!send->submission) {
        conf_refuse_unused(&p, "dkim_key", "with submission");
        conf_refuse_unused(&p, "dkim_selector", "with submission");
    }
}

void conf_check(struct conf_reader *r, const config_setting_t *root)
{
    certificates_finish(r->conf->tls.certificates, r->conf->tls.certificates_len);
    listeners_check(r, root);
    routes_check(r, root);
    senders_check(r, root);
    limits_check(r, root);
    tlsrpt_check(r, root);
}
