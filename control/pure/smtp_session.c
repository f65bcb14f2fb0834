/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher: lines out of bytes, the table's rules, the state, limits and ends. */
#include "smtp_session_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* Room that one command's replies and actions can need; without it input waits for the driver. */
enum { REPLY_ROOM = 8192, ACTIONS_ROOM = 8, SKIP_MAX = 65536 };

static const struct smtp_local too_long = {500, 5, 2, "Line too long"};
static const struct smtp_local bad_bytes = {500, 5, 2, "Bare CR, LF or NUL in a command"};
static const struct smtp_local need_tls = {530, 7, 0, "Must issue a STARTTLS command first"};
static const struct smtp_local need_auth = {530, 7, 0, "Authentication required"};
static const struct smtp_local auth_too_long = {500, 5, 6, "Authentication exchange line too long"};
static const struct smtp_local too_many_logins = {421, 7, 0, "Too many failed logins"};
static const struct smtp_local no_argument = {501, 5, 4, "No argument allowed"};
static const struct smtp_local injection = {554, 5, 1, "Bytes followed STARTTLS in plaintext"};
static const struct smtp_local too_many_errors = {421, 7, 0, "Too many errors"};
static const struct smtp_local too_many_commands = {421, 7, 0, "Too many commands"};
static const struct smtp_local shutting_down = {421, 3, 2, "The gateway is stopping"};
static const struct smtp_local timed_out = {421, 4, 2, "Timeout"};

const char *smtp_state_text(enum smtp_state state)
{
    static const char *const texts[SMTP_STATE_COUNT] = {
        [SMTP_STATE_CONNECTED] = "connected", [SMTP_STATE_GREETED] = "greeted",
        [SMTP_STATE_READY] = "ready",         [SMTP_STATE_MAIL] = "mail",
        [SMTP_STATE_DATA_WAIT] = "data_wait", [SMTP_STATE_BODY] = "body",
        [SMTP_STATE_CHUNK] = "chunk",         [SMTP_STATE_CHUNK_WAIT] = "chunk_wait",
        [SMTP_STATE_CHUNKS] = "chunks",       [SMTP_STATE_FINAL] = "final",
        [SMTP_STATE_DRAIN] = "drain",         [SMTP_STATE_TLS] = "tls",
        [SMTP_STATE_AUTH] = "auth",           [SMTP_STATE_CLOSED] = "closed",
    };

    return state < SMTP_STATE_COUNT ? texts[state] : "unknown";
}

void smtp_enter_state(struct smtp_session *s, enum smtp_state state)
{
    ASSERT(s->state != SMTP_STATE_CLOSED);
    s->state = state;
}

void smtp_act(struct smtp_out *out, const struct smtp_action *action)
{
    ASSERT(out->actions_len < SMTP_OUT_ACTIONS);
    out->actions[out->actions_len++] = *action;
}

void smtp_abort(struct smtp_session *s, struct smtp_out *out)
{
    if (!s->hop_open)
        return;
    s->hop_open = false;
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_ABORT});
}

void smtp_close(struct smtp_session *s, enum session_end end, struct smtp_out *out)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    smtp_abort(s, out);
    s->txn.open = false;
    smtp_enter_state(s, SMTP_STATE_CLOSED);
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_CLOSE, .end = end});
}

static void say(struct smtp_session *s, const struct smtp_reply *reply, bool without_enhanced,
                struct smtp_out *out)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    /* The driver bounds what it lets queue up: a client that reads no replies ends here. */
    if (smtp_reply_write(reply, without_enhanced, out->bytes) != ERR_OK)
        smtp_close(s, SESSION_END_INTERNAL, out);
}

void smtp_say(struct smtp_session *s, const struct smtp_reply *reply, struct smtp_out *out)
{
    say(s, reply, false, out);
}

void smtp_say_hello_reply(struct smtp_session *s, const struct smtp_reply *reply,
                          struct smtp_out *out)
{
    say(s, reply, true, out);
}

void smtp_local_make(const struct smtp_local *local, struct smtp_reply *ret)
{
    smtp_reply_make(ret, local->code, local->subject, local->detail, local->text);
}

void smtp_verdict_set(struct smtp_session *s, const struct smtp_reply *reply)
{
    if (!s->verdict)
        s->verdict = malloc(sizeof(*s->verdict));
    if (s->verdict)
        *s->verdict = *reply;
}

void smtp_verdict_local(struct smtp_session *s, const struct smtp_local *local)
{
    struct smtp_reply reply;

    smtp_local_make(local, &reply);
    smtp_verdict_set(s, &reply);
}

const struct smtp_reply *smtp_verdict(const struct smtp_session *s)
{
    static const struct smtp_reply no_memory = {
        .code = 451, .enhanced = {4, 3, 0}, .lines = 1, .len = 13, .text = "Out of memory"};

    return s->verdict ? s->verdict : &no_memory;
}

static void local_take(struct smtp_session *s, const struct smtp_local *local,
                       struct smtp_reply *ret)
{
    smtp_local_make(local, ret);
    if (smtp_reply_class(ret) == 5)
        s->peer.errors++;
}

void smtp_say_local(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out)
{
    struct smtp_reply reply;

    local_take(s, local, &reply);
    smtp_say(s, &reply, out);
}

void smtp_say_hello(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out)
{
    struct smtp_reply reply;

    local_take(s, local, &reply);
    smtp_say_hello_reply(s, &reply, out);
}

static void say_and_close(struct smtp_session *s, const struct smtp_local *local,
                          enum session_end end, struct smtp_out *out)
{
    smtp_say_local(s, local, out);
    smtp_close(s, end, out);
}

void smtp_transaction_over(struct smtp_session *s, enum smtp_action_kind kind, struct smtp_out *out)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (s->hop_open)
        smtp_act(out, &(struct smtp_action){.kind = kind});
    s->hop_open = false;
    s->txn.open = false;
    smtp_enter_state(s, SMTP_STATE_READY);
    if (s->ending)
        say_and_close(s, &timed_out, s->end, out);
    else if (s->shutdown)
        say_and_close(s, &shutting_down, SESSION_END_SHUTDOWN, out);
}

static bool takes_commands(const struct smtp_session *s)
{
    const unsigned states = STATE_BIT(GREETED) | STATE_BIT(READY) | STATE_BIT(MAIL) |
                            STATE_BIT(CHUNKS) | STATE_BIT(AUTH);

    return (states & (1u << s->state)) != 0;
}

void smtp_check_limits(struct smtp_session *s, struct smtp_out *out)
{
    const struct conf_limits *limits = &s->peer.conf->limits;

    if (s->state == SMTP_STATE_CLOSED || smtp_outstanding(s))
        return;
    if (limits->max_errors != 0 && s->peer.errors >= limits->max_errors)
        say_and_close(s, &too_many_errors, SESSION_END_TOO_MANY_ERRORS, out);
    else if (limits->max_auth_failures != 0 && s->peer.auth_failures >= limits->max_auth_failures)
        say_and_close(s, &too_many_logins, SESSION_END_TOO_MANY_LOGINS, out);
    else if (limits->max_commands != 0 && s->peer.commands > limits->max_commands)
        say_and_close(s, &too_many_commands, SESSION_END_TOO_MANY_COMMANDS, out);
    else if (s->shutdown && !s->txn.open && takes_commands(s) && !s->skipping)
        say_and_close(s, &shutting_down, SESSION_END_SHUTDOWN, out);
}

void smtp_refuse_command(struct smtp_session *s, enum smtp_verb verb, struct span rest,
                         const struct smtp_local *local, struct smtp_out *out)
{
    uint64_t size;
    bool last;

    if (smtp_table_row(verb)->flags & SMTP_FLAG_HELLO) {
        smtp_say_hello(s, local, out);
        return;
    }
    if (verb != SMTP_VERB_BDAT) {
        smtp_say_local(s, local, out);
        return;
    }
    int err = smtp_parse_bdat(rest, &size, &last);
    if (err != ERR_OK && (rest.len == 0 || rest.ptr[0] < '0' || rest.ptr[0] > '9')) {
        smtp_say_local(s, &smtp_bad_chunk, out); /* no count, so no chunk either */
        return;
    }
    /* Where the chunk ends can't be told, or is too far: what follows must not be read as
     * commands. */
    if (err != ERR_OK || smtp_chunk_absurd(s, size)) {
        say_and_close(s, &smtp_bad_chunk, SESSION_END_TOO_MANY_ERRORS, out);
        return;
    }
    if (size == 0) {
        smtp_say_local(s, local, out);
        return;
    }
    s->peer.errors++;
    smtp_verdict_local(s, local);
    smtp_drain_chunk(s, size, s->state, out);
}

/* Why a command is out of order. The states that take no commands are not asked. */
static const struct smtp_local *out_of_order(const struct smtp_session *s, enum smtp_verb verb)
{
    static const struct smtp_local hello = {503, 5, 1, "Send EHLO first"};
    static const struct smtp_local mail = {503, 5, 1, "Send MAIL first"};
    static const struct smtp_local open = {503, 5, 1, "A transaction is open"};
    static const struct smtp_local chunks = {503, 5, 1, "Only BDAT, RSET, NOOP and QUIT here"};

    if (s->state == SMTP_STATE_GREETED)
        return &hello;
    if (s->state == SMTP_STATE_CHUNKS)
        return &chunks;
    return s->state == SMTP_STATE_READY ? &mail : &open;
}

/* The one place where order, TLS and pipelining rules are enforced. more: bytes are behind it. */
static void dispatch(struct smtp_session *s, const struct smtp_row *row, struct span rest,
                     bool more, struct smtp_out *out)
{
    s->peer.commands++;
    if ((row->flags & SMTP_FLAG_LAST_IN_PIPELINE) && more)
        say_and_close(s, &injection, SESSION_END_INJECTION, out);
    else if (s->peer.listener->require_tls && !s->peer.tls_done &&
             !(row->flags & SMTP_FLAG_PRE_TLS))
        smtp_refuse_command(s, row->verb, rest, &need_tls, out);
    else if ((row->flags & SMTP_FLAG_TLS_ONLY) && !s->peer.tls_done && s->peer.listener->auth_users)
        smtp_say_local(s, &need_tls, out);
    else if ((row->flags & SMTP_FLAG_AUTHENTICATED) && s->peer.listener->require_auth &&
             s->era.user[0] == '\0' && s->state == SMTP_STATE_READY)
        smtp_say_local(s, &need_auth, out);
    else if (!(row->states & (1u << s->state)))
        smtp_refuse_command(s, row->verb, rest, out_of_order(s, row->verb), out);
    else if ((row->flags & SMTP_FLAG_NO_ARGUMENT) && rest.len > 0)
        smtp_say_local(s, &no_argument, out);
    else
        row->handler(s, rest, out);
}

/* Lines end in CRLF and in nothing else (RFC 5321 section 2.3.8). SIZE_MAX: no end in sight. */
static size_t line_end(const uint8_t *data, size_t len)
{
    const uint8_t *at = data, *end = data + len;

    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (at > data && at[-1] == '\r')
            return (size_t)(at - data) + 1;
        at++;
    }
    return SIZE_MAX;
}

static bool line_clean(struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '\r' || line.ptr[i] == '\n' || line.ptr[i] == '\0')
            return false;
    }
    return true;
}

/* The rest of a line that is too long: used up as it comes, answered at its end. */
static size_t skip_line(struct smtp_session *s, const uint8_t *data, size_t len,
                        struct smtp_out *out)
{
    size_t end = line_end(data, len);

    if (end != SIZE_MAX) {
        s->skipping = false;
        s->peer.commands++;
        if (s->state == SMTP_STATE_AUTH)
            smtp_auth_cancel(s, &auth_too_long, out);
        else
            smtp_say_local(s, &too_long, out);
        return end;
    }
    /* A CR at the end may be half of the line's end. */
    size_t used = data[len - 1] == '\r' ? len - 1 : len;
    s->skipped += used;
    if (s->skipped > SKIP_MAX)
        say_and_close(s, &too_long, SESSION_END_TOO_MANY_ERRORS, out);
    return used;
}

bool smtp_session_wants_input(const struct smtp_session *s)
{
    return takes_commands(s) && !(s->blocked && smtp_outstanding(s)) &&
           !(s->state == SMTP_STATE_AUTH && s->auth->asked);
}

bool smtp_session_owes_answer(const struct smtp_session *s)
{
    const unsigned states = STATE_BIT(DATA_WAIT) | STATE_BIT(CHUNK_WAIT) | STATE_BIT(FINAL);

    return smtp_outstanding(s) || (states & (1u << s->state)) != 0;
}

/* May this line be taken while recipients are unanswered? Only where its answer can queue up. */
static bool may_go_ahead(const struct smtp_session *s, const struct smtp_row *row, struct span rest)
{
    if (!row || !(row->flags & SMTP_FLAG_PIPELINED) || s->queue_len >= SMTP_QUEUE_MAX)
        return false;
    return !(row->flags & SMTP_FLAG_NO_ARGUMENT) || rest.len == 0;
}

/* The refused sender is still to be told of, and the next MAIL would forget it. */
static bool refused_sender(const struct smtp_out *out)
{
    return out->actions_len > 0 &&
           out->actions[out->actions_len - 1].kind == SMTP_DO_REFUSED_SENDER;
}

/* RFC 4954 section 4.3: responses, the initial one too, may be longer than other lines. */
static size_t line_max(const struct smtp_session *s, const uint8_t *data, size_t len)
{
    size_t max = s->peer.conf->limits.max_line;
    bool exchange =
        s->state == SMTP_STATE_AUTH ||
        (smtp_auth_offered(s) && span_starts_nocase(span_make(data, len), SPAN_LIT("AUTH ")));

    return exchange && max < SMTP_AUTH_LINE_MAX ? SMTP_AUTH_LINE_MAX : max;
}

/* One command line, or as much of it as is to be used now; 0 for nothing. */
static size_t input_step(struct smtp_session *s, const uint8_t *data, size_t len, bool *ret_stop,
                         struct smtp_out *out)
{
    const struct smtp_row *row = NULL;
    struct span rest = {0};

    if (s->skipping)
        return skip_line(s, data, len, out);
    size_t max = line_max(s, data, len);
    size_t end = line_end(data, len < max ? len : max);
    if (end == SIZE_MAX && len < max)
        return 0;
    struct span line = span_make(data, end == SIZE_MAX ? 0 : end - 2);
    if (end != SIZE_MAX && s->state == SMTP_STATE_AUTH) {
        s->peer.commands++;
        smtp_auth_line(s, line, line_clean(line), out);
        *ret_stop = true;
        return end;
    }
    if (end != SIZE_MAX && line_clean(line))
        row = smtp_table_row(smtp_command_verb(line, &rest));
    if (smtp_outstanding(s) && !may_go_ahead(s, row, rest)) {
        s->blocked = true;
        return 0;
    }
    if (end == SIZE_MAX) {
        s->skipping = true;
        s->skipped = 0;
        return skip_line(s, data, len, out);
    }
    if (!row) {
        s->peer.commands++;
        smtp_say_local(s, &bad_bytes, out);
        return end;
    }
    dispatch(s, row, rest, end < len, out);
    *ret_stop = (row->flags & SMTP_FLAG_SUSPEND) != 0 || refused_sender(out);
    return end;
}

static bool has_room(const struct smtp_out *out)
{
    const struct buf *bytes = out->bytes;

    return out->actions_len + ACTIONS_ROOM <= SMTP_OUT_ACTIONS &&
           (bytes->max == 0 || bytes->max - buf_len(bytes) >= REPLY_ROOM || buf_len(bytes) == 0);
}

size_t smtp_session_input(struct smtp_session *s, const uint8_t *data, size_t len,
                          struct smtp_out *out)
{
    size_t used = 0;
    bool stop = false;

    if (!s->txn.open)
        smtp_transaction_forget(s);
    s->blocked = false;
    while (!stop && used < len && smtp_session_wants_input(s) && has_room(out)) {
        size_t step = input_step(s, data + used, len - used, &stop, out);
        smtp_check_limits(s, out);
        if (step == 0)
            break;
        used += step;
    }
    return used;
}

void smtp_session_init(struct smtp_session *s, const struct smtp_peer *peer)
{
    *s = (struct smtp_session){.state = SMTP_STATE_CONNECTED, .peer = *peer};
}

void smtp_session_free(struct smtp_session *s)
{
    smtp_transaction_forget(s);
    smtp_auth_forget(s);
    free(s->verdict);
    s->verdict = NULL;
}

void smtp_session_greet(struct smtp_session *s, struct smtp_out *out)
{
    struct smtp_reply reply;
    char text[SMTP_REPLY_TEXT];

    if (s->state != SMTP_STATE_CONNECTED)
        return;
    if (s->shutdown) {
        say_and_close(s, &shutting_down, SESSION_END_SHUTDOWN, out);
        return;
    }
    snprintf(text, sizeof(text), "%s ESMTP postern", s->peer.conf->gateway.hostname);
    smtp_reply_make(&reply, 220, 0, 0, text);
    smtp_enter_state(s, SMTP_STATE_GREETED);
    smtp_say_hello_reply(s, &reply, out);
}

void smtp_session_refuse(struct smtp_session *s, enum session_end end, struct smtp_out *out)
{
    static const struct smtp_local overload = {421, 3, 2, "The gateway is busy, try again later"};
    static const struct smtp_local address = {421, 3, 2, "Too many connections from your address"};
    static const struct smtp_local other = {421, 3, 0, "Closing"};
    const struct smtp_local *local = end == SESSION_END_OVERLOAD        ? &overload
                                     : end == SESSION_END_ADDRESS_LIMIT ? &address
                                     : end == SESSION_END_SHUTDOWN      ? &shutting_down
                                                                        : &other;

    say_and_close(s, local, end, out);
}

void smtp_session_timeout(struct smtp_session *s, enum session_end end, struct smtp_out *out)
{
    const unsigned message = STATE_BIT(DATA_WAIT) | STATE_BIT(BODY) | STATE_BIT(CHUNK) |
                             STATE_BIT(CHUNK_WAIT) | STATE_BIT(CHUNKS) | STATE_BIT(DRAIN);
    bool in_message = (message & (1u << s->state)) != 0;

    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (s->state == SMTP_STATE_FINAL ||
        (end == SESSION_END_SESSION_TIMEOUT && in_message && !s->ending)) {
        s->ending = true;
        s->end = end;
        return;
    }
    /* In a handshake plaintext means nothing to the client any more. */
    if (s->state != SMTP_STATE_TLS && s->state != SMTP_STATE_CONNECTED)
        smtp_say_local(s, &timed_out, out);
    smtp_close(s, end, out);
}

void smtp_session_shutdown(struct smtp_session *s, struct smtp_out *out)
{
    s->shutdown = true;
    smtp_check_limits(s, out);
}

uint64_t smtp_session_size_limit(const struct smtp_session *s)
{
    uint64_t limit = s->peer.conf->limits.max_message;
    uint64_t hops = s->peer.offers ? s->peer.offers->size : 0;

    if (hops > SMTP_RECEIVED_MAX && (limit == 0 || hops - SMTP_RECEIVED_MAX < limit))
        limit = hops - SMTP_RECEIVED_MAX;
    return limit;
}

const union net_addr *smtp_session_client(const struct smtp_session *s)
{
    return s->era.xclient ? &s->era.client_addr : &s->peer.addr;
}

const char *smtp_session_helo(const struct smtp_session *s)
{
    return s->era.client_helo_known ? s->era.client_helo : s->era.helo;
}
