/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_priv.h"

#include "buf.h"

#include <stdlib.h>

struct scan {
    struct conf_reader *r;
    const char *at;
    unsigned line;
    struct buf out;
    int result;
};

static void copy(struct scan *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        s->line += s->at[i] == '\n';
    if (buf_append(&s->out, s->at, len) != ERR_OK)
        s->result = ERR_NOMEM;
    s->at += len;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '*' || c == '-';
}

/* libconfig would name the line of the file's end, and leak; of a comment it would say nothing. */
static void complain_endless(struct scan *s, const char *what)
{
    conf_errors_add(s->r->errors, s->r->file, s->line, "",
                    "found a %s without its end, allowed is one with it", what);
    s->result = ERR_SYNTAX;
}

static void scan_string(struct scan *s)
{
    size_t len = 1;

    while (s->at[len] && s->at[len] != '"')
        len += s->at[len] == '\\' && s->at[len + 1] ? 2 : 1;
    if (!s->at[len])
        complain_endless(s, "string");
    else
        copy(s, len + 1);
}

static void scan_comment(struct scan *s)
{
    const char *end = strstr(s->at + 2, "*/");

    if (!end)
        complain_endless(s, "comment");
    else
        copy(s, (size_t)(end + 2 - s->at));
}

/* libconfig 1.5 takes a number without the suffix L as 32 bits, whatever it loses; 1.7 takes one
 * that begins with 0 as octal. Here a number is what it looks like, in every version. */
static void scan_number(struct scan *s)
{
    bool hex = s->at[0] == '0' && (s->at[1] == 'x' || s->at[1] == 'X');
    size_t start = hex ? 2 : 0;
    size_t digits = strspn(s->at + start, hex ? "0123456789abcdefABCDEF" : "0123456789");
    size_t len = start + digits, zeros = strspn(s->at + start, "0");
    char after = s->at[len];
    uint64_t value = 0;

    if (after == '.' || (!hex && (after == 'e' || after == 'E'))) {
        copy(s, len + strspn(s->at + len, ".0123456789eE"));
        return;
    }
    if (digits - zeros > (hex ? 15 : 18)) {
        conf_errors_add(s->r->errors, s->r->file, s->line, "",
                        "found a number of %zu digits, allowed up to %s", digits - zeros,
                        hex ? "15 hex digits" : "18 digits");
        s->at += len + strspn(s->at + len, "L");
        if (buf_append(&s->out, "0", 1) != ERR_OK)
            s->result = ERR_NOMEM;
        return;
    }
    value = strtoull(s->at + start, NULL, hex ? 16 : 10);
    if (!hex && zeros > 0) {
        size_t skip = zeros < digits ? zeros : zeros - 1;
        s->at += skip;
        len -= skip;
    }
    copy(s, len);
    if (value > INT32_MAX && after != 'L' && buf_append(&s->out, "L", 1) != ERR_OK)
        s->result = ERR_NOMEM;
}

static bool is_include(const struct scan *s, const char *text)
{
    static const char directive[] = "@include";
    const char *p = s->at;

    if (strncmp(p, directive, sizeof(directive) - 1) != 0)
        return false;
    while (p > text && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    return p == text || p[-1] == '\n';
}

int conf_text_prepare(struct conf_reader *r, const char *text, char **ret)
{
    struct scan s = {.r = r, .at = text, .line = 1};

    *ret = NULL;
    buf_init(&s.out, 0);
    while (*s.at && s.result == ERR_OK) {
        if (*s.at == '"') {
            scan_string(&s);
        } else if (*s.at == '#' || (s.at[0] == '/' && s.at[1] == '/')) {
            copy(&s, strcspn(s.at, "\n"));
        } else if (s.at[0] == '/' && s.at[1] == '*') {
            scan_comment(&s);
        } else if (is_include(&s, text)) {
            conf_errors_add(r->errors, r->file, s.line, "",
                            "found @include, allowed is one file without it");
            s.at += strcspn(s.at, "\n");
        } else if (*s.at >= '0' && *s.at <= '9') {
            scan_number(&s);
        } else {
            size_t word = 0;
            while (is_word(s.at[word]) && !(word == 0 && s.at[word] == '-'))
                word++;
            copy(&s, word ? word : 1);
        }
    }
    if (s.result == ERR_OK)
        s.result = buf_append(&s.out, "", 1) == ERR_OK ? ERR_OK : ERR_NOMEM;
    if (s.result != ERR_OK) {
        buf_release(&s.out);
        return s.result;
    }
    *ret = (char *)s.out.data; /* nothing is consumed: the text starts where the memory does */
    return ERR_OK;
}

/* What would end it, or begin an escape, stands behind a backslash. */
int conf_string_write(const char *text, struct buf *out)
{
    int err = buf_append(out, "\"", 1);

    for (; *text && !err; text++) {
        if (*text == '"' || *text == '\\')
            err = buf_append(out, "\\", 1);
        if (!err)
            err = buf_append(out, text, 1);
    }
    return err ? err : buf_append(out, "\"", 1);
}
