/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel records, over kernel TCP on loopback, with far ends that have our own records. Skipped
 * where the kernel has no TLS: tests/vm runs it where one has.
 */
#include "../cmocka_all.h"

#include "dp_bridge.h"

#include <stdio.h>

static const struct lab_tls *const kinds = &lab_kinds[1]; /* without plaintext */
enum { KINDS = LAB_KINDS - 1 };

static void bodies_cross_from_the_hand_off_on(void **state)
{
    static const size_t sizes[] = {5, 4096, 3000000};

    for (unsigned ways = 1; ways < 4; ways++) {
        const struct dp_conf conf = {.max_legs = 16,
                                     .max_relays = 4,
                                     .kernel_rx = {.on = ways & 1},
                                     .kernel_tx = {.on = ways & 2}};
        for (size_t a = 0; a < KINDS; a++) {
            for (size_t s = 0; s < 3; s++)
                bridge_whole(&conf, &kinds[a], &kinds[(a + ways) % KINDS], sizes[s],
                             a % 2 ? 16384 : 1400, (unsigned)a);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_cross_from_the_hand_off_on),
    };
    if (!lab_kernel_has_tls()) {
        puts("no kernel TLS here");
        return LAB_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
