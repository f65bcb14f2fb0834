/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of a leg (one connection): a slot of its worker's table, and the generation of what
 * lives there. A late completion or answer for a leg that is gone carries an old generation and
 * is dropped. Handshakes and the dataplane use the same name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct leg_id {
    uint32_t slot;
    uint32_t generation; /* never 0 for a living leg */
};

#define LEG_NONE ((struct leg_id){0, 0})

static inline bool leg_is_none(struct leg_id id)
{
    return id.generation == 0;
}

static inline bool leg_same(struct leg_id a, struct leg_id b)
{
    return a.slot == b.slot && a.generation == b.generation;
}
