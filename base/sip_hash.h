/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson, Bernstein): where a table's keys are a peer's to choose, a key of our own
 * keeps it from steering where they land.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t sip_hash(const uint64_t key[2], const uint8_t *data, size_t len);
