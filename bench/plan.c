/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

static uint64_t due_us(const struct plan *p, uint64_t number)
{
    return p->rate > 0 ? p->start_us + (uint64_t)((double)number * 1e6 / p->rate) : p->start_us;
}

bool plan_is_over(const struct plan *p, uint64_t now_us)
{
    return p->taken >= p->messages || now_us >= p->end_us || due_us(p, p->taken) >= p->end_us;
}

bool plan_is_due(const struct plan *p, uint64_t now_us)
{
    return !plan_is_over(p, now_us) && due_us(p, p->taken) <= now_us;
}

bool plan_take(struct plan *p, uint64_t now_us, uint64_t *ret_number, uint64_t *ret_intended_us)
{
    if (!plan_is_due(p, now_us))
        return false;
    *ret_number = p->taken;
    *ret_intended_us = p->rate > 0 ? due_us(p, p->taken) : now_us;
    p->taken++;
    return true;
}

uint64_t plan_wait_us(const struct plan *p, uint64_t now_us)
{
    if (plan_is_over(p, now_us))
        return UINT64_MAX;
    uint64_t due = due_us(p, p->taken);
    return due > now_us ? due - now_us : 0;
}

uint64_t plan_missed(const struct plan *p, uint64_t now_us)
{
    uint64_t until = now_us < p->end_us ? now_us : p->end_us;

    if (p->rate <= 0 || until <= p->start_us)
        return 0;
    uint64_t due = (uint64_t)((double)(until - p->start_us) * p->rate / 1e6);
    if (due > p->messages)
        due = p->messages;
    return due > p->taken ? due - p->taken : 0;
}
