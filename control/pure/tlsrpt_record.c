/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_record.h"

#include "ascii.h"

enum { HTTPS_PORT = 443, LOCAL_MAX = 64, DOMAIN_MAX_LEN = 253 };

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
        } else if (!ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '-') {
            return false;
        } else if (++label > 63) {
            return false;
        }
    }
    return label > 0 && dots > 0 && ascii_is_alpha(s.ptr[s.len - label]);
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
        if (*c == '.' ? before == '.' : !ascii_is_alnum((uint8_t)*c) && !strchr(atext, *c))
            return false;
    return domain_valid(span_str(at + 1));
}

/* RFC 6068: header fields behind a question mark are none of ours. */
static bool mailto_read(struct span s, struct tlsrpt_uri *ret)
{
    struct span address = span_trim(span_cut(&s, '?'));

    ret->kind = TLSRPT_MAILTO;
    return ascii_unescape(address, '%', ret->text, sizeof(ret->text)) &&
           tlsrpt_address_valid(ret->text);
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
    ascii_lower_all(ret->host);
    ret->kind = TLSRPT_HTTPS;
    return span_to_cstr(url, ret->text, sizeof(ret->text)) == ERR_OK;
}

static void uris_read(struct span list, struct tlsrpt_record *ret)
{
    while (list.len > 0 && ret->len < TLSRPT_URIS_MAX) {
        struct span uri = span_trim(span_cut(&list, ','));
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
           (ascii_is_alnum(field.ptr[len]) || (len > 0 && strchr("_-.", field.ptr[len]))))
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
    if (!span_equal(span_trim(span_cut(&rest, ';')), version) || text.len <= version.len ||
        text.ptr[0] != 'v')
        return ERR_NOTFOUND;
    while (rest.len > 0) {
        struct span field = span_trim(span_cut(&rest, ';'));
        if (field.len == 0 && rest.len == 0)
            break;
        if (!field_valid(field, &name))
            return ERR_SYNTAX;
        if (span_equal(span_make(field.ptr, name), SPAN_LIT("rua")))
            uris_read(span_from(field, name + 1), ret);
    }
    return ret->len > 0 ? ERR_OK : ERR_SYNTAX;
}
