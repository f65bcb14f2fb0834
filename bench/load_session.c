/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum {
    OUT_FILL = 64 * 1024, /* made ahead of the socket */
    READ_PIECE = 16 * 1024,
    PAUSE_US = 100 * 1000, /* after a failure: never a tight loop of refused connections */
    CODE_TEXT_MAX = 200
};

static void deadline_renew(struct load_session *s)
{
    s->deadline_us = s->load->now_us + s->load->options.timeout_s * 1000000;
}

static void state_enter(struct load_session *s, enum load_state state)
{
    struct load *l = s->load;

    if (s->state == LOAD_READY)
        TAILQ_REMOVE(&l->ready, s, link);
    if (s->state == LOAD_HELD)
        l->held--;
    s->state = state;
    deadline_renew(s);
    if (state == LOAD_READY || state == LOAD_HELD)
        s->deadline_us = UINT64_MAX;
    if (state == LOAD_READY)
        TAILQ_INSERT_TAIL(&l->ready, s, link);
    if (state == LOAD_CLOSED && !l->options.idle)
        TAILQ_INSERT_TAIL(&l->closed, s, link);
    if (state == LOAD_HELD && ++l->held > l->held_most)
        l->held_most = l->held;
}

/* Ends the connection; what becomes of the slot is the caller's. */
static void session_close(struct load_session *s)
{
    struct load *l = s->load;

    if (s->opening)
        l->opening--;
    if (s->busy)
        l->failed++;
    s->opening = s->busy = s->making = false;
    s->sent = 0;
    wire_close(&s->wire);
    buf_release(&s->in);
    buf_release(&s->out);
    buf_release(&s->chunk);
    l->open--;
}

static void session_fail(struct load_session *s, enum load_failure failure)
{
    struct load *l = s->load;

    if (failure == LOAD_FAILURE_HANDSHAKE && l->tls_error[0] == '\0')
        wire_tls_error(l->tls_error, sizeof(l->tls_error));
    l->failures[failure]++;
    if (s->state == LOAD_HELD)
        l->held_lost++;
    session_close(s);
    state_enter(s, l->options.idle ? LOAD_CLOSED : LOAD_PAUSED);
    s->deadline_us = l->now_us + PAUSE_US;
}

static void session_end(struct load_session *s)
{
    session_close(s);
    state_enter(s, LOAD_CLOSED);
}

void load_session_drop(struct load_session *s)
{
    if (s->state != LOAD_CLOSED && s->state != LOAD_PAUSED)
        session_end(s);
}

void load_session_expire(struct load_session *s)
{
    if (s->state == LOAD_CLOSED)
        return;
    if (s->state == LOAD_PAUSED)
        state_enter(s, LOAD_CLOSED);
    else if (s->state == LOAD_QUIT)
        session_end(s);
    else
        session_fail(s, LOAD_FAILURE_TIMEOUT);
}

static bool is_alive(const struct load_session *s)
{
    return s->state != LOAD_CLOSED && s->state != LOAD_PAUSED;
}

/* A session that runs out of room is ended where its output is next written (pump). */
static void command(struct load_session *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void command(struct load_session *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (buf_vprintf(&s->out, format, args) != ERR_OK)
        s->starved = true;
    va_end(args);
}

void load_session_open(struct load_session *s)
{
    struct load *l = s->load;

    TAILQ_REMOVE(&l->closed, s, link);
    l->sessions_opened++;
    l->opening++;
    l->open++;
    s->opening = true;
    s->starved = false;
    s->opened_us = l->now_us;
    buf_init(&s->in, REPLY_MAX + READ_PIECE);
    buf_init(&s->out, OUT_FILL + 4 * MESSAGE_BLOCK + 2 * l->options.chunk);
    buf_init(&s->chunk, 2 * MESSAGE_BLOCK + l->options.chunk);
    state_enter(s, LOAD_CONNECTING);
    if (wire_connect(&s->wire, &l->to, l->to_len) != ERR_OK) {
        session_fail(s, LOAD_FAILURE_CONNECT);
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};
    s->mask = EPOLLOUT;
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->wire.fd, &event) < 0)
        session_fail(s, LOAD_FAILURE_MEMORY);
}

static void quit_send(struct load_session *s)
{
    command(s, "QUIT\r\n");
    state_enter(s, LOAD_QUIT);
}

void load_session_quit(struct load_session *s)
{
    quit_send(s);
    load_session_event(s, 0);
}

static void rcpt_command(struct load_session *s)
{
    const char *to = s->load->form.to, *at = strrchr(to, '@');
    uint64_t domains = s->load->options.domains;

    if (domains > 0)
        command(s, "RCPT TO:<%.*sd%" PRIu64 ".%s>\r\n", (int)(at + 1 - to), to,
                s->maker.number % domains, at + 1);
    else
        command(s, "RCPT TO:<%s>\r\n", to);
}

static void message_begin(struct load_session *s)
{
    const struct load *l = s->load;

    s->refused = 0;
    s->chunks_sent = s->chunks_answered = 0;
    command(s, "MAIL FROM:<%s>", l->form.from);
    if (s->has_size)
        command(s, " SIZE=%" PRIu64, l->form.size);
    command(s, "\r\n");
    if (s->has_pipelining) {
        rcpt_command(s);
        if (!l->options.bdat)
            command(s, "DATA\r\n");
        s->making = l->options.bdat;
    }
    state_enter(s, LOAD_MAIL);
}

void load_session_take(struct load_session *s, uint64_t number, uint64_t intended_us)
{
    s->busy = true;
    s->intended_us = intended_us;
    message_maker_init(&s->maker, number);
    if (s->state == LOAD_READY) {
        message_begin(s);
        load_session_event(s, 0);
    }
}

/* A session that came for nothing else. */
static void handshake_end(struct load_session *s)
{
    struct load *l = s->load;

    s->busy = false;
    s->sent++;
    l->accepted++;
    histogram_record(&l->latency, wire_now_us() - s->intended_us);
    quit_send(s);
}

/* Ready for a message; the first one of a session was given to it before it was opened. */
static void session_ready(struct load_session *s)
{
    struct load *l = s->load;
    uint64_t per_session = l->options.per_session;

    if (s->opening) {
        s->opening = false;
        l->opening--;
        histogram_record(&l->setup, wire_now_us() - s->opened_us);
    }
    if (l->options.idle)
        state_enter(s, LOAD_HELD);
    else if (s->busy && l->options.handshakes)
        handshake_end(s);
    else if (s->busy)
        message_begin(s);
    else if (per_session > 0 && s->sent >= per_session)
        quit_send(s);
    else
        state_enter(s, LOAD_READY);
}

static void message_end(struct load_session *s, bool accepted)
{
    struct load *l = s->load;

    s->busy = s->making = false;
    s->sent++;
    buf_release(&s->chunk);
    if (!accepted) {
        l->rejected++;
        command(s, "RSET\r\n");
        state_enter(s, LOAD_RSET);
        return;
    }
    l->accepted++;
    l->bytes += l->form.size;
    histogram_record(&l->latency, wire_now_us() - s->intended_us);
    if (l->ledger)
        fprintf(l->ledger, "%016" PRIx64 " %" PRIu64 "\n", l->form.run, s->maker.number);
    session_ready(s);
}

/* After all chunks were sent and answered; also where a refusal ended them early. */
static void bdat_settle(struct load_session *s)
{
    if (s->state == LOAD_BDAT && !s->making && s->chunks_answered == s->chunks_sent)
        message_end(s, s->refused == 0);
}

/* The next piece of a message that goes out as one chunk, or after DATA. */
static int whole_make(struct load_session *s)
{
    const struct message_form *form = &s->load->form;
    bool bdat = s->load->options.bdat;
    int err = ERR_OK;

    if (bdat && s->maker.made == 0) {
        err = buf_printf(&s->out, "BDAT %" PRIu64 " LAST\r\n", form->size);
        s->chunks_sent = 1;
    }
    if (err == ERR_OK)
        err = message_make(&s->maker, form, !bdat, &s->out);
    if (err != ERR_OK || !message_made(&s->maker, form))
        return err;
    s->making = false;
    if (bdat)
        return ERR_OK;
    state_enter(s, LOAD_FINAL);
    return buf_append(&s->out, ".\r\n", 3);
}

/* One chunk of --chunk bytes. */
static int chunk_make(struct load_session *s)
{
    const struct message_form *form = &s->load->form;

    if (s->refused != 0) {
        s->making = false;
        bdat_settle(s);
        return ERR_OK;
    }
    while (buf_len(&s->chunk) < s->load->options.chunk && !message_made(&s->maker, form)) {
        int err = message_make(&s->maker, form, false, &s->chunk);
        if (err != ERR_OK)
            return err;
    }
    size_t len = buf_len(&s->chunk);
    if (len > s->load->options.chunk)
        len = s->load->options.chunk;
    bool last = message_made(&s->maker, form) && len == buf_len(&s->chunk);
    int err = buf_printf(&s->out, "BDAT %zu%s\r\n", len, last ? " LAST" : "");
    if (err == ERR_OK)
        err = buf_append(&s->out, buf_span(&s->chunk).ptr, len);
    buf_consume(&s->chunk, len);
    s->chunks_sent++;
    s->making = !last;
    return err;
}

static int body_fill(struct load_session *s)
{
    int err = ERR_OK;

    while (err == ERR_OK && s->making && buf_len(&s->out) < OUT_FILL)
        err = s->load->options.chunk > 0 ? chunk_make(s) : whole_make(s);
    return err;
}

/* Writes until the socket is full or all is written. */
static void session_pump(struct load_session *s)
{
    int err = ERR_OK;

    if (s->state == LOAD_CONNECTING || s->state == LOAD_HANDSHAKE)
        return;
    while (err == ERR_OK) {
        size_t len = 0;
        if (body_fill(s) != ERR_OK || s->starved) {
            session_fail(s, LOAD_FAILURE_MEMORY);
            return;
        }
        if (buf_len(&s->out) == 0)
            break;
        err = wire_write(&s->wire, buf_span(&s->out), &len);
        buf_consume(&s->out, len);
        if (len > 0)
            deadline_renew(s);
    }
    /* A peer that closes may have said why: what it sent is read before the failure counts. */
    if (err != ERR_OK && err != ERR_AGAIN) {
        buf_clear(&s->out);
        s->making = false;
    }
    if (buf_len(&s->out) == 0)
        buf_release(&s->out);
}

static void mask_update(struct load_session *s)
{
    uint32_t mask = EPOLLIN;

    if (s->state == LOAD_CONNECTING || s->state == LOAD_HANDSHAKE)
        mask = s->wire.wants;
    else if (buf_len(&s->out) > 0)
        mask |= EPOLLOUT;
    if (mask == s->mask)
        return;
    struct epoll_event event = {.events = mask, .data.ptr = s};
    if (epoll_ctl(s->load->epoll, EPOLL_CTL_MOD, s->wire.fd, &event) < 0)
        session_fail(s, LOAD_FAILURE_MEMORY);
    else
        s->mask = mask;
}

static void ehlo_send(struct load_session *s)
{
    command(s, "EHLO %s\r\n", s->load->options.helo);
    state_enter(s, LOAD_EHLO);
}

static void handshake_step(struct load_session *s)
{
    struct load *l = s->load;
    int err = wire_handshake(&s->wire);

    if (err == ERR_AGAIN)
        return;
    if (err != ERR_OK) {
        session_fail(s, LOAD_FAILURE_HANDSHAKE);
        return;
    }
    histogram_record(&l->handshake, wire_now_us() - s->handshake_us);
    if (SSL_session_reused(s->wire.ssl))
        l->sessions_resumed++;
    report_tls_count(&l->tls_names, s->wire.ssl);
    if (l->options.tls == WIRE_IMPLICIT)
        state_enter(s, LOAD_GREETING);
    else
        ehlo_send(s);
}

static void handshake_begin(struct load_session *s)
{
    struct load *l = s->load;

    if (wire_tls_start(&s->wire, l->context, false, l->options.resume ? s->resume : NULL) !=
        ERR_OK) {
        session_fail(s, LOAD_FAILURE_HANDSHAKE);
        return;
    }
    SSL_set_app_data(s->wire.ssl, s);
    s->handshake_us = wire_now_us();
    state_enter(s, LOAD_HANDSHAKE);
    handshake_step(s);
}

static void connect_finish(struct load_session *s)
{
    if (wire_connected(&s->wire) != ERR_OK)
        session_fail(s, LOAD_FAILURE_CONNECT);
    else if (s->load->options.tls == WIRE_IMPLICIT)
        handshake_begin(s);
    else
        state_enter(s, LOAD_GREETING);
}

static void code_count(struct load *l, const struct reply *r)
{
    l->codes[r->code]++;
    if (r->code >= 400 && !l->code_texts[r->code]) {
        size_t len = r->text.len < CODE_TEXT_MAX ? r->text.len : CODE_TEXT_MAX;
        l->code_texts[r->code] = strndup((const char *)r->text.ptr, len);
    }
}

static void ehlo_reply(struct load_session *s, const struct reply *r)
{
    if (r->code != 250) {
        session_fail(s, LOAD_FAILURE_EHLO);
    } else if (s->load->options.tls == WIRE_STARTTLS && !s->wire.ssl) {
        if (!reply_has_keyword(r, SPAN_LIT("STARTTLS"))) {
            session_fail(s, LOAD_FAILURE_STARTTLS);
            return;
        }
        command(s, "STARTTLS\r\n");
        state_enter(s, LOAD_STARTTLS);
    } else {
        s->has_pipelining = reply_has_keyword(r, SPAN_LIT("PIPELINING"));
        s->has_chunking = reply_has_keyword(r, SPAN_LIT("CHUNKING"));
        s->has_size = reply_has_keyword(r, SPAN_LIT("SIZE"));
        if (s->load->options.bdat && !s->has_chunking)
            session_fail(s, LOAD_FAILURE_EHLO);
        else
            session_ready(s);
    }
}

static void starttls_reply(struct load_session *s, const struct reply *r)
{
    if (r->code != 220)
        session_fail(s, LOAD_FAILURE_STARTTLS);
    else if (buf_len(&s->in) > r->bytes.len)
        session_fail(s, LOAD_FAILURE_INJECTION);
    else
        handshake_begin(s);
}

static void refused_note(struct load_session *s, const struct reply *r)
{
    if (r->code >= 300 && s->refused == 0)
        s->refused = r->code;
}

/* With PIPELINING all commands are out already; without it the next one goes now. */
static void mail_reply(struct load_session *s, const struct reply *r)
{
    refused_note(s, r);
    if (!s->has_pipelining && s->refused != 0) {
        message_end(s, false);
        return;
    }
    if (!s->has_pipelining)
        rcpt_command(s);
    state_enter(s, LOAD_RCPT);
}

static void rcpt_reply(struct load_session *s, const struct reply *r)
{
    bool bdat = s->load->options.bdat;

    refused_note(s, r);
    if (!s->has_pipelining && s->refused != 0) {
        message_end(s, false);
        return;
    }
    if (!s->has_pipelining && bdat)
        s->making = true;
    else if (!s->has_pipelining)
        command(s, "DATA\r\n");
    state_enter(s, bdat ? LOAD_BDAT : LOAD_DATA);
    bdat_settle(s);
}

static void data_reply(struct load_session *s, const struct reply *r)
{
    if (r->code != 354) {
        refused_note(s, r);
        message_end(s, false);
    } else if (s->refused != 0) {
        /* RFC 2920 section 3.1: a server may say 354 though it has no recipient. */
        command(s, ".\r\n");
        state_enter(s, LOAD_FINAL);
    } else {
        s->making = true;
        state_enter(s, LOAD_BODY);
    }
}

static void bdat_reply(struct load_session *s, const struct reply *r)
{
    refused_note(s, r);
    s->chunks_answered++;
    if (s->chunks_answered > s->chunks_sent)
        session_fail(s, LOAD_FAILURE_PROTOCOL);
    else
        bdat_settle(s);
}

static void session_reply(struct load_session *s, const struct reply *r)
{
    code_count(s->load, r);
    deadline_renew(s);
    if (r->code == 421) {
        session_fail(s, LOAD_FAILURE_REFUSED);
        return;
    }
    switch (s->state) {
    case LOAD_GREETING:
        if (r->code == 220)
            ehlo_send(s);
        else
            session_fail(s, LOAD_FAILURE_REFUSED);
        return;
    case LOAD_EHLO:
        ehlo_reply(s, r);
        return;
    case LOAD_STARTTLS:
        starttls_reply(s, r);
        return;
    case LOAD_MAIL:
        mail_reply(s, r);
        return;
    case LOAD_RCPT:
        rcpt_reply(s, r);
        return;
    case LOAD_DATA:
        data_reply(s, r);
        return;
    case LOAD_FINAL:
        refused_note(s, r);
        message_end(s, s->refused == 0);
        return;
    case LOAD_BDAT:
        bdat_reply(s, r);
        return;
    case LOAD_RSET:
        session_ready(s);
        return;
    case LOAD_QUIT:
        session_end(s);
        return;
    case LOAD_CLOSED:
    case LOAD_PAUSED:
    case LOAD_CONNECTING:
    case LOAD_HANDSHAKE:
    case LOAD_READY:
    case LOAD_HELD:
    case LOAD_BODY:
        break;
    }
    session_fail(s, LOAD_FAILURE_PROTOCOL);
}

static bool expects_replies(const struct load_session *s)
{
    return is_alive(s) && s->state != LOAD_CONNECTING && s->state != LOAD_HANDSHAKE;
}

static void replies_take(struct load_session *s)
{
    struct reply r;

    while (expects_replies(s) && buf_len(&s->in) > 0) {
        int err = reply_read(buf_span(&s->in), &r);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK) {
            session_fail(s, LOAD_FAILURE_PROTOCOL);
            return;
        }
        size_t len = r.bytes.len;
        session_reply(s, &r);
        if (is_alive(s))
            buf_consume(&s->in, len);
    }
    if (is_alive(s) && buf_len(&s->in) == 0)
        buf_release(&s->in);
}

static void session_read(struct load_session *s)
{
    uint8_t piece[READ_PIECE];
    int err = ERR_OK;

    while (err == ERR_OK && expects_replies(s)) {
        size_t len;
        err = wire_read(&s->wire, piece, sizeof(piece), &len);
        if (err != ERR_OK)
            break;
        if (buf_append(&s->in, piece, len) != ERR_OK) {
            session_fail(s, LOAD_FAILURE_PROTOCOL);
            return;
        }
        replies_take(s);
    }
    if (err == ERR_OK || err == ERR_AGAIN)
        return;
    if (s->state == LOAD_QUIT)
        session_end(s);
    else
        session_fail(s, LOAD_FAILURE_CLOSED);
}

void load_session_event(struct load_session *s, uint32_t events)
{
    if (s->state == LOAD_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        connect_finish(s);
    else if (s->state == LOAD_HANDSHAKE && events != 0)
        handshake_step(s);
    /* Also after a handshake: what came in its last read is in OpenSSL's buffer already. */
    if (expects_replies(s) && events != 0)
        session_read(s);
    if (is_alive(s))
        session_pump(s);
    if (is_alive(s))
        mask_update(s);
}
