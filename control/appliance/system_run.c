/* SPDX-License-Identifier: Apache-2.0 */
#include "system_run.h"

#include "assertion.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 4096, NOT_STARTED = 127 };

struct state {
    const struct system_run *run;
    char line[SYSTEM_RUN_LINE];
    size_t len;
    bool full;
};

struct ends {
    int in; /* -1: none */
    int out;
    bool errors; /* to out as well */
};

__attribute__((noreturn)) static void child(const char *root, const char *const *words,
                                            struct ends ends, const char *variable)
{
    const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                       "LANG=C.UTF-8",
                                       "SYSTEMD_COLORS=0",
                                       "SYSTEMD_PAGER=",
                                       variable,
                                       NULL};
    char path[PATH_MAX];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    snprintf(path, sizeof(path), "%s%s", root, words[0]);
    if (null < 0 || dup2(ends.in >= 0 ? ends.in : null, STDIN_FILENO) < 0 ||
        dup2(ends.out, STDOUT_FILENO) < 0 || dup2(ends.errors ? ends.out : null, STDERR_FILENO) < 0)
        _exit(NOT_STARTED);
    (void)setpgid(0, 0); /* so that a timeout ends what it started, too */
    execve(path, (char *const *)words, (char *const *)environment);
    _exit(NOT_STARTED);
}

static void line_end(struct state *s)
{
    s->line[s->len] = '\0';
    if (s->len > 0)
        s->run->line(s->run->user, s->line);
    s->len = 0;
}

static void take(struct state *s, const char *bytes, size_t len)
{
    if (s->run->out && !s->full && buf_append(s->run->out, bytes, len) != ERR_OK)
        s->full = true;
    for (size_t i = 0; s->run->line && i < len; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') /* a bar of progress is drawn over itself */
            line_end(s);
        else if (s->len + 1 < sizeof(s->line))
            s->line[s->len++] = bytes[i];
    }
}

/* Until it closes its output. False: the time is over. */
static bool listen_to(struct state *s, int fd, int64_t deadline_ms)
{
    char piece[PIECE];

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - (int64_t)clock_ms();
        if (left <= 0)
            return false;
        int n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0;
        ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return true;
        take(s, piece, (size_t)got);
    }
}

static int status_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return ERR_SYSTEM;
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status) == NOT_STARTED ? ERR_SYSTEM : WEXITSTATUS(status);
}

/* Where text can be read from, to its end. A pipe has room for it: nobody waits. */
static int input_make(const char *text)
{
    size_t len = strlen(text);
    int ends[2];

    ASSERT(len < PIPE_BUF);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    bool written = write(ends[1], text, len) == (ssize_t)len;
    close(ends[1]);
    if (written)
        return ends[0];
    close(ends[0]);
    return -1;
}

int system_run(const struct system_run *run)
{
    struct state s = {.run = run};
    int ends[2], input = run->input ? input_make(run->input) : -1;

    if ((run->input && input < 0) || pipe2(ends, O_CLOEXEC) != 0) {
        if (input >= 0)
            close(input);
        return ERR_SYSTEM;
    }
    pid_t pid = fork();
    if (pid == 0)
        child(run->root, run->words,
              (struct ends){.in = input, .out = ends[1], .errors = run->line || run->with_errors},
              run->variable);
    if (input >= 0)
        close(input);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return ERR_SYSTEM;
    }
    bool in_time = listen_to(&s, ends[0], (int64_t)clock_ms() + run->timeout_s * 1000ll);
    close(ends[0]);
    if (!in_time && kill(-pid, SIGKILL) != 0)
        (void)kill(pid, SIGKILL); /* before it has made a group of its own */
    if (run->line)
        line_end(&s);
    int status = status_wait(pid);
    if (!in_time)
        return ERR_TIMEOUT;
    return status == 0 && s.full ? ERR_FULL : status;
}

pid_t system_start(const char *root, const char *const *words, int output)
{
    pid_t pid = fork();

    if (pid == 0)
        child(root, words, (struct ends){.in = -1, .out = output, .errors = true}, NULL);
    return pid > 0 ? pid : ERR_SYSTEM;
}

bool system_alive(pid_t pid)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

void system_stop(pid_t pid, int timeout_s)
{
    int64_t deadline = (int64_t)clock_ms() + timeout_s * 1000ll;

    (void)kill(pid, SIGTERM);
    while (system_alive(pid) && (int64_t)clock_ms() < deadline)
        (void)poll(NULL, 0, 20);
    (void)kill(-pid, SIGKILL); /* with what it started */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
