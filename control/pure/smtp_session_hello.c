/* SPDX-License-Identifier: Apache-2.0 */
/* Everything outside a transaction: EHLO and what it offers, STARTTLS, and the small commands. */
#include "smtp_session_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { LIMITS_MAX = 999999 }; /* RFC 9422 section 3: at most six digits */

/* Adds text to the reply, a line each after a "\n"; all of ours together are far below its room. */
static void text_add(struct smtp_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void text_add(struct smtp_reply *reply, const char *format, ...)
{
    size_t room = sizeof(reply->text) - reply->len;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(reply->text + reply->len, room, format, args);
    va_end(args);
    ASSERT(len >= 0 && (size_t)len < room);
    reply->len += (size_t)len;
}

/* Does every transaction here have one recipient domain? Not where a route with a fixed next hop
 * takes many. */
static bool one_domain_each(const struct smtp_session *s)
{
    const struct conf *conf = s->peer.conf;

    for (size_t i = 0; i < conf->routes_len; i++) {
        const struct conf_route *route = &conf->routes[i];
        bool many = route->domain[0] == '*' || route->domain[0] == '.';
        if (conf_at_listener(&route->listeners, s->peer.listener) && many && !route->mx)
            return false;
    }
    return true;
}

static unsigned limit_cap(unsigned value)
{
    return value < LIMITS_MAX ? value : LIMITS_MAX;
}

static void limits_add(const struct smtp_session *s, struct smtp_reply *reply)
{
    const struct conf_limits *limits = &s->peer.conf->limits;

    text_add(reply, "\nLIMITS RCPTMAX=%u", limit_cap(limits->max_recipients));
    if (limits->max_messages > 0)
        text_add(reply, " MAILMAX=%u", limit_cap(limits->max_messages));
    if (one_domain_each(s))
        text_add(reply, " RCPTDOMAINMAX=1");
}

/* What may be offered before the next hop is known: DESIGN, "SMTP in a cut-through gateway". */
static void offers_add(const struct smtp_session *s, struct smtp_reply *reply)
{
    const struct conf_listener *listener = s->peer.listener;
    const struct smtp_offers *offers = s->peer.offers;

    text_add(reply, "\nPIPELINING");
    text_add(reply, "\nSIZE %" PRIu64, smtp_session_size_limit(s));
    if (listener->tls == CONF_LISTENER_STARTTLS && !s->peer.tls_done)
        text_add(reply, "\nSTARTTLS");
    text_add(reply, "\nENHANCEDSTATUSCODES\n8BITMIME\nSMTPUTF8");
    if (listener->chunking)
        text_add(reply, "\nCHUNKING");
    if (listener->chunking && offers && offers->binarymime)
        text_add(reply, "\nBINARYMIME");
    if (offers && offers->dsn)
        text_add(reply, "\nDSN");
    if (offers && offers->requiretls && s->peer.tls_done) /* RFC 8689 section 2 */
        text_add(reply, "\nREQUIRETLS");
    if (smtp_auth_offered(s)) {
        text_add(reply, "\nAUTH");
        for (unsigned i = 0; i < SMTP_MECHANISM_COUNT; i++)
            text_add(reply, " %s", smtp_mechanism_name((enum smtp_mechanism)i));
    }
    limits_add(s, reply);
    if (smtp_xclient_trusted(s))
        text_add(reply, "\nXCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT LOGIN");
    text_add(reply, "\nHELP");
}

/* Also a RSET (RFC 5321 section 4.1.4). False where the name is no name. */
static bool hello(struct smtp_session *s, struct span rest, bool extended, struct smtp_out *out)
{
    static const struct smtp_local bad_name = {501, 5, 2, "Syntax: EHLO or HELO with your name"};
    struct span name;

    if (smtp_parse_helo(rest, &name) != ERR_OK) {
        smtp_say_hello(s, &bad_name, out);
        return false;
    }
    ASSERT(span_to_cstr(name, s->era.helo, sizeof(s->era.helo)) == ERR_OK);
    s->era.extended = extended;
    smtp_transaction_over(s, SMTP_DO_ABORT, out);
    return s->state == SMTP_STATE_READY;
}

void smtp_do_ehlo(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    struct smtp_reply reply;

    if (!hello(s, rest, true, out))
        return;
    smtp_reply_make(&reply, 250, 0, 0, s->peer.conf->gateway.hostname);
    offers_add(s, &reply);
    smtp_say_hello_reply(s, &reply, out);
}

void smtp_do_helo(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    struct smtp_reply reply;

    if (!hello(s, rest, false, out))
        return;
    smtp_reply_make(&reply, 250, 0, 0, s->peer.conf->gateway.hostname);
    smtp_say_hello_reply(s, &reply, out);
}

void smtp_do_starttls(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local go = {220, 0, 0, "Ready to start TLS"};
    static const struct smtp_local again = {503, 5, 1, "TLS is active already"};
    static const struct smtp_local none = {502, 5, 1, "STARTTLS is not offered here"};

    if (s->peer.tls_done || s->peer.listener->tls != CONF_LISTENER_STARTTLS) {
        smtp_say_local(s, s->peer.tls_done ? &again : &none, out);
        return;
    }
    smtp_say_local(s, &go, out);
    if (s->state == SMTP_STATE_CLOSED)
        return;
    smtp_enter_state(s, SMTP_STATE_TLS);
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_STARTTLS});
}

void smtp_session_tls_done(struct smtp_session *s, const struct tls_facts *facts,
                           struct smtp_out *out)
{
    if (s->state != SMTP_STATE_TLS && s->state != SMTP_STATE_CONNECTED)
        return;
    s->peer.tls = *facts;
    s->peer.tls_done = true;
    /* All that was said in plaintext is forgotten (RFC 3207 section 4.2). */
    s->era = (struct smtp_era){0};
    if (s->state == SMTP_STATE_TLS)
        smtp_enter_state(s, SMTP_STATE_GREETED);
    smtp_check_limits(s, out);
}

void smtp_do_rset(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local ok = {250, 0, 0, "Ok"};

    smtp_say_local(s, &ok, out);
    if (s->txn.open)
        smtp_transaction_over(s, SMTP_DO_ABORT, out);
}

void smtp_do_noop(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local ok = {250, 0, 0, "Ok"};

    smtp_say_local(s, &ok, out);
}

void smtp_do_vrfy(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    /* RFC 5321 section 7.3: true for every address, and says nothing about it. */
    static const struct smtp_local maybe = {252, 0, 0, "Send mail to it and see"};
    static const struct smtp_local empty = {501, 5, 4, "Syntax: VRFY address"};

    smtp_say_local(s, rest.len > 0 ? &maybe : &empty, out);
}

void smtp_do_help(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local help = {
        214, 0, 0, "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"};

    smtp_say_local(s, &help, out);
}

void smtp_do_quit(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local bye = {221, 0, 0, "Bye"};

    smtp_say_local(s, &bye, out);
    smtp_close(s, SESSION_END_QUIT, out);
}

void smtp_do_http(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local wrong = {554, 5, 1, "This is SMTP"};

    smtp_say_local(s, &wrong, out);
    smtp_close(s, SESSION_END_CROSS_PROTOCOL, out);
}

void smtp_do_unknown(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    static const struct smtp_local unknown = {500, 5, 1, "Command not recognized"};

    smtp_say_local(s, &unknown, out);
}
