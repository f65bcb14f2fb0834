/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One log line is one event: session id first, then key=value pairs, a peer's bytes escaped.
 * Library code builds nothing here: only the processes' own files (control/acts, firmware's and
 * bench's programs) log. A line is built in a fixed buffer and written with one write(2), so
 * that lines of several processes never mix. It goes to stderr; under systemd (JOURNAL_STREAM)
 * it carries the "<N>" priority prefix that the journal understands.
 * A process with a loop may collect its lines (log_collect), and have them written with one write
 * before anybody hears what they tell of (log_flush). One thread of a process logs.
 */
#pragma once

#include "span.h"

#include <limits.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

enum {
    LOG_LINE_MAX = 4096,
    LOG_HELD_MAX = PIPE_BUF, /* so much goes into a pipe at once, and not mixed with another's */
};

struct log_line {
    enum log_level level;
    size_t len;
    char text[LOG_LINE_MAX];
};

/* id: the session's, or the process's name ("worker/0") where there is no session. */
void log_begin(struct log_line *l, enum log_level level, const char *id, const char *event);
/* A value of our own; printed as it is, quoted where it has a space or is empty. */
void log_str(struct log_line *l, const char *key, const char *value);
/* A peer's bytes: quoted, and everything outside printable ASCII, '"' and '\' as \xHH.
 * At most 256 bytes of it are shown, then "...". */
void log_peer(struct log_line *l, const char *key, struct span value);
void log_u64(struct log_line *l, const char *key, uint64_t value);
/* value / 10^decimals with that many decimals: log_fixed(l, "delay", 1234, 3) is delay=1.234 */
void log_fixed(struct log_line *l, const char *key, uint64_t value, unsigned decimals);
void log_write(const struct log_line *l);
/* A whole line with a single text: for start-up and errors. */
void log_text(enum log_level level, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The least important level that is written; LOG_LEVEL_INFO unless set. */
void log_set_level(enum log_level level);
/*
 * From here on lines wait for log_flush, in their order. Where the next one finds no room they are
 * written at once; so is an error, with all that waits before it, and what waits when an assertion
 * fails. A process that is killed takes with it what waits.
 */
void log_collect(void);
/* Writes what waits. Before a process ends, too. */
void log_flush(void);
