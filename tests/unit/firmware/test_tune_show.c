/* SPDX-License-Identifier: Apache-2.0 */
/* Does the report say what was planned, what came of it and why, in text, JSON and the notice? */
#include "../cmocka_all.h"

#include "tune_show.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static struct tune_change ring(const char *target)
{
    struct tune_change c = {
        .group = TUNE_RINGS, .kind = TUNE_KIND_RING, .from = "512", .to = "4096", .why = "bursts"};

    snprintf(c.target, sizeof(c.target), "%s", target);
    return c;
}

static void expect(const struct tune_report *report, const char *wanted)
{
    char *text;

    assert_int_equal(tune_report_text(report, &text), ERR_OK);
    assert_string_equal(text, wanted);
    free(text);
}

static void plans_are_shown(void **state)
{
    struct tune_report report = {.dry = true, .notes_len = 1};
    const struct tune_change rx = ring("eth0 rx"), tx = ring("eth0 tx");
    char *text;

    report.notes[0] = (struct tune_note){.warns = true, .text = "eth1: not known"};
    assert_int_equal(tune_report_add(&report, &rx, NULL), ERR_OK);
    assert_int_equal(tune_report_add(&report, &tx, NULL), ERR_OK);
    expect(&report, "rings: bursts\n"
                    "  plan     eth0 rx: 512 -> 4096\n"
                    "  plan     eth0 tx: 512 -> 4096\n"
                    "warning: eth1: not known\n"
                    "2 changes planned, none made.\n");
    assert_int_equal(tune_report_json(&report, &text), ERR_OK);
    json_t *root = json_loads(text, 0, NULL);
    json_t *first = json_array_get(json_object_get(root, "changes"), 0);
    assert_true(json_is_true(json_object_get(root, "dry_run")));
    assert_string_equal(json_string_value(json_object_get(first, "target")), "eth0 rx");
    assert_string_equal(json_string_value(json_object_get(first, "outcome")), "planned");
    assert_string_equal(json_string_value(json_object_get(first, "why")), "bursts");
    assert_string_equal(json_string_value(json_object_get(first, "group")), "rings");
    json_decref(root);
    free(text);
    tune_report_free(&report);
}

static void outcomes_are_shown(void **state)
{
    struct tune_report report = {0};
    const struct tune_change rx = ring("eth0 rx"), tx = ring("eth0 tx");
    const struct tune_result done = {.outcome = TUNE_DONE, .is = "4096"},
                             refused = {.outcome = TUNE_REFUSED, .why = "Invalid argument"};
    char line[200], *text;

    expect(&report, "Nothing to change: all is as it should be.\n");
    assert_int_equal(tune_report_add(&report, &rx, &done), ERR_OK);
    assert_false(tune_report_notice(&report, line, sizeof(line)));
    assert_string_equal(line, "the machine is tuned, 1 settings changed");
    assert_int_equal(tune_report_add(&report, &tx, &refused), ERR_OK);
    expect(&report, "rings: bursts\n"
                    "  done     eth0 rx: 512 -> 4096\n"
                    "  refused  eth0 tx: 512 -> 4096\n"
                    "           not done: Invalid argument\n"
                    "1 changed, 0 as they were, 0 otherwise, 1 refused, 0 gone.\n");
    assert_true(tune_report_notice(&report, line, sizeof(line)));
    assert_string_equal(line, "1 settings were refused, the first eth0 tx: Invalid argument");
    assert_int_equal(tune_report_json(&report, &text), ERR_OK);
    json_t *root = json_loads(text, 0, NULL);
    json_t *second = json_array_get(json_object_get(root, "changes"), 1);
    assert_string_equal(json_string_value(json_object_get(second, "outcome")), "refused");
    assert_string_equal(json_string_value(json_object_get(second, "trouble")), "Invalid argument");
    json_decref(root);
    free(text);
    assert_non_null(tune_report_find(&report, &rx));
    const struct tune_change other = ring("eth1 rx");
    assert_null(tune_report_find(&report, &other));
    tune_report_free(&report);
}

static void a_revert_is_no_tuning(void **state)
{
    struct tune_report report = {.reverted = true};
    const struct tune_change rx = ring("eth0 rx");
    const struct tune_result done = {.outcome = TUNE_DONE, .is = "512"};
    char line[200];

    assert_int_equal(tune_report_add(&report, &rx, &done), ERR_OK);
    assert_false(tune_report_notice(&report, line, sizeof(line)));
    assert_string_equal(line, "the machine is not tuned, 1 settings are as they were before");
    tune_report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_shown),
        cmocka_unit_test(outcomes_are_shown),
        cmocka_unit_test(a_revert_is_no_tuning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
