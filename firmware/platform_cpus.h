/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of processors as the kernel writes them: lists ("0-3,8") and masks ("ff,00000001"). Pure.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum { PLATFORM_CPUS_MAX = 1024, PLATFORM_CPUS_WORDS = PLATFORM_CPUS_MAX / 64 };

struct platform_cpus {
    uint64_t words[PLATFORM_CPUS_WORDS];
};

static inline void platform_cpus_add(struct platform_cpus *set, unsigned cpu)
{
    set->words[cpu / 64] |= (uint64_t)1 << cpu % 64;
}

static inline bool platform_cpus_has(const struct platform_cpus *set, unsigned cpu)
{
    return cpu < PLATFORM_CPUS_MAX && (set->words[cpu / 64] >> cpu % 64 & 1);
}

unsigned platform_cpus_count(const struct platform_cpus *set);
/* A list or a mask, with or without a line's end; an empty list is the empty set. ERR_SYNTAX;
 * ERR_RANGE for a processor beyond the room. */
int platform_cpus_list_decode(struct span text, struct platform_cpus *ret) ERR_CHECK;
int platform_cpus_mask_decode(struct span text, struct platform_cpus *ret) ERR_CHECK;
/* As a list; one that does not fit ends in "...". As a mask; ERR_FULL where it does not fit. */
void platform_cpus_list(const struct platform_cpus *set, char *out, size_t room);
int platform_cpus_mask(const struct platform_cpus *set, char *out, size_t room) ERR_CHECK;
