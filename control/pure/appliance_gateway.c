/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance_gateway.h"

#include "conf_priv.h"

#include <stdio.h>

static const char mark[] =
    "# Made by the appliance, whose console writes it anew. See postern.conf(5).\n";
/* Reserved by RFC 2606: there is no mail for it. */
static const char nowhere[] = "not-configured.invalid";

int appliance_gateway_write(const char *hostname, const struct appliance_route *routes, size_t len,
                            struct buf *out)
{
    static const struct appliance_route none = {nowhere, "not-configured.invalid:25",
                                                CONF_LEVEL_ENCRYPT};
    int err = buf_printf(out,
                         "%sgateway: { hostname = \"%s\"; };\n"
                         "tls: { certificates = ( { cert = \"" APPLIANCE_CERT
                         "\"; key = \"" APPLIANCE_KEY "\"; } ); };\n"
                         "listeners = (\n"
                         "    { name = \"internet\"; address = \"0.0.0.0:25\"; },\n"
                         "    { name = \"internet6\"; address = \"[::]:25\"; }\n"
                         ");\n"
                         "routes = (\n",
                         mark, hostname);

    if (len == 0) {
        routes = &none;
        len = 1;
    }
    for (size_t i = 0; i < len && !err; i++)
        err = buf_printf(
            out, "    { domain = \"%s\"; next_hop = \"%s\"; tls = { level = \"%s\"; }; }%s\n",
            routes[i].domain, routes[i].next_hop, conf_level_text(routes[i].level),
            i + 1 < len ? "," : "");
    return err ? err : buf_printf(out, ");\n");
}

bool appliance_gateway_is_ours(const char *text)
{
    return strncmp(text, mark, strlen(mark)) == 0;
}

static int route_read(const struct conf_route *route, struct arena *arena,
                      struct appliance_route *ret)
{
    char hop[300] = "mx";

    if (!route->mx && route->hops_len == 1)
        snprintf(hop, sizeof(hop),
                 route->hops[0].is_addr && strchr(route->hops[0].host, ':') ? "[%s]:%u" : "%s:%u",
                 route->hops[0].host, route->hops[0].port);
    ret->domain = arena_strdup(arena, span_str(route->domain));
    ret->next_hop = arena_strdup(arena, span_str(hop));
    ret->level = route->tls.level;
    return ret->domain && ret->next_hop ? ERR_OK : ERR_NOMEM;
}

/* Written again it has to be the same: else somebody has changed it. */
static int same_again(const char *text, const char *hostname, const struct appliance_route *routes,
                      size_t len)
{
    struct buf again;

    buf_init(&again, 0);
    int err = appliance_gateway_write(hostname, routes, len, &again);
    if (!err && !span_equal(buf_span(&again), span_str(text)))
        err = ERR_CONFIG;
    buf_release(&again);
    return err;
}

int appliance_gateway_read(const char *text, struct arena *arena, struct appliance_route *ret,
                           size_t room, size_t *ret_len)
{
    static struct conf_errors errors;
    struct conf *conf = NULL;
    size_t len = 0;
    int err = appliance_gateway_is_ours(text) ? conf_parse(text, "postern.conf", &conf, &errors)
                                              : ERR_CONFIG;

    *ret_len = 0;
    for (size_t i = 0; !err && i < conf->routes_len; i++) {
        if (strcmp(conf->routes[i].domain, nowhere) == 0)
            continue;
        err = len < room ? route_read(&conf->routes[i], arena, &ret[len]) : ERR_FULL;
        len += !err;
    }
    if (!err)
        err = same_again(text, conf->gateway.hostname, ret, len);
    conf_free(conf);
    *ret_len = err ? 0 : len;
    return err;
}

/* All of them go into one file, which says best what is wrong with one. */
bool appliance_route_valid(const char *domain, const char *next_hop, const char *level,
                           struct appliance_route *ret, char *why, size_t why_room)
{
    static const char *const levels[] = {"may", "encrypt", "verify", "dane", "sts", "auto"};
    static struct conf_errors errors;
    struct conf_reader r = {.file = "", .errors = &errors};
    struct arena arena;
    struct conf_hop hop;
    const char *text;
    char allowed[CONF_ALLOWED_TEXT];

    *ret = (struct appliance_route){.domain = domain, .next_hop = next_hop};
    arena_init(&arena, 0);
    r.arena = &arena;
    const struct conf_row *of_domain = conf_row_find(CONF_GROUP_ROUTE, "domain");
    const struct conf_row *of_hop = conf_row_find(CONF_GROUP_ROUTE, "next_hop");
    bool good = false;
    why[0] = '\0';
    if (strcmp(domain, "*") == 0 || conf_value_convert(&r, of_domain, domain, &text) != ERR_OK)
        snprintf(why, why_room, "a domain such as \"example.org\", or \".example.org\"");
    else if (conf_value_convert(&r, of_hop, next_hop, &hop) != ERR_OK)
        snprintf(why, why_room, "%s", conf_row_allowed(of_hop, allowed));
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]) && !why[0]; i++)
        good = good || strcmp(level, levels[i]) == 0;
    if (!good && !why[0])
        snprintf(why, why_room, "may, encrypt, verify, dane, sts or auto");
    const struct conf_word *word =
        conf_word_find(conf_row_find(CONF_GROUP_ROUTE_TLS, "level")->words, level);
    if (good)
        ret->level = (enum conf_level)word->value;
    arena_free(&arena);
    return good;
}
