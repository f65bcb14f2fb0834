/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's own answers of the resolver process, kept for as long as their TTL says: what is here
 * costs no message. Entries are as long as what they hold, bounded in number and in bytes; beyond
 * that one goes that nobody asked for lately. Pure memory: the caller gives the time.
 *
 * An answer that a look-up failed is never kept. One that there is nothing is, for five minutes at
 * most. Names are the same in either case.
 */
#pragma once

#include "resolver_wire.h"

enum {
    RESOLVER_CACHE_TTL_MAX_S = 86400,
    RESOLVER_CACHE_NONE_MAX_S = 300,
    RESOLVER_CACHE_ENTRY_BYTES = 512, /* on average, at most */
};

struct resolver_cache;

int resolver_cache_new(unsigned entries_max, struct resolver_cache **ret) ERR_CHECK;
void resolver_cache_free(struct resolver_cache *c);

bool resolver_cache_has(const struct resolver_cache *c, const struct resolver_wire_question *q,
                        uint64_t now_s);
/* With what is left of its TTL, and equal MX hosts in a new random order; ret->id is not set. */
bool resolver_cache_get(struct resolver_cache *c, const struct resolver_wire_question *q,
                        uint64_t now_s, struct resolver_wire_answer *ret);
/* Keeps it, or does not: what there is no memory for, or what has no time to live. */
void resolver_cache_put(struct resolver_cache *c, const struct resolver_wire_question *q,
                        const struct resolver_wire_answer *answer, uint64_t now_s);
/* For how long an answer may be kept. */
uint32_t resolver_cache_keep_s(enum dns_status status, uint32_t ttl_s);
/* Memory of its entries, and how many. */
size_t resolver_cache_bytes(const struct resolver_cache *c);
unsigned resolver_cache_len(const struct resolver_cache *c);
