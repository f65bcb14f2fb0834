/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet_store.h"

#include "state_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "ratchet"
#define NAME "hosts"
#define NEW_NAME "hosts.new"

enum { PIECE = 64 * 1024 };

int ratchet_store_open(const char *state_dir, uid_t uid, gid_t gid, char *why, size_t why_room)
{
    return state_folder_open(state_dir, FOLDER, uid, gid, why, why_room);
}

static int read_all(int fd, size_t max, struct buf *out)
{
    for (;;) {
        uint8_t *room = buf_reserve(out, PIECE);
        if (!room)
            return ERR_NOMEM;
        ssize_t n = read(fd, room, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            return ERR_OK;
        buf_commit(out, (size_t)n);
        if (buf_len(out) > max)
            return ERR_RANGE;
    }
}

int ratchet_store_read(int store, size_t max, struct buf *out)
{
    int fd = openat(store, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    int err = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_all(fd, max, out) : ERR_IO;
    close(fd);
    return err;
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
    return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

int ratchet_store_write(int store, struct span file)
{
    /* What a process left that died in the middle is nobody's: there is one writer. */
    (void)unlinkat(store, NEW_NAME, 0);
    int fd = openat(store, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int err = fd >= 0 ? write_all(fd, file) : ERR_IO;
    int error = errno;

    if (fd >= 0)
        close(fd);
    if (!err && renameat(store, NEW_NAME, store, NAME) != 0) {
        err = ERR_IO;
        error = errno;
    }
    if (err)
        (void)unlinkat(store, NEW_NAME, 0);
    else
        (void)fsync(store); /* where that fails the old file may be back after a power failure */
    errno = error;
    return err;
}

int ratchet_store_set_aside(int store)
{
    return renameat(store, NAME, store, RATCHET_STORE_ASIDE) == 0 ? ERR_OK : ERR_IO;
}
