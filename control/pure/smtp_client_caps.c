/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_client_priv.h"

#include "ascii.h"

static const struct {
    const char *keyword;
    size_t flag; /* place of the bool in struct smtp_caps */
} flags[] = {
    {"PIPELINING", offsetof(struct smtp_caps, pipelining)},
    {"SIZE", offsetof(struct smtp_caps, size)},
    {"8BITMIME", offsetof(struct smtp_caps, eightbit)},
    {"SMTPUTF8", offsetof(struct smtp_caps, smtputf8)},
    {"CHUNKING", offsetof(struct smtp_caps, chunking)},
    {"BINARYMIME", offsetof(struct smtp_caps, binarymime)},
    {"DSN", offsetof(struct smtp_caps, dsn)},
    {"STARTTLS", offsetof(struct smtp_caps, starttls)},
    {"ENHANCEDSTATUSCODES", offsetof(struct smtp_caps, enhanced)},
    {"XCLIENT", offsetof(struct smtp_caps, xclient)},
    {"REQUIRETLS", offsetof(struct smtp_caps, requiretls)},
};

static const struct {
    const char *name;
    enum smtp_xclient_attr attr;
} attrs[] = {
    {"NAME", SMTP_XCLIENT_NAME},
    {"ADDR", SMTP_XCLIENT_ADDR},
    {"PORT", SMTP_XCLIENT_PORT},
    {"PROTO", SMTP_XCLIENT_PROTO},
    {"HELO", SMTP_XCLIENT_HELO},
    {"DESTADDR", SMTP_XCLIENT_DESTADDR},
    {"DESTPORT", SMTP_XCLIENT_DESTPORT},
    {"LOGIN", SMTP_XCLIENT_LOGIN},
    {"REVERSE_NAME", SMTP_XCLIENT_REVERSE_NAME},
};

/* The next word of s up to a blank, and s moved behind it; false at the end. */
static bool word_next(struct span *s, struct span *ret)
{
    size_t n = 0;

    *s = span_trim_start(*s);
    while (n < s->len && !ascii_is_blank(s->ptr[n]))
        n++;
    *ret = span_make(s->ptr, n);
    *s = span_from(*s, n);
    return n > 0;
}

static bool word_is(struct span word, const char *text)
{
    return span_equal_nocase(word, span_str(text));
}

static void limit_read(struct span word, struct smtp_caps *caps)
{
    uint64_t value;

    if (span_starts_nocase(word, SPAN_LIT("RCPTMAX=")) &&
        span_to_u64(span_from(word, 8), UINT32_MAX, &value) == ERR_OK)
        caps->rcpt_max = (uint32_t)value;
    if (span_starts_nocase(word, SPAN_LIT("MAILMAX=")) &&
        span_to_u64(span_from(word, 8), UINT32_MAX, &value) == ERR_OK)
        caps->mail_max = (uint32_t)value;
}

static void parameter_read(struct span keyword, struct span word, struct smtp_caps *caps)
{
    if (word_is(keyword, "SIZE") && span_to_u64(word, UINT64_MAX / 2, &caps->size_limit) != ERR_OK)
        caps->size_limit = 0;
    if (word_is(keyword, "AUTH") || word_is(keyword, "AUTH=")) {
        caps->auth_plain |= word_is(word, "PLAIN");
        caps->auth_login |= word_is(word, "LOGIN");
    }
    if (word_is(keyword, "LIMITS"))
        limit_read(word, caps);
    if (word_is(keyword, "XCLIENT"))
        for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
            if (word_is(word, attrs[i].name))
                caps->xclient_attrs |= attrs[i].attr;
}

static void line_read(struct span line, struct smtp_caps *caps)
{
    struct span keyword, word;

    if (!word_next(&line, &keyword))
        return;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (word_is(keyword, flags[i].keyword))
            *(bool *)((uint8_t *)caps + flags[i].flag) = true;
    /* "AUTH=LOGIN" is how some old servers say it, beside the real line. */
    if (span_starts_nocase(keyword, SPAN_LIT("AUTH=")))
        parameter_read(SPAN_LIT("AUTH"), span_from(keyword, 5), caps);
    while (word_next(&line, &word))
        parameter_read(keyword, word, caps);
}

void smtp_caps_read(struct span reply, struct smtp_caps *ret)
{
    bool first = true;

    *ret = (struct smtp_caps){0};
    while (reply.len > 0) {
        const uint8_t *lf = memchr(reply.ptr, '\n', reply.len);
        size_t size = lf ? (size_t)(lf - reply.ptr) + 1 : reply.len;
        struct span line = span_from(span_make(reply.ptr, size >= 2 ? size - 2 : 0), 4);
        if (!first) /* the first line names the host */
            line_read(line, ret);
        first = false;
        reply = span_from(reply, size);
    }
}
