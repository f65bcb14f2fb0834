/* SPDX-License-Identifier: Apache-2.0 */
#include "state_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_NAME ".new-%ld" /* of several generations each has its own */

enum { PIECE = 64 * 1024 };

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

int state_folder_write(int folder, const char *name, struct span bytes)
{
    char start[32];
    int err, fd;

    snprintf(start, sizeof(start), NEW_NAME, (long)getpid());
    /* What an earlier process of this number left is nobody's. */
    (void)unlinkat(folder, start, 0);
    fd = openat(folder, start, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    err = fd >= 0 ? write_all(fd, bytes) : ERR_IO;
    if (fd >= 0 && close(fd) != 0)
        err = ERR_IO;
    if (!err && renameat(folder, start, folder, name) != 0)
        err = ERR_IO;
    if (err)
        (void)unlinkat(folder, start, 0);
    return err;
}

int state_folder_read(int folder, const char *name, struct buf *out)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int err = fd >= 0 ? ERR_OK : errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    struct stat st;
    ssize_t n = 1;

    if (!err && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
        err = ERR_IO;
    while (!err && n > 0) {
        uint8_t *room = buf_reserve(out, PIECE);
        n = room ? read(fd, room, PIECE) : 0;
        err = !room ? ERR_FULL : n < 0 ? ERR_IO : ERR_OK;
        if (n > 0)
            buf_commit(out, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

void state_folder_remove(int folder, const char *name)
{
    (void)unlinkat(folder, name, 0);
}
