/* SPDX-License-Identifier: Apache-2.0 */
/* Results of libunbound, as it gives them, and what the search of RFC 7672 section 2.2 makes of
 * them; tests/peers/test_resolver.py has the same over real zones. */
#include "resolver_tlsa.h"

#include "cmocka_all.h"

static char address[4] = {127, 0, 1, 1}, record[] = "\3\1\1abcdefghabcdefghabcdefghabcdefgh";
static char *one_address[] = {address, NULL}, *one_record[] = {record, NULL}, *nothing[] = {NULL};
static int address_len[] = {4, 0}, record_len[] = {35, 0};

static struct dns_tlsa_answer answer;
static struct resolver_tlsa search;

static struct ub_result found(char **data, int *len, bool secure, const char *canon)
{
    return (struct ub_result){.data = data,
                              .len = len,
                              .havedata = data[0] != NULL,
                              .secure = secure,
                              .canonname = (char *)canon,
                              .ttl = 60};
}

static struct ub_result addresses(bool secure, const char *canon)
{
    return found(one_address, address_len, secure, canon);
}

static struct ub_result records(bool secure)
{
    return found(one_record, record_len, secure, NULL);
}

static struct ub_result none(bool secure, int rcode)
{
    struct ub_result r = found(nothing, address_len, secure, NULL);

    r.rcode = rcode;
    r.nxdomain = rcode == 3;
    return r;
}

static enum resolver_tlsa_step begin(const char *host, struct ub_result v6, struct ub_result v4)
{
    struct resolver_tlsa_host six, four;

    resolver_tlsa_begin(&search, host, 25, &answer);
    resolver_tlsa_host(&search, 0, &v6, &six);
    resolver_tlsa_host(&search, 0, &v4, &four);
    return resolver_tlsa_addresses(&search, &six, &four);
}

static void asks_for(const char *name)
{
    char asked[DNS_NAME_MAX + 1];

    resolver_tlsa_name(&search, asked);
    assert_string_equal(asked, name);
}

static enum resolver_tlsa_step said(struct ub_result result)
{
    return resolver_tlsa_records(&search, 0, &result);
}

static void is_end(enum resolver_tlsa_step step, enum dns_status status)
{
    assert_int_equal(step, RESOLVER_TLSA_END);
    assert_int_equal(answer.status, status);
}

static void secure_addresses_ask_for_records(void **state)
{
    assert_int_equal(begin("mx.example.org", none(true, 0), addresses(true, NULL)),
                     RESOLVER_TLSA_RECORDS);
    asks_for("_25._tcp.mx.example.org");
    is_end(said(records(true)), DNS_OK);
    assert_string_equal(answer.base, "mx.example.org");
    assert_int_equal(answer.len, 1);
    assert_int_equal(answer.records[0].usage, 3);
    assert_int_equal(answer.records[0].len, 32);
    assert_memory_equal(answer.data, "abcdefgh", 8);
    assert_int_equal(answer.ttl_s, 60);
}

static void insecure_records_do_not_count(void **state)
{
    begin("mx.example.org", none(true, 0), addresses(true, NULL));
    is_end(said(records(false)), DNS_NODATA);
    assert_int_equal(answer.len, 0);
}

static void insecure_addresses_end_it(void **state)
{
    is_end(begin("mx.example.org", addresses(false, NULL), addresses(false, NULL)), DNS_NODATA);
    /* The name itself, written in another way, is no alias. */
    is_end(begin("mx.example.org", none(false, 0), addresses(false, "MX.example.org.")),
           DNS_NODATA);
}

static void failures_stay_failures(void **state)
{
    struct ub_result bogus = none(false, 2), failed = none(false, 2);

    bogus.bogus = 1;
    is_end(begin("a", none(true, 0), bogus), DNS_BOGUS);
    is_end(begin("a", failed, none(true, 0)), DNS_FAILED);
    is_end(begin("a", none(true, 3), none(true, 3)), DNS_NODATA);
    begin("a", none(true, 0), addresses(true, NULL));
    is_end(said(failed), DNS_FAILED);
    begin("a", failed, addresses(true, NULL));
    is_end(said(bogus), DNS_BOGUS);
    begin("a", none(true, 0), addresses(true, "b."));
    is_end(said(failed), DNS_FAILED); /* and the alias itself is not tried */
    begin("a", none(true, 0), addresses(true, NULL));
    is_end(resolver_tlsa_records(&search, UB_NOMEM, NULL), DNS_FAILED);
}

static void secure_alias_has_two_names(void **state)
{
    assert_int_equal(begin("a.example", none(true, 0), addresses(true, "MX.example.org.")),
                     RESOLVER_TLSA_RECORDS);
    asks_for("_25._tcp.mx.example.org");
    assert_int_equal(said(none(true, 3)), RESOLVER_TLSA_RECORDS);
    asks_for("_25._tcp.a.example");
    is_end(said(records(true)), DNS_OK);
    assert_string_equal(answer.base, "a.example");
    begin("a.example", none(true, 0), addresses(true, "mx.example.org."));
    is_end(said(records(true)), DNS_OK);
    assert_string_equal(answer.base, "mx.example.org");
    begin("a.example", none(true, 0), addresses(true, "mx.example.org."));
    assert_int_equal(said(none(true, 0)), RESOLVER_TLSA_RECORDS);
    is_end(said(none(true, 0)), DNS_NODATA);
    assert_string_equal(answer.base, "a.example");
}

static void insecure_alias_counts_where_its_own_zone_is_secure(void **state)
{
    struct ub_result cname = records(true), insecure = records(false), failed = none(false, 2);

    assert_int_equal(begin("a.example", none(false, 0), addresses(false, "mx.example.org.")),
                     RESOLVER_TLSA_ALIAS);
    assert_int_equal(resolver_tlsa_alias(&search, 0, &cname), RESOLVER_TLSA_RECORDS);
    asks_for("_25._tcp.a.example");
    is_end(said(none(true, 0)), DNS_NODATA);
    begin("a.example", none(false, 0), addresses(false, "mx.example.org."));
    is_end(resolver_tlsa_alias(&search, 0, &insecure), DNS_NODATA);
    begin("a.example", none(false, 0), addresses(false, "mx.example.org."));
    is_end(resolver_tlsa_alias(&search, 0, &failed), DNS_FAILED);
}

static void names_that_can_not_be(void **state)
{
    char host[DNS_NAME_MAX + 1];

    is_end(begin("a", none(true, 0), addresses(true, "bad\\032name.")), DNS_FAILED);
    memset(host, 'a', sizeof(host));
    host[250] = '\0';
    is_end(begin(host, none(true, 0), addresses(true, NULL)), DNS_NODATA);
}

static void records_beyond_the_bounds_are_left_out(void **state)
{
    static char large[5003], *many[DNS_TLSA_MAX + 10];
    static int many_len[DNS_TLSA_MAX + 10];
    struct ub_result r = found(many, many_len, true, NULL);

    for (int i = 0; i < DNS_TLSA_MAX + 9; i++) {
        many[i] = i < 2 ? large : record;
        many_len[i] = i < 2 ? (int)sizeof(large) : i == 2 ? 2 : 35;
    }
    r.havedata = 1;
    begin("a", none(true, 0), addresses(true, NULL));
    is_end(said(r), DNS_OK);
    assert_int_equal(answer.len, DNS_TLSA_MAX);
    assert_int_equal(answer.records[0].len, 5000);
    assert_int_equal(answer.records[1].len, 32);
    assert_int_equal(answer.records[1].at, 5000);
    many_len[0] = 1;
    many[1] = NULL;
    begin("a", none(true, 0), addresses(true, NULL));
    is_end(said(r), DNS_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secure_addresses_ask_for_records),
        cmocka_unit_test(insecure_records_do_not_count),
        cmocka_unit_test(insecure_addresses_end_it),
        cmocka_unit_test(failures_stay_failures),
        cmocka_unit_test(secure_alias_has_two_names),
        cmocka_unit_test(insecure_alias_counts_where_its_own_zone_is_secure),
        cmocka_unit_test(names_that_can_not_be),
        cmocka_unit_test(records_beyond_the_bounds_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
