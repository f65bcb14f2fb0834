/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"

#include <stdio.h>
#include <stdlib.h>

/* --- texts --- */

void upstream_why(char out[UPSTREAM_WHY], const char *format, ...)
{
    char text[UPSTREAM_WHY];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *p = text; *p; p++) /* lines of a reply */
        if (*p == '\n')
            *p = ' ';
    memcpy(out, text, sizeof(text));
}

void upstream_reply(struct smtp_reply *ret, uint16_t code, uint16_t subject, uint16_t detail,
                    const char *format, ...)
{
    char text[UPSTREAM_WHY * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ret->code = code;
    ret->enhanced = (struct smtp_enhanced){code / 100, subject, detail};
    ret->lines = 1;
    ret->len = strlen(text);
    /* A line of ours has at most 512 bytes with its codes (RFC 5321 section 4.5.3.1.5). */
    if (ret->len > 480)
        ret->len = 480;
    memcpy(ret->text, text, ret->len);
}

/* --- lifetime --- */

int upstream_new(const struct upstream_conf *conf, struct upstream **ret, char *why,
                 size_t why_room)
{
    struct upstream *u = calloc(1, sizeof(*u));
    int err = ERR_NOMEM;

    *ret = NULL;
    if (!u)
        return ERR_NOMEM;
    u->conf = *conf;
    u->limits = &conf->conf->limits;
    TAILQ_INIT(&u->hosts);
    TAILQ_INIT(&u->waiting);
    TAILQ_INIT(&u->idle);
    TAILQ_INIT(&u->recalls);
    u->recall_random = 0x9e3779b97f4a7c15; /* never 0, which it would stay */
    u->legs = calloc(conf->max_legs ? conf->max_legs : 1, sizeof(struct upstream_leg *));
    u->routes = calloc(conf->conf->routes_len + 1, sizeof(*u->routes));
    if (!u->legs || !u->routes || upstream_hash_new(&u->hash) != ERR_OK)
        goto fail;
    for (size_t i = 0; i < conf->conf->routes_len; i++) {
        err = upstream_route_init(u, &u->routes[i], &conf->conf->routes[i], why, why_room);
        if (err)
            goto fail;
    }
    *ret = u;
    return ERR_OK;
fail:
    upstream_free(u);
    return err == ERR_NOMEM ? ERR_NOMEM : ERR_CONFIG;
}

void upstream_free(struct upstream *u)
{
    if (!u)
        return;
    for (uint32_t slot = 0; u->legs && slot < u->conf.max_legs; slot++)
        if (u->legs[slot])
            leg_close(u->legs[slot], DP_CLOSE_CUT);
    ASSERT(u->legs_len == 0 && u->racers_len == 0);
    for (struct upstream_host *host = TAILQ_FIRST(&u->hosts), *next; host; host = next) {
        next = TAILQ_NEXT(host, link);
        ASSERT(host->uses == 0); /* hops are closed first */
        free(host);
    }
    for (size_t i = 0; u->routes && i < u->conf.conf->routes_len; i++)
        upstream_route_free(&u->routes[i]);
    upstream_recalls_free(u);
    upstream_hash_free(u->hash);
    free(u->routes);
    free(u->legs);
    free(u);
}

void upstream_drain(struct upstream *u)
{
    u->draining = true;
    for (uint32_t slot = 0; slot < u->conf.max_legs; slot++)
        if (u->legs[slot] && u->legs[slot]->idle)
            leg_quit(u->legs[slot]);
}

/* --- events, to their leg --- */

bool upstream_connected(struct upstream *u, struct leg_id id, int error)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (leg)
        leg_connected(leg, error);
    return leg != NULL;
}

bool upstream_received(struct upstream *u, struct leg_id id, const uint8_t *data, size_t len,
                       size_t *ret_used)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (leg)
        leg_input(leg, data, len, ret_used);
    return leg != NULL;
}

bool upstream_lost(struct upstream *u, struct leg_id id, const struct dp_lost_info *info)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (leg)
        leg_lost(leg, info);
    return leg != NULL;
}

bool upstream_writable(struct upstream *u, struct leg_id id)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (!leg)
        return false;
    leg_flush(leg);
    if (leg->hop && buf_len(&leg->out) == 0)
        leg->hop->events->writable(leg->hop->user);
    return true;
}

/* --- offers --- */

/* Whether each of its next hops proves who it is, whatever DNS says. */
static bool route_authenticates(const struct upstream_route *r)
{
    enum conf_level level = r->conf->tls.level;

    return level == CONF_LEVEL_VERIFY || level == CONF_LEVEL_PIN || level == CONF_LEVEL_DANE;
}

/* Takes back from *ret what a route's next hops, any of its list, do not have. */
static bool route_offers(const struct upstream_route *r, struct smtp_offers *ret)
{
    if (r->conf->mx)
        return false;
    for (size_t i = 0; i < r->conf->hops_len; i++) {
        const struct smtp_caps *caps = &r->caps[i];
        if (!r->seen[i])
            return false;
        ret->binarymime &= caps->binarymime && caps->chunking;
        ret->dsn &= caps->dsn;
        ret->requiretls &= caps->requiretls && route_authenticates(r);
        if (caps->size_limit && (!ret->size || caps->size_limit < ret->size))
            ret->size = caps->size_limit;
    }
    return true;
}

void upstream_offers(const struct upstream *u, const struct conf_listener *listener,
                     struct smtp_offers *ret)
{
    struct smtp_offers offers = {.binarymime = true, .dsn = true, .requiretls = true};
    bool any = false;

    *ret = (struct smtp_offers){0};
    for (size_t i = 0; i < u->conf.conf->routes_len; i++) {
        if (!conf_at_listener(&u->routes[i].conf->listeners, listener))
            continue;
        if (!route_offers(&u->routes[i], &offers))
            return;
        any = true;
    }
    if (any)
        *ret = offers;
}

/* --- status --- */

unsigned upstream_legs(const struct upstream *u)
{
    return u->legs_len;
}

void upstream_hosts(const struct upstream *u,
                    void (*row)(void *user, const struct upstream_host_status *s), void *user)
{
    uint64_t now = dp_now_ms(u->conf.dp);
    struct upstream_host *host;

    TAILQ_FOREACH (host, &u->hosts, link) {
        struct upstream_host_status s = {
            .host = host->name,
            .open = host->open,
            .idle = host->idle_len,
            .dead_for_ms = host->dead_until_ms > now ? host->dead_until_ms - now : 0,
            .last_error = host->last_error,
        };
        row(user, &s);
    }
}
