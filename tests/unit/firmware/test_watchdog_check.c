/* SPDX-License-Identifier: Apache-2.0 */
/* Is a check's end told rightly, and is nothing of it left, also where it hangs with children? */
#include "../cmocka_all.h"

#include "watchdog_check.h"
#include "watchdog_device.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static bool run(char **words)
{
    struct watchdog_check check;

    assert_int_equal(watchdog_check_start(words, &check), ERR_OK);
    struct pollfd fd = {.fd = check.pidfd, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 60000), 1);
    bool well = watchdog_check_end(&check);
    assert_int_equal(check.pid, 0);
    assert_int_equal(check.pidfd, -1);
    return well;
}

static void status_0_is_well(void **state)
{
    char *good[] = {"true", NULL}, *bad[] = {"sh", "-c", "echo noise; exit 3", NULL};
    char *dead[] = {"sh", "-c", "kill -9 $$", NULL};

    assert_true(run(good));
    assert_false(run(bad));
    assert_false(run(dead));
}

static void what_can_not_start_is_told(void **state)
{
    char *words[] = {"/no/such/program", NULL};
    struct watchdog_check check;

    assert_int_equal(watchdog_check_start(words, &check), ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(check.pid, 0);
}

static void all_of_it_is_killed(void **state)
{
    char *words[] = {"sh", "-c", "sleep 1000 & sleep 1000", NULL};
    struct watchdog_check check;

    assert_int_equal(watchdog_check_start(words, &check), ERR_OK);
    pid_t group = check.pid;
    watchdog_check_kill(&check);
    assert_false(watchdog_check_end(&check));
    /* Its child is an orphan now, which init, or who stands in for it, takes away. */
    for (int i = 0; i < 600 && kill(-group, 0) == 0; i++)
        usleep(100000);
    assert_true(kill(-group, 0) != 0 || errno == ESRCH);
    watchdog_check_kill(&check); /* there is none: nothing happens */
}

/* Its signals are not ours: a check that is asked to end does. */
static void signals_are_not_blocked_in_it(void **state)
{
    char *words[] = {"sh", "-c", "kill -TERM $$; exit 0", NULL};
    sigset_t set, old;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &set, &old), 0);
    assert_false(run(words));
    assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

static void what_is_no_watchdog_is_not_taken_for_one(void **state)
{
    struct watchdog_device device;

    assert_int_equal(watchdog_device_open("/dev/null", 60, &device), ERR_SYSTEM);
    assert_int_equal(errno, ENOTTY);
    assert_int_equal(device.fd, -1);
    watchdog_device_close(&device);
    assert_int_equal(watchdog_device_open("/no/such/device", 60, &device), ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_0_is_well),
        cmocka_unit_test(what_can_not_start_is_told),
        cmocka_unit_test(all_of_it_is_killed),
        cmocka_unit_test(signals_are_not_blocked_in_it),
        cmocka_unit_test(what_is_no_watchdog_is_not_taken_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
