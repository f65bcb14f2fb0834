/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of durations in microseconds, in buckets whose width grows with the value, as
 * HdrHistogram has them: exact below 256 us, and within 0.8 % above. Fixed size, no allocation,
 * so that recording never disturbs what it measures. The exact maximum and the sum are kept
 * beside the buckets.
 */
#pragma once

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 8,  /* values below 2^8 have a bucket each */
    HISTOGRAM_MAX_BITS = 42, /* longer durations (50 days) count as the longest */
    HISTOGRAM_BUCKETS =
        (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 2) * (1 << (HISTOGRAM_SUB_BITS - 1))
};

struct histogram {
    uint64_t count, sum, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *h, uint64_t value_us);
/* The value that hundred_thousandths / 100,000 of all records do not pass (p99.9 is 99900):
 * the upper end of its bucket, never above the maximum. 0 while nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *h, unsigned hundred_thousandths);
/* 0 while nothing was recorded. */
uint64_t histogram_mean(const struct histogram *h);
