/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One log line a message and one a session, id first, key=value, a peer's bytes escaped: both legs'
 * TLS version, suite, group, verification, peer, sizes, reply, delay.
 */
#include "gateway_priv.h"

#include "expiry.h"
#include "log.h"
#include "text.h"

const char *message_result_text(enum message_result result)
{
    switch (result) {
    case MESSAGE_NONE:
    case MESSAGE_ABORTED:
        return "aborted";
    case MESSAGE_RELAYED:
        return "relayed";
    case MESSAGE_REFUSED:
        return "refused";
    case MESSAGE_DEFERRED:
        return "deferred";
    case MESSAGE_INDETERMINATE:
        return "indeterminate";
    }
    return "aborted";
}

static void log_tls(struct log_line *l, const char *key, const struct tls_facts *facts)
{
    char room[128];
    struct text t = text_into(room, sizeof(room));

    if (!facts) {
        log_str(l, key, "none");
        return;
    }
    text_str(&t, tls_version_text(facts->version));
    text_str(&t, ":");
    text_str(&t, facts->suite);
    text_str(&t, facts->group[0] ? ":" : ":-");
    text_str(&t, facts->group);
    text_str(&t, ":");
    text_str(&t, tls_verify_text(facts->verify));
    text_str(&t, facts->resumed ? ":resumed" : "");
    log_str(l, key, text_end(&t));
}

static void log_client(struct log_line *l, const struct client *c)
{
    char text[NET_ADDR_TEXT];

    log_str(l, "client", net_addr_ip_text(smtp_session_client(&c->smtp), text));
    if (c->ptr)
        log_peer(l, "ptr", span_str(c->ptr));
    log_peer(l, "helo", span_str(smtp_session_helo(&c->smtp)));
    log_tls(l, "tls_in", c->smtp.peer.tls_done ? &c->smtp.peer.tls : NULL);
    if (c->smtp.era.user[0] != '\0')
        log_str(l, "user", c->smtp.era.user);
}

/* What the host that was tried last had to have, who named that, and by what: facts without a host
 * are of a message that never came to one. */
static void log_level(struct log_line *l, const struct conf_route *route,
                      const struct hop_facts *facts)
{
    const struct tls_verdict *v = facts->verdict;

    log_str(l, "route", route->domain);
    if (!v) {
        log_str(l, "level", conf_level_text(route->tls.level));
        return;
    }
    if (v->level != route->tls.level)
        log_str(l, "asked", conf_level_text(route->tls.level));
    log_str(l, "level", conf_level_text(v->level));
    log_str(l, "source", tls_source_text(v->source));
    if (facts->sts_id)
        log_peer(l, "sts_id", span_str(facts->sts_id));
    if (v->testing)
        log_str(l, "sts_mode", "testing");
    if (facts->would_refuse)
        log_peer(l, "would_refuse", span_str(facts->would_refuse));
    if (v->source != TLS_SOURCE_ROUTE && v->use == TLS_USE) /* else it is the why of the hop */
        log_peer(l, "because", span_str(v->why));
}

static void log_hop(struct log_line *l, const struct hop_facts *facts)
{
    char text[NET_ADDR_TEXT];

    if (facts->host[0] == '\0')
        return;
    log_peer(l, "hop", span_str(facts->host));
    if (facts->connected) {
        log_str(l, "hop_addr", net_addr_text(&facts->addr, text));
        log_tls(l, "tls_out", facts->has_tls ? &facts->tls : NULL);
        if (facts->has_tls && facts->tls.verify_text[0] != '\0')
            log_peer(l, "verify", span_str(facts->tls.verify_text));
        log_u64(l, "reused", facts->reused);
    }
    if (facts->alarm)
        log_str(l, "alarm", "the next hop refuses this gateway");
    if (facts->plaintext_retry)
        log_str(l, "fallback", "plaintext");
    if (facts->ratchet_was)
        log_str(l, "ratchet_was", facts->ratchet_was);
    if (facts->why[0] != '\0')
        log_peer(l, "why", span_str(facts->why));
}

static void log_said(struct log_line *l, const struct client *c)
{
    char room[sizeof(c->said.text) + 24];
    struct text t = text_into(room, sizeof(room));

    if (c->said.code == 0)
        return;
    text_u64(&t, c->said.enhanced.class, 1);
    text_put(&t, ".", 1);
    text_u64(&t, c->said.enhanced.subject, 1);
    text_put(&t, ".", 1);
    text_u64(&t, c->said.enhanced.detail, 1);
    text_put(&t, " ", 1);
    text_put(&t, c->said.text, c->said.len);
    log_u64(l, "reply", c->said.code);
    log_peer(l, "text", span_make(room, t.len));
}

/* The rule of senders that decided: what it asks for, and so what a message that came has. */
static void log_sender_rule(struct log_line *l, const struct conf_sender *rule)
{
    log_str(l, "sender_rule", rule->domain);
    log_str(l, "sender_level", conf_sender_level_text(rule->level));
}

void gateway_log_message(const struct client *c, enum message_result result,
                         const struct hop_facts *facts)
{
    const struct smtp_transaction *txn = &c->smtp.txn;
    uint64_t now = dp_wall_us(c->gateway->dp);
    struct log_line l;

    bool warn = result == MESSAGE_INDETERMINATE || facts->alarm;
    log_begin(&l, warn ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, txn->id[0] ? txn->id : c->smtp.peer.id,
              "message");
    log_str(&l, "result", message_result_text(result));
    log_peer(&l, "from", txn->mail.address);
    if (txn->recipients_len > 0)
        log_peer(&l, "to", txn->recipients[0].rcpt.address);
    log_u64(&l, "recipients", txn->recipients_len);
    log_u64(&l, "accepted", txn->accepted);
    if (txn->mail.requiretls)
        log_u64(&l, "requiretls", 1);
    log_str(&l, "listener", c->smtp.peer.listener->name);
    log_client(&l, c);
    if (txn->sender_rule)
        log_sender_rule(&l, txn->sender_rule);
    if (txn->route)
        log_level(&l, txn->route, facts);
    log_hop(&l, facts);
    log_u64(&l, "bytes", c->body.flow.bytes);
    if (c->body.header.message_id_len > 0)
        log_peer(&l, "message_id",
                 span_make(c->body.header.message_id, c->body.header.message_id_len));
    log_said(&l, c);
    log_fixed(&l, "delay_s",
              txn->started_us && now > txn->started_us ? (now - txn->started_us) / 1000 : 0, 3);
    log_write(&l);
}

static bool level_judges(enum conf_level level)
{
    return level == CONF_LEVEL_VERIFY || level == CONF_LEVEL_PIN || level == CONF_LEVEL_DANE;
}

/* A connection that is used again was looked at when it was new. */
void gateway_log_hop_expiry(const struct client *c, const struct hop_facts *facts)
{
    const struct gateway *g = c->gateway;

    if (!facts->has_tls || facts->reused || !facts->verdict ||
        !level_judges(facts->verdict->level) || facts->tls.not_after == 0)
        return;
    int64_t now = (int64_t)(dp_wall_us(g->dp) / 1000000);
    if (expiry_days(facts->tls.not_after, now) >= (int64_t)g->conf.conf->tls.expiry_warning_days ||
        shared_told(g->conf.shared.shared,
                    shared_text_key(g->conf.shared.shared, span_str(facts->host)),
                    dp_now_ms(g->dp) / 1000))
        return;
    expiry_log_peer(facts->host, &facts->tls, now, c->smtp.peer.id);
}

void gateway_log_refused(const struct client *c, const struct smtp_action *action)
{
    struct log_line l;

    log_begin(&l, LOG_LEVEL_INFO, c->smtp.peer.id, "refused");
    log_peer(&l, "from", c->smtp.txn.mail.address);
    if (action->sender)
        log_sender_rule(&l, action->sender);
    else
        log_peer(&l, "to", action->address);
    log_str(&l, "listener", c->smtp.peer.listener->name);
    log_client(&l, c);
    log_u64(&l, "reply", action->local->code);
    log_str(&l, "text", action->local->text);
    log_write(&l);
}

void gateway_log_auth(const struct client *c, enum smtp_mechanism mechanism, const char *claimed,
                      enum smtp_auth_kind kind)
{
    struct log_line l;

    log_begin(&l, kind == SMTP_AUTH_UNAVAILABLE ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
              c->smtp.peer.id, "auth");
    log_str(&l, "result",
            kind == SMTP_AUTH_ACCEPTED  ? "accepted"
            : kind == SMTP_AUTH_REFUSED ? "refused"
                                        : "unavailable");
    log_str(&l, "mechanism", smtp_mechanism_name(mechanism));
    log_peer(&l, "claimed", span_str(claimed));
    log_str(&l, "listener", c->smtp.peer.listener->name);
    log_client(&l, c);
    log_write(&l);
}

void gateway_log_session(const struct client *c)
{
    struct log_line l;

    log_begin(&l, LOG_LEVEL_INFO, c->smtp.peer.id, "session");
    log_str(&l, "end", session_end_word(c->end));
    log_str(&l, "listener", c->smtp.peer.listener->name);
    log_client(&l, c);
    log_u64(&l, "messages", c->smtp.peer.messages);
    log_u64(&l, "commands", c->smtp.peer.commands);
    log_u64(&l, "errors", c->smtp.peer.errors);
    log_fixed(&l, "duration_s", dp_now_ms(c->gateway->dp) - c->started_ms, 3);
    log_write(&l);
}

void gateway_log_tls_failure(const struct client *c, const struct tls_failure *failure)
{
    char text[NET_ADDR_TEXT];
    struct log_line l;

    log_begin(&l, LOG_LEVEL_WARNING, c->smtp.peer.id, "tls_failed");
    log_str(&l, "listener", c->smtp.peer.listener->name);
    log_str(&l, "client", net_addr_ip_text(smtp_session_client(&c->smtp), text));
    log_peer(&l, "why", span_str(failure->text));
    log_write(&l);
}
