/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct span platform_file_head(int root, const char *path, char *buffer, size_t room)
{
    int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, buffer, room) : -1;

    if (fd >= 0)
        close(fd);
    return span_make(buffer, n > 0 ? (size_t)n : 0);
}

bool platform_file_line(int root, const char *path, char *out, size_t room)
{
    char buffer[PLATFORM_FILE_MAX];
    struct span text = platform_file_head(root, path, buffer, sizeof(buffer));
    struct span line = span_trim(span_cut(&text, '\n'));
    size_t len = line.len < room ? line.len : room - 1;

    for (size_t i = 0; i < len; i++) {
        char c = line.ptr[i] == '\t' ? ' ' : (char)line.ptr[i];
        out[i] = c < ' ' || c > '~' ? '?' : c;
    }
    out[len] = '\0';
    return len > 0;
}

bool platform_file_number(int root, const char *path, uint64_t *ret)
{
    char line[32];

    return platform_file_line(root, path, line, sizeof(line)) &&
           span_to_u64(span_str(line), UINT64_MAX, ret) == ERR_OK;
}

bool platform_link_name(int root, const char *path, char *out, size_t room)
{
    char target[PLATFORM_FILE_MAX];
    ssize_t n = readlinkat(root, path, target, sizeof(target) - 1);

    out[0] = '\0';
    if (n <= 0)
        return false;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(out, room, "%s", slash ? slash + 1 : target);
    return out[0] != '\0';
}

bool platform_file_exists(int root, const char *path)
{
    return faccessat(root, path, F_OK, 0) == 0;
}

DIR *platform_folder_open(int root, const char *path)
{
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && !folder)
        close(fd);
    return folder;
}

const char *platform_folder_next(DIR *folder)
{
    struct dirent *entry;

    while ((entry = readdir(folder))) {
        if (entry->d_name[0] != '.')
            return entry->d_name;
    }
    return NULL;
}

int platform_file_write(int root, const char *path, const char *text)
{
    int fd = openat(root, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return errno;
    ssize_t n = write(fd, text, strlen(text));
    int error = n < 0 ? errno : (size_t)n < strlen(text) ? EIO : 0;
    if (close(fd) != 0 && error == 0)
        error = errno;
    return error;
}
