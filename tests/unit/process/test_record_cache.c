/* SPDX-License-Identifier: Apache-2.0 */
/* Are measured costs found again, and is no other file ever believed? */
#include "../cmocka_all.h"

#include "record_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY "kernel 6.1\nprocessor x\n"

static const struct record_cost sample = {
    .chunk_ns = {1, 2, 3, 4}, .data_ns = {5, 0, 7, 8}, .switch_ns = {9, 10, 11, 12}};

struct place {
    char directory[64], file[128];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    snprintf(p->directory, sizeof(p->directory), "/tmp/postern-cache-XXXXXX");
    if (!mkdtemp(p->directory))
        return -1;
    snprintf(p->file, sizeof(p->file), "%s/record-cost", p->directory);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->file);
    rmdir(p->directory);
    free(p);
    return 0;
}

static bool known(const struct place *p, const char *key)
{
    struct record_cost cost;

    return record_cache_read(p->directory, key, &cost);
}

static void costs_are_found_again(void **state)
{
    const struct place *p = *state;
    struct record_cost cost;
    struct stat st;

    assert_false(known(p, KEY));
    assert_int_equal(record_cache_write(p->directory, KEY, &sample), 0);
    assert_true(record_cache_read(p->directory, KEY, &cost));
    assert_memory_equal(&cost, &sample, sizeof(cost));
    assert_int_equal(stat(p->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* Over an older one. */
    assert_int_equal(record_cache_write(p->directory, "kernel 7\n", &sample), 0);
    assert_false(known(p, KEY));
    assert_true(known(p, "kernel 7\n"));
}

static void another_machine_s_costs_are_not_ours(void **state)
{
    const struct place *p = *state;

    assert_int_equal(record_cache_write(p->directory, KEY, &sample), 0);
    assert_false(known(p, "kernel 6.1\nprocessor y\n"));
    assert_false(known(p, "kernel 6.1\n"));
    assert_false(known(p, KEY "library z\n"));
}

static void file_write(const struct place *p, const char *text, size_t len)
{
    int fd = open(p->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static void a_damaged_file_is_none(void **state)
{
    const struct place *p = *state;
    char text[1024];
    int fd;
    ssize_t len;

    assert_int_equal(record_cache_write(p->directory, KEY, &sample), 0);
    fd = open(p->file, O_RDONLY);
    len = read(fd, text, sizeof(text));
    close(fd);
    assert_true(len > 0);
    for (ssize_t cut = 0; cut < len; cut++) {
        file_write(p, text, (size_t)cut);
        assert_false(known(p, KEY));
    }
    /* Each byte changed to one that no place of it may have. */
    for (ssize_t i = 0; i < len; i++) {
        char before = text[i];
        text[i] = i % 2 ? '\0' : '%';
        file_write(p, text, (size_t)len);
        assert_false(known(p, KEY));
        text[i] = before;
    }
    text[len] = 'x';
    file_write(p, text, (size_t)len + 1);
    assert_false(known(p, KEY));
    file_write(p, text, (size_t)len);
    assert_true(known(p, KEY));
    /* Longer than any that we write. */
    memset(text + len, '\n', sizeof(text) - (size_t)len);
    file_write(p, text, sizeof(text));
    assert_false(known(p, KEY));
}

static void a_cost_of_nothing_is_none(void **state)
{
    const struct place *p = *state;

    assert_int_equal(record_cache_write(p->directory, KEY, &(struct record_cost){0}), 0);
    assert_false(known(p, KEY));
}

static void links_and_other_owners_are_not_followed(void **state)
{
    const struct place *p = *state;
    char other[160];

    snprintf(other, sizeof(other), "%s/other", p->directory);
    assert_int_equal(record_cache_write(p->directory, KEY, &sample), 0);
    assert_int_equal(rename(p->file, other), 0);
    assert_int_equal(symlink(other, p->file), 0);
    assert_false(known(p, KEY));
    assert_int_equal(unlink(p->file), 0);
    assert_int_equal(rename(other, p->file), 0);
    assert_true(known(p, KEY));
    if (geteuid() == 0) {
        assert_int_equal(chown(p->file, 65534, 65534), 0);
        assert_false(known(p, KEY));
    }
    /* What it replaces does not matter. */
    assert_int_equal(record_cache_write(p->directory, KEY, &sample), 0);
    assert_true(known(p, KEY));
    assert_int_equal(unlink(p->file), 0);
    assert_int_equal(mkfifo(p->file, 0600), 0);
    assert_false(known(p, KEY)); /* and does not wait for a writer */
}

static void no_directory_is_no_cache(void **state)
{
    struct record_cost cost;

    assert_false(record_cache_read("/nonexistent/postern", KEY, &cost));
    assert_int_equal(record_cache_write("/nonexistent/postern", KEY, &sample), ERR_SYSTEM);
}

static void the_key_names_what_matters(void **state)
{
    const struct platform_fixes fixes = {.package = "Debian 6.1.1-1"};
    struct platform_ktls ktls = {.ulp = true};
    char key[RECORD_CACHE_KEY_TEXT], other[RECORD_CACHE_KEY_TEXT];

    record_cache_key(&ktls, &fixes, key);
    assert_non_null(strstr(key, "\npackage Debian 6.1.1-1\n"));
    assert_non_null(strstr(key, "\nprocessor "));
    assert_non_null(strstr(key, "\npostern " POSTERN_VERSION "\n"));
    assert_non_null(strstr(key, "\nlibrary OpenSSL "));
    assert_non_null(strstr(key, "\naead openssl\n"));
    assert_memory_equal(key, "kernel ", 7);
    assert_non_null(strstr(key, "\ntls 1 receive 00"));
    bool *const bits[] = {&ktls.ulp, &ktls.rekey, &ktls.splice_pages,
                          &ktls.ciphers[KTLS_CIPHER_COUNT - 1].rx, &ktls.ciphers[0].tx};
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        *bits[i] = !*bits[i];
        record_cache_key(&ktls, &fixes, other);
        assert_string_not_equal(other, key);
        *bits[i] = !*bits[i];
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(costs_are_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(another_machine_s_costs_are_not_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cost_of_nothing_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(links_and_other_owners_are_not_followed, setup, teardown),
        cmocka_unit_test(no_directory_is_no_cache),
        cmocka_unit_test(the_key_names_what_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
