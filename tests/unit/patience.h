/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdlib.h>

/* How many times longer to wait than on a machine that is not emulated: what the environment says,
 * as it does to the tests in Python. */
static inline unsigned patience(void)
{
    const char *times = getenv("POSTERN_PATIENCE");
    unsigned long n = times ? strtoul(times, NULL, 10) : 1;

    return n >= 1 && n <= 100 ? (unsigned)n : 1;
}
