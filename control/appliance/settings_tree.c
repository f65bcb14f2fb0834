/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_tree.h"

#include "tls_openssl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 8, ENTRIES_MAX = 4096, PIECE = 64 * 1024 };

struct entries {
    char *names[ENTRIES_MAX];
    size_t len;
};

static void entries_free(struct entries *e)
{
    for (size_t i = 0; i < e->len; i++)
        free(e->names[i]);
    free(e);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names. NULL with errno. */
static struct entries *entries_of(int folder)
{
    struct entries *e = calloc(1, sizeof(*e));
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *entry;
    bool good = e && dir;

    while (good && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        good = e->len < ENTRIES_MAX && (e->names[e->len] = strdup(entry->d_name));
        e->len += good;
        if (!good)
            errno = E2BIG;
    }
    int error = errno;
    if (dir)
        closedir(dir);
    else if (again >= 0)
        close(again);
    if (!good) {
        if (e)
            entries_free(e);
        errno = error;
        return NULL;
    }
    qsort(e->names, e->len, sizeof(e->names[0]), name_order);
    return e;
}

static int tree_hash(int folder, EVP_MD_CTX *hash, int depth);

static int entry_hash(int folder, const char *name, EVP_MD_CTX *hash, int depth)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char *piece = malloc(PIECE);
    struct stat st;
    int err = piece && (fd >= 0 || errno == ELOOP) ? ERR_OK : ERR_IO;

    if (!err && EVP_DigestUpdate(hash, name, strlen(name) + 1) != 1)
        err = ERR_IO;
    if (!err && fd >= 0 && fstat(fd, &st) != 0)
        err = ERR_IO;
    if (!err && fd >= 0 && S_ISDIR(st.st_mode)) {
        err = EVP_DigestUpdate(hash, "d", 1) == 1 ? tree_hash(fd, hash, depth + 1) : ERR_IO;
    } else if (!err && fd >= 0 && S_ISREG(st.st_mode)) {
        ssize_t n;
        char length[32];
        int len = snprintf(length, sizeof(length), "f%lld:", (long long)st.st_size);
        err = EVP_DigestUpdate(hash, length, (size_t)len) == 1 ? ERR_OK : ERR_IO;
        while (!err && (n = read(fd, piece, PIECE)) != 0)
            err = n > 0 && EVP_DigestUpdate(hash, piece, (size_t)n) == 1 ? ERR_OK : ERR_IO;
    }
    if (fd >= 0)
        close(fd);
    free(piece);
    return err;
}

static int tree_hash(int folder, EVP_MD_CTX *hash, int depth)
{
    struct entries *e = depth < DEPTH_MAX ? entries_of(folder) : NULL;
    int err = e ? ERR_OK : ERR_IO;

    for (size_t i = 0; e && i < e->len && !err; i++)
        err = entry_hash(folder, e->names[i], hash, depth);
    if (!err && EVP_DigestUpdate(hash, "", 1) != 1)
        err = ERR_IO;
    if (e)
        entries_free(e);
    return err;
}

int settings_tree_hash(int folder, char out[SETTINGS_HASH_TEXT])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int err = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 ? ERR_OK : ERR_IO;

    if (!err)
        err = tree_hash(folder, hash, 0);
    if (!err && EVP_DigestFinal_ex(hash, digest, &len) != 1)
        err = ERR_IO;
    for (unsigned i = 0; !err && i < len && 2 * i + 2 < SETTINGS_HASH_TEXT; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(hash);
    return err;
}

int settings_tree_open(int parent, const char *name)
{
    if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int settings_path_open(const char *root, const char *path)
{
    char part[NAME_MAX + 1];
    int folder = open(root[0] ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (folder >= 0 && *path) {
        size_t len;
        path += strspn(path, "/");
        len = strcspn(path, "/");
        if (len == 0)
            break;
        snprintf(part, sizeof(part), "%.*s", (int)len, path);
        int next = settings_tree_open(folder, part), error = errno;
        close(folder);
        errno = error;
        folder = next;
        path += len;
    }
    return folder;
}
