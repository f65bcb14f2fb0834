/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md) over a stream: several bytes a
 * cycle, and any accident (a lost, doubled, swapped or flipped byte) is found but for one in
 * 2^64. It is no defence against somebody who forges a message on purpose; nobody does that to
 * a load test, and SHA-256 would cost more than the TLS that is measured.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct xxh64 {
    uint64_t lane[4];
    uint64_t total;
    uint8_t pending[32];
    unsigned pending_len;
};

/* Seed 0. */
void xxh64_init(struct xxh64 *x);
void xxh64_update(struct xxh64 *x, const void *data, size_t len);
/* x stays as it was: more may follow. */
uint64_t xxh64_digest(const struct xxh64 *x);
