/* SPDX-License-Identifier: Apache-2.0 */
/* Is the record layer chosen as an administrator would, and is the reason said? */
#include "../cmocka_all.h"

#include "record_choice.h"

#include <stdio.h>

static struct conf_gateway conf_of(enum conf_dataplane dataplane, enum conf_kernel_fixes fixes)
{
    return (struct conf_gateway){.dataplane = dataplane, .kernel_fixes = fixes};
}

static struct platform_ktls ktls_good(void)
{
    struct platform_ktls ktls = {.ulp = true};

    for (int i = 0; i < KTLS_CIPHER_COUNT; i++)
        ktls.ciphers[i].rx = ktls.ciphers[i].tx = true;
    return ktls;
}

static struct platform_fixes fixes_lacking(size_t lacking)
{
    static const char *const ids[] = {"CVE-1", "CVE-2", "CVE-3", "CVE-4", "CVE-5"};
    struct platform_fixes f = {.package = "Debian 6.1.148-1", .len = 5, .lacking = lacking};

    for (size_t i = 0; i < f.len; i++)
        f.fixes[i] = (struct platform_fix){.id = ids[i], .has = i >= lacking};
    return f;
}

static void check(const struct conf_gateway *conf, const struct platform_ktls *ktls, size_t lacking,
                  enum record_way way, bool measured, const char *said)
{
    struct platform_fixes fixes = fixes_lacking(lacking);
    struct record_choice choice;
    char why[RECORD_ERROR_TEXT];
    bool measure;

    assert_int_equal(record_choose(conf, ktls, &fixes, &choice, &measure, why, sizeof(why)), 0);
    assert_int_equal(measure, measured);
    if (measured)
        return;
    assert_int_equal(choice.way, way);
    assert_string_equal(choice.why, said);
    assert_int_equal(choice.after_bytes, 0);
}

static void refused(const struct platform_ktls *ktls, size_t lacking, const char *said)
{
    const struct conf_gateway conf = conf_of(CONF_DATAPLANE_KTLS, CONF_KERNEL_FIXES_REQUIRE);
    struct platform_fixes fixes = fixes_lacking(lacking);
    struct record_choice choice;
    char why[RECORD_ERROR_TEXT];
    bool measure;

    assert_int_equal(record_choose(&conf, ktls, &fixes, &choice, &measure, why, sizeof(why)),
                     ERR_CONFIG);
    if (!strstr(why, said))
        fail_msg("\"%s\" is not in: %s", said, why);
}

static void auto_goes_by_capability_fixes_and_cost(void **state)
{
    const struct conf_gateway conf = conf_of(CONF_DATAPLANE_AUTO, CONF_KERNEL_FIXES_REQUIRE);
    const struct conf_gateway warn = conf_of(CONF_DATAPLANE_AUTO, CONF_KERNEL_FIXES_WARN);
    struct platform_ktls ktls = ktls_good(), none = {.why = "the kernel has no protocol"};

    check(&conf, &none, 0, RECORD_WAY_USER, false, "user records: the kernel has no protocol");
    check(&conf, &ktls, 1, RECORD_WAY_USER, false,
          "user records: this kernel (Debian 6.1.148-1) lacks the fix of CVE-1");
    check(&conf, &ktls, 5, RECORD_WAY_USER, false,
          "user records: this kernel (Debian 6.1.148-1) lacks the fix of CVE-1, CVE-2, CVE-3 and 2 "
          "more");
    check(&conf, &ktls, 0, RECORD_WAY_USER, true, NULL);
    check(&warn, &ktls, 5, RECORD_WAY_USER, true, NULL);
    check(&warn, &none, 5, RECORD_WAY_USER, false, "user records: the kernel has no protocol");
}

static void uring_is_our_own(void **state)
{
    const struct conf_gateway conf = conf_of(CONF_DATAPLANE_URING, CONF_KERNEL_FIXES_WARN);
    struct platform_ktls ktls = ktls_good();

    check(&conf, &ktls, 0, RECORD_WAY_USER, false, "user records: the configuration says uring");
}

static void ktls_is_what_the_kernel_can_or_refused(void **state)
{
    const struct conf_gateway conf = conf_of(CONF_DATAPLANE_KTLS, CONF_KERNEL_FIXES_REQUIRE);
    const struct conf_gateway warn = conf_of(CONF_DATAPLANE_KTLS, CONF_KERNEL_FIXES_WARN);
    struct platform_ktls ktls = ktls_good(), none = {.why = "the kernel has no protocol"};
    struct platform_ktls sends = {.ulp = true};

    check(&conf, &ktls, 0, RECORD_WAY_KERNEL, false, "kernel records: the configuration says ktls");
    sends.ciphers[KTLS_TLS13_AES128].tx = true; /* one is enough: other legs' records stay ours */
    check(&conf, &sends, 0, RECORD_WAY_KERNEL_TX, false,
          "kernel records to send: the configuration says ktls");
    refused(&none, 0, "the kernel has no protocol");
    refused(&(struct platform_ktls){.ulp = true, .why = "but no cipher"}, 0, "but no cipher");
    /* Every one is named, and what would do. */
    refused(&ktls, 5, "(Debian 6.1.148-1)");
    refused(&ktls, 5, "CVE-1, CVE-2, CVE-3, CVE-4, CVE-5");
    refused(&ktls, 5, "gateway.kernel_fixes = \"warn\"");
    check(&warn, &ktls, 2, RECORD_WAY_KERNEL, false,
          "kernel records: the configuration says ktls; this kernel lacks the fix of CVE-1, CVE-2");
}

static struct record_choice costed(const struct record_cost *cost, size_t lacking)
{
    struct platform_fixes fixes = fixes_lacking(lacking);
    struct record_choice choice;

    record_choose_by_cost(cost, &fixes, &choice);
    return choice;
}

static void the_cheapest_is_chosen(void **state)
{
    struct record_cost cost = {.chunk_ns = {1000000, 900000, 1100000, 700000},
                               .data_ns = {1200000, 1100000, 1300000, 1500000},
                               .switch_ns = {50000, 60000, 60000, 90000}};
    struct record_choice choice = costed(&cost, 0);

    /* 2.0 of 2.2; the hand-off of 10 us more is paid for by 105 KB. */
    assert_int_equal(choice.way, RECORD_WAY_KERNEL_RX);
    assert_true(choice.costed && !choice.unfixed);
    assert_int_equal(choice.after_bytes, 128 * 1024);
    assert_string_equal(choice.why, "kernel records to receive: kernel records to receive cost "
                                    "0.91x the CPU of user records here (chunks 0.90x, DATA "
                                    "0.92x)");
    choice = costed(&cost, 1);
    assert_true(choice.unfixed);
    assert_non_null(strstr(choice.why, "; this kernel lacks the fix of CVE-1"));
    cost.data_ns[RECORD_WAY_KERNEL] = 1100000;
    choice = costed(&cost, 0);
    assert_int_equal(choice.way, RECORD_WAY_KERNEL);
    /* A hand-off that costs nothing is still not for small mail. */
    cost.switch_ns[RECORD_WAY_KERNEL] = 1;
    assert_int_equal(costed(&cost, 0).after_bytes, 64 * 1024);
}

static void our_own_need_to_be_beaten_clearly(void **state)
{
    struct record_cost cost = {.chunk_ns = {1000, 0, 970, 1310}, .data_ns = {1000, 0, 970, 1310}};
    struct record_choice choice = costed(&cost, 1);

    assert_int_equal(choice.way, RECORD_WAY_USER);
    assert_true(choice.costed && !choice.unfixed);
    assert_string_equal(choice.why, "user records: kernel records to send cost 0.97x the CPU of "
                                    "user records here (chunks 0.97x, DATA 0.97x)");
    cost.chunk_ns[RECORD_WAY_KERNEL_TX] = 0;
    choice = costed(&cost, 0);
    assert_non_null(strstr(choice.why, "kernel records cost 1.31x"));
    cost = (struct record_cost){.chunk_ns = {1000}, .data_ns = {1000}};
    choice = costed(&cost, 0);
    assert_int_equal(choice.way, RECORD_WAY_USER);
    assert_false(choice.costed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_goes_by_capability_fixes_and_cost),
        cmocka_unit_test(uring_is_our_own),
        cmocka_unit_test(ktls_is_what_the_kernel_can_or_refused),
        cmocka_unit_test(the_cheapest_is_chosen),
        cmocka_unit_test(our_own_need_to_be_beaten_clearly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
