/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

/* With its header, what malloc keeps at hand for the next one of the size. */
enum { ARENA_BLOCK = 992 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t cap;
    alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct arena_block *block = a->blocks;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + align - 1) & ~(align - 1);
    if (a->max != 0 && (a->used > a->max || size > a->max - a->used))
        return NULL;
    if (!block || block->cap - block->used < size) {
        size_t cap = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        block = malloc(sizeof(*block) + cap);
        if (!block)
            return NULL;
        *block = (struct arena_block){.next = a->blocks, .cap = cap};
        a->blocks = block;
    }
    void *piece = block->data + block->used;
    block->used += size;
    a->used += size;
    return memset(piece, 0, size);
}

char *arena_strdup(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.len + 1);

    if (copy && s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

void arena_free(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}
