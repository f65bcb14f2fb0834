/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of state_dir: whose it and its files are when gateway.user changes, and what is read
 * back of what was written. */
#include "state_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BEFORE = 1001, AFTER = 1002, SOMEBODY = 1003 };

static char state_dir[32];

static int setup(void **state)
{
    snprintf(state_dir, sizeof(state_dir), "/tmp/state-test-XXXXXX");
    return mkdtemp(state_dir) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"f/own", "f/other", "f/link", "f/folder"};
    char path[64];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", state_dir, names[i]);
        (void)remove(path);
    }
    snprintf(path, sizeof(path), "%s/f", state_dir);
    (void)rmdir(path);
    return rmdir(state_dir);
}

static int folder_open(uid_t uid)
{
    char why[128];
    int folder = state_folder_open(state_dir, "f", uid, uid, why, sizeof(why));

    if (folder < 0)
        fail_msg("%s", why);
    return folder;
}

static uid_t owner_of(int folder, const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_uid;
}

static void file_make(int folder, const char *name, uid_t owner)
{
    assert_int_equal(state_folder_write(folder, name, SPAN_LIT("text")), ERR_OK);
    assert_int_equal(fchownat(folder, name, owner, owner, 0), 0);
}

static void files_go_with_their_folder(void **state)
{
    if (geteuid() != 0)
        skip();
    int folder = folder_open(BEFORE);
    file_make(folder, "own", BEFORE);
    file_make(folder, "other", SOMEBODY);
    assert_int_equal(symlinkat("other", folder, "link"), 0);
    assert_int_equal(fchownat(folder, "link", BEFORE, BEFORE, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(mkdirat(folder, "folder", 0700), 0);
    assert_int_equal(fchownat(folder, "folder", BEFORE, BEFORE, 0), 0);
    close(folder);

    folder = folder_open(AFTER);
    assert_int_equal(owner_of(folder, "."), AFTER);
    assert_int_equal(owner_of(folder, "own"), AFTER);
    assert_int_equal(owner_of(folder, "other"), SOMEBODY);
    assert_int_equal(owner_of(folder, "link"), BEFORE);
    assert_int_equal(owner_of(folder, "folder"), BEFORE);
    close(folder);
}

static void what_was_written_is_read(void **state)
{
    int folder = folder_open(geteuid());
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(state_folder_read(folder, "own", &out), ERR_NOTFOUND);
    assert_int_equal(state_folder_write(folder, "own", SPAN_LIT("one")), ERR_OK);
    assert_int_equal(state_folder_write(folder, "own", SPAN_LIT("another")), ERR_OK);
    assert_int_equal(state_folder_read(folder, "own", &out), ERR_OK);
    assert_true(span_equal(buf_span(&out), SPAN_LIT("another")));
    assert_int_equal(symlinkat("own", folder, "link"), 0);
    assert_int_equal(state_folder_read(folder, "link", &out), ERR_IO);
    state_folder_remove(folder, "own");
    assert_int_equal(state_folder_read(folder, "own", &out), ERR_NOTFOUND);
    buf_release(&out);
    close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_go_with_their_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_read, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
