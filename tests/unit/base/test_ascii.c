/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "ascii.h"

#include <ctype.h>

/* The tests run in the C locale, whose classes are these for the bytes below 128. */
static void classes_are_those_of_ascii(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool ascii = c < 128;
        assert_int_equal(ascii_is_blank((uint8_t)c), c == ' ' || c == '\t');
        assert_int_equal(ascii_is_alpha((uint8_t)c), ascii && isalpha((int)c) != 0);
        assert_int_equal(ascii_is_alnum((uint8_t)c), ascii && isalnum((int)c) != 0);
        assert_int_equal(ascii_lower((uint8_t)c), ascii ? (unsigned)tolower((int)c) : c);
        assert_int_equal(ascii_hex_value((uint8_t)c) >= 0, ascii && isxdigit((int)c) != 0);
    }
}

static void hexadecimal_digits_have_their_values(void **state)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";

    (void)state;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(ascii_hex_value((uint8_t)lower[i]), i);
        assert_int_equal(ascii_hex_value((uint8_t)upper[i]), i);
    }
}

static void letters_become_lower(void **state)
{
    char text[] = "MX1.[Ex]-\xC4\xD6.ORG@Z";

    (void)state;
    ascii_lower_all(text);
    assert_string_equal(text, "mx1.[ex]-\xC4\xD6.org@z");
}

static void what_is_escaped_is_read(void **state)
{
    char out[8];

    (void)state;
    assert_true(ascii_unescape(SPAN_LIT("a+2Bb+3d"), '+', out, sizeof(out)));
    assert_string_equal(out, "a+b=");
    assert_true(ascii_unescape(SPAN_LIT("a+2B"), '%', out, sizeof(out)));
    assert_string_equal(out, "a+2B");
    assert_true(ascii_unescape(SPAN_LIT("%25%7e"), '%', out, sizeof(out)));
    assert_string_equal(out, "%~");
    assert_true(ascii_unescape(SPAN_LIT(""), '%', out, sizeof(out)));
    assert_string_equal(out, "");
    assert_false(ascii_unescape(SPAN_LIT("%"), '%', out, sizeof(out)));
    assert_false(ascii_unescape(SPAN_LIT("%4"), '%', out, sizeof(out)));
    assert_false(ascii_unescape(SPAN_LIT("%4x"), '%', out, sizeof(out)));
    assert_false(ascii_unescape(SPAN_LIT("%x4"), '%', out, sizeof(out)));
    assert_false(ascii_unescape(SPAN_LIT("%%41"), '%', out, sizeof(out)));
    /* The digits are there, and the span ends before them. */
    assert_false(ascii_unescape(span_make("a%41", 3), '%', out, sizeof(out)));
}

static void what_is_not_printable_is_refused(void **state)
{
    static const struct span bad[] = {
        SPAN_LIT("%00"),  SPAN_LIT("%0A"), SPAN_LIT("%20"), SPAN_LIT("%7F"),  SPAN_LIT("%C3"),
        SPAN_LIT("a\0b"), SPAN_LIT("a b"), SPAN_LIT("\r"),  SPAN_LIT("\x7f"), SPAN_LIT("\xc3"),
    };
    char out[8];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ascii_unescape(bad[i], '%', out, sizeof(out)));
}

static void what_does_not_fit_is_refused(void **state)
{
    char out[4] = "...";

    (void)state;
    assert_true(ascii_unescape(SPAN_LIT("a%41b"), '%', out, sizeof(out)));
    assert_string_equal(out, "aAb");
    assert_false(ascii_unescape(SPAN_LIT("abcd"), '%', out, sizeof(out)));
    assert_false(ascii_unescape(SPAN_LIT("abc%64"), '%', out, sizeof(out)));
}

static void texts_for_people_are_masked(void **state)
{
    char text[] = "a \x1b[2J~\x7f\xc3\xa4\n";

    (void)state;
    ascii_mask(text);
    assert_string_equal(text, "a ?[2J~????");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_those_of_ascii),
        cmocka_unit_test(hexadecimal_digits_have_their_values),
        cmocka_unit_test(letters_become_lower),
        cmocka_unit_test(what_is_escaped_is_read),
        cmocka_unit_test(what_is_not_printable_is_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(texts_for_people_are_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
