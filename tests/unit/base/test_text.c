/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "text.h"

static void pieces_follow_each_other(void **state)
{
    char room[64];
    struct text t = text_into(room, sizeof(room));

    text_str(&t, "a=");
    text_u64(&t, 0, 1);
    text_span(&t, SPAN_LIT(" b="));
    text_u64(&t, 7, 3);
    text_put(&t, " c=", 3);
    text_u64(&t, UINT64_MAX, 1);
    text_put(&t, " d=", 3);
    text_hex(&t, 0);
    text_hex(&t, 0xbeef12);
    assert_false(t.full);
    assert_string_equal(text_end(&t), "a=0 b=007 c=18446744073709551615 d=0beef12");
}

static void digits_are_filled_up_with_zeros(void **state)
{
    char room[21];
    struct text t = text_into(room, sizeof(room));

    text_u64(&t, 123, 2);
    assert_string_equal(text_end(&t), "123");
    t = text_into(room, sizeof(room));
    text_u64(&t, 0, 20);
    assert_string_equal(text_end(&t), "00000000000000000000");
    t = text_into(room, sizeof(room));
    text_u64(&t, 5, 0);
    assert_string_equal(text_end(&t), "5");
}

static void nothing_comes_behind_what_did_not_fit(void **state)
{
    char room[5] = "xxxx";
    struct text t = text_into(room, 4);

    text_str(&t, "ab");
    text_str(&t, "cde");
    assert_true(t.full);
    text_str(&t, "f");
    assert_int_equal(t.len, 2);
    assert_string_equal(text_end(&t), "ab");
    assert_memory_equal(room + 3, "x", 2);
}

static void room_may_be_used_up(void **state)
{
    char room[4];
    struct text t = text_into(room, sizeof(room));

    text_span(&t, (struct span){0});
    text_str(&t, "abcd");
    assert_false(t.full);
    assert_memory_equal(room, "abcd", 4);
    assert_string_equal(text_end(&t), "abc"); /* the NUL takes a place */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_follow_each_other),
        cmocka_unit_test(digits_are_filled_up_with_zeros),
        cmocka_unit_test(nothing_comes_behind_what_did_not_fit),
        cmocka_unit_test(room_may_be_used_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
