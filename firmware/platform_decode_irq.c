/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_nic.h"

#include <sys/types.h>

static const struct {
    enum nic_direction direction;
    const char *pattern;
} irq_names[] = {
#define NIC_IRQ(direction, pattern) {NIC_DIRECTION_##direction, pattern},
#include "nic_irq.def"
#undef NIC_IRQ
};

static size_t digits_of(struct span text)
{
    size_t n = 0;

    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    return n;
}

/* How many bytes of text that place of the pattern takes, -1 where it does not fit. */
static ssize_t step(char place, struct span text, struct span nic, unsigned *ret_queue)
{
    uint64_t queue;
    size_t n = 0;

    switch (place) {
    case '$':
        return span_equal(span_make(text.ptr, text.len < nic.len ? text.len : nic.len), nic)
                   ? (ssize_t)nic.len
                   : -1;
    case '#':
        n = digits_of(text);
        if (span_to_u64(span_make(text.ptr, n), UINT16_MAX, &queue) != ERR_OK)
            return -1;
        *ret_queue = (unsigned)queue;
        return (ssize_t)n;
    case '*':
        while (n < text.len && text.ptr[n] != '-')
            n++;
        return (ssize_t)n;
    default:
        return text.len > 0 && text.ptr[0] == (uint8_t)place ? 1 : -1;
    }
}

static bool matches(const char *pattern, struct span text, struct span nic, unsigned *ret_queue)
{
    for (; *pattern; pattern++) {
        ssize_t n = step(*pattern, text, nic, ret_queue);
        if (n < 0)
            return false;
        text = span_from(text, (size_t)n);
    }
    return text.len == 0;
}

bool platform_nic_irq_decode(struct span irq, struct span nic, unsigned *ret_queue,
                             enum nic_direction *ret_direction)
{
    for (size_t i = 0; i < sizeof(irq_names) / sizeof(irq_names[0]); i++) {
        if (matches(irq_names[i].pattern, irq, nic, ret_queue)) {
            *ret_direction = irq_names[i].direction;
            return true;
        }
    }
    return false;
}
