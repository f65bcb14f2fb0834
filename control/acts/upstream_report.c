/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS reports (RFC 8460) are to tell of a session with a next hop: which policy was applied,
 * and what became of it. Nobody waits for the resolver process, which counts. */
#include "upstream_priv.h"

#include "sip_hash.h"

#include <stdio.h>

/* A probe is no mail, a fixed hop under the route's own level has no policy that anybody
 * publishes, and an address has no domain that could ask for a report. */
bool upstream_report_wanted(const struct hop *h)
{
    const struct conf_route *route = h->route->conf;

    return h->u->conf.conf->tlsrpt.organization && route->report && !h->probe && h->txn->domain &&
           h->txn->domain[0] != '[' && (route->mx || h->said) && h->target < h->targets_len;
}

static void names_set(const struct hop *h, struct tlsrpt_event *e)
{
    snprintf(e->domain, sizeof(e->domain), "%s", h->txn->domain);
    snprintf(e->policy_domain, sizeof(e->policy_domain), "%s", h->txn->domain);
    snprintf(e->mx, sizeof(e->mx), "%s", h->targets[h->target].host);
}

/* RFC 8460 section 4.4: the policy as RFC 8461 section 3.2 writes it. */
static void policy_sts(const struct sts_answer *sts, struct tlsrpt_event *e)
{
    e->type = TLSRPT_STS;
    if (sts->status != DNS_OK)
        return;
    tlsrpt_event_policy_add(e, "version: STSv1");
    tlsrpt_event_policy_add(e, "mode: %s", sts_mode_text(sts->mode));
    for (unsigned i = 0; i < sts->mx_len; i++)
        tlsrpt_event_policy_add(e, "mx: %s", sts->mx[i]);
    tlsrpt_event_policy_add(e, "max_age: %u", (unsigned)sts->max_age_s);
}

/* RFC 6698 section 2.2; the domain is the TLSA base domain then (RFC 8460 section 1.1). */
static void policy_tlsa(const struct dns_tlsa_answer *tlsa, struct tlsrpt_event *e)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * 1024 + 1];

    e->type = TLSRPT_TLSA;
    if (!tlsa || tlsa->status != DNS_OK)
        return;
    if (tlsa->base[0])
        memcpy(e->policy_domain, tlsa->base, sizeof(e->policy_domain));
    for (unsigned i = 0; i < tlsa->len; i++) {
        const struct dns_tlsa *r = &tlsa->records[i];
        size_t len = r->len < sizeof(hex) / 2 ? r->len : sizeof(hex) / 2; /* a whole certificate */
        for (size_t b = 0; b < len; b++) {
            hex[2 * b] = digits[tlsa->data[r->at + b] >> 4];
            hex[2 * b + 1] = digits[tlsa->data[r->at + b] & 15];
        }
        hex[2 * len] = '\0';
        tlsrpt_event_policy_add(e, "%u %u %u %s%s", r->usage, r->selector, r->matching, hex,
                                len < r->len ? "..." : "");
    }
}

static const struct dns_tlsa_answer *tlsa_of(const struct hop *h)
{
    return h->said && h->said->tlsa_of == h->target + 1 ? h->said->tlsa : NULL;
}

static bool own_sts(const struct hop *h)
{
    return h->said && h->said->sts && !h->said->sts->listed;
}

static void policy_set(const struct hop *h, struct tlsrpt_event *e)
{
    const struct tls_verdict *v = h->verdict;

    if (v->source == TLS_SOURCE_DANE)
        policy_tlsa(tlsa_of(h), e);
    else if ((v->source == TLS_SOURCE_STS || v->testing) && own_sts(h))
        policy_sts(h->said->sts, e);
}

static void tell(const struct hop *h, const struct tlsrpt_event *e)
{
    struct resolver *resolver = h->u->conf.resolver;

    resolver->ops->report(resolver, e);
}

static void fail(struct tlsrpt_event *e, enum tlsrpt_result result, const char *reason)
{
    e->failed = 1;
    e->result = (uint8_t)result;
    tlsrpt_event_reason(e, reason);
}

static void address_set(const struct hop *h, const union net_addr *to, struct tlsrpt_event *e)
{
    const struct conf_route *route = h->route->conf;
    bool v6 = net_addr_is_v6(to);

    e->receiving = *to;
    if (v6 && route->has_source6)
        e->sending = route->source6;
    else if (!v6 && route->has_source4)
        e->sending = route->source4;
}

static void begin(const struct hop *h, struct tlsrpt_event *e)
{
    memset(e, 0, offsetof(struct tlsrpt_event, policy));
    names_set(h, e);
}

/* The domain's record promises a policy, and there was none to be had. It applies to no session;
 * those go by what else there is. */
static void policy_missing(const struct hop *h)
{
    static const enum tlsrpt_result results[] = {
        [STS_FAULT_FETCH] = TLSRPT_STS_FETCH_ERROR,
        [STS_FAULT_WEBPKI] = TLSRPT_STS_WEBPKI_INVALID,
        [STS_FAULT_POLICY] = TLSRPT_STS_INVALID,
    };
    struct tlsrpt_event e;

    if (!h->said || !h->said->sts || h->said->sts->fault == STS_FAULT_NONE)
        return;
    begin(h, &e);
    e.mx[0] = '\0';
    e.type = TLSRPT_STS;
    fail(&e, results[h->said->sts->fault], h->said->sts->listed ? "" : h->said->sts->why);
    tell(h, &e);
}

/* What goes wrong with its policy is told by itself. */
static void session_begin(const struct hop *h, struct tlsrpt_event *e)
{
    policy_missing(h);
    begin(h, e);
    policy_set(h, e);
}

void upstream_report_skipped(const struct hop *h)
{
    const struct tls_verdict *v = h->verdict;
    const struct dns_tlsa_answer *tlsa = tlsa_of(h);
    struct tlsrpt_event e;

    if (!upstream_report_wanted(h))
        return;
    session_begin(h, &e);
    if (v->source == TLS_SOURCE_DANE)
        fail(&e,
             v->failed                        ? TLSRPT_DNSSEC_INVALID
             : tlsa && tlsa->status == DNS_OK ? TLSRPT_TLSA_INVALID
                                              : TLSRPT_DANE_REQUIRED,
             v->why);
    else if (v->source == TLS_SOURCE_STS && own_sts(h) && h->said->sts->status == DNS_OK &&
             h->said->sts->mode != STS_MODE_NONE)
        fail(&e, TLSRPT_VALIDATION_FAILURE, v->why);
    else
        return; /* our own demand, of a domain that promises nothing */
    tell(h, &e);
}

static enum tlsrpt_result result_of(enum tls_cert_fault fault)
{
    switch (fault) {
    case TLS_CERT_NAME:
        return TLSRPT_HOST_MISMATCH;
    case TLS_CERT_EXPIRED:
        return TLSRPT_EXPIRED;
    case TLS_CERT_UNTRUSTED:
        return TLSRPT_NOT_TRUSTED;
    case TLS_CERT_TLSA:
        return TLSRPT_TLSA_INVALID;
    case TLS_CERT_FINE:
    case TLS_CERT_OTHER:
        break;
    }
    return TLSRPT_VALIDATION_FAILURE;
}

void upstream_report_failed(const struct hop *h, enum smtp_client_phase phase, const char *why)
{
    struct tlsrpt_event e;

    if (!upstream_report_wanted(h))
        return;
    session_begin(h, &e);
    if (h->addr < h->addrs_len)
        address_set(h, &h->addrs[h->addr], &e);
    if (phase == SMTP_PHASE_STARTTLS)
        fail(&e, TLSRPT_STARTTLS_NOT_SUPPORTED, why);
    else
        fail(&e, result_of(h->fault), why);
    tell(h, &e);
}

/* What a policy in testing mode would have refused of a session that went on. */
static void testing_judge(const struct upstream_leg *leg, struct tlsrpt_event *e)
{
    const struct hop *h = leg->hop;

    if (h->verdict->unlisted)
        fail(e, TLSRPT_VALIDATION_FAILURE, h->verdict->why);
    else if (leg->facts.verify == TLS_VERIFY_FAILED)
        fail(e, result_of(leg->facts.fault), leg->facts.verify_text);
}

/* Mail of several domains may share a connection: it is a session of each, once. */
static bool first_of_domain(struct upstream_leg *leg)
{
    static const uint64_t key[2] = {0x8460, 0x746c73727074};
    struct span domain = span_str(leg->hop->txn->domain);
    uint64_t hash = sip_hash(key, domain.ptr, domain.len);

    for (unsigned i = 0; i < leg->reported_len; i++)
        if (leg->reported[i] == hash)
            return false;
    if (leg->reported_len == UPSTREAM_REPORTED_MAX)
        return false;
    leg->reported[leg->reported_len++] = hash;
    return true;
}

static void session_judge(const struct upstream_leg *leg, struct tlsrpt_event *e)
{
    const struct hop *h = leg->hop;

    if (!leg->has_tls)
        fail(e, TLSRPT_STARTTLS_NOT_SUPPORTED, leg->why);
    else if (h->verdict->source == TLS_SOURCE_DANE && h->verdict->level != CONF_LEVEL_DANE)
        fail(e, TLSRPT_TLSA_INVALID, h->verdict->why);
    else if (h->verdict->testing && own_sts(h))
        testing_judge(leg, e);
}

void upstream_report_ready(struct upstream_leg *leg)
{
    const struct hop *h = leg->hop;
    struct tlsrpt_event e;

    if (h->verdict->level == CONF_LEVEL_NONE || !upstream_report_wanted(h) || !first_of_domain(leg))
        return;
    /* What a new leg lacks was told when that was found. */
    if (!leg->has_tls && leg->messages == 0)
        return;
    session_begin(h, &e);
    address_set(h, &leg->addr, &e);
    session_judge(leg, &e);
    tell(h, &e);
}
