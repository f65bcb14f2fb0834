/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_store.h"

#include "state_folder.h"
#include "tls_openssl.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define TITLE "postern sts 1\n"
enum { HEAD_MAX = 512, FILE_MAX = STS_POLICY_MAX + HEAD_MAX, SUM_LEN = 32 };

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

int resolver_store_write(int store, const struct resolver_stored *stored)
{
    struct buf file;
    int err;

    buf_init(&file, FILE_MAX);
    err = file_make(stored, &file);
    if (!err)
        err = state_folder_write(store, stored->domain, buf_span(&file));
    buf_release(&file);
    return err;
}

void resolver_store_remove(int store, const char *domain)
{
    state_folder_remove(store, domain);
}

/* --- reading ------------------------------------------------------------------------------ */

/* The value of a line "KEY VALUE" into room bytes; false where the line is another. */
static bool value_take(struct span *s, const char *key, char *out, size_t room)
{
    struct span line = span_cut(s, '\n'), name = span_str(key);

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

    if (!span_equal(span_cut(&rest, '\n'), SPAN_LIT("postern sts 1")) ||
        !value_take(&rest, "domain", ret->domain, sizeof(ret->domain)) ||
        !value_take(&rest, "id", ret->id, sizeof(ret->id)) ||
        !value_take(&rest, "fetched", fetched, sizeof(fetched)) ||
        !value_take(&rest, "sha256", sum, sizeof(sum)) || span_cut(&rest, '\n').len != 0 ||
        strcmp(ret->domain, name) != 0 || span_to_u64(span_str(fetched), INT64_MAX, &seconds) != 0)
        return false;
    ret->fetched = (int64_t)seconds;
    ret->body = rest;
    buf_init(&again, FILE_MAX);
    good = file_make(ret, &again) == 0 && span_equal(buf_span(&again), file);
    buf_release(&again);
    return good;
}

static bool file_read(int store, const char *name, struct buf *room, struct resolver_stored *ret)
{
    buf_clear(room);
    return state_folder_read(store, name, room) == ERR_OK && file_parse(buf_span(room), name, ret);
}

unsigned resolver_store_load(int store, unsigned max,
                             void (*each)(void *user, const struct resolver_stored *stored),
                             void *user)
{
    struct buf room;
    int copy = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    struct resolver_stored stored;
    unsigned loaded = 0, damaged = 0;
    struct dirent *entry;

    buf_init(&room, FILE_MAX);
    while (dir && loaded < max && (entry = readdir(dir))) {
        /* The start of a file that another process writes now has such a name. */
        if (entry->d_name[0] == '.')
            continue;
        if (file_read(store, entry->d_name, &room, &stored)) {
            each(user, &stored);
            loaded++;
        } else {
            damaged++;
            state_folder_remove(store, entry->d_name);
        }
    }
    if (dir)
        closedir(dir);
    else if (copy >= 0)
        close(copy);
    buf_release(&room);
    return damaged;
}
