/* SPDX-License-Identifier: Apache-2.0 */
/* What libFuzzer, and fuzz_main.c in its place, call with one input; it returns 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
