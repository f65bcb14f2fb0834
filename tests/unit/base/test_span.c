/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "errcode.h"
#include "span.h"

static void equality_folds_ascii_only(void **state)
{
    (void)state;
    assert_true(span_equal_nocase(SPAN_LIT("MaIl"), SPAN_LIT("mAiL")));
    assert_false(span_equal_nocase(SPAN_LIT("[x]"), SPAN_LIT("{x}"))); /* 0x20 apart, no letters */
    assert_false(span_equal(SPAN_LIT("a"), SPAN_LIT("A")));
    assert_true(span_equal(span_make(NULL, 0), SPAN_LIT("")));
    assert_true(span_starts_nocase(SPAN_LIT("EHLO x"), SPAN_LIT("ehlo")));
    assert_false(span_starts_nocase(SPAN_LIT("EH"), SPAN_LIT("EHLO")));
    assert_true(span_ends_nocase(SPAN_LIT("mx.Example.ORG"), SPAN_LIT(".example.org")));
    assert_false(span_ends_nocase(SPAN_LIT("org"), SPAN_LIT(".example.org")));
}

static void numbers_are_digits_within_bounds(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_int_equal(span_to_u64(SPAN_LIT("0"), 10, &v), ERR_OK);
    assert_int_equal(v, 0);
    assert_int_equal(span_to_u64(SPAN_LIT("10"), 10, &v), ERR_OK);
    assert_int_equal(v, 10);
    assert_int_equal(span_to_u64(SPAN_LIT("11"), 10, &v), ERR_RANGE);
    assert_int_equal(span_to_u64(SPAN_LIT("9"), 5, &v), ERR_RANGE);
    assert_int_equal(span_to_u64(SPAN_LIT(""), 10, &v), ERR_SYNTAX);
    assert_int_equal(span_to_u64(SPAN_LIT("-1"), 10, &v), ERR_SYNTAX);
    assert_int_equal(span_to_u64(SPAN_LIT("1 "), 10, &v), ERR_SYNTAX);
    assert_int_equal(span_to_u64(SPAN_LIT("18446744073709551615"), UINT64_MAX, &v), ERR_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(span_to_u64(SPAN_LIT("18446744073709551616"), UINT64_MAX, &v), ERR_RANGE);
    assert_int_equal(span_to_u64(SPAN_LIT("99999999999999999999999"), UINT64_MAX, &v), ERR_RANGE);
}

static void cstr_needs_room_for_its_nul(void **state)
{
    char out[4];

    (void)state;
    assert_int_equal(span_to_cstr(SPAN_LIT("abc"), out, sizeof(out)), ERR_OK);
    assert_string_equal(out, "abc");
    assert_int_equal(span_to_cstr(SPAN_LIT("abcd"), out, sizeof(out)), ERR_FULL);
    assert_string_equal(out, "");
}

static void from_never_passes_the_end(void **state)
{
    (void)state;
    assert_int_equal(span_from(SPAN_LIT("abc"), 2).len, 1);
    assert_int_equal(span_from(SPAN_LIT("abc"), 9).len, 0);
}

static void blanks_go_from_the_ends(void **state)
{
    (void)state;
    assert_true(span_equal(span_trim_start(SPAN_LIT("\t  a b \t")), SPAN_LIT("a b \t")));
    assert_true(span_equal(span_trim_end(SPAN_LIT("\t  a b \t")), SPAN_LIT("\t  a b")));
    assert_true(span_equal(span_trim(SPAN_LIT("\t  a b \t")), SPAN_LIT("a b")));
    assert_true(span_equal(span_trim(SPAN_LIT("\r\n\v")), SPAN_LIT("\r\n\v")));
    assert_int_equal(span_trim(SPAN_LIT(" \t ")).len, 0);
    assert_int_equal(span_trim_start(SPAN_LIT(" \t ")).len, 0);
    assert_int_equal(span_trim_end(SPAN_LIT(" \t ")).len, 0);
    assert_int_equal(span_trim(span_make(NULL, 0)).len, 0);
}

static void parts_are_cut_off_at_a_byte(void **state)
{
    struct span rest = SPAN_LIT("a;;bc;");

    (void)state;
    assert_true(span_equal(span_cut(&rest, ';'), SPAN_LIT("a")));
    assert_true(span_equal(rest, SPAN_LIT(";bc;")));
    assert_int_equal(span_cut(&rest, ';').len, 0);
    assert_true(span_equal(span_cut(&rest, ';'), SPAN_LIT("bc")));
    assert_int_equal(rest.len, 0); /* the delimiter at the end is gone as well */
    assert_int_equal(span_cut(&rest, ';').len, 0);
    rest = SPAN_LIT("whole");
    assert_true(span_equal(span_cut(&rest, ';'), SPAN_LIT("whole")));
    assert_int_equal(rest.len, 0);
    rest = span_make(NULL, 0);
    assert_int_equal(span_cut(&rest, 0).len, 0);
    rest = SPAN_LIT("a\0b");
    assert_true(span_equal(span_cut(&rest, '\0'), SPAN_LIT("a")));
    assert_true(span_equal(rest, SPAN_LIT("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_folds_ascii_only),
        cmocka_unit_test(numbers_are_digits_within_bounds),
        cmocka_unit_test(cstr_needs_room_for_its_nul),
        cmocka_unit_test(from_never_passes_the_end),
        cmocka_unit_test(blanks_go_from_the_ends),
        cmocka_unit_test(parts_are_cut_off_at_a_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
