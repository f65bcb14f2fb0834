/* SPDX-License-Identifier: Apache-2.0 */
#include "xxh64.h"

#include <endian.h>
#include <string.h>

#define PRIME1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME3 UINT64_C(0x165667B19E3779F9)
#define PRIME4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME5 UINT64_C(0x27D4EB2F165667C5)

enum { STRIPE = 32 };

static uint64_t rotl(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static uint64_t read64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static uint32_t read32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint64_t mix(uint64_t lane, uint64_t input)
{
    return rotl(lane + input * PRIME2, 31) * PRIME1;
}

static void take_stripes(uint64_t lane[4], const uint8_t *p, size_t stripes)
{
    uint64_t a = lane[0], b = lane[1], c = lane[2], d = lane[3];

    for (; stripes > 0; stripes--, p += STRIPE) {
        a = mix(a, read64(p));
        b = mix(b, read64(p + 8));
        c = mix(c, read64(p + 16));
        d = mix(d, read64(p + 24));
    }
    lane[0] = a;
    lane[1] = b;
    lane[2] = c;
    lane[3] = d;
}

void xxh64_init(struct xxh64 *x)
{
    *x = (struct xxh64){.lane = {PRIME1 + PRIME2, PRIME2, 0, 0 - PRIME1}};
}

void xxh64_update(struct xxh64 *x, const void *data, size_t len)
{
    const uint8_t *p = data;

    if (len == 0)
        return;
    x->total += len;
    if (x->pending_len > 0) {
        size_t room = STRIPE - x->pending_len;
        size_t part = len < room ? len : room;
        memcpy(x->pending + x->pending_len, p, part);
        x->pending_len += (unsigned)part;
        p += part;
        len -= part;
        if (x->pending_len < STRIPE)
            return;
        take_stripes(x->lane, x->pending, 1);
        x->pending_len = 0;
    }
    take_stripes(x->lane, p, len / STRIPE);
    p += len / STRIPE * STRIPE;
    len %= STRIPE;
    memcpy(x->pending, p, len);
    x->pending_len = (unsigned)len;
}

static uint64_t lanes_merge(const uint64_t lane[4])
{
    uint64_t h = rotl(lane[0], 1) + rotl(lane[1], 7) + rotl(lane[2], 12) + rotl(lane[3], 18);

    for (unsigned i = 0; i < 4; i++)
        h = (h ^ mix(0, lane[i])) * PRIME1 + PRIME4;
    return h;
}

uint64_t xxh64_digest(const struct xxh64 *x)
{
    uint64_t h = x->total >= STRIPE ? lanes_merge(x->lane) : PRIME5;
    const uint8_t *p = x->pending;
    unsigned len = x->pending_len;

    h += x->total;
    for (; len >= 8; len -= 8, p += 8)
        h = rotl(h ^ mix(0, read64(p)), 27) * PRIME1 + PRIME4;
    if (len >= 4) {
        h = rotl(h ^ (uint64_t)read32(p) * PRIME1, 23) * PRIME2 + PRIME3;
        p += 4;
        len -= 4;
    }
    for (; len > 0; len--, p++)
        h = rotl(h ^ *p * PRIME5, 11) * PRIME1;
    h = (h ^ h >> 33) * PRIME2;
    h = (h ^ h >> 29) * PRIME3;
    return h ^ h >> 32;
}
