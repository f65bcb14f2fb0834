/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_address.h"

#include "net_addr.h"
#include "smtp_command.h"

#include <idn2.h>

enum { LABEL_MAX = 63 };

bool smtp_utf8_valid(struct span s)
{
    size_t i = 0;

    while (i < s.len) {
        uint8_t c = s.ptr[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;
        if (c >= 0x80 && (c < 0xc2 || c > 0xf4))
            return false;
        if (s.len - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((s.ptr[i + k] & 0xc0) != 0x80)
                return false;
        }
        /* Overlong forms, surrogates and what is past U+10FFFF show in the second byte. */
        uint8_t second = more > 0 ? s.ptr[i + 1] : 0;
        if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
            (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
            return false;
        i += more + 1;
    }
    return true;
}

bool smtp_literal_valid(struct span literal)
{
    const struct span v6_tag = SPAN_LIT("IPv6:");
    union net_addr addr;

    if (literal.len < 2 || literal.ptr[0] != '[' || literal.ptr[literal.len - 1] != ']')
        return false;
    struct span inside = span_make(literal.ptr + 1, literal.len - 2);
    bool v6 = span_starts_nocase(inside, v6_tag);
    struct span ip = v6 ? span_from(inside, v6_tag.len) : inside;
    bool has_colon = ip.len > 0 && memchr(ip.ptr, ':', ip.len) != NULL;
    if (has_colon != v6 || (ip.len > 0 && ip.ptr[0] == '['))
        return false;
    return net_addr_parse_ip(ip, 0, &addr) == ERR_OK;
}

/* RFC 5321's atext and the dot. Dots in a row or at the ends occur in the wild (old mobile
 * providers' addresses), cannot be misread, and are let pass. */
static bool is_local_char(uint8_t c)
{
    return c > ' ' && c != 0x7f && !strchr("()<>[]:;@\\,\"", c);
}

/* The length of a quoted string at the start of s, 0 where it is none. */
static size_t quoted_len(struct span s)
{
    for (size_t i = 1; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '"')
            return i + 1;
        if (c == '\\' && ++i == s.len)
            return 0;
        if (s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return 0;
    }
    return 0;
}

static size_t local_len(struct span s)
{
    size_t len = 0;

    if (s.len > 0 && s.ptr[0] == '"')
        return quoted_len(s);
    while (len < s.len && is_local_char(s.ptr[len]))
        len++;
    return len;
}

static bool is_domain_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_' || c >= 0x80;
}

/* The length of a domain or address literal at the start of s, 0 where it is none. */
static size_t domain_len(struct span s)
{
    size_t len = 0, label = 0;

    if (s.len > 0 && s.ptr[0] == '[') {
        const uint8_t *end = memchr(s.ptr, ']', s.len);
        size_t all = end ? (size_t)(end - s.ptr) + 1 : 0;
        return all > 0 && smtp_literal_valid(span_make(s.ptr, all)) ? all : 0;
    }
    for (; len < s.len && (is_domain_char(s.ptr[len]) || s.ptr[len] == '.'); len++) {
        label = s.ptr[len] == '.' ? (label == 0 ? LABEL_MAX + 1 : 0) : label + 1;
        if (label > LABEL_MAX)
            return 0;
    }
    return label > 0 && len <= SMTP_DOMAIN_MAX ? len : 0;
}

/* "@one,@two:" in front of a mailbox is read and forgotten (RFC 5321 section 4.1.1.3, appendix
 * C). ERR_RANGE where it is malformed. */
static int route_skip(struct span *s)
{
    while (s->len > 0 && s->ptr[0] == '@') {
        size_t len = domain_len(span_from(*s, 1));
        if (len == 0 || s->len == len + 1)
            return ERR_RANGE;
        uint8_t next = s->ptr[len + 1];
        *s = span_from(*s, len + 2);
        if (next == ':')
            return ERR_OK;
        if (next != ',' || s->len == 0 || s->ptr[0] != '@')
            return ERR_RANGE;
    }
    return ERR_OK;
}

int smtp_path_parse(struct span in, struct smtp_path *ret, size_t *ret_used)
{
    memset(ret, 0, sizeof(*ret));
    if (in.len < 2 || in.ptr[0] != '<')
        return ERR_SYNTAX;
    struct span at = span_from(in, 1);
    if (at.ptr[0] == '>') {
        ret->address = span_make(at.ptr, 0);
        *ret_used = 2;
        return ERR_OK;
    }
    if (route_skip(&at) != ERR_OK)
        return ERR_RANGE;
    size_t local = local_len(at), domain = 0, len = local;
    if (local == 0)
        return ERR_RANGE;
    if (local < at.len && at.ptr[local] == '@') {
        domain = domain_len(span_from(at, local + 1));
        if (domain == 0)
            return ERR_RANGE;
        len += 1 + domain;
    }
    if (len >= at.len || at.ptr[len] != '>' || len > SMTP_ADDRESS_MAX)
        return ERR_RANGE;
    ret->address = span_make(at.ptr, len);
    ret->domain = span_make(at.ptr + len - domain, domain);
    if (!smtp_utf8_valid(ret->address))
        return ERR_RANGE;
    for (size_t i = 0; i < len; i++)
        ret->eightbit = ret->eightbit || at.ptr[i] >= 0x80;
    *ret_used = (size_t)(at.ptr - in.ptr) + len + 1;
    return ERR_OK;
}

int smtp_domain_ascii(struct span domain, char ret[SMTP_DOMAIN_MAX + 1])
{
    bool ascii = true;
    char *labels;

    if (span_to_cstr(domain, ret, SMTP_DOMAIN_MAX + 1) != ERR_OK)
        return ERR_RANGE;
    for (size_t i = 0; i < domain.len; i++)
        ascii = ascii && domain.ptr[i] < 0x80;
    if (ascii)
        return ERR_OK;
    int err = idn2_to_ascii_8z(ret, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (err != IDN2_OK)
        return err == IDN2_MALLOC ? ERR_NOMEM : ERR_RANGE;
    /* Letters can stand for "/", "@" or nothing at all. */
    struct span s = span_str(labels);
    bool good = s.len > 0 && s.ptr[0] != '[' && domain_len(s) == s.len &&
                span_to_cstr(s, ret, SMTP_DOMAIN_MAX + 1) == ERR_OK;
    idn2_free(labels);
    return good ? ERR_OK : ERR_RANGE;
}
