/* SPDX-License-Identifier: Apache-2.0 */
/* Are a verb's arguments taken as its rows say, and what is wrong told in a sentence? */
#include "../cmocka_all.h"

#include "platform_args.h"

#include <string.h>

enum { DRY, TIMES, FILE_NAME, CHECK, ROWS };

static const struct arg_row rows[ROWS] = {
    [DRY] = {"--dry-run", ARG_FLAG, NULL, 0, 0, 0, "change nothing"},
    [TIMES] = {"--times", ARG_NUMBER, "N", 2, 20, 7, "how often"},
    [FILE_NAME] = {"--file", ARG_TEXT, "FILE", 0, 0, 0, "where"},
    [CHECK] = {"--check", ARG_REST, "COMMAND...", 0, 0, 0, "what"},
};

static struct arg_value values[ROWS];
static char why[200];

static int take(char **words)
{
    why[0] = '\0';
    return platform_args(rows, ROWS, words, values, why, sizeof(why));
}

static void words_are_taken(void **state)
{
    char *none[] = {NULL};
    char *all[] = {"--times=20", "--file", "x=y", "--dry-run", "--check", "a", "--file", "b", NULL};

    assert_int_equal(take(none), ERR_OK);
    assert_false(values[DRY].given || values[TIMES].given || values[CHECK].given);
    assert_int_equal(values[TIMES].number, 7);
    assert_int_equal(take(all), ERR_OK);
    assert_true(values[DRY].given && values[TIMES].given);
    assert_int_equal(values[TIMES].number, 20);
    assert_string_equal(values[FILE_NAME].text, "x=y");
    assert_string_equal(values[CHECK].words[0], "a");
    assert_string_equal(values[CHECK].words[1], "--file");
    assert_null(values[CHECK].words[3]);
}

static void wrong(char *word, char *second, const char *said)
{
    char *words[] = {word, second, NULL};

    assert_int_equal(take(words), ERR_SYNTAX);
    if (!strstr(why, said))
        fail_msg("\"%s\" does not say \"%s\"", why, said);
}

static void what_is_wrong_is_told(void **state)
{
    wrong("--dry", NULL, "\"--dry\" is not known here");
    wrong("more", NULL, "\"more\" is not known here");
    wrong("", NULL, "\"\" is not known here");
    wrong("--times", NULL, "--times needs N");
    wrong("--times", "1", "--times takes a number from 2 to 20, not \"1\"");
    wrong("--times", "21", "from 2 to 20");
    wrong("--times", "-2", "not \"-2\"");
    wrong("--times=", NULL, "not \"\"");
    wrong("--times=99999999999999999999", NULL, "from 2 to 20");
    wrong("--dry-run=yes", NULL, "--dry-run takes nothing");
    wrong("--check", NULL, "--check needs COMMAND...");
    wrong("--check=x", NULL, "the last on the line");
    wrong("--file", NULL, "--file needs FILE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_taken),
        cmocka_unit_test(what_is_wrong_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
