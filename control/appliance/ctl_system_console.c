/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system console: the terminal of the console. It is shown anew where something changed
 * and nobody is in the middle of an answer; answers that nobody goes on with are given up.
 */
#include "admin_password.h"
#include "ascii.h"
#include "console.h"
#include "ctl_print.h"
#include "ctl_system.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_EVERY_MS = 2000,
    IDLE_S = 120,
    WRITING_S = 600, /* 64 letters by hand */
    PAGE = CONSOLE_LINES - 1,
    OUTPUT_MAX = 1 << 20,
};

struct console {
    const char *root;
    struct termios before;
    struct console_state state;
    struct console_facts facts;
    struct console_menu menu;
    struct console_line line;
    struct buf shown;  /* what is on the screen */
    struct buf output; /* of an act, that is being read page by page */
    time_t typed_at;
    unsigned delay_s; /* after the next wrong password */
    bool lost;        /* what was typed ahead */
    bool ended;
};

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void put(struct console *c, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            c->ended = true; /* the line is gone */
            return;
        }
        text += n;
        len -= (size_t)n;
    }
}

static void put_text(struct console *c, const char *text)
{
    put(c, text, strlen(text));
}

static void terminal_raw(struct console *c)
{
    struct termios raw = c->before;

    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= (tcflag_t) ~(ICRNL | INLCR | IGNCR | IXON | ISTRIP);
    raw.c_oflag &= (tcflag_t)~OPOST;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    (void)!tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

/* --- showing --- */

static void put_prompt(struct console *c)
{
    put_text(c,
             buf_len(&c->output) > 0 ? "Enter: more, q: enough " : console_menu_prompt(&c->menu));
    if (!console_menu_secret(&c->menu))
        put(c, c->line.text, c->line.len);
}

/* always: also where nothing changed. */
static void show(struct console *c, bool always)
{
    struct buf screen;

    console_state_read(c->root, &c->state);
    buf_init(&screen, 0);
    if (console_screen_write(&c->state, &screen) == ERR_OK &&
        (always || !span_equal(buf_span(&screen), buf_span(&c->shown)))) {
        put_text(c, "\x1b[H\x1b[2J");
        put(c, (const char *)buf_span(&screen).ptr, buf_len(&screen));
        put_prompt(c);
        buf_release(&c->shown);
        c->shown = screen;
        return;
    }
    buf_release(&screen);
}

/* What goes on one line of the screen: up to the line's end, or to a word's where it is longer. */
static struct span line_cut(struct span *text)
{
    struct span rest = *text, one = span_cut(&rest, '\n');
    size_t len = CONSOLE_COLUMNS;

    if (one.len <= CONSOLE_COLUMNS) {
        *text = rest;
        return one;
    }
    while (len > CONSOLE_COLUMNS / 2 && one.ptr[len] != ' ')
        len--;
    len = one.ptr[len] == ' ' ? len : CONSOLE_COLUMNS;
    *text = span_from(*text, len + (one.ptr[len] == ' '));
    return span_make(one.ptr, len);
}

/* Lines of ours and others', printable. Returns how many bytes they took. */
static size_t put_lines(struct console *c, struct span text, size_t most)
{
    const uint8_t *start = text.ptr;

    for (size_t i = 0; i < most && text.len > 0; i++) {
        char line[CONSOLE_COLUMNS + 1];
        struct span one = line_cut(&text);
        for (size_t j = 0; j < one.len; j++)
            line[j] = (char)(one.ptr[j] == '\t' || one.ptr[j] == '\0' ? ' ' : one.ptr[j]);
        line[one.len] = '\0';
        ascii_mask(line);
        put_text(c, line);
        put_text(c, "\r\n");
    }
    return (size_t)(text.ptr - start);
}

static void put_page(struct console *c)
{
    put_text(c, "\x1b[H\x1b[2J");
    buf_consume(&c->output, put_lines(c, buf_span(&c->output), PAGE));
    if (buf_len(&c->output) == 0)
        buf_release(&c->output);
    put_prompt(c);
}

/* --- doing --- */

/* In the terminal's own foreground, as a login has one. */
static void shell_run(struct console *c)
{
    pid_t child;
    int status;

    put_text(c, "\r\nA shell: \"exit\" leads back.\r\n");
    (void)!tcsetattr(STDIN_FILENO, TCSADRAIN, &c->before);
    child = fork();
    if (child == 0) {
        (void)!setpgid(0, 0);
        (void)!tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        execl("/bin/bash", "-bash", (char *)NULL);
        _exit(EX_UNAVAILABLE);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    (void)!tcsetpgrp(STDIN_FILENO, getpgrp());
    terminal_raw(c);
    console_menu_cancel(&c->menu);
}

static void verify(struct console *c, struct console_answer *answer)
{
    bool right = admin_password_right(c->root, c->line.text);

    put_text(c, "\r\n");
    if (right) {
        c->delay_s = ADMIN_PASSWORD_DELAY_S;
    } else {
        sleep(c->delay_s);
        c->delay_s = 2 * c->delay_s < ADMIN_PASSWORD_DELAY_MOST_S ? 2 * c->delay_s
                                                                  : ADMIN_PASSWORD_DELAY_MOST_S;
        (void)!tcflush(STDIN_FILENO, TCIFLUSH); /* guesses that were typed ahead */
        c->lost = true;
    }
    console_menu_verified(&c->menu, right, &c->facts, answer);
}

static void line_typed(struct console *c)
{
    struct console_answer answer;

    if (buf_len(&c->output) > 0) {
        if (c->line.text[0] == 'q')
            buf_release(&c->output);
        console_line_clear(&c->line);
        put_page(c);
        return;
    }
    if (c->menu.step == CONSOLE_STEP_MENU)
        console_facts_read(c->root, &c->state, &c->facts);
    console_menu_feed(&c->menu, c->line.text, &c->facts, &answer);
    if (answer.act == CONSOLE_ACT_VERIFY)
        verify(c, &answer);
    console_line_clear(&c->line);
    (void)put_lines(c, span_str(answer.says), PAGE);
    if (answer.act == CONSOLE_ACT_SHELL) {
        shell_run(c);
    } else if (answer.act != CONSOLE_ACT_NONE) {
        put_text(c, "Wait ...\r\n");
        console_do(c->root, answer.act, &c->menu.values, &c->output);
        explicit_bzero(&c->menu.values, sizeof(c->menu.values));
        put_page(c);
        return;
    }
    if (c->menu.step == CONSOLE_STEP_MENU)
        show(c, true);
    else
        put_prompt(c);
}

static void cancel(struct console *c)
{
    console_menu_cancel(&c->menu);
    console_line_clear(&c->line);
    buf_release(&c->output);
    show(c, true);
}

static void typed(struct console *c, const uint8_t *bytes, size_t len)
{
    char echo[CONSOLE_ECHO];

    c->lost = false;
    for (size_t i = 0; i < len && !c->ended && !c->lost; i++) {
        enum console_typed what =
            console_line_feed(&c->line, bytes[i], console_menu_secret(&c->menu), echo);
        put_text(c, echo);
        if (what == CONSOLE_TYPED_LINE)
            line_typed(c);
        else if (what == CONSOLE_TYPED_CANCEL)
            cancel(c);
    }
    c->typed_at = now_s();
}

/* --- the loop --- */

static bool is_resting(const struct console *c)
{
    return c->menu.step == CONSOLE_STEP_MENU && buf_len(&c->output) == 0;
}

static void run(struct console *c)
{
    uint8_t bytes[64];

    show(c, true);
    while (!c->ended) {
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        int n = poll(&fd, 1, LOOK_EVERY_MS);
        ssize_t got = n > 0 ? read(STDIN_FILENO, bytes, sizeof(bytes)) : 0;
        if (n > 0 && got <= 0)
            c->ended = got == 0 || errno != EINTR;
        else if (n > 0)
            typed(c, bytes, (size_t)got);
        else if (is_resting(c))
            show(c, false);
        else if (now_s() - c->typed_at >
                 (c->menu.step == CONSOLE_STEP_WRITTEN_YES ? WRITING_S : IDLE_S))
            cancel(c);
    }
}

int ctl_system_console(const struct ctl_system *sys, char **arguments)
{
    static struct console c;

    c = (struct console){.root = sys->root, .delay_s = ADMIN_PASSWORD_DELAY_S};
    if (tcgetattr(STDIN_FILENO, &c.before) != 0)
        return ctl_failed(sys->json, "the console needs a terminal", EX_USAGE);
    signal(SIGTTOU, SIG_IGN);
    /* systemd(1): it stops writing what it starts, which would stand in the middle of the screen.
     */
    if (!sys->root[0] && getppid() == 1)
        (void)!kill(1, SIGRTMIN + 21);
    buf_init(&c.shown, 0);
    buf_init(&c.output, OUTPUT_MAX);
    terminal_raw(&c);
    run(&c);
    console_menu_cancel(&c.menu);
    (void)!tcsetattr(STDIN_FILENO, TCSADRAIN, &c.before);
    buf_release(&c.shown);
    buf_release(&c.output);
    return 0;
}
