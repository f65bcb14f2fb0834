/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_record.h"

enum { HTTPS_PORT = 443, LOCAL_MAX = 64, DOMAIN_MAX_LEN = 253 };

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = span_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* Up to the delimiter, which is taken as well. */
static struct span part_take(struct span *s, char delimiter)
{
    const uint8_t *end = s->len > 0 ? memchr(s->ptr, delimiter, s->len) : NULL;
    struct span part = span_make(s->ptr, end ? (size_t)(end - s->ptr) : s->len);

    *s = span_from(*s, part.len + (end != NULL));
    return trim(part);
}

static bool is_alpha(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(uint8_t c)
{
    return is_alpha(c) || (c >= '0' && c <= '9');
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unescape(struct span in, char *out, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len; i++) {
        int c = in.ptr[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_value(in.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_value(in.ptr[i + 2]) : -1;
            if (low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (len + 1 >= room || c <= ' ' || c > '~')
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return true;
}

/* The last label begins with a letter (RFC 1123 section 2.1): what does not, a client may read as
 * an address ("127.1", "0x7f.1"). */
static bool domain_valid(struct span s)
{
    size_t label = 0, dots = 0;

    if (s.len == 0 || s.len > DOMAIN_MAX_LEN)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            dots++;
        } else if (!is_alnum(s.ptr[i]) && s.ptr[i] != '-') {
            return false;
        } else if (++label > 63) {
            return false;
        }
    }
    return label > 0 && dots > 0 && is_alpha(s.ptr[s.len - label]);
}

/* Dot-string "@" domain (RFC 5321): nothing that needs quotes. */
bool tlsrpt_address_valid(const char *text)
{
    static const char atext[] = "!#$%&'*+-/=?^_`{|}~";
    const char *at = strrchr(text, '@');
    char before = '.';

    if (!at || at == text || at - text > LOCAL_MAX || at[-1] == '.')
        return false;
    for (const char *c = text; c < at; before = *c++)
        if (*c == '.' ? before == '.' : !is_alnum((uint8_t)*c) && !strchr(atext, *c))
            return false;
    return domain_valid(span_str(at + 1));
}

/* RFC 6068: header fields behind a question mark are none of ours. */
static bool mailto_read(struct span s, struct tlsrpt_uri *ret)
{
    struct span address = part_take(&s, '?');

    ret->kind = TLSRPT_MAILTO;
    return unescape(address, ret->text, sizeof(ret->text)) && tlsrpt_address_valid(ret->text);
}

static bool port_read(struct span s, uint16_t *ret)
{
    uint64_t port = HTTPS_PORT;

    if (s.len > 0 && (span_to_u64(s, UINT16_MAX, &port) != ERR_OK || port == 0))
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool https_read(struct span url, struct tlsrpt_uri *ret)
{
    struct span rest = span_from(url, sizeof("https://") - 1);
    size_t len = 0, host;

    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || strchr("\"<>\\^`{|}#", url.ptr[i]))
            return false;
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
        len++;
    rest.len = len;
    for (host = 0; host < rest.len && rest.ptr[host] != ':'; host++)
        ;
    if (!domain_valid(span_make(rest.ptr, host)) ||
        !port_read(span_from(rest, host + 1), &ret->port) ||
        span_to_cstr(span_make(rest.ptr, host), ret->host, sizeof(ret->host)) != ERR_OK)
        return false;
    for (char *c = ret->host; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    ret->kind = TLSRPT_HTTPS;
    return span_to_cstr(url, ret->text, sizeof(ret->text)) == ERR_OK;
}

static void uris_read(struct span list, struct tlsrpt_record *ret)
{
    while (list.len > 0 && ret->len < TLSRPT_URIS_MAX) {
        struct span uri = part_take(&list, ',');
        struct tlsrpt_uri *to = &ret->uris[ret->len];
        bool good = false;

        memset(to, 0, sizeof(*to));
        if (span_starts_nocase(uri, SPAN_LIT("mailto:")))
            good = mailto_read(span_from(uri, 7), to);
        else if (span_starts_nocase(uri, SPAN_LIT("https://")))
            good = https_read(uri, to);
        ret->len += good;
    }
}

/* tlsrpt-field, rua or an extension: a name, an equals sign and something behind it. */
static bool field_valid(struct span field, size_t *ret_name)
{
    size_t len = 0;

    while (len < field.len &&
           (is_alnum(field.ptr[len]) || (len > 0 && strchr("_-.", field.ptr[len]))))
        len++;
    *ret_name = len;
    return len > 0 && len <= 32 && len + 1 < field.len && field.ptr[len] == '=';
}

int tlsrpt_record_parse(struct span text, struct tlsrpt_record *ret)
{
    const struct span version = SPAN_LIT("v=TLSRPTv1");
    struct span rest = text;
    size_t name;

    memset(ret, 0, sizeof(*ret));
    /* "v=TLSRPTv1;", case counts. */
    if (!span_equal(part_take(&rest, ';'), version) || text.len <= version.len ||
        text.ptr[0] != 'v')
        return ERR_NOTFOUND;
    while (rest.len > 0) {
        struct span field = part_take(&rest, ';');
        if (field.len == 0 && rest.len == 0)
            break;
        if (!field_valid(field, &name))
            return ERR_SYNTAX;
        if (span_equal(span_make(field.ptr, name), SPAN_LIT("rua")))
            uris_read(span_from(field, name + 1), ret);
    }
    return ret->len > 0 ? ERR_OK : ERR_SYNTAX;
}
