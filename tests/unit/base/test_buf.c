/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "arena.h"
#include "buf.h"

static void appends_and_consumes_in_order(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (unsigned round = 0; round < 1000; round++) {
        assert_int_equal(buf_printf(&b, "%04u", round), ERR_OK);
        if (round % 3 == 0)
            buf_consume(&b, 4);
    }
    assert_int_equal(buf_len(&b), 4 * (1000 - 334));
    assert_memory_equal(buf_span(&b).ptr, "0334", 4);
    buf_release(&b);
    assert_null(b.data);
}

static void bound_holds_and_changes_nothing(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    assert_int_equal(buf_append(&b, "12345678", 8), ERR_OK);
    assert_int_equal(buf_append(&b, "abc", 3), ERR_FULL);
    assert_int_equal(buf_len(&b), 8);
    assert_int_equal(buf_append(&b, "ab", 2), ERR_OK);
    assert_int_equal(buf_append(&b, "x", 1), ERR_FULL);
    buf_consume(&b, 10);
    assert_int_equal(buf_append(&b, "0123456789", 10), ERR_OK);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_release(&b);
    assert_int_equal(b.max, 10);
}

static void arena_hands_out_zeroed_aligned_memory(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    for (size_t n = 0; n < 3 * 5000; n += 37) {
        size_t size = n % 5000;
        if (size < 37)
            arena_free(&a); /* what comes now was written to before */
        uint8_t *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    assert_string_equal(arena_strdup(&a, SPAN_LIT("name")), "name");
    arena_free(&a);
    assert_null(a.blocks);
    assert_int_equal(a.used, 0);
}

static void arena_bound_holds(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 64);
    assert_non_null(arena_alloc(&a, 48));
    assert_null(arena_alloc(&a, 17));
    assert_non_null(arena_alloc(&a, 16));
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 64));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_consumes_in_order),
        cmocka_unit_test(bound_holds_and_changes_nothing),
        cmocka_unit_test(arena_hands_out_zeroed_aligned_memory),
        cmocka_unit_test(arena_bound_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
