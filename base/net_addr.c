/* SPDX-License-Identifier: Apache-2.0 */
#include "net_addr.h"

#include "text.h"

#include <arpa/inet.h>

bool net_addr_is_v6(const union net_addr *a)
{
    return a->any.sa_family == AF_INET6;
}

socklen_t net_addr_len(const union net_addr *a)
{
    return net_addr_is_v6(a) ? sizeof(a->v6) : sizeof(a->v4);
}

void net_addr_unmap(union net_addr *a)
{
    if (!net_addr_is_v6(a) || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port};
    memcpy(&v4.sin_addr, a->v6.sin6_addr.s6_addr + 12, 4);
    a->v4 = v4;
}

int net_addr_parse_ip(struct span text, uint16_t port, union net_addr *ret)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = span_make(text.ptr + 1, text.len - 2);
    if (memchr(text.len ? text.ptr : (const uint8_t *)"", '\0', text.len) ||
        span_to_cstr(text, copy, sizeof(copy)) != ERR_OK)
        return ERR_SYNTAX;
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, copy, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        return ERR_OK;
    }
    if (inet_pton(AF_INET6, copy, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        net_addr_unmap(ret);
        return ERR_OK;
    }
    return ERR_SYNTAX;
}

int net_addr_parse(struct span text, union net_addr *ret)
{
    uint64_t port;
    size_t colon = text.len;

    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0 || span_to_u64(span_from(text, colon), UINT16_MAX, &port) != ERR_OK)
        return ERR_SYNTAX;
    struct span ip = span_make(text.ptr, colon - 1);
    bool bracketed = ip.len >= 2 && ip.ptr[0] == '[' && ip.ptr[ip.len - 1] == ']';
    if (!bracketed && ip.len > 0 && memchr(ip.ptr, ':', ip.len))
        return ERR_SYNTAX;
    return net_addr_parse_ip(ip, (uint16_t)port, ret);
}

int net_prefix_parse(struct span text, struct net_prefix *ret)
{
    const uint8_t *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct span ip = slash ? span_make(text.ptr, (size_t)(slash - text.ptr)) : text;
    uint64_t bits;

    if (net_addr_parse_ip(ip, 0, &ret->addr) != ERR_OK)
        return ERR_SYNTAX;
    unsigned max = net_addr_is_v6(&ret->addr) ? 128 : 32;
    if (!slash) {
        ret->bits = max;
        return ERR_OK;
    }
    if (span_to_u64(span_from(text, ip.len + 1), max, &bits) != ERR_OK)
        return ERR_SYNTAX;
    ret->bits = (unsigned)bits;
    return ERR_OK;
}

static const uint8_t *address_bytes(const union net_addr *a, size_t *ret_len)
{
    *ret_len = net_addr_is_v6(a) ? 16 : 4;
    return net_addr_is_v6(a) ? a->v6.sin6_addr.s6_addr : (const uint8_t *)&a->v4.sin_addr;
}

bool net_prefix_contains(const struct net_prefix *p, const union net_addr *a)
{
    size_t len, other_len;
    const uint8_t *mine = address_bytes(&p->addr, &len);
    const uint8_t *other = address_bytes(a, &other_len);
    unsigned whole = p->bits / 8, rest = p->bits % 8;

    if (len != other_len || memcmp(mine, other, whole) != 0)
        return false;
    return rest == 0 || ((mine[whole] ^ other[whole]) >> (8 - rest)) == 0;
}

bool net_addr_is_loopback(const union net_addr *a)
{
    if (net_addr_is_v6(a))
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool net_addr_same_ip(const union net_addr *a, const union net_addr *b)
{
    size_t len, other_len;
    const uint8_t *mine = address_bytes(a, &len);
    const uint8_t *other = address_bytes(b, &other_len);

    return len == other_len && memcmp(mine, other, len) == 0;
}

uint16_t net_addr_port(const union net_addr *a)
{
    return ntohs(net_addr_is_v6(a) ? a->v6.sin6_port : a->v4.sin_port);
}

void net_addr_set_port(union net_addr *a, uint16_t port)
{
    if (net_addr_is_v6(a))
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

/* inet_ntop prints IPv4 with sprintf, which a message's log and Received lines would feel. */
static void ip_put(struct text *t, const union net_addr *a)
{
    size_t len;
    const uint8_t *bytes = address_bytes(a, &len);
    char v6[INET6_ADDRSTRLEN];

    if (len == 16) {
        text_str(t, inet_ntop(AF_INET6, bytes, v6, sizeof(v6)) ? v6 : "");
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (i > 0)
            text_put(t, ".", 1);
        text_u64(t, bytes[i], 1);
    }
}

const char *net_addr_ip_text(const union net_addr *a, char out[NET_ADDR_TEXT])
{
    struct text t = text_into(out, NET_ADDR_TEXT);

    ip_put(&t, a);
    return text_end(&t);
}

const char *net_addr_text(const union net_addr *a, char out[NET_ADDR_TEXT])
{
    struct text t = text_into(out, NET_ADDR_TEXT);

    text_str(&t, net_addr_is_v6(a) ? "[" : "");
    ip_put(&t, a);
    text_str(&t, net_addr_is_v6(a) ? "]:" : ":");
    text_u64(&t, net_addr_port(a), 1);
    return text_end(&t);
}

const char *net_addr_literal(const union net_addr *a, char out[NET_ADDR_TEXT])
{
    struct text t = text_into(out, NET_ADDR_TEXT);

    text_str(&t, net_addr_is_v6(a) ? "[IPv6:" : "[");
    ip_put(&t, a);
    text_str(&t, "]");
    return text_end(&t);
}
