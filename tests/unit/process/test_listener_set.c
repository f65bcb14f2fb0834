/* SPDX-License-Identifier: Apache-2.0 */
#include "listener_set.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static const struct plan nothing;

/* A plan with one listener on a port that is free now. */
static struct plan plan_of(unsigned workers)
{
    struct plan plan = {.workers = workers, .listeners_len = 1};
    struct sockaddr_in *addr = &plan.listeners[0].addr.v4;
    socklen_t len = sizeof(*addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    close(fd);
    snprintf(plan.listeners[0].name, sizeof(plan.listeners[0].name), "internet");
    return plan;
}

static bool can_connect(const struct plan *plan)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const union net_addr *addr = &plan->listeners[0].addr;
    bool connected = connect(fd, &addr->any, net_addr_len(addr)) == 0;

    close(fd);
    return connected;
}

static unsigned accept_all(int fd)
{
    unsigned count = 0;
    int got;

    while ((got = accept(fd, NULL, NULL)) >= 0) {
        close(got);
        count++;
    }
    return count;
}

static void sockets_are_kept_from_plan_to_plan(void **state)
{
    struct plan two = plan_of(2), three = two, other = plan_of(1);
    const union net_addr *addr = &two.listeners[0].addr;
    struct listener_set *s;
    char why[256];

    three.workers = 3;
    assert_int_equal(listener_set_new(&s), 0);
    assert_int_equal(listener_set_fd(s, 0, addr), -1);
    assert_int_equal(listener_set_open(s, &two, why, sizeof(why)), 0);
    int first = listener_set_fd(s, 0, addr), second = listener_set_fd(s, 1, addr);
    assert_true(first >= 0 && second >= 0 && first != second);
    assert_int_equal(listener_set_open(s, &three, why, sizeof(why)), 0);
    assert_int_equal(listener_set_fd(s, 0, addr), first);
    assert_true(listener_set_fd(s, 2, addr) >= 0);
    listener_set_prune(s, &two);
    assert_int_equal(listener_set_fd(s, 1, addr), second);
    assert_int_equal(listener_set_fd(s, 2, addr), -1);
    assert_true(can_connect(&two));
    assert_int_equal(listener_set_open(s, &other, why, sizeof(why)), 0);
    listener_set_prune(s, &other);
    assert_false(can_connect(&two));
    listener_set_prune(s, &nothing);
    assert_false(can_connect(&other));
    listener_set_free(s);
}

static void an_address_in_use_opens_nothing(void **state)
{
    struct plan plan = plan_of(2), both = plan;
    struct plan taken = plan_of(1);
    struct listener_set *s, *other;
    char why[256];

    both.listeners_len = 2;
    both.listeners[1] = taken.listeners[0];
    assert_int_equal(listener_set_new(&s), 0);
    assert_int_equal(listener_set_new(&other), 0);
    assert_int_equal(listener_set_open(other, &taken, why, sizeof(why)), 0);
    assert_int_equal(listener_set_open(s, &both, why, sizeof(why)), ERR_SYSTEM);
    assert_non_null(strstr(why, "internet"));
    assert_non_null(strstr(why, "another program"));
    assert_int_equal(listener_set_fd(s, 0, &plan.listeners[0].addr), -1);
    assert_false(can_connect(&plan));
    listener_set_free(s);
    listener_set_free(other);
}

static void a_resting_slot_s_connections_go_to_the_others(void **state)
{
    enum { TRIES = 64 };
    struct plan plan = plan_of(2);
    const union net_addr *addr = &plan.listeners[0].addr;
    struct listener_set *s;
    char why[256];

    assert_int_equal(listener_set_new(&s), 0);
    assert_int_equal(listener_set_open(s, &plan, why, sizeof(why)), 0);
    listener_set_rest(s, 0);
    for (int i = 0; i < TRIES; i++)
        assert_true(can_connect(&plan));
    assert_int_equal(accept_all(listener_set_fd(s, 1, addr)), TRIES);
    listener_set_resume(s, 0);
    for (int i = 0; i < TRIES; i++)
        assert_true(can_connect(&plan));
    unsigned first = accept_all(listener_set_fd(s, 0, addr));
    assert_in_range(first, 1, TRIES - 1);
    assert_int_equal(first + accept_all(listener_set_fd(s, 1, addr)), TRIES);
    listener_set_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_kept_from_plan_to_plan),
        cmocka_unit_test(an_address_in_use_opens_nothing),
        cmocka_unit_test(a_resting_slot_s_connections_go_to_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
