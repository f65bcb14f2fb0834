/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog_check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int spawn(char *const *words, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;

    sigemptyset(&none);
    int error = posix_spawn_file_actions_init(&files);
    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&files);
        return error;
    }
    if (!error)
        error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (!error)
        error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error)
        error =
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (!error)
        error = posix_spawnp(ret, words[0], &files, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

int watchdog_check_start(char *const *words, struct watchdog_check *ret)
{
    *ret = (struct watchdog_check){.pidfd = -1};
    errno = spawn(words, &ret->pid);
    if (errno != 0) {
        ret->pid = 0;
        return ERR_SYSTEM;
    }
    ret->pidfd = (int)syscall(SYS_pidfd_open, ret->pid, 0);
    if (ret->pidfd >= 0)
        return ERR_OK;
    int error = errno;
    watchdog_check_kill(ret);
    (void)watchdog_check_end(ret);
    errno = error;
    return ERR_SYSTEM;
}

void watchdog_check_kill(const struct watchdog_check *check)
{
    if (check->pid > 0)
        kill(-check->pid, SIGKILL);
}

bool watchdog_check_end(struct watchdog_check *check)
{
    int status = 1;
    pid_t got = check->pid;

    while (check->pid > 0 && (got = waitpid(check->pid, &status, 0)) < 0 && errno == EINTR)
        continue;
    /* What it left behind in its group has no business any more. */
    watchdog_check_kill(check);
    if (check->pidfd >= 0)
        close(check->pidfd);
    *check = (struct watchdog_check){.pidfd = -1};
    return got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
