/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which messages of which runs were seen: one bit each, so that duplicates are counted over
 * millions of messages. Bounded in runs and in numbers; what is beyond is not remembered and
 * says so.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { TALLY_RUNS = 1024 }; /* a whole comparison has 400 */
#define TALLY_NUMBERS (UINT64_C(1) << 27)

struct tally_run {
    uint64_t run;
    uint64_t unique, duplicates;
    uint64_t *bits;
    size_t words;
};

struct tally {
    struct tally_run runs[TALLY_RUNS];
    size_t count;
};

enum tally_result { TALLY_NEW, TALLY_DUPLICATE, TALLY_BEYOND };

enum tally_result tally_add(struct tally *t, uint64_t run, uint64_t number);
void tally_free(struct tally *t);
