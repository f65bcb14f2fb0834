/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel records, over kernel TCP on loopback, with far ends that have our own records. Skipped
 * where the kernel has no TLS: tests/vm runs it where one has.
 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_bridge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lab_tls kinds[] = {
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct dp_conf conf_make(bool rx, bool tx, uint64_t after_bytes)
{
    return (struct dp_conf){.max_legs = 16,
                            .max_relays = 4,
                            .kernel_rx = {.on = rx, .after_bytes = after_bytes},
                            .kernel_tx = {.on = tx, .after_bytes = after_bytes}};
}

static void crosses(const struct dp_conf *conf, size_t a, size_t b, size_t size, size_t record)
{
    uint8_t *body = body_with_end(size);
    struct far client = {.body = body, .len = size, .seed = (unsigned)(a + b), .record = record};
    struct far server = {.seed = (unsigned)(a * b)};
    struct bridge bridge;

    bridge_cross(conf, &kinds[a], &kinds[b], &client, &server, &bridge);
    assert_int_equal(bridge.end, DP_RELAY_DONE);
    assert_int_equal(buf_len(&server.text), size);
    assert_memory_equal(buf_span(&server.text).ptr, body, size);
    assert_int_equal(buf_len(&client.text), 8);
    assert_true(client.clean && server.clean && client.close_notify && server.close_notify);
    far_free(&client);
    far_free(&server);
    free(body);
}

static void bodies_cross_from_the_hand_off_on(void **state)
{
    static const size_t sizes[] = {5, 4096, 3000000};

    for (unsigned ways = 1; ways < 4; ways++) {
        const struct dp_conf conf = conf_make(ways & 1, ways & 2, 0);
        for (size_t a = 0; a < KINDS; a++) {
            for (size_t s = 0; s < 3; s++)
                crosses(&conf, a, (a + ways) % KINDS, sizes[s], a % 2 ? 16384 : 1400);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_cross_from_the_hand_off_on),
    };
    if (!lab_kernel_has_tls()) {
        puts("no kernel TLS here");
        return LAB_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
