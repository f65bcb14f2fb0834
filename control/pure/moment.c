/* SPDX-License-Identifier: Apache-2.0 */
#include "moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const int64_t last_second = 253402300799; /* 9999-12-31T23:59:59Z */

static bool digits_take(const char **at, unsigned count, unsigned max, unsigned *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *ret = *ret * 10 + (unsigned)(**at - '0');
    }
    return *ret <= max;
}

static bool char_take(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

/* Days since 1970-01-01 of the Gregorian calendar. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    static const unsigned before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    unsigned last = year - (month <= 2); /* whose leap days are over */
    unsigned leaps = last / 4 - last / 100 + last / 400;
    unsigned leaps_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400;

    return ((int64_t)year - 1970) * 365 + leaps - leaps_1970 + before[month - 1] + day - 1;
}

static bool day_exists(unsigned year, unsigned month, unsigned day)
{
    int64_t next = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);

    return day > 0 && days_of(year, month, day) < next;
}

bool moment_read(const char *at, int64_t *ret)
{
    unsigned year, month, day, hour, minute, second, off_hour = 0, off_minute = 0;
    int sign = 1;

    if (!digits_take(&at, 4, 9999, &year) || year < 1970 || !char_take(&at, '-') ||
        !digits_take(&at, 2, 12, &month) || month == 0 || !char_take(&at, '-') ||
        !digits_take(&at, 2, 31, &day) || !day_exists(year, month, day) || !char_take(&at, 'T') ||
        !digits_take(&at, 2, 23, &hour) || !char_take(&at, ':') ||
        !digits_take(&at, 2, 59, &minute) || !char_take(&at, ':') ||
        !digits_take(&at, 2, 60, &second))
        return false;
    if (char_take(&at, '.')) {
        if (*at < '0' || *at > '9')
            return false;
        at += strspn(at, "0123456789");
    }
    if (!char_take(&at, 'Z')) {
        sign = *at == '-' ? -1 : 1;
        if ((*at != '+' && *at != '-') || (at++, !digits_take(&at, 2, 23, &off_hour)) ||
            (char_take(&at, ':'), !digits_take(&at, 2, 59, &off_minute)))
            return false;
    }
    *ret = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second -
           sign * (int64_t)(off_hour * 3600 + off_minute * 60);
    return *at == '\0';
}

char *moment_text(int64_t at, char out[MOMENT_TEXT])
{
    unsigned year, month, in_month;

    if (at < 0 || at > last_second)
        at = at < 0 ? 0 : last_second;
    int64_t day = at / 86400, second = at % 86400;
    year = (unsigned)(1970 + day / 366);
    while (days_of(year + 1, 1, 1) <= day)
        year++;
    for (month = 12; days_of(year, month, 1) > day; month--)
        ;
    in_month = (unsigned)(day - days_of(year, month, 1)) + 1;
    snprintf(out, MOMENT_TEXT, "%04u-%02u-%02uT%02u:%02u:%02uZ", year, month, in_month,
             (unsigned)(second / 3600), (unsigned)(second / 60 % 60), (unsigned)(second % 60));
    return out;
}
