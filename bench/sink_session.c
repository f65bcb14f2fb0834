/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    READ_PIECE = 64 * 1024,
    READ_TURN = 16, /* pieces, before others have their turn */
    LINE_MAX_BYTES = 2048,
    OUT_MAX = 64 * 1024,
    OUT_STOP = 16 * 1024 /* a client that reads no replies is not read either */
};

#define MESSAGE_LIMIT (UINT64_C(1) << 34)

/* A reply that finds no room ends the session: its client reads nothing. */
static void reply(struct sink_session *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void reply(struct sink_session *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (buf_vprintf(&s->out, format, args) != ERR_OK || buf_append(&s->out, "\r\n", 2) != ERR_OK)
        s->state = SINK_ENDING;
    va_end(args);
}

static void transaction_reset(struct sink_session *s)
{
    s->has_mail = s->has_chunk = false;
    s->rcpts = 0;
    s->message_bytes = 0;
}

void sink_session_free(struct sink_session *s)
{
    struct sink *sink = s->sink;

    if (s->state == SINK_DATA || s->state == SINK_BDAT || s->has_chunk)
        sink->aborted++;
    if (s->state == SINK_DELAY)
        TAILQ_REMOVE(&sink->delayed, s, delay_link);
    if (s->again)
        TAILQ_REMOVE(&sink->again, s, again_link);
    TAILQ_REMOVE(&sink->sessions, s, link);
    wire_close(&s->wire);
    buf_release(&s->in);
    buf_release(&s->out);
    sink->open--;
    free(s);
}

static void ehlo_do(struct sink_session *s, struct span argument)
{
    const struct sink_options *o = &s->sink->options;

    transaction_reset(s);
    s->greeted = true;
    reply(s, "250-%s", o->hostname);
    if (!o->no_pipelining)
        reply(s, "250-PIPELINING");
    if (!o->no_chunking)
        reply(s, "250-CHUNKING");
    if (o->tls == WIRE_STARTTLS && !s->wire.ssl)
        reply(s, "250-STARTTLS");
    reply(s, "250-SIZE %" PRIu64, MESSAGE_LIMIT);
    reply(s, "250-8BITMIME");
    reply(s, "250-SMTPUTF8");
    reply(s, "250 ENHANCEDSTATUSCODES");
}

static void helo_do(struct sink_session *s, struct span argument)
{
    transaction_reset(s);
    s->greeted = true;
    reply(s, "250 %s", s->sink->options.hostname);
}

static void starttls_do(struct sink_session *s, struct span argument)
{
    if (s->sink->options.tls != WIRE_STARTTLS || s->wire.ssl) {
        reply(s, "502 5.5.1 STARTTLS is not offered");
        return;
    }
    reply(s, "220 2.0.0 go ahead");
    s->state = SINK_HANDSHAKE;
}

static void mail_do(struct sink_session *s, struct span argument)
{
    if (!s->greeted || s->has_mail || !span_starts_nocase(argument, SPAN_LIT("FROM:<"))) {
        reply(s,
              s->greeted && !s->has_mail ? "501 5.5.4 MAIL FROM:<address>" : "503 5.5.1 not now");
        return;
    }
    s->has_mail = true;
    reply(s, "250 2.1.0 ok");
}

static void rcpt_do(struct sink_session *s, struct span argument)
{
    if (!s->has_mail || s->has_chunk) {
        reply(s, "503 5.5.1 not now");
    } else if (!span_starts_nocase(argument, SPAN_LIT("TO:<"))) {
        reply(s, "501 5.5.4 RCPT TO:<address>");
    } else {
        s->rcpts++;
        reply(s, "250 2.1.5 ok");
    }
}

static void data_do(struct sink_session *s, struct span argument)
{
    if (s->rcpts == 0 || s->has_chunk) {
        reply(s, s->has_mail && !s->has_chunk ? "554 5.5.1 no recipients" : "503 5.5.1 not now");
        return;
    }
    message_check_init(&s->check);
    dot_reader_init(&s->dot);
    s->state = SINK_DATA;
    reply(s, "354 go ahead");
}

/* The size of a chunk that can't be taken is unknown or absurd: what follows can't be read. */
static void bdat_refuse(struct sink_session *s)
{
    reply(s, "501 5.5.4 BDAT size [LAST]");
    s->state = SINK_ENDING;
}

static void bdat_do(struct sink_session *s, struct span argument)
{
    const uint8_t *space = argument.len ? memchr(argument.ptr, ' ', argument.len) : NULL;
    struct span digits =
        span_make(argument.ptr, space ? (size_t)(space - argument.ptr) : argument.len);
    struct span last = span_from(argument, digits.len + 1);

    if (s->sink->options.no_chunking) {
        reply(s, "502 5.5.1 CHUNKING is not offered");
        s->state = SINK_ENDING;
        return;
    }
    if (span_to_u64(digits, MESSAGE_LIMIT, &s->chunk_left) != ERR_OK ||
        (space && !span_equal_nocase(last, SPAN_LIT("LAST")))) {
        bdat_refuse(s);
        return;
    }
    s->chunk_last = space != NULL;
    s->chunk_refused = s->rcpts == 0; /* consumed all the same (RFC 3030 section 2) */
    if (!s->chunk_refused && !s->has_chunk)
        message_check_init(&s->check);
    s->has_chunk = !s->chunk_refused;
    s->state = SINK_BDAT;
}

static void rset_do(struct sink_session *s, struct span argument)
{
    if (s->has_chunk)
        s->sink->aborted++;
    transaction_reset(s);
    reply(s, "250 2.0.0 ok");
}

static void noop_do(struct sink_session *s, struct span argument)
{
    reply(s, "250 2.0.0 ok");
}

static void vrfy_do(struct sink_session *s, struct span argument)
{
    reply(s, "252 2.5.0 send it and see");
}

static void quit_do(struct sink_session *s, struct span argument)
{
    reply(s, "221 2.0.0 bye");
    s->state = SINK_ENDING;
}

static const struct {
    struct span verb;
    void (*handle)(struct sink_session *s, struct span argument);
} verbs[] = {
    {{(const uint8_t *)"MAIL", 4}, mail_do},         {{(const uint8_t *)"RCPT", 4}, rcpt_do},
    {{(const uint8_t *)"DATA", 4}, data_do},         {{(const uint8_t *)"BDAT", 4}, bdat_do},
    {{(const uint8_t *)"EHLO", 4}, ehlo_do},         {{(const uint8_t *)"HELO", 4}, helo_do},
    {{(const uint8_t *)"RSET", 4}, rset_do},         {{(const uint8_t *)"NOOP", 4}, noop_do},
    {{(const uint8_t *)"VRFY", 4}, vrfy_do},         {{(const uint8_t *)"QUIT", 4}, quit_do},
    {{(const uint8_t *)"STARTTLS", 8}, starttls_do},
};

static void command_do(struct sink_session *s, struct span line)
{
    const uint8_t *space = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
    struct span verb = span_make(line.ptr, space ? (size_t)(space - line.ptr) : line.len);

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (span_equal_nocase(verb, verbs[i].verb)) {
            verbs[i].handle(s, span_from(line, verb.len + 1));
            return;
        }
    }
    reply(s, "500 5.5.2 no such command");
}

/* Returns how much of in was a line; 0: it is not complete. */
static size_t command_take(struct sink_session *s, struct span in)
{
    const uint8_t *lf = memchr(in.ptr, '\n', in.len);

    if (!lf && in.len < LINE_MAX_BYTES)
        return 0;
    size_t len = lf ? (size_t)(lf - in.ptr) + 1 : 0;
    if (len < 2 || len > LINE_MAX_BYTES || in.ptr[len - 2] != '\r') {
        reply(s, "500 5.5.2 a line of at most %d bytes, ended by CRLF", LINE_MAX_BYTES);
        s->state = SINK_ENDING;
        return in.len;
    }
    command_do(s, span_make(in.ptr, len - 2));
    return len;
}

/* Xorshift: which messages fail is the same in each run. */
static double random_next(struct sink *sink)
{
    sink->random ^= sink->random << 13;
    sink->random ^= sink->random >> 7;
    sink->random ^= sink->random << 17;
    return (double)(sink->random >> 11) / 9007199254740992.0;
}

static void message_count(struct sink_session *s)
{
    struct sink *sink = s->sink;
    enum message_verdict verdict = message_check_finish(&s->check);

    sink->received++;
    sink->bytes += s->message_bytes;
    sink->verdicts[verdict]++;
    sink->trace_lines += s->check.trace_lines;
    if (!s->wire.ssl)
        sink->plain++;
    if (!message_check_named(&s->check))
        return;
    enum tally_result seen = tally_add(&sink->tally, s->check.run, s->check.number);
    if (seen == TALLY_DUPLICATE)
        sink->duplicates++;
    if (seen == TALLY_BEYOND)
        sink->beyond++;
    if (sink->ledger)
        fprintf(sink->ledger, "%016" PRIx64 " %" PRIu64 " %s\n", s->check.run, s->check.number,
                message_verdict_word(verdict));
}

static void message_answer(struct sink_session *s)
{
    unsigned code = (unsigned)s->sink->options.code;

    if (s->reply_accepts)
        reply(s, "250 2.0.0 received");
    else
        reply(s, "%u %u.3.0 refused, as asked for", code, code / 100);
}

static void message_end(struct sink_session *s)
{
    struct sink *sink = s->sink;
    const struct sink_options *o = &sink->options;

    s->reply_accepts = o->fail_rate <= 0 || random_next(sink) >= o->fail_rate;
    if (s->reply_accepts)
        message_count(s);
    else
        sink->failed++;
    transaction_reset(s);
    s->state = SINK_COMMAND;
    if (o->delay_ms == 0) {
        message_answer(s);
        return;
    }
    s->state = SINK_DELAY;
    s->reply_due_us = wire_now_us() + o->delay_ms * 1000;
    TAILQ_INSERT_TAIL(&sink->delayed, s, delay_link);
}

static size_t data_take(struct sink_session *s, struct span in)
{
    struct span piece;
    size_t len = dot_reader_take(&s->dot, in, &piece);

    s->message_bytes += piece.len;
    message_check_feed(&s->check, piece);
    if (s->dot.state == DOT_END) {
        s->sink->bare_lf += s->dot.bares;
        message_end(s);
    }
    return len;
}

static size_t bdat_take(struct sink_session *s, struct span in)
{
    size_t len = in.len < s->chunk_left ? in.len : (size_t)s->chunk_left;

    s->chunk_left -= len;
    s->message_bytes += len;
    if (!s->chunk_refused)
        message_check_feed(&s->check, span_make(in.ptr, len));
    if (s->chunk_left > 0)
        return len;
    s->state = SINK_COMMAND;
    if (s->chunk_refused)
        reply(s, "503 5.5.1 no recipients");
    else if (s->chunk_last)
        message_end(s);
    else
        reply(s, "250 2.0.0 chunk received");
    return len;
}

/* Bytes behind STARTTLS came before TLS was there: an attack (RFC 3207, CVE-2011-0411). */
static void injection_end(struct sink_session *s)
{
    s->sink->injections++;
    s->state = SINK_ENDING;
    buf_clear(&s->out);
}

/* Feeds in to the session and returns how much of it is used up. */
static size_t session_feed(struct sink_session *s, struct span in)
{
    size_t used = 0;
    bool stuck = false;

    while (!stuck && buf_len(&s->out) < OUT_STOP) {
        struct span rest = span_from(in, used);
        size_t took = 0;
        if (s->state == SINK_BDAT && s->chunk_left == 0) {
            bdat_take(s, rest); /* BDAT 0 LAST has no bytes to wait for */
            continue;
        }
        if (rest.len == 0)
            break;
        switch (s->state) {
        case SINK_COMMAND:
            took = command_take(s, rest);
            stuck = took == 0;
            if (s->state == SINK_HANDSHAKE && took < rest.len)
                injection_end(s);
            break;
        case SINK_DATA:
            took = data_take(s, rest);
            break;
        case SINK_BDAT:
            took = bdat_take(s, rest);
            break;
        case SINK_ENDING:
            return in.len;
        case SINK_HANDSHAKE:
        case SINK_DELAY:
            return used;
        }
        used += took;
    }
    return used;
}

static int out_write(struct sink_session *s)
{
    while (buf_len(&s->out) > 0) {
        size_t len;
        int err = wire_write(&s->wire, buf_span(&s->out), &len);
        if (err == ERR_AGAIN)
            return ERR_OK;
        if (err != ERR_OK)
            return err;
        buf_consume(&s->out, len);
    }
    buf_release(&s->out);
    return ERR_OK;
}

static bool may_read(const struct sink_session *s)
{
    return (s->state == SINK_COMMAND || s->state == SINK_DATA || s->state == SINK_BDAT) &&
           buf_len(&s->out) < OUT_STOP;
}

/* Uses what was read before, as far as its replies find room. */
static int kept_feed(struct sink_session *s)
{
    size_t used = 1;
    int err = ERR_OK;

    while (err == ERR_OK && used > 0 && buf_len(&s->in) > 0 && may_read(s)) {
        used = session_feed(s, buf_span(&s->in));
        buf_consume(&s->in, used);
        err = out_write(s);
    }
    if (buf_len(&s->in) == 0)
        buf_release(&s->in);
    return err;
}

/* Most input is used up where it was read; only what is left is copied. */
static int piece_feed(struct sink_session *s, struct span in)
{
    if (buf_len(&s->in) == 0)
        in = span_from(in, session_feed(s, in));
    int err = buf_append_span(&s->in, in);
    if (err == ERR_OK)
        err = out_write(s);
    return err == ERR_OK ? kept_feed(s) : err;
}

static int input_read(struct sink_session *s)
{
    static uint8_t piece[READ_PIECE];
    int err = kept_feed(s);

    for (unsigned turn = 0; err == ERR_OK && may_read(s); turn++) {
        size_t len;
        if (turn == READ_TURN) {
            if (!s->again)
                TAILQ_INSERT_TAIL(&s->sink->again, s, again_link);
            s->again = true;
            return ERR_OK;
        }
        err = wire_read(&s->wire, piece, sizeof(piece), &len);
        if (err == ERR_OK)
            err = piece_feed(s, span_make(piece, len));
    }
    return err == ERR_AGAIN ? ERR_OK : err;
}

static void greet(struct sink_session *s)
{
    reply(s, "220 %s ESMTP postern-bench sink", s->sink->options.hostname);
}

/* RFC 3207 section 4.2: after the handshake all that was said before is forgotten. */
static int handshake_step(struct sink_session *s)
{
    struct sink *sink = s->sink;

    if (!s->wire.ssl) {
        int err = wire_tls_start(&s->wire, sink->context, true, NULL);
        if (err != ERR_OK)
            return err;
    }
    int err = wire_handshake(&s->wire);
    if (err == ERR_AGAIN)
        return ERR_OK;
    if (err != ERR_OK) {
        sink->tls_failed++;
        return err;
    }
    sink->tls++;
    if (SSL_session_reused(s->wire.ssl))
        sink->resumed++;
    report_tls_count(&sink->tls_names, s->wire.ssl);
    transaction_reset(s);
    s->greeted = false;
    s->state = SINK_COMMAND;
    if (sink->options.tls == WIRE_IMPLICIT)
        greet(s);
    return ERR_OK;
}

static int session_step(struct sink_session *s)
{
    int err = out_write(s);

    if (err == ERR_OK && may_read(s))
        err = input_read(s);
    /* The 220 to STARTTLS leaves in plaintext, whole, before TLS begins. */
    if (err == ERR_OK && s->state == SINK_HANDSHAKE && buf_len(&s->out) == 0) {
        err = handshake_step(s);
        if (err == ERR_OK)
            err = out_write(s);
        /* The first command may have come with the client's Finished, and be read already. */
        if (err == ERR_OK && may_read(s))
            err = input_read(s);
    }
    if (err == ERR_OK && s->state == SINK_ENDING && buf_len(&s->out) == 0)
        err = ERR_CLOSED;
    return err;
}

static int mask_update(struct sink_session *s)
{
    uint32_t mask = 0;

    if (s->state == SINK_HANDSHAKE && buf_len(&s->out) == 0)
        mask = s->wire.wants;
    else if (may_read(s))
        mask = EPOLLIN;
    if (buf_len(&s->out) > 0)
        mask |= EPOLLOUT;
    if (mask == s->mask)
        return ERR_OK;
    struct epoll_event event = {.events = mask, .data.ptr = s};
    s->mask = mask;
    return epoll_ctl(s->sink->epoll, EPOLL_CTL_MOD, s->wire.fd, &event) == 0 ? ERR_OK : ERR_SYSTEM;
}

void sink_session_event(struct sink_session *s, uint32_t events)
{
    struct sink *sink = s->sink;

    s->deadline_us = sink->now_us + sink->options.timeout_s * 1000000;
    if (session_step(s) != ERR_OK || mask_update(s) != ERR_OK) {
        sink_session_free(s);
        return;
    }
    /* epoll reports these also where nothing is asked for: a delayed reply has nobody to go to. */
    if (s->state == SINK_DELAY && (events & (EPOLLERR | EPOLLHUP)))
        sink_session_free(s);
}

void sink_session_answer(struct sink_session *s)
{
    TAILQ_REMOVE(&s->sink->delayed, s, delay_link);
    s->state = SINK_COMMAND;
    message_answer(s);
    sink_session_event(s, 0);
}

void sink_session_new(struct sink *sink, int fd)
{
    struct sink_session *s = calloc(1, sizeof(*s));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

    if (!s || epoll_ctl(sink->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        sink->turned_away++;
        free(s);
        close(fd);
        return;
    }
    s->sink = sink;
    s->mask = EPOLLIN;
    wire_accept(&s->wire, fd);
    buf_init(&s->in, 2 * READ_PIECE);
    buf_init(&s->out, OUT_MAX);
    TAILQ_INSERT_TAIL(&sink->sessions, s, link);
    sink->open++;
    sink->accepted++;
    s->state = sink->options.tls == WIRE_IMPLICIT ? SINK_HANDSHAKE : SINK_COMMAND;
    if (s->state == SINK_COMMAND)
        greet(s);
    sink_session_event(s, 0);
}
