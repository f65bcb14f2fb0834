/* SPDX-License-Identifier: Apache-2.0 */
#include "shared.h"

#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct shared *s;

    if (shared_new(&s) != 0)
        return -1;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    shared_free(*state);
    return 0;
}

static void counters_sum_over_columns_and_survive_a_worker(void **state)
{
    struct shared *s = *state;
    struct shared_column a = {s, 0}, b = {s, SHARED_COLUMN_SUPERVISOR};

    counter_add(&a, COUNTER_SESSIONS, 3);
    counter_add(&b, COUNTER_SESSIONS, 4);
    counter_add(&a, COUNTER_SESSIONS_OPEN, 2);
    counter_add(&b, COUNTER_SESSIONS_OPEN, 1);
    counter_set(&a, COUNTER_BYTES_IN, 100);
    counter_session_end(&a, SESSION_END_QUIT);
    assert_int_equal(counter_sum(s, COUNTER_SESSIONS), 7);
    shared_clear_column(s, 0);
    assert_int_equal(counter_sum(s, COUNTER_SESSIONS), 7);
    assert_int_equal(counter_sum(s, COUNTER_SESSIONS_OPEN), 1);
    /* The next worker of the column starts from zero; the sum never goes back. */
    counter_set(&a, COUNTER_BYTES_IN, 5);
    assert_int_equal(counter_sum(s, COUNTER_BYTES_IN), 105);
    assert_int_equal(counter_session_end_sum(s, SESSION_END_QUIT), 1);
}

static void holds_count_across_columns(void **state)
{
    struct shared *s = *state;
    struct shared_column a = {s, 1}, b = {s, 2};
    uint64_t key = shared_text_key(s, SPAN_LIT("next.example"));

    assert_false(shared_hold(&a, SHARED_HOP, key, 0));
    assert_true(shared_hold(&a, SHARED_HOP, key, 2));
    assert_true(shared_hold(&b, SHARED_HOP, key, 2));
    assert_false(shared_hold(&a, SHARED_HOP, key, 2));
    assert_false(shared_hold(&b, SHARED_HOP, key, 2));
    assert_int_equal(shared_held(s, SHARED_HOP, key), 2);
    assert_int_equal(shared_held(s, SHARED_CLIENT_ADDRESS, key), 0);
    shared_drop(&a, SHARED_HOP, key);
    assert_true(shared_hold(&b, SHARED_HOP, key, 2));
    shared_clear_column(s, 2);
    assert_int_equal(shared_held(s, SHARED_HOP, key), 0);
}

static void a_full_window_counts_as_held(void **state)
{
    struct shared *s = *state;
    struct shared_column a = {s, 0};
    unsigned taken = 0;

    for (uint64_t i = 0; i < 200000; i++)
        taken += shared_hold(&a, SHARED_CLIENT_ADDRESS, i, 1);
    assert_in_range(taken, 60000, 65536);
    shared_clear_column(s, 0);
    assert_true(shared_hold(&a, SHARED_CLIENT_ADDRESS, 1, 1));
}

static void address_keys_are_v4_address_and_v6_prefix(void **state)
{
    struct shared *s = *state;
    union net_addr a, b;

    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.1"), 1, &a), 0);
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.1"), 2, &b), 0);
    assert_true(shared_address_key(s, &a) == shared_address_key(s, &b));
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.2"), 1, &b), 0);
    assert_false(shared_address_key(s, &a) == shared_address_key(s, &b));
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("2001:db8::1"), 1, &a), 0);
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("2001:db8::ffff:0:0:1"), 1, &b), 0);
    assert_true(shared_address_key(s, &a) == shared_address_key(s, &b));
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("2001:db8:0:1::1"), 1, &b), 0);
    assert_false(shared_address_key(s, &a) == shared_address_key(s, &b));
}

/* Several processes take and drop one key as fast as they can: the limit is never passed, and
 * nothing is left at the end. */
static void processes_never_pass_the_limit(void **state)
{
    enum { PROCESSES = 4, ROUNDS = 20000, MAX = 2 };
    struct shared *s = *state;
    pid_t pids[PROCESSES];

    for (unsigned p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        assert_true(pids[p] >= 0);
        if (pids[p] == 0) {
            struct shared_column c = {s, p};
            for (unsigned i = 0; i < ROUNDS; i++) {
                if (!shared_hold(&c, SHARED_HOP, 42, MAX))
                    continue;
                /* Others may stand above it only for the moment before they step back. */
                if (shared_held(s, SHARED_HOP, 42) > MAX + PROCESSES)
                    _exit(1);
                shared_drop(&c, SHARED_HOP, 42);
            }
            _exit(0);
        }
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        int status;
        assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(shared_held(s, SHARED_HOP, 42), 0);
}

static void metrics_have_help_type_and_value(void **state)
{
    struct shared *s = *state;
    struct shared_column a = {s, 0};
    struct buf out;

    buf_init(&out, 0);
    counter_add(&a, COUNTER_MESSAGES_RELAYED, 12);
    counter_add(&a, COUNTER_SESSIONS_OPEN, -1);
    counter_session_end(&a, SESSION_END_OVERLOAD);
    assert_int_equal(shared_write_metrics(s, &out), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    const char *text = (const char *)buf_span(&out).ptr;
    assert_non_null(strstr(text, "# TYPE postern_messages_relayed_total counter\n"
                                 "postern_messages_relayed_total 12\n"));
    assert_non_null(strstr(text, "# TYPE postern_sessions_open gauge\npostern_sessions_open 0\n"));
    assert_non_null(strstr(text, "postern_sessions_ended_total{reason=\"overload\"} 1\n"));
    buf_release(&out);
}

static uint64_t rekey_key(unsigned n) /* all near one place, all different */
{
    return (uint64_t)(n + 1) << 32 | 7;
}

static void peers_that_rekey_are_known_for_a_day(void **state)
{
    struct shared *s = *state;
    const uint64_t now_s = 1000, day_s = 24 * 60 * 60;

    assert_false(shared_rekeys(s, rekey_key(0), now_s));
    shared_rekeyed(s, rekey_key(0), now_s);
    assert_true(shared_rekeys(s, rekey_key(0), now_s));
    assert_true(shared_rekeys(s, rekey_key(0), now_s + day_s - 1));
    assert_false(shared_rekeys(s, rekey_key(0), now_s + day_s));
    assert_false(shared_rekeys(s, rekey_key(1), now_s));
    /* Told again: its day begins anew, in the same entry. */
    shared_rekeyed(s, rekey_key(0), now_s + 10);
    assert_true(shared_rekeys(s, rekey_key(0), now_s + day_s));
    assert_int_equal(shared_rekeyed_count(s, now_s + 10), 1);
}

static void the_table_of_peers_is_bounded(void **state)
{
    struct shared *s = *state;
    unsigned known = 0;

    for (unsigned i = 0; i < 100; i++)
        shared_rekeyed(s, rekey_key(i), 1000 + i);
    for (unsigned i = 0; i < 100; i++)
        known += shared_rekeys(s, rekey_key(i), 1100);
    assert_int_equal(known, 8);
    assert_int_equal(shared_rekeyed_count(s, 1100), 8);
    assert_true(shared_rekeys(s, rekey_key(99), 1100)); /* the newest stay */
    assert_true(shared_rekeys(s, rekey_key(92), 1100));
    assert_false(shared_rekeys(s, rekey_key(91), 1100));
}

static void what_was_told_is_told_again_a_day_later(void **state)
{
    struct shared *s = *state;
    const uint64_t day_s = 24 * 60 * 60;

    assert_false(shared_told(s, rekey_key(0), 1000));
    assert_false(shared_told(s, rekey_key(1), 1000));
    assert_true(shared_told(s, rekey_key(0), 1000));
    assert_true(shared_told(s, rekey_key(0), 1000 + day_s - 1)); /* which begins no new day */
    assert_false(shared_told(s, rekey_key(0), 1000 + day_s));
    assert_true(shared_told(s, rekey_key(0), 1000 + day_s + 1));
}

static unsigned logins_until_over(struct shared *s, uint64_t key, unsigned max, uint64_t now_s)
{
    unsigned n = 0;

    for (; !shared_logins_over(s, key, max, now_s) && n < 10000; n++)
        shared_login_failed(s, key, max, now_s);
    return n;
}

/* So many at once, each of them forgotten after its part of an hour, and no address for another. */
static void failed_logins_are_bounded(void **state)
{
    static const unsigned limits[] = {1, 2, 7, 60, 3600};
    struct shared *s = *state;

    for (unsigned i = 0; i < 5; i++) {
        unsigned max = limits[i], part_s = 3600 / max;
        uint64_t now_s = 100000, key = rekey_key(i);
        assert_int_equal(logins_until_over(s, key, max, now_s), max);
        assert_false(shared_logins_over(s, rekey_key(99), max, now_s));
        assert_true(shared_logins_over(s, key, max, now_s + part_s - (3600 - part_s * max) - 1));
        assert_int_equal(logins_until_over(s, key, max, now_s + part_s), 1);
        assert_int_equal(logins_until_over(s, key, max, now_s + 3 * 3600), max);
    }
    assert_false(shared_rekeys(s, rekey_key(0), 100000)); /* a table of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counters_sum_over_columns_and_survive_a_worker, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(holds_count_across_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_window_counts_as_held, setup, teardown),
        cmocka_unit_test_setup_teardown(address_keys_are_v4_address_and_v6_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(processes_never_pass_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(peers_that_rekey_are_known_for_a_day, setup, teardown),
        cmocka_unit_test_setup_teardown(the_table_of_peers_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_told_is_told_again_a_day_later, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_logins_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_have_help_type_and_value, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
