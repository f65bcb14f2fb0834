/* SPDX-License-Identifier: Apache-2.0 */
#include "received.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { LINE_MAX_WANTED = 78 };

/* Puts words with a blank between them, or with a fold where the line would get too long. */
struct folder {
    struct buf *out;
    size_t column;
    int err;
};

static void word_add(struct folder *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void word_add(struct folder *f, const char *format, ...)
{
    char word[SMTP_RECEIVED_MAX];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(word, sizeof(word), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(word))
        f->err = ERR_FULL;
    if (f->err != ERR_OK)
        return;
    bool fold = f->column + 1 + (size_t)len > LINE_MAX_WANTED;
    const char *gap = fold ? "\r\n\t" : f->column > 0 ? " " : "";
    f->column = fold ? 8 + (size_t)len : f->column + strlen(gap) + (size_t)len;
    f->err = buf_printf(f->out, "%s%s", gap, word);
}

/* A peer's bytes, so that they can neither end the line nor a comment (RFC 5322 section 3.2.2). */
static const char *clean(const char *text, char out[256])
{
    size_t len = 0;

    for (; text[len] != '\0' && len < 255; len++) {
        unsigned char c = (unsigned char)text[len];
        out[len] = c <= ' ' || c > '~' || strchr("()\\<>;\"", c) ? '?' : (char)c;
    }
    out[len] = '\0';
    return out;
}

static const char *protocol(const struct smtp_session *s)
{
    if (!s->era.extended)
        return "SMTP";
    if (s->txn.mail.smtputf8) /* RFC 6531 section 4.3 */
        return s->peer.tls_done ? "UTF8SMTPS" : "UTF8SMTP";
    return s->peer.tls_done ? "ESMTPS" : "ESMTP";
}

/* The only recipient that the next hop took, NULL where there are more: none may learn of another
 * (RFC 5321 section 7.2). */
static const struct smtp_recipient *single_recipient(const struct smtp_transaction *txn)
{
    for (unsigned i = 0; txn->accepted == 1 && i < txn->recipients_len; i++) {
        if (txn->recipients[i].accepted)
            return &txn->recipients[i];
    }
    return NULL;
}

static void date_add(struct folder *f, uint64_t wall_us)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm)) {
        f->err = ERR_RANGE;
        return;
    }
    word_add(f, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void tls_comment_add(struct folder *f, const struct tls_facts *tls)
{
    word_add(f, "(%s", tls_version_text(tls->version));
    word_add(f, "%s", tls->suite);
    if (tls->group[0] != '\0')
        word_add(f, "%s", tls->group);
    word_add(f, "verify=%s)", tls_verify_text(tls->verify));
}

static int write_line(const struct smtp_session *s, const char *ptr,
                      const struct smtp_recipient *rcpt, uint64_t wall_us, struct buf *out)
{
    struct folder f = {.out = out};
    const struct tls_facts *tls = s->peer.tls_done ? &s->peer.tls : NULL;
    char literal[NET_ADDR_TEXT], room[256];

    word_add(&f, "Received: from %s", clean(smtp_session_helo(s), room));
    if (s->era.xclient)
        ptr = s->era.client_name;
    word_add(&f, "(%s", clean(ptr[0] != '\0' ? ptr : "unknown", room));
    word_add(&f, "%s)", net_addr_literal(smtp_session_client(s), literal));
    word_add(&f, "by %s", s->peer.conf->gateway.hostname);
    word_add(&f, "(postern)");
    word_add(&f, "with %s", protocol(s));
    word_add(&f, "id %s", s->txn.id);
    if (tls)
        tls_comment_add(&f, tls);
    if (rcpt)
        word_add(&f, "for <%.*s>", (int)rcpt->rcpt.address.len,
                 (const char *)rcpt->rcpt.address.ptr);
    /* RFC 8314 section 4.3: the last clause. */
    if (tls)
        word_add(&f, "tls %s", tls->suite);
    if (tls && tls->group[0] != '\0')
        word_add(&f, "group %s", tls->group);
    if (f.err == ERR_OK)
        f.err = buf_append(out, ";", 1);
    f.column++;
    date_add(&f, wall_us);
    return f.err == ERR_OK ? buf_append(out, "\r\n", 2) : f.err;
}

int received_write(const struct smtp_session *s, const char *ptr, uint64_t wall_us, struct buf *out)
{
    const struct smtp_recipient *rcpt = single_recipient(&s->txn);
    struct buf line;
    int err;

    /* Names may have 255 bytes each and an address more: what does not fit is left out, the
     * recipient first. */
    buf_init(&line, SMTP_RECEIVED_MAX);
    err = write_line(s, ptr, rcpt, wall_us, &line);
    if (err == ERR_FULL && rcpt) {
        buf_clear(&line);
        err = write_line(s, ptr, NULL, wall_us, &line);
    }
    if (err == ERR_FULL) {
        buf_clear(&line);
        err = write_line(s, "", NULL, wall_us, &line);
    }
    if (err == ERR_OK)
        err = buf_append_span(out, buf_span(&line));
    buf_release(&line);
    return err;
}
