/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of postern-cost. Single use each; any failure of a system call ends the program. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

uint64_t cost_clock_ns(clockid_t clock);

/* Prints the CPU time of one relay of this kind, in nanoseconds. */
int cost_relay_main(const char *kind, size_t bytes);
