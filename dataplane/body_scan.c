/* SPDX-License-Identifier: Apache-2.0 */
#include "body_scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* What a block needs to know of the bytes before it. */
struct scan_before {
    uint64_t cr;   /* 1: the byte before is a CR */
    uint64_t crlf; /* 1: the two bytes before are CRLF */
};

static size_t scalar_from(const uint8_t *data, size_t i, size_t len, bool dots,
                          struct scan_before before)
{
    for (; i < len; i++) {
        bool cr = before.cr, crlf = before.crlf;
        before = (struct scan_before){data[i] == '\r', cr && data[i] == '\n'};
        if (cr != (data[i] == '\n'))
            return cr ? i - 1 : i;
        if (dots && crlf && data[i] == '.')
            return i;
    }
    return before.cr ? len - 1 : len;
}

static size_t scalar_find(const uint8_t *data, size_t len, bool dots)
{
    return scalar_from(data, 0, len, dots, (struct scan_before){0, 0});
}

static bool always(void)
{
    return true;
}

static const struct body_scan scan_scalar = {
    .name = "scalar", .find = scalar_find, .usable = always};

#if defined(__x86_64__)

struct scan_masks { /* bit i: byte i of the block is that character */
    uint64_t cr, lf, dot;
};

/*
 * Judges a block of 64 bytes; true where a byte in it, or the CR before it, was found, and *ret is
 * its place relative to the block. An LF must stand exactly where the byte before is a CR, so one
 * exclusive or finds bare CR and bare LF alike.
 */
static inline bool block_judge(struct scan_masks m, bool dots, struct scan_before *before,
                               long *ret)
{
    uint64_t after_cr = (m.cr << 1) | before->cr;
    uint64_t bare = m.lf ^ after_cr;
    uint64_t crlf = m.lf & after_cr;
    uint64_t found = bare;

    if (dots)
        found |= m.dot & ((crlf << 1) | before->crlf);
    *before = (struct scan_before){m.cr >> 63, crlf >> 63};
    if (found == 0)
        return false;
    long at = __builtin_ctzll(found);
    *ret = (after_cr >> at & 1) ? at - 1 : at;
    return true;
}

static inline uint64_t sse2_equal(const __m128i block[4], char c)
{
    __m128i all = _mm_set1_epi8(c);
    uint64_t mask = 0;

    for (int i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(block[i], all)) << (16 * i);
    return mask;
}

static size_t sse2_find(const uint8_t *data, size_t len, bool dots)
{
    struct scan_before before = {0, 0};
    size_t i = 0;
    long at;

    for (; len - i >= 64; i += 64) {
        __m128i block[4];
        for (int part = 0; part < 4; part++)
            block[part] = _mm_loadu_si128((const __m128i *)(data + i + 16 * part));
        struct scan_masks m = {sse2_equal(block, '\r'), sse2_equal(block, '\n'),
                               dots ? sse2_equal(block, '.') : 0};
        if (block_judge(m, dots, &before, &at))
            return i + (size_t)at;
    }
    return scalar_from(data, i, len, dots, before);
}

static const struct body_scan scan_sse2 = {.name = "sse2", .find = sse2_find, .usable = always};

__attribute__((target("avx2"))) static inline uint64_t avx2_equal(__m256i low, __m256i high, char c)
{
    __m256i all = _mm256_set1_epi8(c);
    uint32_t first = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, all));
    uint32_t second = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, all));

    return first | (uint64_t)second << 32;
}

__attribute__((target("avx2"))) static size_t avx2_find(const uint8_t *data, size_t len, bool dots)
{
    struct scan_before before = {0, 0};
    size_t i = 0;
    long at;

    for (; len - i >= 64; i += 64) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(data + i));
        __m256i high = _mm256_loadu_si256((const __m256i *)(data + i + 32));
        struct scan_masks m = {avx2_equal(low, high, '\r'), avx2_equal(low, high, '\n'),
                               dots ? avx2_equal(low, high, '.') : 0};
        if (block_judge(m, dots, &before, &at))
            return i + (size_t)at;
    }
    return scalar_from(data, i, len, dots, before);
}

static bool avx2_usable(void)
{
    return __builtin_cpu_supports("avx2");
}

static const struct body_scan scan_avx2 = {
    .name = "avx2", .find = avx2_find, .usable = avx2_usable};

const struct body_scan *const body_scans[] = {&scan_avx2, &scan_sse2, &scan_scalar, NULL};

#else

const struct body_scan *const body_scans[] = {&scan_scalar, NULL};

#endif

/* Chosen before main, so that no call needs to ask again. */
static const struct body_scan *scan_chosen = &scan_scalar;

__attribute__((constructor)) static void scan_choose(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    for (size_t i = 0; body_scans[i]; i++) {
        if (body_scans[i]->usable()) {
            scan_chosen = body_scans[i];
            return;
        }
    }
}

size_t body_scan_find(const uint8_t *data, size_t len, bool dots)
{
    return scan_chosen->find(data, len, dots);
}
