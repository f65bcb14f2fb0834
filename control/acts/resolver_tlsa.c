/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_tlsa.h"

#include "assertion.h"
#include "resolver_answer.h"

#include <stdio.h>

enum { PREFIX_MAX = sizeof("_65535._tcp.") - 1, RDATA_HEAD = 3 };

void resolver_tlsa_begin(struct resolver_tlsa *t, const char *host, uint16_t port,
                         struct dns_tlsa_answer *answer)
{
    memset(t, 0, sizeof(*t));
    snprintf(t->host, sizeof(t->host), "%s", host);
    t->port = port;
    t->ttl_s = UINT32_MAX;
    t->answer = answer;
    answer->status = DNS_NODATA;
    answer->ttl_s = 0;
    answer->len = 0;
    memcpy(answer->base, t->host, sizeof(t->host));
}

static enum resolver_tlsa_step end(struct resolver_tlsa *t, enum dns_status status)
{
    t->answer->status = status;
    t->answer->ttl_s = t->ttl_s == UINT32_MAX ? 0 : t->ttl_s;
    return RESOLVER_TLSA_END;
}

static void ttl_lower(struct resolver_tlsa *t, uint32_t ttl_s)
{
    if (ttl_s < t->ttl_s)
        t->ttl_s = ttl_s;
}

static bool same_name(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len > 0 && a[a_len - 1] == '.')
        a_len--;
    if (b_len > 0 && b[b_len - 1] == '.')
        b_len--;
    return span_equal_nocase(span_make(a, a_len), span_make(b, b_len));
}

void resolver_tlsa_host(const struct resolver_tlsa *t, int error, const struct ub_result *result,
                        struct resolver_tlsa_host *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->status = resolver_status(error, result);
    if (ret->status == DNS_FAILED || ret->status == DNS_BOGUS)
        return;
    ret->secure = result->secure;
    ret->ttl_s = resolver_ttl_s(result);
    if (result->canonname && result->canonname[0] && !same_name(result->canonname, t->host)) {
        ret->alias = true;
        ret->canon_unreadable = !resolver_name_read(result->canonname, ret->canon);
    }
}

/* Of A and AAAA the one to go by: an answer with addresses, and of two the one that proves more.
 * NULL where the host has none. */
static const struct resolver_tlsa_host *host_choose(const struct resolver_tlsa_host *v6,
                                                    const struct resolver_tlsa_host *v4)
{
    if (v4->status == DNS_OK && (v4->secure || v6->status != DNS_OK))
        return v4;
    return v6->status == DNS_OK ? v6 : NULL;
}

static enum dns_status host_missing(const struct resolver_tlsa_host *v6,
                                    const struct resolver_tlsa_host *v4)
{
    if (v6->status == DNS_BOGUS || v4->status == DNS_BOGUS)
        return DNS_BOGUS;
    if (v6->status == DNS_FAILED || v4->status == DNS_FAILED)
        return DNS_FAILED;
    return DNS_NODATA;
}

/* A name that leaves no room for the prefix has no TLSA records. */
static void base_add(struct resolver_tlsa *t, const char *name)
{
    size_t len = strlen(name);

    if (len + PREFIX_MAX <= RESOLVER_NAME_TEXT_MAX)
        memcpy(t->bases[t->bases_len++], name, len + 1);
}

static enum resolver_tlsa_step base_next(struct resolver_tlsa *t)
{
    return t->bases_next < t->bases_len ? RESOLVER_TLSA_RECORDS : end(t, DNS_NODATA);
}

enum resolver_tlsa_step resolver_tlsa_addresses(struct resolver_tlsa *t,
                                                const struct resolver_tlsa_host *v6,
                                                const struct resolver_tlsa_host *v4)
{
    const struct resolver_tlsa_host *host = host_choose(v6, v4);

    if (!host) {
        if (host_missing(v6, v4) == DNS_NODATA)
            ttl_lower(t, v6->ttl_s < v4->ttl_s ? v6->ttl_s : v4->ttl_s);
        return end(t, host_missing(v6, v4));
    }
    ttl_lower(t, host->ttl_s);
    if (!host->secure)
        return host->alias ? RESOLVER_TLSA_ALIAS : end(t, DNS_NODATA);
    if (host->canon_unreadable)
        return end(t, DNS_FAILED);
    if (host->alias)
        base_add(t, host->canon);
    base_add(t, t->host);
    return base_next(t);
}

enum resolver_tlsa_step resolver_tlsa_alias(struct resolver_tlsa *t, int error,
                                            const struct ub_result *result)
{
    enum dns_status status = resolver_status(error, result);

    if (status == DNS_FAILED || status == DNS_BOGUS)
        return end(t, status);
    ttl_lower(t, resolver_ttl_s(result));
    if (status != DNS_OK || !result->secure)
        return end(t, DNS_NODATA);
    base_add(t, t->host);
    return base_next(t);
}

void resolver_tlsa_name(const struct resolver_tlsa *t, char ret_name[DNS_NAME_MAX + 1])
{
    ASSERT(t->bases_next < t->bases_len);
    int len = snprintf(ret_name, DNS_NAME_MAX + 1, "_%u._tcp.%s", (unsigned)t->port,
                       t->bases[t->bases_next]);
    ASSERT(len > 0 && len <= RESOLVER_NAME_TEXT_MAX);
}

static void records_take(struct dns_tlsa_answer *a, const struct ub_result *result)
{
    size_t used = 0;

    for (unsigned i = 0; result->data[i] && a->len < DNS_TLSA_MAX; i++) {
        const uint8_t *data = (const uint8_t *)result->data[i];
        size_t len = result->len[i] > 0 ? (size_t)result->len[i] : 0;
        if (len < RDATA_HEAD || len - RDATA_HEAD > sizeof(a->data) - used)
            continue;
        len -= RDATA_HEAD;
        a->records[a->len++] = (struct dns_tlsa){.usage = data[0],
                                                 .selector = data[1],
                                                 .matching = data[2],
                                                 .at = (uint16_t)used,
                                                 .len = (uint16_t)len};
        memcpy(a->data + used, data + RDATA_HEAD, len);
        used += len;
    }
}

enum resolver_tlsa_step resolver_tlsa_records(struct resolver_tlsa *t, int error,
                                              const struct ub_result *result)
{
    enum dns_status status = resolver_status(error, result);
    const char *base = t->bases[t->bases_next];

    if (status == DNS_FAILED || status == DNS_BOGUS)
        return end(t, status);
    ttl_lower(t, resolver_ttl_s(result));
    if (status == DNS_OK && result->secure) {
        memcpy(t->answer->base, base, strlen(base) + 1);
        records_take(t->answer, result);
        return end(t, t->answer->len > 0 ? DNS_OK : DNS_FAILED);
    }
    t->bases_next++;
    return base_next(t);
}
