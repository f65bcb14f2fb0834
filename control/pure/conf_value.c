/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_priv.h"

#include "ascii.h"
#include "moment.h"
#include "tlsrpt_record.h"

#include <stdio.h>

/* RFC 1123 section 2.1; underscore: '_' too, which names of internal hosts carry. A last label of
 * digits only would be a mistyped address. */
static bool is_hostname(struct span s, bool underscore)
{
    size_t label = 0;
    bool digits = true;

    if (s.len == 0 || s.len > 253)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c == '.') {
            if (label == 0 || s.ptr[i - 1] == '-')
                return false;
            label = 0;
            digits = true;
            continue;
        }
        if (!ascii_is_alnum(c) && c != '-' && !(c == '_' && underscore))
            return false;
        if ((c == '-' && label == 0) || ++label > 63)
            return false;
        digits = digits && c >= '0' && c <= '9';
    }
    return label > 0 && !digits && s.ptr[s.len - 1] != '-';
}

static int keep(struct conf_reader *r, struct span s, const char **out)
{
    *out = arena_strdup(r->arena, s);
    return *out ? ERR_OK : ERR_NOMEM;
}

static int keep_lower(struct conf_reader *r, struct span s, const char **out)
{
    char *copy = arena_strdup(r->arena, s);

    if (!copy)
        return ERR_NOMEM;
    for (char *p = copy; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p += 'a' - 'A';
    }
    *out = copy;
    return ERR_OK;
}

static int convert_string(struct conf_reader *r, struct span s, void *out)
{
    return keep(r, s, out);
}

/* A relative name starts from the configuration file's directory. */
static int convert_file(struct conf_reader *r, struct span s, void *out)
{
    const char **file = out;

    if (s.len == 0 || s.ptr[0] == '/' || r->dir.len == 0)
        return keep(r, s, file);
    char *path = arena_alloc(r->arena, r->dir.len + s.len + 1);
    if (!path)
        return ERR_NOMEM;
    memcpy(path, r->dir.ptr, r->dir.len);
    memcpy(path + r->dir.len, s.ptr, s.len);
    *file = path;
    return ERR_OK;
}

static int convert_hostname(struct conf_reader *r, struct span s, void *out)
{
    return is_hostname(s, false) ? keep_lower(r, s, out) : ERR_SYNTAX;
}

static int convert_tls_name(struct conf_reader *r, struct span s, void *out)
{
    bool below = s.len > 0 && s.ptr[0] == '.';

    return is_hostname(span_from(s, below), false) ? keep_lower(r, s, out) : ERR_SYNTAX;
}

static int convert_domain(struct conf_reader *r, struct span s, void *out)
{
    return span_equal(s, SPAN_LIT("*")) ? keep(r, s, out) : convert_tls_name(r, s, out);
}

static int convert_name(struct conf_reader *r, struct span s, void *out)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_' && s.ptr[i] != '.')
            return ERR_SYNTAX;
    }
    return keep(r, s, out);
}

static int convert_user(struct conf_reader *r, struct span s, void *out)
{
    return auth_name_valid(s) ? keep(r, s, out) : ERR_SYNTAX;
}

/* As a report's own addresses are read: what needs quotes is none. */
static int convert_mailbox(struct conf_reader *r, struct span s, void *out)
{
    char text[256];

    return span_to_cstr(s, text, sizeof(text)) == ERR_OK && tlsrpt_address_valid(text)
               ? keep(r, s, out)
               : ERR_SYNTAX;
}

static int convert_address(struct conf_reader *r, struct span s, void *out)
{
    union net_addr addr;

    if (net_addr_parse(s, &addr) != ERR_OK || net_addr_port(&addr) == 0)
        return ERR_SYNTAX;
    return keep(r, s, out);
}

static int convert_metrics(struct conf_reader *r, struct span s, void *out)
{
    return s.len == 0 ? keep(r, s, out) : convert_address(r, s, out);
}

static int convert_dns_server(struct conf_reader *r, struct span s, void *out)
{
    union net_addr addr;

    if (net_addr_parse_ip(s, 0, &addr) == ERR_OK)
        return keep(r, s, out);
    return convert_address(r, s, out);
}

static int convert_dns_stub(struct conf_reader *r, struct span s, void *out)
{
    const uint8_t *equals = s.len ? memchr(s.ptr, '=', s.len) : NULL;
    union net_addr addr;

    if (!equals)
        return ERR_SYNTAX;
    size_t zone = (size_t)(equals - s.ptr);
    if (!is_hostname(span_make(s.ptr, zone), true) ||
        net_addr_parse(span_from(s, zone + 1), &addr) != ERR_OK || net_addr_port(&addr) == 0)
        return ERR_SYNTAX;
    return keep(r, s, out);
}

static int convert_prefix(struct conf_reader *r, struct span s, void *out)
{
    return net_prefix_parse(s, out);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Colons, where there are any, stand between all bytes, as openssl x509 -fingerprint writes them.
 */
static int convert_fingerprint(struct conf_reader *r, struct span s, void *out)
{
    struct conf_hash *hash = out;
    const size_t bytes = sizeof(hash->sha256), step = s.len == bytes * 2 ? 2 : 3;

    if (s.len != bytes * step - (step == 3))
        return ERR_SYNTAX;
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_digit(s.ptr[i * step]), low = hex_digit(s.ptr[i * step + 1]);
        if (high < 0 || low < 0 || (step == 3 && i + 1 < bytes && s.ptr[i * step + 2] != ':'))
            return ERR_SYNTAX;
        hash->sha256[i] = (uint8_t)(high << 4 | low);
    }
    return ERR_OK;
}

static int base64_digit(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static int convert_pin(struct conf_reader *r, struct span s, void *out)
{
    const struct span prefix = SPAN_LIT("sha256/");
    struct conf_hash *hash = out;
    uint32_t bits = 0;
    size_t n = 0;

    if (!span_starts_nocase(s, prefix))
        return convert_fingerprint(r, s, out);
    s = span_from(s, prefix.len);
    if (s.len != 44 || s.ptr[43] != '=')
        return ERR_SYNTAX;
    for (size_t i = 0; i < 43; i++) {
        int digit = base64_digit(s.ptr[i]);
        if (digit < 0)
            return ERR_SYNTAX;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 0)
            continue;
        hash->sha256[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return bits & 3 ? ERR_SYNTAX : ERR_OK; /* 43 digits have two bits too many: mistyped if set */
}

/* "mx" is kept as a hop without a port; conf_check makes the route's mx of it. */
static int convert_hop(struct conf_reader *r, struct span s, void *out)
{
    struct conf_hop *hop = out;
    size_t colon = s.len;
    uint64_t port;
    char ip[NET_ADDR_TEXT];

    if (span_equal(s, SPAN_LIT("mx")))
        return keep(r, s, &hop->host);
    if (net_addr_parse(s, &hop->addr) == ERR_OK) {
        hop->is_addr = true;
        hop->port = net_addr_port(&hop->addr);
        return hop->port == 0 ? ERR_SYNTAX
                              : keep(r, span_str(net_addr_ip_text(&hop->addr, ip)), &hop->host);
    }
    while (colon > 0 && s.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0 || span_to_u64(span_from(s, colon), UINT16_MAX, &port) != ERR_OK || port == 0 ||
        !is_hostname(span_make(s.ptr, colon - 1), true))
        return ERR_SYNTAX;
    hop->port = (uint16_t)port;
    return keep_lower(r, span_make(s.ptr, colon - 1), &hop->host);
}

static int convert_moment(struct conf_reader *r, struct span s, void *out)
{
    char text[MOMENT_TEXT];

    return span_to_cstr(s, text, sizeof(text)) == ERR_OK && moment_read(text, out) ? ERR_OK
                                                                                   : ERR_SYNTAX;
}

static int convert_host(struct conf_reader *r, struct span s, void *out)
{
    union net_addr addr;
    char text[NET_ADDR_TEXT];

    if (is_hostname(s, false))
        return keep_lower(r, s, out);
    if (net_addr_parse_ip(s, 0, &addr) != ERR_OK)
        return ERR_SYNTAX;
    return keep(r, span_str(net_addr_ip_text(&addr, text)), out);
}

static int convert_source(struct conf_reader *r, struct span s, void *out)
{
    return net_addr_parse_ip(s, 0, out);
}

static const struct {
    int (*convert)(struct conf_reader *r, struct span s, void *out);
    size_t size;
} values[] = {
    [CONF_TYPE_STRING] = {convert_string, sizeof(const char *)},
    [CONF_TYPE_FILE] = {convert_file, sizeof(const char *)},
    [CONF_TYPE_HOSTNAME] = {convert_hostname, sizeof(const char *)},
    [CONF_TYPE_DOMAIN] = {convert_domain, sizeof(const char *)},
    [CONF_TYPE_PARTNER] = {convert_tls_name, sizeof(const char *)},
    [CONF_TYPE_NAME] = {convert_name, sizeof(const char *)},
    [CONF_TYPE_MAILBOX] = {convert_mailbox, sizeof(const char *)},
    [CONF_TYPE_ADDRESS] = {convert_address, sizeof(const char *)},
    [CONF_TYPE_METRICS] = {convert_metrics, sizeof(const char *)},
    [CONF_TYPE_PIN] = {convert_pin, sizeof(struct conf_hash)},
    [CONF_TYPE_FINGERPRINT] = {convert_fingerprint, sizeof(struct conf_hash)},
    [CONF_TYPE_MOMENT] = {convert_moment, sizeof(int64_t)},
    [CONF_TYPE_INTERFACE] = {appliance_convert_interface, sizeof(const char *)},
    [CONF_TYPE_HOST] = {convert_host, sizeof(const char *)},
    [CONF_TYPE_TIME_ZONE] = {appliance_convert_time_zone, sizeof(const char *)},
    [CONF_TYPE_CRYPT] = {appliance_convert_crypt, sizeof(const char *)},
    [CONF_TYPE_URL] = {appliance_convert_url, sizeof(const char *)},
    [CONF_TYPE_SOURCE] = {convert_source, sizeof(union net_addr)},
    [CONF_TYPE_STRINGS] = {convert_string, sizeof(const char *)},
    [CONF_TYPE_USERS] = {convert_user, sizeof(const char *)},
    /* Which there are depends on the library: conf_load asks it. */
    [CONF_TYPE_GROUPS] = {convert_name, sizeof(const char *)},
    [CONF_TYPE_SUITES] = {convert_name, sizeof(const char *)},
    [CONF_TYPE_HOSTNAMES] = {convert_hostname, sizeof(const char *)},
    [CONF_TYPE_TLS_NAMES] = {convert_tls_name, sizeof(const char *)},
    [CONF_TYPE_DNS_SERVERS] = {convert_dns_server, sizeof(const char *)},
    [CONF_TYPE_DNS_STUBS] = {convert_dns_stub, sizeof(const char *)},
    [CONF_TYPE_PREFIXES] = {convert_prefix, sizeof(struct net_prefix)},
    [CONF_TYPE_FINGERPRINTS] = {convert_fingerprint, sizeof(struct conf_hash)},
    [CONF_TYPE_PINS] = {convert_pin, sizeof(struct conf_hash)},
    [CONF_TYPE_INTERFACES] = {appliance_convert_member, sizeof(const char *)},
    [CONF_TYPE_ADDRESSES] = {appliance_convert_address, sizeof(struct net_prefix)},
    [CONF_TYPE_IPS] = {convert_source, sizeof(union net_addr)},
    [CONF_TYPE_SSH_KEYS] = {appliance_convert_ssh_key, sizeof(const char *)},
    [CONF_TYPE_HOPS] = {convert_hop, sizeof(struct conf_hop)},
};

int conf_value_convert(struct conf_reader *r, const struct conf_row *row, const char *text,
                       void *out)
{
    struct span s = span_str(text);

    /* The range of a list counts its elements, not the bytes of one. */
    if (!conf_type_is_list(row->type) && row->type != CONF_TYPE_SOURCE &&
        (s.len < (size_t)row->min || s.len > (size_t)row->max))
        return ERR_RANGE;
    return values[row->type].convert(r, s, out);
}

size_t conf_value_size(enum conf_type type)
{
    return values[type].size;
}
