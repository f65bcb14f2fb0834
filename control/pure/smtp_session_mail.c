/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAIL and RCPT, and the queue of answers owed to recipients: the next hop's in its own time, ours
 * behind them, so that the client hears all in the order of its commands.
 */
#include "policy_sender.h"
#include "smtp_address.h"
#include "smtp_session_priv.h"

#include "ascii.h"
#include "text.h"

static const struct smtp_local ok = {250, 1, 0, "Ok"};
static const struct smtp_local syntax_mail = {501, 5, 2, "Syntax: MAIL FROM:<address>"};
static const struct smtp_local syntax_rcpt = {501, 5, 2, "Syntax: RCPT TO:<address>"};
static const struct smtp_local bad_sender = {501, 1, 7, "Bad sender address"};
static const struct smtp_local bad_recipient = {501, 1, 3, "Bad recipient address"};
static const struct smtp_local need_utf8 = {553, 6, 7, "SMTPUTF8 is needed for this address"};
static const struct smtp_local bad_param = {555, 5, 4, "Parameter not recognized or not offered"};
static const struct smtp_local too_big = {552, 3, 4, "Message size exceeds the limit"};
static const struct smtp_local no_memory = {452, 3, 1, "Insufficient system resources"};
static const struct smtp_local too_many_messages = {421, 7, 0, "Too many messages in this session"};
static const struct smtp_local too_many_rcpts = {452, 5, 3, "Too many recipients"};
static const struct smtp_local other_destination = {
    452, 5, 3, "Another destination: send it in a transaction of its own"};
static const struct smtp_local no_route = {550, 7, 1,
                                           "Relaying denied: no route for this recipient"};
static const struct smtp_local sender_tls[] = {
    [CONF_REFUSE_PERMANENT] = {550, 7, 1, "Mail from this domain has to come by TLS"},
    [CONF_REFUSE_TEMPORARY] = {451, 7, 1, "Mail from this domain has to come by TLS"}};
static const struct smtp_local sender_cert[] = {
    [CONF_REFUSE_PERMANENT] = {550, 7, 1, "Mail from this domain has to prove that it is its own"},
    [CONF_REFUSE_TEMPORARY] = {451, 7, 1, "Mail from this domain has to prove that it is its own"}};
static const struct smtp_local sender_bound[] = {
    [CONF_REFUSE_PERMANENT] = {550, 7, 1, "You may send mail from other domains only"},
    [CONF_REFUSE_TEMPORARY] = {451, 7, 1, "You may send mail from other domains only"}};
static const struct smtp_local no_right = {550, 7, 1, "Relaying denied"};

/* An arena's most bytes: recipients are bounded in number, and this bounds their sum. */
static size_t arena_room(const struct smtp_session *s)
{
    return (size_t)128 * 1024 + (size_t)s->peer.conf->limits.max_recipients * 1024;
}

void smtp_transaction_forget(struct smtp_session *s)
{
    arena_free(&s->txn.arena);
    s->txn = (struct smtp_transaction){0};
    s->queue = NULL;
    s->queue_len = s->queue_done = s->queue_cap = 0;
    s->rcpt_answered = 0;
    s->chunked = s->chunk_last = s->answered_early = s->refused = false;
    s->chunk_bytes = 0;
}

/* What this client may not say: parameters of extensions that were not offered to it. */
static const struct smtp_local *mail_refusal(const struct smtp_session *s, int err,
                                             const struct smtp_mail *m)
{
    const struct smtp_offers *offers = s->peer.offers;
    uint64_t limit = smtp_session_size_limit(s);
    bool params = m->has_body || m->smtputf8 || m->has_size || m->ret.len || m->envid.len ||
                  m->requiretls || m->auth.len;

    if (err != ERR_OK)
        return err == ERR_RANGE ? &bad_sender : err == ERR_UNSUPPORTED ? &need_utf8 : &syntax_mail;
    if (m->unknown.len > 0 || (params && !s->era.extended))
        return &bad_param;
    if ((m->ret.len > 0 || m->envid.len > 0) && !(offers && offers->dsn))
        return &bad_param;
    if (m->requiretls && !(offers && offers->requiretls && s->peer.tls_done))
        return &bad_param;
    if (m->auth.len > 0 && !smtp_auth_offered(s))
        return &bad_param;
    if (m->body == SMTP_BODY_BINARYMIME &&
        !(offers && offers->binarymime && s->peer.listener->chunking))
        return &bad_param;
    if (m->has_size && limit != 0 && m->size > limit)
        return &too_big;
    return NULL;
}

/* Copies a view into the arena; an empty one stays empty. False where the room is used up. */
static bool keep(struct arena *arena, struct span *s)
{
    if (s->len == 0) {
        *s = (struct span){0};
        return true;
    }
    s->ptr = (const uint8_t *)arena_strdup(arena, *s);
    return s->ptr != NULL;
}

/* A view of the end of whole, as domain is one of what whole is a copy of. */
static struct span domain_of(struct span whole, struct span domain)
{
    return domain.len > 0 ? span_from(whole, whole.len - domain.len) : (struct span){0};
}

static bool mail_keep(struct smtp_transaction *txn, const struct smtp_mail *mail)
{
    txn->mail = *mail;
    /* Who AUTH= names is for us to trust or not (RFC 4954 section 5): the next hop hears nothing.
     */
    txn->mail.auth = txn->mail.unknown = (struct span){0};
    if (!keep(&txn->arena, &txn->mail.address) || !keep(&txn->arena, &txn->mail.ret) ||
        !keep(&txn->arena, &txn->mail.envid))
        return false;
    txn->mail.domain = domain_of(txn->mail.address, mail->domain);
    return true;
}

/* Whom the policy judges. With XCLIENT the TLS and the certificate are those of the server that
 * speaks: they prove nothing of the client for whom it does. */
static struct policy_client policy_client(const struct smtp_session *s)
{
    bool own = s->peer.tls_done && !s->era.xclient;

    return (struct policy_client){.listener = s->peer.listener,
                                  .addr = smtp_session_client(s),
                                  .tls = own ? &s->peer.tls : NULL,
                                  .user = s->era.user[0] != '\0' ? s->era.user : NULL};
}

/* Says no where a rule of senders does. */
static bool sender_refused(struct smtp_session *s, struct smtp_out *out)
{
    const struct policy_client client = policy_client(s);
    const struct smtp_local *local = NULL;
    char ascii[SMTP_DOMAIN_MAX + 1];

    if (s->peer.conf->senders_len == 0)
        return false;
    /* A rule holds for a domain in whatever letters it is written. */
    int err = smtp_domain_ascii(s->txn.mail.domain, ascii);

    if (err) {
        smtp_say_local(s, err == ERR_NOMEM ? &no_memory : &bad_sender, out);
        return true;
    }
    struct policy_sender_decision decision =
        policy_sender_decide(s->peer.conf, &client, span_str(ascii));
    switch (decision.verdict) {
    case POLICY_SENDER_OK:
        s->txn.sender_rule = decision.rule;
        return false;
    case POLICY_SENDER_NEEDS_TLS:
        local = &sender_tls[decision.rule->refuse];
        break;
    case POLICY_SENDER_NEEDS_CERT:
        local = &sender_cert[decision.rule->refuse];
        break;
    case POLICY_SENDER_BOUND:
        local = &sender_bound[decision.rule->refuse];
        break;
    }
    smtp_say_local(s, local, out);
    smtp_act(out, &(struct smtp_action){
                      .kind = SMTP_DO_REFUSED_SENDER, .local = local, .sender = decision.rule});
    return true;
}

void smtp_do_mail(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    const unsigned max = s->peer.conf->limits.max_messages;
    struct smtp_mail mail;
    int err = smtp_parse_mail(rest, &mail);
    const struct smtp_local *refusal = mail_refusal(s, err, &mail);

    if (refusal) {
        smtp_say_local(s, refusal, out);
        return;
    }
    if (max != 0 && s->peer.transactions >= max) {
        smtp_say_local(s, &too_many_messages, out);
        smtp_close(s, SESSION_END_TOO_MANY_COMMANDS, out);
        return;
    }
    smtp_transaction_forget(s);
    arena_init(&s->txn.arena, arena_room(s));
    if (!mail_keep(&s->txn, &mail)) {
        smtp_say_local(s, &no_memory, out);
        return;
    }
    if (sender_refused(s, out))
        return;
    s->peer.transactions++;
    struct text id = text_into(s->txn.id, sizeof(s->txn.id));
    text_str(&id, s->peer.id);
    text_put(&id, ".", 1);
    text_hex(&id, s->peer.transactions & 0xffffff);
    text_end(&id);
    s->txn.open = true;
    smtp_enter_state(s, SMTP_STATE_MAIL);
    smtp_say_local(s, &ok, out);
}

/* Makes room for one more in an array of the arena. */
static void *grow(struct arena *arena, void *items, unsigned len, unsigned *cap, size_t size)
{
    if (len < *cap)
        return items;
    unsigned more = *cap ? *cap * 2 : 8;
    void *copy = arena_alloc(arena, more * size);
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, items, len * size);
    *cap = more;
    return copy;
}

static bool queue_push(struct smtp_session *s, const struct smtp_local *local)
{
    void *queue = grow(&s->txn.arena, s->queue, s->queue_len, &s->queue_cap, sizeof(*s->queue));

    if (!queue)
        return false;
    s->queue = queue;
    s->queue[s->queue_len++] = local;
    return true;
}

/* Says ours that have come to the front. */
static void queue_flush(struct smtp_session *s, struct smtp_out *out)
{
    while (smtp_outstanding(s) && s->queue[s->queue_done])
        smtp_say_local(s, s->queue[s->queue_done++], out);
    if (!smtp_outstanding(s))
        s->queue_len = s->queue_done = 0;
}

void smtp_say_in_order(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out)
{
    if (!smtp_outstanding(s)) {
        smtp_say_local(s, local, out);
        return;
    }
    /* Without the memory to keep an answer, order is lost: end rather than answer wrongly. */
    if (!queue_push(s, local))
        smtp_close(s, SESSION_END_INTERNAL, out);
}

static const struct smtp_local *rcpt_refusal(const struct smtp_session *s, int err,
                                             const struct smtp_rcpt *r)
{
    bool dsn = s->era.extended && s->peer.offers && s->peer.offers->dsn;

    if (err != ERR_OK)
        return err == ERR_RANGE         ? &bad_recipient
               : err == ERR_UNSUPPORTED ? &need_utf8
                                        : &syntax_rcpt;
    if (r->unknown.len > 0 || ((r->notify != 0 || r->orcpt.len > 0) && !dsn))
        return &bad_param;
    return NULL;
}

/* The domain that a recipient is routed by: <postmaster> is ours (RFC 5321 section 4.5.1). */
static struct span route_domain(const struct smtp_session *s, struct span domain)
{
    return domain.len > 0 ? domain : span_str(s->peer.conf->gateway.hostname);
}

/* The first recipient that policy takes binds route and domain; the rest must fit. */
static const struct smtp_local *bind_or_compare(struct smtp_session *s,
                                                const struct conf_route *route, struct span domain)
{
    struct smtp_transaction *txn = &s->txn;

    if (txn->route) {
        bool same =
            txn->route == route && (!route->mx || span_equal_nocase(domain, span_str(txn->domain)));
        return same ? NULL : &other_destination;
    }
    char *copy = arena_strdup(&txn->arena, domain);
    if (!copy)
        return &no_memory;
    ascii_lower_all(copy);
    txn->domain = copy;
    txn->route = route;
    return NULL;
}

static bool recipient_add(struct smtp_session *s, const struct smtp_rcpt *parsed)
{
    struct smtp_transaction *txn = &s->txn;
    struct smtp_rcpt r = *parsed;
    void *items = grow(&txn->arena, txn->recipients, txn->recipients_len, &txn->recipients_cap,
                       sizeof(*txn->recipients));

    if (!items)
        return false;
    txn->recipients = items;
    if (!keep(&txn->arena, &r.address) || !keep(&txn->arena, &r.orcpt) || !queue_push(s, NULL))
        return false;
    r.domain = domain_of(r.address, r.domain);
    txn->recipients[txn->recipients_len++] = (struct smtp_recipient){.rcpt = r};
    return true;
}

static void policy_refuse(struct smtp_session *s, const struct smtp_local *local,
                          const struct smtp_rcpt *rcpt, struct smtp_out *out)
{
    struct span address = rcpt->address;

    if (keep(&s->txn.arena, &address))
        smtp_act(out, &(struct smtp_action){
                          .kind = SMTP_DO_REFUSED, .address = address, .local = local});
    smtp_say_in_order(s, local, out);
}

static void rcpt_send(struct smtp_session *s, const struct smtp_rcpt *rcpt, struct smtp_out *out)
{
    if (!recipient_add(s, rcpt)) {
        smtp_say_in_order(s, &no_memory, out);
        return;
    }
    if (!s->hop_open)
        smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_OPEN});
    s->hop_open = true;
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_RCPT, .index = s->txn.recipients_len - 1});
    s->peer.commands--; /* what a message needs is not counted, only what is refused */
}

void smtp_do_rcpt(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    const struct policy_client client = policy_client(s);
    struct smtp_rcpt rcpt;
    int err = smtp_parse_rcpt(rest, s->txn.mail.smtputf8, &rcpt);
    const struct smtp_local *refusal = rcpt_refusal(s, err, &rcpt);

    if (refusal) {
        smtp_say_in_order(s, refusal, out);
        return;
    }
    /* A route's policy holds for a domain in whatever letters it is written. */
    char ascii[SMTP_DOMAIN_MAX + 1];
    err = smtp_domain_ascii(rcpt.domain, ascii);
    if (err) {
        smtp_say_in_order(s, err == ERR_NOMEM ? &no_memory : &bad_recipient, out);
        return;
    }
    struct span domain = span_str(ascii);
    struct policy_decision decision = policy_decide(s->peer.conf, &client, domain);
    if (decision.verdict != POLICY_ROUTE) {
        policy_refuse(s, decision.verdict == POLICY_NO_ROUTE ? &no_route : &no_right, &rcpt, out);
        return;
    }
    if (s->txn.recipients_len >= s->peer.conf->limits.max_recipients)
        refusal = &too_many_rcpts;
    else
        refusal = bind_or_compare(s, decision.route, route_domain(s, domain));
    if (refusal)
        smtp_say_in_order(s, refusal, out);
    else if (s->refused)
        smtp_say(s, smtp_verdict(s), out);
    else
        rcpt_send(s, &rcpt, out);
}

/* The next hop's word on the oldest unanswered recipient. */
static void recipient_answer(struct smtp_session *s, const struct smtp_reply *reply,
                             struct smtp_out *out)
{
    ASSERT(s->rcpt_answered < s->txn.recipients_len && !s->queue[s->queue_done]);
    struct smtp_recipient *r = &s->txn.recipients[s->rcpt_answered++];
    r->answered = true;
    r->accepted = smtp_reply_class(reply) == 2;
    s->txn.accepted += r->accepted;
    s->peer.commands += !r->accepted; /* guessing addresses is bounded */
    s->queue_done++;
    smtp_say(s, reply, out);
    queue_flush(s, out);
}

void smtp_session_rcpt_answer(struct smtp_session *s, const struct smtp_reply *reply,
                              struct smtp_out *out)
{
    struct smtp_reply room;

    if ((s->state == SMTP_STATE_MAIL || s->state == SMTP_STATE_DATA_WAIT) && smtp_outstanding(s)) {
        recipient_answer(s, smtp_answer_sane(reply, &room), out);
        smtp_check_limits(s, out);
    }
}

void smtp_answer_outstanding(struct smtp_session *s, const struct smtp_reply *reply,
                             struct smtp_out *out)
{
    while (smtp_outstanding(s) && s->state != SMTP_STATE_CLOSED)
        recipient_answer(s, reply, out);
}
