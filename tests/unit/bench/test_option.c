/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "option.h"

#include <string.h>

struct values {
    bool flag;
    int mode;
    uint64_t size;
    double rate;
    const char *name;
};

static const struct option_row rows[] = {
    {"flag", NULL, OPTION_FLAG, offsetof(struct values, flag), 0, 0, "a flag"},
    {"one", NULL, OPTION_CHOICE, offsetof(struct values, mode), 1, 0, "mode one"},
    {"two", NULL, OPTION_CHOICE, offsetof(struct values, mode), 2, 0, "mode two"},
    {"size", "BYTES", OPTION_U64, offsetof(struct values, size), 10, 1 << 20, "a size"},
    {"rate", "R", OPTION_REAL, offsetof(struct values, rate), 0, 1, "a rate"},
    {"name", "TEXT", OPTION_TEXT, offsetof(struct values, name), 0, 5, "a name"},
};

static int read_words(struct values *v, const char *const *words, size_t count)
{
    char *argv[8] = {(char *)"verb"};
    char error[128];

    *v = (struct values){0};
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = (char *)words[i];
    return options_read(rows, sizeof(rows) / sizeof(rows[0]), (int)count + 1, argv, v, error,
                        sizeof(error));
}

#define READ(v, ...)                                                                               \
    read_words(v, (const char *const[]){__VA_ARGS__},                                              \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void values_are_taken(void **state)
{
    struct values v;

    (void)state;
    assert_int_equal(READ(&v, "--flag", "--two", "--size", "4K", "--rate", "0.25"), ERR_OK);
    assert_true(v.flag && v.mode == 2 && v.size == 4096 && v.rate == 0.25);
    assert_int_equal(READ(&v, "--name", "short"), ERR_OK);
    assert_string_equal(v.name, "short");
    assert_int_equal(READ(&v, "--help"), ERR_CLOSED);
}

static void wrong_values_are_refused(void **state)
{
    struct values v;

    (void)state;
    assert_int_equal(READ(&v, "--other"), ERR_SYNTAX);
    assert_int_equal(READ(&v, "flag"), ERR_SYNTAX);
    assert_int_equal(READ(&v, "--one", "--two"), ERR_SYNTAX);
    assert_int_equal(READ(&v, "--size"), ERR_SYNTAX);
    assert_int_equal(READ(&v, "--size", "9"), ERR_RANGE);
    assert_int_equal(READ(&v, "--size", "2M"), ERR_RANGE);
    assert_int_equal(READ(&v, "--size", "-11"), ERR_RANGE);
    assert_int_equal(READ(&v, "--size", "99999999999G"), ERR_RANGE);
    assert_int_equal(READ(&v, "--size", "11x"), ERR_RANGE);
    assert_int_equal(READ(&v, "--rate", "nan"), ERR_RANGE);
    assert_int_equal(READ(&v, "--rate", "2"), ERR_RANGE);
    assert_int_equal(READ(&v, "--name", "longer"), ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken),
        cmocka_unit_test(wrong_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
