/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line typed on a terminal, byte by byte. Who sits at a serial line may send anything: a line has a
 * bound, control characters and escape sequences go nowhere, and what is echoed is printable. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONSOLE_LINE_MAX = 1024, CONSOLE_ECHO = 8 };

struct console_line {
    char text[CONSOLE_LINE_MAX]; /* ends with a NUL */
    size_t len;
    unsigned escape; /* bytes of an escape sequence so far */
    bool bracket;    /* it is of the kind that ends with a letter */
    bool after_cr;
};

enum console_typed { CONSOLE_TYPED_MORE, CONSOLE_TYPED_LINE, CONSOLE_TYPED_CANCEL };

/* echo: what the terminal is to be sent; "" for nothing. secret: nothing of the line is. */
enum console_typed console_line_feed(struct console_line *l, uint8_t byte, bool secret,
                                     char echo[CONSOLE_ECHO]);
/* Wipes it. */
void console_line_clear(struct console_line *l);
