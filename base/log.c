/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "assertion.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOG_PEER_MAX = 256 };

static enum log_level log_threshold = LOG_LEVEL_INFO;
static bool collecting;
static char held[LOG_HELD_MAX]; /* whole lines */
static size_t held_len;

void log_set_level(enum log_level level)
{
    log_threshold = level;
}

/* One byte of the line is kept for the newline. */
static void put(struct log_line *l, const char *text, size_t len)
{
    size_t room = sizeof(l->text) - 1 - l->len;

    if (len > room)
        len = room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_str(struct log_line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_key(struct log_line *l, const char *key)
{
    put_str(l, " ");
    put_str(l, key);
    put_str(l, "=");
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct log_line *l, struct span value)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < value.len;) {
        size_t run = i;
        while (run < value.len && is_plain(value.ptr[run]))
            run++;
        put(l, (const char *)value.ptr + i, run - i);
        if (run < value.len) {
            uint8_t c = value.ptr[run++];
            put(l, (const char[]){'\\', 'x', digits[c >> 4], digits[c & 15]}, 4);
        }
        i = run;
    }
}

static void put_u64(struct log_line *l, uint64_t value, unsigned min_digits)
{
    char digits[24];
    struct text t = text_into(digits, sizeof(digits));

    text_u64(&t, value, min_digits);
    put(l, digits, t.len);
}

void log_begin(struct log_line *l, enum log_level level, const char *id, const char *event)
{
    l->level = level;
    l->len = 0;
    put_str(l, id);
    put_str(l, " ");
    put_str(l, event);
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    put_key(l, key);
    if (value[0] != '\0' && !strpbrk(value, " \"\\\n\r\t=")) {
        put_str(l, value);
        return;
    }
    put_str(l, "\"");
    put_escaped(l, span_str(value));
    put_str(l, "\"");
}

void log_peer(struct log_line *l, const char *key, struct span value)
{
    size_t shown = value.len > LOG_PEER_MAX ? LOG_PEER_MAX : value.len;

    put_key(l, key);
    put_str(l, "\"");
    put_escaped(l, span_make(value.ptr, shown));
    put_str(l, shown < value.len ? "...\"" : "\"");
}

void log_u64(struct log_line *l, const char *key, uint64_t value)
{
    put_key(l, key);
    put_u64(l, value, 1);
}

void log_fixed(struct log_line *l, const char *key, uint64_t value, unsigned decimals)
{
    uint64_t unit = 1;

    ASSERT(decimals <= 9);
    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    put_key(l, key);
    put_u64(l, value / unit, 1);
    if (decimals > 0) {
        put_str(l, ".");
        put_u64(l, value % unit, decimals);
    }
}

/* Each line by itself: what was too much at once, or too much for a pipe that is nearly full. */
static void write_lines(const char *text, size_t len)
{
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t line = end ? (size_t)(end - text) + 1 : len;
        /* A log that can't be written must not stop mail; a full pipe drops the line. */
        ssize_t written = write(STDERR_FILENO, text, line);
        (void)written;
        text += line;
        len -= line;
    }
}

static void write_out(const char *text, size_t len)
{
    ssize_t written = write(STDERR_FILENO, text, len);

    if (written < 0 && memchr(text, '\n', len) == text + len - 1)
        return;
    if (written < (ssize_t)len)
        write_lines(text + (written > 0 ? written : 0), len - (written > 0 ? (size_t)written : 0));
}

void log_collect(void)
{
    collecting = true;
}

void log_flush(void)
{
    size_t len = held_len;

    held_len = 0;
    if (len > 0)
        write_out(held, len);
}

void log_write(const struct log_line *l)
{
    char out[LOG_LINE_MAX + 8];
    size_t len = 0;

    if (l->level > log_threshold)
        return;
    if (getenv("JOURNAL_STREAM"))
        len = (size_t)snprintf(out, sizeof(out), "<%d>", (int)l->level);
    memcpy(out + len, l->text, l->len);
    len += l->len;
    out[len++] = '\n';
    if (len > sizeof(held) - held_len)
        log_flush();
    if (!collecting || len > sizeof(held)) {
        write_out(out, len);
        return;
    }
    memcpy(held + held_len, out, len);
    held_len += len;
    if (l->level <= LOG_LEVEL_ERROR)
        log_flush();
}

void log_text(enum log_level level, const char *id, const char *format, ...)
{
    struct log_line l = {.level = level};
    char text[LOG_LINE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put_str(&l, id);
    put_str(&l, " ");
    put_str(&l, text);
    log_write(&l);
}
