/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "xxh64.h"

#include <string.h>

static uint64_t digest_of(const void *data, size_t len)
{
    struct xxh64 x;

    xxh64_init(&x);
    xxh64_update(&x, data, len);
    return xxh64_digest(&x);
}

/* From the reference implementation, seed 0. */
static void known_answers(void **state)
{
    static const char sentence[] =
        "Call me Ishmael. Some years ago--never mind how long precisely-";

    (void)state;
    assert_true(digest_of("", 0) == UINT64_C(0xEF46DB3751D8E999));
    assert_true(digest_of("a", 1) == UINT64_C(0xD24EC4F1A98C6E5B));
    assert_true(digest_of("as", 2) == UINT64_C(0x1C330FB2D66BE179));
    assert_true(digest_of("asd", 3) == UINT64_C(0x631C37CE72A97393));
    assert_true(digest_of("asdf", 4) == UINT64_C(0x415872F599CEA71E));
    assert_true(digest_of(sentence, 63) == UINT64_C(0x02A2E85470D6FD96));
}

static void fragmentation_changes_nothing(void **state)
{
    uint8_t data[257];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t step = 1; step <= sizeof(data); step++) {
        struct xxh64 x;
        xxh64_init(&x);
        for (size_t at = 0; at < sizeof(data); at += step)
            xxh64_update(&x, data + at, sizeof(data) - at < step ? sizeof(data) - at : step);
        assert_true(xxh64_digest(&x) == digest_of(data, sizeof(data)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(fragmentation_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
