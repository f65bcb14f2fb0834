/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS, HALF = SUB / 2 };

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB)
        return (unsigned)value;
    unsigned shift = 64 - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return shift * HALF + (unsigned)(value >> shift);
}

static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned shift = (bucket - HALF) / HALF;
    return ((uint64_t)(bucket - shift * HALF + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value_us)
{
    uint64_t most = ((uint64_t)1 << HISTOGRAM_MAX_BITS) - 1;

    if (value_us > most)
        value_us = most;
    h->buckets[bucket_of(value_us)]++;
    h->count++;
    h->sum += value_us;
    if (value_us > h->max)
        h->max = value_us;
}

uint64_t histogram_quantile(const struct histogram *h, unsigned hundred_thousandths)
{
    /* The rank is rounded up, so that p99.9 of ten records is the largest of them. */
    uint64_t rank = (h->count * hundred_thousandths + 99999) / 100000;
    uint64_t seen = 0;

    if (h->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && seen >= rank) {
            uint64_t top = bucket_top(i);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum / h->count : 0;
}
