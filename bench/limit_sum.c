/* SPDX-License-Identifier: Apache-2.0 */
#include "limit_sum.h"

#include <stdlib.h>

static const struct {
    const char *key, *text;
    enum limit_unit unit;
} rows[] = {
#define LIMIT_PART(name, key, unit, text) [LIMIT_PART_##name] = {key, text, LIMIT_UNIT_##unit},
#include "limit_part.def"
#undef LIMIT_PART
};

static const double scales[] = {[LIMIT_UNIT_S_GB] = 1e9, [LIMIT_UNIT_MS] = 1e3};

const char *limit_part_key(enum limit_part part)
{
    return rows[part].key;
}

const char *limit_part_text(enum limit_part part)
{
    return rows[part].text;
}

enum limit_unit limit_part_unit(enum limit_part part)
{
    return rows[part].unit;
}

double limit_part_scale(enum limit_part part)
{
    return scales[rows[part].unit];
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double limit_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

void limit_sum(const double *parts, uint64_t size, uint64_t per_session, struct limit_sum *ret)
{
    double byte_s = parts[LIMIT_PART_RELAY] + parts[LIMIT_PART_OPEN] + parts[LIMIT_PART_SEAL];

    *ret = (struct limit_sum){
        .bytes_s = 1 / byte_s,
        .message_s = (double)size * byte_s + parts[LIMIT_PART_SERVER_FULL] / (double)per_session,
        .kernel_bytes_s = parts[LIMIT_PART_KERNEL] > 0 ? 1 / parts[LIMIT_PART_KERNEL] : 0,
        .relay_share = byte_s / parts[LIMIT_PART_RELAY_TLS],
    };
}
