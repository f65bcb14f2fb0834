/* SPDX-License-Identifier: Apache-2.0 */
/* Is a file of users read as it is meant, and nothing else taken for one? */
#include "auth_users.h"

#include "cmocka_all.h"

#include <stdlib.h>

#define KEY_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
#define KEY_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
#define SALT "c2FsdHNhbHQ="
#define RECORD "SCRAM-SHA-256$4096:" SALT "$" KEY_A ":" KEY_B

static struct auth_users users;
static struct arena arena;
static char why[128];

static int parse(const char *text)
{
    arena_free(&arena);
    arena_init(&arena, 0);
    why[0] = '\0';
    return auth_users_parse(text, &arena, &users, why, sizeof(why));
}

static void test_file(void **state)
{
    assert_int_equal(parse("# people\n\nbert:" RECORD "\r\nanna@example.org:" RECORD "\n"
                           "Anna_2.x+y-z:SCRAM-SHA-256$16384:" SALT "$" KEY_B ":" KEY_A),
                     ERR_OK);
    assert_int_equal(users.len, 3);
    const struct auth_user *u = auth_users_find(&users, "bert");
    assert_non_null(u);
    assert_int_equal(u->record.iterations, 4096);
    assert_int_equal(u->record.salt_len, 8);
    assert_memory_equal(u->record.salt, "saltsalt", 8);
    assert_int_equal(u->record.stored_key[31], 'A');
    assert_int_equal(u->record.server_key[0], 'B');
    assert_non_null(auth_users_find(&users, "anna@example.org"));
    assert_null(auth_users_find(&users, "Bert"));
    assert_null(auth_users_find(&users, ""));
    assert_null(auth_users_find(&users, "anna@example.orgx"));
    char longest[100] = "";
    memset(longest, 'a', sizeof(longest) - 1);
    assert_null(auth_users_find(&users, longest));
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no user"},
        {"# nobody\n", "no user"},
        {"anna\n", "line 1: no record"},
        {"# x\nanna:secret\n", "line 2: no record"},
        {":" RECORD "\n", "line 1: a name"},
        {"an na:" RECORD "\n", "line 1: a name"},
        {" anna:" RECORD "\n", "line 1: a name"},
        {"\xc3\xa4:" RECORD "\n", "line 1: a name"},
        {"a23456789012345678901234567890123456789012345678901234567890123456:" RECORD, "a name"},
        {"anna:SCRAM-SHA-1$4096:" SALT "$" KEY_A ":" KEY_B, "no record"},
        {"anna:SCRAM-SHA-256$4095:" SALT "$" KEY_A ":" KEY_B, "iterations"},
        {"anna:SCRAM-SHA-256$16385:" SALT "$" KEY_A ":" KEY_B,
         "line 1: iterations that are not 4096 to 16384"},
        {"anna:SCRAM-SHA-256$-1:" SALT "$" KEY_A ":" KEY_B, "iterations"},
        {"anna:SCRAM-SHA-256$4096:$" KEY_A ":" KEY_B, "a salt"},
        {"anna:SCRAM-SHA-256$4096:c2FsdA==$" KEY_A ":" KEY_B, "a salt"},
        {"anna:SCRAM-SHA-256$4096:" SALT "$" KEY_A, "keys"},
        {"anna:SCRAM-SHA-256$4096:" SALT "$" SALT ":" KEY_B, "keys"},
        {"anna:" RECORD " \n", "keys"},
        {"anna:" RECORD ":x\n", "keys"},
        {"anna:" RECORD "\nbert:" RECORD "\nanna:" RECORD "\n", "two lines for anna"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i].text) != ERR_SYNTAX || !strstr(why, bad[i].why))
            fail_msg("%zu: \"%s\"", i, why);
    }
}

/* What is written is read back. */
static void test_line(void **state)
{
    struct auth_record record = {.iterations = 10000, .salt_len = AUTH_SALT_MAX};
    char line[AUTH_LINE_MAX], name[AUTH_NAME_MAX + 1] = "";

    memset(name, 'n', AUTH_NAME_MAX);
    for (size_t i = 0; i < AUTH_SALT_MAX; i++)
        record.salt[i] = (uint8_t)(i * 7);
    memset(record.stored_key, 1, 32);
    memset(record.server_key, 2, 32);
    auth_line_write(name, &record, line);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_int_equal(parse(line), ERR_OK);
    assert_string_equal(users.users[0].name, name);
    assert_memory_equal(&users.users[0].record, &record, sizeof(record));
}

/* Who is not there looks the same each time, like somebody who is, and like nobody else. */
static void test_pretend(void **state)
{
    struct auth_record a, b, c;

    assert_int_equal(parse("anna:SCRAM-SHA-256$5000:" SALT "$" KEY_A ":" KEY_B "\n"), ERR_OK);
    auth_users_pretend(&users, "carl", &a);
    auth_users_pretend(&users, "carl", &b);
    auth_users_pretend(&users, "dora", &c);
    assert_int_equal(a.iterations, 5000);
    assert_int_equal(a.salt_len, 8);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_memory_not_equal(a.salt, c.salt, 8);
    assert_int_equal(parse("anna:SCRAM-SHA-256$5000:" SALT "$" KEY_B ":" KEY_A "\n"), ERR_OK);
    auth_users_pretend(&users, "carl", &b);
    assert_memory_not_equal(a.salt, b.salt, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_pretend),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    arena_free(&arena);
    return failed;
}
