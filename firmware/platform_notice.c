/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_notice.h"

#include "span.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_ROOM = 512 };

static const char *const levels[] = {
    [NOTICE_OK] = "ok",
    [NOTICE_WARNING] = "warning",
    [NOTICE_ERROR] = "error",
};

static int folders_make(const char *file)
{
    char path[PATH_MAX];

    for (const char *at = strchr(file + 1, '/'); at; at = strchr(at + 1, '/')) {
        snprintf(path, sizeof(path), "%.*s", (int)(at - file), file);
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return ERR_SYSTEM;
    }
    return ERR_OK;
}

int platform_notice(const char *file, enum notice_level level, const char *text)
{
    char line[LINE_ROOM], scratch[PATH_MAX];

    if (!file)
        return ERR_OK;
    snprintf(line, sizeof(line) - 1, "%s: %s", levels[level], text);
    for (char *c = line; *c; c++)
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    size_t len = strlen(line);
    line[len++] = '\n';
    const char *slash = strrchr(file, '/');
    size_t folder = slash ? (size_t)(slash + 1 - file) : 0;
    /* A name that begins with a dot is no notice yet. */
    int n = snprintf(scratch, sizeof(scratch), "%.*s.%s.new", (int)folder, file, file + folder);
    if (n < 0 || (size_t)n >= sizeof(scratch)) {
        errno = ENAMETOOLONG;
        return ERR_SYSTEM;
    }
    if (folders_make(file) != ERR_OK)
        return ERR_SYSTEM;
    int fd = open(scratch, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return ERR_SYSTEM;
    bool whole = write(fd, line, len) == (ssize_t)len;
    if (close(fd) != 0 || !whole || rename(scratch, file) != 0) {
        int error = errno;
        unlink(scratch);
        errno = error;
        return ERR_SYSTEM;
    }
    return ERR_OK;
}
