/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_mail.h"

#include "ascii.h"
#include "base64.h"
#include "gzip.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE_MAX = 2048, BOUNDARY_MAX = 70 };

enum encoding { PLAIN, BASE64, QUOTED_PRINTABLE, UNKNOWN };

struct part_head {
    char type[VALUE_MAX]; /* Content-Type, unfolded */
    char encoding[64];
};

struct search {
    unsigned parts; /* seen so far */
    struct buf *out;
    char *why;
    size_t why_room;
};

static int wrong(const struct search *s, int err, const char *text)
{
    snprintf(s->why, s->why_room, "%s", text);
    return err;
}

/* --- lines and headers --- */

/* With its end; empty at the end of all. */
static struct span line_take(struct span *s)
{
    const uint8_t *end = s->len > 0 ? memchr(s->ptr, '\n', s->len) : NULL;
    struct span line = span_make(s->ptr, end ? (size_t)(end - s->ptr) + 1 : s->len);

    *s = span_from(*s, line.len);
    return line;
}

static struct span line_body(struct span line)
{
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    return line;
}

/* What does not fit is left out: then the value is none that we look for. */
static void value_add(char *out, size_t room, struct span s)
{
    size_t len = strlen(out), take = s.len < room - 1 - len ? s.len : room - 1 - len;

    for (size_t i = 0; i < take; i++)
        out[len + i] = (char)(s.ptr[i] != '\0' ? s.ptr[i] : ' ');
    out[len + take] = '\0';
}

/* Up to and with the empty line; what follows in *rest is the body. */
static void head_read(struct span *rest, struct part_head *ret)
{
    char *value = NULL;
    size_t room = 0;

    memset(ret, 0, sizeof(*ret));
    while (rest->len > 0) {
        struct span line = line_body(line_take(rest));
        if (line.len == 0)
            return;
        if (ascii_is_blank(line.ptr[0])) {
            if (value)
                value_add(value, room, line);
            continue;
        }
        value = NULL;
        if (span_starts_nocase(line, SPAN_LIT("Content-Type:")) && !ret->type[0]) {
            value = ret->type;
            room = sizeof(ret->type);
            line = span_from(line, sizeof("Content-Type:") - 1);
        } else if (span_starts_nocase(line, SPAN_LIT("Content-Transfer-Encoding:")) &&
                   !ret->encoding[0]) {
            value = ret->encoding;
            room = sizeof(ret->encoding);
            line = span_from(line, sizeof("Content-Transfer-Encoding:") - 1);
        }
        if (value)
            value_add(value, room, span_trim_start(line));
    }
}

/* "type/subtype" is what the value begins with. */
static bool type_is(const char *value, const char *type)
{
    struct span v = span_str(value), t = span_str(type);

    return span_starts_nocase(v, t) &&
           (v.len == t.len || ascii_is_blank(v.ptr[t.len]) || v.ptr[t.len] == ';');
}

/* One "; name=value" from at on, quoted or not. False: there is none more. */
static bool parameter_take(struct span *at, struct span *ret_name, char *out, size_t room)
{
    const uint8_t *semicolon = at->len > 0 ? memchr(at->ptr, ';', at->len) : NULL;
    size_t len = 0, name = 0;

    if (!semicolon)
        return false;
    *at = span_trim_start(span_from(*at, (size_t)(semicolon - at->ptr) + 1));
    while (name < at->len && at->ptr[name] != '=' && at->ptr[name] != ';')
        name++;
    *ret_name = span_trim_end(span_make(at->ptr, name));
    *at = span_from(*at, name);
    out[0] = '\0';
    if (at->len == 0 || at->ptr[0] == ';')
        return true;
    *at = span_trim_start(span_from(*at, 1));
    bool quoted = at->len > 0 && at->ptr[0] == '"';
    *at = span_from(*at, quoted);
    while (at->len > 0 && (quoted ? at->ptr[0] != '"' : at->ptr[0] != ';')) {
        if (quoted && at->ptr[0] == '\\')
            *at = span_from(*at, 1);
        if (at->len > 0 && len + 1 < room)
            out[len++] = (char)at->ptr[0];
        *at = span_from(*at, 1);
    }
    while (!quoted && len > 0 && ascii_is_blank((uint8_t)out[len - 1]))
        len--;
    out[len] = '\0';
    *at = span_from(*at, quoted);
    return true;
}

static bool parameter_find(const char *value, const char *name, char *out, size_t room)
{
    struct span at = span_str(value), found;

    while (parameter_take(&at, &found, out, room))
        if (span_equal_nocase(found, span_str(name)))
            return out[0] != '\0';
    return false;
}

/* --- bodies --- */

static enum encoding encoding_of(const char *value)
{
    struct span v = span_trim_end(span_str(value));

    if (v.len == 0 || span_equal_nocase(v, SPAN_LIT("7bit")) ||
        span_equal_nocase(v, SPAN_LIT("8bit")) || span_equal_nocase(v, SPAN_LIT("binary")))
        return PLAIN;
    if (span_equal_nocase(v, SPAN_LIT("base64")))
        return BASE64;
    return span_equal_nocase(v, SPAN_LIT("quoted-printable")) ? QUOTED_PRINTABLE : UNKNOWN;
}

/* RFC 2045 section 6.8: line ends among the characters do not count; any other byte is damage. */
static int base64_take(struct span in, struct buf *out)
{
    uint8_t *text = malloc(in.len + 1);
    uint8_t *room = buf_reserve(out, in.len / 4 * 3 + 3);
    size_t len = 0, got = 0;
    int err = text && room ? ERR_OK : ERR_NOMEM;

    for (size_t i = 0; i < in.len && !err; i++)
        if (in.ptr[i] != '\r' && in.ptr[i] != '\n' && !ascii_is_blank(in.ptr[i]))
            text[len++] = in.ptr[i];
    if (!err)
        err = base64_decode(span_make(text, len), room, in.len / 4 * 3 + 3, &got);
    if (!err)
        buf_commit(out, got);
    free(text);
    return err;
}

static int quoted_take(struct span in, struct buf *out)
{
    while (in.len > 0) {
        struct span line = line_take(&in), text = line_body(line);
        bool soft = text.len > 0 && text.ptr[text.len - 1] == '=';
        size_t end = text.len - soft;
        for (size_t i = 0; i < end; i++) {
            uint8_t c = text.ptr[i];
            if (c == '=') {
                int high = i + 2 < end ? ascii_hex_value(text.ptr[i + 1]) : -1;
                int low = high >= 0 ? ascii_hex_value(text.ptr[i + 2]) : -1;
                if (low < 0)
                    return ERR_SYNTAX;
                c = (uint8_t)(high * 16 + low);
                i += 2;
            }
            int err = buf_append(out, &c, 1);
            if (err)
                return err;
        }
        int err = soft || line.len == text.len ? ERR_OK : buf_append(out, "\n", 1);
        if (err)
            return err;
    }
    return ERR_OK;
}

static int body_take(const struct search *s, const char *encoding, struct span in, struct buf *out)
{
    int err = ERR_OK;

    switch (encoding_of(encoding)) {
    case PLAIN:
        return buf_append_span(out, in);
    case BASE64:
        err = base64_take(in, out);
        if (err == ERR_SYNTAX)
            return wrong(s, err,
                         "the report's part is no whole base64: save the mail again, as it came");
        return err;
    case QUOTED_PRINTABLE:
        err = quoted_take(in, out);
        if (err == ERR_SYNTAX)
            return wrong(
                s, err,
                "the report's part is no whole quoted-printable: save the mail again, as it came");
        return err;
    case UNKNOWN:
        break;
    }
    return wrong(s, ERR_SYNTAX,
                 "the report's part has a Content-Transfer-Encoding that is none of 7bit, 8bit, "
                 "binary, quoted-printable, base64");
}

/* --- JSON, or gzip of it --- */

static struct span space_skip(struct span s)
{
    if (s.len >= 3 && memcmp(s.ptr, "\xef\xbb\xbf", 3) == 0)
        s = span_from(s, 3);
    while (s.len > 0 && (ascii_is_blank(s.ptr[0]) || s.ptr[0] == '\r' || s.ptr[0] == '\n'))
        s = span_from(s, 1);
    return s;
}

static int content_take(const struct search *s, struct span in)
{
    int err;

    if (!gzip_is(in)) {
        err = buf_append_span(s->out, space_skip(in));
        return err == ERR_FULL ? wrong(s, err, "the report is larger than 8 MiB") : err;
    }
    err = gzip_inflate(in, s->out);
    switch (err) {
    case ERR_AGAIN:
        return wrong(s, ERR_SYNTAX, "the gzip file is cut off: its end is missing");
    case ERR_SYNTAX:
        return wrong(s, err, "the gzip file is damaged");
    case ERR_FULL:
        return wrong(s, err, "the gzip file holds more than 8 MiB, which no report needs");
    default:
        return err;
    }
}

/* --- parts --- */

static bool is_report(const char *type, bool in_report)
{
    static const char *const always[] = {"application/tlsrpt+gzip", "application/tlsrpt+json"};
    /* What some senders call it; counts inside a mail that says that it is a report. */
    static const char *const within[] = {"application/gzip", "application/x-gzip",
                                         "application/json", "application/octet-stream"};

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (type_is(type, always[i]))
            return true;
    for (size_t i = 0; i < sizeof(within) / sizeof(within[0]) && in_report; i++)
        if (type_is(type, within[i]))
            return true;
    return false;
}

enum delimiter { NO_DELIMITER, DELIMITER, LAST_DELIMITER };

static enum delimiter delimiter_of(struct span line, const char *boundary)
{
    size_t len = strlen(boundary);

    line = span_trim_end(line_body(line));
    if (line.len < len + 2 || line.ptr[0] != '-' || line.ptr[1] != '-' ||
        memcmp(line.ptr + 2, boundary, len) != 0)
        return NO_DELIMITER;
    if (line.len == len + 2)
        return DELIMITER;
    return line.len == len + 4 && memcmp(line.ptr + len + 2, "--", 2) == 0 ? LAST_DELIMITER
                                                                           : NO_DELIMITER;
}

static int part_search(struct search *s, struct span part, unsigned depth, bool in_report);

static int multipart_search(struct search *s, const char *type, struct span body, unsigned depth,
                            bool in_report)
{
    char boundary[BOUNDARY_MAX + 2], report[32];
    struct span rest = body, part = {0};
    bool inside = false;

    if (!parameter_find(type, "boundary", boundary, sizeof(boundary)) ||
        strlen(boundary) > BOUNDARY_MAX)
        return wrong(s, ERR_SYNTAX,
                     "a multipart of the mail has no boundary, of at most 70 characters");
    in_report = in_report || (parameter_find(type, "report-type", report, sizeof(report)) &&
                              span_equal_nocase(span_str(report), SPAN_LIT("tlsrpt")));
    while (rest.len > 0) {
        struct span line = line_take(&rest);
        enum delimiter is = delimiter_of(line, boundary);
        if (is == NO_DELIMITER)
            continue;
        /* The line end before it is the delimiter's (RFC 2046 section 5.1.1). */
        part.len = inside ? (size_t)(line.ptr - part.ptr) : 0;
        part.len -= part.len > 0;
        part.len -= part.len > 0 && part.ptr[part.len - 1] == '\r';
        int err = inside ? part_search(s, part, depth + 1, in_report) : ERR_NOTFOUND;
        if (err != ERR_NOTFOUND)
            return err;
        part = rest;
        inside = is == DELIMITER;
        if (!inside)
            return ERR_NOTFOUND;
    }
    /* Without its last delimiter the mail may be cut off; its last part tells itself. */
    return inside ? part_search(s, part, depth + 1, in_report) : ERR_NOTFOUND;
}

static int part_search(struct search *s, struct span part, unsigned depth, bool in_report)
{
    struct part_head head;
    struct buf content;

    if (depth > TLSRPT_MAIL_DEPTH || ++s->parts > TLSRPT_MAIL_PARTS)
        return wrong(s, ERR_FULL,
                     "the mail has more parts, or parts within parts, than a report needs");
    head_read(&part, &head);
    if (span_starts_nocase(span_str(head.type), SPAN_LIT("multipart/")))
        return multipart_search(s, head.type, part, depth, in_report);
    if (!is_report(head.type, in_report))
        return ERR_NOTFOUND;
    buf_init(&content, TLSRPT_MAIL_MAX);
    int err = body_take(s, head.encoding, part, &content);
    if (!err)
        err = content_take(s, buf_span(&content));
    buf_release(&content);
    return err;
}

/* --- the whole --- */

/* A line of a header, "Name: ...", or what mbox files have before it. */
static bool is_mail(struct span file)
{
    struct span line = line_take(&file);
    size_t len = 0;

    if (line.len >= 5 && memcmp(line.ptr, "From ", 5) == 0)
        line = line_take(&file);
    while (len < line.len && line.ptr[len] > ' ' && line.ptr[len] < 0x7f && line.ptr[len] != ':')
        len++;
    return len > 0 && len < line.len && line.ptr[len] == ':';
}

int tlsrpt_unpack(struct span file, struct buf *ret_json, char *why, size_t why_room)
{
    struct search s = {.out = ret_json, .why = why, .why_room = why_room};
    struct span start = space_skip(file);
    int err;

    why[0] = '\0';
    if (file.len > TLSRPT_MAIL_MAX)
        return wrong(&s, ERR_FULL, "the file is larger than 32 MiB");
    if (gzip_is(file) || (start.len > 0 && start.ptr[0] == '{'))
        err = content_take(&s, file);
    else if (is_mail(file))
        err = part_search(&s, file, 0, false);
    else
        return wrong(
            &s, ERR_SYNTAX,
            "neither JSON, nor gzip of it, nor a mail: save the attachment, or the whole mail "
            "with its header");
    if (err == ERR_NOTFOUND)
        return wrong(
            &s, err,
            "the mail has no report in it: none of its parts is application/tlsrpt+gzip or "
            "application/tlsrpt+json");
    if (err && !why[0])
        return wrong(&s, err, err_text(err));
    return err;
}
