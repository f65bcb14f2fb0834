/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a relay costs here with our own records and with the kernel's: some MiB through a dataplane
 * of each kind, from a connection on loopback to another, TLS 1.3 with AES-128-GCM on both; the CPU
 * time of the relaying thread alone is counted. It takes about a second, and two threads for the far
 * ends, which are gone when it returns. Never in a worker.
 */
#pragma once

#include "record_choice.h"

enum { RECORD_MEASURE_MS = 30000 }; /* at most, on a slow machine, or where one hangs */

/* A way that the kernel does not have, by ktls, costs 0 and so does one that it did not grant all
 * the same, or that did not come to its end. *ret_whole: there was none of the latter two, so that
 * the costs are worth keeping. ERR_SYSTEM where not even our own records could be measured. */
int record_measure(const struct platform_ktls *ktls, struct record_cost *ret,
                   bool *ret_whole) ERR_CHECK;
