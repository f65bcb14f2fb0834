/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_session_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

struct entry {
    uint8_t key[32];
    SSL_SESSION *session;
    LIST_ENTRY(entry) in_bucket;
    TAILQ_ENTRY(entry) in_order; /* the most recently used first; or in the free list */
};

LIST_HEAD(bucket, entry);
TAILQ_HEAD(order, entry);

struct tls_session_cache {
    uint32_t buckets_mask;
    struct bucket *buckets;
    struct order used, unused;
    struct entry *entries;
};

int tls_session_cache_new(uint32_t max, struct tls_session_cache **ret)
{
    struct tls_session_cache *c = calloc(1, sizeof(*c));
    uint32_t buckets = 1;

    *ret = NULL;
    if (!c)
        return ERR_NOMEM;
    while (buckets < max && buckets < 1u << 24)
        buckets *= 2;
    c->buckets_mask = buckets - 1;
    c->buckets = calloc(buckets, sizeof(*c->buckets));
    c->entries = calloc(max ? max : 1, sizeof(*c->entries));
    TAILQ_INIT(&c->used);
    TAILQ_INIT(&c->unused);
    if (!c->buckets || !c->entries) {
        tls_session_cache_free(c);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < max; i++)
        TAILQ_INSERT_TAIL(&c->unused, &c->entries[i], in_order);
    *ret = c;
    return ERR_OK;
}

/* Keys are hashes already: any four bytes of them are as good as others. */
static struct bucket *bucket_of(struct tls_session_cache *c, const uint8_t key[32])
{
    uint32_t start;

    memcpy(&start, key, sizeof(start));
    return &c->buckets[start & c->buckets_mask];
}

static struct entry *entry_find(struct tls_session_cache *c, const uint8_t key[32])
{
    struct entry *e;

    LIST_FOREACH (e, bucket_of(c, key), in_bucket)
        if (memcmp(e->key, key, sizeof(e->key)) == 0)
            return e;
    return NULL;
}

static void entry_empty(struct tls_session_cache *c, struct entry *e)
{
    SSL_SESSION_free(e->session);
    e->session = NULL;
    LIST_REMOVE(e, in_bucket);
    TAILQ_REMOVE(&c->used, e, in_order);
    TAILQ_INSERT_HEAD(&c->unused, e, in_order);
}

void tls_session_cache_free(struct tls_session_cache *c)
{
    struct entry *e;

    if (!c)
        return;
    while ((e = TAILQ_FIRST(&c->used)))
        entry_empty(c, e);
    free(c->buckets);
    free(c->entries);
    free(c);
}

void tls_session_cache_put(struct tls_session_cache *c, const uint8_t key[32], SSL_SESSION *session)
{
    struct entry *e = entry_find(c, key);

    if (e)
        entry_empty(c, e);
    else if (TAILQ_EMPTY(&c->unused) && !TAILQ_EMPTY(&c->used))
        entry_empty(c, TAILQ_LAST(&c->used, order));
    e = TAILQ_FIRST(&c->unused);
    if (!e || SSL_SESSION_up_ref(session) != 1)
        return;
    TAILQ_REMOVE(&c->unused, e, in_order);
    memcpy(e->key, key, sizeof(e->key));
    e->session = session;
    LIST_INSERT_HEAD(bucket_of(c, key), e, in_bucket);
    TAILQ_INSERT_HEAD(&c->used, e, in_order);
}

SSL_SESSION *tls_session_cache_get(struct tls_session_cache *c, const uint8_t key[32])
{
    struct entry *e = entry_find(c, key);

    if (!e)
        return NULL;
    if (SSL_SESSION_is_resumable(e->session) != 1 ||
        tls_session_time(e->session) + SSL_SESSION_get_timeout(e->session) <= (int64_t)time(NULL)) {
        entry_empty(c, e);
        return NULL;
    }
    TAILQ_REMOVE(&c->used, e, in_order);
    TAILQ_INSERT_HEAD(&c->used, e, in_order);
    return e->session;
}

void tls_session_cache_drop(struct tls_session_cache *c, const uint8_t key[32])
{
    struct entry *e = entry_find(c, key);

    if (e)
        entry_empty(c, e);
}
