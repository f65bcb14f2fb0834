/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_wire.h"

#define HEAD(member) offsetof(struct resolver_wire_answer, member)

size_t resolver_wire_tlsa_data(const struct dns_tlsa_answer *answer)
{
    size_t used = 0;

    for (unsigned i = 0; i < answer->len; i++)
        used += answer->records[i].len;
    return used;
}

/* What must be there before the rest's length can be asked. 0 for a kind that is none. */
static size_t head_len(uint32_t kind)
{
    switch ((enum resolver_kind)kind) {
    case RESOLVER_MX:
        return HEAD(mx.mx);
    case RESOLVER_ADDR:
        return HEAD(addr.addr);
    case RESOLVER_PTR:
        return HEAD(ptr) + sizeof(struct dns_ptr_answer);
    case RESOLVER_TLSA:
        return HEAD(tlsa.data);
    case RESOLVER_STS:
        return HEAD(sts.mx);
    }
    return 0;
}

/* Bytes behind the head; false where a length is beyond its bound. */
static bool tail_len(const struct resolver_wire_answer *a, size_t *ret)
{
    *ret = 0;
    switch ((enum resolver_kind)a->kind) {
    case RESOLVER_MX:
        *ret = a->mx.len * sizeof(a->mx.mx[0]);
        return a->mx.len <= DNS_MX_MAX;
    case RESOLVER_ADDR:
        *ret = a->addr.len * sizeof(a->addr.addr[0]);
        return a->addr.len <= DNS_ADDRS_MAX;
    case RESOLVER_PTR:
        return true;
    case RESOLVER_TLSA:
        if (a->tlsa.len > DNS_TLSA_MAX)
            return false;
        *ret = resolver_wire_tlsa_data(&a->tlsa);
        return *ret <= DNS_TLSA_BYTES;
    case RESOLVER_STS:
        *ret = a->sts.mx_len * sizeof(a->sts.mx[0]);
        return a->sts.mx_len <= STS_MX_MAX;
    }
    return false;
}

size_t resolver_wire_len(const struct resolver_wire_answer *answer)
{
    size_t tail;

    return tail_len(answer, &tail) ? head_len(answer->kind) + tail : 0;
}

static bool text_ends(const char text[DNS_NAME_MAX + 1])
{
    return memchr(text, '\0', DNS_NAME_MAX + 1) != NULL;
}

static bool mx_valid(const struct dns_mx_answer *a)
{
    for (unsigned i = 0; i < a->len; i++)
        if (!text_ends(a->mx[i].host))
            return false;
    return true;
}

static bool addr_valid(const struct dns_addr_answer *a)
{
    for (unsigned i = 0; i < a->len; i++)
        if (a->addr[i].any.sa_family != AF_INET && a->addr[i].any.sa_family != AF_INET6)
            return false;
    return true;
}

static bool tlsa_valid(const struct dns_tlsa_answer *a)
{
    size_t at = 0;

    for (unsigned i = 0; i < a->len; i++) {
        if (a->records[i].at != at)
            return false;
        at += a->records[i].len;
    }
    return text_ends(a->base);
}

static bool sts_valid(const struct sts_answer *a)
{
    for (unsigned i = 0; i < a->mx_len; i++)
        if (!text_ends(a->mx[i]))
            return false;
    return (unsigned)a->mode <= STS_MODE_ENFORCE && (unsigned)a->fault <= STS_FAULT_POLICY &&
           memchr(a->id, '\0', sizeof(a->id)) && memchr(a->why, '\0', sizeof(a->why));
}

static bool content_valid(const struct resolver_wire_answer *a, enum dns_status *ret_status)
{
    switch ((enum resolver_kind)a->kind) {
    case RESOLVER_MX:
        *ret_status = a->mx.status;
        return mx_valid(&a->mx);
    case RESOLVER_ADDR:
        *ret_status = a->addr.status;
        return addr_valid(&a->addr);
    case RESOLVER_PTR:
        *ret_status = a->ptr.status;
        return text_ends(a->ptr.name);
    case RESOLVER_TLSA:
        *ret_status = a->tlsa.status;
        return tlsa_valid(&a->tlsa);
    case RESOLVER_STS:
        *ret_status = a->sts.status;
        return sts_valid(&a->sts);
    }
    return false;
}

bool resolver_wire_valid(const struct resolver_wire_answer *answer, size_t len)
{
    enum dns_status status;

    if (len < HEAD(mx))
        return false;
    size_t head = head_len(answer->kind);
    return head > 0 && len >= head && resolver_wire_len(answer) == len &&
           content_valid(answer, &status) && (unsigned)status <= DNS_BOGUS;
}
