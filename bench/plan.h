/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When messages begin. With a rate (open loop) message i is due i / rate seconds after the
 * start, whatever became of the ones before it, and its latency counts from then: a receiver
 * that stalls delays all that fell due meanwhile, and the percentiles show it. Without a rate
 * (closed loop) a message is due as soon as a session is free for it. Both end at a count or at a
 * time, whichever comes first. Pure: the clock is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct plan {
    uint64_t start_us;
    uint64_t end_us; /* no message begins at or after it */
    double rate;     /* messages a second; 0: closed loop */
    uint64_t messages;
    uint64_t taken;
};

/* True where a message is due at now_us: its number and when it should have begun. */
bool plan_take(struct plan *p, uint64_t now_us, uint64_t *ret_number, uint64_t *ret_intended_us);
/* Whether plan_take would give one. */
bool plan_is_due(const struct plan *p, uint64_t now_us);
/* No message will be due any more. */
bool plan_is_over(const struct plan *p, uint64_t now_us);
/* Microseconds until the next message is due; UINT64_MAX where none will be. */
uint64_t plan_wait_us(const struct plan *p, uint64_t now_us);
/* Messages that fell due before now_us, or before the end, and were never taken. */
uint64_t plan_missed(const struct plan *p, uint64_t now_us);
