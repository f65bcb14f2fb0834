/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"
#include "tls_openssl.h"

#include <stdio.h>
#include <stdlib.h>

/* --- keys: SHA-256 over values with their lengths, so that no two lists read the same --- */

/* One context serves all keys of a worker: they are made for each message. */
struct hash {
    EVP_MD_CTX *md;
};

int upstream_hash_new(struct evp_md_ctx_st **ret)
{
    *ret = EVP_MD_CTX_new();
    if (*ret && EVP_DigestInit_ex(*ret, EVP_sha256(), NULL) == 1)
        return ERR_OK;
    EVP_MD_CTX_free(*ret);
    *ret = NULL;
    return ERR_NOMEM;
}

void upstream_hash_free(struct evp_md_ctx_st *md)
{
    EVP_MD_CTX_free(md);
}

static void hash_begin(struct hash *h, const struct upstream *u)
{
    h->md = u->hash;
    ASSERT(EVP_DigestInit_ex(h->md, NULL, NULL) == 1); /* again, with the same digest */
}

static void hash_bytes(struct hash *h, const void *data, size_t len)
{
    uint64_t size = len;

    ASSERT(EVP_DigestUpdate(h->md, &size, sizeof(size)) == 1);
    ASSERT(EVP_DigestUpdate(h->md, data, len) == 1);
}

static void hash_text(struct hash *h, const char *text)
{
    hash_bytes(h, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void hash_number(struct hash *h, uint64_t value)
{
    hash_bytes(h, &value, sizeof(value));
}

static void hash_addr(struct hash *h, bool has, const union net_addr *addr)
{
    hash_bytes(h, addr, has ? net_addr_len(addr) : 0);
}

static void hash_end(struct hash *h, uint8_t out[32])
{
    ASSERT(EVP_DigestFinal_ex(h->md, out, NULL) == 1);
}

static void policy_hash(const struct upstream *u, const struct conf_route *r,
                        struct upstream_key *ret)
{
    struct hash h;

    hash_begin(&h, u);
    hash_number(&h, r->tls.level);
    hash_number(&h, r->tls.mode);
    hash_number(&h, r->tls.profile);
    hash_number(&h, r->tls.groups.len);
    for (size_t i = 0; i < r->tls.groups.len; i++)
        hash_text(&h, r->tls.groups.items[i]);
    hash_text(&h, r->tls.ca);
    hash_text(&h, r->tls.client.cert);
    hash_text(&h, r->tls.client.key);
    hash_bytes(&h, r->tls.spki, r->tls.spki_len * sizeof(*r->tls.spki));
    hash_bytes(&h, r->tls.fingerprints, r->tls.fingerprints_len * sizeof(*r->tls.fingerprints));
    hash_end(&h, ret->sha256);
}

/* --- names --- */

/* DESIGN, "TLS levels": a fixed hop answers to its own name; with mx only the domain (or what the
 * administrator named) counts, never a name that insecure DNS told us. */
static void names_find(const struct conf_route *r, const struct upstream_target *target,
                       const char *domain, struct upstream_names *ret)
{
    ret->items = r->tls.names.items;
    ret->len = r->tls.names.len;
    if (ret->len > 0 || r->tls.level != CONF_LEVEL_VERIFY)
        return;
    ret->items = ret->made;
    if (r->mx) {
        snprintf(ret->subdomains, sizeof(ret->subdomains), ".%s", domain);
        ret->made[0] = domain;
        ret->made[1] = ret->subdomains;
        ret->len = 2;
    } else {
        ret->made[0] = target->host;
        ret->len = 1;
    }
}

static const char *sni_of(const struct conf_route *r, const struct upstream_target *target)
{
    if (r->tls.sni)
        return r->tls.sni;
    return target->is_addr ? NULL : target->host;
}

static void hash_session(struct hash *h, const struct upstream_route *r,
                         const struct upstream_target *target, const struct upstream_names *names)
{
    hash_text(h, target->host);
    hash_number(h, target->port);
    hash_text(h, sni_of(r->conf, target));
    hash_number(h, names->len);
    for (size_t i = 0; i < names->len; i++)
        hash_text(h, names->items[i]);
    hash_bytes(h, r->policy.sha256, sizeof(r->policy.sha256));
}

static const char *helo_of(const struct upstream *u, const struct conf_route *r)
{
    return r->helo ? r->helo : u->conf.conf->gateway.hostname;
}

static void pool_key_make(const struct upstream *u, const struct upstream_route *r,
                          const struct upstream_target *target, const char *domain,
                          const struct upstream_who *who, struct upstream_key *ret)
{
    struct upstream_names names;
    struct hash h;

    names_find(r->conf, target, domain, &names);
    hash_begin(&h, u);
    hash_session(&h, r, target, &names);
    hash_text(&h, helo_of(u, r->conf));
    hash_addr(&h, r->conf->has_source4, &r->conf->source4);
    hash_addr(&h, r->conf->has_source6, &r->conf->source6);
    hash_number(&h, r->conf->auth.mechanism);
    hash_text(&h, r->conf->auth.user);
    hash_text(&h, r->conf->auth.password);
    /* A leg that speaks for one client is never another's. */
    hash_number(&h, who != NULL);
    if (who) {
        hash_text(&h, who->name);
        hash_text(&h, who->helo);
        hash_addr(&h, true, &who->addr);
        hash_number(&h, who->speaks_for.esmtp);
    }
    hash_end(&h, ret->sha256);
}

static enum tls_check check_of(enum conf_level level)
{
    switch (level) {
    case CONF_LEVEL_NONE:
    case CONF_LEVEL_MAY:
    case CONF_LEVEL_ENCRYPT:
        return TLS_CHECK_NOTHING;
    case CONF_LEVEL_VERIFY:
        return TLS_CHECK_NAME;
    case CONF_LEVEL_PIN:
        return TLS_CHECK_PIN;
    case CONF_LEVEL_DANE:
    case CONF_LEVEL_STS:
    case CONF_LEVEL_AUTO:
        break;
    }
    return TLS_CHECK_NAME;
}

void upstream_tls_request(const struct upstream_leg *leg, struct upstream_names *names,
                          struct tls_client_request *ret)
{
    const struct hop *h = leg->hop;
    const struct upstream_route *r = leg->route;
    const struct upstream_target *target = &h->targets[h->target];
    struct hash hash;

    names_find(r->conf, target, h->txn->domain, names);
    *ret = (struct tls_client_request){.ctx = r->ctx,
                                       .check = check_of(r->conf->tls.level),
                                       .sni = sni_of(r->conf, target),
                                       .names = names->items,
                                       .names_len = names->len};
    hash_begin(&hash, leg->u);
    hash_session(&hash, r, target, names);
    hash_end(&hash, ret->session_key);
}

void upstream_pool_key(const struct hop *h, struct upstream_key *ret)
{
    const struct upstream_route *r = h->route;

    /* What a fixed hop's key is made of does not change from message to message. */
    if (!r->conf->mx && !h->who)
        *ret = r->keys[h->target];
    else
        pool_key_make(h->u, r, &h->targets[h->target], h->txn->domain, h->who, ret);
}

/* --- routes --- */

static int route_targets(const struct upstream *u, struct upstream_route *r)
{
    size_t len = r->conf->hops_len;

    if (len == 0)
        return ERR_OK;
    r->targets = calloc(len, sizeof(*r->targets));
    r->keys = calloc(len, sizeof(*r->keys));
    r->caps = calloc(len, sizeof(*r->caps));
    r->seen = calloc(len, sizeof(*r->seen));
    if (!r->targets || !r->keys || !r->caps || !r->seen)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++) {
        const struct conf_hop *hop = &r->conf->hops[i];
        struct upstream_target *t = &r->targets[i];
        int err = span_to_cstr(span_str(hop->host), t->host, sizeof(t->host));
        if (err)
            return ERR_CONFIG;
        t->port = hop->port;
        t->is_addr = hop->is_addr;
        t->addr = hop->addr;
        if (t->is_addr)
            net_addr_set_port(&t->addr, t->port);
        pool_key_make(u, r, t, NULL, NULL, &r->keys[i]);
    }
    return ERR_OK;
}

int upstream_route_init(const struct upstream *u, struct upstream_route *r,
                        const struct conf_route *conf, char *why, size_t why_room)
{
    struct tls_client_conf tls = {
        .profile = conf->tls.profile,
        .groups = {conf->tls.groups.items, conf->tls.groups.len},
        .names = check_of(conf->tls.level) == TLS_CHECK_NAME,
        .ca = conf->tls.ca,
        .cert = conf->tls.client.cert,
        .key = conf->tls.client.key,
        .spki_pins = (const uint8_t(*)[32])conf->tls.spki,
        .spki_pins_len = conf->tls.spki_len,
        .cert_pins = (const uint8_t(*)[32])conf->tls.fingerprints,
        .cert_pins_len = conf->tls.fingerprints_len,
    };

    *r = (struct upstream_route){.conf = conf};
    policy_hash(u, conf, &r->policy);
    int err = route_targets(u, r);
    if (!err && conf->tls.level != CONF_LEVEL_NONE)
        err = tls_client_ctx_new(&tls, &r->ctx, why, why_room);
    else if (err)
        snprintf(why, why_room, "route for %s: %s", conf->domain, err_text(err));
    return err;
}

void upstream_route_free(struct upstream_route *r)
{
    tls_client_ctx_free(r->ctx);
    free(r->targets);
    free(r->keys);
    free(r->caps);
    free(r->seen);
}

enum smtp_client_tls upstream_tls_mode(const struct conf_route *route, bool plaintext)
{
    if (route->tls.level == CONF_LEVEL_NONE)
        return SMTP_CLIENT_TLS_NEVER;
    if (route->tls.mode == CONF_HOP_IMPLICIT)
        return SMTP_CLIENT_TLS_IMPLICIT;
    if (route->tls.level == CONF_LEVEL_MAY)
        return plaintext ? SMTP_CLIENT_TLS_NEVER : SMTP_CLIENT_TLS_TRY;
    return SMTP_CLIENT_TLS_DEMAND;
}
