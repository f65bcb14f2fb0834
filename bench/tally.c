/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdlib.h>
#include <string.h>

static struct tally_run *run_find(struct tally *t, uint64_t run)
{
    for (size_t i = t->count; i > 0; i--) { /* the newest is the one that goes on */
        if (t->runs[i - 1].run == run)
            return &t->runs[i - 1];
    }
    if (t->count == TALLY_RUNS)
        return NULL;
    t->runs[t->count] = (struct tally_run){.run = run};
    return &t->runs[t->count++];
}

static int words_grow(struct tally_run *r, size_t words)
{
    size_t more = r->words ? r->words : 64;

    while (more < words)
        more *= 2;
    uint64_t *bits = realloc(r->bits, more * sizeof(*bits));
    if (!bits)
        return -1;
    memset(bits + r->words, 0, (more - r->words) * sizeof(*bits));
    r->bits = bits;
    r->words = more;
    return 0;
}

enum tally_result tally_add(struct tally *t, uint64_t run, uint64_t number)
{
    struct tally_run *r = run_find(t, run);
    size_t word = number / 64;
    uint64_t bit = UINT64_C(1) << number % 64;

    if (!r || number >= TALLY_NUMBERS || (word >= r->words && words_grow(r, word + 1) != 0))
        return TALLY_BEYOND;
    if (r->bits[word] & bit) {
        r->duplicates++;
        return TALLY_DUPLICATE;
    }
    r->bits[word] |= bit;
    r->unique++;
    return TALLY_NEW;
}

void tally_free(struct tally *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->runs[i].bits);
    *t = (struct tally){0};
}
