/* SPDX-License-Identifier: Apache-2.0 */
/* Also about folder_copy.c. The settings are one file here, conf, whose text says what accepts it.
 */
#include "settings_migrate.h"

#include "folder_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char root[256];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(root, sizeof(root), "%s/postern-settings-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0750);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* "-" where it is missing. */
static const char *get(const char *path)
{
    static char text[256];
    char full[512];

    snprintf(full, sizeof(full), "%s%s", root, path);
    FILE *f = fopen(full, "r");
    if (!f)
        return "-";
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static void settings(const char *version, const char *conf)
{
    put("/var/etc/postern/conf", conf);
    if (version)
        put("/var/etc/postern/written-by", version);
}

/* A folder is accepted where its conf has the running version's name in it. */
static bool accepts(void *user, const char *folder, char *why, size_t why_room)
{
    char path[512], text[256] = "";

    snprintf(path, sizeof(path), "%s/conf", folder);
    FILE *f = fopen(path, "r");
    if (f) {
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = '\0';
        fclose(f);
    }
    snprintf(why, why_room, "conf:1: a value of another version");
    return strstr(text, user) != NULL;
}

static bool conf_append(int folder, const char *text)
{
    int fd = openat(folder, "conf", O_WRONLY | O_APPEND);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool to_two(int folder, char *why, size_t why_room)
{
    return conf_append(folder, " v2");
}

static bool to_three(int folder, char *why, size_t why_room)
{
    return conf_append(folder, " v3");
}

static bool to_four(int folder, char *why, size_t why_room)
{
    snprintf(why, why_room, "no way to four");
    return !conf_append(folder, " v4");
}

static const struct settings_step steps[] = {{"2", to_two}, {"3", to_three}, {"4", to_four}};

static int migrate(const char *running, const char *wants, struct settings_result *ret)
{
    const struct settings_migrate m = {.root = root,
                                       .running = running,
                                       .steps = steps,
                                       .steps_len = 3,
                                       .accepted = accepts,
                                       .user = (void *)(uintptr_t)wants};

    return settings_migrate(&m, ret);
}

static void test_none(void **state)
{
    struct settings_result r;

    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_NONE);
    put("/var/etc/other", "x");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_NONE);
}

/* Settings that nobody signed become this version's, whether it accepts them or not: it is not for
 * a start to judge what an administrator wrote. */
static void test_same(void **state)
{
    struct settings_result r;

    settings(NULL, "odd");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_SAME);
    assert_string_equal(get("/var/etc/postern/written-by"), "1\n");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_SAME);
    put("/var/etc/postern/written-by", "no version at all\n");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_string_equal(get("/var/etc/postern/written-by"), "1\n");
    assert_string_equal(get("/var/etc/postern.1/conf"), "-");
}

static void test_forward(void **state)
{
    struct settings_result r;
    char path[512];
    struct stat st;

    settings("1\n", "v1");
    put("/var/etc/postern/tls/mx.key", "secret");
    snprintf(path, sizeof(path), "%s/var/etc/postern/tls/mx.key", root);
    assert_int_equal(chmod(path, 0640), 0);
    snprintf(path, sizeof(path), "%s/var/etc/postern/link", root);
    assert_int_equal(symlink("tls/mx.key", path), 0);
    assert_int_equal(migrate("3", "v3", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_FORWARD);
    assert_string_equal(r.written, "1");
    assert_string_equal(get("/var/etc/postern/conf"), "v1 v2 v3");
    assert_string_equal(get("/var/etc/postern/written-by"), "3\n");
    assert_string_equal(get("/var/etc/postern/link"), "secret");
    assert_string_equal(get("/var/etc/postern.1/conf"), "v1");
    assert_string_equal(get("/var/etc/postern.1/written-by"), "1\n");
    snprintf(path, sizeof(path), "%s/var/etc/postern/tls/mx.key", root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_string_equal(get("/var/etc/.postern.next/conf"), "-");
    /* The next start has nothing to do. */
    assert_int_equal(migrate("3", "v3", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_SAME);
    assert_string_equal(get("/var/etc/postern/conf"), "v1 v2 v3");
}

/* What a newer version can't bring up, or does not accept then, stays as it was. */
static void test_forward_fails(void **state)
{
    struct settings_result r;

    settings("1\n", "v1");
    assert_int_equal(migrate("4", "v4", &r), ERR_CONFIG);
    assert_string_equal(r.why, "no way to four");
    assert_string_equal(get("/var/etc/postern/conf"), "v1");
    assert_int_equal(migrate("3", "v5", &r), ERR_CONFIG);
    assert_string_equal(r.why, "conf:1: a value of another version");
    assert_string_equal(get("/var/etc/postern/conf"), "v1");
    assert_string_equal(get("/var/etc/postern/written-by"), "1\n");
    assert_string_equal(get("/var/etc/.postern.next/conf"), "-");
}

static void test_back_kept(void **state)
{
    struct settings_result r;

    settings("3\n", "v1 v2 v3");
    put("/var/etc/postern.1/conf", "v1 of old");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_KEPT);
    assert_string_equal(get("/var/etc/postern/conf"), "v1 v2 v3");
    assert_string_equal(get("/var/etc/postern/written-by"), "3\n");
}

/* There and back again: each version has its own, and nothing is lost. */
static void test_back(void **state)
{
    struct settings_result r;

    settings("1\n", "v1");
    assert_int_equal(migrate("3", "v3", &r), ERR_OK);
    put("/var/etc/postern/conf", "three alone");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_BACK);
    assert_string_equal(r.written, "3");
    assert_string_equal(r.why, "conf:1: a value of another version");
    assert_string_equal(get("/var/etc/postern/conf"), "v1");
    assert_string_equal(get("/var/etc/postern/written-by"), "1\n");
    assert_string_equal(get("/var/etc/postern.3/conf"), "three alone");
    assert_string_equal(get("/var/etc/postern.1/conf"), "v1");
    assert_int_equal(migrate("1", "v1", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_SAME);
    assert_int_equal(migrate("3", "v3", &r), ERR_OK);
    assert_int_equal(r.what, SETTINGS_FORWARD);
    assert_string_equal(get("/var/etc/postern/conf"), "v1 v2 v3");
}

static void test_back_fails(void **state)
{
    struct settings_result r;

    settings("3\n", "three alone");
    assert_int_equal(migrate("1", "v1", &r), ERR_CONFIG);
    assert_non_null(strstr(r.why, "there are none of 1's own"));
    put("/var/etc/postern.1/conf", "damaged");
    assert_int_equal(migrate("1", "v1", &r), ERR_CONFIG);
    assert_string_equal(get("/var/etc/postern/conf"), "three alone");
    assert_string_equal(get("/var/etc/postern/written-by"), "3\n");
    assert_string_equal(get("/var/etc/postern.1/conf"), "damaged");
}

/* What a power failure left half made is nobody's. */
static void test_left_over(void **state)
{
    struct settings_result r;

    settings("1\n", "v1");
    put("/var/etc/.postern.next/conf", "half");
    put("/var/etc/.postern.next/more/deep", "half");
    put("/var/etc/postern.1/conf", "an older snapshot");
    assert_int_equal(migrate("2", "v2", &r), ERR_OK);
    assert_string_equal(get("/var/etc/postern/conf"), "v1 v2");
    assert_string_equal(get("/var/etc/postern.1/conf"), "v1");
    assert_string_equal(get("/var/etc/.postern.next/more/deep"), "-");
}

static void test_prune(void **state)
{
    static const char *const old[] = {"0.1", "0.2", "0.10", "0.3", "0.9"};
    struct settings_result r;

    settings("1\n", "v1");
    for (size_t i = 0; i < 5; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/var/etc/postern.%s/conf", old[i]);
        put(path, old[i]);
    }
    put("/var/etc/postern.conf.d/conf", "another's");
    assert_int_equal(migrate("2", "v2", &r), ERR_OK);
    assert_string_equal(get("/var/etc/postern.0.1/conf"), "-");
    assert_string_equal(get("/var/etc/postern.0.2/conf"), "-");
    assert_string_equal(get("/var/etc/postern.0.3/conf"), "0.3");
    assert_string_equal(get("/var/etc/postern.0.9/conf"), "0.9");
    assert_string_equal(get("/var/etc/postern.0.10/conf"), "0.10");
    assert_string_equal(get("/var/etc/postern.1/conf"), "v1");
    assert_string_equal(get("/var/etc/postern.conf.d/conf"), "another's");
}

/* The console may have begun to change them. */
static void test_waits_for_who_changes_them(void **state)
{
    struct settings_result r;
    char path[512];
    int status;

    settings("1", "v1");
    snprintf(path, sizeof(path), "%s/var/etc", root);
    int parent = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(parent, LOCK_EX), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(migrate("2", "v2", &r) == ERR_OK ? 0 : 1);
    usleep(200 * 1000);
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    assert_string_equal(get("/var/etc/postern/conf"), "v1");
    assert_int_equal(flock(parent, LOCK_UN), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_string_equal(get("/var/etc/postern/conf"), "v1 v2");
    close(parent);
}

static void test_copy_bounds(void **state)
{
    char path[512] = "/deep";
    int parent;

    for (int i = 0; i < 9; i++)
        strncat(path, "/x", sizeof(path) - strlen(path) - 1);
    strncat(path, "/file", sizeof(path) - strlen(path) - 1);
    put(path, "x");
    put("/taken/file", "x");
    parent = open(root, O_RDONLY | O_DIRECTORY);
    assert_true(parent >= 0);
    assert_int_equal(folder_copy(parent, "deep", "copy"), ERR_LIMIT);
    assert_string_equal(get("/copy/x/x/x"), "-");
    assert_int_not_equal(faccessat(parent, "copy", F_OK, 0), 0);
    assert_int_equal(folder_copy(parent, "deep", "taken"), ERR_IO);
    assert_string_equal(get("/taken/file"), "x");
    assert_int_equal(folder_copy(parent, "nowhere", "copy"), ERR_IO);
    assert_int_equal(folder_remove(parent, "nowhere"), ERR_OK);
    close(parent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_none),        TEST(test_same),
        TEST(test_forward),     TEST(test_forward_fails),
        TEST(test_back_kept),   TEST(test_back),
        TEST(test_back_fails),  TEST(test_left_over),
        TEST(test_prune),       TEST(test_waits_for_who_changes_them),
        TEST(test_copy_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
