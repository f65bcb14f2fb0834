/* SPDX-License-Identifier: Apache-2.0 */
/* Does the measurement come through here, with what this kernel can, and leave nothing behind? */
#include "../cmocka_all.h"

#include "record_measure.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static unsigned threads_left = UINT_MAX; /* that can be made */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *argument)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(thread, attr, start, argument);
}

static unsigned entries(const char *directory)
{
    DIR *dir = opendir(directory);
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Our own: the kernel keeps a ring's workers for some seconds, and shows them too. */
static unsigned threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char path[300], name[16] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fgets(name, sizeof(name), file))
            count += strncmp(name, "iou-", 4) != 0;
        if (file)
            fclose(file);
    }
    closedir(dir);
    return count;
}

/* One that was joined may stand there a little longer. */
static void threads_gone(unsigned before)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < 5000 && threads() != before; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(threads(), before);
}

static void each_way_has_its_cost(void **state)
{
    unsigned fds = entries("/proc/self/fd"), threads_before = threads();
    struct platform_ktls ktls;
    struct record_cost cost;
    bool whole;

    platform_ktls_probe(&ktls);
    assert_int_equal(record_measure(&ktls, &cost, &whole), 0);
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
    threads_gone(threads_before);
}

/* A way that the probe found and the dataplane was not granted is measured again at the next start.
 */
static void a_promise_that_is_not_kept_is_not_whole(void **state)
{
    struct platform_ktls ktls;
    struct record_cost cost;
    bool whole;

    platform_ktls_probe(&ktls);
    if (ktls.ulp)
        skip();
    ktls.ciphers[KTLS_TLS13_AES128].rx = true;
    assert_int_equal(record_measure(&ktls, &cost, &whole), 0);
    assert_false(whole);
    assert_true(cost.chunk_ns[RECORD_WAY_USER] > 0);
    assert_int_equal(cost.chunk_ns[RECORD_WAY_KERNEL_RX], 0);
}

static void without_threads_nothing_is_left_behind(void **state)
{
    unsigned fds = entries("/proc/self/fd"), threads_before = threads();
    struct record_cost cost;
    bool whole;

    for (unsigned last = 0; last < 2; last++) {
        threads_left = last;
        assert_int_equal(record_measure(&(struct platform_ktls){0}, &cost, &whole), ERR_SYSTEM);
        assert_false(whole);
        assert_int_equal(entries("/proc/self/fd"), fds);
        threads_gone(threads_before);
    }
    threads_left = UINT_MAX;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_has_its_cost),
        cmocka_unit_test(a_promise_that_is_not_kept_is_not_whole),
        cmocka_unit_test(without_threads_nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
