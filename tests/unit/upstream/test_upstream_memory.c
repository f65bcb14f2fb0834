/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No memory while a body goes out in chunks: does each command still go out with its bytes, or not
 * at all? And while a host is judged, and that is kept for the next message: does mail wait rather
 * than go with less TLS? Every allocation in turn fails once.
 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEAD = 3000, TRIES = 3, PATIENCE_MS = 600 * 1000 };

static struct world w;
static unsigned until_failure, until_copy_failure; /* 0: none fails */

void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *__wrap_realloc(void *at, size_t size)
{
    if (until_failure > 0 && --until_failure == 0)
        return NULL;
    return __real_realloc(at, size);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    if (until_copy_failure > 0 && --until_copy_failure == 0)
        return NULL;
    return __real_malloc(size);
}

static struct sender *begin(void)
{
    world_init(&w, 1);
    w.routes[0].data_to_bdat = true;
    world_start(&w);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, "rcpt 250 2.1.5\n");
    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(&w, 1000);
    sender_expect(s, "data 354 3.0.0\n");
    return s;
}

/* As a sender would: what did not go is asked for again. */
static int send_chunk(struct sender *s, struct span bytes, bool last)
{
    int err = hop_data_chunk(s->hop, bytes, 0, last);

    for (unsigned i = 0; err != ERR_OK && i < TRIES; i++) {
        until_failure = 0;
        world_run(&w, 10);
        err = hop_data_chunk(s->hop, bytes, 0, last);
    }
    return err;
}

/* A message of two chunks; true where it got by without the failure that was due. */
static bool with_failure(unsigned which)
{
    struct sender *s = begin();
    char body[2 * LEAD];

    for (unsigned i = 0; i < sizeof(body); i++)
        body[i] = (char)('a' + i % 23);
    until_failure = which;
    int err = send_chunk(s, span_make(body, LEAD), false);
    if (err == ERR_OK)
        err = send_chunk(s, span_make(body + LEAD, LEAD), true);
    bool spared = until_failure > 0;
    until_failure = 0;
    if (err == ERR_OK)
        (void)!hop_finish(s->hop, span_make(NULL, 0));
    world_run(&w, PATIENCE_MS);
    if (s->last.code == 250) {
        assert_int_equal(buf_len(&w.mtas[0].bodies), sizeof(body));
        assert_memory_equal(buf_span(&w.mtas[0].bodies).ptr, body, sizeof(body));
    } else {
        assert_int_equal(s->last.code / 100, 4);
        mta_never(&w.mtas[0], "LAST");
    }
    sender_close(s);
    world_end(&w);
    return spared;
}

static void test_a_command_goes_out_with_its_bytes(void **state)
{
    unsigned which = 1;

    while (!with_failure(which))
        which++;
    assert_true(which > 1); /* something was allocated */
}

/* Two messages for a domain of DANE, and the second is recalled, or not; true where they got by
 * without the failure that was due. */
static bool judged_with_failure(unsigned which)
{
    static const char *const patterns[] = {"*.test", NULL};

    world_init(&w, 1);
    w.routes[0].mx = true;
    w.routes[0].tls.level = CONF_LEVEL_AUTO;
    w.mx = (struct dns_mx_answer){.secure = true, .ttl_s = 60, .len = 1, .mx[0].host = "mx1.test"};
    world_tlsa(&w, 1, 3, 7);
    w.tlsa[0].ttl_s = 60;
    world_sts(&w, STS_MODE_ENFORCE, "1", patterns);
    w.sts.ttl_s = 60;
    world_start(&w);
    until_copy_failure = which;
    for (unsigned i = 0; i < 2; i++) {
        struct sender *s = sender_open(&w, i, 0, 1);
        world_run(&w, 1000);
        assert_true(s->last.code == 250 || s->last.code == 451);
        sender_close(s);
        world_run(&w, 1000);
    }
    bool spared = until_copy_failure > 0;
    until_copy_failure = 0;
    sender_message(&w, 2, 0);
    assert_int_equal(w.senders[2].last.code, 250);
    for (unsigned i = 0; i < w.requests_len; i++) {
        assert_int_equal(w.requests[i].check, TLS_CHECK_DANE);
        assert_int_equal(w.requests[i].tlsa_len, 1);
    }
    world_end(&w);
    return spared;
}

static void test_a_decision_is_whole_or_none(void **state)
{
    unsigned which = 1;

    while (!judged_with_failure(which))
        which++;
    assert_true(which > 4); /* two answers, and what is kept of them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_goes_out_with_its_bytes),
        cmocka_unit_test(test_a_decision_is_whole_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
