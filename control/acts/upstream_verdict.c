/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "policy_list.h"

#include <stdio.h>
#include <stdlib.h>

bool upstream_level_judged(enum conf_level level)
{
    return level == CONF_LEVEL_DANE || level == CONF_LEVEL_STS || level == CONF_LEVEL_AUTO;
}

int upstream_verdict_begin(struct hop *h)
{
    const struct upstream_route *r = h->route;

    if (!r->judged) {
        h->verdict = &r->verdict;
        return ERR_OK;
    }
    h->said = calloc(1, sizeof(*h->said));
    if (!h->said)
        return ERR_NOMEM;
    h->said->mx_secure = !r->conf->mx;
    return ERR_OK;
}

/* --- what was said --- */

/* Of what could not be asked, or not kept for want of memory: nothing may count as unasked, nor a
 * policy as one that could not be fetched, for the domain may have one that is known. */
static const struct dns_tlsa_answer tlsa_unknown = {.status = DNS_FAILED};
static const struct sts_answer sts_unknown = {.status = DNS_BOGUS,
                                              .why = "too many questions at once"};
static const struct sts_answer sts_none = {.status = DNS_NODATA};

static void tlsa_free(const struct dns_tlsa_answer *answer)
{
    if (answer != &tlsa_unknown)
        free((void *)answer);
}

static void sts_free(const struct sts_answer *answer)
{
    if (answer != &sts_unknown && answer != &sts_none)
        free((void *)answer);
}

static const struct dns_tlsa_answer *tlsa_copy(const struct dns_tlsa_answer *answer)
{
    size_t used = 0;

    for (unsigned i = 0; i < answer->len; i++) {
        size_t end = (size_t)answer->records[i].at + answer->records[i].len;
        used = end > used ? end : used;
    }
    const size_t len = offsetof(struct dns_tlsa_answer, data) + used;
    void *copy = malloc(len);
    if (!copy)
        return &tlsa_unknown;
    return memcpy(copy, answer, len);
}

static const struct sts_answer *sts_copy(const struct sts_answer *answer)
{
    const size_t len = offsetof(struct sts_answer, mx) + answer->mx_len * sizeof(answer->mx[0]);
    void *copy = malloc(len);

    if (!copy)
        return &sts_unknown;
    return memcpy(copy, answer, len);
}

void upstream_said_free(struct upstream_said *said)
{
    if (!said)
        return;
    tlsa_free(said->tlsa);
    sts_free(said->sts);
    free(said);
}

struct upstream_said *upstream_said_copy(const struct upstream_said *said)
{
    struct upstream_said *copy = malloc(sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *said;
    if (said->tlsa)
        copy->tlsa = tlsa_copy(said->tlsa);
    if (said->sts)
        copy->sts = sts_copy(said->sts);
    if (copy->tlsa == &tlsa_unknown || copy->sts == &sts_unknown) {
        upstream_said_free(copy);
        return NULL;
    }
    return copy;
}

static void sts_set(struct hop *h, const struct sts_answer *answer)
{
    sts_free(h->said->sts);
    h->said->sts = answer;
    upstream_recall_limit(h, answer->status, answer->ttl_s);
}

static void tlsa_set(struct hop *h, const struct dns_tlsa_answer *answer)
{
    tlsa_free(h->said->tlsa);
    h->said->tlsa = answer;
    h->said->tlsa_of = h->target + 1;
    upstream_recall_limit(h, answer->status, answer->ttl_s);
}

void upstream_verdict_mx(struct hop *h, bool secure)
{
    if (h->said)
        h->said->mx_secure = secure;
}

void upstream_verdict_literal(struct hop *h)
{
    if (h->said)
        sts_set(h, &sts_none);
}

/* --- the domain --- */

/* What the domain does not say itself, or nobody can fetch, a list of policies may know: it is
 * there for the time before a policy was ever seen, and gives way to one (EFF's USAGE.md). */
static bool list_knows(const struct hop *h, const struct sts_answer *own, struct sts_answer *ret)
{
    const struct policy_list *list = h->u->conf.conf->tls.policies;
    int64_t now = (int64_t)(dp_wall_us(h->u->conf.dp) / 1000000);

    if (!list || h->route->conf->tls.level != CONF_LEVEL_AUTO ||
        (own->status != DNS_NODATA && own->status != DNS_NXDOMAIN && own->status != DNS_FAILED))
        return false;
    *ret = *own;
    return policy_list_find(list, h->txn->domain, now, ret);
}

static void on_sts(void *user, const struct sts_answer *answer)
{
    struct sts_answer listed;
    struct hop *h = user;

    h->question = NULL;
    sts_set(h, sts_copy(list_knows(h, answer, &listed) ? &listed : answer));
    upstream_dial_turn(h);
}

bool upstream_verdict_domain(struct hop *h)
{
    struct resolver *resolver = h->u->conf.resolver;

    if (!h->said || !h->route->conf->mx || !tls_verdict_wants_sts(h->route->conf->tls.level))
        return false;
    if (resolver->ops->sts(resolver, h->txn->domain, on_sts, h, &h->question) == ERR_OK)
        return true;
    h->question = NULL;
    sts_set(h, &sts_unknown);
    return false;
}

/* --- a host --- */

static void verdict_make(struct hop *h)
{
    struct upstream_said *said = h->said;
    const struct upstream_target *t = &h->targets[h->target];
    bool asked = said->tlsa_of == h->target + 1;

    tls_verdict_make(h->route->conf->tls.level, said->mx_secure && !t->is_addr, t->host,
                     asked ? said->tlsa : NULL, said->sts, &said->verdict);
    h->verdict = &said->verdict;
}

static void on_tlsa(void *user, const struct dns_tlsa_answer *answer)
{
    struct hop *h = user;

    h->question = NULL;
    tlsa_set(h, tlsa_copy(answer));
    upstream_dial_turn(h);
}

bool upstream_verdict_host(struct hop *h)
{
    struct resolver *resolver = h->u->conf.resolver;
    const struct upstream_target *t = &h->targets[h->target];

    if (!h->said)
        return false;
    if (h->said->tlsa_of != h->target + 1 && !t->is_addr &&
        tls_verdict_wants_tlsa(h->route->conf->tls.level, h->said->mx_secure)) {
        if (resolver->ops->tlsa(resolver, t->host, t->port, on_tlsa, h, &h->question) == ERR_OK)
            return true;
        h->question = NULL;
        tlsa_set(h, &tlsa_unknown);
    }
    verdict_make(h);
    return false;
}

const char *upstream_verdict_sts_id(const struct hop *h)
{
    const struct tls_verdict *v = h->verdict;

    if (!v || (v->source != TLS_SOURCE_STS && !v->testing) || !h->said->sts)
        return NULL;
    return h->said->sts->listed ? NULL : h->said->sts->id;
}

const char *upstream_verdict_refusal(const struct tls_verdict *verdict, const struct tls_facts *tls)
{
    if (!verdict || !verdict->testing)
        return NULL;
    if (verdict->unlisted)
        return "the policy does not list the host";
    if (!tls)
        return "there was no TLS";
    return tls->verify == TLS_VERIFY_FAILED ? tls->verify_text : NULL;
}

struct upstream_aim upstream_aim_of(const struct hop *h)
{
    return (struct upstream_aim){
        .target = &h->targets[h->target],
        .domain = h->txn->domain,
        .verdict = h->verdict,
        .tlsa = h->verdict->source == TLS_SOURCE_DANE ? h->said->tlsa : NULL,
        .sts_id = upstream_verdict_sts_id(h),
    };
}
