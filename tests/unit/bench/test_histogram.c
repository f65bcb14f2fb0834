/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "histogram.h"

#include <stdlib.h>
#include <string.h>

static struct histogram h;

static void empty_is_zero(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    assert_int_equal(histogram_quantile(&h, 99900), 0);
    assert_int_equal(histogram_mean(&h), 0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    for (uint64_t v = 1; v <= 200; v++)
        histogram_record(&h, v);
    assert_int_equal(histogram_quantile(&h, 50000), 100);
    assert_int_equal(histogram_quantile(&h, 90000), 180);
    assert_int_equal(histogram_quantile(&h, 99900), 200);
    assert_int_equal(histogram_quantile(&h, 100000), 200);
    assert_int_equal(histogram_quantile(&h, 0), 1);
    assert_int_equal(histogram_mean(&h), 100);
}

static void large_values_are_within_a_hundredth(void **state)
{
    (void)state;
    for (uint64_t v = 1; v < UINT64_C(1) << 41; v = v * 3 / 2 + 1) {
        memset(&h, 0, sizeof(h));
        histogram_record(&h, v);
        histogram_record(&h, v * 2);
        uint64_t low = histogram_quantile(&h, 50000);
        assert_true(low >= v && low <= v + v / 100);
        assert_true(histogram_quantile(&h, 100000) == v * 2);
    }
}

static void absurd_values_are_capped(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    histogram_record(&h, UINT64_MAX);
    assert_true(h.max == (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1);
    assert_true(histogram_quantile(&h, 50000) == h.max);
}

/* One slow message in a thousand is p99.9's business, not p99's. */
static void the_tail_is_seen(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    for (unsigned i = 0; i < 998; i++)
        histogram_record(&h, 10);
    histogram_record(&h, 1000000);
    histogram_record(&h, 1000000);
    assert_int_equal(histogram_quantile(&h, 99000), 10);
    assert_int_equal(histogram_quantile(&h, 99900), 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_zero),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(large_values_are_within_a_hundredth),
        cmocka_unit_test(absurd_values_are_capped),
        cmocka_unit_test(the_tail_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
