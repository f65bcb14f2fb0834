/* SPDX-License-Identifier: Apache-2.0 */
/* What the measurements of `postern-bench limit` are, and what they add up to. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum limit_part {
#define LIMIT_PART(name, key, unit, text) LIMIT_PART_##name,
#include "limit_part.def"
#undef LIMIT_PART
    LIMIT_PART_COUNT
};

enum limit_unit { LIMIT_UNIT_S_GB, LIMIT_UNIT_MS };

/* Each part's name in JSON, its text, and the unit it is reported in. */
const char *limit_part_key(enum limit_part part);
const char *limit_part_text(enum limit_part part);
enum limit_unit limit_part_unit(enum limit_part part);
/* That unit in one CPU-second a byte, or a handshake. */
double limit_part_scale(enum limit_part part);

/* Sorts values. The median of an even count is the mean of the two in the middle. */
double limit_median(double *values, size_t count);

struct limit_sum {
    double bytes_s;   /* userspace limit: bytes a CPU-second, 1 / (c_p + 1/D + 1/E) */
    double message_s; /* CPU-seconds of one message with its share of a server's full handshake;
                         the connection to the next hop is kept and costs none */
    double kernel_bytes_s; /* with kernel records and splice; 0 where this kernel has no TLS */
    double relay_share; /* of that limit which the dataplane alone reaches with user records */
};

/* parts: CPU-seconds a byte or a handshake, by enum limit_part. */
void limit_sum(const double *parts, uint64_t size, uint64_t per_session, struct limit_sum *ret);
