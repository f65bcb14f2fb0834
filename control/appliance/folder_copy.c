/* SPDX-License-Identifier: Apache-2.0 */
#include "folder_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 8, ENTRIES_MAX = 4096, BYTES_MAX = 256 << 20, PIECE = 65536 };

struct bounds {
    unsigned depth, entries;
    uint64_t bytes;
};

static int bytes_copy(int from, int to, struct bounds *b)
{
    static char piece[PIECE];
    ssize_t n;

    while ((n = read(from, piece, sizeof(piece))) > 0) {
        b->bytes += (uint64_t)n;
        if (b->bytes > BYTES_MAX)
            return ERR_LIMIT;
        for (ssize_t done = 0, more; done < n; done += more) {
            more = write(to, piece + done, (size_t)(n - done));
            if (more <= 0)
                return ERR_IO;
        }
    }
    return n < 0 ? ERR_IO : ERR_OK;
}

static int file_copy(int from_parent, int to_parent, const char *name, const struct stat *st,
                     struct bounds *b)
{
    int from = openat(from_parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err = ERR_IO;
    int to =
        from >= 0 ? openat(to_parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;

    if (to >= 0)
        err = bytes_copy(from, to, b);
    if (!err && (fchown(to, st->st_uid, st->st_gid) != 0 || fchmod(to, st->st_mode & 07777) != 0 ||
                 fsync(to) != 0))
        err = ERR_IO;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return err;
}

static int link_copy(int from_parent, int to_parent, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_parent, name, target, sizeof(target) - 1);

    if (n < 0)
        return ERR_IO;
    target[n] = '\0';
    return symlinkat(target, to_parent, name) == 0 ? ERR_OK : ERR_IO;
}

static int tree_copy(int from_parent, const char *from, int to_parent, const char *to,
                     struct bounds *b);

static int entry_copy(int from, int to, const char *name, struct bounds *b)
{
    struct stat st;

    if (++b->entries > ENTRIES_MAX)
        return ERR_LIMIT;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return ERR_IO;
    if (S_ISDIR(st.st_mode))
        return tree_copy(from, name, to, name, b);
    if (S_ISLNK(st.st_mode))
        return link_copy(from, to, name);
    return S_ISREG(st.st_mode) ? file_copy(from, to, name, &st, b) : ERR_OK;
}

static int tree_copy(int from_parent, const char *from, int to_parent, const char *to,
                     struct bounds *b)
{
    int from_fd = openat(from_parent, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int to_fd = -1, err = from_fd >= 0 ? ERR_OK : ERR_IO;
    struct dirent *entry;
    struct stat st;
    DIR *dir = NULL;

    if (!err && ++b->depth > DEPTH_MAX)
        err = ERR_LIMIT;
    if (!err && (fstat(from_fd, &st) != 0 || mkdirat(to_parent, to, 0700) != 0))
        err = ERR_IO;
    if (!err) {
        to_fd = openat(to_parent, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        dir = to_fd >= 0 ? fdopendir(from_fd) : NULL;
        err = dir ? ERR_OK : ERR_IO;
    }
    while (!err && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = entry_copy(from_fd, to_fd, entry->d_name, b);
    if (!err && (fchown(to_fd, st.st_uid, st.st_gid) != 0 ||
                 fchmod(to_fd, st.st_mode & 07777) != 0 || fsync(to_fd) != 0))
        err = ERR_IO;
    b->depth--;
    int error = errno;
    if (dir)
        closedir(dir);
    else if (from_fd >= 0)
        close(from_fd);
    if (to_fd >= 0)
        close(to_fd);
    errno = error;
    return err;
}

int folder_copy(int parent, const char *from, const char *to)
{
    struct bounds b = {0};
    struct stat st;

    if (fstatat(parent, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return ERR_IO;
    }
    int err = tree_copy(parent, from, parent, to, &b);
    int error = errno;
    if (err && folder_remove(parent, to) != ERR_OK)
        return ERR_IO;
    errno = error;
    return err;
}

static int entries_remove(int fd)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    int err = dir ? ERR_OK : ERR_IO;

    while (!err && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = folder_remove(fd, entry->d_name);
    if (dir)
        closedir(dir);
    else
        close(fd);
    return err;
}

int folder_remove(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return ERR_OK;
    if (errno != EISDIR && errno != EPERM)
        return ERR_IO;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int err = fd >= 0 ? entries_remove(fd) : ERR_IO;
    if (!err && unlinkat(parent, name, AT_REMOVEDIR) != 0)
        err = ERR_IO;
    return err;
}
