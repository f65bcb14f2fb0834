/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_answer.h"

#include "ascii.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    RCODE_OK = 0,
    RCODE_NXDOMAIN = 3,
    MX_LOOKED_AT = 256, /* records of one answer; more than any domain has use for */
    TXT_LOOKED_AT = 256,
    TXT_MAX = 4096, /* of one record's text */
};

static bool is_host_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_';
}

int resolver_name_text(const uint8_t *wire, size_t len, char ret_name[DNS_NAME_MAX + 1])
{
    size_t in = 0, out = 0;

    ret_name[0] = '\0';
    if (len > 255)
        return ERR_SYNTAX;
    while (in < len && wire[in] != 0) {
        size_t label = wire[in++];
        if (label > 63 || label >= len - in)
            return ERR_SYNTAX;
        if (out > 0)
            ret_name[out++] = '.';
        for (size_t i = 0; i < label; i++) {
            uint8_t c = wire[in++];
            if (!is_host_byte(c))
                return ERR_SYNTAX;
            ret_name[out++] = (char)ascii_lower(c);
        }
    }
    if (in + 1 != len)
        return ERR_SYNTAX;
    ret_name[out] = '\0';
    return 0;
}

bool resolver_name_read(const char *text, char ret_name[DNS_NAME_MAX + 1])
{
    size_t len = strlen(text);

    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len > RESOLVER_NAME_TEXT_MAX || text[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '.' ? i == 0 || text[i - 1] == '.' : !is_host_byte(c))
            return false;
        ret_name[i] = (char)ascii_lower(c);
    }
    ret_name[len] = '\0';
    return true;
}

void resolver_reverse_name(const union net_addr *addr, char ret_name[DNS_NAME_MAX + 1])
{
    size_t len = 0;

    if (!net_addr_is_v6(addr)) {
        const uint8_t *b = (const uint8_t *)&addr->v4.sin_addr;
        snprintf(ret_name, DNS_NAME_MAX + 1, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
        return;
    }
    for (int i = 15; i >= 0; i--) {
        unsigned byte = addr->v6.sin6_addr.s6_addr[i];
        len += (size_t)snprintf(ret_name + len, DNS_NAME_MAX + 1 - len, "%x.%x.", byte & 15,
                                byte >> 4);
    }
    snprintf(ret_name + len, DNS_NAME_MAX + 1 - len, "ip6.arpa");
}

enum dns_status resolver_status(int error, const struct ub_result *result)
{
    if (error != 0 || !result)
        return DNS_FAILED;
    if (result->bogus)
        return DNS_BOGUS;
    if (result->nxdomain || result->rcode == RCODE_NXDOMAIN)
        return DNS_NXDOMAIN;
    if (result->rcode != RCODE_OK)
        return DNS_FAILED;
    return result->havedata ? DNS_OK : DNS_NODATA;
}

uint32_t resolver_ttl_s(const struct ub_result *result)
{
    return result && result->ttl > 0 ? (uint32_t)result->ttl : 0;
}

uint64_t resolver_random_below(uint64_t bound)
{
    uint64_t value = 0;

    if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
        return 0;
    return bound > 0 ? value % bound : 0;
}

static void mx_shuffle(struct dns_mx *mx, unsigned len)
{
    for (unsigned i = len; i > 1; i--) {
        unsigned other = (unsigned)resolver_random_below(i);
        struct dns_mx kept = mx[i - 1];
        mx[i - 1] = mx[other];
        mx[other] = kept;
    }
}

static void mx_sort(struct dns_mx *mx, unsigned len)
{
    for (unsigned i = 1; i < len; i++) { /* insertion: stable, so that the shuffle stays */
        struct dns_mx kept = mx[i];
        unsigned place = i;
        while (place > 0 && mx[place - 1].preference > kept.preference) {
            mx[place] = mx[place - 1];
            place--;
        }
        mx[place] = kept;
    }
}

static unsigned mx_parse(const struct ub_result *result, struct dns_mx *mx)
{
    unsigned len = 0;

    for (unsigned i = 0; result->data[i] && len < MX_LOOKED_AT; i++) {
        const uint8_t *data = (const uint8_t *)result->data[i];
        if (result->len[i] < 3 ||
            resolver_name_text(data + 2, (size_t)result->len[i] - 2, mx[len].host) != 0)
            continue;
        mx[len++].preference = (uint16_t)(data[0] << 8 | data[1]);
    }
    return len;
}

void resolver_mx_answer(int error, const struct ub_result *result, struct dns_mx_answer *ret)
{
    struct dns_mx *all;
    unsigned len;

    memset(ret, 0, sizeof(*ret));
    ret->status = resolver_status(error, result);
    ret->ttl_s = resolver_ttl_s(result);
    ret->secure = result && result->secure;
    if (ret->status != DNS_OK)
        return;
    all = calloc(MX_LOOKED_AT, sizeof(*all));
    len = all ? mx_parse(result, all) : 0;
    /* There were records, and none is a host name: that is no reason to try the domain itself. */
    if (len == 0)
        ret->status = DNS_FAILED;
    mx_shuffle(all, len);
    mx_sort(all, len);
    ret->len = len < DNS_MX_MAX ? len : DNS_MX_MAX;
    if (len > 0)
        memcpy(ret->mx, all, ret->len * sizeof(*all));
    free(all);
}

static bool addr_parse(const uint8_t *data, int len, union net_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (len == 4) {
        ret->v4.sin_family = AF_INET;
        memcpy(&ret->v4.sin_addr, data, 4);
        return true;
    }
    if (len == 16) {
        ret->v6.sin6_family = AF_INET6;
        memcpy(&ret->v6.sin6_addr, data, 16);
        return true;
    }
    return false;
}

void resolver_addr_part(int error, const struct ub_result *result, struct resolver_part *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->status = resolver_status(error, result);
    ret->ttl_s = resolver_ttl_s(result);
    ret->secure = result && result->secure;
    if (ret->status != DNS_OK)
        return;
    for (unsigned i = 0; result->data[i] && ret->len < DNS_ADDRS_MAX; i++)
        if (addr_parse((const uint8_t *)result->data[i], result->len[i], &ret->addr[ret->len]))
            ret->len++;
    if (ret->len == 0)
        ret->status = DNS_FAILED;
}

/* Of two that both have no address: what must be said of the name. */
static enum dns_status status_join(enum dns_status a, enum dns_status b)
{
    static const enum dns_status order[] = {DNS_OK, DNS_BOGUS, DNS_FAILED, DNS_NXDOMAIN};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return DNS_NODATA;
}

void resolver_addr_join(const struct resolver_part *v6, const struct resolver_part *v4,
                        struct dns_addr_answer *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->status = status_join(v6->status, v4->status);
    ret->secure = v6->secure && v4->secure;
    ret->ttl_s = v6->ttl_s < v4->ttl_s ? v6->ttl_s : v4->ttl_s;
    if (v6->status == DNS_OK && v4->status != DNS_OK) {
        ret->secure = v6->secure;
        ret->ttl_s = v6->ttl_s;
    } else if (v4->status == DNS_OK && v6->status != DNS_OK) {
        ret->secure = v4->secure;
        ret->ttl_s = v4->ttl_s;
    }
    for (unsigned i = 0; i < DNS_ADDRS_MAX; i++) {
        if (i < v6->len && ret->len < DNS_ADDRS_MAX)
            ret->addr[ret->len++] = v6->addr[i];
        if (i < v4->len && ret->len < DNS_ADDRS_MAX)
            ret->addr[ret->len++] = v4->addr[i];
    }
}

unsigned resolver_ptr_names(const struct ub_result *result,
                            char ret_names[RESOLVER_PTR_NAMES][DNS_NAME_MAX + 1])
{
    unsigned len = 0;

    for (unsigned i = 0; result->data[i] && len < RESOLVER_PTR_NAMES; i++)
        if (resolver_name_text((const uint8_t *)result->data[i], (size_t)result->len[i],
                               ret_names[len]) == 0 &&
            ret_names[len][0] != '\0')
            len++;
    return len;
}

/* The strings of one TXT record, one after another (RFC 8461 section 3.1). False where it is none.
 */
static bool txt_join(const struct ub_result *result, unsigned i, struct text *out)
{
    const uint8_t *data = (const uint8_t *)result->data[i];
    size_t left = result->len[i] > 0 ? (size_t)result->len[i] : 0;

    while (left > 0) {
        size_t len = data[0];
        if (len >= left)
            return false;
        text_put(out, data + 1, len);
        data += 1 + len;
        left -= 1 + len;
    }
    return !out->full;
}

int resolver_sts_record(const struct ub_result *result, char ret_id[STS_ID_MAX + 1])
{
    int said = ERR_NOTFOUND;

    ret_id[0] = '\0';
    for (unsigned i = 0; result->data[i] && i < TXT_LOOKED_AT; i++) {
        char record[TXT_MAX], id[STS_ID_MAX + 1];
        struct text text = text_into(record, sizeof(record));
        /* What is longer than any such record may be one all the same: its start tells. */
        bool whole = txt_join(result, i, &text);
        int err = sts_record_parse(span_make(record, text.len), id);
        if (err == ERR_NOTFOUND)
            continue;
        if (said != ERR_NOTFOUND)
            return ERR_LIMIT;
        said = whole ? err : ERR_SYNTAX;
        memcpy(ret_id, id, sizeof(id));
    }
    if (said)
        ret_id[0] = '\0';
    return said;
}

int resolver_tlsrpt_record(const struct ub_result *result, struct tlsrpt_record *ret)
{
    struct tlsrpt_record found;
    int said = ERR_NOTFOUND;

    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; result->data[i] && i < TXT_LOOKED_AT; i++) {
        char record[TXT_MAX];
        struct text text = text_into(record, sizeof(record));
        bool whole = txt_join(result, i, &text);
        int err = tlsrpt_record_parse(span_make(record, text.len), &found);
        if (err == ERR_NOTFOUND)
            continue;
        if (said != ERR_NOTFOUND)
            return ERR_LIMIT;
        said = whole ? err : ERR_SYNTAX;
        *ret = found;
    }
    return said;
}
