/* SPDX-License-Identifier: Apache-2.0 */
/* Are lists and masks of processors read and written as the kernel does? */
#include "../cmocka_all.h"

#include "platform_cpus.h"

static void list_is(const char *text, const char *list, unsigned count)
{
    struct platform_cpus set;
    char out[64];

    assert_int_equal(platform_cpus_list_decode(span_str(text), &set), ERR_OK);
    assert_int_equal(platform_cpus_count(&set), count);
    platform_cpus_list(&set, out, sizeof(out));
    assert_string_equal(out, list);
}

static void lists_are_read(void **state)
{
    list_is("0-3,8\n", "0-3,8", 5);
    list_is("0", "0", 1);
    list_is("", "", 0);
    list_is("\n", "", 0);
    list_is("1023", "1023", 1);
    list_is("0-1023", "0-1023", 1024);
    list_is("3,1,2", "1-3", 3);
}

static void bad_lists_are_refused(void **state)
{
    static const char *const bad[] = {"-",  "0-",   "-3",  "3-1",   "a",  "0,",
                                      ",0", "0,,1", "0 1", "0-1-2", "0x1"};
    struct platform_cpus set;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(platform_cpus_list_decode(span_str(bad[i]), &set), ERR_SYNTAX);
    assert_int_equal(platform_cpus_list_decode(SPAN_LIT("1024"), &set), ERR_RANGE);
    assert_int_equal(platform_cpus_list_decode(SPAN_LIT("0-99999999999999999999"), &set),
                     ERR_RANGE);
}

static void mask_is(const char *text, const char *list, const char *mask)
{
    struct platform_cpus set;
    char out[400];

    assert_int_equal(platform_cpus_mask_decode(span_str(text), &set), ERR_OK);
    platform_cpus_list(&set, out, sizeof(out));
    assert_string_equal(out, list);
    assert_int_equal(platform_cpus_mask(&set, out, sizeof(out)), ERR_OK);
    assert_string_equal(out, mask);
}

static void masks_are_read(void **state)
{
    mask_is("f\n", "0-3", "f");
    mask_is("00000000,00000101\n", "0,8", "101");
    mask_is("1,00000000", "32", "1,00000000");
    mask_is("80000000,00000000,00000001", "0,95", "80000000,00000000,00000001");
    mask_is("0", "", "0");
    mask_is("0000,00000002", "1", "2");
}

static void bad_masks_are_refused(void **state)
{
    static const char *const bad[] = {"",    "\n",          "g",   ",1", "1,",
                                      "1,1", "1,,00000001", "0x1", "1 1"};
    struct platform_cpus set;
    char wide[8 * 33 + 33];
    size_t len = 0;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(platform_cpus_mask_decode(span_str(bad[i]), &set), ERR_SYNTAX);
    for (int group = 0; group < 33; group++) {
        if (group > 0)
            wide[len++] = ',';
        memcpy(wide + len, "00000001", 8);
        len += 8;
    }
    assert_int_equal(platform_cpus_mask_decode(span_make(wide, len), &set), ERR_RANGE);
    wide[7] = '0'; /* of processors that are not there nothing is set */
    assert_int_equal(platform_cpus_mask_decode(span_make(wide, len), &set), ERR_OK);
}

static void little_room_is_kept_to(void **state)
{
    struct platform_cpus set;
    char out[12];

    assert_int_equal(platform_cpus_list_decode(SPAN_LIT("0,2,4,6,8,10,12,14"), &set), ERR_OK);
    platform_cpus_list(&set, out, sizeof(out));
    assert_string_equal(out, "0,2,4,6...");
    assert_int_equal(platform_cpus_list_decode(SPAN_LIT("64"), &set), ERR_OK);
    assert_int_equal(platform_cpus_mask(&set, out, sizeof(out)), ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),         cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(masks_are_read),         cmocka_unit_test(bad_masks_are_refused),
        cmocka_unit_test(little_room_is_kept_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
