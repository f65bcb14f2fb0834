/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "net_addr.h"

static void parses_and_formats_both_families(void **state)
{
    union net_addr a;
    char text[NET_ADDR_TEXT];

    (void)state;
    assert_int_equal(net_addr_parse(SPAN_LIT("192.0.2.1:25"), &a), ERR_OK);
    assert_string_equal(net_addr_text(&a, text), "192.0.2.1:25");
    assert_string_equal(net_addr_literal(&a, text), "[192.0.2.1]");
    assert_int_equal(net_addr_parse(SPAN_LIT("[2001:db8::1]:465"), &a), ERR_OK);
    assert_string_equal(net_addr_text(&a, text), "[2001:db8::1]:465");
    assert_string_equal(net_addr_literal(&a, text), "[IPv6:2001:db8::1]");
    assert_string_equal(net_addr_ip_text(&a, text), "2001:db8::1");
    assert_int_equal(net_addr_port(&a), 465);
    net_addr_set_port(&a, 25);
    assert_int_equal(net_addr_port(&a), 25);
}

static void refuses_what_is_no_address(void **state)
{
    static const char *const bad[] = {"",
                                      ":",
                                      "25",
                                      "192.0.2.1",
                                      "192.0.2.1:",
                                      "192.0.2.1:70000",
                                      "192.0.2.1:+5",
                                      "2001:db8::1:25",
                                      "[2001:db8::1]",
                                      "host:25",
                                      "[192.0.2.1:25",
                                      "192.0.2.256:25",
                                      " 192.0.2.1:25"};
    union net_addr a;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(net_addr_parse(span_str(bad[i]), &a), ERR_SYNTAX);
    assert_int_equal(net_addr_parse_ip(span_make("1.2.3.4\0x", 9), 0, &a), ERR_SYNTAX);
}

static bool inside(const char *prefix, const char *ip)
{
    struct net_prefix p;
    union net_addr a;

    assert_int_equal(net_prefix_parse(span_str(prefix), &p), ERR_OK);
    assert_int_equal(net_addr_parse_ip(span_str(ip), 0, &a), ERR_OK);
    return net_prefix_contains(&p, &a);
}

static void prefixes_match_bit_by_bit(void **state)
{
    struct net_prefix p;

    (void)state;
    assert_true(inside("10.0.0.0/8", "10.255.1.2"));
    assert_false(inside("10.0.0.0/8", "11.0.0.0"));
    assert_true(inside("10.0.0.128/25", "10.0.0.200"));
    assert_false(inside("10.0.0.128/25", "10.0.0.127"));
    assert_true(inside("0.0.0.0/0", "255.255.255.255"));
    assert_false(inside("0.0.0.0/0", "::1"));
    assert_true(inside("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(inside("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(inside("192.0.2.7", "192.0.2.7"));
    assert_false(inside("192.0.2.7", "192.0.2.6"));
    assert_true(inside("192.0.2.0/24", "::ffff:192.0.2.9")); /* mapped: the IPv4 address it is */
    assert_int_equal(net_prefix_parse(SPAN_LIT("10.0.0.0/33"), &p), ERR_SYNTAX);
    assert_int_equal(net_prefix_parse(SPAN_LIT("10.0.0.0/"), &p), ERR_SYNTAX);
    assert_int_equal(net_prefix_parse(SPAN_LIT("::/129"), &p), ERR_SYNTAX);
}

static void same_ip_ignores_the_port(void **state)
{
    union net_addr a, b;

    (void)state;
    assert_int_equal(net_addr_parse(SPAN_LIT("192.0.2.1:25"), &a), ERR_OK);
    assert_int_equal(net_addr_parse(SPAN_LIT("192.0.2.1:26"), &b), ERR_OK);
    assert_true(net_addr_same_ip(&a, &b));
    assert_int_equal(net_addr_parse(SPAN_LIT("[::1]:25"), &b), ERR_OK);
    assert_false(net_addr_same_ip(&a, &b));
}

static bool loopback(const char *text)
{
    union net_addr a;

    assert_int_equal(net_addr_parse_ip(span_str(text), 25, &a), ERR_OK);
    return net_addr_is_loopback(&a);
}

static void loopback_is_what_stays_here(void **state)
{
    (void)state;
    assert_true(loopback("127.0.0.1"));
    assert_true(loopback("127.255.255.254"));
    assert_true(loopback("::1"));
    assert_true(loopback("::ffff:127.0.0.1"));
    assert_false(loopback("0.0.0.0"));
    assert_false(loopback("128.0.0.1"));
    assert_false(loopback("126.255.255.255"));
    assert_false(loopback("::"));
    assert_false(loopback("::2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_formats_both_families),
        cmocka_unit_test(refuses_what_is_no_address),
        cmocka_unit_test(prefixes_match_bit_by_bit),
        cmocka_unit_test(same_ip_ignores_the_port),
        cmocka_unit_test(loopback_is_what_stays_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
