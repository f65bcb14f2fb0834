/* SPDX-License-Identifier: Apache-2.0 */
/* Notices: are they listed worst first, as single printable lines, whoever wrote them? */
#include "../cmocka_all.h"

#include "system_notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[32];
static struct system_notice notices[SYSTEM_NOTICES_MAX];

static int setup(void **state)
{
    snprintf(root, sizeof(root), "/tmp/notice-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"network", "clock", "boot", "bad", "link", "empty"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s" SYSTEM_NOTICES "/%s", root, names[i]);
        (void)remove(path);
    }
    snprintf(path, sizeof(path), "%s" SYSTEM_NOTICES, root);
    while (strlen(path) >= strlen(root)) {
        (void)rmdir(path);
        *strrchr(path, '/') = '\0';
    }
    return access(root, F_OK) == 0;
}

static void file_make(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s" SYSTEM_NOTICES "/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void the_worst_is_first(void **state)
{
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 0);
    assert_int_equal(system_notice_set(root, "network", SYSTEM_NOTICE_WARNING, "no link"), 0);
    assert_int_equal(system_notice_set(root, "boot", SYSTEM_NOTICE_OK, "ready"), 0);
    assert_int_equal(system_notice_set(root, "clock", SYSTEM_NOTICE_ERROR, "1970"), 0);
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 3);
    assert_string_equal(notices[0].name, "clock");
    assert_int_equal(notices[0].level, SYSTEM_NOTICE_ERROR);
    assert_string_equal(notices[0].text, "1970");
    assert_string_equal(notices[1].text, "no link");
    assert_string_equal(notices[2].text, "ready");
    assert_int_equal(system_notice_list(root, notices, 2), 2);
    system_notice_clear(root, "clock");
    assert_int_equal(system_notice_set(root, "network", SYSTEM_NOTICE_OK, "link"), 0);
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 2);
    assert_string_equal(notices[0].name, "boot");
    assert_int_equal(notices[1].level, SYSTEM_NOTICE_OK);
}

static void what_is_written_is_one_printable_line(void **state)
{
    static char large[4 * SYSTEM_NOTICE_TEXT];

    assert_int_equal(
        system_notice_set(root, "network", SYSTEM_NOTICE_ERROR, "a\nerror: b\x1b[2J\n\n"), 0);
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 1);
    assert_string_equal(notices[0].text, "a error: b?[2J");
    memset(large, 'x', sizeof(large) - 1);
    assert_int_equal(system_notice_set(root, "network", SYSTEM_NOTICE_ERROR, large), 0);
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 1);
    assert_in_range(strlen(notices[0].text), SYSTEM_NOTICE_TEXT - 32, SYSTEM_NOTICE_TEXT - 1);
}

static void what_is_no_notice_is_an_error(void **state)
{
    char path[128];

    assert_int_equal(system_notice_set(root, "network", SYSTEM_NOTICE_OK, "fine"), 0);
    file_make("bad", "warnings: \x1b[31mred\n");
    file_make("empty", "");
    snprintf(path, sizeof(path), "%s" SYSTEM_NOTICES "/link", root);
    assert_int_equal(symlink("network", path), 0);
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 4);
    assert_string_equal(notices[0].text, SYSTEM_NOTICES "/bad is no notice");
    assert_string_equal(notices[1].text, SYSTEM_NOTICES "/empty is no notice");
    assert_string_equal(notices[2].text, SYSTEM_NOTICES "/link is no notice");
    for (int i = 0; i < 3; i++)
        assert_int_equal(notices[i].level, SYSTEM_NOTICE_ERROR);
    file_make("bad", "warning: \x1b[31mred\nerror: second line\n");
    assert_int_equal(system_notice_list(root, notices, SYSTEM_NOTICES_MAX), 4);
    assert_string_equal(notices[2].text, "?[31mred");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_worst_is_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_one_printable_line, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_notice_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
