/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only answers that come later than their call can do wrong: bytes that overtake them, legs
 * that are gone meanwhile, turns that are waited for, an end with work under way.
 */
#include "tls_lab.h"

#include "tls_thread.h"

#include <poll.h>

enum { LEGS = 24, IN_FLIGHT = 2, WAITING = 3 };

static struct lab_cert ecdsa;
static struct tls_server_ctx *ctx;
static SSL_CTX *peer_ctx;

struct side {
    SSL *peer;
    uint32_t generation;
    bool heard; /* its first flight */
    unsigned dones, failures;
    enum tls_fail kind;
    char text[160];
    struct buf out, rest;
    struct tls_keys keys;
};

struct crowd {
    struct tls_service *service;
    int fd;
    struct side sides[LEGS];
    unsigned order[LEGS], order_len; /* slots, as their first flights came */
};

static struct side *side_of(struct crowd *c, struct leg_id leg)
{
    struct side *s = &c->sides[leg.slot];

    assert_int_equal(leg.generation, s->generation); /* nothing is told of a leg that is gone */
    return s;
}

static void on_output(void *user, struct leg_id leg, struct span bytes)
{
    struct crowd *c = user;
    struct side *s = side_of(c, leg);

    assert_int_equal(s->dones + s->failures, 0);
    if (!s->heard && c->order_len < LEGS)
        c->order[c->order_len++] = leg.slot;
    s->heard = true;
    assert_int_equal(buf_append_span(&s->out, bytes), ERR_OK);
}

static void on_done(void *user, struct leg_id leg, const struct tls_keys *keys,
                    const struct tls_facts *facts, struct span rest)
{
    struct side *s = side_of(user, leg);

    assert_int_equal(s->failures, 0);
    s->dones++;
    s->keys = *keys;
    assert_int_equal(buf_append_span(&s->rest, rest), ERR_OK);
}

static void on_failed(void *user, struct leg_id leg, const struct tls_failure *failure)
{
    struct side *s = side_of(user, leg);

    assert_int_equal(s->dones + s->failures, 0);
    s->failures++;
    s->kind = failure->kind;
    snprintf(s->text, sizeof(s->text), "%s", failure->text);
}

static const struct tls_service_events events = {
    .output = on_output, .done = on_done, .failed = on_failed};

static void crowd_open(struct crowd *c, uint32_t in_flight)
{
    const struct tls_service_conf conf = {
        .max_legs = LEGS, .max_handshakes = in_flight, .max_waiting = WAITING, .max_sessions = 4};

    *c = (struct crowd){0};
    assert_int_equal(tls_service_openssl_new(&conf, &events, c, &c->service), ERR_OK);
    assert_int_equal(tls_service_openssl_thread(c->service, &c->fd), ERR_OK);
}

static void side_close(struct side *s)
{
    SSL_free(s->peer);
    buf_release(&s->out);
    buf_release(&s->rest);
    tls_keys_wipe(&s->keys);
    *s = (struct side){.generation = s->generation};
}

static void crowd_close(struct crowd *c)
{
    for (unsigned i = 0; i < LEGS; i++)
        side_close(&c->sides[i]);
    c->service->ops->free(c->service);
}

static struct leg_id leg_at(const struct crowd *c, uint32_t slot)
{
    return (struct leg_id){slot, c->sides[slot].generation};
}

static int begin(struct crowd *c, uint32_t slot)
{
    struct side *s = &c->sides[slot];

    side_close(s);
    s->generation++;
    s->peer = lab_peer(peer_ctx, false);
    return c->service->ops->start_server(c->service, leg_at(c, slot), ctx);
}

/* The peer takes what there is, and its next bytes go to the service. */
static void say(struct crowd *c, uint32_t slot)
{
    struct side *s = &c->sides[slot];
    char *data;

    BIO_write(SSL_get_rbio(s->peer), buf_span(&s->out).ptr, (int)buf_len(&s->out));
    buf_clear(&s->out);
    SSL_do_handshake(s->peer);
    long len = BIO_get_mem_data(SSL_get_wbio(s->peer), &data);
    c->service->ops->feed(c->service, leg_at(c, slot), span_make(data, (size_t)len));
    BIO_reset(SSL_get_wbio(s->peer));
}

/* Until the thread has told something that makes it true. */
#define WAIT(c, condition)                                                                         \
    while (!(condition)) {                                                                         \
        struct pollfd waited = {.fd = (c)->fd, .events = POLLIN};                                  \
        assert_int_equal(poll(&waited, 1, -1), 1);                                                 \
        (c)->service->ops->answer((c)->service);                                                   \
    }

static void a_crowd_has_its_turn_in_order(void **state)
{
    struct crowd c;

    crowd_open(&c, IN_FLIGHT);
    for (uint32_t i = 0; i < IN_FLIGHT + WAITING; i++)
        assert_int_equal(begin(&c, i), ERR_OK);
    assert_int_equal(begin(&c, IN_FLIGHT + WAITING), ERR_LIMIT);
    /* By their first bytes, not by their beginning. */
    for (uint32_t i = IN_FLIGHT + WAITING; i-- > 0;)
        say(&c, i);
    WAIT(&c, c.order_len == IN_FLIGHT);
    for (uint32_t n = 0; n < IN_FLIGHT + WAITING; n++) {
        WAIT(&c, c.order_len > n);
        uint32_t slot = c.order[n];
        assert_int_equal(slot, IN_FLIGHT + WAITING - 1 - n);
        say(&c, slot);
        WAIT(&c, c.sides[slot].dones == 1);
        assert_true(c.order_len <= n + 1 + IN_FLIGHT);
    }
    assert_int_equal(begin(&c, 0), ERR_OK);
    crowd_close(&c);
}

static void bytes_behind_the_handshake_are_its_rest(void **state)
{
    struct crowd c;
    struct side *s = &c.sides[0];
    char *data;

    crowd_open(&c, IN_FLIGHT);
    assert_int_equal(begin(&c, 0), ERR_OK);
    say(&c, 0);
    WAIT(&c, buf_len(&s->out) > 0);
    BIO_write(SSL_get_rbio(s->peer), buf_span(&s->out).ptr, (int)buf_len(&s->out));
    assert_int_equal(SSL_do_handshake(s->peer), 1);
    lab_peer_say(s->peer, "EHLO early\r\n");
    long len = BIO_get_mem_data(SSL_get_wbio(s->peer), &data);
    for (long i = 0; i < len; i++) /* the answer is heard only after the last of them */
        c.service->ops->feed(c.service, leg_at(&c, 0), span_make(data + i, 1));
    WAIT(&c, s->dones == 1);
    struct tls_record_dir rx;
    struct tls_record got;
    size_t record_len;
    assert_int_equal(tls_record_init(&rx, &s->keys, TLS_DIR_RX), ERR_OK);
    assert_int_equal(
        tls_record_length(&rx, s->rest.data + s->rest.start, buf_len(&s->rest), &record_len),
        ERR_OK);
    assert_int_equal(record_len, buf_len(&s->rest));
    assert_int_equal(tls_record_open(&rx, s->rest.data + s->rest.start, record_len, &got), ERR_OK);
    assert_int_equal(got.len, 12);
    assert_memory_equal(got.data, "EHLO early\r\n", 12);
    tls_record_free(&rx);
    crowd_close(&c);
}

/* on_output and the others fail where an old generation is told about. */
static void a_leg_that_is_gone_hears_nothing(void **state)
{
    struct crowd c;

    crowd_open(&c, IN_FLIGHT);
    for (unsigned round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < IN_FLIGHT + WAITING; i++) {
            assert_int_equal(begin(&c, i), ERR_OK);
            say(&c, i);
        }
        /* Under way, waiting; released, or replaced at once. */
        c.service->ops->release(c.service, leg_at(&c, 0));
        c.service->ops->release(c.service, leg_at(&c, IN_FLIGHT));
        c.service->ops->release(c.service, leg_at(&c, IN_FLIGHT + 2));
        assert_int_equal(begin(&c, 1), ERR_OK);
        say(&c, 1);
        WAIT(&c, c.sides[1].heard && c.sides[IN_FLIGHT + 1].heard);
        for (uint32_t i = 0; i < LEGS; i++)
            c.service->ops->release(c.service, leg_at(&c, i));
    }
    crowd_close(&c);
}

static void an_alert_is_told_before_the_end(void **state)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 48}; /* unknown_ca */
    struct crowd c;
    struct side *s = c.sides;

    crowd_open(&c, IN_FLIGHT);
    assert_int_equal(begin(&c, 0), ERR_OK);
    assert_false(c.service->ops->end(c.service, leg_at(&c, 0))); /* nothing is under way */
    say(&c, 0);
    c.service->ops->feed(c.service, leg_at(&c, 0), span_make(alert, sizeof(alert)));
    assert_true(c.service->ops->end(c.service, leg_at(&c, 0)));
    WAIT(&c, s->failures == 1);
    assert_int_equal(s->kind, TLS_FAIL_PROTOCOL);
    assert_non_null(strstr(s->text, "does not know the CA"));
    /* Without one, the end is what there is to tell; also for who waits for its turn. */
    for (uint32_t i = 0; i < IN_FLIGHT + 1; i++) {
        assert_int_equal(begin(&c, i), ERR_OK);
        say(&c, i);
        assert_true(c.service->ops->end(c.service, leg_at(&c, i)));
    }
    for (uint32_t i = 0; i < IN_FLIGHT + 1; i++) {
        WAIT(&c, s[i].failures == 1);
        assert_int_equal(s[i].kind, TLS_FAIL_ENDED);
    }
    assert_false(c.service->ops->end(c.service, leg_at(&c, 0)));
    crowd_close(&c);
}

static void who_says_too_much_fails(void **state)
{
    static uint8_t record[5 + 16384] = {23, 3, 3, 0x40, 0};
    struct crowd c;
    struct side *s = &c.sides[0];

    crowd_open(&c, IN_FLIGHT);
    for (uint32_t i = 0; i < IN_FLIGHT + 1; i++) {
        assert_int_equal(begin(&c, i), ERR_OK);
        say(&c, i);
    }
    for (uint32_t i = 0; i < IN_FLIGHT + 1; i += IN_FLIGHT) /* one under way, one that waits */
        for (unsigned n = 0; n < 20; n++)
            c.service->ops->feed(c.service, leg_at(&c, i), span_make(record, sizeof(record)));
    WAIT(&c, s[0].failures == 1);
    c.service->ops->release(c.service, leg_at(&c, 1));
    WAIT(&c, s[IN_FLIGHT].failures == 1);
    assert_int_equal(s[0].kind, TLS_FAIL_LIMIT);
    assert_int_equal(s[IN_FLIGHT].kind, TLS_FAIL_LIMIT);
    crowd_close(&c);
}

/* Nobody listens before all of them are in: until then the loop is told once at most. */
static void a_crowd_of_answers_is_told_in_few_calls(void **state)
{
    unsigned wakes = 0;
    struct crowd c;

    crowd_open(&c, LEGS);
    for (uint32_t i = 0; i < LEGS; i++) {
        assert_int_equal(begin(&c, i), ERR_OK);
        SSL_do_handshake(c.sides[i].peer); /* what takes long */
    }
    for (uint32_t i = 0; i < LEGS; i++)
        say(&c, i);
    WAIT(&c, (wakes++, c.order_len == LEGS));
    assert_in_range(wakes - 1, 1, 1 + LEGS / TLS_THREAD_ANSWERS + 1);
    crowd_close(&c);
}

/* Work is in every place when it ends; the sanitizers see what would be left. */
static void it_ends_with_work_under_way(void **state)
{
    for (unsigned round = 0; round < 30; round++) {
        struct crowd c;

        crowd_open(&c, IN_FLIGHT);
        for (uint32_t i = 0; i < IN_FLIGHT + WAITING; i++) {
            assert_int_equal(begin(&c, i), ERR_OK);
            if (i != 1)
                say(&c, i);
        }
        if (round % 3 == 1)
            WAIT(&c, c.order_len == IN_FLIGHT);
        if (round % 3 == 2)
            c.service->ops->release(c.service, leg_at(&c, 0));
        c.service->ops->halt(c.service);
        if (round % 2) /* what the gateway does */
            for (uint32_t i = 0; i < LEGS; i++)
                c.service->ops->release(c.service, leg_at(&c, i));
        crowd_close(&c);
    }
}

static int setup(void **state)
{
    static const struct tls_ticket_seed seed = {.seed = {3}};
    struct tls_cert_files files;
    struct tls_server_conf conf = {
        .name = "in", .certs = &files, .certs_len = 1, .tickets = &seed, .ticket_rotate_s = 3600};

    if (lab_setup(state))
        return -1;
    lab_cert_make(&ecdsa, &(struct lab_cert_spec){.cn = "mx.example", .san = "DNS:mx.example"});
    files = (struct tls_cert_files){.cert = ecdsa.cert_file, .key = ecdsa.key_file};
    ctx = lab_server_ctx(&conf);
    peer_ctx = lab_peer_ctx(false, TLS1_3_VERSION, NULL);
    return 0;
}

static int teardown(void **state)
{
    tls_server_ctx_free(ctx);
    SSL_CTX_free(peer_ctx);
    lab_cert_free(&ecdsa);
    return lab_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_has_its_turn_in_order),
        cmocka_unit_test(bytes_behind_the_handshake_are_its_rest),
        cmocka_unit_test(a_leg_that_is_gone_hears_nothing),
        cmocka_unit_test(an_alert_is_told_before_the_end),
        cmocka_unit_test(who_says_too_much_fails),
        cmocka_unit_test(a_crowd_of_answers_is_told_in_few_calls),
        cmocka_unit_test(it_ends_with_work_under_way),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
