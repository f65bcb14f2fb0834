/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy_header.h"

enum { V1_MAX = 107, V2_HEAD = 16, V2_MAX = 1024 };

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Is data so far, or wholly, how text begins? */
static bool begins(const uint8_t *data, size_t len, const void *text, size_t text_len)
{
    return memcmp(data, text, len < text_len ? len : text_len) == 0;
}

/* Cuts the word up to the next single space off *rest. */
static struct span word_next(struct span *rest)
{
    size_t len = 0;

    while (len < rest->len && rest->ptr[len] != ' ')
        len++;
    struct span word = span_make(rest->ptr, len);
    *rest = span_from(*rest, len + 1);
    return word;
}

static int v1_address(struct span ip, struct span port, bool v6, union net_addr *ret)
{
    uint64_t number;
    bool has_colon = ip.len > 0 && memchr(ip.ptr, ':', ip.len) != NULL;

    if (has_colon != v6 || ip.len == 0 || ip.ptr[0] == '[' || port.len > 5 ||
        span_to_u64(port, UINT16_MAX, &number) != ERR_OK)
        return ERR_SYNTAX;
    return net_addr_parse_ip(ip, (uint16_t)number, ret);
}

static int v1_parse(const uint8_t *data, size_t len, struct proxy_header *ret, size_t *ret_used)
{
    size_t scan = len < V1_MAX ? len : V1_MAX;
    const uint8_t *cr = memchr(data, '\r', scan);

    if (!cr)
        return len >= V1_MAX ? ERR_SYNTAX : ERR_AGAIN;
    size_t line = (size_t)(cr - data);
    if (line + 1 == len)
        return line + 1 < V1_MAX ? ERR_AGAIN : ERR_SYNTAX;
    if (data[line + 1] != '\n' || line + 2 > V1_MAX)
        return ERR_SYNTAX;
    *ret_used = line + 2;
    struct span rest = span_from(span_make(data, line), 6);
    struct span family = word_next(&rest);
    if (span_equal(family, SPAN_LIT("UNKNOWN"))) {
        ret->local = true;
        return ERR_OK;
    }
    bool v6 = span_equal(family, SPAN_LIT("TCP6"));
    if (!v6 && !span_equal(family, SPAN_LIT("TCP4")))
        return ERR_SYNTAX;
    struct span source = word_next(&rest), destination = word_next(&rest);
    struct span source_port = word_next(&rest);
    if (v1_address(source, source_port, v6, &ret->source) != ERR_OK ||
        v1_address(destination, rest, v6, &ret->destination) != ERR_OK)
        return ERR_SYNTAX;
    return ERR_OK;
}

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void v2_address(const uint8_t *ip, size_t ip_len, const uint8_t *port, union net_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (ip_len == 4) {
        ret->v4.sin_family = AF_INET;
        memcpy(&ret->v4.sin_addr, ip, ip_len);
    } else {
        ret->v6.sin6_family = AF_INET6;
        memcpy(&ret->v6.sin6_addr, ip, ip_len);
    }
    net_addr_set_port(ret, be16(port));
    net_addr_unmap(ret);
}

static int v2_parse(const uint8_t *data, size_t len, struct proxy_header *ret, size_t *ret_used)
{
    if (len < V2_HEAD)
        return ERR_AGAIN;
    size_t body = be16(data + 14);
    if (data[12] >> 4 != 2 || body > V2_MAX)
        return ERR_SYNTAX;
    if (len < V2_HEAD + body)
        return ERR_AGAIN;
    *ret_used = V2_HEAD + body;
    unsigned command = data[12] & 0x0f, family = data[13] >> 4, protocol = data[13] & 0x0f;
    if (command > 1)
        return ERR_SYNTAX;
    if (command == 0 || family == 0) { /* LOCAL (a health check), or UNSPEC */
        ret->local = true;
        return ERR_OK;
    }
    size_t ip_len = family == 1 ? 4 : 16;
    if (family > 2 || protocol != 1 || body < 2 * ip_len + 4)
        return ERR_SYNTAX;
    const uint8_t *at = data + V2_HEAD;
    v2_address(at, ip_len, at + 2 * ip_len, &ret->source);
    v2_address(at + ip_len, ip_len, at + 2 * ip_len + 2, &ret->destination);
    return ERR_OK;
}

int proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *ret, size_t *ret_used)
{
    memset(ret, 0, sizeof(*ret));
    *ret_used = 0;
    if (begins(data, len, v2_signature, sizeof(v2_signature)))
        return len < sizeof(v2_signature) ? ERR_AGAIN : v2_parse(data, len, ret, ret_used);
    if (begins(data, len, "PROXY ", 6))
        return len < 6 ? ERR_AGAIN : v1_parse(data, len, ret, ret_used);
    return ERR_SYNTAX;
}
