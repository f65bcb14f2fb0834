/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of state_dir: whose it and its files are when gateway.user changes, and what is read
 * back of what was written. */
#include "state_folder.h"

#include <errno.h>
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
    static const char *const names[] = {"f/own",    "f/other",   "f/link",
                                        "f/folder", "f/.new/in", "f/.new"};
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

static void read_is(int folder, const char *name, struct span wanted)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(state_folder_read(folder, name, &out), ERR_OK);
    assert_true(span_equal(buf_span(&out), wanted));
    buf_release(&out);
}

static void a_synced_file_is_the_new_one_or_the_old(void **state)
{
    int folder = folder_open(geteuid());
    int left = openat(folder, ".new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    /* Of a process that died in the middle. */
    assert_true(left >= 0);
    assert_int_equal(write(left, "half and more of it", 19), 19);
    close(left);
    assert_int_equal(state_folder_write_synced(folder, "own", SPAN_LIT("one")), ERR_OK);
    read_is(folder, "own", SPAN_LIT("one"));
    assert_int_equal(state_folder_write_synced(folder, "own", SPAN_LIT("another")), ERR_OK);
    read_is(folder, "own", SPAN_LIT("another"));
    assert_int_equal(faccessat(folder, ".new", F_OK, 0), -1);

    assert_int_equal(mkdirat(folder, ".new", 0700), 0);
    assert_int_equal(mkdirat(folder, ".new/in", 0700), 0);
    errno = 0;
    assert_int_equal(state_folder_write_synced(folder, "own", SPAN_LIT("lost")), ERR_IO);
    assert_int_equal(errno, EEXIST);
    read_is(folder, "own", SPAN_LIT("another"));
    close(folder);
}

static void why_a_file_is_not_written_is_told(void **state)
{
    int folder = folder_open(geteuid());

    assert_int_equal(mkdirat(folder, "folder", 0700), 0);
    errno = 0;
    assert_int_equal(state_folder_write(folder, "folder", SPAN_LIT("text")), ERR_IO);
    assert_int_equal(errno, EISDIR);
    errno = 0;
    assert_int_equal(state_folder_write_synced(folder, "folder", SPAN_LIT("text")), ERR_IO);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(faccessat(folder, ".new", F_OK, 0), -1);
    close(folder);
}

static void what_is_set_aside_takes_the_place_of_the_one_before(void **state)
{
    int folder = folder_open(geteuid());
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(state_folder_set_aside(folder, "own", "other"), ERR_IO);
    assert_int_equal(state_folder_write(folder, "other", SPAN_LIT("before")), ERR_OK);
    assert_int_equal(state_folder_write(folder, "own", SPAN_LIT("damaged")), ERR_OK);
    assert_int_equal(state_folder_set_aside(folder, "own", "other"), ERR_OK);
    read_is(folder, "other", SPAN_LIT("damaged"));
    assert_int_equal(state_folder_read(folder, "own", &out), ERR_NOTFOUND);
    buf_release(&out);
    close(folder);
}

/* Of one piece that is read at a time, of several, and of their borders. */
static void a_file_is_read_up_to_the_bound(void **state)
{
    static const size_t lens[] = {1, 1000, 16 * 1024, 16 * 1024 + 1, 100 * 1000};
    static uint8_t bytes[100 * 1000];
    int folder = folder_open(geteuid());

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct buf out;
        assert_int_equal(state_folder_write(folder, "own", span_make(bytes, lens[i])), ERR_OK);
        buf_init(&out, lens[i]);
        assert_int_equal(state_folder_read(folder, "own", &out), ERR_OK);
        assert_true(span_equal(buf_span(&out), span_make(bytes, lens[i])));
        buf_release(&out);
        if (lens[i] == 1)
            continue; /* a bound of 0 is none */
        buf_init(&out, lens[i] - 1);
        assert_int_equal(state_folder_read(folder, "own", &out), ERR_FULL);
        buf_release(&out);
    }
    close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_go_with_their_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_synced_file_is_the_new_one_or_the_old, setup, teardown),
        cmocka_unit_test_setup_teardown(why_a_file_is_not_written_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_set_aside_takes_the_place_of_the_one_before, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_is_read_up_to_the_bound, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
