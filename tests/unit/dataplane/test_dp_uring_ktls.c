/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel records, over kernel TCP on loopback, with far ends that have our own records. Skipped
 * where the kernel has no TLS: tests/vm runs it where one has.
 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_bridge.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static const struct lab_tls *const kinds = &lab_kinds[1]; /* without plaintext */
enum { KINDS = LAB_KINDS - 1 };

static void bodies_cross_from_the_hand_off_on(void **state)
{
    for (unsigned ways = 1; ways < 4; ways++) {
        const struct dp_conf conf = {.max_legs = 16,
                                     .max_relays = 4,
                                     .kernel_rx = {.on = ways & 1},
                                     .kernel_tx = {.on = ways & 2}};
        for (size_t a = 0; a < KINDS; a++) {
            const size_t sizes[] = {5, 4096, bridge_large((unsigned)a + KINDS * (ways - 1))};
            for (size_t s = 0; s < 3; s++)
                bridge_whole(&conf, &kinds[a], &kinds[(a + ways) % KINDS], sizes[s],
                             a % 2 ? 16384 : 1400, (unsigned)a);
        }
    }
}

static uint32_t segments_received(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_data_segs_in;
}

/* Loopback's segments have room for almost four records. */
static void large_sends_fill_segments(void **state)
{
    static const size_t sizes[] = {DP_OUTPUT_MAX, DP_OUTPUT_MAX - 1, 5 * 16384 + 1, 64 * 1024};
    uint8_t *data = malloc(DP_OUTPUT_MAX);

    ASSERT(data);
    lab_body(data, DP_OUTPUT_MAX, 3);
    lab_way = (struct lab_way){
        .name = "segments", .sockets = true, .settled = true, .kernel_tx = {.on = true}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct lab_conf conf = {.a = kinds[0], .b = kinds[0], .max_relays = 2};
        struct lab lab;
        lab_open(&lab, &conf);
        uint32_t before = segments_received(lab.client.fd);
        assert_int_equal(dp_send(lab.dp, lab.a.id, data, sizes[i]), ERR_OK);
        lab_run(&lab, 1000);
        assert_int_equal(buf_len(&lab.client.text), sizes[i]);
        assert_memory_equal(buf_span(&lab.client.text).ptr, data, sizes[i]);
        assert_int_equal(lab.client.records, (sizes[i] + 16383) / 16384);
        assert_true(segments_received(lab.client.fd) - before < lab.client.records);
        lab_close(&lab);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_cross_from_the_hand_off_on),
        cmocka_unit_test(large_sends_fill_segments),
    };
    if (!lab_kernel_has_tls()) {
        puts("no kernel TLS here");
        return LAB_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
