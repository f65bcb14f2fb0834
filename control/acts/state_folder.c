/* SPDX-License-Identifier: Apache-2.0 */
#include "state_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_NAME ".new-%ld" /* of several generations each has its own */
#define NEW_NAME_ALONE ".new"

enum { PIECE = 16 * 1024 };

/* Its files go with it, where they are that owner's: nobody else's become uid's. */
static void files_pass(int folder, uid_t owner, uid_t uid, gid_t gid)
{
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *entry;
    struct stat st;

    while (dir && (entry = readdir(dir))) {
        int fd = openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == owner)
            (void)!fchown(fd, uid, gid); /* else it can't be read, and that is said */
        if (fd >= 0)
            close(fd);
    }
    if (dir)
        closedir(dir);
    else if (again >= 0)
        close(again);
}

/* The processes of gateway.user, which may have changed, own the folder. */
static int folder_pass(int folder, uid_t uid, gid_t gid)
{
    struct stat st;

    if (fstat(folder, &st) != 0)
        return ERR_SYSTEM;
    if (geteuid() != 0 || st.st_uid == uid)
        return ERR_OK;
    files_pass(folder, st.st_uid, uid, gid);
    return fchown(folder, uid, gid) == 0 ? ERR_OK : ERR_SYSTEM;
}

int state_folder_open(const char *state_dir, const char *name, uid_t uid, gid_t gid, char *why,
                      size_t why_room)
{
    int parent = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int folder = -1;

    if (parent >= 0 && (mkdirat(parent, name, 0700) == 0 || errno == EEXIST))
        folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder >= 0 && folder_pass(folder, uid, gid) != ERR_OK) {
        close(folder);
        folder = -1;
    }
    if (folder < 0)
        snprintf(why, why_room, "%s/%s: %s", state_dir, name, strerror(errno));
    if (parent >= 0)
        close(parent);
    return folder;
}

static int write_all(int fd, struct span s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_IO;
        s = span_from(s, (size_t)n);
    }
    return ERR_OK;
}

/* By way of a new file, start; what an earlier process left of that name is nobody's. */
static int file_replace(int folder, const char *start, const char *name, struct span bytes,
                        bool sync)
{
    int fd, err, error;

    (void)unlinkat(folder, start, 0);
    fd = openat(folder, start, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    err = fd >= 0 ? write_all(fd, bytes) : ERR_IO;
    if (!err && sync && fsync(fd) != 0)
        err = ERR_IO;
    error = errno;
    if (fd >= 0 && close(fd) != 0 && !err) {
        err = ERR_IO;
        error = errno;
    }
    if (!err && renameat(folder, start, folder, name) != 0) {
        err = ERR_IO;
        error = errno;
    }
    if (err)
        (void)unlinkat(folder, start, 0);
    else if (sync)
        (void)fsync(folder); /* where that fails the old file may be back after a power failure */
    errno = error;
    return err;
}

int state_folder_write(int folder, const char *name, struct span bytes)
{
    char start[32];

    snprintf(start, sizeof(start), NEW_NAME, (long)getpid());
    return file_replace(folder, start, name, bytes, false);
}

int state_folder_write_synced(int folder, const char *name, struct span bytes)
{
    return file_replace(folder, NEW_NAME_ALONE, name, bytes, true);
}

int state_folder_read(int folder, const char *name, struct buf *out)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int err = fd >= 0 ? ERR_OK : errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    uint8_t piece[PIECE];
    struct stat st;
    ssize_t n = 1;

    if (!err && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
        err = ERR_IO;
    while (!err && n > 0) {
        do
            n = read(fd, piece, sizeof(piece));
        while (n < 0 && errno == EINTR);
        err = n < 0 ? ERR_IO : buf_append(out, piece, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

void state_folder_remove(int folder, const char *name)
{
    (void)unlinkat(folder, name, 0);
}

int state_folder_set_aside(int folder, const char *name, const char *aside)
{
    return renameat(folder, name, folder, aside) == 0 ? ERR_OK : ERR_IO;
}
