/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_reply.h"

/* A reply is given again from its start until all of it is there, so its size bounds the work that
 * a peer can cause by sending it byte by byte. */
enum { REPLY_BYTES = 16 * 1024, CODE_DIGITS = 3 };

struct line {
    struct span text; /* behind the code and its separator */
    uint16_t code;
    bool last;
    size_t size; /* with CRLF */
};

static bool digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Finds the CRLF. A bare CR or LF is no part of a reply: whoever sends one is not in step with us.
 */
static int line_end(struct span data, size_t *ret_len)
{
    const uint8_t *lf = memchr(data.ptr, '\n', data.len);
    size_t len = lf ? (size_t)(lf - data.ptr) : data.len;
    const uint8_t *cr = memchr(data.ptr, '\r', len);

    if (lf ? (!cr || cr + 1 != lf) : (cr && cr + 1 != data.ptr + data.len))
        return ERR_SYNTAX;
    if (len >= SMTP_REPLY_LINE)
        return ERR_SYNTAX;
    if (!lf)
        return ERR_AGAIN;
    *ret_len = len - 1;
    return ERR_OK;
}

static int code_parse(struct span s, uint16_t *ret)
{
    for (size_t i = 0; i < CODE_DIGITS && i < s.len; i++)
        if (!digit(s.ptr[i]))
            return ERR_SYNTAX;
    if (s.len > 0 && (s.ptr[0] < '2' || s.ptr[0] > '5'))
        return ERR_SYNTAX;
    if (s.len > CODE_DIGITS && s.ptr[3] != ' ' && s.ptr[3] != '-' && s.ptr[3] != '\r')
        return ERR_SYNTAX;
    if (s.len < CODE_DIGITS)
        return ERR_AGAIN;
    *ret = (uint16_t)((s.ptr[0] - '0') * 100 + (s.ptr[1] - '0') * 10 + (s.ptr[2] - '0'));
    return ERR_OK;
}

static int line_parse(struct span data, struct line *ret)
{
    size_t len;
    int code_err = code_parse(data, &ret->code);

    if (code_err == ERR_SYNTAX)
        return code_err;
    int err = line_end(data, &len);
    if (err)
        return err;
    if (code_err || len < CODE_DIGITS)
        return ERR_SYNTAX;
    ret->last = len == CODE_DIGITS || data.ptr[CODE_DIGITS] == ' ';
    ret->text = span_from(span_make(data.ptr, len), CODE_DIGITS + 1);
    ret->size = len + 2;
    return ERR_OK;
}

static size_t number_parse(struct span s, uint16_t *ret)
{
    size_t n = 0;

    for (*ret = 0; n < s.len && n < 3 && digit(s.ptr[n]); n++)
        *ret = (uint16_t)(*ret * 10 + (s.ptr[n] - '0'));
    return n;
}

/* "5.7.1" at the front of text, followed by a blank or nothing; it counts only where its class is
 * the code's (RFC 2034 section 4). Returns how many bytes it and its blank take. */
static size_t enhanced_parse(struct span text, uint16_t code, struct smtp_enhanced *ret)
{
    struct smtp_enhanced e = {.class = code / 100};

    if (text.len < 5 || text.ptr[0] != '0' + e.class || text.ptr[1] != '.')
        return 0;
    size_t at = 2;
    size_t n = number_parse(span_from(text, at), &e.subject);
    at += n;
    if (n == 0 || at >= text.len || text.ptr[at] != '.')
        return 0;
    n = number_parse(span_from(text, ++at), &e.detail);
    at += n;
    if (n == 0 || (at < text.len && text.ptr[at] != ' '))
        return 0;
    *ret = e;
    return at < text.len ? at + 1 : at;
}

static void text_add(struct smtp_reply *r, struct span text)
{
    if (r->lines > 0 && r->len < SMTP_REPLY_TEXT)
        r->text[r->len++] = '\n';
    for (size_t i = 0; i < text.len && r->len < SMTP_REPLY_TEXT; i++) {
        uint8_t c = text.ptr[i];
        r->text[r->len++] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
}

int smtp_reply_parse(const uint8_t *data, size_t len, struct smtp_reply *ret, size_t *ret_used)
{
    size_t at = 0;
    struct line line = {.last = false};

    ret->code = 0;
    ret->lines = 0;
    ret->len = 0;
    ret->enhanced = (struct smtp_enhanced){0};
    while (!line.last) {
        if (at >= len)
            return at >= REPLY_BYTES ? ERR_SYNTAX : ERR_AGAIN;
        int err = line_parse(span_make(data + at, len - at), &line);
        if (err == ERR_AGAIN && len >= REPLY_BYTES)
            return ERR_SYNTAX;
        if (err)
            return err;
        at += line.size;
        if (at > REPLY_BYTES || ret->lines == SMTP_REPLY_LINES ||
            (ret->lines > 0 && line.code != ret->code))
            return ERR_SYNTAX;
        ret->code = line.code;
        struct smtp_enhanced e = {0};
        size_t skip = enhanced_parse(line.text, line.code, &e);
        if (ret->lines == 0)
            ret->enhanced = e;
        text_add(ret, span_from(line.text, skip));
        ret->lines++;
    }
    *ret_used = at;
    return ERR_OK;
}
