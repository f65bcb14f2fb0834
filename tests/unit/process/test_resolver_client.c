/* SPDX-License-Identifier: Apache-2.0 */
/* The client over a real loop; the test plays the resolver process at the socket's other end. */
#include "channel.h"
#include "dp.h"
#include "resolver_wire.h"
#include "shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct dp *dp;
    struct shared *shared;
    struct resolver *resolver;
    int pair[2];
    struct dp_timer deadline;
    unsigned answers;
    enum dns_status status;
    unsigned len;
    void (*serve)(struct fixture *f, int fd, const struct resolver_wire_question *q);
};

static void answer_send(int fd, uint64_t id, enum resolver_kind kind, enum dns_status status)
{
    struct resolver_wire_answer a = {.id = id, .kind = kind};

    if (kind == RESOLVER_ADDR)
        a.addr = (struct dns_addr_answer){
            .status = status, .len = 1, .addr[0].v4 = {.sin_family = AF_INET}};
    else
        a.mx.status = status;
    assert_true(send(fd, &a, resolver_wire_len(&a), 0) > 0);
}

static void process_ready(void *user, int fd)
{
    struct fixture *f = user;
    struct resolver_wire_question q;

    while (recv(fd, &q, sizeof(q), MSG_DONTWAIT) == (ssize_t)sizeof(q))
        f->serve(f, fd, &q);
}

static void too_late(void *user, struct dp_timer *timer)
{
    struct fixture *f = user;

    dp_stop(f->dp);
}

static void run(struct fixture *f, uint64_t for_ms)
{
    assert_int_equal(dp_timer_start(f->dp, &f->deadline, for_ms), 0);
    assert_int_equal(dp_run(f->dp), 0);
}

static int setup(void **state)
{
    static const struct resolver_client_conf client_conf = {
        .timeout_s = 1, .sts_timeout_s = 1, .cache_entries = 100};
    static const struct dp_events events;
    const struct dp_conf conf = {.max_legs = 4, .max_relays = 1};
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || dp_uring_new(&conf, &events, f, &f->dp) != 0 || shared_new(&f->shared) != 0 ||
        channel_pair(f->pair) != 0)
        return -1;
    struct shared_column column = {f->shared, 0};
    f->deadline.fire = too_late;
    f->deadline.user = f;
    *state = f;
    if (dp_watch_fd(f->dp, f->pair[1], process_ready, f) != 0)
        return -1;
    return resolver_client_new(f->dp, f->pair[0], &client_conf, &column, &f->resolver);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    resolver_client_free(f->resolver);
    dp_timer_stop(f->dp, &f->deadline);
    dp_free(f->dp);
    shared_free(f->shared);
    close(f->pair[0]);
    close(f->pair[1]);
    free(f);
    return 0;
}

static void addr_done(void *user, const struct dns_addr_answer *answer)
{
    struct fixture *f = user;

    f->answers++;
    f->status = answer->status;
    f->len = answer->len;
    dp_stop(f->dp);
}

static struct dns_question *ask(struct fixture *f, const char *host)
{
    struct dns_question *q = NULL;

    assert_int_equal(f->resolver->ops->addr(f->resolver, host, addr_done, f, &q), 0);
    return q;
}

static void serve_well(struct fixture *f, int fd, const struct resolver_wire_question *q)
{
    assert_string_equal(q->name, "mx.example.org");
    assert_int_equal(q->kind, RESOLVER_ADDR);
    answer_send(fd, q->id, RESOLVER_ADDR, DNS_OK);
}

static void an_answer_comes_once(void **state)
{
    struct fixture *f = *state;

    f->serve = serve_well;
    ask(f, "mx.example.org");
    assert_int_equal(f->answers, 0);
    run(f, 5000);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, DNS_OK);
    assert_int_equal(f->len, 1);
    run(f, 50);
    assert_int_equal(f->answers, 1);
    assert_int_equal(counter_sum(f->shared, COUNTER_RESOLVER_QUERIES), 1);
    assert_int_equal(counter_sum(f->shared, COUNTER_RESOLVER_FAILED), 0);
}

static void serve_badly(struct fixture *f, int fd, const struct resolver_wire_question *q)
{
    struct resolver_wire_answer long_one = {.id = q->id, .kind = RESOLVER_ADDR, .addr.len = 33};

    answer_send(fd, q->id + 100, RESOLVER_ADDR, DNS_OK); /* another question's */
    answer_send(fd, q->id, RESOLVER_MX, DNS_OK);         /* another kind's */
    assert_int_equal(send(fd, &long_one, sizeof(long_one), 0), sizeof(long_one));
    assert_int_equal(send(fd, q, 5, 0), 5);
    answer_send(fd, q->id, RESOLVER_ADDR, (enum dns_status)77);
    answer_send(fd, q->id, RESOLVER_ADDR, DNS_NXDOMAIN);
    answer_send(fd, q->id, RESOLVER_ADDR, DNS_OK); /* twice */
}

static void what_does_not_fit_is_dropped(void **state)
{
    struct fixture *f = *state;

    f->serve = serve_badly;
    ask(f, "mx.example.org");
    run(f, 5000);
    assert_int_equal(f->status, DNS_NXDOMAIN);
    run(f, 50);
    assert_int_equal(f->answers, 1);
}

static void serve_nothing(struct fixture *f, int fd, const struct resolver_wire_question *q)
{
}

static void silence_fails_after_the_timeout(void **state)
{
    struct fixture *f = *state;
    uint64_t began = dp_now_ms(f->dp);

    f->serve = serve_nothing;
    ask(f, "mx.example.org");
    run(f, 5000);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, DNS_FAILED);
    assert_in_range(dp_now_ms(f->dp) - began, 900, 4000);
    assert_int_equal(counter_sum(f->shared, COUNTER_RESOLVER_FAILED), 1);
}

static void a_cancelled_question_is_never_answered(void **state)
{
    struct fixture *f = *state;
    struct dns_question *q;

    f->serve = serve_well;
    q = ask(f, "mx.example.org");
    f->resolver->ops->cancel(f->resolver, q);
    run(f, 100);
    assert_int_equal(f->answers, 0);
}

static void a_new_process_is_asked_again(void **state)
{
    struct fixture *f = *state;

    f->serve = serve_nothing;
    ask(f, "mx.example.org");
    run(f, 50);
    dp_unwatch_fd(f->dp, f->pair[1]);
    close(f->pair[1]);
    run(f, 50);
    assert_int_equal(f->answers, 0);
    close(f->pair[0]);
    assert_int_equal(channel_pair(f->pair), 0);
    f->serve = serve_well;
    assert_int_equal(dp_watch_fd(f->dp, f->pair[1], process_ready, f), 0);
    resolver_client_set_fd(f->resolver, f->pair[0]);
    run(f, 5000);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, DNS_OK);
}

static struct dns_question *last;

static void ask_many(struct fixture *f, unsigned from, unsigned to)
{
    char name[32];

    for (unsigned i = from; i < to; i++) {
        snprintf(name, sizeof(name), "host%u.example", i);
        last = ask(f, name);
    }
}

static void questions_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct dns_question *q;
    char name[DNS_NAME_MAX + 2];
    union net_addr addr;

    f->serve = serve_nothing;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(f->resolver->ops->addr(f->resolver, name, addr_done, f, &q), ERR_RANGE);
    assert_int_equal(f->resolver->ops->addr(f->resolver, "", addr_done, f, &q), ERR_RANGE);
    ask_many(f, 0, RESOLVER_MAX_QUESTIONS / 2);
    /* Clients' names take no place that mail needs. */
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.1"), 0, &addr), ERR_OK);
    assert_int_equal(f->resolver->ops->ptr(f->resolver, &addr, NULL, f, &q), ERR_LIMIT);
    ask_many(f, RESOLVER_MAX_QUESTIONS / 2, RESOLVER_MAX_QUESTIONS);
    assert_int_equal(f->resolver->ops->addr(f->resolver, "one.more", addr_done, f, &q), ERR_LIMIT);
    /* What is out already can be asked again, and who is no more interested makes room. */
    q = ask(f, "host0.example");
    f->resolver->ops->cancel(f->resolver, q);
    assert_int_equal(f->resolver->ops->addr(f->resolver, "one.more", addr_done, f, &q), ERR_LIMIT);
    f->resolver->ops->cancel(f->resolver, last);
    ask(f, "one.more");
}

/* --- what is asked once ----------------------------------------------------------------- */

static unsigned served;

static void serve_for_a_while(struct fixture *f, int fd, const struct resolver_wire_question *q)
{
    struct resolver_wire_answer a = {
        .id = q->id,
        .kind = RESOLVER_ADDR,
        .addr = {.status = DNS_OK, .ttl_s = 60, .len = 1, .addr[0].v4 = {.sin_family = AF_INET}}};

    served++;
    assert_true(send(fd, &a, resolver_wire_len(&a), 0) > 0);
}

static void serve_all_but_hung(struct fixture *f, int fd, const struct resolver_wire_question *q)
{
    if (strcmp(q->name, "hung.example.org") != 0)
        serve_for_a_while(f, fd, q);
}

static void counted(void *user, const struct dns_addr_answer *answer)
{
    struct fixture *f = user;

    assert_int_equal(answer->status, DNS_OK);
    f->answers++;
}

static struct dns_question *ask_counted(struct fixture *f, const char *host)
{
    struct dns_question *q = NULL;

    assert_int_equal(f->resolver->ops->addr(f->resolver, host, counted, f, &q), 0);
    return q;
}

static void the_same_question_is_out_once(void **state)
{
    struct fixture *f = *state;
    struct dns_question *cancelled;

    served = 0;
    f->serve = serve_for_a_while;
    ask_counted(f, "mx.example.org");
    cancelled = ask_counted(f, "mx.example.org");
    ask_counted(f, "mx.example.org");
    ask_counted(f, "other.example.org");
    f->resolver->ops->cancel(f->resolver, cancelled);
    run(f, 200);
    assert_int_equal(f->answers, 3);
    assert_int_equal(served, 2);
    assert_int_equal(counter_sum(f->shared, COUNTER_RESOLVER_QUERIES), 2);
}

/* Upstream relies on it: an answer that is here comes in a later turn, too, and can be cancelled.
 */
static void a_kept_answer_comes_in_a_later_turn(void **state)
{
    struct fixture *f = *state;
    struct dns_question *q;

    served = 0;
    f->serve = serve_for_a_while;
    ask_counted(f, "mx.example.org");
    run(f, 200);
    assert_int_equal(f->answers, 1);
    ask_counted(f, "MX.example.org");
    q = ask_counted(f, "mx.example.org");
    assert_int_equal(f->answers, 1);
    f->resolver->ops->cancel(f->resolver, q);
    run(f, 200);
    assert_int_equal(f->answers, 2);
    assert_int_equal(served, 1);
    assert_int_equal(counter_sum(f->shared, COUNTER_RESOLVER_CACHED), 1);
}

/* However many wait for a host that hangs, what is kept of another comes, and a third is asked. */
static void a_crowd_takes_one_place(void **state)
{
    struct fixture *f = *state;

    served = 0;
    f->serve = serve_for_a_while;
    ask_counted(f, "kept.example.org");
    run(f, 200);
    assert_int_equal(f->answers, 1);
    f->serve = serve_all_but_hung;
    for (unsigned i = 0; i < 2 * RESOLVER_MAX_QUESTIONS; i++)
        ask(f, "hung.example.org");
    ask_counted(f, "kept.example.org");
    ask_counted(f, "third.example.org");
    run(f, 200);
    assert_int_equal(f->answers, 3);
    assert_int_equal(counter_sum(f->shared, COUNTER_RESOLVER_QUERIES), 3);
}

static struct dns_question *others[3];

/* The first to hear cancels the rest. */
static void cancel_others(void *user, const struct dns_addr_answer *answer)
{
    struct fixture *f = user;

    f->answers++;
    for (int i = 1; i < 3; i++)
        f->resolver->ops->cancel(f->resolver, others[i]);
}

static void whoever_hears_may_cancel_the_rest(void **state)
{
    struct fixture *f = *state;

    f->serve = serve_for_a_while;
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            f->resolver->ops->addr(f->resolver, "mx.example.org", cancel_others, f, &others[i]), 0);
    run(f, 200);
    assert_int_equal(f->answers, 1);
}

/* --- TLSA and MTA-STS ------------------------------------------------------------------- */

static void serve_policies(struct fixture *f, int fd, const struct resolver_wire_question *q)
{
    static struct resolver_wire_answer a;

    memset(&a, 0, sizeof(a));
    a.id = q->id;
    a.kind = q->kind;
    if (q->kind == RESOLVER_TLSA) {
        assert_int_equal(q->port, 587);
        a.tlsa = (struct dns_tlsa_answer){.status = DNS_OK, .base = "b", .len = 1};
        a.tlsa.records[0] = (struct dns_tlsa){3, 1, 1, 0, 32};
        memset(a.tlsa.data, 5, 32);
    } else {
        a.sts = (struct sts_answer){
            .status = DNS_OK, .mode = STS_MODE_ENFORCE, .mx_len = 1, .mx = {"mx.example.org"}};
    }
    assert_true(send(fd, &a, resolver_wire_len(&a), 0) > 0);
}

static void tlsa_done(void *user, const struct dns_tlsa_answer *answer)
{
    struct fixture *f = user;

    f->answers++;
    assert_int_equal(answer->status, DNS_OK);
    assert_int_equal(answer->records[0].len, 32);
    assert_int_equal(answer->data[31], 5);
}

static void sts_done(void *user, const struct sts_answer *answer)
{
    struct fixture *f = user;

    f->answers++;
    f->status = answer->status;
    if (answer->status == DNS_OK)
        assert_string_equal(answer->mx[0], "mx.example.org");
}

static void policies_are_asked_for(void **state)
{
    struct fixture *f = *state;
    struct dns_question *q;

    f->serve = serve_policies;
    assert_int_equal(f->resolver->ops->tlsa(f->resolver, "a", 587, tlsa_done, f, &q), 0);
    assert_int_equal(f->resolver->ops->sts(f->resolver, "a", sts_done, f, &q), 0);
    run(f, 200);
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->status, DNS_OK);
}

/* A resolver that hangs is no proof that there is no policy; and a fetch gets its time. */
static void silence_is_no_policy_of_any_kind(void **state)
{
    struct fixture *f = *state;
    struct dns_question *q;

    f->serve = serve_nothing;
    assert_int_equal(f->resolver->ops->sts(f->resolver, "a", sts_done, f, &q), 0);
    ask(f, "mx.example.org");
    run(f, 5000); /* until the address has failed, after a second */
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->status, DNS_FAILED);
    run(f, 2500);
    assert_int_equal(f->answers, 2);
    assert_int_equal(f->status, DNS_BOGUS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_comes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_fails_after_the_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_question_is_never_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_process_is_asked_again, setup, teardown),
        cmocka_unit_test_setup_teardown(questions_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_question_is_out_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kept_answer_comes_in_a_later_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crowd_takes_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_hears_may_cancel_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(policies_are_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_no_policy_of_any_kind, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
