/* SPDX-License-Identifier: Apache-2.0 */
#include "received.h"

#include "text.h"

#include <time.h>

enum { LINE_MAX_WANTED = 78 };

/* Puts words with a blank between them, or with a fold where the line would get too long. */
struct folder {
    struct text text;
    size_t column;
};

/* One word of three parts. */
static void word_add(struct folder *f, const char *before, struct span word, const char *after)
{
    size_t len = strlen(before) + word.len + strlen(after);
    bool fold = f->column + 1 + len > LINE_MAX_WANTED;

    if (fold)
        text_put(&f->text, "\r\n\t", 3);
    else if (f->column > 0)
        text_put(&f->text, " ", 1);
    f->column = fold ? 8 + len : f->column + (f->column > 0) + len;
    text_str(&f->text, before);
    text_span(&f->text, word);
    text_str(&f->text, after);
}

static void str_add(struct folder *f, const char *before, const char *word, const char *after)
{
    word_add(f, before, span_str(word), after);
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
    if (s->era.user[0] != '\0') /* RFC 3848; never without TLS */
        return s->txn.mail.smtputf8 ? "UTF8SMTPSA" : "ESMTPSA";
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

static int date_add(struct folder *f, uint64_t wall_us)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(wall_us / 1000000);
    char room[64];
    struct text date = text_into(room, sizeof(room));
    struct tm tm;

    if (!gmtime_r(&seconds, &tm))
        return ERR_RANGE;
    text_put(&date, days + tm.tm_wday * 3, 3);
    text_str(&date, ", ");
    text_u64(&date, (unsigned)tm.tm_mday, 1);
    text_str(&date, " ");
    text_put(&date, months + tm.tm_mon * 3, 3);
    text_str(&date, " ");
    text_u64(&date, (unsigned)tm.tm_year + 1900, 4);
    text_str(&date, " ");
    text_u64(&date, (unsigned)tm.tm_hour, 2);
    text_str(&date, ":");
    text_u64(&date, (unsigned)tm.tm_min, 2);
    text_str(&date, ":");
    text_u64(&date, (unsigned)tm.tm_sec, 2);
    word_add(f, "", span_make(room, date.len), " +0000");
    return ERR_OK;
}

static void tls_comment_add(struct folder *f, const struct tls_facts *tls)
{
    str_add(f, "(", tls_version_text(tls->version), "");
    str_add(f, "", tls->suite, "");
    if (tls->group[0] != '\0')
        str_add(f, "", tls->group, "");
    str_add(f, "verify=", tls_verify_text(tls->verify), ")");
}

/* Into f->text, with its CRLF; ERR_FULL where it does not fit. */
static int write_line(const struct smtp_session *s, const char *ptr,
                      const struct smtp_recipient *rcpt, uint64_t wall_us, struct folder *f)
{
    const struct tls_facts *tls = s->peer.tls_done ? &s->peer.tls : NULL;
    char literal[NET_ADDR_TEXT], room[256];

    str_add(f, "Received: from ", clean(smtp_session_helo(s), room), "");
    str_add(f, "(", clean(ptr[0] != '\0' ? ptr : "unknown", room), "");
    str_add(f, "", net_addr_literal(smtp_session_client(s), literal), ")");
    str_add(f, "by ", s->peer.conf->gateway.hostname, "");
    str_add(f, "", "(postern)", "");
    str_add(f, "with ", protocol(s), "");
    str_add(f, "id ", s->txn.id, "");
    if (tls)
        tls_comment_add(f, tls);
    if (rcpt)
        word_add(f, "for <", rcpt->rcpt.address, ">");
    /* RFC 8314 section 4.3: the last clause. */
    if (tls)
        str_add(f, "tls ", tls->suite, "");
    if (tls && tls->group[0] != '\0')
        str_add(f, "group ", tls->group, "");
    text_put(&f->text, ";", 1);
    f->column++;
    int err = date_add(f, wall_us);
    text_put(&f->text, "\r\n", 2);
    return !err && f->text.full ? ERR_FULL : err;
}

int received_write(const struct smtp_session *s, const char *ptr, uint64_t wall_us, struct buf *out)
{
    const struct smtp_recipient *rcpt = single_recipient(&s->txn);
    uint8_t *room = buf_reserve(out, SMTP_RECEIVED_MAX);

    if (!room)
        return ERR_NOMEM;
    struct folder f = {.text = text_into(room, SMTP_RECEIVED_MAX)};
    int err = write_line(s, ptr, rcpt, wall_us, &f);

    /* Names may have 255 bytes each and an address more: what does not fit is left out, the
     * recipient first. */
    if (err == ERR_FULL && rcpt) {
        f = (struct folder){.text = text_into(room, SMTP_RECEIVED_MAX)};
        err = write_line(s, ptr, NULL, wall_us, &f);
    }
    if (err == ERR_FULL) {
        f = (struct folder){.text = text_into(room, SMTP_RECEIVED_MAX)};
        err = write_line(s, "", NULL, wall_us, &f);
    }
    if (err == ERR_OK)
        buf_commit(out, f.text.len);
    return err;
}
