/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "plan.h"

static void closed_loop_is_always_due(void **state)
{
    struct plan p = {.start_us = 1000, .end_us = 2000, .messages = 2};
    uint64_t number, intended;

    (void)state;
    assert_true(plan_take(&p, 1100, &number, &intended));
    assert_int_equal(number, 0);
    assert_int_equal(intended, 1100);
    assert_int_equal(plan_wait_us(&p, 1200), 0);
    assert_true(plan_take(&p, 1999, &number, &intended));
    assert_true(plan_is_over(&p, 1999));
    assert_false(plan_take(&p, 1999, &number, &intended));
    assert_true(plan_wait_us(&p, 1999) == UINT64_MAX);
}

/* 1000 a second: one a millisecond, whatever the receiver does. */
static void open_loop_keeps_its_schedule(void **state)
{
    struct plan p = {.start_us = 1000, .end_us = 1000 + 10000, .rate = 1000, .messages = 100};
    uint64_t number, intended;

    (void)state;
    assert_true(plan_take(&p, 1000, &number, &intended));
    assert_false(plan_take(&p, 1500, &number, &intended));
    assert_int_equal(plan_wait_us(&p, 1500), 500);
    /* The receiver stalled: what fell due meanwhile keeps its intended starts. */
    for (uint64_t i = 1; i <= 5; i++) {
        assert_true(plan_take(&p, 6000, &number, &intended));
        assert_int_equal(number, i);
        assert_int_equal(intended, 1000 + i * 1000);
    }
    assert_false(plan_take(&p, 6000, &number, &intended));
    assert_int_equal(plan_missed(&p, 9000), 2);
    assert_false(plan_take(&p, 11000, &number, &intended)); /* the end */
    assert_int_equal(plan_missed(&p, 99000), 4);
    assert_true(plan_is_over(&p, 11000));
}

static void count_bounds_open_loop(void **state)
{
    struct plan p = {.end_us = UINT64_MAX, .rate = 10, .messages = 1};
    uint64_t number, intended;

    (void)state;
    assert_true(plan_take(&p, 0, &number, &intended));
    assert_true(plan_is_over(&p, 1));
    assert_int_equal(plan_missed(&p, 100000000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_loop_is_always_due),
        cmocka_unit_test(open_loop_keeps_its_schedule),
        cmocka_unit_test(count_bounds_open_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
