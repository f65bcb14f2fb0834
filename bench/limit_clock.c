/* SPDX-License-Identifier: Apache-2.0 */
#include "limit.h"

#include <time.h>

double limit_cpu_s(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}
