/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet_table.h"

#include "assertion.h"
#include "sip_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A slot is found by a keyed hash of names in one of WINDOW places from it on. The writer fills it
 * before it writes the key, and takes the key away first: a reader that finds the key before and
 * after it has read the rest has read what belongs to it, or an earlier state of the same.
 */
enum { SLOTS = 1 << 18, WINDOW = 64 };

enum {
    STATE_DROPPED = 1,
    STATE_LEVEL = 1, /* where it begins, in bits; three of them */
    STATE_SOURCE = 4,
    STATE_MASK = 7,
    STATE_WRITER = 32,
};

struct slot {
    _Atomic uint64_t key; /* 0: free */
    _Atomic uint64_t state;
    _Atomic int64_t last;
};

struct ratchet_table {
    uint64_t salt[2];
    int fd;          /* of the memory, in who made it and its children */
    uint32_t writer; /* how many there were */
    struct slot slots[SLOTS];
};

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "places wrap by a mask");
_Static_assert(SLOTS >= 4 * RATCHET_ENTRIES_MAX, "a window without room is next to impossible");

int ratchet_table_new(struct ratchet_table **ret)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    int fd = memfd_create("ratchet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct ratchet_table *t = MAP_FAILED;

    *ret = NULL;
    /* Pages that are never touched take no memory. */
    if (fd >= 0 && ftruncate(fd, sizeof(*t)) == 0)
        t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    /* From here on nobody maps it for writing but whoever has it so already. */
    if (t != MAP_FAILED && fcntl(fd, F_ADD_SEALS, seals) == 0 &&
        getrandom(t->salt, sizeof(t->salt), 0) == (ssize_t)sizeof(t->salt)) {
        t->fd = fd;
        *ret = t;
        return ERR_OK;
    }
    if (t != MAP_FAILED)
        munmap(t, sizeof(*t));
    if (fd >= 0)
        close(fd);
    return ERR_SYSTEM;
}

void ratchet_table_free(struct ratchet_table *t)
{
    if (!t)
        return;
    close(t->fd);
    munmap(t, sizeof(*t));
}

/* In the same place, by a mapping that can't be made writable again. */
void ratchet_table_seal(struct ratchet_table *t)
{
    if (mmap(t, sizeof(*t), PROT_READ, MAP_SHARED | MAP_FIXED, t->fd, 0) == MAP_FAILED)
        abort();
}

const uint64_t *ratchet_table_salt(const struct ratchet_table *t)
{
    return t->salt;
}

/* The names with a byte between them that neither has. */
static uint64_t key_of(const struct ratchet_table *t, const char *destination, const char *host)
{
    uint8_t text[2 * RATCHET_NAME_MAX + 2];
    size_t len = strnlen(destination, RATCHET_NAME_MAX);
    size_t host_len = host ? strnlen(host, RATCHET_NAME_MAX) : 0;

    memcpy(text, destination, len);
    text[len++] = host ? '\n' : '\0';
    if (host)
        memcpy(text + len, host, host_len);
    uint64_t key = sip_hash(t->salt, text, len + host_len);
    return key ? key : 1;
}

static size_t place(uint64_t key, unsigned step)
{
    return (size_t)(key + step) & (SLOTS - 1);
}

void ratchet_table_find(const struct ratchet_table *t, const char *destination, const char *host,
                        struct ratchet_known *ret)
{
    uint64_t key = key_of(t, destination, host);

    *ret = (struct ratchet_known){0};
    for (unsigned step = 0; step < WINDOW; step++) {
        const struct slot *s = &t->slots[place(key, step)];
        if (atomic_load_explicit(&s->key, memory_order_acquire) != key)
            continue;
        uint64_t state = atomic_load_explicit(&s->state, memory_order_acquire);
        ret->memory.last = atomic_load_explicit(&s->last, memory_order_acquire);
        ret->memory.best.level = (enum conf_level)(state >> STATE_LEVEL & STATE_MASK);
        ret->memory.best.source = (enum tls_source)(state >> STATE_SOURCE & STATE_MASK);
        ret->dropped = state & STATE_DROPPED;
        ret->memory.known = atomic_load_explicit(&s->key, memory_order_acquire) == key;
        return;
    }
}

/* --- the writer --- */

void ratchet_table_take(struct ratchet_table *t)
{
    t->writer++;
}

static struct slot *slot_of(struct ratchet_table *t, uint64_t key)
{
    struct slot *unused = NULL;

    for (unsigned step = 0; step < WINDOW; step++) {
        struct slot *s = &t->slots[place(key, step)];
        uint64_t has = atomic_load_explicit(&s->key, memory_order_relaxed);
        if (has == key)
            return s;
        if (has == 0 && !unused)
            unused = s;
    }
    return unused;
}

bool ratchet_table_put(struct ratchet_table *t, const char *destination, const char *host,
                       const struct ratchet_known *known)
{
    uint64_t key = key_of(t, destination, host);
    struct slot *s = slot_of(t, key);

    if (!s)
        return !known->memory.known;
    if (!known->memory.known) {
        atomic_store_explicit(&s->key, 0, memory_order_release);
        return true;
    }
    uint64_t state =
        (known->dropped ? STATE_DROPPED : 0) | (uint64_t)known->memory.best.level << STATE_LEVEL |
        (uint64_t)known->memory.best.source << STATE_SOURCE | (uint64_t)t->writer << STATE_WRITER;
    atomic_store_explicit(&s->last, known->memory.last, memory_order_release);
    atomic_store_explicit(&s->state, state, memory_order_release);
    atomic_store_explicit(&s->key, key, memory_order_release);
    return true;
}

void ratchet_table_sweep(struct ratchet_table *t)
{
    if (t->writer == 1) /* nothing was there before: it would be looked at, and take memory */
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *s = &t->slots[i];
        if (atomic_load_explicit(&s->key, memory_order_relaxed) != 0 &&
            atomic_load_explicit(&s->state, memory_order_relaxed) >> STATE_WRITER != t->writer)
            atomic_store_explicit(&s->key, 0, memory_order_release);
    }
}

/* --- the line --- */

bool ratchet_tell(const struct ratchet_line *line, const struct ratchet_report *report)
{
    ssize_t n;

    do {
        n = send(line->fd, report, sizeof(*report), MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(*report);
}

static bool text_ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

/* Those that a connection can have. */
static bool level_valid(unsigned level)
{
    return level == CONF_LEVEL_NONE || level == CONF_LEVEL_ENCRYPT || level == CONF_LEVEL_VERIFY ||
           level == CONF_LEVEL_PIN || level == CONF_LEVEL_DANE;
}

/* It came from a worker, which anybody may have taken over: times are the process's own, and names
 * are judged by the book. */
static bool report_valid(const struct ratchet_report *r)
{
    return r->kind <= RATCHET_TOLD_DROP && level_valid(r->level) && r->source <= TLS_SOURCE_NONE &&
           text_ends(r->destination, sizeof(r->destination)) &&
           text_ends(r->host, sizeof(r->host)) && text_ends(r->route, sizeof(r->route)) &&
           text_ends(r->why, sizeof(r->why));
}

int ratchet_hear(int fd, struct ratchet_report *ret)
{
    ssize_t n = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ERR_AGAIN : ERR_SYSTEM;
    return n == (ssize_t)sizeof(*ret) && report_valid(ret) ? ERR_OK : ERR_SYNTAX;
}
