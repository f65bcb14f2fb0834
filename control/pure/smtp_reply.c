/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_reply.h"

#include "text.h"

#include <string.h>

/* RFC 5321 section 4.5.3.1.5: a reply line has at most 512 bytes with code and CRLF. */
enum { LINE_TEXT_MAX = 480, ENHANCED_MAX = 40 };

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
static size_t enhanced_put(const struct smtp_reply *reply, bool without, char out[ENHANCED_MAX])
{
    unsigned class = smtp_reply_class(reply);
    bool own = reply->enhanced.class == class;
    struct text t = text_into(out, ENHANCED_MAX);

    if (without || (class != 2 && class != 4 && class != 5))
        return 0;
    text_u64(&t, class, 1);
    text_put(&t, ".", 1);
    text_u64(&t, own ? reply->enhanced.subject : 0, 1);
    text_put(&t, ".", 1);
    text_u64(&t, own ? reply->enhanced.detail : 0, 1);
    text_put(&t, " ", 1);
    return t.len;
}

static int line_append(struct buf *out, unsigned code, char mark, struct span enhanced,
                       struct span text)
{
    size_t room = 4 + enhanced.len + text.len + 2;
    char *to = (char *)buf_reserve(out, room);

    if (!to)
        return ERR_FULL;
    to[0] = (char)('0' + code / 100 % 10);
    to[1] = (char)('0' + code / 10 % 10);
    to[2] = (char)('0' + code % 10);
    to[3] = mark;
    to += 4;
    if (enhanced.len > 0)
        memcpy(to, enhanced.ptr, enhanced.len);
    to += enhanced.len;
    for (size_t i = 0; i < text.len; i++)
        *to++ = text.ptr[i] < ' ' || text.ptr[i] > '~' ? '?' : (char)text.ptr[i];
    to[0] = '\r';
    to[1] = '\n';
    buf_commit(out, room);
    return ERR_OK;
}

int smtp_reply_write(const struct smtp_reply *reply, bool without_enhanced, struct buf *out)
{
    struct span rest = span_make(reply->text, reply->len);
    char text[ENHANCED_MAX];
    struct span enhanced = span_make(text, enhanced_put(reply, without_enhanced, text));
    bool last;

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
