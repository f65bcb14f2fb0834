/* SPDX-License-Identifier: Apache-2.0 */
#include "slot_name.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool valid(const char *version)
{
    return slot_version_valid(span_str(version));
}

static void test_version_valid(void **state)
{
    char longest[SLOT_VERSION_TEXT + 1];

    assert_true(valid("1"));
    assert_true(valid("0.1.0"));
    assert_true(valid("1.2~rc1-3^git4"));
    assert_false(valid(""));
    assert_false(valid("v1"));
    assert_false(valid("1_2"));
    assert_false(valid("1+3"));
    assert_false(valid("1/2"));
    assert_false(valid("1 2"));
    assert_false(valid(".."));
    memset(longest, '1', sizeof(longest));
    assert_true(slot_version_valid(span_make(longest, SLOT_VERSION_TEXT - 1)));
    assert_false(slot_version_valid(span_make(longest, SLOT_VERSION_TEXT)));
    assert_false(slot_version_valid(span_make("1\0", 2)));
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

/* Each is older than the next; "systemd-analyze compare-versions" says the same of each pair. */
static void test_version_order(void **state)
{
    static const char *const rising[] = {"0.1",  "1~~", "1~rc1", "1~rc2", "1",    "1-1",  "1-2",
                                         "1^a",  "1.a", "1.0",   "1.1",   "1.1a", "1.1b", "1.9",
                                         "1.10", "1a",  "2",     "10",    "11.0", "99",   "100"};
    enum { LEN = sizeof(rising) / sizeof(rising[0]) };

    for (size_t i = 0; i < LEN; i++)
        for (size_t j = 0; j < LEN; j++) {
            int want = (i > j) - (i < j);
            if (sign(slot_version_compare(rising[i], rising[j])) != want)
                fail_msg("%s against %s", rising[i], rising[j]);
        }
    assert_int_equal(slot_version_compare("1.01", "1.1"), 0);
    assert_int_equal(slot_version_compare("001", "1"), 0);
}

static void test_label(void **state)
{
    static const struct {
        const char *label;
        int err;
        enum slot_part part;
        const char *version;
    } rows[] = {
        {"_empty", ERR_OK, SLOT_PART_EMPTY, ""},
        {"postern_1", ERR_OK, SLOT_PART_ROOT, "1"},
        {"postern_1.2~rc1", ERR_OK, SLOT_PART_ROOT, "1.2~rc1"},
        {"postern_1_verity", ERR_OK, SLOT_PART_VERITY, "1"},
        {"postern_", ERR_SYNTAX},
        {"postern__verity", ERR_SYNTAX},
        {"postern_verity", ERR_SYNTAX},
        {"postern-var", ERR_SYNTAX},
        {"Postern_1", ERR_SYNTAX},
        {"esp", ERR_SYNTAX},
        {"", ERR_SYNTAX},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum slot_part part;
        char version[SLOT_VERSION_TEXT];
        assert_int_equal(slot_label_parse(span_str(rows[i].label), &part, version), rows[i].err);
        if (rows[i].err)
            continue;
        assert_int_equal(part, rows[i].part);
        assert_string_equal(version, rows[i].version);
    }
}

static void test_uki(void **state)
{
    static const struct {
        const char *file;
        int err;
        const char *version;
        bool counted;
        unsigned left, done;
    } rows[] = {
        {"postern_1.efi", ERR_OK, "1", false, 0, 0},
        {"postern_1+3.efi", ERR_OK, "1", true, 3, 0},
        {"postern_1+3-0.efi", ERR_OK, "1", true, 3, 0},
        {"postern_1.2-4+0-3.efi", ERR_OK, "1.2-4", true, 0, 3},
        {"postern_1+999-999.efi", ERR_OK, "1", true, 999, 999},
        {"postern_1+1000.efi", ERR_SYNTAX},
        {"postern_1+.efi", ERR_SYNTAX},
        {"postern_1+3-.efi", ERR_SYNTAX},
        {"postern_1+-3.efi", ERR_SYNTAX},
        {"postern_1+3-1-1.efi", ERR_SYNTAX},
        {"postern_1+3+1.efi", ERR_SYNTAX},
        {"postern_+3.efi", ERR_SYNTAX},
        {"postern_.efi", ERR_SYNTAX},
        {"postern_1", ERR_SYNTAX},
        {"postern_1.efi.tmp", ERR_SYNTAX},
        {"other_1.efi", ERR_SYNTAX},
        {"", ERR_SYNTAX},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slot_uki uki;
        if (slot_uki_parse(span_str(rows[i].file), &uki) != rows[i].err)
            fail_msg("%s", rows[i].file);
        if (rows[i].err)
            continue;
        assert_string_equal(uki.version, rows[i].version);
        assert_int_equal(uki.counted, rows[i].counted);
        assert_int_equal(uki.left, rows[i].left);
        assert_int_equal(uki.done, rows[i].done);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_valid),
        cmocka_unit_test(test_version_order),
        cmocka_unit_test(test_label),
        cmocka_unit_test(test_uki),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
