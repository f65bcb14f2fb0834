/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded before a program's libraries (LD_PRELOAD), it moves the program's calendar ahead by
 * POSTERN_AHEAD_S seconds. The monotonic clocks are left alone, and so are all timers: those of
 * event loops and io_uring's. (libfaketime moves a timerfd's timers as well, which then are due at
 * once.)
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t ahead_s;

static void __attribute__((constructor)) begin(void)
{
    const char *text = getenv("POSTERN_AHEAD_S");

    ahead_s = text ? (time_t)strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int result = (int)syscall(SYS_clock_gettime, clock, ret);

    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret->tv_sec += ahead_s;
    return result;
}

time_t time(time_t *ret)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    *ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
