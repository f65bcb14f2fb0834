/* SPDX-License-Identifier: Apache-2.0 */
#include "console_line.h"

#include <string.h>

enum { ESCAPE = 0x1b, ESCAPE_MAX = 32, CTRL_C = 3, CTRL_D = 4, DELETE = 0x7f };

void console_line_clear(struct console_line *l)
{
    bool after_cr = l->after_cr;

    explicit_bzero(l, sizeof(*l));
    l->after_cr = after_cr;
}

/* True while it takes bytes: ESC and one byte, or ESC, '[' or 'O', and all up to a letter. */
static bool escape_feed(struct console_line *l, uint8_t byte)
{
    if (byte == ESCAPE) {
        l->escape = 1;
        l->bracket = false;
        return true;
    }
    if (l->escape == 0)
        return false;
    if (byte == '\r' || byte == '\n' || byte == CTRL_C || l->escape > ESCAPE_MAX) {
        l->escape = 0; /* it was none, or one without end */
        return false;
    }
    if (l->escape++ == 1) {
        l->bracket = byte == '[' || byte == 'O';
        l->escape = l->bracket ? l->escape : 0;
    } else if (byte >= 0x40 && byte <= 0x7e) {
        l->escape = 0;
    }
    return true;
}

static void erase_last(struct console_line *l, bool secret, char echo[CONSOLE_ECHO])
{
    if (l->len == 0)
        return;
    l->text[--l->len] = '\0';
    if (!secret)
        memcpy(echo, "\b \b", 4);
}

enum console_typed console_line_feed(struct console_line *l, uint8_t byte, bool secret,
                                     char echo[CONSOLE_ECHO])
{
    bool after_cr = l->after_cr;

    memset(echo, 0, CONSOLE_ECHO);
    l->after_cr = byte == '\r';
    if (escape_feed(l, byte))
        return CONSOLE_TYPED_MORE;
    if (byte == '\n' && after_cr) /* of one key */
        return CONSOLE_TYPED_MORE;
    if (byte == '\r' || byte == '\n') {
        memcpy(echo, "\r\n", 3);
        return CONSOLE_TYPED_LINE;
    }
    if (byte == CTRL_C || byte == CTRL_D) {
        memcpy(echo, "\r\n", 3);
        return CONSOLE_TYPED_CANCEL;
    }
    if (byte == '\b' || byte == DELETE) {
        erase_last(l, secret, echo);
    } else if (byte >= ' ' && byte < DELETE && l->len + 1 < sizeof(l->text)) {
        l->text[l->len++] = (char)byte;
        echo[0] = secret ? '\0' : (char)byte;
    }
    return CONSOLE_TYPED_MORE;
}
