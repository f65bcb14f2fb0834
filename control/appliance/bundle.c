/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include "state_folder.h"
#include "tar_header.h"
#include "tls_openssl.h"
#include "tls_signature.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LIST "SHA256SUMS"
#define SIGNATURE "SHA256SUMS.sig"
#define PART_END ".part" /* of a file's name until its hash is right */

enum { PIECE = 64 * 1024, SIGNATURE_MAX = 512, KEY_MAX = 16384, KEYS_MAX = 16 };

__attribute__((format(printf, 3, 4))) static int fail(struct bundle *b, int err, const char *format,
                                                      ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(b->why, sizeof(b->why), format, args);
    va_end(args);
    return err;
}

/* All of len bytes, or an error. */
static int take(struct bundle *b, void *out, size_t len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = read(b->fd, (char *)out + have, len - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(b, ERR_IO, "the bundle can't be read: %s", strerror(errno));
        if (n == 0)
            return fail(b, ERR_SYNTAX, "the bundle ends after %llu bytes: it is not whole",
                        (unsigned long long)b->came);
        have += (size_t)n;
        b->came += (uint64_t)n;
    }
    return ERR_OK;
}

static int skip_padding(struct bundle *b, uint64_t size)
{
    uint8_t zeros[TAR_BLOCK];

    return take(b, zeros, tar_padding(size));
}

/* The next member, which must be that one. */
static int member_open(struct bundle *b, const char *name, struct tar_header *ret)
{
    uint8_t block[TAR_BLOCK];
    int err = take(b, block, sizeof(block));

    if (err)
        return err;
    err = tar_header_read(block, ret);
    if (err == ERR_NOTFOUND)
        return fail(b, ERR_SYNTAX, "the bundle has no %s", name);
    if (err || strcmp(ret->name, name) != 0)
        return fail(b, ERR_SYNTAX, "this is no update of postern: %s is not where it must be",
                    name);
    return ERR_OK;
}

static int member_take(struct bundle *b, const char *name, void *out, size_t room, size_t *ret_len)
{
    struct tar_header header;
    int err = member_open(b, name, &header);

    if (err)
        return err;
    if (header.size > room)
        return fail(b, ERR_SYNTAX, "%s has %llu bytes, allowed are %zu", name,
                    (unsigned long long)header.size, room);
    *ret_len = (size_t)header.size;
    err = take(b, out, *ret_len);
    return err ? err : skip_padding(b, header.size);
}

/* --- the signature --- */

static bool is_key(const char *name)
{
    size_t len = strlen(name);

    return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".pem") == 0;
}

static bool signed_by(int folder, const char *name, struct span list, struct span signature)
{
    char why[192];
    struct buf key;

    buf_init(&key, KEY_MAX);
    bool good = state_folder_read(folder, name, &key) == ERR_OK &&
                tls_signature_check(list, signature, buf_span(&key), why, sizeof(why)) == ERR_OK;
    buf_release(&key);
    return good;
}

static int signature_check(struct bundle *b, const char *keys, struct span list,
                           struct span signature)
{
    DIR *dir = opendir(keys);
    struct dirent *entry;
    bool good = false;
    int count = 0;

    if (!dir)
        return fail(b, ERR_IO, "%s: %s", keys, strerror(errno));
    while (!good && count < KEYS_MAX && (entry = readdir(dir)))
        if (is_key(entry->d_name)) {
            good = signed_by(dirfd(dir), entry->d_name, list, signature);
            count++;
        }
    closedir(dir);
    if (good)
        return ERR_OK;
    return fail(b, ERR_TLS,
                "the bundle is not signed by a key that this appliance knows (%d in %s): it is "
                "somebody else's, or was changed",
                count, keys);
}

int bundle_open(struct bundle *b, int fd, const char *keys)
{
    uint8_t list[SLOT_BUNDLE_LIST_MAX], signature[SIGNATURE_MAX];
    size_t list_len, signature_len;

    *b = (struct bundle){.fd = fd};
    int err = member_take(b, LIST, list, sizeof(list), &list_len);
    if (!err)
        err = member_take(b, SIGNATURE, signature, sizeof(signature), &signature_len);
    if (!err)
        err = signature_check(b, keys, span_make(list, list_len),
                              span_make(signature, signature_len));
    if (!err && slot_bundle_list_parse(span_make(list, list_len), &b->list) != ERR_OK)
        err = fail(b, ERR_SYNTAX, "the bundle's list is not one that this version reads");
    return err;
}

/* --- the files --- */

static const char *part_text(enum slot_bundle_part part)
{
    switch (part) {
    case SLOT_BUNDLE_ROOT:
        return "the root";
    case SLOT_BUNDLE_VERITY:
        return "the root's hashes";
    case SLOT_BUNDLE_UKI:
        return "the kernel";
    case SLOT_BUNDLE_PARTS:
        break;
    }
    return "?";
}

static int room_check(struct bundle *b, int folder, const struct bundle_room *room,
                      enum slot_bundle_part part, uint64_t size)
{
    struct statvfs fs;

    if (size > room->part_max[part])
        return fail(b, ERR_FULL, "%s has %llu MB, and there is room for %llu MB", part_text(part),
                    (unsigned long long)(size >> 20),
                    (unsigned long long)(room->part_max[part] >> 20));
    if (fstatvfs(folder, &fs) != 0)
        return fail(b, ERR_IO, "/var: %s", strerror(errno));
    uint64_t unused = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (unused < room->spare || unused - room->spare < size)
        return fail(b, ERR_FULL, "/var has %llu MB free, %s needs %llu MB of it and %llu stay free",
                    (unsigned long long)(unused >> 20), part_text(part),
                    (unsigned long long)(size >> 20), (unsigned long long)(room->spare >> 20));
    return ERR_OK;
}

static int write_all(struct bundle *b, int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(b, ERR_IO, "/var can't be written: %s", strerror(errno));
        bytes += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

struct progress {
    bundle_progress *call;
    void *user;
};

/* The bytes of a member, to the file and through the hash. */
static int copy(struct bundle *b, int fd, enum slot_bundle_part part, uint64_t size, EVP_MD_CTX *md,
                const struct progress *progress)
{
    static uint8_t piece[PIECE];
    int err = ERR_OK;

    for (uint64_t done = 0; done < size && !err;) {
        size_t len = size - done < PIECE ? (size_t)(size - done) : PIECE;
        err = take(b, piece, len);
        if (!err && EVP_DigestUpdate(md, piece, len) != 1)
            err = fail(b, ERR_NOMEM, "no memory for a hash");
        if (!err)
            err = write_all(b, fd, piece, len);
        done += len;
        if (!err && progress->call)
            progress->call(progress->user, part, done, size);
    }
    return err ? err : skip_padding(b, size);
}

static int hash_check(struct bundle *b, const struct slot_bundle_file *file, EVP_MD_CTX *md)
{
    uint8_t sha256[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(md, sha256, &len) != 1 || len != SLOT_SHA256 ||
        memcmp(sha256, file->sha256, SLOT_SHA256) != 0)
        return fail(b, ERR_SYNTAX,
                    "%s is not the one that was signed: the bundle was damaged or changed",
                    file->name);
    return ERR_OK;
}

static int file_unpack(struct bundle *b, int folder, enum slot_bundle_part part, uint64_t size,
                       const struct progress *progress)
{
    const struct slot_bundle_file *file = &b->list.files[part];
    char start[SLOT_BUNDLE_NAME + sizeof(PART_END)];

    snprintf(start, sizeof(start), "%s" PART_END, file->name);
    int fd = openat(folder, start, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(b, ERR_IO, "/var can't be written: %s", strerror(errno));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int err = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
                  ? ERR_OK
                  : fail(b, ERR_NOMEM, "no memory for a hash");
    if (!err)
        err = copy(b, fd, part, size, md, progress);
    if (!err)
        err = hash_check(b, file, md);
    if (!err && (fsync(fd) != 0 || renameat(folder, start, folder, file->name) != 0))
        err = fail(b, ERR_IO, "/var can't be written: %s", strerror(errno));
    EVP_MD_CTX_free(md);
    close(fd);
    return err;
}

static int end_check(struct bundle *b)
{
    struct tar_header header;
    uint8_t block[TAR_BLOCK];
    int err = take(b, block, sizeof(block));

    if (err)
        return err;
    return tar_header_read(block, &header) == ERR_NOTFOUND
               ? ERR_OK
               : fail(b, ERR_SYNTAX, "the bundle has more files than its list");
}

int bundle_unpack(struct bundle *b, int folder, const struct bundle_room *room,
                  bundle_progress *progress, void *user)
{
    const struct progress p = {.call = progress, .user = user};
    int err = ERR_OK;

    bundle_clear(folder);
    for (int i = 0; i < SLOT_BUNDLE_PARTS && !err; i++) {
        enum slot_bundle_part part = (enum slot_bundle_part)i;
        struct tar_header header;
        err = member_open(b, b->list.files[part].name, &header);
        if (!err)
            err = room_check(b, folder, room, part, header.size);
        if (!err)
            err = file_unpack(b, folder, part, header.size, &p);
    }
    if (!err)
        err = end_check(b);
    if (!err && fsync(folder) != 0)
        err = fail(b, ERR_IO, "/var can't be written: %s", strerror(errno));
    if (err)
        bundle_clear(folder);
    return err;
}

void bundle_clear(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (!dir && fd >= 0)
        close(fd);
    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, "postern_", 8) == 0)
            (void)unlinkat(folder, entry->d_name, 0);
    if (dir)
        closedir(dir);
}
