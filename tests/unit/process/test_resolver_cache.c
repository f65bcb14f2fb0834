/* SPDX-License-Identifier: Apache-2.0 */
/* Does the cache give back what it was given, for as long as it may, in as little memory as it
 * says? */
#include "resolver_cache.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

static struct resolver_wire_question question(enum resolver_kind kind, const char *name)
{
    struct resolver_wire_question q = {.kind = kind, .port = 25};

    snprintf(q.name, sizeof(q.name), "%s", name);
    return q;
}

static void mx_add(struct dns_mx_answer *a, uint16_t preference, const char *host)
{
    a->mx[a->len].preference = preference;
    snprintf(a->mx[a->len++].host, sizeof(a->mx[0].host), "%s", host);
}

static void addr_add(struct dns_addr_answer *a, const char *ip)
{
    assert_int_equal(net_addr_parse_ip(span_str(ip), 0, &a->addr[a->len++]), 0);
}

/* A question and an answer of every kind. */
static struct resolver_wire_answer answer_of(enum resolver_kind kind)
{
    struct resolver_wire_answer a = {.kind = kind};

    switch (kind) {
    case RESOLVER_MX:
        a.mx = (struct dns_mx_answer){.status = DNS_OK, .secure = true, .ttl_s = 100};
        mx_add(&a.mx, 10, "mx1.example.org");
        mx_add(&a.mx, 20, "");
        break;
    case RESOLVER_ADDR:
        a.addr = (struct dns_addr_answer){.status = DNS_OK, .secure = true, .ttl_s = 100};
        addr_add(&a.addr, "2001:db8::25");
        addr_add(&a.addr, "192.0.2.25");
        break;
    case RESOLVER_TLSA:
        a.tlsa = (struct dns_tlsa_answer){
            .status = DNS_OK, .ttl_s = 100, .base = "base.example.org", .len = 2};
        a.tlsa.records[0] = (struct dns_tlsa){3, 1, 1, 0, 32};
        a.tlsa.records[1] = (struct dns_tlsa){2, 0, 0, 32, 1000};
        memset(a.tlsa.data, 7, 1032);
        break;
    case RESOLVER_STS:
        a.sts = (struct sts_answer){.status = DNS_OK,
                                    .mode = STS_MODE_TESTING,
                                    .id = "20260101",
                                    .ttl_s = 100,
                                    .expires = INT64_C(4000000000),
                                    .from_cache = true,
                                    .why = "a refresh failed",
                                    .mx_len = 2,
                                    .mx = {"mx1.example.org", "*.example.net"}};
        break;
    case RESOLVER_PTR:
        a.ptr.status = DNS_OK;
        break;
    }
    return a;
}

static void comes_back(struct resolver_cache *c, enum resolver_kind kind)
{
    struct resolver_wire_question q = question(kind, "Example.org");
    struct resolver_wire_answer a = answer_of(kind), got;

    resolver_cache_put(c, &q, &a, 1000);
    q = question(kind, "eXample.ORG");
    memset(&got, 0, sizeof(got));
    assert_true(resolver_cache_has(c, &q, 1000));
    assert_true(resolver_cache_get(c, &q, 1000, &got));
    assert_memory_equal(&got, &a, resolver_wire_len(&a));
    assert_true(resolver_cache_get(c, &q, 1099, &got));
    assert_false(resolver_cache_has(c, &q, 1100));
    assert_false(resolver_cache_get(c, &q, 1100, &got));
}

static void every_kind_comes_back_while_it_lives(void **state)
{
    struct resolver_cache *c;

    assert_int_equal(resolver_cache_new(100, &c), 0);
    comes_back(c, RESOLVER_MX);
    comes_back(c, RESOLVER_ADDR);
    comes_back(c, RESOLVER_TLSA);
    comes_back(c, RESOLVER_STS);
    assert_int_equal(resolver_cache_len(c), 4);
    struct resolver_wire_question q = question(RESOLVER_TLSA, "example.org");
    q.port = 26;
    assert_false(resolver_cache_has(c, &q, 1000));
    q = question(RESOLVER_MX, "example.or");
    assert_false(resolver_cache_has(c, &q, 1000));
    resolver_cache_free(c);
}

static void ttl_is_what_is_left(void **state)
{
    struct resolver_wire_question q = question(RESOLVER_ADDR, "a");
    struct resolver_wire_answer a = answer_of(RESOLVER_ADDR), got;
    struct resolver_cache *c;

    assert_int_equal(resolver_cache_new(100, &c), 0);
    resolver_cache_put(c, &q, &a, 5);
    assert_true(resolver_cache_get(c, &q, 45, &got));
    assert_int_equal(got.addr.ttl_s, 60);
    a.addr.ttl_s = 10000000;
    resolver_cache_put(c, &q, &a, 5);
    assert_true(resolver_cache_get(c, &q, 5, &got));
    assert_int_equal(got.addr.ttl_s, RESOLVER_CACHE_TTL_MAX_S);
    assert_int_equal(resolver_cache_len(c), 1);
    a.addr.ttl_s = 0;
    resolver_cache_put(c, &q, &a, 5);
    assert_false(resolver_cache_has(c, &q, 5));
    resolver_cache_free(c);
}

static void absence_is_kept_for_minutes_and_failure_not(void **state)
{
    struct resolver_wire_question q = question(RESOLVER_MX, "a");
    struct resolver_wire_answer a = {.kind = RESOLVER_MX, .mx.ttl_s = 86400};
    struct resolver_cache *c;

    assert_int_equal(resolver_cache_new(100, &c), 0);
    for (enum dns_status status = DNS_OK; status <= DNS_BOGUS; status++) {
        bool none = status == DNS_NODATA || status == DNS_NXDOMAIN;
        a.mx.status = status;
        resolver_cache_put(c, &q, &a, 0);
        assert_int_equal(resolver_cache_has(c, &q, 299), none || status == DNS_OK);
        assert_int_equal(resolver_cache_has(c, &q, 300), status == DNS_OK);
    }
    assert_int_equal(resolver_cache_len(c), 0);
    resolver_cache_free(c);
}

static void equal_hosts_take_turns(void **state)
{
    struct resolver_wire_question q = question(RESOLVER_MX, "a");
    struct resolver_wire_answer a = {.kind = RESOLVER_MX, .mx = {.status = DNS_OK, .ttl_s = 100}};
    struct resolver_wire_answer got;
    struct resolver_cache *c;
    unsigned first[3] = {0};

    mx_add(&a.mx, 5, "z");
    mx_add(&a.mx, 10, "0");
    mx_add(&a.mx, 10, "1");
    mx_add(&a.mx, 10, "2");
    mx_add(&a.mx, 20, "y");
    assert_int_equal(resolver_cache_new(100, &c), 0);
    resolver_cache_put(c, &q, &a, 0);
    for (int i = 0; i < 3000; i++) {
        assert_true(resolver_cache_get(c, &q, 0, &got));
        assert_string_equal(got.mx.mx[0].host, "z");
        assert_string_equal(got.mx.mx[4].host, "y");
        first[got.mx.mx[1].host[0] - '0']++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(first[i], 700, 1300); /* of 3000: beyond that by chance, 1 in 10^30 */
    resolver_cache_free(c);
}

static void number_and_bytes_are_bounded(void **state)
{
    struct resolver_wire_answer a = answer_of(RESOLVER_ADDR), big = answer_of(RESOLVER_TLSA);
    struct resolver_wire_question asked = question(RESOLVER_ADDR, "asked.often");
    struct resolver_cache *c;
    char name[32];

    assert_int_equal(resolver_cache_new(200, &c), 0);
    resolver_cache_put(c, &asked, &a, 0);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "host%u.example", i);
        struct resolver_wire_question q = question(RESOLVER_ADDR, name);
        struct resolver_wire_answer got;
        resolver_cache_put(c, &q, &a, 0);
        assert_true(resolver_cache_len(c) <= 200);
        assert_true(resolver_cache_get(c, &asked, 0, &got));
    }
    assert_int_equal(resolver_cache_len(c), 200);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "host%u.example", i);
        struct resolver_wire_question q = question(RESOLVER_TLSA, name);
        resolver_cache_put(c, &q, &big, 0);
        assert_true(resolver_cache_bytes(c) <= 200 * (RESOLVER_CACHE_ENTRY_BYTES + 8) + 256 * 8);
    }
    assert_true(resolver_cache_len(c) < 200);
    resolver_cache_free(c);
}

/* Issue: 200,000 destinations take at most 200 bytes each beyond their names. A destination here
 * has two MX hosts of its own, of which one is connected to, with one address of each family; its
 * zone is signed for every tenth, which has a TLSA record; every twentieth has a policy. */
static void destinations_are_small(void **state)
{
    enum { DESTINATIONS = 200000, ANSWERS = 4 };
    struct resolver_wire_answer addr = answer_of(RESOLVER_ADDR);
    struct resolver_wire_answer tlsa = {.kind = RESOLVER_TLSA,
                                        .tlsa = {.status = DNS_OK, .ttl_s = 100, .len = 1}};
    struct resolver_wire_answer sts_none = {.kind = RESOLVER_STS,
                                            .sts = {.status = DNS_NODATA, .ttl_s = 100}};
    struct resolver_wire_answer sts = {.kind = RESOLVER_STS,
                                       .sts = {.status = DNS_OK,
                                               .mode = STS_MODE_ENFORCE,
                                               .id = "20261122120000Z",
                                               .ttl_s = 100,
                                               .max_age_s = 604800,
                                               .mx_len = 1}};
    struct resolver_cache *c;
    size_t names = 0;

    tlsa.tlsa.records[0] = (struct dns_tlsa){3, 1, 1, 0, 32};
    assert_int_equal(resolver_cache_new(DESTINATIONS * ANSWERS, &c), 0);
    for (unsigned i = 0; i < DESTINATIONS; i++) {
        struct resolver_wire_answer mx = {.kind = RESOLVER_MX,
                                          .mx = {.status = DNS_OK, .ttl_s = 100}};
        char domain[64], host[64], other[64];
        snprintf(domain, sizeof(domain), "company-%u.example", i);
        snprintf(host, sizeof(host), "mx1.company-%u.example", i);
        snprintf(other, sizeof(other), "mx2.company-%u.example", i);
        mx_add(&mx.mx, 10, host);
        mx_add(&mx.mx, 20, other);
        struct resolver_wire_question q = question(RESOLVER_MX, domain);
        resolver_cache_put(c, &q, &mx, 0);
        q = question(RESOLVER_STS, domain);
        snprintf(sts.sts.mx[0], sizeof(sts.sts.mx[0]), "*.%s", domain);
        resolver_cache_put(c, &q, i % 20 == 0 ? &sts : &sts_none, 0);
        names += i % 20 == 0 ? strlen(sts.sts.mx[0]) : 0;
        q = question(RESOLVER_ADDR, host);
        resolver_cache_put(c, &q, &addr, 0);
        /* Each text of a name counts once where it must be: domain twice, hosts as key and value.
         */
        names += 2 * strlen(domain) + 2 * strlen(host) + strlen(other);
        if (i % 10 > 0)
            continue;
        snprintf(tlsa.tlsa.base, sizeof(tlsa.tlsa.base), "%s", host);
        q = question(RESOLVER_TLSA, host);
        resolver_cache_put(c, &q, &tlsa, 0);
        names += 2 * strlen(host);
    }
    assert_int_equal(resolver_cache_len(c), DESTINATIONS * 3 + DESTINATIONS / 10);
    size_t each = (resolver_cache_bytes(c) - names) / DESTINATIONS;
    print_message("%zu bytes a destination beyond its names, %zu with them\n", each,
                  resolver_cache_bytes(c) / DESTINATIONS);
    assert_true(each <= 200);
    resolver_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_while_it_lives),
        cmocka_unit_test(ttl_is_what_is_left),
        cmocka_unit_test(absence_is_kept_for_minutes_and_failure_not),
        cmocka_unit_test(equal_hosts_take_turns),
        cmocka_unit_test(number_and_bytes_are_bounded),
        cmocka_unit_test(destinations_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
