/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_reply.h"

#include <stdio.h>

/* RFC 5321 section 4.5.3.1.5: a reply line has at most 512 bytes with code and CRLF. */
enum { LINE_TEXT_MAX = 480 };

void smtp_reply_make(struct smtp_reply *ret, uint16_t code, uint16_t subject, uint16_t detail,
                     const char *text)
{
    *ret = (struct smtp_reply){.code = code, .lines = 1};
    if (code / 100 != 3)
        ret->enhanced = (struct smtp_enhanced){code / 100, subject, detail};
    ret->len = strnlen(text, sizeof(ret->text) - 1);
    memcpy(ret->text, text, ret->len);
}

/* RFC 2034 section 4: on each line of 2yz, 4yz and 5yz, its class that of the code. */
static void enhanced_text(const struct smtp_reply *reply, bool without, char *out, size_t room)
{
    unsigned class = smtp_reply_class(reply);
    const struct smtp_enhanced *e = &reply->enhanced;

    out[0] = '\0';
    if (without || (class != 2 && class != 4 && class != 5))
        return;
    if (e->class == class)
        snprintf(out, room, "%u.%u.%u ", class, e->subject, e->detail);
    else
        snprintf(out, room, "%u.0.0 ", class);
}

static int line_append(struct buf *out, unsigned code, char mark, const char *enhanced,
                       struct span text)
{
    char clean[LINE_TEXT_MAX];

    for (size_t i = 0; i < text.len; i++)
        clean[i] = text.ptr[i] < ' ' || text.ptr[i] > '~' ? '?' : (char)text.ptr[i];
    return buf_printf(out, "%03u%c%s%.*s\r\n", code, mark, enhanced, (int)text.len, clean);
}

int smtp_reply_write(const struct smtp_reply *reply, bool without_enhanced, struct buf *out)
{
    struct span rest = span_make(reply->text, reply->len);
    char enhanced[24];
    bool last;

    enhanced_text(reply, without_enhanced, enhanced, sizeof(enhanced));
    do {
        const uint8_t *newline = rest.len ? memchr(rest.ptr, '\n', rest.len) : NULL;
        size_t len = newline ? (size_t)(newline - rest.ptr) : rest.len;
        bool cut = len > LINE_TEXT_MAX;
        if (cut)
            len = LINE_TEXT_MAX;
        last = !cut && !newline;
        int err =
            line_append(out, reply->code, last ? ' ' : '-', enhanced, span_make(rest.ptr, len));
        if (err != ERR_OK)
            return err;
        rest = span_from(rest, cut ? len : len + 1);
    } while (!last);
    return ERR_OK;
}
