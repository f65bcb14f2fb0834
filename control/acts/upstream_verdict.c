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
    /* At once: where memory ends later, nothing that was asked may count as unasked. */
    h->said = malloc(sizeof(*h->said));
    if (!h->said)
        return ERR_NOMEM;
    h->said->has_sts = false;
    h->said->sts.id[0] = '\0';
    h->said->sts.listed = false;
    h->said->sts.fault = STS_FAULT_NONE;
    h->said->tlsa_of = 0;
    h->said->mx_secure = !r->conf->mx;
    return ERR_OK;
}

void upstream_verdict_mx(struct hop *h, bool secure)
{
    if (h->said)
        h->said->mx_secure = secure;
}

void upstream_verdict_literal(struct hop *h)
{
    if (!h->said)
        return;
    h->said->sts.status = DNS_NODATA;
    h->said->sts.mx_len = 0;
    h->said->sts.why[0] = '\0';
    h->said->has_sts = true;
}

/* --- the domain --- */

/* What the domain does not say itself, or nobody can fetch, a list of policies may know: it is
 * there for the time before a policy was ever seen, and gives way to one (EFF's USAGE.md). */
static void list_ask(struct hop *h)
{
    const struct policy_list *list = h->u->conf.conf->tls.policies;
    struct sts_answer *sts = &h->said->sts;
    int64_t now = (int64_t)(dp_wall_us(h->u->conf.dp) / 1000000);

    sts->listed = false;
    if (list && h->route->conf->tls.level == CONF_LEVEL_AUTO &&
        (sts->status == DNS_NODATA || sts->status == DNS_NXDOMAIN || sts->status == DNS_FAILED))
        (void)policy_list_find(list, h->txn->domain, now, sts);
}

static void on_sts(void *user, const struct sts_answer *answer)
{
    struct hop *h = user;
    struct sts_answer *kept = &h->said->sts;

    h->question = NULL;
    memcpy(kept, answer, offsetof(struct sts_answer, mx)); /* its list is long, and mostly empty */
    memcpy(kept->mx, answer->mx, answer->mx_len * sizeof(answer->mx[0]));
    h->said->has_sts = true;
    list_ask(h);
    upstream_dial_turn(h);
}

bool upstream_verdict_domain(struct hop *h)
{
    struct resolver *resolver = h->u->conf.resolver;

    if (!h->said || !h->route->conf->mx || !tls_verdict_wants_sts(h->route->conf->tls.level))
        return false;
    if (resolver->ops->sts(resolver, h->txn->domain, on_sts, h, &h->question) == ERR_OK)
        return true;
    /* Not as a policy that could not be fetched: the domain may have one that is known. */
    h->question = NULL;
    h->said->sts.status = DNS_BOGUS;
    h->said->sts.mx_len = 0;
    snprintf(h->said->sts.why, sizeof(h->said->sts.why), "too many questions at once");
    h->said->has_sts = true;
    return false;
}

/* --- a host --- */

static void verdict_make(struct hop *h)
{
    struct upstream_said *said = h->said;
    const struct upstream_target *t = &h->targets[h->target];
    bool asked = said->tlsa_of == h->target + 1;

    tls_verdict_make(h->route->conf->tls.level, said->mx_secure && !t->is_addr, t->host,
                     asked ? &said->tlsa : NULL, said->has_sts ? &said->sts : NULL, &said->verdict);
    h->verdict = &said->verdict;
}

static void on_tlsa(void *user, const struct dns_tlsa_answer *answer)
{
    struct hop *h = user;
    struct dns_tlsa_answer *kept = &h->said->tlsa;
    size_t used = 0;

    h->question = NULL;
    memcpy(kept, answer, offsetof(struct dns_tlsa_answer, data));
    for (unsigned i = 0; i < answer->len; i++) {
        size_t end = (size_t)answer->records[i].at + answer->records[i].len;
        used = end > used ? end : used;
    }
    memcpy(kept->data, answer->data, used);
    h->said->tlsa_of = h->target + 1;
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
        h->said->tlsa = (struct dns_tlsa_answer){.status = DNS_FAILED};
        h->said->tlsa_of = h->target + 1;
    }
    verdict_make(h);
    return false;
}

const char *upstream_verdict_sts_id(const struct hop *h)
{
    const struct tls_verdict *v = h->verdict;

    return v && (v->source == TLS_SOURCE_STS || v->testing) && !h->said->sts.listed
               ? h->said->sts.id
               : NULL;
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
        .tlsa = h->verdict->source == TLS_SOURCE_DANE ? &h->said->tlsa : NULL,
        .sts_id = upstream_verdict_sts_id(h),
    };
}
