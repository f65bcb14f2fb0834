/* SPDX-License-Identifier: Apache-2.0 */
/* Does the measurement come through here, with what this kernel can, and leave nothing behind? */
#include "../cmocka_all.h"

#include "record_measure.h"

#include <dirent.h>
#include <stdio.h>

static unsigned entries(const char *directory)
{
    DIR *dir = opendir(directory);
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void each_way_has_its_cost(void **state)
{
    unsigned fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    struct platform_ktls ktls;
    struct record_cost cost;
    bool whole;

    platform_ktls_probe(&ktls);
    assert_int_equal(record_measure(&cost, &whole), 0);
    assert_true(whole);
    for (int i = 0; i < RECORD_WAY_COUNT; i++) {
        bool kernel = record_way_rx((enum record_way)i) || record_way_tx((enum record_way)i);
        printf("# %-10s chunks %llu DATA %llu ns/MiB, hand-off %llu ns\n",
               record_way_word((enum record_way)i), (unsigned long long)cost.chunk_ns[i],
               (unsigned long long)cost.data_ns[i], (unsigned long long)cost.switch_ns[i]);
        assert_int_equal(cost.chunk_ns[i] > 0, !kernel || ktls.ulp);
        assert_int_equal(cost.data_ns[i] > 0, !kernel || ktls.ulp);
    }
    assert_int_equal(entries("/proc/self/fd"), fds);
    assert_int_equal(entries("/proc/self/task"), threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_has_its_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
