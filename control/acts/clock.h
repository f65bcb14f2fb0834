/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time that goes on whatever is done to the wall's clock, for processes without a dataplane: a
 * worker has dp_now_ms (dp.h).
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* Of any clock of this machine; the others are of CLOCK_MONOTONIC. */
uint64_t clock_ns(clockid_t clock);
uint64_t clock_us(void);
uint64_t clock_ms(void);
