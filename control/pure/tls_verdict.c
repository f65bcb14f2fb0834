/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_verdict.h"

#include "ascii.h"

#include <stdarg.h>
#include <stdio.h>

const char *tls_source_text(enum tls_source source)
{
    switch (source) {
    case TLS_SOURCE_ROUTE:
        return "route";
    case TLS_SOURCE_DANE:
        return "dane";
    case TLS_SOURCE_STS:
        return "sts";
    case TLS_SOURCE_LIST:
        return "list";
    case TLS_SOURCE_NONE:
        return "none";
    }
    return "unknown";
}

bool tls_verdict_wants_tlsa(enum conf_level level, bool mx_secure)
{
    /* RFC 7672 section 2.2.1: whoever forges the MX records names hosts with TLSA of his own. */
    return mx_secure && (level == CONF_LEVEL_DANE || level == CONF_LEVEL_AUTO);
}

bool tls_verdict_wants_sts(enum conf_level level)
{
    return level == CONF_LEVEL_STS || level == CONF_LEVEL_AUTO;
}

/* --- making one --- */

/* Names and reasons come from DNS and HTTPS: what does not print must not reach a log or a reply.
 */
static void verdict_put(struct tls_verdict *v, enum tls_verdict_use use, enum conf_level level,
                        enum tls_source source, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void verdict_put(struct tls_verdict *v, enum tls_verdict_use use, enum conf_level level,
                        enum tls_source source, const char *format, ...)
{
    va_list args;

    v->use = use;
    v->level = level;
    v->source = source;
    va_start(args, format);
    vsnprintf(v->why, sizeof(v->why), format, args);
    va_end(args);
    ascii_mask(v->why);
}

/* --- DANE --- */

size_t tls_verdict_records(const struct dns_tlsa_answer *answer, struct tls_tlsa ret[DNS_TLSA_MAX])
{
    unsigned len = answer->len < DNS_TLSA_MAX ? answer->len : DNS_TLSA_MAX;

    for (unsigned i = 0; i < len; i++) {
        const struct dns_tlsa *from = &answer->records[i];

        ret[i] = (struct tls_tlsa){
            .usage = from->usage, .selector = from->selector, .matching = from->matching};
        if (from->at + from->len > DNS_TLSA_BYTES)
            continue; /* the answer came from another process; without data it matches nothing */
        ret[i].len = from->len;
        ret[i].data = answer->data + from->at;
    }
    return len;
}

static unsigned usable_count(const struct dns_tlsa_answer *answer)
{
    struct tls_tlsa records[DNS_TLSA_MAX];
    unsigned usable = 0;

    for (size_t i = tls_verdict_records(answer, records); i-- > 0;)
        usable += tls_tlsa_usable(&records[i]);
    return usable;
}

/* What DNSSEC has to say of a host. */
enum dane_finding {
    DANE_NONE,     /* it publishes none */
    DANE_USABLE,   /* records that a certificate can match */
    DANE_UNUSABLE, /* records, and no certificate can match any */
    DANE_UNKNOWN,  /* a look-up failed: RFC 7672 section 2.1 has it delayed, not downgraded */
};

/* What it means at every level is put already for all but DANE_NONE. */
static enum dane_finding dane_find(const char *host, const struct dns_tlsa_answer *tlsa,
                                   struct tls_verdict *ret)
{
    if (!tlsa) {
        ret->failed = true;
        verdict_put(ret, TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
                    "whether %.80s has TLSA records was not asked", host);
        return DANE_UNKNOWN;
    }
    switch (tlsa->status) {
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        return DANE_NONE;
    case DNS_FAILED:
        ret->failed = true;
        verdict_put(ret, TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
                    "the look-up of the TLSA records of %.80s failed", host);
        return DANE_UNKNOWN;
    case DNS_BOGUS:
        ret->failed = true;
        verdict_put(ret, TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
                    "DNSSEC finds the TLSA records of %.80s forged", host);
        return DANE_UNKNOWN;
    case DNS_OK:
        break;
    }
    unsigned usable = usable_count(tlsa);
    if (usable == 0) {
        verdict_put(
            ret, TLS_USE, CONF_LEVEL_ENCRYPT, TLS_SOURCE_DANE,
            "none of the %u TLSA records at %.64s is usable: TLS is required, unauthenticated",
            tlsa->len, tlsa->base);
        return DANE_UNUSABLE;
    }
    verdict_put(ret, TLS_USE, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
                "%u of the %u TLSA records at %.80s are usable", usable, tlsa->len, tlsa->base);
    return DANE_USABLE;
}

static void dane_demand(bool mx_secure, const char *host, const struct dns_tlsa_answer *tlsa,
                        struct tls_verdict *ret)
{
    if (!mx_secure) {
        verdict_put(
            ret, TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
            "level dane needs MX records that DNSSEC proves, and those that name %.56s are not",
            host);
        return;
    }
    switch (dane_find(host, tlsa, ret)) {
    case DANE_NONE:
        verdict_put(ret, TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
                    "level dane needs TLSA records that DNSSEC proves, and %.56s has none", host);
        break;
    case DANE_UNUSABLE:
        verdict_put(ret, TLS_SKIP, CONF_LEVEL_DANE, TLS_SOURCE_DANE,
                    "level dane needs a usable TLSA record, and none of the %u at %.56s is",
                    tlsa->len, tlsa->base);
        break;
    case DANE_USABLE:
    case DANE_UNKNOWN:
        break;
    }
}

/* --- MTA-STS --- */

/* In a list a leading dot stands for any name below (EFF's RULES.md, mxs). */
static bool list_mx_matches(const char *pattern, const char *host)
{
    return pattern[0] == '.' ? strlen(host) > strlen(pattern) &&
                                   span_ends_nocase(span_str(host), span_str(pattern))
                             : span_equal_nocase(span_str(host), span_str(pattern));
}

static bool sts_names(const struct sts_answer *sts, const char *host)
{
    for (unsigned i = 0; i < sts->mx_len; i++)
        if (sts->listed ? list_mx_matches(sts->mx[i], host) : sts_mx_matches(sts->mx[i], host))
            return true;
    return false;
}

static enum tls_source sts_source(const struct sts_answer *sts)
{
    return sts->listed ? TLS_SOURCE_LIST : TLS_SOURCE_STS;
}

/* Which policy it is, for a sentence. */
static const char *sts_which(const struct sts_answer *sts)
{
    return sts->listed ? "the policy list" : "MTA-STS policy ";
}

/* A policy that refuses, or is taken to refuse, whom it does not name (RFC 8461 section 5). */
static void sts_enforce(const char *host, const struct sts_answer *sts, struct tls_verdict *ret)
{
    const char *note = sts->mode == STS_MODE_TESTING ? " (testing, but level sts enforces it)" : "";

    if (sts_names(sts, host))
        verdict_put(ret, TLS_USE, CONF_LEVEL_VERIFY, sts_source(sts), "%s%s%s names %.64s",
                    sts_which(sts), sts->id, note, host);
    else
        verdict_put(ret, TLS_SKIP, CONF_LEVEL_VERIFY, sts_source(sts), "%s%s%s does not name %.56s",
                    sts_which(sts), sts->id, note, host);
}

static void sts_skip(struct tls_verdict *ret, bool failed, const char *what, const char *why)
{
    ret->failed = failed;
    verdict_put(ret, TLS_SKIP, CONF_LEVEL_VERIFY, TLS_SOURCE_STS, "%s%s%.96s", what,
                *why ? ": " : "", why);
}

static void sts_demand(const char *host, const struct sts_answer *sts, struct tls_verdict *ret)
{
    if (!sts) {
        sts_skip(ret, true, "level sts needs an MTA-STS policy, and none was asked for", "");
        return;
    }
    switch (sts->status) {
    case DNS_OK:
        if (sts->mode == STS_MODE_NONE)
            sts_skip(ret, false, "level sts needs an MTA-STS policy, and the domain's is mode none",
                     "");
        else
            sts_enforce(host, sts, ret);
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        sts_skip(ret, false, "level sts needs an MTA-STS policy, and the domain has none",
                 sts->why);
        break;
    case DNS_FAILED:
        sts_skip(ret, true, "the domain's MTA-STS policy can't be had", sts->why);
        break;
    case DNS_BOGUS:
        sts_skip(ret, true, "whether the domain has an MTA-STS policy is not known", sts->why);
        break;
    }
}

/* --- auto --- */

/* Beside DANE, or without it. dane: what unusable records demand already, or DANE_NONE. */
static void sts_auto(enum dane_finding dane, const char *host, const struct sts_answer *sts,
                     struct tls_verdict *ret)
{
    enum dns_status status = sts ? sts->status : DNS_NODATA;

    if (status == DNS_BOGUS) {
        sts_skip(ret, true, "whether the domain has an MTA-STS policy is not known", sts->why);
    } else if (status == DNS_OK && sts->mode == STS_MODE_ENFORCE) {
        sts_enforce(host, sts, ret);
    } else if (status == DNS_OK && sts->mode == STS_MODE_TESTING) {
        ret->testing = true;
        ret->unlisted = !sts_names(sts, host);
        if (dane != DANE_UNUSABLE)
            verdict_put(ret, TLS_USE, CONF_LEVEL_MAY, sts_source(sts),
                        "%s%s is in testing mode and %s %.64s", sts_which(sts), sts->id,
                        ret->unlisted ? "does not name" : "names", host);
    } else if (dane != DANE_UNUSABLE) {
        if (status == DNS_FAILED)
            verdict_put(ret, TLS_USE, CONF_LEVEL_MAY, TLS_SOURCE_NONE,
                        "no TLSA records, and the MTA-STS policy can't be had: %.96s", sts->why);
        else
            verdict_put(ret, TLS_USE, CONF_LEVEL_MAY, TLS_SOURCE_NONE,
                        "%.64s has neither TLSA records that DNSSEC proves nor an MTA-STS policy",
                        host);
    }
}

/* DANE where it can authenticate or where it failed: MTA-STS never overrides it then (RFC 8461
 * section 2). Records of which none is usable demand TLS only, and a policy may demand more. */
static void auto_decide(bool mx_secure, const char *host, const struct dns_tlsa_answer *tlsa,
                        const struct sts_answer *sts, struct tls_verdict *ret)
{
    enum dane_finding dane = mx_secure ? dane_find(host, tlsa, ret) : DANE_NONE;

    if (dane == DANE_NONE || dane == DANE_UNUSABLE)
        sts_auto(dane, host, sts, ret);
}

void tls_verdict_make(enum conf_level route_level, bool mx_secure, const char *host,
                      const struct dns_tlsa_answer *tlsa, const struct sts_answer *sts,
                      struct tls_verdict *ret)
{
    *ret = (struct tls_verdict){0};
    switch (route_level) {
    case CONF_LEVEL_NONE:
    case CONF_LEVEL_MAY:
    case CONF_LEVEL_ENCRYPT:
    case CONF_LEVEL_VERIFY:
    case CONF_LEVEL_PIN:
        verdict_put(ret, TLS_USE, route_level, TLS_SOURCE_ROUTE, "the route says level %s",
                    conf_level_text(route_level));
        break;
    case CONF_LEVEL_DANE:
        dane_demand(mx_secure, host, tlsa, ret);
        break;
    case CONF_LEVEL_STS:
        sts_demand(host, sts, ret);
        break;
    case CONF_LEVEL_AUTO:
        auto_decide(mx_secure, host, tlsa, sts, ret);
        break;
    }
}
