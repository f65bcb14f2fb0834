/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do a leg's bytes come out of the transport's pipe as they went in, however full it is? Many
 * kernels drop what of a record does not fit. And does nobody wait for a far end that takes nothing
 * from it? With records only where the kernel has TLS: tests/vm runs them where one has.
 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_lab.h"
#include "dp_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY = 1500000, PIECE = 32 * 1024, TAKEN_MAX = 64 * 1024 * 1024, HANG_S = 30 };

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
static void body_take(struct lab *lab, size_t sip)
{
    struct dp_transport *t = dp_transport_of(lab->dp);
    uint32_t a = lab->a.id.slot, b = lab->b.id.slot;
    size_t held = 0, have = 0;
    unsigned full = 0;
    /* A window that was full may open by TCP's probe alone, which a busy machine sends late. */
    uint64_t hang_ms = (uint64_t)HANG_S * 1000 * lab_patience(), moved_ms = dp_now_ms(lab->dp);

    assert_int_equal(t->ops->pipe_take(t, a), ERR_OK);
    while (have < BODY && dp_now_ms(lab->dp) < moved_ms + hang_ms) {
        size_t moved = 0;
        ssize_t n;
        while ((n = t->ops->splice_in(t, a, BODY)) > 0)
            moved += (size_t)n;
        assert_true(n == -EAGAIN || n == -ENOSPC);
        full += n == -ENOSPC;
        held += moved;
        n = held > 0 ? t->ops->splice_out(t, a, b, sip < held ? sip : held, false) : 0;
        if (n > 0) {
            held -= (size_t)n;
            have += (size_t)n;
            moved += (size_t)n;
        }
        if (moved > 0)
            moved_ms = dp_now_ms(lab->dp);
        if (moved == 0 || n == -EAGAIN)
            lab_run(lab, 100);
    }
    t->ops->pipe_give(t, a);
    lab_run(lab, 100);
    assert_int_equal(buf_len(&lab->client.outbox), 0); /* or it is late, not lost */
    assert_int_equal(held, 0);
    assert_int_equal(have, BODY);
    assert_true(full > 0);
}

static void nothing_is_lost_in_a_pipe_that_is_nearly_full(void **state)
{
    static const size_t sips[] = {5000, 4096, 777, 100000};
    uint8_t *body = malloc(BODY);

    ASSERT(body);
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
            body_take(&lab, sips[s]);
            assert_int_equal(buf_len(&lab.server.text), BODY);
            assert_memory_equal(buf_span(&lab.server.text).ptr, body, BODY);
            lab_close(&lab);
        }
    }
    free(body);
}

/* Moves what the client sends until the far end, which reads nothing, takes no more. */
static void fill_target(struct lab *lab, const uint8_t *body)
{
    struct dp_transport *t = dp_transport_of(lab->dp);
    uint32_t a = lab->a.id.slot, b = lab->b.id.slot;
    size_t held = 0, taken = 0;
    ssize_t n = 0;

    assert_int_equal(t->ops->pipe_take(t, a), ERR_OK);
    while (n != -EAGAIN) {
        assert_true(taken < TAKEN_MAX);
        lab_send(&lab->client, body, PIECE, PIECE / 4);
        lab_run(lab, 20);
        /* No more than is there: without records a splice would wait for it. */
        for (held = 0; held < PIECE; held += (size_t)n) {
            n = t->ops->splice_in(t, a, PIECE - held);
            for (int i = 0; n == -EAGAIN && i < 100; i++) { /* it comes late */
                lab_run(lab, 20);
                n = t->ops->splice_in(t, a, PIECE - held);
            }
            assert_true(n > 0);
        }
        for (; held > 0 && (n = t->ops->splice_out(t, a, b, held, false)) > 0; held -= (size_t)n)
            taken += (size_t)n;
    }
    t->ops->pipe_give(t, a);
}

static void a_far_end_that_takes_nothing_is_not_waited_for(void **state)
{
    uint8_t *body = malloc(BODY);
    bool tls = lab_kernel_has_tls();

    ASSERT(body);
    lab_body(body, BODY, 7);
    for (size_t i = 0; i < (tls ? sizeof(kinds) / sizeof(kinds[0]) : 1); i++) {
        const struct lab_tls plain = {0};
        const struct lab_conf conf = {
            .a = tls ? kinds[i] : plain, .b = tls ? kinds[i] : plain, .max_relays = 2};
        struct lab lab;
        lab_open(&lab, &conf);
        assert_int_equal(dp_pause(lab.dp, lab.a.id), ERR_OK);
        lab_send(&lab.client, "x", 1, 1);
        lab_run(&lab, 100);
        lab_hold(&lab.server, true);
        alarm(HANG_S * lab_patience());
        fill_target(&lab, body);
        alarm(0);
        /* The receive that was under way there meanwhile is as before. */
        lab_send(&lab.server, "250 ok\r\n", 8, 8);
        lab_run(&lab, 200);
        assert_int_equal(buf_len(&lab.b.text), 8);
        lab_close(&lab);
    }
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_far_end_that_takes_nothing_is_not_waited_for),
        cmocka_unit_test(nothing_is_lost_in_a_pipe_that_is_nearly_full),
    };
    const struct CMUnitTest without_tls[] = {
        cmocka_unit_test(a_far_end_that_takes_nothing_is_not_waited_for),
    };
    lab_way = (struct lab_way){.name = "pipe",
                               .sockets = true,
                               .settled = true,
                               .kernel_rx = {.on = true},
                               .kernel_tx = {.on = true}};
    if (!lab_kernel_has_tls()) {
        lab_skipped("nothing_is_lost_in_a_pipe_that_is_nearly_full");
        return cmocka_run_group_tests(without_tls, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
