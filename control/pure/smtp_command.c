/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_command.h"

#include "ascii.h"
#include "net_addr.h"
#include "smtp_address.h"

static const struct {
    const char *text;
    enum smtp_verb verb;
} verbs[] = {
    {"EHLO", SMTP_VERB_EHLO},
    {"HELO", SMTP_VERB_HELO},
    {"STARTTLS", SMTP_VERB_STARTTLS},
    {"MAIL", SMTP_VERB_MAIL},
    {"RCPT", SMTP_VERB_RCPT},
    {"DATA", SMTP_VERB_DATA},
    {"BDAT", SMTP_VERB_BDAT},
    {"RSET", SMTP_VERB_RSET},
    {"NOOP", SMTP_VERB_NOOP},
    {"VRFY", SMTP_VERB_VRFY},
    {"HELP", SMTP_VERB_HELP},
    {"QUIT", SMTP_VERB_QUIT},
    {"XCLIENT", SMTP_VERB_XCLIENT},
    {"AUTH", SMTP_VERB_AUTH},
    /* RFC 9110 section 9, and HTTP/2's preface: a browser or a proxy was led here. */
    {"GET", SMTP_VERB_HTTP},
    {"POST", SMTP_VERB_HTTP},
    {"PUT", SMTP_VERB_HTTP},
    {"HEAD", SMTP_VERB_HTTP},
    {"OPTIONS", SMTP_VERB_HTTP},
    {"CONNECT", SMTP_VERB_HTTP},
    {"DELETE", SMTP_VERB_HTTP},
    {"TRACE", SMTP_VERB_HTTP},
    {"PATCH", SMTP_VERB_HTTP},
    {"PRI", SMTP_VERB_HTTP},
};

/* Cuts the word up to the next blank off *rest, which is trimmed and stays so. */
static struct span word_next(struct span *rest)
{
    size_t len = 0;

    while (len < rest->len && !ascii_is_blank(rest->ptr[len]))
        len++;
    struct span word = span_make(rest->ptr, len);
    *rest = span_trim(span_from(*rest, len));
    return word;
}

enum smtp_verb smtp_command_verb(struct span line, struct span *ret_rest)
{
    *ret_rest = span_trim_end(line);
    struct span word = word_next(ret_rest);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (span_equal_nocase(word, span_str(verbs[i].text)))
            return verbs[i].verb;
    }
    return SMTP_VERB_UNKNOWN;
}

/* keyword[=value] (RFC 5321 section 4.1.2, esmtp-param; RFC 6531 section 3.3 lets 8-bit in). */
struct param {
    struct span whole, key, value;
    bool has_value;
};

static int param_next(struct span *rest, struct param *ret)
{
    ret->whole = word_next(rest);
    const uint8_t *equals = memchr(ret->whole.ptr, '=', ret->whole.len);
    size_t key_len = equals ? (size_t)(equals - ret->whole.ptr) : ret->whole.len;

    ret->has_value = equals != NULL;
    ret->key = span_make(ret->whole.ptr, key_len);
    ret->value = span_from(ret->whole, key_len + 1);
    if (key_len == 0 || !ascii_is_alnum(ret->key.ptr[0]) || (equals && ret->value.len == 0))
        return ERR_SYNTAX;
    for (size_t i = 0; i < key_len; i++) {
        if (!ascii_is_alnum(ret->key.ptr[i]) && ret->key.ptr[i] != '-')
            return ERR_SYNTAX;
    }
    for (size_t i = 0; i < ret->value.len; i++) {
        uint8_t c = ret->value.ptr[i];
        if (c <= ' ' || c == '=' || c == 0x7f)
            return ERR_SYNTAX;
    }
    return ERR_OK;
}

static bool param_is(const struct param *p, const char *key)
{
    return span_equal_nocase(p->key, span_str(key));
}

static bool value_is(const struct param *p, const char *value)
{
    return p->has_value && span_equal_nocase(p->value, span_str(value));
}

/* A value that may come once. */
static int span_set_once(struct span *to, struct span value, size_t max)
{
    if (to->ptr || value.len == 0)
        return ERR_SYNTAX;
    if (value.len > max)
        return ERR_SYNTAX;
    *to = value;
    return ERR_OK;
}

static bool is_hex_upper(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* RFC 3461 section 4: printable ASCII but '+' and '=', which come as "+HH". */
static bool is_xtext(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c < '!' || c > '~' || c == '=')
            return false;
        if (c == '+' &&
            (s.len - i < 3 || !is_hex_upper(s.ptr[i + 1]) || !is_hex_upper(s.ptr[i + 2])))
            return false;
    }
    return true;
}

static int mail_size(const struct param *p, struct smtp_mail *m)
{
    if (m->has_size)
        return ERR_SYNTAX;
    int err = span_to_u64(p->value, UINT64_MAX, &m->size);
    if (err == ERR_SYNTAX || p->value.len > 20) /* RFC 1870 section 3 */
        return ERR_SYNTAX;
    if (err == ERR_RANGE)
        m->size = UINT64_MAX;
    m->has_size = true;
    return ERR_OK;
}

static int mail_body(const struct param *p, struct smtp_mail *m)
{
    if (m->has_body)
        return ERR_SYNTAX;
    m->has_body = true;
    if (value_is(p, "7BIT"))
        m->body = SMTP_BODY_7BIT;
    else if (value_is(p, "8BITMIME"))
        m->body = SMTP_BODY_8BITMIME;
    else if (value_is(p, "BINARYMIME"))
        m->body = SMTP_BODY_BINARYMIME;
    else
        return ERR_SYNTAX;
    return ERR_OK;
}

static int mail_param(const struct param *p, struct smtp_mail *m)
{
    if (param_is(p, "SIZE"))
        return mail_size(p, m);
    if (param_is(p, "BODY"))
        return mail_body(p, m);
    if (param_is(p, "SMTPUTF8")) {
        if (p->has_value || m->smtputf8)
            return ERR_SYNTAX;
        m->smtputf8 = true;
        return ERR_OK;
    }
    if (param_is(p, "REQUIRETLS")) { /* RFC 8689 section 2: without a value */
        if (p->has_value || m->requiretls)
            return ERR_SYNTAX;
        m->requiretls = true;
        return ERR_OK;
    }
    if (param_is(p, "RET")) {
        if (!value_is(p, "FULL") && !value_is(p, "HDRS"))
            return ERR_SYNTAX;
        return span_set_once(&m->ret, p->value, 4);
    }
    if (param_is(p, "ENVID"))
        return is_xtext(p->value) ? span_set_once(&m->envid, p->value, 100) : ERR_SYNTAX;
    if (param_is(p, "AUTH"))
        return is_xtext(p->value) ? span_set_once(&m->auth, p->value, 500) : ERR_SYNTAX;
    if (m->unknown.len == 0)
        m->unknown = p->whole;
    return ERR_OK;
}

/* What follows "FROM:" or "TO:". Blanks after the colon are common in the wild and harmless. */
static int keyword_strip(struct span *rest, struct span keyword)
{
    if (!span_starts_nocase(*rest, keyword))
        return ERR_SYNTAX;
    *rest = span_trim(span_from(*rest, keyword.len));
    return ERR_OK;
}

/* The path, and that a blank or the end follows it. */
static int path_take(struct span *rest, struct smtp_path *ret)
{
    size_t used;
    int err = smtp_path_parse(*rest, ret, &used);

    if (err != ERR_OK)
        return err;
    if (used < rest->len && !ascii_is_blank(rest->ptr[used]))
        return ERR_SYNTAX;
    *rest = span_trim(span_from(*rest, used));
    return ERR_OK;
}

int smtp_parse_mail(struct span rest, struct smtp_mail *ret)
{
    struct smtp_path path;
    struct param param;
    int err;

    memset(ret, 0, sizeof(*ret));
    if ((err = keyword_strip(&rest, SPAN_LIT("FROM:"))) != ERR_OK ||
        (err = path_take(&rest, &path)) != ERR_OK)
        return err;
    while (rest.len > 0) {
        if ((err = param_next(&rest, &param)) != ERR_OK ||
            (err = mail_param(&param, ret)) != ERR_OK)
            return err;
    }
    ret->address = path.address;
    ret->domain = path.domain;
    if (path.address.len > 0 && path.domain.len == 0)
        return ERR_RANGE;
    return path.eightbit && !ret->smtputf8 ? ERR_UNSUPPORTED : ERR_OK;
}

static int rcpt_notify(struct span value, unsigned *notify)
{
    static const struct {
        const char *text;
        enum smtp_notify bit;
    } words[] = {{"NEVER", SMTP_NOTIFY_NEVER},
                 {"SUCCESS", SMTP_NOTIFY_SUCCESS},
                 {"FAILURE", SMTP_NOTIFY_FAILURE},
                 {"DELAY", SMTP_NOTIFY_DELAY}};

    if (*notify != 0 || value.len == 0)
        return ERR_SYNTAX;
    for (;;) {
        const uint8_t *comma = memchr(value.ptr, ',', value.len);
        struct span word = span_make(value.ptr, comma ? (size_t)(comma - value.ptr) : value.len);
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            if (span_equal_nocase(word, span_str(words[i].text)))
                bit = words[i].bit;
        }
        if (bit == 0)
            return ERR_SYNTAX;
        *notify |= bit;
        if (!comma)
            break;
        value = span_from(value, word.len + 1);
        if (value.len == 0)
            return ERR_SYNTAX;
    }
    /* NEVER stands alone (RFC 3461 section 4.1). */
    return (*notify & SMTP_NOTIFY_NEVER) && *notify != SMTP_NOTIFY_NEVER ? ERR_SYNTAX : ERR_OK;
}

/* addr-type ";" xtext; with SMTPUTF8 also 8-bit (RFC 6533's utf-8-addr-unitext). */
static bool is_orcpt(struct span value, bool smtputf8)
{
    const uint8_t *semicolon = value.len ? memchr(value.ptr, ';', value.len) : NULL;

    if (!semicolon || semicolon == value.ptr)
        return false;
    struct span type = span_make(value.ptr, (size_t)(semicolon - value.ptr));
    struct span address = span_from(value, type.len + 1);
    for (size_t i = 0; i < type.len; i++) {
        if (!ascii_is_alnum(type.ptr[i]) && type.ptr[i] != '-')
            return false;
    }
    if (address.len == 0)
        return false;
    if (smtputf8 && span_equal_nocase(type, SPAN_LIT("utf-8")))
        return smtp_utf8_valid(address);
    return is_xtext(address);
}

static int rcpt_param(const struct param *p, bool smtputf8, struct smtp_rcpt *r)
{
    if (param_is(p, "NOTIFY"))
        return rcpt_notify(p->value, &r->notify);
    if (param_is(p, "ORCPT"))
        return is_orcpt(p->value, smtputf8) ? span_set_once(&r->orcpt, p->value, 500) : ERR_SYNTAX;
    if (r->unknown.len == 0)
        r->unknown = p->whole;
    return ERR_OK;
}

int smtp_parse_rcpt(struct span rest, bool smtputf8, struct smtp_rcpt *ret)
{
    struct smtp_path path;
    struct param param;
    int err;

    memset(ret, 0, sizeof(*ret));
    if ((err = keyword_strip(&rest, SPAN_LIT("TO:"))) != ERR_OK ||
        (err = path_take(&rest, &path)) != ERR_OK)
        return err;
    while (rest.len > 0) {
        if ((err = param_next(&rest, &param)) != ERR_OK ||
            (err = rcpt_param(&param, smtputf8, ret)) != ERR_OK)
            return err;
    }
    ret->address = path.address;
    ret->domain = path.domain;
    /* <postmaster> alone needs no domain (RFC 5321 section 4.5.1). */
    if (path.domain.len == 0 && !span_equal_nocase(path.address, SPAN_LIT("postmaster")))
        return ERR_RANGE;
    return path.eightbit && !smtputf8 ? ERR_UNSUPPORTED : ERR_OK;
}

int smtp_parse_bdat(struct span rest, uint64_t *ret_size, bool *ret_last)
{
    struct span size = word_next(&rest);

    *ret_last = rest.len > 0;
    if (*ret_last && !span_equal_nocase(rest, SPAN_LIT("LAST")))
        return ERR_SYNTAX;
    return span_to_u64(size, INT64_MAX, ret_size);
}

int smtp_parse_helo(struct span rest, struct span *ret_name)
{
    if (rest.len == 0 || rest.len > 255)
        return ERR_SYNTAX;
    *ret_name = rest;
    if (rest.ptr[0] == '[')
        return smtp_literal_valid(rest) ? ERR_OK : ERR_SYNTAX;
    for (size_t i = 0; i < rest.len; i++) {
        uint8_t c = rest.ptr[i];
        if (!ascii_is_alnum(c) && c != '.' && c != '-' && c != '_')
            return ERR_SYNTAX;
    }
    return ERR_OK;
}
