/* SPDX-License-Identifier: Apache-2.0 */
#include "test_crypto.h"

#include "buf.h"
#include "tls_fake.h"
#include "tls_record.h"
#include "tls_service.h"

struct side {
    struct tls_service *service;
    struct buf out, rest;
    bool done, failed, release_on_output;
    struct tls_keys keys;
    struct tls_facts facts;
};

static const struct leg_id leg = {2, 7};

static void on_output(void *user, struct leg_id id, struct span bytes)
{
    struct side *s = user;

    assert_true(leg_same(id, leg));
    assert_int_equal(buf_append_span(&s->out, bytes), ERR_OK);
    if (s->release_on_output)
        s->service->ops->release(s->service, id);
}

static void on_done(void *user, struct leg_id id, const struct tls_keys *keys,
                    const struct tls_facts *facts, struct span rest)
{
    struct side *s = user;

    assert_false(s->done || s->failed);
    s->done = true;
    s->keys = *keys;
    s->facts = *facts;
    assert_int_equal(buf_append_span(&s->rest, rest), ERR_OK);
}

static void on_failed(void *user, struct leg_id id, const struct tls_failure *failure)
{
    struct side *s = user;

    assert_false(s->done || s->failed);
    s->failed = true;
}

static void side_open(struct side *s, uint64_t seed)
{
    static const struct tls_service_events events = {on_output, on_done, on_failed};
    const struct tls_service_conf conf = {.max_legs = 4, .max_handshakes = 2};

    *s = (struct side){0};
    assert_int_equal(tls_service_fake_new(&conf, seed, &events, s, NULL, NULL, &s->service),
                     ERR_OK);
}

static void side_close(struct side *s)
{
    s->service->ops->free(s->service);
    buf_release(&s->out);
    buf_release(&s->rest);
}

/* Carries bytes between the service and a test's peer, whose last flight has more behind it. */
static void run(struct side *s, struct tls_fake *peer, size_t fragment, const char *more)
{
    bool moved = true;

    while (moved && !s->done && !s->failed) {
        uint8_t wire[TLS_FAKE_FLIGHT_MAX + 64];
        size_t len = peer->out_len;

        memcpy(wire, peer->out, len);
        peer->out_len = 0;
        if (peer->state == TLS_FAKE_DONE) {
            memcpy(wire + len, more, strlen(more));
            len += strlen(more);
        }
        for (size_t at = 0, n; at < len; at += n) {
            n = fragment && fragment < len - at ? fragment : len - at;
            if (s->done)
                assert_int_equal(buf_append(&s->rest, wire + at, n), ERR_OK);
            s->service->ops->feed(s->service, leg, span_make(wire + at, n));
        }
        struct span in = buf_span(&s->out);
        moved = len > 0 || in.len > 0;
        if (in.len > 0 && peer->state != TLS_FAKE_DONE) {
            int err = tls_fake_feed(peer, &in);
            assert_true(err == ERR_OK || err == ERR_AGAIN);
            buf_clear(&s->out);
        }
    }
}

static void keys_match(const struct tls_keys *a, const struct tls_keys *b)
{
    struct tls_record_dir tx, rx;
    struct tls_record got;
    uint8_t record[64];
    size_t len;

    assert_memory_equal(&a->tx, &b->rx, sizeof(a->tx));
    assert_memory_equal(&a->rx, &b->tx, sizeof(a->tx));
    assert_int_equal(tls_record_init(&tx, a, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(&rx, b, TLS_DIR_RX), ERR_OK);
    assert_int_equal(tls_record_seal(&tx, TLS_CONTENT_DATA, (const uint8_t *)"hi", 2, record, &len),
                     ERR_OK);
    assert_int_equal(tls_record_open(&rx, record, len, &got), ERR_OK);
    tls_record_free(&tx);
    tls_record_free(&rx);
}

static void both_roles_end_in_matching_keys(void **state)
{
    static const char *const checked[] = {"", "fake name", "fake pin", "fake dane"};
    static const size_t fragments[] = {0, 1, 3, 100};
    static struct tls_fake peer;

    for (size_t i = 0; i < 8; i++) {
        bool is_server = i % 2;
        struct side s;

        side_open(&s, 42 + i);
        tls_fake_init(&peer, !is_server, 1000 + i, is_server ? "mx.example" : NULL);
        if (is_server)
            assert_int_equal(s.service->ops->start_server(s.service, leg, NULL), ERR_OK);
        else
            assert_int_equal(
                s.service->ops->start_client(
                    s.service, leg,
                    &(struct tls_client_request){.check = i / 2, .sni = "next.example"}),
                ERR_OK);
        run(&s, &peer, fragments[i / 2], "ciphertext");
        assert_true(s.done);
        assert_int_equal(peer.state, TLS_FAKE_DONE);
        if (is_server)
            assert_memory_equal(buf_span(&s.rest).ptr, "ciphertext", 10);
        assert_string_equal(s.facts.suite, "TLS_AES_128_GCM_SHA256");
        assert_int_equal(s.facts.verify, is_server || i / 2 != TLS_CHECK_NOTHING
                                             ? TLS_VERIFY_OK
                                             : TLS_VERIFY_UNCHECKED);
        assert_string_equal(s.facts.verify_text, is_server ? "fake" : checked[i / 2]);
        assert_string_equal(is_server ? s.facts.sni : peer.sni,
                            is_server ? "mx.example" : "next.example");
        keys_match(&s.keys, &peer.keys);
        side_close(&s);
    }
}

static void a_run_depends_on_its_seed_only(void **state)
{
    struct side a, b, c;

    side_open(&a, 1);
    side_open(&b, 1);
    side_open(&c, 2);
    struct side *all[] = {&a, &b, &c};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(all[i]->service->ops->start_client(all[i]->service, leg,
                                                            &(struct tls_client_request){0}),
                         ERR_OK);
    assert_true(span_equal(buf_span(&a.out), buf_span(&b.out)));
    assert_false(span_equal(buf_span(&a.out), buf_span(&c.out)));
    for (size_t i = 0; i < 3; i++)
        side_close(all[i]);
}

static void a_peer_that_breaks_the_exchange_fails(void **state)
{
    static struct tls_fake peer;

    for (size_t at = 0; at < 70; at++) {
        struct side s;

        side_open(&s, 5);
        tls_fake_init(&peer, false, 6, NULL);
        assert_int_equal(s.service->ops->start_server(s.service, leg, NULL), ERR_OK);
        run(&s, &peer, 0, "");
        assert_true(s.done);
        side_close(&s);

        side_open(&s, 5);
        tls_fake_init(&peer, false, 6, NULL);
        assert_int_equal(s.service->ops->start_server(s.service, leg, NULL), ERR_OK);
        s.service->ops->feed(s.service, leg, span_make(peer.out, peer.out_len));
        struct span in = buf_span(&s.out);
        assert_int_equal(tls_fake_feed(&peer, &in), ERR_OK);
        peer.out[at % peer.out_len] ^= 0x20;
        s.service->ops->feed(s.service, leg, span_make(peer.out, peer.out_len));
        assert_false(s.done);
        side_close(&s);
    }
}

static void legs_are_kept_apart(void **state)
{
    struct side s;

    side_open(&s, 5);
    const struct tls_service_ops *ops = s.service->ops;
    assert_int_equal(ops->start_server(s.service, (struct leg_id){0, 1}, NULL), ERR_OK);
    assert_int_equal(ops->start_server(s.service, (struct leg_id){1, 1}, NULL), ERR_OK);
    assert_int_equal(ops->start_server(s.service, leg, NULL), ERR_LIMIT);
    assert_int_equal(ops->start_server(s.service, (struct leg_id){1, 1}, NULL), ERR_STATE);
    assert_int_equal(ops->start_server(s.service, (struct leg_id){4, 1}, NULL), ERR_RANGE);
    ops->feed(s.service, (struct leg_id){1, 9}, SPAN_LIT("garbage"));
    assert_false(s.failed);
    ops->release(s.service, (struct leg_id){1, 1});
    s.release_on_output = true;
    assert_int_equal(ops->start_client(s.service, leg, &(struct tls_client_request){0}), ERR_OK);
    ops->feed(s.service, leg, SPAN_LIT("garbage"));
    assert_false(s.failed);
    side_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_roles_end_in_matching_keys),
        cmocka_unit_test(a_run_depends_on_its_seed_only),
        cmocka_unit_test(a_peer_that_breaks_the_exchange_fails),
        cmocka_unit_test(legs_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
