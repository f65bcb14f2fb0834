/* SPDX-License-Identifier: Apache-2.0 */
#include "shared.h"

#include "assertion.h"
#include "buf.h"
#include "sip_hash.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

/*
 * The table of holds: one 64-bit word an entry, so that one compare-and-swap changes it. The upper
 * 44 bits name the key, the lower 20 count its holders; a count of 0 makes the entry free. A key
 * lives in one of HOLD_WINDOW entries from its hash on; two workers that claim it at the same
 * moment may make two entries of it, therefore every count sums over the window.
 */
enum { HOLD_ENTRIES = 1 << 16, HOLD_WINDOW = 32 };
#define HOLD_COUNT_MASK ((UINT64_C(1) << 20) - 1)

/*
 * The tables of peers that change keys, of addresses with failed logins, and of what was told: one
 * 64-bit word an entry, the upper half names the key, the lower is the second in which it ends. A
 * key lives in one of MARK_WINDOW entries from its place on. An entry whose time is over is free.
 */
enum {
    MARK_ENTRIES = 4096,
    MARK_WINDOW = 8,
    REKEY_S = 24 * 60 * 60,
    TOLD_S = 24 * 60 * 60,
    LOGIN_S = 60 * 60
};

struct column {
    _Alignas(64) _Atomic uint64_t counters[COUNTER_COUNT];
    _Atomic uint64_t ends[SESSION_END_COUNT];
};

enum { PAGE = 4096 };

struct shared {
    /* Alone in its page, so that it can be unmapped. */
    union {
        struct tls_ticket_seed seed;
        uint8_t seed_page[PAGE];
    };
    uint64_t salt[2];
    struct column retired; /* counters of columns that were cleared */
    struct column columns[SHARED_COLUMNS];
    _Atomic uint64_t holds[HOLD_ENTRIES];
    _Atomic uint64_t rekeyed[MARK_ENTRIES];
    _Atomic uint64_t logins[MARK_ENTRIES];
    _Atomic uint64_t told[MARK_ENTRIES];
    /* A column's part of each entry's count, so that a dead worker's holds can be dropped. Apart
     * from the counters: what nobody touches takes no memory. */
    _Atomic uint32_t held[SHARED_COLUMNS][HOLD_ENTRIES];
};

struct counter_row {
    const char *name, *help;
    bool gauge;
};

enum { KIND_COUNTER = false, KIND_GAUGE = true };

static const struct counter_row counter_rows[COUNTER_COUNT] = {
#define COUNTER(name, text, kind, help) [COUNTER_##name] = {text, help, KIND_##kind},
#include "counter.def"
#undef COUNTER
};

int shared_new(struct shared **ret)
{
    /* Pages that no worker touches take no memory: the mapping is mostly holes. */
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *ret = NULL;
    if (s == MAP_FAILED)
        return ERR_NOMEM;
    /* The seed opens session tickets: it belongs in no core file. */
    if (madvise(s, sizeof(*s), MADV_DONTDUMP) != 0 ||
        getrandom(&s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed) ||
        getrandom(s->salt, sizeof(s->salt), 0) != (ssize_t)sizeof(s->salt)) {
        munmap(s, sizeof(*s));
        return ERR_SYSTEM;
    }
    *ret = s;
    return 0;
}

void shared_free(struct shared *s)
{
    if (s)
        munmap(s, sizeof(*s));
}

void shared_forget_seed(struct shared *s)
{
    if (mmap(s->seed_page, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        abort();
}

static struct column *column_of(const struct shared_column *c)
{
    ASSERT(c->column < SHARED_COLUMNS);
    return &c->shared->columns[c->column];
}

void counter_add(const struct shared_column *c, enum counter which, int64_t n)
{
    atomic_fetch_add_explicit(&column_of(c)->counters[which], (uint64_t)n, memory_order_relaxed);
}

void counter_set(const struct shared_column *c, enum counter which, uint64_t value)
{
    atomic_store_explicit(&column_of(c)->counters[which], value, memory_order_relaxed);
}

void counter_session_end(const struct shared_column *c, enum session_end end)
{
    atomic_fetch_add_explicit(&column_of(c)->ends[end], 1, memory_order_relaxed);
}

const char *counter_name(enum counter which)
{
    return counter_rows[which].name;
}

uint64_t counter_sum(const struct shared *s, enum counter which)
{
    uint64_t sum = atomic_load_explicit(&s->retired.counters[which], memory_order_relaxed);

    for (unsigned i = 0; i < SHARED_COLUMNS; i++)
        sum += atomic_load_explicit(&s->columns[i].counters[which], memory_order_relaxed);
    return sum;
}

uint64_t counter_of(const struct shared *s, unsigned column, enum counter which)
{
    ASSERT(column < SHARED_COLUMNS);
    return atomic_load_explicit(&s->columns[column].counters[which], memory_order_relaxed);
}

uint64_t counter_session_end_sum(const struct shared *s, enum session_end end)
{
    uint64_t sum = atomic_load_explicit(&s->retired.ends[end], memory_order_relaxed);

    for (unsigned i = 0; i < SHARED_COLUMNS; i++)
        sum += atomic_load_explicit(&s->columns[i].ends[end], memory_order_relaxed);
    return sum;
}

static void hold_entry_drop(struct shared *s, unsigned entry, uint64_t n)
{
    uint64_t word = atomic_load(&s->holds[entry]);
    uint64_t next;

    do {
        ASSERT((word & HOLD_COUNT_MASK) >= n);
        next = (word & HOLD_COUNT_MASK) == n ? 0 : word - n;
    } while (!atomic_compare_exchange_weak(&s->holds[entry], &word, next));
}

void shared_clear_column(struct shared *s, unsigned column)
{
    struct column *c = &s->columns[column];

    ASSERT(column < SHARED_COLUMNS);
    /* Moved to retired, so that the column's next worker may set its counters from zero. */
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        uint64_t value = atomic_exchange(&c->counters[i], 0);
        if (!counter_rows[i].gauge)
            atomic_fetch_add(&s->retired.counters[i], value);
    }
    for (unsigned i = 0; i < SESSION_END_COUNT; i++)
        atomic_fetch_add(&s->retired.ends[i], atomic_exchange(&c->ends[i], 0));
    for (unsigned i = 0; i < HOLD_ENTRIES; i++) {
        uint32_t held = atomic_exchange(&s->held[column][i], 0);
        if (held > 0)
            hold_entry_drop(s, i, held);
    }
}

/* The finalizer of SplitMix64: spreads the kind over a key that is a keyed hash already. */
static uint64_t hold_hash(enum shared_kind kind, uint64_t key)
{
    uint64_t x = key + ((uint64_t)kind + 1) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static unsigned hold_entry(uint64_t hash, unsigned step)
{
    return (unsigned)((hash + step) % HOLD_ENTRIES);
}

static bool hold_is(uint64_t word, uint64_t hash)
{
    return (word & HOLD_COUNT_MASK) != 0 && ((word ^ hash) & ~HOLD_COUNT_MASK) == 0;
}

static uint64_t hold_count(const struct shared *s, uint64_t hash)
{
    uint64_t sum = 0;

    for (unsigned step = 0; step < HOLD_WINDOW; step++) {
        uint64_t word = atomic_load(&s->holds[hold_entry(hash, step)]);
        if (hold_is(word, hash))
            sum += word & HOLD_COUNT_MASK;
    }
    return sum;
}

/* Adds one to the key's entry, or to a free one; false where the window has neither. */
static bool hold_take(struct shared *s, uint64_t hash, unsigned *ret_entry)
{
    for (int pass = 0; pass < 2; pass++) { /* its own entry first, then a free one */
        for (unsigned step = 0; step < HOLD_WINDOW; step++) {
            unsigned entry = hold_entry(hash, step);
            uint64_t word = atomic_load(&s->holds[entry]);
            for (;;) {
                uint64_t next;
                if (hold_is(word, hash) && (word & HOLD_COUNT_MASK) < HOLD_COUNT_MASK)
                    next = word + 1;
                else if (pass == 1 && word == 0)
                    next = (hash & ~HOLD_COUNT_MASK) | 1;
                else
                    break;
                if (atomic_compare_exchange_weak(&s->holds[entry], &word, next)) {
                    *ret_entry = entry;
                    return true;
                }
            }
        }
    }
    return false;
}

bool shared_hold(const struct shared_column *c, enum shared_kind kind, uint64_t key, unsigned max)
{
    struct shared *s = c->shared;
    uint64_t hash = hold_hash(kind, key);
    unsigned entry;

    if (hold_count(s, hash) >= max || !hold_take(s, hash, &entry))
        return false;
    /* A worker killed between the two lines leaks one hold until the next start. */
    atomic_fetch_add(&s->held[c->column][entry], 1);
    /* Others may have taken the last ones at the same moment: all of them step back then, and the
     * limit is never passed. */
    if (hold_count(s, hash) > max) {
        shared_drop(c, kind, key);
        return false;
    }
    return true;
}

void shared_drop(const struct shared_column *c, enum shared_kind kind, uint64_t key)
{
    struct shared *s = c->shared;
    _Atomic uint32_t *own = s->held[c->column];
    uint64_t hash = hold_hash(kind, key);

    for (unsigned step = 0; step < HOLD_WINDOW; step++) {
        unsigned entry = hold_entry(hash, step);
        if (atomic_load(&own[entry]) == 0 || !hold_is(atomic_load(&s->holds[entry]), hash))
            continue;
        atomic_fetch_sub(&own[entry], 1);
        hold_entry_drop(s, entry, 1);
        return;
    }
    ASSERT(!"a hold is dropped that was not taken");
}

unsigned shared_held(const struct shared *s, enum shared_kind kind, uint64_t key)
{
    return (unsigned)hold_count(s, hold_hash(kind, key));
}

static uint64_t mark_tag(uint64_t key)
{
    return key & ~(uint64_t)UINT32_MAX;
}

static _Atomic uint64_t *mark_entry(_Atomic uint64_t *table, uint64_t key, unsigned step)
{
    return &table[(key + step) % MARK_ENTRIES];
}

/* The second in which the key's mark ends; 0: it has none. */
static uint64_t mark_end(const _Atomic uint64_t *table, uint64_t key)
{
    for (unsigned step = 0; step < MARK_WINDOW; step++) {
        const _Atomic uint64_t *entry = &table[(key + step) % MARK_ENTRIES];
        uint64_t word = atomic_load_explicit(entry, memory_order_relaxed);
        if (mark_tag(word) == mark_tag(key))
            return word & UINT32_MAX;
    }
    return 0;
}

/* Two workers may write the same entry, or one that the other has just read: one of the two marks
 * is lost then, and made again with the next event. */
static void mark_set(_Atomic uint64_t *table, uint64_t key, uint64_t end_s)
{
    _Atomic uint64_t *chosen = mark_entry(table, key, 0);
    uint64_t least = UINT64_MAX;

    /* Its own entry; or else the one that ends first, which a free one does. */
    for (unsigned step = 0; step < MARK_WINDOW; step++) {
        _Atomic uint64_t *entry = mark_entry(table, key, step);
        uint64_t word = atomic_load_explicit(entry, memory_order_relaxed);
        if (mark_tag(word) == mark_tag(key) && word != 0) {
            chosen = entry;
            break;
        }
        if ((word & UINT32_MAX) < least) {
            least = word & UINT32_MAX;
            chosen = entry;
        }
    }
    atomic_store_explicit(chosen, mark_tag(key) | (uint32_t)end_s, memory_order_relaxed);
}

void shared_rekeyed(struct shared *s, uint64_t key, uint64_t now_s)
{
    mark_set(s->rekeyed, key, now_s + REKEY_S);
}

bool shared_rekeys(const struct shared *s, uint64_t key, uint64_t now_s)
{
    return mark_end(s->rekeyed, key) > now_s;
}

unsigned shared_rekeyed_count(const struct shared *s, uint64_t now_s)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MARK_ENTRIES; i++) {
        uint64_t word = atomic_load_explicit(&s->rekeyed[i], memory_order_relaxed);
        count += (word & UINT32_MAX) > now_s;
    }
    return count;
}

/* Each failure is worth its part of an hour, and the mark ends when all of them are over. */
static unsigned login_part_s(unsigned max)
{
    return LOGIN_S / max;
}

void shared_login_failed(struct shared *s, uint64_t key, unsigned max, uint64_t now_s)
{
    uint64_t end_s = mark_end(s->logins, key);

    mark_set(s->logins, key, (end_s > now_s ? end_s : now_s) + login_part_s(max));
}

bool shared_logins_over(const struct shared *s, uint64_t key, unsigned max, uint64_t now_s)
{
    uint64_t end_s = mark_end(s->logins, key);

    return end_s > now_s && end_s - now_s + login_part_s(max) > LOGIN_S;
}

bool shared_told(struct shared *s, uint64_t key, uint64_t now_s)
{
    if (mark_end(s->told, key) > now_s)
        return true;
    mark_set(s->told, key, now_s + TOLD_S);
    return false;
}

uint64_t shared_address_key(const struct shared *s, const union net_addr *a)
{
    if (net_addr_is_v6(a))
        return sip_hash(s->salt, a->v6.sin6_addr.s6_addr, 8);
    return sip_hash(s->salt, (const uint8_t *)&a->v4.sin_addr, sizeof(a->v4.sin_addr));
}

uint64_t shared_text_key(const struct shared *s, struct span text)
{
    return sip_hash(s->salt, text.ptr, text.len);
}

const struct tls_ticket_seed *shared_ticket_seed(const struct shared *s)
{
    return &s->seed;
}

int shared_write_metrics(const struct shared *s, struct buf *out)
{
    int err = 0;

    for (unsigned i = 0; i < COUNTER_COUNT && !err; i++) {
        const struct counter_row *row = &counter_rows[i];
        /* A gauge's columns may be read in the middle of a move from one to another. */
        int64_t value = (int64_t)counter_sum(s, (enum counter)i);
        err = buf_printf(out, "# HELP %s %s.\n# TYPE %s %s\n%s %lld\n", row->name, row->help,
                         row->name, row->gauge ? "gauge" : "counter", row->name,
                         (long long)(row->gauge && value < 0 ? 0 : value));
    }
    if (!err)
        err = buf_printf(out, "# HELP postern_sessions_ended_total Client sessions by how they "
                              "ended.\n# TYPE postern_sessions_ended_total counter\n");
    for (unsigned i = 0; i < SESSION_END_COUNT && !err; i++)
        err = buf_printf(out, "postern_sessions_ended_total{reason=\"%s\"} %llu\n",
                         session_end_word((enum session_end)i),
                         (unsigned long long)counter_session_end_sum(s, (enum session_end)i));
    return err;
}
