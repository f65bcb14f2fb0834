/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_client_priv.h"

#include "assertion.h"
#include "base64.h"
#include "smtp_answer.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUEUE_START = 8, XCLIENT_VALUE = 256, XCLIENT_LINE = 512 };

static bool queue_room(struct smtp_client *c)
{
    if (c->queue_first == c->queue_last)
        c->queue_first = c->queue_last = 0;
    if (c->queue_last < c->queue_cap)
        return true;
    if (c->queue_first > 0) {
        memmove(c->queue, c->queue + c->queue_first,
                (c->queue_last - c->queue_first) * sizeof(*c->queue));
        c->queue_last -= c->queue_first;
        c->queue_first = 0;
        return true;
    }
    if (c->queue_cap >= SMTP_CLIENT_OUTSTANDING)
        return false;
    unsigned cap = c->queue_cap ? c->queue_cap * 2 : QUEUE_START;
    if (cap > SMTP_CLIENT_OUTSTANDING)
        cap = SMTP_CLIENT_OUTSTANDING;
    struct smtp_client_command *queue = realloc(c->queue, cap * sizeof(*queue));
    if (!queue)
        return false;
    c->queue = queue;
    c->queue_cap = cap;
    return true;
}

int smtp_client_expect(struct smtp_client *c, enum smtp_client_phase phase, unsigned index,
                       uint32_t held)
{
    if (!queue_room(c))
        return ERR_LIMIT;
    c->queue[c->queue_last++] =
        (struct smtp_client_command){.phase = (uint8_t)phase, .index = index, .held = held};
    return ERR_OK;
}

int smtp_client_say(struct smtp_client *c, enum smtp_client_phase phase, unsigned index,
                    const struct span *parts, size_t parts_len)
{
    bool hold = !c->caps.pipelining && c->queue_first != c->queue_last;
    struct buf *to = hold ? &c->held : c->out;
    size_t len = 2;

    for (size_t i = 0; i < parts_len; i++)
        len += parts[i].len;
    if (!queue_room(c))
        return ERR_LIMIT;
    uint8_t *room = buf_reserve(to, len);
    if (!room)
        return ERR_FULL;
    struct text line = text_into(room, len);
    for (size_t i = 0; i < parts_len; i++)
        text_span(&line, parts[i]);
    text_put(&line, "\r\n", 2);
    buf_commit(to, len);
    return smtp_client_expect(c, phase, index, hold ? (uint32_t)len : 0);
}

int smtp_client_unhold(struct smtp_client *c)
{
    if (c->queue_first == c->queue_last)
        return ERR_OK;
    struct smtp_client_command *next = &c->queue[c->queue_first];
    if (next->held == 0)
        return ERR_OK;
    int err = buf_append(c->out, buf_span(&c->held).ptr, next->held);
    if (err)
        return err;
    buf_consume(&c->held, next->held);
    next->held = 0;
    if (buf_len(&c->held) == 0)
        buf_release(&c->held);
    return ERR_OK;
}

static int say_base64(struct smtp_client *c, const char *command, struct span secret)
{
    size_t len = base64_len(secret.len);
    int err = buf_append_span(c->out, span_str(command));

    if (err)
        return err;
    uint8_t *room = buf_reserve(c->out, len + 1); /* base64_encode writes a NUL */
    if (!room)
        return ERR_FULL;
    base64_encode(secret, (char *)room);
    buf_commit(c->out, len);
    err = buf_append(c->out, "\r\n", 2);
    return err ? err : smtp_client_expect(c, SMTP_PHASE_AUTH, 0, 0);
}

static int say_plain(struct smtp_client *c)
{
    struct buf secret;

    buf_init(&secret, 0);
    int err = buf_append(&secret, "", 1);
    if (!err)
        err = buf_append(&secret, c->conf->user, strlen(c->conf->user) + 1);
    if (!err)
        err = buf_append_span(&secret, span_str(c->conf->password));
    if (!err)
        err = say_base64(c, "AUTH PLAIN ", buf_span(&secret));
    explicit_bzero(secret.data, secret.cap);
    buf_release(&secret);
    return err;
}

int smtp_client_say_auth(struct smtp_client *c)
{
    c->auth_step = 0;
    switch (c->conf->auth) {
    case CONF_AUTH_NONE:
        return ERR_STATE;
    case CONF_AUTH_PLAIN:
        return c->caps.auth_plain ? say_plain(c) : ERR_UNSUPPORTED;
    case CONF_AUTH_LOGIN:
        return c->caps.auth_login ? SAY(c, SMTP_PHASE_AUTH, 0, SPAN_LIT("AUTH LOGIN"))
                                  : ERR_UNSUPPORTED;
    }
    return ERR_STATE;
}

int smtp_client_say_auth_more(struct smtp_client *c)
{
    if (c->conf->auth != CONF_AUTH_LOGIN || c->auth_step > 1)
        return ERR_STATE;
    return say_base64(c, "", span_str(c->auth_step++ == 0 ? c->conf->user : c->conf->password));
}

/* xtext (RFC 3461 section 4), as XCLIENT values are written. */
static void xtext(const char *value, char out[XCLIENT_VALUE])
{
    size_t n = 0;

    if (!value || !value[0])
        value = "[UNAVAILABLE]";
    for (const uint8_t *p = (const uint8_t *)value; *p && n + 4 < XCLIENT_VALUE; p++) {
        if (*p > ' ' && *p < 0x7f && *p != '+' && *p != '=') {
            out[n++] = (char)*p;
            continue;
        }
        static const char hex[] = "0123456789ABCDEF";
        out[n++] = '+';
        out[n++] = hex[*p >> 4];
        out[n++] = hex[*p & 15];
    }
    out[n] = '\0';
}

struct xclient_line {
    struct buf text;
    uint32_t offered;
    int err;
};

static void xclient_add(struct xclient_line *l, enum smtp_xclient_attr attr, const char *name,
                        const char *value)
{
    char coded[XCLIENT_VALUE];

    if (!(l->offered & attr) || l->err)
        return;
    xtext(value, coded);
    /* A line holds 512 bytes; Postfix's manual asks for as many commands as it takes. One is
     * enough unless names are very long: those are then not told. */
    if (buf_len(&l->text) + strlen(name) + strlen(coded) + 4 <= XCLIENT_LINE)
        l->err = buf_printf(&l->text, " %s=%s", name, coded);
}

int smtp_client_say_xclient(struct smtp_client *c)
{
    const struct smtp_client_speaks_for *who = c->conf->xclient;
    struct xclient_line l = {.offered = c->caps.xclient_attrs};
    char ip[NET_ADDR_TEXT], addr[NET_ADDR_TEXT + 8], port[8];

    net_addr_ip_text(who->addr, ip);
    buf_init(&l.text, 0);
    snprintf(addr, sizeof(addr), "%s%s", net_addr_is_v6(who->addr) ? "IPV6:" : "", ip);
    snprintf(port, sizeof(port), "%u", net_addr_port(who->addr));
    xclient_add(&l, SMTP_XCLIENT_ADDR, "ADDR", addr);
    xclient_add(&l, SMTP_XCLIENT_PORT, "PORT", port);
    xclient_add(&l, SMTP_XCLIENT_PROTO, "PROTO", who->esmtp ? "ESMTP" : "SMTP");
    xclient_add(&l, SMTP_XCLIENT_NAME, "NAME", who->name);
    xclient_add(&l, SMTP_XCLIENT_HELO, "HELO", who->helo);
    int err = l.err;
    if (!err)
        err = SAY(c, SMTP_PHASE_XCLIENT, 0, SPAN_LIT("XCLIENT"), buf_span(&l.text));
    buf_release(&l.text);
    return err;
}

/* What our own parser let through has no control bytes; a line that had them would be two. */
static bool clean(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static int parameter_add(struct buf *b, const char *name, struct span value)
{
    if (value.len == 0)
        return ERR_OK;
    if (!clean(value))
        return ERR_SYNTAX;
    int err = buf_append_span(b, span_str(name));
    return err ? err : buf_append_span(b, value);
}

static int size_parameter_add(struct buf *b, uint64_t size)
{
    char digits[20];
    struct text t = text_into(digits, sizeof(digits));

    text_u64(&t, size, 1);
    return parameter_add(b, " SIZE=", span_make(digits, t.len));
}

static const char *body_text(enum smtp_body body)
{
    switch (body) {
    case SMTP_BODY_7BIT:
        return "7BIT";
    case SMTP_BODY_8BITMIME:
        return "8BITMIME";
    case SMTP_BODY_BINARYMIME:
        return "BINARYMIME";
    }
    return "7BIT";
}

static int mail_parameters(struct smtp_client *c, const struct smtp_mail *m, uint64_t size_added,
                           struct buf *b)
{
    int err = ERR_OK;

    if (m->has_size && c->caps.size)
        err = size_parameter_add(b, m->size + size_added);
    if (!err && m->has_body && (c->caps.eightbit || m->body == SMTP_BODY_BINARYMIME))
        err = parameter_add(b, " BODY=", span_str(body_text(m->body)));
    if (!err && m->smtputf8)
        err = buf_append_span(b, SPAN_LIT(" SMTPUTF8"));
    if (!err && m->requiretls)
        err = buf_append_span(b, SPAN_LIT(" REQUIRETLS"));
    if (!err && c->caps.dsn)
        err = parameter_add(b, " RET=", m->ret);
    if (!err && c->caps.dsn)
        err = parameter_add(b, " ENVID=", m->envid);
    return err;
}

int smtp_client_mail(struct smtp_client *c, const struct smtp_transaction *txn, uint64_t size_added)
{
    const struct smtp_mail *m = &txn->mail;
    struct smtp_reply refusal;
    struct buf parameters;

    if (!smtp_client_ready(c))
        return ERR_STATE;
    if (smtp_answer_unsupported(&c->caps, txn, &(struct smtp_rcpt){0}, size_added, &refusal))
        return ERR_UNSUPPORTED;
    if (!clean(m->address))
        return ERR_SYNTAX;
    buf_init(&parameters, 0);
    int err = mail_parameters(c, m, size_added, &parameters);
    if (!err)
        err = SAY(c, SMTP_PHASE_MAIL, 0, SPAN_LIT("MAIL FROM:<"), m->address, SPAN_LIT(">"),
                  buf_span(&parameters));
    buf_release(&parameters);
    if (err)
        return err;
    c->txn = CLIENT_TXN_OPEN;
    c->recipients = c->accepted = 0;
    c->refused = c->chunk_refused = false;
    return ERR_OK;
}

static int notify_write(struct buf *b, unsigned notify)
{
    static const struct {
        enum smtp_notify bit;
        const char *name;
    } names[] = {{SMTP_NOTIFY_NEVER, "NEVER"},
                 {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
                 {SMTP_NOTIFY_FAILURE, "FAILURE"},
                 {SMTP_NOTIFY_DELAY, "DELAY"}};
    const char *separator = " NOTIFY=";

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!(notify & names[i].bit))
            continue;
        int err = parameter_add(b, separator, span_str(names[i].name));
        if (err)
            return err;
        separator = ",";
    }
    return ERR_OK;
}

int smtp_client_rcpt(struct smtp_client *c, const struct smtp_transaction *txn, unsigned index)
{
    const struct smtp_rcpt *r = &txn->recipients[index].rcpt;
    struct buf parameters;
    int err = ERR_OK;

    if (c->state != CLIENT_READY || c->txn != CLIENT_TXN_OPEN)
        return ERR_STATE;
    if ((r->notify & SMTP_NOTIFY_SUCCESS) && !c->caps.dsn)
        return ERR_UNSUPPORTED;
    if (c->caps.rcpt_max && c->recipients >= c->caps.rcpt_max)
        return ERR_LIMIT;
    if (!clean(r->address))
        return ERR_SYNTAX;
    buf_init(&parameters, 0);
    if (c->caps.dsn)
        err = notify_write(&parameters, r->notify);
    if (!err && c->caps.dsn)
        err = parameter_add(&parameters, " ORCPT=", r->orcpt);
    if (!err)
        err = SAY(c, SMTP_PHASE_RCPT, index, SPAN_LIT("RCPT TO:<"), r->address, SPAN_LIT(">"),
                  buf_span(&parameters));
    buf_release(&parameters);
    if (!err)
        c->recipients++;
    return err;
}

int smtp_client_data(struct smtp_client *c)
{
    if (c->state != CLIENT_READY || c->txn != CLIENT_TXN_OPEN)
        return ERR_STATE;
    int err = SAY(c, SMTP_PHASE_DATA, 0, SPAN_LIT("DATA"));
    if (!err)
        c->txn = CLIENT_TXN_DATA;
    return err;
}

int smtp_client_chunk(struct smtp_client *c, uint64_t size, bool last)
{
    bool first = c->txn == CLIENT_TXN_OPEN && smtp_client_outstanding(c) == 0;
    bool ahead = c->txn == CLIENT_TXN_CHUNK && c->caps.pipelining;

    if (c->state != CLIENT_READY || !(first || ahead) || c->accepted == 0 || c->chunk_refused)
        return ERR_STATE;
    if (!c->caps.chunking)
        return ERR_UNSUPPORTED;
    char digits[20];
    struct text number = text_into(digits, sizeof(digits));
    text_u64(&number, size, 1);
    int err = SAY(c, last ? SMTP_PHASE_FINAL : SMTP_PHASE_CHUNK, 0, SPAN_LIT("BDAT "),
                  span_make(digits, number.len), last ? SPAN_LIT(" LAST") : SPAN_LIT(""));
    if (!err)
        c->txn = last ? CLIENT_TXN_FINAL : CLIENT_TXN_CHUNK;
    return err;
}

void smtp_client_dot(struct smtp_client *c)
{
    ASSERT(c->txn == CLIENT_TXN_BODY);
    c->txn = CLIENT_TXN_FINAL;
    int err = smtp_client_expect(c, SMTP_PHASE_FINAL, 0, 0);
    ASSERT(!err); /* nothing is outstanding in a body, and the queue had room for DATA */
}

int smtp_client_rset(struct smtp_client *c)
{
    bool ahead = c->txn == CLIENT_TXN_CHUNK && c->caps.pipelining;

    if (c->state != CLIENT_READY || !(c->txn == CLIENT_TXN_OPEN || ahead))
        return ERR_STATE;
    /* What was held back was never said. */
    while (c->queue_last > c->queue_first && c->queue[c->queue_last - 1].held > 0)
        c->queue_last--;
    buf_release(&c->held);
    int err = SAY(c, SMTP_PHASE_RSET, 0, SPAN_LIT("RSET"));
    if (!err)
        c->txn = CLIENT_TXN_RESET;
    return err;
}

void smtp_client_quit(struct smtp_client *c)
{
    if (c->state == CLIENT_DEAD || c->state == CLIENT_TLS_WAIT)
        return;
    c->state = CLIENT_QUIT;
    /* Where there is no room for it, closing says the same. */
    if (buf_append(c->out, "QUIT\r\n", 6) != ERR_OK)
        c->state = CLIENT_DEAD;
}
