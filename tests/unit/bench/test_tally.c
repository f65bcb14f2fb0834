/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "tally.h"

static void each_number_counts_once(void **state)
{
    struct tally t = {0};

    (void)state;
    for (uint64_t i = 0; i < 20000; i += 3)
        assert_int_equal(tally_add(&t, 5, i), TALLY_NEW);
    assert_int_equal(tally_add(&t, 5, 3), TALLY_DUPLICATE);
    assert_int_equal(tally_add(&t, 5, 4), TALLY_NEW);
    assert_int_equal(tally_add(&t, 6, 3), TALLY_NEW);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.runs[0].unique, 6668);
    assert_int_equal(t.runs[0].duplicates, 1);
    tally_free(&t);
}

static void memory_is_bounded(void **state)
{
    struct tally t = {0};

    (void)state;
    assert_int_equal(tally_add(&t, 1, TALLY_NUMBERS), TALLY_BEYOND);
    for (uint64_t run = 1; run <= TALLY_RUNS; run++)
        assert_int_equal(tally_add(&t, run, 0), TALLY_NEW);
    assert_int_equal(tally_add(&t, TALLY_RUNS + 1, 0), TALLY_BEYOND);
    tally_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_counts_once),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
