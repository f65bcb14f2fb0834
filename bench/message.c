/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include "assertion.h"

#include <inttypes.h>
#include <stdio.h>

/* Widths are fixed, so that a stamp that was cut or grew is not taken for one. */
static const char stamp_name[] = "X-Postern-Bench: ";
static const char trailer_name[] = "xxh64=";

enum {
    LINE = 78,  /* of the body, with CRLF */
    DOT = LINE, /* the second line of a block starts with a dot */
    STAMP_LEN = sizeof(stamp_name) - 1 + 16 + 1 + 10 + 1 + 12,
    TRAILER_LEN = sizeof(trailer_name) - 1 + 16 + 2
};

void message_form_init(struct message_form *f, uint64_t run, uint64_t size, const char *from,
                       const char *to, const char *date)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t random = run | 1;

    ASSERT(size >= MESSAGE_SIZE_MIN && size <= MESSAGE_SIZE_MAX);
    ASSERT(strlen(from) <= MESSAGE_ADDRESS_MAX && strlen(to) <= MESSAGE_ADDRESS_MAX);
    *f = (struct message_form){.run = run, .size = size, .from = from, .to = to, .date = date};
    for (size_t i = 0; i < sizeof(f->block); i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        f->block[i] = (uint8_t)digits[random >> 58];
        if (i % LINE == LINE - 2)
            f->block[i] = '\r';
        if (i % LINE == LINE - 1)
            f->block[i] = '\n';
    }
    f->block[DOT] = '.';
}

void message_maker_init(struct message_maker *m, uint64_t number)
{
    *m = (struct message_maker){.number = number};
    xxh64_init(&m->digest);
}

bool message_made(const struct message_maker *m, const struct message_form *f)
{
    return m->made == f->size;
}

static int header_make(struct message_maker *m, const struct message_form *f, struct buf *out)
{
    size_t before = buf_len(out);
    int err = buf_printf(out,
                         "%s%016" PRIx64 " %010" PRIu64 " %012" PRIu64 "\r\n"
                         "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\n"
                         "Message-ID: <%016" PRIx64 ".%" PRIu64 "@postern-bench.invalid>\r\n"
                         "Subject: postern-bench\r\n\r\n",
                         stamp_name, f->run, m->number, f->size, f->from, f->to, f->date, f->run,
                         m->number);
    if (err != ERR_OK)
        return err;
    struct span header = span_from(buf_span(out), before);
    ASSERT(header.len < MESSAGE_SIZE_MIN - TRAILER_LEN);
    xxh64_update(&m->digest, header.ptr, header.len);
    m->made = header.len;
    return ERR_OK;
}

/* A block cut to len bytes still ends with CRLF, and has no other CR in front of it. */
static void block_cut(uint8_t *block, size_t len)
{
    ASSERT(len >= 2);
    block[len - 2] = '\r';
    block[len - 1] = '\n';
    if (len >= 3 && block[len - 3] == '\r')
        block[len - 3] = 'x';
}

static int block_make(struct message_maker *m, const struct message_form *f, bool stuffed,
                      struct buf *out)
{
    uint8_t block[MESSAGE_BLOCK];
    char name[64];
    uint64_t left = f->size - TRAILER_LEN - m->made;
    size_t len = left < MESSAGE_BLOCK ? (size_t)left : MESSAGE_BLOCK;

    /* A single byte left for the next block could not be a line. */
    if (left - len == 1)
        len -= 2;
    memcpy(block, f->block, sizeof(block));
    int name_len = snprintf(name, sizeof(name), "%016" PRIx64 " %010" PRIu64 " %012" PRIu64 " ",
                            f->run, m->number, m->made);
    memcpy(block, name, (size_t)name_len);
    block_cut(block, len);
    xxh64_update(&m->digest, block, len);
    m->made += len;
    if (!stuffed || len <= DOT + 2)
        return buf_append(out, block, len);
    uint8_t *to = buf_reserve(out, len + 1);
    if (!to)
        return ERR_FULL;
    memcpy(to, block, DOT);
    to[DOT] = '.';
    memcpy(to + DOT + 1, block + DOT, len - DOT);
    buf_commit(out, len + 1);
    return ERR_OK;
}

int message_make(struct message_maker *m, const struct message_form *f, bool stuffed,
                 struct buf *out)
{
    ASSERT(!message_made(m, f));
    if (m->made == 0)
        return header_make(m, f, out);
    if (m->made < f->size - TRAILER_LEN)
        return block_make(m, f, stuffed, out);
    m->made = f->size;
    return buf_printf(out, "%s%016" PRIx64 "\r\n", trailer_name, xxh64_digest(&m->digest));
}

static const struct {
    const char *word, *text;
} verdicts[] = {
#define MESSAGE_VERDICT(name, word, text) {word, text},
#include "message.def"
#undef MESSAGE_VERDICT
};

const char *message_verdict_word(enum message_verdict verdict)
{
    return verdicts[verdict].word;
}

const char *message_verdict_text(enum message_verdict verdict)
{
    return verdicts[verdict].text;
}

void message_check_init(struct message_check *c)
{
    *c = (struct message_check){.state = MESSAGE_CHECK_TRACE};
    xxh64_init(&c->digest);
}

bool message_check_named(const struct message_check *c)
{
    return c->size > 0;
}

static void check_fail(struct message_check *c, enum message_verdict verdict)
{
    c->state = MESSAGE_CHECK_FAILED;
    c->failure = verdict;
}

static bool digits_read(const char *text, size_t len, unsigned base, char after, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= base)
            return false;
        value = value * base + digit;
    }
    *ret = value;
    return text[len] == after;
}

static bool stamp_read(struct message_check *c)
{
    const char *p = c->line + sizeof(stamp_name) - 1;
    uint64_t size;

    if (c->line_len != STAMP_LEN + 2 || !digits_read(p, 16, 16, ' ', &c->run) ||
        !digits_read(p + 17, 10, 10, ' ', &c->number) || !digits_read(p + 28, 12, 10, '\r', &size))
        return false;
    if (size < MESSAGE_SIZE_MIN)
        return false;
    c->size = size;
    c->left = size - c->line_len - TRAILER_LEN;
    xxh64_update(&c->digest, c->line, c->line_len);
    c->line_len = 0;
    c->state = MESSAGE_CHECK_BODY;
    return true;
}

/* One whole line before the body: the stamp, or a trace field's. */
static void trace_line(struct message_check *c)
{
    struct span line = span_make(c->line, c->line_len);

    if (span_starts_nocase(line, span_str(stamp_name))) {
        if (!stamp_read(c))
            check_fail(c, MESSAGE_FOREIGN);
        return;
    }
    bool folded = c->in_trace_field && (c->line[0] == ' ' || c->line[0] == '\t');
    if (span_starts_nocase(line, SPAN_LIT("Received:")) ||
        span_starts_nocase(line, SPAN_LIT("Return-Path:"))) {
        c->in_trace_field = true;
        c->trace_lines++;
    } else if (!folded) {
        check_fail(c, line.len <= 2 ? MESSAGE_FOREIGN : MESSAGE_TRACE);
    }
    c->line_len = 0;
}

static size_t trace_feed(struct message_check *c, struct span bytes)
{
    const uint8_t *lf = memchr(bytes.ptr, '\n', bytes.len);
    size_t len = lf ? (size_t)(lf - bytes.ptr) + 1 : bytes.len;
    size_t room = sizeof(c->line) - c->line_len;
    size_t part = len < room ? len : room;

    c->trace_bytes += len;
    if (c->trace_bytes > MESSAGE_TRACE_MAX) {
        check_fail(c, MESSAGE_TRACE);
        return len;
    }
    /* Of a line that is longer than any stamp, its start is enough. */
    memcpy(c->line + c->line_len, bytes.ptr, part);
    c->line_len += part;
    if (lf)
        trace_line(c);
    return len;
}

static size_t body_feed(struct message_check *c, struct span bytes)
{
    size_t len = bytes.len < c->left ? bytes.len : (size_t)c->left;

    xxh64_update(&c->digest, bytes.ptr, len);
    c->left -= len;
    if (c->left == 0)
        c->state = MESSAGE_CHECK_TRAILER;
    return len;
}

static size_t trailer_feed(struct message_check *c, struct span bytes)
{
    size_t room = TRAILER_LEN - c->line_len;
    size_t len = bytes.len < room ? bytes.len : room;
    uint64_t digest;

    memcpy(c->line + c->line_len, bytes.ptr, len);
    c->line_len += len;
    if (c->line_len < TRAILER_LEN)
        return len;
    if (memcmp(c->line, trailer_name, sizeof(trailer_name) - 1) == 0 &&
        digits_read(c->line + sizeof(trailer_name) - 1, 16, 16, '\r', &digest) &&
        c->line[TRAILER_LEN - 1] == '\n' && digest == xxh64_digest(&c->digest))
        c->state = MESSAGE_CHECK_END;
    else
        check_fail(c, MESSAGE_DIGEST);
    return len;
}

void message_check_feed(struct message_check *c, struct span bytes)
{
    while (bytes.len > 0) {
        size_t took = 0;
        switch (c->state) {
        case MESSAGE_CHECK_TRACE:
            took = trace_feed(c, bytes);
            break;
        case MESSAGE_CHECK_BODY:
            took = body_feed(c, bytes);
            break;
        case MESSAGE_CHECK_TRAILER:
            took = trailer_feed(c, bytes);
            break;
        case MESSAGE_CHECK_END:
            check_fail(c, MESSAGE_LONG);
            return;
        case MESSAGE_CHECK_FAILED:
            return;
        }
        bytes = span_from(bytes, took);
    }
}

enum message_verdict message_check_finish(const struct message_check *c)
{
    switch (c->state) {
    case MESSAGE_CHECK_TRACE:
        return MESSAGE_FOREIGN;
    case MESSAGE_CHECK_BODY:
    case MESSAGE_CHECK_TRAILER:
        return MESSAGE_SHORT;
    case MESSAGE_CHECK_END:
        return MESSAGE_INTACT;
    case MESSAGE_CHECK_FAILED:
        return c->failure;
    }
    return MESSAGE_FOREIGN;
}
