/* SPDX-License-Identifier: Apache-2.0 */
#include "console_screen.h"

#include "ascii.h"

#include <stdio.h>
#include <string.h>

enum { ADDRESS_LINES = 4, LISTENER_LINES = 3, NOTICE_LINES = 7 };

struct screen {
    struct buf *out;
    int err; /* the first failure */
};

/* One line, printable and no longer than the screen is wide. */
static void put_line(struct screen *s, const char *text)
{
    char line[CONSOLE_COLUMNS + 1];

    snprintf(line, sizeof(line), "%.*s", CONSOLE_COLUMNS, text);
    ascii_mask(line);
    if (!s->err)
        s->err = buf_printf(s->out, "%s\r\n", line);
}

static void put_title(struct screen *s, const struct console_state *state)
{
    char line[256], left[80];
    int width;

    snprintf(left, sizeof(left), "postern %.40s", state->version);
    width = CONSOLE_COLUMNS - (int)strlen(left) - 1;
    snprintf(line, sizeof(line), "%s %*.*s", left, width, width, state->hostname);
    put_line(s, line);
}

static const char *health_text(enum console_health health)
{
    switch (health) {
    case CONSOLE_STARTING:
        return "starting";
    case CONSOLE_READY:
        return "ready";
    case CONSOLE_DEGRADED:
        return "degraded: something is wrong, see the notices";
    }
    return "";
}

static void put_more(struct screen *s, size_t more, const char *where)
{
    char line[CONSOLE_COLUMNS + 1];

    if (more == 0)
        return;
    snprintf(line, sizeof(line), "  and %zu more: %s", more, where);
    put_line(s, line);
}

/* Addresses of one interface share a line as long as they fit. */
static void put_addresses(struct screen *s, const struct console_state *state)
{
    char line[CONSOLE_COLUMNS + 1];
    size_t i = 0;

    if (state->addresses_len == 0)
        put_line(s, "Addresses   none");
    for (size_t lines = 0; i < state->addresses_len && lines < ADDRESS_LINES; lines++) {
        const char *interface = state->addresses[i].interface;
        snprintf(line, sizeof(line), "%-11s %-15s %.48s", lines == 0 ? "Addresses" : "", interface,
                 state->addresses[i].text);
        for (i++; i < state->addresses_len; i++) {
            const struct console_address *next = &state->addresses[i];
            size_t len = strlen(line);
            if (strcmp(next->interface, interface) != 0 ||
                len + 2 + strlen(next->text) >= sizeof(line))
                break;
            snprintf(line + len, sizeof(line) - len, "  %s", next->text);
        }
        put_line(s, line);
    }
    put_more(s, state->addresses_len - i, "4 status");
}

static void put_listeners(struct screen *s, const struct console_state *state)
{
    size_t n = state->listeners_len < LISTENER_LINES ? state->listeners_len : LISTENER_LINES;
    char line[256];

    if (state->listeners_len == 0)
        put_line(s, "Mail at     nowhere: the gateway does not answer");
    for (size_t i = 0; i < n; i++) {
        snprintf(line, sizeof(line), "%-11s %-15s %s", i == 0 ? "Mail at" : "",
                 state->listeners[i].name, state->listeners[i].address);
        put_line(s, line);
    }
    put_more(s, state->listeners_len - n, "4 status");
}

/* Where a line of so many columns ends: behind a word, if there is one. */
static size_t wrap(const char *text, size_t columns)
{
    size_t len = strlen(text);

    if (len <= columns)
        return len;
    for (size_t at = columns; at > columns / 2; at--) {
        if (text[at] == ' ')
            return at;
    }
    return columns;
}

/* In at most so many lines. Returns how many it took. */
static size_t put_notice(struct screen *s, const struct console_notice *notice, size_t room)
{
    char line[CONSOLE_COLUMNS + 8], text[600];
    const char *at = text;
    size_t lines = 0, indent = 0;

    snprintf(text, sizeof(text), "%s: %s", notice->level, notice->text);
    while (*at && lines < room) {
        size_t len = wrap(at, CONSOLE_COLUMNS - indent);
        bool cut = at[len] && lines + 1 == room;
        if (cut && len > CONSOLE_COLUMNS - indent - 4)
            len = CONSOLE_COLUMNS - indent - 4;
        snprintf(line, sizeof(line), "%*s%.*s%s", (int)indent, "", (int)len, at, cut ? " ..." : "");
        put_line(s, line);
        at += len + strspn(at + len, " ");
        indent = 2;
        lines++;
    }
    return lines;
}

/* The worst are shown whole as long as there is room; the last line may be for how many are left.
 */
static void put_notices(struct screen *s, const struct console_state *state)
{
    size_t lines = 0;

    for (size_t i = 0; i < state->notices_len; i++) {
        size_t room = NOTICE_LINES - lines - (i + 1 < state->notices_len);
        if (room == 0) {
            put_more(s, state->notices_len - i, "4 status");
            return;
        }
        lines += put_notice(s, &state->notices[i], room);
    }
}

int console_screen_write(const struct console_state *state, struct buf *out)
{
    struct screen s = {.out = out};
    char line[256];

    put_title(&s, state);
    snprintf(line, sizeof(line), "State       %s", health_text(state->health));
    put_line(&s, line);
    if (state->slots[0]) {
        snprintf(line, sizeof(line), "System      %s", state->slots);
        put_line(&s, line);
    }
    put_addresses(&s, state);
    put_listeners(&s, state);
    put_line(&s, "");
    put_notices(&s, state);
    put_line(&s, "");
    put_line(&s, "1 network   2 routes    3 administrator   4 status   5 diagnostics");
    snprintf(line, sizeof(line), "%s7 factory reset   8 restart   9 power off%s",
             state->installable ? "6 install to disk   " : "",
             state->has_password ? "   0 shell" : "");
    put_line(&s, line);
    return s.err;
}
