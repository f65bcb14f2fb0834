/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"
#include "tls_openssl.h"

#include <stdio.h>
#include <stdlib.h>

/* --- keys: SHA-256 over values with their lengths, so that no two lists read the same --- */

/* One context serves all keys of a worker: they are made for each message. What is digested is
 * gathered first: a key has some 35 pieces, most of them of 8 bytes. */
struct hash {
    EVP_MD_CTX *md;
    size_t held_len;
    uint8_t held[512];
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
    h->held_len = 0;
    ASSERT(EVP_DigestInit_ex(h->md, NULL, NULL) == 1); /* again, with the same digest */
}

static void hash_flush(struct hash *h)
{
    ASSERT(EVP_DigestUpdate(h->md, h->held, h->held_len) == 1);
    h->held_len = 0;
}

static void hash_put(struct hash *h, const void *data, size_t len)
{
    if (len > sizeof(h->held) - h->held_len)
        hash_flush(h);
    if (len > sizeof(h->held)) {
        ASSERT(EVP_DigestUpdate(h->md, data, len) == 1);
    } else if (len > 0) {
        memcpy(h->held + h->held_len, data, len);
        h->held_len += len;
    }
}

static void hash_bytes(struct hash *h, const void *data, size_t len)
{
    uint64_t size = len;

    hash_put(h, &size, sizeof(size));
    hash_put(h, data, len);
}

static void hash_text(struct hash *h, const char *text)
{
    hash_bytes(h, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void hash_number(struct hash *h, uint64_t value)
{
    hash_bytes(h, &value, sizeof(value));
}

static void hash_texts(struct hash *h, const struct conf_strings *texts)
{
    hash_number(h, texts->len);
    for (size_t i = 0; i < texts->len; i++)
        hash_text(h, texts->items[i]);
}

static void hash_addr(struct hash *h, bool has, const union net_addr *addr)
{
    hash_bytes(h, addr, has ? net_addr_len(addr) : 0);
}

static void hash_end(struct hash *h, uint8_t out[32])
{
    hash_flush(h);
    OPENSSL_cleanse(h->held, sizeof(h->held)); /* a route's password is among it */
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
    hash_number(&h, r->tls.min_version);
    hash_texts(&h, &r->tls.suites);
    hash_texts(&h, &r->tls.groups);
    hash_text(&h, r->tls.ca);
    hash_text(&h, r->tls.client.cert);
    hash_text(&h, r->tls.client.key);
    hash_bytes(&h, r->tls.spki, r->tls.spki_len * sizeof(*r->tls.spki));
    hash_bytes(&h, r->tls.fingerprints, r->tls.fingerprints_len * sizeof(*r->tls.fingerprints));
    hash_end(&h, ret->sha256);
}

/* --- names --- */

static bool by_dane(const struct upstream_aim *aim)
{
    return aim->verdict->source == TLS_SOURCE_DANE;
}

/* RFC 7672 section 3.2.3: of usage 2, the TLSA base domain, the host, and with mx (which was secure
 * then) the domain itself. */
static void names_of_dane(const struct conf_route *r, const struct upstream_aim *aim,
                          struct upstream_names *ret)
{
    ret->made[ret->len++] = aim->tlsa->base;
    if (strcmp(aim->tlsa->base, aim->target->host) != 0)
        ret->made[ret->len++] = aim->target->host;
    if (r->mx)
        ret->made[ret->len++] = aim->domain;
}

/* DESIGN, "TLS levels": a fixed hop answers to its own name; with mx only the domain (or what the
 * administrator named) counts, never a name that insecure DNS told us. An MTA-STS policy does vouch
 * for its hosts (RFC 8461 section 4.1). */
void upstream_names_find(const struct conf_route *r, const struct upstream_aim *aim,
                         struct upstream_names *ret)
{
    ret->items = ret->made;
    ret->len = 0;
    switch (upstream_check_made(aim->verdict)) {
    case TLS_CHECK_NOTHING:
    case TLS_CHECK_PIN:
        break;
    case TLS_CHECK_DANE:
        names_of_dane(r, aim, ret);
        break;
    case TLS_CHECK_NAME:
        if (r->tls.names.len > 0) {
            ret->items = r->tls.names.items;
            ret->len = r->tls.names.len;
        } else if (r->mx && aim->verdict->source == TLS_SOURCE_ROUTE) {
            snprintf(ret->subdomains, sizeof(ret->subdomains), ".%s", aim->domain);
            ret->made[0] = aim->domain;
            ret->made[1] = ret->subdomains;
            ret->len = 2;
        } else {
            ret->made[0] = aim->target->host;
            ret->len = 1;
        }
        break;
    }
}

const char *upstream_sni(const struct conf_route *r, const struct upstream_aim *aim)
{
    if (by_dane(aim))
        return aim->tlsa->base;
    if (r->tls.sni)
        return r->tls.sni;
    return aim->target->is_addr ? NULL : aim->target->host;
}

/* --- verdicts in keys --- */

static int record_compare(const struct dns_tlsa_answer *answer, const struct dns_tlsa *a,
                          const struct dns_tlsa *b)
{
    const uint8_t a_head[] = {a->usage, a->selector, a->matching};
    const uint8_t b_head[] = {b->usage, b->selector, b->matching};
    int by_head = memcmp(a_head, b_head, sizeof(a_head));

    if (by_head != 0)
        return by_head;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(answer->data + a->at, answer->data + b->at, a->len);
}

/* A set has no order, and its server may give it another one each time. */
static void hash_tlsa(struct hash *h, const struct dns_tlsa_answer *answer)
{
    const struct dns_tlsa *sorted[DNS_TLSA_MAX];

    hash_text(h, answer->base);
    hash_number(h, answer->len);
    for (unsigned i = 0; i < answer->len; i++) {
        unsigned at = i;
        for (; at > 0 && record_compare(answer, sorted[at - 1], &answer->records[i]) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &answer->records[i];
    }
    for (unsigned i = 0; i < answer->len; i++) {
        hash_number(h, (uint64_t)sorted[i]->usage << 16 | (uint64_t)sorted[i]->selector << 8 |
                           sorted[i]->matching);
        hash_bytes(h, answer->data + sorted[i]->at, sorted[i]->len);
    }
}

static void hash_verdict(struct hash *h, const struct upstream_aim *aim)
{
    hash_number(h, aim->verdict->level);
    hash_number(h, aim->verdict->source);
    hash_number(h, aim->verdict->testing);
    hash_number(h, aim->tlsa != NULL);
    if (aim->tlsa)
        hash_tlsa(h, aim->tlsa);
    hash_text(h, aim->sts_id);
}

static void hash_session(struct hash *h, const struct upstream_route *r,
                         const struct upstream_aim *aim, const struct upstream_names *names)
{
    hash_text(h, aim->target->host);
    hash_number(h, aim->target->port);
    hash_text(h, upstream_sni(r->conf, aim));
    hash_number(h, names->len);
    for (size_t i = 0; i < names->len; i++)
        hash_text(h, names->items[i]);
    hash_bytes(h, r->policy.sha256, sizeof(r->policy.sha256));
    if (r->judged)
        hash_verdict(h, aim);
}

static const char *helo_of(const struct upstream *u, const struct conf_route *r)
{
    return r->helo ? r->helo : u->conf.conf->gateway.hostname;
}

static void pool_key_make(const struct upstream *u, const struct upstream_route *r,
                          const struct upstream_aim *aim, const struct upstream_who *who,
                          struct upstream_key *ret)
{
    struct upstream_names names;
    struct hash h;

    upstream_names_find(r->conf, aim, &names);
    hash_begin(&h, u);
    hash_session(&h, r, aim, &names);
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

void upstream_tls_request(const struct upstream_leg *leg, struct upstream_names *names,
                          struct tls_client_request *ret)
{
    const struct upstream_route *r = leg->route;
    const struct upstream_aim aim = upstream_aim_of(leg->hop);
    struct hash hash;

    upstream_names_find(r->conf, &aim, names);
    *ret =
        (struct tls_client_request){.ctx = r->ctx,
                                    .check = upstream_check_made(aim.verdict),
                                    .lenient = upstream_check_of(leg->level) == TLS_CHECK_NOTHING,
                                    .sni = upstream_sni(r->conf, &aim),
                                    .names = names->items,
                                    .names_len = names->len};
    if (ret->check == TLS_CHECK_DANE) {
        ret->tlsa = names->tlsa;
        ret->tlsa_len = tls_verdict_records(aim.tlsa, names->tlsa);
    }
    hash_begin(&hash, leg->u);
    hash_session(&hash, r, &aim, names);
    hash_end(&hash, ret->session_key);
}

void upstream_pool_key(const struct hop *h, struct upstream_key *ret)
{
    const struct upstream_route *r = h->route;

    /* What a fixed hop's key is made of does not change from message to message, unless DNS has a
     * word in it. */
    if (!r->conf->mx && !h->who && !r->judged) {
        *ret = r->keys[h->target];
        return;
    }
    const struct upstream_aim aim = upstream_aim_of(h);
    pool_key_make(h->u, r, &aim, h->who, ret);
}

/* --- routes --- */

/* Levels that are judged for each host become one of the others, or dane. */
enum tls_check upstream_check_of(enum conf_level level)
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
        return TLS_CHECK_DANE;
    case CONF_LEVEL_STS:
    case CONF_LEVEL_AUTO:
        break;
    }
    ASSERT(!"a host without a verdict");
    return TLS_CHECK_NAME;
}

enum tls_check upstream_check_made(const struct tls_verdict *verdict)
{
    enum tls_check check = upstream_check_of(verdict->level);

    return check == TLS_CHECK_NOTHING && verdict->testing ? TLS_CHECK_NAME : check;
}

bool upstream_judges_dates(const struct hop *h)
{
    const struct upstream_aim aim = upstream_aim_of(h);

    if (aim.verdict->level != CONF_LEVEL_DANE)
        return aim.verdict->level == CONF_LEVEL_VERIFY;
    /* RFC 7671 section 5.1: of usage 3 a certificate may have run out. */
    for (unsigned i = 0; i < aim.tlsa->len; i++)
        if (aim.tlsa->records[i].usage == 2)
            return true;
    return false;
}

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
        const struct upstream_aim aim = {.target = t, .verdict = &r->verdict};
        if (!r->judged)
            pool_key_make(u, r, &aim, NULL, &r->keys[i]);
    }
    return ERR_OK;
}

int upstream_route_init(const struct upstream *u, struct upstream_route *r,
                        const struct conf_route *conf, char *why, size_t why_room)
{
    struct tls_client_conf tls = {
        .profile = conf->tls.profile,
        .min_version = conf->tls.min_version,
        .groups = {conf->tls.groups.items, conf->tls.groups.len},
        .suites = {conf->tls.suites.items, conf->tls.suites.len},
        .names = conf_level_names(conf->tls.level),
        .ca = conf->tls.ca,
        .cert = conf->tls.client.cert,
        .key = conf->tls.client.key,
        .spki_pins = (const uint8_t(*)[32])conf->tls.spki,
        .spki_pins_len = conf->tls.spki_len,
        .cert_pins = (const uint8_t(*)[32])conf->tls.fingerprints,
        .cert_pins_len = conf->tls.fingerprints_len,
    };

    *r = (struct upstream_route){.conf = conf, .judged = upstream_level_judged(conf->tls.level)};
    r->verdict.level = conf->tls.level;
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

enum smtp_client_tls upstream_tls_mode(const struct conf_route *route, enum conf_level level,
                                       bool plaintext)
{
    if (level == CONF_LEVEL_NONE)
        return SMTP_CLIENT_TLS_NEVER;
    if (route->tls.mode == CONF_HOP_IMPLICIT)
        return SMTP_CLIENT_TLS_IMPLICIT;
    if (level == CONF_LEVEL_MAY)
        return plaintext ? SMTP_CLIENT_TLS_NEVER : SMTP_CLIENT_TLS_TRY;
    return SMTP_CLIENT_TLS_DEMAND;
}
