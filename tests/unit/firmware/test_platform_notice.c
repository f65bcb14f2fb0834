/* SPDX-License-Identifier: Apache-2.0 */
/* Is a notice one printable line in its file, whole at every moment? */
#include "../cmocka_all.h"

#include "platform_notice.h"
#include "tree.h"

static void is(struct tree *t, const char *path, const char *wanted)
{
    char text[1024];
    int fd = openat(t->root, path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, wanted);
}

static void lines_are_written(void **state)
{
    struct tree t;
    char file[128], long_text[2000];

    tree_make(&t);
    snprintf(file, sizeof(file), "%s/a/b/tune", t.path);
    assert_int_equal(platform_notice(file, NOTICE_WARNING, "eth0: not known\n\x01"), ERR_OK);
    is(&t, "a/b/tune", "warning: eth0: not known??\n");
    assert_int_equal(platform_notice(file, NOTICE_OK, "all is well"), ERR_OK);
    is(&t, "a/b/tune", "ok: all is well\n");
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_int_equal(platform_notice(file, NOTICE_ERROR, long_text), ERR_OK);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 511);
    assert_int_equal(faccessat(t.root, "a/b/.tune.new", F_OK, 0), -1);
    assert_int_equal(platform_notice(NULL, NOTICE_OK, "nobody asked"), ERR_OK);
    assert_int_equal(platform_notice("/proc/nowhere/tune", NOTICE_OK, "x"), ERR_SYSTEM);
    tree_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_are_written)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
