/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NAME(wire) (const uint8_t *)(wire), sizeof(wire) - 1

static void names_are_lower_case_without_the_final_dot(void **state)
{
    char name[DNS_NAME_MAX + 1];

    assert_int_equal(resolver_name_text(NAME("\2Mx\7eXample\3org\0"), name), 0);
    assert_string_equal(name, "mx.example.org");
    assert_int_equal(resolver_name_text(NAME("\0"), name), 0);
    assert_string_equal(name, "");
}

static void what_is_no_host_name_is_refused(void **state)
{
    static const struct {
        const char *wire;
        size_t len;
    } bad[] = {
        {"", 0},           {"\2mx", 3}, /* no root */
        {"\7mx\0", 4},                  /* label beyond the end */
        {"\3m.x\0", 5},                 /* a dot inside a label */
        {"\3m\0x\0", 5},                /* NUL */
        {"\xc0\x0c", 2},                /* compression */
        {"\2mx\0\0", 5},                /* bytes after the root */
        {"\4a\r\nb\0", 6},
    };
    char name[DNS_NAME_MAX + 1];
    uint8_t longest[300];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(resolver_name_text((const uint8_t *)bad[i].wire, bad[i].len, name),
                         ERR_SYNTAX);
    for (size_t i = 0; i < sizeof(longest); i++)
        longest[i] = i % 2 ? 'a' : 1;
    longest[254] = 0;
    assert_int_equal(resolver_name_text(longest, 255, name), 0);
    longest[254] = 1;
    longest[256] = 0;
    assert_int_equal(resolver_name_text(longest, 257, name), ERR_SYNTAX);
}

static void reverse_names(void **state)
{
    union net_addr a;
    char name[DNS_NAME_MAX + 1];

    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.25"), 0, &a), 0);
    resolver_reverse_name(&a, name);
    assert_string_equal(name, "25.2.0.192.in-addr.arpa");
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("2001:db8::25"), 0, &a), 0);
    resolver_reverse_name(&a, name);
    assert_string_equal(name,
                        "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static void mx_is_sorted_and_equals_are_shuffled(void **state)
{
    char *data[] = {"\0\24\1c\0", "\0\12\1a\0", "\0\12\1b\0", "\0\5\3b d\0", "\0", NULL};
    int len[] = {5, 5, 5, 7, 1, 0};
    struct ub_result result = {.data = data, .len = len, .havedata = 1, .secure = 1, .ttl = 60};
    struct dns_mx_answer answer;
    unsigned first_a = 0;

    for (int i = 0; i < 200; i++) {
        resolver_mx_answer(0, &result, &answer);
        assert_int_equal(answer.status, DNS_OK);
        assert_true(answer.secure);
        assert_int_equal(answer.ttl_s, 60);
        assert_int_equal(answer.len, 3);
        assert_int_equal(answer.mx[0].preference, 10);
        assert_string_equal(answer.mx[2].host, "c");
        first_a += answer.mx[0].host[0] == 'a';
    }
    assert_in_range(first_a, 20, 180);
}

static void mx_root_is_the_null_mx_and_garbage_alone_fails(void **state)
{
    char *null_mx[] = {"\0\0\0", NULL}, *garbage[] = {"\0\0\2\r\n\0", NULL};
    int null_len[] = {3, 0}, garbage_len[] = {6, 0};
    struct ub_result result = {.data = null_mx, .len = null_len, .havedata = 1};
    struct dns_mx_answer answer;

    resolver_mx_answer(0, &result, &answer);
    assert_int_equal(answer.status, DNS_OK);
    assert_int_equal(answer.len, 1);
    assert_string_equal(answer.mx[0].host, "");
    result.data = garbage;
    result.len = garbage_len;
    resolver_mx_answer(0, &result, &answer);
    assert_int_equal(answer.status, DNS_FAILED);
    assert_int_equal(answer.len, 0);
}

static void statuses(void **state)
{
    struct ub_result bogus = {.bogus = 1, .rcode = 2}, servfail = {.rcode = 2},
                     nxdomain = {.rcode = 3, .nxdomain = 1}, nodata = {.rcode = 0};

    assert_int_equal(resolver_status(-3, NULL), DNS_FAILED);
    assert_int_equal(resolver_status(0, &bogus), DNS_BOGUS);
    assert_int_equal(resolver_status(0, &servfail), DNS_FAILED);
    assert_int_equal(resolver_status(0, &nxdomain), DNS_NXDOMAIN);
    assert_int_equal(resolver_status(0, &nodata), DNS_NODATA);
}

static struct resolver_part part(enum dns_status status, bool secure, unsigned len, int family)
{
    struct resolver_part p = {.status = status, .secure = secure, .ttl_s = 9, .len = len};

    for (unsigned i = 0; i < len; i++)
        p.addr[i].any.sa_family = (sa_family_t)family;
    return p;
}

static void addresses_take_turns_and_failure_is_not_hidden(void **state)
{
    struct resolver_part v6 = part(DNS_OK, true, 3, AF_INET6), v4 = part(DNS_OK, true, 1, AF_INET);
    struct resolver_part failed = part(DNS_FAILED, false, 0, 0),
                         none = part(DNS_NODATA, true, 0, 0);
    struct resolver_part many6 = part(DNS_OK, true, DNS_ADDRS_MAX, AF_INET6),
                         many4 = part(DNS_OK, true, DNS_ADDRS_MAX, AF_INET);
    struct dns_addr_answer answer;

    resolver_addr_join(&v6, &v4, &answer);
    assert_int_equal(answer.len, 4);
    assert_int_equal(answer.addr[0].any.sa_family, AF_INET6);
    assert_int_equal(answer.addr[1].any.sa_family, AF_INET);
    assert_int_equal(answer.addr[3].any.sa_family, AF_INET6);
    assert_true(answer.secure);
    resolver_addr_join(&failed, &v4, &answer);
    assert_int_equal(answer.status, DNS_OK);
    assert_true(answer.secure);
    resolver_addr_join(&failed, &none, &answer);
    assert_int_equal(answer.status, DNS_FAILED);
    resolver_addr_join(&none, &none, &answer);
    assert_int_equal(answer.status, DNS_NODATA);
    resolver_addr_join(&many6, &many4, &answer);
    assert_int_equal(answer.len, DNS_ADDRS_MAX);
}

static void names_in_text(void **state)
{
    static const char *const bad[] = {"",    ".",    "..",  ".a",       "a..b",      "a..",
                                      "a b", "a\\b", "a/b", "\xc3\xa4", "a\\.b.test"};
    char text[RESOLVER_NAME_TEXT_MAX + 3], name[DNS_NAME_MAX + 1];

    (void)state;
    assert_true(resolver_name_read("Mx-1_a.Example.ORG.", name));
    assert_string_equal(name, "mx-1_a.example.org");
    assert_true(resolver_name_read("a", name));
    assert_string_equal(name, "a");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(resolver_name_read(bad[i], name));
    memset(text, 'a', sizeof(text));
    text[RESOLVER_NAME_TEXT_MAX] = '.';
    text[RESOLVER_NAME_TEXT_MAX + 1] = '\0';
    assert_true(resolver_name_read(text, name));
    assert_int_equal(strlen(name), RESOLVER_NAME_TEXT_MAX);
    text[RESOLVER_NAME_TEXT_MAX] = 'a';
    assert_false(resolver_name_read(text, name));
}

static void random_numbers_are_below_their_bound(void **state)
{
    uint64_t seen = 0;

    (void)state;
    assert_int_equal(resolver_random_below(0), 0);
    assert_int_equal(resolver_random_below(1), 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = resolver_random_below(5);
        assert_in_range(value, 0, 4);
        seen |= 1u << value;
    }
    assert_int_equal(seen, 0x1f); /* one of five missing in 1000: once in 10^96 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_text),
        cmocka_unit_test(random_numbers_are_below_their_bound),
        cmocka_unit_test(names_are_lower_case_without_the_final_dot),
        cmocka_unit_test(what_is_no_host_name_is_refused),
        cmocka_unit_test(reverse_names),
        cmocka_unit_test(mx_is_sorted_and_equals_are_shuffled),
        cmocka_unit_test(mx_root_is_the_null_mx_and_garbage_alone_fails),
        cmocka_unit_test(statuses),
        cmocka_unit_test(addresses_take_turns_and_failure_is_not_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
