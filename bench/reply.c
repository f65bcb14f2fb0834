/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

enum { CODE_LEN = 3 };

/* A line of s up to and with its CRLF; ERR_AGAIN without one, ERR_SYNTAX for a bare LF. */
static int line_take(struct span s, struct span *ret_line)
{
    const uint8_t *lf = s.len ? memchr(s.ptr, '\n', s.len) : NULL;

    if (!lf)
        return ERR_AGAIN;
    size_t len = (size_t)(lf - s.ptr) + 1;
    if (len < 2 || s.ptr[len - 2] != '\r')
        return ERR_SYNTAX;
    *ret_line = span_make(s.ptr, len);
    return ERR_OK;
}

static bool code_read(struct span line, unsigned *ret)
{
    if (line.len < CODE_LEN + 2 || line.ptr[0] < '2' || line.ptr[0] > '5')
        return false;
    *ret = 0;
    for (unsigned i = 0; i < CODE_LEN; i++) {
        if (line.ptr[i] < '0' || line.ptr[i] > '9')
            return false;
        *ret = *ret * 10 + (line.ptr[i] - '0');
    }
    uint8_t after = line.ptr[CODE_LEN];
    return after == ' ' || after == '-' || after == '\r';
}

int reply_read(struct span in, struct reply *ret)
{
    size_t used = 0;

    for (unsigned lines = 0; lines < REPLY_LINES_MAX; lines++) {
        struct span line;
        unsigned code;
        int err = line_take(span_from(in, used), &line);
        if (err == ERR_AGAIN)
            return in.len > REPLY_MAX ? ERR_RANGE : ERR_AGAIN;
        if (err != ERR_OK)
            return err;
        if (!code_read(line, &code) || (lines > 0 && code != ret->code))
            return ERR_SYNTAX;
        ret->code = code;
        used += line.len;
        if (used > REPLY_MAX)
            return ERR_RANGE;
        if (line.ptr[CODE_LEN] == '-')
            continue;
        ret->bytes = span_make(in.ptr, used);
        ret->text = line.len > CODE_LEN + 2
                        ? span_make(line.ptr + CODE_LEN + 1, line.len - CODE_LEN - 3)
                        : span_make(line.ptr, 0);
        return ERR_OK;
    }
    return ERR_RANGE;
}

bool reply_has_keyword(const struct reply *r, struct span keyword)
{
    struct span rest = r->bytes, line;

    for (unsigned i = 0; line_take(rest, &line) == ERR_OK; i++) {
        rest = span_from(rest, line.len);
        struct span word = span_from(line, CODE_LEN + 1);
        if (i == 0 || word.len < keyword.len || !span_starts_nocase(word, keyword))
            continue;
        uint8_t after = word.len > keyword.len ? word.ptr[keyword.len] : '\r';
        if (after == ' ' || after == '\r')
            return true;
    }
    return false;
}
