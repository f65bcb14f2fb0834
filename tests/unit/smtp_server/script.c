/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 64 * 1024 };

struct run {
    struct smtp_session s;
    struct smtp_out out;
    struct buf bytes;
    const char *where;
    size_t cut; /* 0: whole; 1: byte by byte; else cut before byte cut - 1 of the whole session */
    size_t sent;
    char pending[TEXT_MAX];
    size_t pending_len;
    enum { COMMANDS, DOT, CHUNK, DRAIN_DOT, DRAIN_CHUNK } mode;
    uint64_t left;
    char replies[TEXT_MAX], actions[TEXT_MAX];
    char *reply_at, *action_at;
};

void script_setup(struct script_setup *t)
{
    memset(t, 0, sizeof(*t));
    t->conf.gateway.hostname = "gw.example.org";
    t->conf.limits = (struct conf_limits){.max_commands = 1000,
                                          .max_errors = 20,
                                          .max_recipients = 100,
                                          .max_line = 512,
                                          .max_message = 1000000};
    assert_int_equal(net_prefix_parse(SPAN_LIT("10.0.0.0/8"), &t->relay[0]), ERR_OK);
    assert_int_equal(net_prefix_parse(SPAN_LIT("192.0.2.7"), &t->xclient[0]), ERR_OK);
    t->listener = (struct conf_listener){.name = "internet",
                                         .tls = CONF_LISTENER_STARTTLS,
                                         .chunking = true,
                                         .relay_clients_len = 1,
                                         .xclient_clients_len = 1};
    t->routes[0] = (struct conf_route){.domain = "example.org"};
    t->routes[1] = (struct conf_route){.domain = ".sub.example.org"};
    t->routes[2] = (struct conf_route){.domain = "*", .mx = true, .relay = true};
    t->conf.routes_len = 3;
}

void script_setup_bind(struct script_setup *t)
{
    t->conf.listeners = &t->listener;
    t->conf.listeners_len = 1;
    t->conf.routes = t->routes;
    t->listener.relay_clients = t->relay;
    t->listener.xclient_clients = t->xclient;
}

static void fail_at(const struct run *r, const char *what, const char *wanted, const char *got)
{
    fail_msg("%s (cut %zu): %s\n wanted: %s\n got:    %s\n state:  %s", r->where, r->cut, what,
             wanted, got, smtp_state_text(r->s.state));
}

static void note(struct run *r, const char *text)
{
    size_t len = strlen(r->actions);

    snprintf(r->actions + len, sizeof(r->actions) - len, "%s\n", text);
}

static void action_carry_out(struct run *r, const struct smtp_action *a)
{
    char text[600];

    switch (a->kind) {
    case SMTP_DO_STARTTLS:
        note(r, "STARTTLS");
        return;
    case SMTP_DO_OPEN:
        snprintf(text, sizeof(text), "OPEN %s %s", r->s.txn.route->domain, r->s.txn.domain);
        note(r, text);
        return;
    case SMTP_DO_RCPT: {
        struct span rcpt = r->s.txn.recipients[a->index].rcpt.address;
        snprintf(text, sizeof(text), "RCPT %u %.*s", a->index, (int)rcpt.len, rcpt.ptr);
        note(r, text);
        return;
    }
    case SMTP_DO_DATA:
        note(r, "DATA");
        return;
    case SMTP_DO_CHUNK:
        snprintf(text, sizeof(text), "CHUNK %d%s", (int)a->size, a->last ? " LAST" : "");
        note(r, text);
        r->mode = CHUNK;
        r->left = a->size;
        return;
    case SMTP_DO_BODY:
        note(r, "BODY");
        r->mode = DOT;
        return;
    case SMTP_DO_DRAIN_BODY:
        note(r, "DRAIN_BODY");
        r->mode = DRAIN_DOT;
        return;
    case SMTP_DO_DRAIN_CHUNK:
        note(r, "DRAIN_CHUNK");
        r->mode = DRAIN_CHUNK;
        if (a->size != UINT64_MAX)
            r->left = a->size;
        return;
    case SMTP_DO_ABORT:
        note(r, "ABORT");
        return;
    case SMTP_DO_END:
        note(r, "END");
        return;
    case SMTP_DO_REFUSED:
        snprintf(text, sizeof(text), "REFUSED %u %.*s", a->local->code, (int)a->address.len,
                 a->address.ptr);
        note(r, text);
        return;
    case SMTP_DO_REFUSED_SENDER:
        snprintf(text, sizeof(text), "REFUSED_SENDER %u %.*s %s", a->local->code,
                 (int)r->s.txn.mail.address.len, r->s.txn.mail.address.ptr, a->sender->domain);
        note(r, text);
        return;
    case SMTP_DO_AUTH:
        snprintf(text, sizeof(text), "AUTH %s %s%.*s", smtp_mechanism_name(r->s.auth->mechanism),
                 r->s.auth->has_response ? "=" : "-", (int)r->s.auth->len, r->s.auth->response);
        note(r, text);
        return;
    case SMTP_DO_AUTH_END:
        note(r, "AUTH_END");
        return;
    case SMTP_DO_CLOSE:
        snprintf(text, sizeof(text), "CLOSE %s", session_end_word(a->end));
        note(r, text);
        return;
    }
}

/* After each call of the machine: what it said and what it wants done. */
static void settle(struct run *r)
{
    size_t len = strlen(r->replies);
    struct span said = buf_span(&r->bytes);

    for (size_t i = 0; i < said.len; i++) {
        if (said.ptr[i] != '\r')
            r->replies[len++] = (char)said.ptr[i];
    }
    r->replies[len] = '\0';
    buf_clear(&r->bytes);
    unsigned actions = r->out.actions_len;
    r->out.actions_len = 0;
    for (unsigned i = 0; i < actions; i++)
        action_carry_out(r, &r->out.actions[i]);
}

static void consume(struct run *r, size_t len)
{
    memmove(r->pending, r->pending + len, r->pending_len - len);
    r->pending_len -= len;
}

/* Bodies: "\r\n.\r\n", or ".\r\n" at once, ends one. Returns false where more bytes are needed. */
static bool take_body(struct run *r)
{
    bool drain = r->mode == DRAIN_DOT || r->mode == DRAIN_CHUNK;

    if (r->mode == DOT || r->mode == DRAIN_DOT) {
        bool at_once = r->pending_len >= 3 && memcmp(r->pending, ".\r\n", 3) == 0;
        char *end = at_once ? r->pending - 2 : memmem(r->pending, r->pending_len, "\r\n.\r\n", 5);
        if (!end)
            return false;
        consume(r, (size_t)(end - r->pending) + 5);
    } else {
        size_t len = r->left < r->pending_len ? (size_t)r->left : r->pending_len;
        consume(r, len);
        r->left -= len;
        if (r->left > 0)
            return false;
    }
    r->mode = COMMANDS;
    if (drain)
        smtp_session_drained(&r->s, &r->out);
    else
        smtp_session_body_done(&r->s, &r->out);
    settle(r);
    return true;
}

static void pump(struct run *r)
{
    for (;;) {
        if (r->mode != COMMANDS) {
            if (!take_body(r))
                return;
            continue;
        }
        if (!smtp_session_wants_input(&r->s) || r->pending_len == 0)
            return;
        size_t used = smtp_session_input(&r->s, (uint8_t *)r->pending, r->pending_len, &r->out);
        consume(r, used);
        settle(r);
        if (used == 0)
            return;
    }
}

static void client_sends(struct run *r, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (r->cut == 1 || (r->cut > 1 && r->sent == r->cut - 1))
            pump(r);
        assert_true(r->pending_len < sizeof(r->pending));
        r->pending[r->pending_len++] = data[i];
        r->sent++;
    }
}

/* Cuts the next line off what was collected. */
static const char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');

    if (!end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static void expect(struct run *r, char **at, const char *kind, const char *wanted)
{
    const char *got = next_line(at);
    size_t len = strlen(wanted);
    bool prefix = len >= 3 && strcmp(wanted + len - 3, "...") == 0;

    if (!got || (prefix ? strncmp(got, wanted, len - 3) != 0 : strcmp(got, wanted) != 0))
        fail_at(r, kind, wanted, got ? got : "(nothing)");
}

static void expect_reply(struct run *r)
{
    const char *line;

    do {
        line = next_line(&r->reply_at);
        if (!line)
            fail_at(r, "reply", "any", "(nothing)");
    } while (line && line[3] == '-');
}

static void expect_nothing_more(struct run *r)
{
    const char *line;

    if ((line = next_line(&r->reply_at)) != NULL)
        fail_at(r, "reply", "(nothing)", line);
    if ((line = next_line(&r->action_at)) != NULL)
        fail_at(r, "action", "(nothing)", line);
    r->replies[0] = r->actions[0] = '\0';
    r->reply_at = r->replies;
    r->action_at = r->actions;
}

/* "250 2.1.5 Ok" */
static void reply_of(const char *text, struct smtp_reply *ret)
{
    unsigned code, class, subject, detail;
    int used = 0;

    assert_int_equal(sscanf(text, "%u %u.%u.%u %n", &code, &class, &subject, &detail, &used), 4);
    smtp_reply_make(ret, (uint16_t)code, (uint16_t)subject, (uint16_t)detail, text + used);
}

/* "challenge", "accepted anna", "refused" or "unavailable", each with what else goes to the client.
 */
static void auth_event(struct run *r, const char *text)
{
    static const char *const kinds[] = {[SMTP_AUTH_CHALLENGE] = "challenge",
                                        [SMTP_AUTH_ACCEPTED] = "accepted",
                                        [SMTP_AUTH_REFUSED] = "refused",
                                        [SMTP_AUTH_UNAVAILABLE] = "unavailable"};
    struct smtp_auth_answer answer = {.kind = SMTP_AUTH_CHALLENGE};
    char word[16] = "", user[16] = "";
    int used = 0;

    sscanf(text, "%15s %n", word, &used);
    text += used;
    while (strcmp(kinds[answer.kind], word) != 0)
        answer.kind++;
    if (answer.kind == SMTP_AUTH_ACCEPTED) {
        sscanf(text, "%15s %n", user, &used);
        text += used;
    }
    answer.user = user;
    answer.len = strlen(text);
    memcpy(answer.data, text, answer.len);
    smtp_session_auth_answer(&r->s, &answer, &r->out);
    settle(r);
    pump(r);
}

static void event(struct run *r, const char *text)
{
    static const struct tls_facts facts = {.version = TLS_VERSION_1_3,
                                           .suite = "TLS_AES_128_GCM_SHA256",
                                           .group = "P-256",
                                           .verify = TLS_VERIFY_OK,
                                           .cert_names = "mx.partner.example\0"};
    char word[16] = "";
    struct smtp_reply reply;
    int used = 0;

    sscanf(text, "%15s %n", word, &used);
    if (text[used] != '\0')
        reply_of(text + used, &reply);
    if (strcmp(word, "rcpt") == 0)
        smtp_session_rcpt_answer(&r->s, &reply, &r->out);
    else if (strcmp(word, "data") == 0)
        smtp_session_data_answer(&r->s, &reply, &r->out);
    else if (strcmp(word, "chunk") == 0)
        smtp_session_chunk_answer(&r->s, &reply, &r->out);
    else if (strcmp(word, "final") == 0)
        smtp_session_final_answer(&r->s, &reply, &r->out);
    else if (strcmp(word, "lost") == 0)
        smtp_session_hop_lost(&r->s, &reply, &r->out);
    else if (strcmp(word, "refused") == 0)
        smtp_session_body_refused(&r->s, &reply, true, &r->out);
    else if (strcmp(word, "tls") == 0)
        smtp_session_tls_done(&r->s, &facts, &r->out);
    else if (strcmp(word, "timeout") == 0)
        smtp_session_timeout(&r->s, SESSION_END_IDLE_TIMEOUT, &r->out);
    else if (strcmp(word, "shutdown") == 0)
        smtp_session_shutdown(&r->s, &r->out);
    else
        fail_at(r, "event", "a known one", text);
    settle(r);
    pump(r);
}

static void client_line(struct run *r, const char *line, bool raw)
{
    char bytes[16384];
    size_t len = 0;

    for (; *line; line++) {
        char c = *line;
        if (c == '\\' && line[1] != '\0') {
            c = *++line;
            c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c == 't' ? '\t' : c;
        }
        bytes[len++] = c;
    }
    if (!raw) {
        bytes[len++] = '\r';
        bytes[len++] = '\n';
    }
    client_sends(r, bytes, len);
}

static void script_line(struct run *r, const char *line)
{
    bool client = line[0] == 'C' || line[0] == 'c';
    const char *text = line[1] == ':' && line[2] == ' ' ? line + 3 : line + 2;

    if (line[0] == 'H' || line[0] == 'E') {
        pump(r);
        expect_nothing_more(r);
        if (strncmp(text, "auth ", 5) == 0)
            auth_event(r, text + 5);
        else
            event(r, text);
    } else if (client) {
        client_line(r, text, line[0] == 'c');
    } else if (strcmp(line, "S*") == 0) {
        expect_reply(r);
    } else {
        expect(r, line[0] == 'S' ? &r->reply_at : &r->action_at,
               line[0] == 'S' ? "reply" : "action", text);
    }
}

/* Returns how many bytes the client sent. */
static size_t run_once(const struct script_setup *setup, const char *text, const char *where,
                       size_t cut)
{
    static struct run r;
    static char copy[TEXT_MAX];
    struct script_setup t = *setup;
    struct smtp_peer peer = {
        .id = "0123456789abcdef", .conf = &t.conf, .listener = &t.listener, .offers = &t.offers};
    bool client_spoke = false;

    memset(&r, 0, sizeof(r));
    r.where = where;
    r.cut = cut;
    r.out.bytes = &r.bytes;
    r.reply_at = r.replies;
    r.action_at = r.actions;
    buf_init(&r.bytes, 64 * 1024);
    script_setup_bind(&t);
    assert_int_equal(net_addr_parse(SPAN_LIT("192.0.2.1:4444"), &peer.addr), ERR_OK);
    if (strncmp(text, "FROM ", 5) == 0) {
        size_t len = strcspn(text + 5, "\n");
        assert_int_equal(net_addr_parse_ip(span_make(text + 5, len), 4444, &peer.addr), ERR_OK);
        text += 5 + len + 1;
    }
    smtp_session_init(&r.s, &peer);
    smtp_session_greet(&r.s, &r.out);
    settle(&r);
    expect(&r, &r.reply_at, "greeting", "220 gw.example.org ESMTP postern");
    snprintf(copy, sizeof(copy), "%s", text);
    char *at = copy;
    for (const char *line; (line = next_line(&at)) != NULL;) {
        bool client = line[0] == 'C' || line[0] == 'c';
        if (client && !client_spoke)
            expect_nothing_more(&r);
        if (!client && client_spoke)
            pump(&r);
        client_spoke = client;
        script_line(&r, line);
    }
    pump(&r);
    expect_nothing_more(&r);
    smtp_session_free(&r.s);
    buf_release(&r.bytes);
    return r.sent;
}

void script_run_at(const struct script_setup *setup, enum script_cuts cuts, const char *text,
                   const char *file, int line)
{
    char where[200];

    snprintf(where, sizeof(where), "%s:%d", file, line);
    size_t sent = run_once(setup, text, where, 0);
    if (cuts == SCRIPT_WHOLE)
        return;
    for (size_t cut = 1; cut <= sent; cut++)
        run_once(setup, text, where, cut);
}
