/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message that load sends and sink checks. Its first line is a stamp,
 *
 *     X-Postern-Bench: RUN NUMBER SIZE     (16 hexadecimal digits, 10 and 12 decimal ones)
 *
 * its last one "xxh64=" and 16 hexadecimal digits: the digest of every byte from the stamp on to
 * that last line. SIZE counts both lines. RUN and NUMBER name the message, so that loss and
 * duplicates are counted, and stand in each 4 KiB block of the body too, so that bytes of one
 * message in another never go unseen. Each block has a line that starts with a dot.
 *
 * Relays may put trace fields (Received, Return-Path) before the stamp and nothing else
 * anywhere. Pure: bytes in, bytes out; both sides work on a stream and hold one block at most.
 */
#pragma once

#include "buf.h"
#include "xxh64.h"

enum {
    MESSAGE_BLOCK = 4096,
    MESSAGE_SIZE_MIN = 1024, /* room for the header with the longest addresses */
    MESSAGE_ADDRESS_MAX = 254,
    MESSAGE_TRACE_MAX = 65536 /* bytes before the stamp */
};
#define MESSAGE_SIZE_MAX UINT64_C(999999999999)

/* What all messages of a run have in common. */
struct message_form {
    uint64_t run;
    uint64_t size;         /* of each message, unstuffed, without the final dot */
    const char *from, *to; /* at most MESSAGE_ADDRESS_MAX bytes */
    const char *date;      /* RFC 5322 date-time */
    uint8_t block[MESSAGE_BLOCK];
};

void message_form_init(struct message_form *f, uint64_t run, uint64_t size, const char *from,
                       const char *to, const char *date);

/* Makes one message, piece by piece. */
struct message_maker {
    uint64_t number;
    uint64_t made; /* bytes, unstuffed */
    struct xxh64 digest;
};

void message_maker_init(struct message_maker *m, uint64_t number);
/* Appends the next piece: the header, a block of at most MESSAGE_BLOCK bytes, or the trailer.
 * With stuffed, a line that starts with a dot gets a second one. ERR_FULL: out has no room. */
int message_make(struct message_maker *m, const struct message_form *f, bool stuffed,
                 struct buf *out) ERR_CHECK;
bool message_made(const struct message_maker *m, const struct message_form *f);

enum message_verdict {
#define MESSAGE_VERDICT(name, word, text) MESSAGE_##name,
#include "message.def"
#undef MESSAGE_VERDICT
    MESSAGE_VERDICT_COUNT
};

const char *message_verdict_word(enum message_verdict verdict);
const char *message_verdict_text(enum message_verdict verdict);

/* Checks one message, piece by piece. */
struct message_check {
    enum {
        MESSAGE_CHECK_TRACE,
        MESSAGE_CHECK_BODY,
        MESSAGE_CHECK_TRAILER,
        MESSAGE_CHECK_END,
        MESSAGE_CHECK_FAILED
    } state;
    enum message_verdict failure;
    uint64_t run, number, size; /* from the stamp */
    uint64_t left;              /* bytes until the trailer */
    uint64_t trace_bytes;
    unsigned trace_lines;
    bool in_trace_field;
    char line[1024]; /* the start of the current trace line, or the trailer */
    size_t line_len;
    struct xxh64 digest;
};

void message_check_init(struct message_check *c);
void message_check_feed(struct message_check *c, struct span bytes);
/* The verdict at the message's end. */
enum message_verdict message_check_finish(const struct message_check *c);
/* True where run and number are known, whatever the verdict. */
bool message_check_named(const struct message_check *c);
