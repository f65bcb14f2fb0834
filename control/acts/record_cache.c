/* SPDX-License-Identifier: Apache-2.0 */
#include "record_cache.h"

#include "tls_aead.h"
#include "tls_openssl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CACHE_NAME "record-cost"
#define CACHE_NEW "record-cost.new"
#define CACHE_TITLE "postern record cost 1\n"

enum { CACHE_MAX = 2048 };
#define COST_MAX UINT64_C(100000000000)

static void cpu_model(char *out, size_t room)
{
    char text[4096];
    int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

    if (fd >= 0)
        close(fd);
    platform_cpu_model(span_make(text, n > 0 ? (size_t)n : 0), out, room);
}

void record_cache_key(const struct platform_ktls *ktls, const struct platform_fixes *fixes,
                      char out[RECORD_CACHE_KEY_TEXT])
{
    struct utsname name = {0};
    char model[96], rx[KTLS_CIPHER_COUNT + 1] = "", tx[KTLS_CIPHER_COUNT + 1] = "";

    (void)uname(&name);
    cpu_model(model, sizeof(model));
    for (int i = 0; i < KTLS_CIPHER_COUNT; i++) {
        rx[i] = ktls->ciphers[i].rx ? '1' : '0';
        tx[i] = ktls->ciphers[i].tx ? '1' : '0';
    }
    snprintf(out, RECORD_CACHE_KEY_TEXT,
             "kernel %s %s\npackage %s\ntls %d receive %s send %s rekey %d splice %d\n"
             "processor %s\npostern %s\nlibrary %s\naead %s\n",
             name.release, name.version, fixes->package, ktls->ulp, rx, tx, ktls->rekey,
             ktls->splice_pages, model, POSTERN_VERSION, OpenSSL_version(OPENSSL_VERSION),
             tls_aead_backend_name(tls_aead_used()));
}

/* Ours: root, who starts the gateway, may follow nobody else's file. */
static bool file_trusted(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size > 0 &&
           st.st_size < CACHE_MAX;
}

/* "user 1 2 3", in the rows' order, and nothing after them. */
static bool costs_parse(const char *text, struct record_cost *ret)
{
    for (int i = 0; i < RECORD_WAY_COUNT; i++) {
        uint64_t *const costs[] = {&ret->chunk_ns[i], &ret->data_ns[i], &ret->switch_ns[i]};
        const char *word = record_way_word((enum record_way)i);
        size_t len = strlen(word);
        if (strncmp(text, word, len) != 0)
            return false;
        text += len;
        for (size_t c = 0; c < sizeof(costs) / sizeof(costs[0]); c++) {
            size_t digits = *text == ' ' ? strspn(text + 1, "0123456789") : 0;
            if (digits == 0 ||
                span_to_u64(span_make(text + 1, digits), COST_MAX, costs[c]) != ERR_OK)
                return false;
            text += 1 + digits;
        }
        if (*text++ != '\n')
            return false;
    }
    return *text == '\0';
}

bool record_cache_read(const char *directory, const char *key, struct record_cost *ret)
{
    char text[CACHE_MAX + 1];
    size_t title = strlen(CACHE_TITLE), key_len = strlen(key);
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd =
        dir >= 0 ? openat(dir, CACHE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 && file_trusted(fd) ? read(fd, text, CACHE_MAX) : -1;

    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    *ret = (struct record_cost){0};
    if (n < 0)
        return false;
    text[n] = '\0';
    return strlen(text) == (size_t)n && strncmp(text, CACHE_TITLE, title) == 0 &&
           strncmp(text + title, key, key_len) == 0 && costs_parse(text + title + key_len, ret) &&
           ret->chunk_ns[RECORD_WAY_USER] > 0;
}

static size_t cost_text(const char *key, const struct record_cost *cost, char *out, size_t room)
{
    size_t len = (size_t)snprintf(out, room, CACHE_TITLE "%s", key);

    for (int i = 0; i < RECORD_WAY_COUNT && len < room; i++)
        len += (size_t)snprintf(out + len, room - len, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                                record_way_word((enum record_way)i), cost->chunk_ns[i],
                                cost->data_ns[i], cost->switch_ns[i]);
    return len;
}

int record_cache_write(const char *directory, const char *key, const struct record_cost *cost)
{
    char text[CACHE_MAX];
    size_t len = cost_text(key, cost, text, sizeof(text));
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd, err = ERR_SYSTEM;

    if (dir < 0)
        return ERR_SYSTEM;
    (void)unlinkat(dir, CACHE_NEW, 0);
    fd = openat(dir, CACHE_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        bool written = write(fd, text, len) == (ssize_t)len;
        if (close(fd) == 0 && written && renameat(dir, CACHE_NEW, dir, CACHE_NAME) == 0)
            err = 0;
    }
    close(dir);
    return err;
}
