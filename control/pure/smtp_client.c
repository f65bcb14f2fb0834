/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_client_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void event_send(struct smtp_client *c, struct smtp_client_event *event)
{
    event->reply = c->reply;
    c->events->event(c->user, c, event);
}

static void state_set(struct smtp_client *c, enum smtp_client_state state)
{
    c->state = state;
}

static void failed(struct smtp_client *c, enum smtp_client_phase phase, const char *text)
{
    state_set(c, CLIENT_FAILED);
    event_send(
        c, &(struct smtp_client_event){.kind = SMTP_CLIENT_FAILED, .phase = phase, .text = text});
}

/* One that took STARTTLS and ends has failed to give TLS, and did not say that it has none. */
enum smtp_client_phase smtp_client_lost_phase(const struct smtp_client *c)
{
    return c->state == CLIENT_STARTTLS ? SMTP_PHASE_TLS : SMTP_PHASE_EHLO;
}

static void broken(struct smtp_client *c, const char *text)
{
    enum smtp_client_phase phase = smtp_client_lost_phase(c);

    state_set(c, CLIENT_DEAD);
    event_send(
        c, &(struct smtp_client_event){.kind = SMTP_CLIENT_BROKEN, .phase = phase, .text = text});
}

static void answer(struct smtp_client *c, const struct smtp_client_command *command)
{
    if (!command->ignored)
        event_send(c, &(struct smtp_client_event){.kind = SMTP_CLIENT_ANSWER,
                                                  .phase = command->phase,
                                                  .index = command->index,
                                                  .text = ""});
}

static void say_hello(struct smtp_client *c, bool helo)
{
    /* RFC 3207 section 4.2: what was learnt before is forgotten as a whole. */
    c->caps = (struct smtp_caps){0};
    c->helo = helo;
    state_set(c, CLIENT_HELLO);
    if (SAY(c, SMTP_PHASE_EHLO, 0, helo ? SPAN_LIT("HELO ") : SPAN_LIT("EHLO "),
            span_str(c->conf->helo)) != ERR_OK)
        broken(c, "no memory for a command");
}

static void become_ready(struct smtp_client *c)
{
    state_set(c, CLIENT_READY);
    event_send(c, &(struct smtp_client_event){.kind = SMTP_CLIENT_READY, .text = ""});
}

/* The next step after a hello, a refused STARTTLS or AUTH. */
static void go_on(struct smtp_client *c)
{
    int err = ERR_OK;

    if (c->conf->xclient && c->caps.xclient && c->caps.xclient_attrs && !c->xclient_done) {
        state_set(c, CLIENT_XCLIENT);
        err = smtp_client_say_xclient(c);
    } else if (c->conf->auth == CONF_AUTH_NONE) {
        become_ready(c);
    } else if (!c->tls) {
        c->reply = (struct smtp_reply){0};
        failed(c, SMTP_PHASE_AUTH, "AUTH is done only over TLS");
    } else {
        state_set(c, CLIENT_AUTH);
        err = smtp_client_say_auth(c);
        if (err == ERR_UNSUPPORTED) {
            c->reply = (struct smtp_reply){0};
            failed(c, SMTP_PHASE_AUTH, "the mechanism of AUTH is not offered");
            return;
        }
    }
    if (err)
        broken(c, "no memory for a command");
}

/* TLS can't be had from this next hop: where the level asks for it that is the end. */
static void without_tls(struct smtp_client *c, const char *text)
{
    if (c->conf->tls == SMTP_CLIENT_TLS_DEMAND) {
        failed(c, SMTP_PHASE_STARTTLS, text);
        return;
    }
    c->no_tls = true;
    event_send(c, &(struct smtp_client_event){
                      .kind = SMTP_CLIENT_NO_TLS, .phase = SMTP_PHASE_STARTTLS, .text = text});
    if (c->state == CLIENT_HELLO || c->state == CLIENT_STARTTLS)
        go_on(c);
}

static bool tls_wanted(const struct smtp_client *c)
{
    return !c->tls && !c->no_tls &&
           (c->conf->tls == SMTP_CLIENT_TLS_TRY || c->conf->tls == SMTP_CLIENT_TLS_DEMAND);
}

static void on_greeting(struct smtp_client *c)
{
    if (c->reply.code == 220)
        say_hello(c, false);
    else
        failed(c, SMTP_PHASE_GREETING, "the greeting is a refusal");
}

static void on_hello(struct smtp_client *c, struct span raw)
{
    unsigned class = smtp_reply_class(&c->reply);

    if (class == 5 && !c->helo) {
        if (tls_wanted(c) && c->conf->tls == SMTP_CLIENT_TLS_DEMAND)
            failed(c, SMTP_PHASE_STARTTLS, "EHLO is refused, so there is no STARTTLS");
        else
            say_hello(c, true);
        return;
    }
    if (class != 2) {
        failed(c, SMTP_PHASE_EHLO, "EHLO is refused");
        return;
    }
    if (!c->helo)
        smtp_caps_read(raw, &c->caps);
    c->caps.requiretls &= c->tls; /* RFC 8689 section 2 */
    if (!tls_wanted(c)) {
        go_on(c);
    } else if (!c->caps.starttls) {
        c->reply = (struct smtp_reply){0};
        without_tls(c, "STARTTLS is not offered");
    } else {
        /* Until it is said, what goes wrong is not the next hop's TLS. */
        if (SAY(c, SMTP_PHASE_STARTTLS, 0, SPAN_LIT("STARTTLS")) != ERR_OK)
            broken(c, "no memory for a command");
        else
            state_set(c, CLIENT_STARTTLS);
    }
}

static void on_starttls(struct smtp_client *c, bool more)
{
    if (c->reply.code == 220) {
        if (more) {
            broken(c, "bytes after the 220 to STARTTLS (response injection)");
            return;
        }
        state_set(c, CLIENT_TLS_WAIT);
        event_send(c, &(struct smtp_client_event){
                          .kind = SMTP_CLIENT_START_TLS, .phase = SMTP_PHASE_TLS, .text = ""});
    } else if (smtp_reply_class(&c->reply) >= 4) {
        without_tls(c, "STARTTLS is refused");
    } else {
        broken(c, "neither 220 nor a refusal of STARTTLS");
    }
}

static void on_xclient(struct smtp_client *c)
{
    /* The answer is the greeting of a new session with the client's own rights. */
    c->xclient_done = true;
    if (c->reply.code == 220 || c->reply.code == 250)
        say_hello(c, c->helo);
    else
        failed(c, SMTP_PHASE_XCLIENT, "XCLIENT is refused");
}

static void on_auth(struct smtp_client *c)
{
    if (c->reply.code == 235) {
        become_ready(c);
    } else if (c->reply.code == 334) {
        int err = smtp_client_say_auth_more(c);
        if (err == ERR_STATE)
            broken(c, "334 to AUTH without a question left");
        else if (err)
            broken(c, "no memory for a command");
    } else {
        failed(c, SMTP_PHASE_AUTH, "AUTH is refused");
    }
}

static void no_recipients(struct smtp_client *c, const struct smtp_client_command *command)
{
    c->reply = (struct smtp_reply){.code = 554, .enhanced = {5, 5, 1}, .lines = 1};
    c->reply.len = (size_t)snprintf(c->reply.text, sizeof(c->reply.text), "No valid recipients");
    answer(c, command);
}

static void on_data(struct smtp_client *c, const struct smtp_client_command *command)
{
    bool refused = smtp_reply_class(&c->reply) != 3;

    c->txn = refused ? CLIENT_TXN_OPEN : CLIENT_TXN_BODY;
    if (c->accepted > 0) {
        answer(c, command);
        return;
    }
    if (refused) { /* with whatever code: 503 and 554 are both common */
        no_recipients(c, command);
        return;
    }
    /* Every recipient was refused, and DATA was pipelined behind them: an empty message ends it
     * (RFC 2920 section 3.1), and nobody is to take its answer for one to a message. */
    c->txn = CLIENT_TXN_FINAL;
    if (buf_append(c->out, ".\r\n", 3) != ERR_OK ||
        smtp_client_expect(c, SMTP_PHASE_FINAL, 0, 0) != ERR_OK) {
        broken(c, "no memory for a command");
        return;
    }
    c->queue[c->queue_last - 1].ignored = true;
    no_recipients(c, command);
}

/* A class that no answer of this phase has is a next hop out of step. */
static bool class_fits(const struct smtp_client *c, enum smtp_client_phase phase)
{
    unsigned class = smtp_reply_class(&c->reply);

    return class >= 4 || class == (phase == SMTP_PHASE_DATA ? 3 : 2);
}

static void on_transaction(struct smtp_client *c, const struct smtp_client_command *command)
{
    enum smtp_client_phase phase = command->phase;
    bool positive = smtp_reply_class(&c->reply) == 2;

    if (!class_fits(c, phase)) {
        broken(c, "an answer of the wrong class");
        return;
    }
    if (c->reply.code == 421) {
        state_set(c, CLIENT_DEAD);
        if (command->ignored)
            event_send(c, &(struct smtp_client_event){.kind = SMTP_CLIENT_CLOSING, .text = "421"});
        else
            answer(c, command);
        return;
    }
    switch (phase) {
    case SMTP_PHASE_DATA:
        on_data(c, command);
        return;
    case SMTP_PHASE_MAIL:
        c->refused = !positive;
        break;
    case SMTP_PHASE_RCPT:
        c->accepted += positive && !c->refused;
        break;
    case SMTP_PHASE_CHUNK:
        /* After a refused chunk the message can't go on, but RSET can (RFC 3030 section 2). */
        c->chunk_refused |= !positive;
        if (c->txn == CLIENT_TXN_CHUNK && smtp_client_outstanding(c) == 0)
            c->txn = CLIENT_TXN_OPEN;
        break;
    case SMTP_PHASE_FINAL:
        c->txn = CLIENT_TXN_NONE;
        break;
    case SMTP_PHASE_RSET:
        if (positive)
            c->txn = CLIENT_TXN_NONE;
        else
            state_set(c, CLIENT_DEAD);
        break;
    case SMTP_PHASE_CONNECT:
    case SMTP_PHASE_GREETING:
    case SMTP_PHASE_EHLO:
    case SMTP_PHASE_STARTTLS:
    case SMTP_PHASE_TLS:
    case SMTP_PHASE_XCLIENT:
    case SMTP_PHASE_AUTH:
    case SMTP_PHASE_QUIT:
        break;
    }
    answer(c, command);
}

/* A reply to no command: 421 may come at any time, and a refusal in the middle of a body. */
static void on_unasked(struct smtp_client *c)
{
    if (c->txn == CLIENT_TXN_BODY && smtp_reply_class(&c->reply) >= 4) {
        state_set(c, CLIENT_DEAD);
        answer(c, &(struct smtp_client_command){.phase = SMTP_PHASE_FINAL});
    } else if (c->reply.code == 421) {
        state_set(c, CLIENT_DEAD);
        event_send(c, &(struct smtp_client_event){.kind = SMTP_CLIENT_CLOSING, .text = "421"});
    } else {
        broken(c, "an answer to no command");
    }
}

static void on_reply(struct smtp_client *c, struct span raw, bool more)
{
    struct smtp_client_command command = {0};

    if (c->state == CLIENT_GREETING) {
        on_greeting(c);
        return;
    }
    if (c->queue_first == c->queue_last) {
        on_unasked(c);
        return;
    }
    command = c->queue[c->queue_first++];
    switch (c->state) {
    case CLIENT_HELLO:
        on_hello(c, raw);
        break;
    case CLIENT_STARTTLS:
        if (c->reply.code == 421)
            failed(c, SMTP_PHASE_STARTTLS, "closed at STARTTLS");
        else
            on_starttls(c, more);
        break;
    case CLIENT_XCLIENT:
        on_xclient(c);
        break;
    case CLIENT_AUTH:
        on_auth(c);
        break;
    case CLIENT_READY:
        on_transaction(c, &command);
        break;
    case CLIENT_GREETING:
    case CLIENT_TLS_WAIT:
    case CLIENT_QUIT:
    case CLIENT_FAILED:
    case CLIENT_DEAD:
        break;
    }
    if (c->state != CLIENT_DEAD && c->state != CLIENT_FAILED && smtp_client_unhold(c) != ERR_OK)
        broken(c, "no memory for a command");
}

size_t smtp_client_input(struct smtp_client *c, const uint8_t *data, size_t len)
{
    size_t at = 0;

    while (at < len && c->state != CLIENT_TLS_WAIT) {
        size_t used;
        if (c->state == CLIENT_DEAD || c->state == CLIENT_FAILED || c->state == CLIENT_QUIT)
            return len; /* nobody wants to know any more */
        int err = smtp_reply_parse(data + at, len - at, &c->reply, &used);
        if (err == ERR_AGAIN)
            break;
        if (err) {
            c->reply = (struct smtp_reply){0};
            broken(c, "not an SMTP reply");
            return len;
        }
        at += used;
        on_reply(c, span_make(data + at - used, used), at < len);
    }
    return at;
}

int smtp_client_new(const struct smtp_client_conf *conf, struct buf *out,
                    const struct smtp_client_events *events, void *user, struct smtp_client **ret)
{
    struct smtp_client *c = calloc(1, sizeof(*c));

    if (!c)
        return ERR_NOMEM;
    c->conf = conf;
    c->out = out;
    c->events = events;
    c->user = user;
    c->state = conf->tls == SMTP_CLIENT_TLS_IMPLICIT ? CLIENT_TLS_WAIT : CLIENT_GREETING;
    buf_init(&c->held, 0);
    *ret = c;
    return ERR_OK;
}

void smtp_client_free(struct smtp_client *c)
{
    if (!c)
        return;
    buf_release(&c->held);
    free(c->queue);
    free(c);
}

void smtp_client_tls_done(struct smtp_client *c)
{
    if (c->state != CLIENT_TLS_WAIT)
        return;
    c->tls = true;
    if (c->conf->tls == SMTP_CLIENT_TLS_IMPLICIT)
        state_set(c, CLIENT_GREETING);
    else
        say_hello(c, false);
}

const struct smtp_caps *smtp_client_caps(const struct smtp_client *c)
{
    return &c->caps;
}

bool smtp_client_ready(const struct smtp_client *c)
{
    return c->state == CLIENT_READY && c->txn == CLIENT_TXN_NONE && c->queue_first == c->queue_last;
}

unsigned smtp_client_outstanding(const struct smtp_client *c)
{
    return c->queue_last - c->queue_first;
}
