/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_cache.h"

#include "assertion.h"
#include "sip_hash.h"
#include "text.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/random.h>

enum { PACKED_MAX = 20 * 1024 };

/* Name and packed answer follow. */
struct entry {
    struct entry *next;
    uint32_t until_s; /* of the caller's clock */
    uint16_t port;
    uint16_t len; /* bytes of the packed answer */
    uint8_t name_len;
    uint8_t kind;
    bool used; /* since the hand last came by */
    uint8_t data[];
};

struct key {
    uint8_t name_len, kind;
    uint16_t port;
    uint8_t name[DNS_NAME_MAX];
};

struct resolver_cache {
    unsigned len, max;
    size_t bytes, bytes_max;
    uint64_t salt[2];
    uint64_t random;    /* for the order of equal hosts, which is no secret */
    size_t buckets_len; /* a power of two */
    size_t hand;        /* the bucket that is next to lose an entry */
    struct entry **buckets;
};

static bool key_make(const struct resolver_wire_question *q, struct key *ret)
{
    size_t len = strlen(q->name);

    if (q->kind == RESOLVER_PTR || len == 0 || len > DNS_NAME_MAX)
        return false;
    ret->kind = (uint8_t)q->kind;
    ret->port = q->kind == RESOLVER_TLSA ? q->port : 0;
    ret->name_len = (uint8_t)len;
    for (size_t i = 0; i < len; i++) {
        char c = q->name[i];
        ret->name[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return true;
}

static struct entry **bucket_of(const struct resolver_cache *c, const struct key *key)
{
    uint64_t hash = sip_hash(c->salt, key->name, key->name_len);

    return &c->buckets[(hash + key->kind) & (c->buckets_len - 1)];
}

static bool entry_is(const struct entry *e, const struct key *key)
{
    return e->kind == key->kind && e->port == key->port && e->name_len == key->name_len &&
           memcmp(e->data, key->name, key->name_len) == 0;
}

/* Where the pointer to it is; *where is NULL if there is none that lives. */
static struct entry **entry_find(const struct resolver_cache *c, const struct key *key)
{
    struct entry **where = bucket_of(c, key);

    while (*where && !entry_is(*where, key))
        where = &(*where)->next;
    return where;
}

static void entry_remove(struct resolver_cache *c, struct entry **where)
{
    struct entry *e = *where;

    *where = e->next;
    c->len--;
    c->bytes -= malloc_usable_size(e);
    free(e);
}

/* The hand takes what is over, and what was not asked for since it came by. */
static void entry_evict(struct resolver_cache *c, uint64_t now_s)
{
    for (unsigned len = c->len; c->len == len;) {
        struct entry **where = &c->buckets[c->hand];
        while (*where && c->len == len) {
            if ((*where)->used && (*where)->until_s > now_s) {
                (*where)->used = false;
                where = &(*where)->next;
            } else {
                entry_remove(c, where);
            }
        }
        if (c->len == len)
            c->hand = (c->hand + 1) & (c->buckets_len - 1);
    }
}

/* --- packing ------------------------------------------------------------------------------ */

static void put_u8(struct text *t, unsigned value)
{
    const uint8_t byte = (uint8_t)value;

    text_put(t, &byte, 1);
}

static void put_u16(struct text *t, uint16_t value)
{
    text_put(t, &value, sizeof(value));
}

static void put_name(struct text *t, const char *name)
{
    size_t len = strlen(name);

    put_u8(t, (unsigned)len);
    text_put(t, name, len);
}

/* What was packed here is read back: it is as long as it says. */
static const uint8_t *take(struct span *s, size_t len)
{
    const uint8_t *at = s->ptr;

    ASSERT(len <= s->len);
    *s = span_from(*s, len);
    return at;
}

static unsigned take_u8(struct span *s)
{
    return *take(s, 1);
}

static uint16_t take_u16(struct span *s)
{
    uint16_t value;

    memcpy(&value, take(s, sizeof(value)), sizeof(value));
    return value;
}

static void take_name(struct span *s, char *ret, size_t room)
{
    size_t len = take_u8(s);

    ASSERT(len < room);
    memcpy(ret, take(s, len), len);
    ret[len] = '\0';
}

static void mx_pack(const struct dns_mx_answer *a, struct text *t)
{
    put_u8(t, a->status);
    put_u8(t, a->secure);
    put_u8(t, a->len);
    for (unsigned i = 0; i < a->len; i++) {
        put_u16(t, a->mx[i].preference);
        put_name(t, a->mx[i].host);
    }
}

static uint32_t random_below(struct resolver_cache *c, uint32_t bound)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random >> 32) % bound;
}

static void mx_swap(struct dns_mx *a, struct dns_mx *b)
{
    struct dns_mx kept = *a;

    *a = *b;
    *b = kept;
}

/* Hosts of one preference share the load (RFC 5321 section 5.1), also while the answer is kept. */
static void mx_shuffle_equals(struct resolver_cache *c, struct dns_mx_answer *a)
{
    for (unsigned from = 0, end; from < a->len; from = end) {
        end = from + 1;
        while (end < a->len && a->mx[end].preference == a->mx[from].preference)
            end++;
        for (unsigned left = end - from; left > 1; left--) {
            unsigned other = random_below(c, left);
            if (other != left - 1)
                mx_swap(&a->mx[from + left - 1], &a->mx[from + other]);
        }
    }
}

static void mx_unpack(struct resolver_cache *c, struct span *s, struct dns_mx_answer *ret)
{
    ret->status = (enum dns_status)take_u8(s);
    ret->secure = take_u8(s) != 0;
    ret->len = take_u8(s);
    for (unsigned i = 0; i < ret->len; i++) {
        ret->mx[i].preference = take_u16(s);
        take_name(s, ret->mx[i].host, sizeof(ret->mx[i].host));
    }
    mx_shuffle_equals(c, ret);
}

static void addr_pack(const struct dns_addr_answer *a, struct text *t)
{
    put_u8(t, a->status);
    put_u8(t, a->secure);
    put_u8(t, a->len);
    for (unsigned i = 0; i < a->len; i++) {
        bool v6 = net_addr_is_v6(&a->addr[i]);
        put_u8(t, v6);
        if (v6)
            text_put(t, &a->addr[i].v6.sin6_addr, 16);
        else
            text_put(t, &a->addr[i].v4.sin_addr, 4);
    }
}

static void addr_unpack(struct span *s, struct dns_addr_answer *ret)
{
    ret->status = (enum dns_status)take_u8(s);
    ret->secure = take_u8(s) != 0;
    ret->len = take_u8(s);
    for (unsigned i = 0; i < ret->len; i++) {
        union net_addr *addr = &ret->addr[i];
        memset(addr, 0, sizeof(*addr));
        if (take_u8(s)) {
            addr->v6.sin6_family = AF_INET6;
            memcpy(&addr->v6.sin6_addr, take(s, 16), 16);
        } else {
            addr->v4.sin_family = AF_INET;
            memcpy(&addr->v4.sin_addr, take(s, 4), 4);
        }
    }
}

static void tlsa_pack(const struct dns_tlsa_answer *a, struct text *t)
{
    put_u8(t, a->status);
    put_name(t, a->base);
    put_u8(t, a->len);
    for (unsigned i = 0; i < a->len; i++) {
        const struct dns_tlsa *r = &a->records[i];
        put_u8(t, r->usage);
        put_u8(t, r->selector);
        put_u8(t, r->matching);
        put_u16(t, r->len);
        text_put(t, a->data + r->at, r->len);
    }
}

static void tlsa_unpack(struct span *s, struct dns_tlsa_answer *ret)
{
    size_t at = 0;

    ret->status = (enum dns_status)take_u8(s);
    take_name(s, ret->base, sizeof(ret->base));
    ret->len = take_u8(s);
    for (unsigned i = 0; i < ret->len; i++) {
        struct dns_tlsa *r = &ret->records[i];
        r->usage = (uint8_t)take_u8(s);
        r->selector = (uint8_t)take_u8(s);
        r->matching = (uint8_t)take_u8(s);
        r->len = take_u16(s);
        r->at = (uint16_t)at;
        memcpy(ret->data + at, take(s, r->len), r->len);
        at += r->len;
    }
}

static void sts_pack(const struct sts_answer *a, struct text *t)
{
    put_u8(t, a->status);
    put_u8(t, a->mode);
    text_put(t, &a->expires, sizeof(a->expires));
    text_put(t, &a->max_age_s, sizeof(a->max_age_s));
    put_name(t, a->id);
    put_name(t, a->why);
    put_u8(t, a->mx_len);
    for (unsigned i = 0; i < a->mx_len; i++)
        put_name(t, a->mx[i]);
}

static void sts_unpack(struct span *s, struct sts_answer *ret)
{
    ret->status = (enum dns_status)take_u8(s);
    ret->mode = (enum sts_mode)take_u8(s);
    memcpy(&ret->expires, take(s, sizeof(ret->expires)), sizeof(ret->expires));
    memcpy(&ret->max_age_s, take(s, sizeof(ret->max_age_s)), sizeof(ret->max_age_s));
    take_name(s, ret->id, sizeof(ret->id));
    take_name(s, ret->why, sizeof(ret->why));
    ret->from_cache = true;
    ret->fault = STS_FAULT_NONE;
    ret->mx_len = take_u8(s);
    for (unsigned i = 0; i < ret->mx_len; i++)
        take_name(s, ret->mx[i], sizeof(ret->mx[i]));
}

static bool pack(const struct resolver_wire_answer *a, struct text *t, enum dns_status *ret_status,
                 uint32_t *ret_ttl_s)
{
    switch ((enum resolver_kind)a->kind) {
    case RESOLVER_MX:
        *ret_status = a->mx.status;
        *ret_ttl_s = a->mx.ttl_s;
        mx_pack(&a->mx, t);
        return true;
    case RESOLVER_ADDR:
        *ret_status = a->addr.status;
        *ret_ttl_s = a->addr.ttl_s;
        addr_pack(&a->addr, t);
        return true;
    case RESOLVER_TLSA:
        *ret_status = a->tlsa.status;
        *ret_ttl_s = a->tlsa.ttl_s;
        tlsa_pack(&a->tlsa, t);
        return true;
    case RESOLVER_STS:
        *ret_status = a->sts.status;
        *ret_ttl_s = a->sts.ttl_s;
        sts_pack(&a->sts, t);
        return true;
    case RESOLVER_PTR:
        return false;
    }
    return false;
}

static void unpack(struct resolver_cache *c, struct span s, uint32_t ttl_s,
                   struct resolver_wire_answer *ret)
{
    switch ((enum resolver_kind)ret->kind) {
    case RESOLVER_MX:
        ret->mx.ttl_s = ttl_s;
        mx_unpack(c, &s, &ret->mx);
        break;
    case RESOLVER_ADDR:
        ret->addr.ttl_s = ttl_s;
        addr_unpack(&s, &ret->addr);
        break;
    case RESOLVER_TLSA:
        ret->tlsa.ttl_s = ttl_s;
        tlsa_unpack(&s, &ret->tlsa);
        break;
    case RESOLVER_STS:
        ret->sts.ttl_s = ttl_s;
        sts_unpack(&s, &ret->sts);
        break;
    case RESOLVER_PTR:
        break;
    }
    ASSERT(s.len == 0);
}

/* --- the cache ---------------------------------------------------------------------------- */

uint32_t resolver_cache_keep_s(enum dns_status status, uint32_t ttl_s)
{
    uint32_t max = RESOLVER_CACHE_NONE_MAX_S;

    switch (status) {
    case DNS_OK:
        max = RESOLVER_CACHE_TTL_MAX_S;
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        break;
    case DNS_FAILED:
    case DNS_BOGUS:
        return 0;
    }
    return ttl_s < max ? ttl_s : max;
}

bool resolver_cache_has(const struct resolver_cache *c, const struct resolver_wire_question *q,
                        uint64_t now_s)
{
    struct key key;

    if (!key_make(q, &key))
        return false;
    const struct entry *e = *entry_find(c, &key);
    return e && e->until_s > now_s;
}

bool resolver_cache_get(struct resolver_cache *c, const struct resolver_wire_question *q,
                        uint64_t now_s, struct resolver_wire_answer *ret)
{
    struct key key;

    if (!key_make(q, &key))
        return false;
    struct entry *e = *entry_find(c, &key);
    if (!e || e->until_s <= now_s)
        return false;
    e->used = true;
    ret->kind = e->kind;
    unpack(c, span_make(e->data + e->name_len, e->len), (uint32_t)(e->until_s - now_s), ret);
    return true;
}

void resolver_cache_put(struct resolver_cache *c, const struct resolver_wire_question *q,
                        const struct resolver_wire_answer *answer, uint64_t now_s)
{
    char packed[PACKED_MAX];
    struct text text = text_into(packed, sizeof(packed));
    enum dns_status status;
    uint32_t ttl_s, keep;
    struct key key;

    if (!key_make(q, &key) || !pack(answer, &text, &status, &ttl_s) || text.full)
        return;
    struct entry **where = entry_find(c, &key);
    if (*where)
        entry_remove(c, where);
    keep = resolver_cache_keep_s(status, ttl_s);
    size_t size = offsetof(struct entry, data) + key.name_len + text.len;
    /* Of the shortest, the struct's own padding is more than the data. */
    struct entry *e = keep > 0 ? malloc(size > sizeof(*e) ? size : sizeof(*e)) : NULL;
    if (!e)
        return;
    *e = (struct entry){.until_s = (uint32_t)(now_s + keep),
                        .port = key.port,
                        .len = (uint16_t)text.len,
                        .name_len = key.name_len,
                        .kind = key.kind};
    memcpy(e->data, key.name, key.name_len);
    memcpy(e->data + key.name_len, packed, text.len);
    while (c->len > 0 && (c->len >= c->max || c->bytes + malloc_usable_size(e) > c->bytes_max))
        entry_evict(c, now_s);
    where = bucket_of(c, &key);
    e->next = *where;
    *where = e;
    c->len++;
    c->bytes += malloc_usable_size(e);
}

size_t resolver_cache_bytes(const struct resolver_cache *c)
{
    /* And the length that the allocator keeps before each. */
    return c->bytes + c->len * sizeof(size_t) + c->buckets_len * sizeof(c->buckets[0]);
}

unsigned resolver_cache_len(const struct resolver_cache *c)
{
    return c->len;
}

int resolver_cache_new(unsigned entries_max, struct resolver_cache **ret)
{
    struct resolver_cache *c = calloc(1, sizeof(*c));

    *ret = NULL;
    if (!c)
        return ERR_NOMEM;
    c->max = entries_max;
    c->bytes_max = (size_t)entries_max * RESOLVER_CACHE_ENTRY_BYTES;
    c->buckets_len = 64;
    while (c->buckets_len * 2 <= entries_max)
        c->buckets_len *= 2;
    c->buckets = calloc(c->buckets_len, sizeof(c->buckets[0]));
    if (!c->buckets || getrandom(c->salt, sizeof(c->salt), 0) != (ssize_t)sizeof(c->salt)) {
        resolver_cache_free(c);
        return ERR_NOMEM;
    }
    c->random = c->salt[0] | 1; /* never 0, which it would stay */
    *ret = c;
    return 0;
}

void resolver_cache_free(struct resolver_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; c->buckets && i < c->buckets_len; i++)
        while (c->buckets[i])
            entry_remove(c, &c->buckets[i]);
    free(c->buckets);
    free(c);
}
