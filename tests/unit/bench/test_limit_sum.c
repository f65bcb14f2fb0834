/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "limit_sum.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9 * fabs(b);
}

static void a_median_is_the_middle(void **state)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, one[] = {7};

    (void)state;
    assert_true(limit_median(odd, 3) == 2);
    assert_true(limit_median(even, 4) == 2.5);
    assert_true(limit_median(one, 1) == 7);
    assert_true(odd[0] == 1 && odd[2] == 3); /* sorted: the report takes the ends */
}

static void costs_of_a_byte_add_up(void **state)
{
    double parts[LIMIT_PART_COUNT] = {0};
    struct limit_sum sum;

    (void)state;
    parts[LIMIT_PART_RELAY] = 0.5e-9;
    parts[LIMIT_PART_OPEN] = 0.3e-9;
    parts[LIMIT_PART_SEAL] = 0.2e-9;
    parts[LIMIT_PART_RELAY_TLS] = 1.25e-9;
    parts[LIMIT_PART_SERVER_FULL] = 400e-6;
    limit_sum(parts, 1000000, 100, &sum);
    assert_true(is_near(sum.bytes_s, 1e9));
    assert_true(is_near(sum.message_s, 1e-3 + 4e-6));
    assert_true(is_near(sum.relay_share, 0.8));
    assert_true(sum.kernel_bytes_s == 0);
    parts[LIMIT_PART_KERNEL] = 0.8e-9;
    limit_sum(parts, 1000000, 1, &sum);
    assert_true(is_near(sum.message_s, 1e-3 + 400e-6));
    assert_true(is_near(sum.kernel_bytes_s, 1.25e9));
}

static void each_part_has_its_row(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LIMIT_PART_COUNT; i++) {
        const char *key = limit_part_key(i);
        const char *unit = strrchr(key, '_');
        bool is_time = limit_part_unit(i) == LIMIT_UNIT_MS;
        assert_string_equal(unit, is_time ? "_ms" : "_gb");
        assert_true(limit_part_scale(i) == (is_time ? 1e3 : 1e9));
        assert_true(strlen(limit_part_text(i)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_median_is_the_middle),
        cmocka_unit_test(costs_of_a_byte_add_up),
        cmocka_unit_test(each_part_has_its_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
