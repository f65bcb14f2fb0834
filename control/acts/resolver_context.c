/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_context.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { UDP_MAX = 2048 }; /* sockets, where there may be twice as many files */
#define TCP_MAX "64"

#define DEBIAN_ROOT_KEY "/usr/share/dns/root.key" /* package dns-root-data, kept up to date */

/* The root's key signing keys of 2017 and 2024, as IANA publishes them (root-anchors.xml). */
static const char *const root_anchors[] = {
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

static int fail(char *why, size_t room, const char *setting, const char *value, int ub_error)
{
    snprintf(why, room, "%s: \"%s\": %s", setting, value, ub_strerror(ub_error));
    return ERR_CONFIG;
}

/* "192.0.2.1", "192.0.2.1:53", "[2001:db8::1]:53" to libunbound's "192.0.2.1@53". */
static int server_text(const char *value, uint16_t port, char out[NET_ADDR_TEXT + 8],
                       bool *ret_loopback)
{
    union net_addr addr;
    char ip[NET_ADDR_TEXT];

    if (net_addr_parse_ip(span_str(value), port, &addr) != 0 &&
        net_addr_parse(span_str(value), &addr) != 0)
        return ERR_CONFIG;
    snprintf(out, NET_ADDR_TEXT + 8, "%s@%u", net_addr_ip_text(&addr, ip),
             (unsigned)net_addr_port(&addr));
    if (net_addr_is_v6(&addr) ? IN6_IS_ADDR_LOOPBACK(&addr.v6.sin6_addr)
                              : (ntohl(addr.v4.sin_addr.s_addr) >> 24) == 127)
        *ret_loopback = true;
    return 0;
}

static int set_forward(struct ub_ctx *ctx, const struct conf_resolver *conf, bool *ret_loopback,
                       char *why, size_t why_room)
{
    for (size_t i = 0; i < conf->forward.len; i++) {
        char server[NET_ADDR_TEXT + 8];
        int err = UB_SYNTAX;
        if (server_text(conf->forward.items[i], (uint16_t)conf->port, server, ret_loopback) == 0)
            err = ub_ctx_set_fwd(ctx, server);
        if (err)
            return fail(why, why_room, "resolver.forward", conf->forward.items[i], err);
    }
    return 0;
}

/* libunbound answers for the names of RFC 6761 ("test", "home.arpa") itself, that nobody has them.
 * Whoever names a server for a zone at or below one has it. */
static int set_transparent(struct ub_ctx *ctx, const char *zone)
{
    int err = 0;

    while (zone && zone[0] && !err) {
        char local[300];
        snprintf(local, sizeof(local), "%s transparent", zone);
        err = ub_ctx_set_option(ctx, "local-zone:", local);
        zone = strchr(zone, '.');
        zone = zone ? zone + 1 : NULL;
    }
    return err;
}

static int set_stubs(struct ub_ctx *ctx, const struct conf_resolver *conf, bool *ret_loopback,
                     char *why, size_t why_room)
{
    for (size_t i = 0; i < conf->stub.len; i++) {
        const char *item = conf->stub.items[i];
        const char *equals = strchr(item, '=');
        char zone[256], server[NET_ADDR_TEXT + 8];
        int err = UB_SYNTAX;
        if (equals &&
            span_to_cstr(span_make(item, (size_t)(equals - item)), zone, sizeof(zone)) == 0 &&
            server_text(equals + 1, (uint16_t)conf->port, server, ret_loopback) == 0)
            err = ub_ctx_set_stub(ctx, zone, server, 0);
        if (!err)
            err = set_transparent(ctx, zone);
        if (err)
            return fail(why, why_room, "resolver.stub", item, err);
    }
    return 0;
}

static int set_trust(struct ub_ctx *ctx, const struct conf_resolver *conf, char *why,
                     size_t why_room)
{
    const char *file = conf->trust_anchor;
    int err = 0;

    /* An anchor at the root would win over an insecure root. */
    for (size_t i = 0; i < conf->insecure.len; i++)
        if (strcmp(conf->insecure.items[i], ".") == 0)
            return 0;
    if ((!file || !*file) && access(DEBIAN_ROOT_KEY, R_OK) == 0)
        file = DEBIAN_ROOT_KEY;
    if (file && *file) {
        if (access(file, R_OK) != 0)
            err = UB_READFILE;
        else
            err = ub_ctx_add_ta_file(ctx, file);
        if (err)
            return fail(why, why_room, "resolver.trust_anchor", file, err);
        return 0;
    }
    for (size_t i = 0; i < sizeof(root_anchors) / sizeof(root_anchors[0]) && !err; i++)
        err = ub_ctx_add_ta(ctx, root_anchors[i]);
    return err ? fail(why, why_room, "resolver.trust_anchor", "", err) : 0;
}

static int set_insecure(struct ub_ctx *ctx, const struct conf_resolver *conf, char *why,
                        size_t why_room)
{
    for (size_t i = 0; i < conf->insecure.len; i++) {
        int err = ub_ctx_set_option(ctx, "domain-insecure:", conf->insecure.items[i]);
        if (err)
            return fail(why, why_room, "resolver.insecure", conf->insecure.items[i], err);
    }
    return 0;
}

/* Of a library, libunbound expects so few look-ups that it opens 16 sockets for questions, and 2
 * for those over TCP: as many domains whose servers say nothing keep all others waiting. */
static int set_sockets(struct ub_ctx *ctx, char *why, size_t why_room)
{
    struct rlimit files;
    char text[16];
    int err;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return ERR_SYSTEM;
    snprintf(text, sizeof(text), "%u",
             files.rlim_cur / 2 < UDP_MAX ? (unsigned)files.rlim_cur / 2 : UDP_MAX);
    err = ub_ctx_set_option(ctx, "outgoing-range:", text);
    if (err)
        return fail(why, why_room, "outgoing-range", text, err);
    err = ub_ctx_set_option(ctx, "outgoing-num-tcp:", TCP_MAX);
    return err ? fail(why, why_room, "outgoing-num-tcp", TCP_MAX, err) : 0;
}

static int set_options(struct ub_ctx *ctx, const struct conf_resolver *conf, bool loopback,
                       char *why, size_t why_room)
{
    int err = 0;

    /* libunbound refuses to ask 127.0.0.0/8 unless told, for fear of loops with a daemon of its
     * own; an internal server on this host is asked because the administrator says so. */
    if (loopback)
        err = ub_ctx_set_option(ctx, "do-not-query-localhost:", "no");
    /* Reverse zones of private networks are answered by internal servers where there are some, and
     * by nobody else. */
    if (!err && (conf->forward.len > 0 || conf->stub.len > 0))
        err = ub_ctx_set_option(ctx, "unblock-lan-zones:", "yes");
    if (!err && (conf->forward.len > 0 || conf->stub.len > 0))
        err = ub_ctx_set_option(ctx, "insecure-lan-zones:", "yes");
    return err ? fail(why, why_room, "resolver", "options", err) : 0;
}

int resolver_context_new(const struct conf_resolver *conf, struct ub_ctx **ret, char *why,
                         size_t why_room)
{
    struct ub_ctx *ctx = ub_ctx_create();
    bool loopback = false;
    int err;

    *ret = NULL;
    if (!ctx) {
        snprintf(why, why_room, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    /* Its own log lines would mix with ours; what goes wrong is in each answer. */
    ub_ctx_debugout(ctx, NULL);
    /* No hosts file is no fault. */
    (void)ub_ctx_hosts(ctx, NULL);
    err = set_forward(ctx, conf, &loopback, why, why_room);
    if (!err)
        err = set_stubs(ctx, conf, &loopback, why, why_room);
    if (!err)
        err = set_trust(ctx, conf, why, why_room);
    if (!err)
        err = set_insecure(ctx, conf, why, why_room);
    if (!err)
        err = set_sockets(ctx, why, why_room);
    if (!err)
        err = set_options(ctx, conf, loopback, why, why_room);
    if (err) {
        ub_ctx_delete(ctx);
        return err;
    }
    *ret = ctx;
    return 0;
}
