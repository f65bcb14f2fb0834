/* SPDX-License-Identifier: Apache-2.0 */
#include "tune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char file_name[] = "tune.state";
static const char head[] = "postern-tune 1\n";

enum { LINE_MAX_TEXT = TUNE_TARGET_TEXT + TUNE_VALUE_TEXT + 32, RECORD_MAX = 4 << 20 };

/* --- lines -------------------------------------------------------------------------------- */

/* Printable, and something: what ends up in a path or in a file of the kernel. */
static bool is_word(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            return false;
    }
    return text.len > 0;
}

/* A path that stays below the root. */
static bool is_inside(struct span path)
{
    if (path.ptr[0] == '/')
        return false;
    while (path.len > 0) {
        if (span_equal(span_cut(&path, '/'), SPAN_LIT("..")))
            return false;
    }
    return true;
}

static int line_decode(struct span line, struct tune_old *ret)
{
    struct span kind = span_cut(&line, '\t'), target = span_cut(&line, '\t');
    int number = 0;

    while (number < TUNE_KIND_COUNT &&
           !span_equal(kind, span_str(tune_kind_name((enum tune_kind)number))))
        number++;
    if (number == TUNE_KIND_COUNT || !is_word(target) || !is_word(line))
        return ERR_SYNTAX;
    if ((number == TUNE_KIND_FILE || number == TUNE_KIND_MASK) && !is_inside(target))
        return ERR_SYNTAX;
    ret->kind = (enum tune_kind)number;
    if (span_to_cstr(target, ret->target, sizeof(ret->target)) != ERR_OK ||
        span_to_cstr(line, ret->value, sizeof(ret->value)) != ERR_OK)
        return ERR_SYNTAX;
    return ERR_OK;
}

int tune_record_decode(struct span text, void (*each)(void *user, const struct tune_old *old),
                       void *user)
{
    static const struct span first = {(const uint8_t *)head, sizeof(head) - 1};

    if (text.len < first.len && memcmp(text.ptr, head, text.len) == 0)
        return ERR_OK; /* its first write was cut */
    if (!span_starts_nocase(text, first))
        return ERR_SYNTAX;
    text = span_from(text, first.len);
    while (memchr(text.ptr, '\n', text.len)) {
        struct tune_old old;
        int result = line_decode(span_cut(&text, '\n'), &old);
        if (result != ERR_OK)
            return result;
        each(user, &old);
    }
    return ERR_OK;
}

int tune_record_encode(const struct tune_old *old, char *out, size_t room)
{
    struct tune_old again;

    int n = snprintf(out, room, "%s\t%s\t%s\n", tune_kind_name(old->kind), old->target, old->value);
    if (n < 0 || (size_t)n >= room)
        return ERR_FULL;
    return line_decode(span_make(out, (size_t)n - 1), &again);
}

/* --- the file ----------------------------------------------------------------------------- */

struct loading {
    struct tune_record *record;
    int result;
};

static int old_keep(struct tune_record *record, const struct tune_old *old)
{
    if (record->len == record->cap) {
        size_t cap = record->cap ? 2 * record->cap : 64;
        struct tune_old *olds = reallocarray(record->olds, cap, sizeof(*olds));
        if (!olds)
            return ERR_NOMEM;
        record->olds = olds;
        record->cap = cap;
    }
    record->olds[record->len++] = *old;
    return ERR_OK;
}

static void old_load(void *user, const struct tune_old *old)
{
    struct loading *loading = user;

    if (loading->result == ERR_OK)
        loading->result = old_keep(loading->record, old);
}

static int whole_write(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0)
            return ERR_SYSTEM;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? ERR_OK : ERR_SYSTEM;
}

/* Where the last write was cut, the next one begins a line. */
static int tail_cut(int fd, const char *text, size_t len)
{
    size_t whole = len;

    while (whole > 0 && text[whole - 1] != '\n')
        whole--;
    if (ftruncate(fd, (off_t)whole) != 0 || lseek(fd, (off_t)whole, SEEK_SET) < 0)
        return ERR_SYSTEM;
    return whole == 0 ? whole_write(fd, head, sizeof(head) - 1) : ERR_OK;
}

static int file_load(struct tune_record *record)
{
    struct loading loading = {.record = record};
    char *text = malloc(RECORD_MAX);
    size_t len = 0;
    ssize_t n = 1;

    if (!text)
        return ERR_NOMEM;
    while (n > 0 && len < RECORD_MAX) {
        n = read(record->fd, text + len, RECORD_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    }
    int result = n < 0 ? ERR_SYSTEM : tune_record_decode(span_make(text, len), old_load, &loading);
    if (result == ERR_OK)
        result = loading.result;
    if (result == ERR_OK)
        result = tail_cut(record->fd, text, len);
    free(text);
    return result;
}

int tune_record_open(const char *folder, struct tune_record *ret)
{
    *ret = (struct tune_record){.fd = -1};
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return ERR_SYSTEM;
    int parent = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return ERR_SYSTEM;
    ret->fd = openat(parent, file_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    int error = errno;
    close(parent);
    errno = error;
    if (ret->fd < 0)
        return ERR_SYSTEM;
    if (flock(ret->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? ERR_STATE : ERR_SYSTEM;
    return file_load(ret);
}

int tune_record_add(struct tune_record *record, const struct tune_old *old)
{
    char line[LINE_MAX_TEXT];

    for (size_t i = 0; i < record->len; i++) {
        if (record->olds[i].kind == old->kind && strcmp(record->olds[i].target, old->target) == 0)
            return ERR_OK;
    }
    int result = tune_record_encode(old, line, sizeof(line));
    if (result == ERR_OK)
        result = old_keep(record, old);
    return result == ERR_OK ? whole_write(record->fd, line, strlen(line)) : result;
}

int tune_record_clear(struct tune_record *record)
{
    const off_t empty = sizeof(head) - 1;

    record->len = 0;
    return ftruncate(record->fd, empty) == 0 && lseek(record->fd, empty, SEEK_SET) == empty &&
                   fsync(record->fd) == 0
               ? ERR_OK
               : ERR_SYSTEM;
}

void tune_record_close(struct tune_record *record)
{
    if (record->fd >= 0)
        close(record->fd);
    free(record->olds);
    *record = (struct tune_record){.fd = -1};
}
