/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_store.h"

#include "buf.h"
#include "tls_openssl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "sts"
#define TITLE "postern sts 1\n"
#define NEW_NAME                                                                                   \
    ".new-%ld" /* no domain starts with a dot; of several generations each has its own */

enum { HEAD_MAX = 512, FILE_MAX = STS_POLICY_MAX + HEAD_MAX, SUM_LEN = 32 };

static bool owned_by(int fd, uid_t uid)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_uid == uid;
}

int resolver_store_open(const char *state_dir, uid_t uid, gid_t gid, char *why, size_t why_room)
{
    int parent = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int store = -1;

    if (parent >= 0 && (mkdirat(parent, FOLDER, 0700) == 0 || errno == EEXIST))
        store = openat(parent, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store >= 0 && geteuid() == 0 && !owned_by(store, uid) && fchown(store, uid, gid) != 0) {
        close(store);
        store = -1;
    }
    if (store < 0)
        snprintf(why, why_room, "%s/" FOLDER ": %s", state_dir, strerror(errno));
    if (parent >= 0)
        close(parent);
    return store;
}

/* What the sum is over: everything else in the file. */
static int head_write(const struct resolver_stored *s, struct buf *out)
{
    return buf_printf(out, TITLE "domain %s\nid %s\nfetched %" PRId64 "\n", s->domain, s->id,
                      s->fetched);
}

static int sum_make(struct span head, struct span body, char ret_hex[2 * SUM_LEN + 1])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sum[EVP_MAX_MD_SIZE];
    bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, head.ptr, head.len) == 1 &&
                EVP_DigestUpdate(ctx, body.ptr, body.len) == 1 &&
                EVP_DigestFinal_ex(ctx, sum, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    for (int i = 0; i < SUM_LEN && good; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", sum[i]);
    return good ? 0 : ERR_NOMEM;
}

static int file_make(const struct resolver_stored *s, struct buf *out)
{
    char sum[2 * SUM_LEN + 1];
    int err = head_write(s, out);

    if (!err)
        err = sum_make(buf_span(out), s->body, sum);
    if (!err)
        err = buf_printf(out, "sha256 %s\n\n", sum);
    return err ? err : buf_append_span(out, s->body);
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
    return 0;
}

int resolver_store_write(int store, const struct resolver_stored *stored)
{
    char name[32];
    struct buf file;
    int err, fd;

    snprintf(name, sizeof(name), NEW_NAME, (long)getpid());
    buf_init(&file, FILE_MAX);
    err = file_make(stored, &file);
    if (!err) {
        /* What an earlier process of this number left is nobody's. */
        (void)unlinkat(store, name, 0);
        fd = openat(store, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        err = fd >= 0 ? write_all(fd, buf_span(&file)) : ERR_IO;
        if (fd >= 0 && close(fd) != 0)
            err = ERR_IO;
        if (!err && renameat(store, name, store, stored->domain) != 0)
            err = ERR_IO;
        if (err)
            (void)unlinkat(store, name, 0);
    }
    buf_release(&file);
    return err;
}

void resolver_store_remove(int store, const char *domain)
{
    (void)unlinkat(store, domain, 0);
}

/* --- reading ------------------------------------------------------------------------------ */

static struct span line_take(struct span *s)
{
    const uint8_t *end = s->len > 0 ? memchr(s->ptr, '\n', s->len) : NULL;
    struct span line = {s->ptr, end ? (size_t)(end - s->ptr) : s->len};

    *s = span_from(*s, line.len + (end != NULL));
    return line;
}

/* The value of a line "KEY VALUE" into room bytes; false where the line is another. */
static bool value_take(struct span *s, const char *key, char *out, size_t room)
{
    struct span line = line_take(s), name = span_str(key);

    return line.len > name.len + 1 && span_equal(span_make(line.ptr, name.len), name) &&
           line.ptr[name.len] == ' ' && span_to_cstr(span_from(line, name.len + 1), out, room) == 0;
}

/* It is exactly what resolver_store_write would write. */
static bool file_parse(struct span file, const char *name, struct resolver_stored *ret)
{
    char fetched[24], sum[2 * SUM_LEN + 1];
    struct span rest = file;
    struct buf again;
    uint64_t seconds;
    bool good;

    if (!span_equal(line_take(&rest), SPAN_LIT("postern sts 1")) ||
        !value_take(&rest, "domain", ret->domain, sizeof(ret->domain)) ||
        !value_take(&rest, "id", ret->id, sizeof(ret->id)) ||
        !value_take(&rest, "fetched", fetched, sizeof(fetched)) ||
        !value_take(&rest, "sha256", sum, sizeof(sum)) || line_take(&rest).len != 0 ||
        strcmp(ret->domain, name) != 0 || span_to_u64(span_str(fetched), INT64_MAX, &seconds) != 0)
        return false;
    ret->fetched = (int64_t)seconds;
    ret->body = rest;
    buf_init(&again, FILE_MAX);
    good = file_make(ret, &again) == 0 && span_equal(buf_span(&again), file);
    buf_release(&again);
    return good;
}

static bool file_read(int store, const char *name, uint8_t *room, struct resolver_stored *ret)
{
    int fd = openat(store, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    size_t len = 0;
    ssize_t n = 1;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        n = -1;
    while (n > 0 && len < FILE_MAX + 1) {
        n = read(fd, room + len, FILE_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return n == 0 && file_parse(span_make(room, len), name, ret);
}

unsigned resolver_store_load(int store, unsigned max,
                             void (*each)(void *user, const struct resolver_stored *stored),
                             void *user)
{
    uint8_t *room = malloc(FILE_MAX + 1);
    int copy = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    struct resolver_stored stored;
    unsigned loaded = 0, damaged = 0;
    struct dirent *entry;

    while (room && dir && loaded < max && (entry = readdir(dir))) {
        /* The start of a file that another process writes now has such a name. */
        if (entry->d_name[0] == '.')
            continue;
        if (file_read(store, entry->d_name, room, &stored)) {
            each(user, &stored);
            loaded++;
        } else {
            damaged++;
            (void)unlinkat(store, entry->d_name, 0);
        }
    }
    if (dir)
        closedir(dir);
    else if (copy >= 0)
        close(copy);
    free(room);
    return damaged;
}
