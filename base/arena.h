/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena is the memory of one lifetime (a transaction, a configuration): taken piece by
 * piece, given back at once. It holds no block while it is empty and has a bound, so that a
 * peer can't make it grow without end.
 */
#pragma once

#include "span.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used; /* bytes handed out */
    size_t max;  /* the most bytes it may hand out; 0: no bound */
};

void arena_init(struct arena *a, size_t max);
/* Zeroed memory, aligned for any type; NULL where the bound is reached or memory is out. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy of s with a NUL after it; NULL as above. */
char *arena_strdup(struct arena *a, struct span s);
/* Gives everything back. */
void arena_free(struct arena *a);
