/* SPDX-License-Identifier: Apache-2.0 */
/* tests/process/test_firewall.py has nft read the same texts. */
#include "firewall_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OPEN_MAX = 4 };

static const char *make(const char *const *addresses, bool ssh, struct buf *out)
{
    union net_addr open[OPEN_MAX];
    struct firewall f = {.open = open, .ssh = ssh};

    for (; f.open_len < OPEN_MAX && addresses[f.open_len]; f.open_len++)
        assert_int_equal(net_addr_parse(span_str(addresses[f.open_len]), &open[f.open_len]),
                         ERR_OK);
    buf_init(out, 65536);
    assert_int_equal(firewall_text(&f, out), ERR_OK);
    assert_int_equal(buf_append(out, "", 1), ERR_OK);
    return (const char *)buf_span(out).ptr;
}

/* How often a line is in it. */
static int count(const char *text, const char *line)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, line)); at++)
        n++;
    return n;
}

static void test_listeners(void **state)
{
    struct buf out;
    const char *text =
        make((const char *const[]){"0.0.0.0:25", "192.0.2.1:465", "[2001:db8::1]:25", "[::]:587"},
             false, &out);

    assert_int_equal(count(text, "        meta nfproto ipv4 tcp dport 25 accept\n"), 1);
    assert_int_equal(count(text, "        meta nfproto ipv4 tcp dport 25 notrack\n"), 1);
    assert_int_equal(count(text, "        meta nfproto ipv4 tcp sport 25 notrack\n"), 1);
    assert_int_equal(count(text, "        ip daddr 192.0.2.1 tcp dport 465 accept\n"), 1);
    assert_int_equal(count(text, "        ip saddr 192.0.2.1 tcp sport 465 notrack\n"), 1);
    assert_int_equal(count(text, "        ip6 daddr 2001:db8::1 tcp dport 25 accept\n"), 1);
    assert_int_equal(count(text, "        tcp dport 587 accept\n"), 1);
    assert_int_equal(count(text, " tcp dport 22 "), 0);
    assert_int_equal(count(text, "policy drop;"), 2);
    buf_release(&out);
}

/* Loopback is open as a whole, and nothing is opened to others for it. */
static void test_loopback(void **state)
{
    struct buf out;
    const char *text =
        make((const char *const[]){"127.0.0.1:25", "127.9.9.9:26", "[::1]:27", NULL}, true, &out);

    assert_int_equal(count(text, "iif \"lo\" accept\n"), 1);
    assert_int_equal(count(text, "dport 25"), 0);
    assert_int_equal(count(text, "dport 26"), 0);
    assert_int_equal(count(text, "dport 27"), 0);
    assert_int_equal(count(text, " tcp dport 22 "), 1);
    buf_release(&out);
}

static void test_nothing(void **state)
{
    struct buf out;
    const char *text = make((const char *const[]){NULL}, false, &out);

    assert_int_equal(
        strncmp(text, "table inet postern\ndelete table inet postern\ntable inet postern {\n", 65),
        0);
    assert_int_equal(count(text, "tcp dport @meanwhile accept\n"), 1);
    assert_int_equal(count(text, "tcp dport"), 1);
    assert_int_equal(count(text, "{"), count(text, "}"));
    buf_release(&out);
}

static void test_no_room(void **state)
{
    struct firewall f = {0};
    struct buf out;

    for (size_t max = 1; max < 1024; max += 50) {
        buf_init(&out, max);
        assert_int_equal(firewall_text(&f, &out), ERR_FULL);
        buf_release(&out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
