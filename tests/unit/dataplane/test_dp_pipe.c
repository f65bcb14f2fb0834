/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do a leg's bytes come out of the transport's pipe as they went in, however full it is? Many
 * kernels drop what of a record does not fit. Skipped where the kernel has no TLS: tests/vm runs it
 * where one has.
 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_lab.h"
#include "dp_transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BODY = 1500000 };

static const struct lab_tls kinds[] = {
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
};

/* Records of all sizes, among them runs of tiny ones: each takes a page of the pipe. */
static void body_send(struct lab *lab, const uint8_t *body)
{
    static const size_t sizes[] = {16384, 16384, 1, 1, 1, 16000, 5, 700, 4096, 16384};
    size_t at = 0;

    for (unsigned i = 0; at < BODY; i++) {
        size_t record = sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
        size_t n = BODY - at < record ? BODY - at : record;
        lab_send(&lab->client, body + at, n, record);
        at += n;
    }
}

/* The pipe is filled until it takes no more, and emptied a little: that is where it is nearly full
 * all the time. */
static void body_take(struct lab *lab, uint8_t *out, size_t sip)
{
    struct dp_transport *t = dp_transport_of(lab->dp);
    size_t size, have = 0;

    assert_int_equal(t->ops->pipe_take(t, lab->a.id.slot, &size), ERR_OK);
    for (unsigned idle = 0; have < BODY && idle < 100;) {
        size_t moved = 0;
        ssize_t n;
        while ((n = t->ops->splice_in(t, lab->a.id.slot, BODY)) > 0)
            moved += (size_t)n;
        assert_int_equal(n, -EAGAIN);
        n = t->ops->pipe_read(t, lab->a.id.slot, out + have, sip < BODY - have ? sip : BODY - have);
        if (n > 0) {
            have += (size_t)n;
            moved += (size_t)n;
        }
        idle = moved > 0 ? 0 : idle + 1;
        if (moved == 0)
            lab_run(lab, 100);
    }
    t->ops->pipe_give(t, lab->a.id.slot);
    assert_int_equal(have, BODY);
}

static void nothing_is_lost_in_a_pipe_that_is_nearly_full(void **state)
{
    static const size_t sips[] = {5000, 4096, 777, 100000};
    uint8_t *body = malloc(BODY), *out = malloc(BODY);

    ASSERT(body && out);
    lab_body(body, BODY, 7);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (size_t s = 0; s < sizeof(sips) / sizeof(sips[0]); s++) {
            const struct lab_conf conf = {.a = kinds[i], .b = kinds[i], .max_relays = 2};
            struct lab lab;
            lab_open(&lab, &conf);
            assert_int_equal(dp_pause(lab.dp, lab.a.id), ERR_OK);
            /* For the receive that was under way: no further one begins. */
            lab_send(&lab.client, "x", 1, 1);
            lab_run(&lab, 100);
            body_send(&lab, body);
            lab_run(&lab, 200);
            body_take(&lab, out, sips[s]);
            assert_memory_equal(out, body, BODY);
            lab_close(&lab);
        }
    }
    free(body);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_in_a_pipe_that_is_nearly_full),
    };
    if (!lab_kernel_has_tls()) {
        puts("no kernel TLS here");
        return LAB_SKIPPED;
    }
    lab_way = (struct lab_way){.name = "pipe",
                               .sockets = true,
                               .settled = true,
                               .kernel_rx = {.on = true},
                               .kernel_tx = {.on = true}};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
