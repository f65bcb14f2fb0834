/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_wire.h"

size_t resolver_wire_len(const struct resolver_wire_answer *answer)
{
    switch ((enum resolver_kind)answer->kind) {
    case RESOLVER_MX:
        if (answer->mx.len > DNS_MX_MAX)
            return 0;
        return offsetof(struct resolver_wire_answer, mx.mx) +
               answer->mx.len * sizeof(answer->mx.mx[0]);
    case RESOLVER_ADDR:
        if (answer->addr.len > DNS_ADDRS_MAX)
            return 0;
        return offsetof(struct resolver_wire_answer, addr.addr) +
               answer->addr.len * sizeof(answer->addr.addr[0]);
    case RESOLVER_PTR:
        return offsetof(struct resolver_wire_answer, ptr) + sizeof(answer->ptr);
    }
    return 0;
}

static bool text_ends(const char text[DNS_NAME_MAX + 1])
{
    return memchr(text, '\0', DNS_NAME_MAX + 1) != NULL;
}

/* The head (status, secure, ttl, len) must be there before its length can be asked. */
static bool head_is_whole(const struct resolver_wire_answer *answer, size_t len)
{
    if (len < offsetof(struct resolver_wire_answer, mx))
        return false;
    switch ((enum resolver_kind)answer->kind) {
    case RESOLVER_MX:
        return len >= offsetof(struct resolver_wire_answer, mx.mx);
    case RESOLVER_ADDR:
        return len >= offsetof(struct resolver_wire_answer, addr.addr);
    case RESOLVER_PTR:
        return len >= offsetof(struct resolver_wire_answer, ptr) + sizeof(answer->ptr);
    }
    return false;
}

bool resolver_wire_valid(const struct resolver_wire_answer *answer, size_t len)
{
    enum dns_status status;

    if (!head_is_whole(answer, len) || resolver_wire_len(answer) != len)
        return false;
    if (answer->kind == RESOLVER_MX) {
        status = answer->mx.status;
        for (unsigned i = 0; i < answer->mx.len; i++)
            if (!text_ends(answer->mx.mx[i].host))
                return false;
    } else if (answer->kind == RESOLVER_ADDR) {
        status = answer->addr.status;
        for (unsigned i = 0; i < answer->addr.len; i++)
            if (answer->addr.addr[i].any.sa_family != AF_INET &&
                answer->addr.addr[i].any.sa_family != AF_INET6)
                return false;
    } else {
        status = answer->ptr.status;
        if (!text_ends(answer->ptr.name))
            return false;
    }
    return (unsigned)status <= DNS_BOGUS;
}
