/* SPDX-License-Identifier: Apache-2.0 */
/* Is the administrator warned of what is wrong, worst first, and of nothing else? */
#include "../cmocka_all.h"

#include "platform.h"

#include <stdio.h>

static struct platform p; /* too large for a stack */

static void sound(void)
{
    memset(&p, 0, sizeof(p));
    p.nics_len = 1;
    p.nics[0].device = true;
    p.host.memory.total_kb = 8 << 20;
    p.host.clock.plausible = true;
    p.host.tpm = (struct platform_tpm){.there = true, .version = 2};
    p.host.watchdogs_len = 1;
    p.host.disks_len = 1;
    p.host.disks[0].health = DISK_GOOD;
}

static void line_is(const struct platform_warnings *w, enum platform_grade grade, const char *text)
{
    char line[PLATFORM_WARNING_TEXT + 64];

    assert_int_equal(platform_warn_line(w, line, sizeof(line)), grade);
    assert_string_equal(line, text);
}

static void a_sound_machine_is_quiet(void **state)
{
    struct platform_warnings w;

    sound();
    platform_warn(&p, &w);
    assert_int_equal(w.len, 0);
    line_is(&w, PLATFORM_LACK, "nothing is amiss with the hardware");
}

static void the_worst_comes_first(void **state)
{
    struct platform_warnings w;

    sound();
    p.nics[0].device = false;
    p.host.clock.plausible = false;
    snprintf(p.host.clock.now, sizeof(p.host.clock.now), "1970-01-01 00:00:00Z");
    snprintf(p.host.clock.why, sizeof(p.host.clock.why), "set it");
    p.host.disks_len = 2;
    p.host.disks[0] = (struct platform_disk){.name = "sda", .health = DISK_WARNS, .why = "hot"};
    p.host.disks[1] =
        (struct platform_disk){.name = "nvme0n1", .health = DISK_FAILS, .why = "worn"};
    p.host.memory.total_kb = 512 << 10;
    p.host.tpm.version = 1;
    p.host.watchdogs_len = 0;
    platform_warn(&p, &w);
    assert_int_equal(w.len, 7);
    assert_string_equal(w.lines[0], "the clock says 1970-01-01 00:00:00Z, set it");
    assert_string_equal(w.lines[1], "disk nvme0n1 fails: worn");
    assert_non_null(strstr(w.lines[2], "no network card"));
    assert_string_equal(w.lines[3], "disk sda warns: hot");
    assert_non_null(strstr(w.lines[4], "512 MB of memory"));
    assert_non_null(strstr(w.lines[5], "version 2 is needed"));
    assert_non_null(strstr(w.lines[6], "no watchdog"));
    p.host.tpm.there = false;
    platform_warn(&p, &w);
    assert_non_null(strstr(w.lines[5], "there is no TPM"));
}

/* What a machine was made without is no more than said, and only where nothing is worse. */
static void one_line_says_the_worst(void **state)
{
    struct platform_warnings w;

    sound();
    p.host.watchdogs_len = 0;
    platform_warn(&p, &w);
    line_is(&w, PLATFORM_LACK, "there is no watchdog: a machine that hangs stays so");
    p.host.disks[0] = (struct platform_disk){.name = "sda", .health = DISK_WARNS, .why = "hot"};
    platform_warn(&p, &w);
    line_is(&w, PLATFORM_AMISS, "disk sda warns: hot");
    p.host.disks[0].health = DISK_FAILS;
    snprintf(p.host.clock.why, sizeof(p.host.clock.why), "no server");
    platform_warn(&p, &w);
    line_is(&w, PLATFORM_FAULT, "disk sda fails: hot (and 1 more: postern-platform probe)");
}

static void there_is_an_end_to_warnings(void **state)
{
    struct platform_warnings w;

    sound();
    p.host.disks_len = PLATFORM_DISKS_MAX;
    for (size_t i = 0; i < p.host.disks_len; i++)
        p.host.disks[i].health = DISK_FAILS;
    platform_warn(&p, &w);
    assert_int_equal(w.len, PLATFORM_WARNINGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_machine_is_quiet),
        cmocka_unit_test(the_worst_comes_first),
        cmocka_unit_test(one_line_says_the_worst),
        cmocka_unit_test(there_is_an_end_to_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
