/* SPDX-License-Identifier: Apache-2.0 */
/* Is the watchdog fed exactly while the gateway is well, or was a short while ago? */
#include "../cmocka_all.h"

#include "watchdog.h"

#include <string.h>

static const struct watchdog_settings settings = {
    .interval_ms = 10000, .check_timeout_ms = 5000, .patience_ms = 60000, .feed_ms = 15000};

static struct watchdog w;

static void begin(void)
{
    watchdog_init(&w, &settings, 1000);
    assert_int_equal(watchdog_next(&w), 1000);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 1000), WATCHDOG_CHECK);
}

/* Healthy at 2000, the next check due at 12000. */
static void begin_well(void)
{
    begin();
    assert_int_equal(watchdog_step(&w, WATCHDOG_GOOD, 2000),
                     WATCHDOG_ARM | WATCHDOG_FEED | WATCHDOG_TELL);
    assert_int_equal(w.state, WATCHDOG_HEALTHY);
}

static void nothing_is_armed_before_the_gateway_was_well(void **state)
{
    begin();
    for (uint64_t now = 2000; now < 10000000; now += 11000) {
        assert_int_equal(watchdog_step(&w, WATCHDOG_BAD, now), 0);
        assert_int_equal(w.state, WATCHDOG_WAITING);
        assert_int_equal(watchdog_next(&w), now + 10000);
        assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, now + 9999), 0);
        assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, now + 10000), WATCHDOG_CHECK);
    }
}

static void a_well_gateway_is_fed_for(void **state)
{
    unsigned feeds = 0, checks = 0;

    begin_well();
    for (uint64_t now = 2001; now <= 2000 + 600000; now++) {
        unsigned acts = watchdog_step(&w, WATCHDOG_TICK, now);
        feeds += (acts & WATCHDOG_FEED) != 0;
        if (acts & WATCHDOG_CHECK) {
            checks++;
            assert_int_equal(watchdog_step(&w, WATCHDOG_GOOD, now), 0);
        }
        assert_true(watchdog_next(&w) > now);
    }
    assert_int_equal(feeds, 600000 / 15000);
    assert_int_equal(checks, 600000 / 10000);
    assert_int_equal(w.state, WATCHDOG_HEALTHY);
}

static void one_bad_check_is_forgiven(void **state)
{
    begin_well();
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 12000), WATCHDOG_CHECK);
    assert_int_equal(watchdog_step(&w, WATCHDOG_BAD, 13000), WATCHDOG_TELL);
    assert_int_equal(w.state, WATCHDOG_SICK);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 17000), WATCHDOG_FEED);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 23000), WATCHDOG_CHECK);
    assert_int_equal(watchdog_step(&w, WATCHDOG_GOOD, 24000), WATCHDOG_TELL);
    assert_int_equal(w.state, WATCHDOG_HEALTHY);
}

static void patience_ends(void **state)
{
    uint64_t last = 0;

    begin_well();
    for (uint64_t now = 2001; now < 200000; now++) {
        unsigned acts = watchdog_step(&w, WATCHDOG_TICK, now);
        if (acts & WATCHDOG_FEED)
            last = now;
        if (acts & WATCHDOG_CHECK)
            (void)watchdog_step(&w, WATCHDOG_BAD, now);
        if (acts & WATCHDOG_TELL)
            assert_int_equal(now, 62000);
        assert_int_equal(w.state == WATCHDOG_LOST, now >= 62000);
    }
    assert_int_equal(last, 47000);

    /* In time after all: fed at once. */
    assert_true(w.checking == false);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 300000), WATCHDOG_CHECK);
    assert_int_equal(watchdog_step(&w, WATCHDOG_GOOD, 300100), WATCHDOG_FEED | WATCHDOG_TELL);
    assert_int_equal(w.state, WATCHDOG_HEALTHY);
}

static void a_check_that_hangs_is_killed_and_bad(void **state)
{
    begin_well();
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 12000), WATCHDOG_CHECK);
    assert_int_equal(watchdog_next(&w), 17000);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 17000), WATCHDOG_KILL | WATCHDOG_FEED);
    assert_int_equal(watchdog_next(&w), 32000); /* no second kill */
    /* That it ended with success as it was killed does not count. */
    assert_int_equal(watchdog_step(&w, WATCHDOG_GOOD, 17100), WATCHDOG_TELL);
    assert_int_equal(w.state, WATCHDOG_SICK);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 27100), WATCHDOG_CHECK);
}

/* A process in the kernel's hands, as with a disk that is gone: no other is started, and the
 * machine is let go. */
static void a_check_that_can_not_be_killed_ends_in_a_reset(void **state)
{
    begin_well();
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 12000), WATCHDOG_CHECK);
    for (uint64_t now = 17000; now < 62000; now += 1000)
        assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, now) & WATCHDOG_CHECK, 0);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 62000), WATCHDOG_TELL);
    assert_int_equal(w.state, WATCHDOG_LOST);
    assert_true(watchdog_next(&w) == UINT64_MAX);
    assert_int_equal(watchdog_step(&w, WATCHDOG_TICK, 9999999), 0);
}

static void ends_of_no_check_mean_nothing(void **state)
{
    begin_well();
    assert_int_equal(watchdog_step(&w, WATCHDOG_BAD, 3000), 0);
    assert_int_equal(w.state, WATCHDOG_HEALTHY);
    assert_int_equal(watchdog_step(&w, WATCHDOG_GOOD, 4000), 0);
    assert_int_equal(w.healthy_at, 2000);
}

static void states_have_texts(void **state)
{
    for (int s = WATCHDOG_WAITING; s <= WATCHDOG_LOST; s++)
        assert_true(strlen(watchdog_state_text((enum watchdog_state)s)) > 0);
    assert_non_null(strstr(watchdog_state_text(WATCHDOG_LOST), "resets the machine"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_armed_before_the_gateway_was_well),
        cmocka_unit_test(a_well_gateway_is_fed_for),
        cmocka_unit_test(one_bad_check_is_forgiven),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(a_check_that_hangs_is_killed_and_bad),
        cmocka_unit_test(a_check_that_can_not_be_killed_ends_in_a_reset),
        cmocka_unit_test(ends_of_no_check_mean_nothing),
        cmocka_unit_test(states_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
