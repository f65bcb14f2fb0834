/* SPDX-License-Identifier: Apache-2.0 */
#include "system_notice.h"

#include "ascii.h"
#include "state_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const level_texts[] = {
    [SYSTEM_NOTICE_OK] = "ok",
    [SYSTEM_NOTICE_WARNING] = "warning",
    [SYSTEM_NOTICE_ERROR] = "error",
};
enum { LEVELS = sizeof(level_texts) / sizeof(level_texts[0]) };

const char *system_notice_level_text(enum system_notice_level level)
{
    return level_texts[level];
}

/* -1 with errno. make: where it is missing. */
static int folder_open(const char *root, bool make)
{
    char path[PATH_MAX];

    for (const char *at = SYSTEM_NOTICES; make && (at = strchr(at + 1, '/'));) {
        snprintf(path, sizeof(path), "%s%.*s", root, (int)(at - SYSTEM_NOTICES), SYSTEM_NOTICES);
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return -1;
    }
    snprintf(path, sizeof(path), "%s%s", root, SYSTEM_NOTICES);
    if (make && mkdir(path, 0755) != 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int system_notice_set(const char *root, const char *name, enum system_notice_level level,
                      const char *text)
{
    char line[SYSTEM_NOTICE_TEXT + 16];
    int folder = folder_open(root, true), err;

    if (folder < 0)
        return ERR_IO;
    snprintf(line, sizeof(line) - 1, "%s: %s", level_texts[level], text);
    size_t len = strlen(line);
    while (len > 0 && line[len - 1] == '\n')
        line[--len] = '\0';
    for (char *p = line; *p; p++)
        *p = *p == '\n' || *p == '\t' ? ' ' : *p;
    ascii_mask(line);
    line[len] = '\n';
    err = state_folder_write(folder, name, span_make(line, len + 1));
    if (!err && fchmodat(folder, name, 0644, 0) != 0)
        err = ERR_IO;
    int error = errno;
    close(folder);
    errno = error;
    return err;
}

void system_notice_clear(const char *root, const char *name)
{
    int folder = folder_open(root, false);

    if (folder < 0)
        return;
    state_folder_remove(folder, name);
    close(folder);
}

/* False: it is none. */
static bool notice_read(char *line, struct system_notice *ret)
{
    line[strcspn(line, "\n")] = '\0';
    ascii_mask(line);
    for (int level = 0; level < LEVELS; level++) {
        size_t len = strlen(level_texts[level]);
        if (strncmp(line, level_texts[level], len) != 0 || line[len] != ':')
            continue;
        ret->level = (enum system_notice_level)level;
        snprintf(ret->text, sizeof(ret->text), "%s", line + len + 1 + (line[len + 1] == ' '));
        return ret->text[0] != '\0';
    }
    return false;
}

static void notice_load(int folder, const char *name, struct system_notice *ret)
{
    char line[SYSTEM_NOTICE_TEXT + 16];
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;

    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = '\0';
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    ascii_mask(ret->name);
    if (notice_read(line, ret))
        return;
    ret->level = SYSTEM_NOTICE_ERROR;
    snprintf(ret->text, sizeof(ret->text), "%s/%s is no notice", SYSTEM_NOTICES, ret->name);
}

static int notice_order(const void *a, const void *b)
{
    const struct system_notice *x = a, *y = b;

    return x->level != y->level ? (int)y->level - (int)x->level : strcmp(x->name, y->name);
}

size_t system_notice_list(const char *root, struct system_notice *out, size_t room)
{
    int folder = folder_open(root, false);
    DIR *dir = folder >= 0 ? fdopendir(folder) : NULL;
    struct dirent *entry;
    size_t len = 0;

    while (dir && len < room && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.') /* such are the starts of files */
            notice_load(folder, entry->d_name, &out[len++]);
    }
    if (dir)
        closedir(dir);
    else if (folder >= 0)
        close(folder);
    qsort(out, len, sizeof(*out), notice_order);
    return len;
}
