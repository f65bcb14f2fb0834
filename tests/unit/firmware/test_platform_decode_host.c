/* SPDX-License-Identifier: Apache-2.0 */
/* Are the kernel's files on memory, accelerators, TLS and clock read right, also odd ones? */
#include "../cmocka_all.h"

#include "platform_host.h"

static void memory_is_read(void **state)
{
    struct platform_memory m;

    assert_int_equal(platform_memory_decode(SPAN_LIT("MemTotal:       24684092 kB\n"
                                                     "MemFree:         1000 kB\n"
                                                     "MemAvailable:   23775584 kB\n"),
                                            &m),
                     ERR_OK);
    assert_true(m.total_kb == 24684092 && m.available_kb == 23775584);
    assert_int_equal(platform_memory_decode(SPAN_LIT("Node 1 MemTotal:       10840276 kB\n"
                                                     "Node 1 MemFree:        9993352 kB\n"),
                                            &m),
                     ERR_OK);
    assert_true(m.total_kb == 10840276 && m.available_kb == 9993352);
    assert_int_equal(platform_memory_decode(SPAN_LIT("MemFree: 5 kB\n"), &m), ERR_SYNTAX);
    assert_int_equal(platform_memory_decode(SPAN_LIT("MemTotal: -5 kB\n"), &m), ERR_SYNTAX);
    assert_int_equal(platform_memory_decode(SPAN_LIT("MemTotal: 18446744073709551616 kB"), &m),
                     ERR_SYNTAX);
    assert_int_equal(platform_memory_decode(SPAN_LIT(""), &m), ERR_SYNTAX);
}

static void accelerators_are_known(void **state)
{
    uint64_t value;

    assert_string_equal(platform_qat_name(0x8086, 0x4940), "QAT 4xxx");
    assert_string_equal(platform_qat_name(0x8086, 0x37c9), "QAT C62x VF");
    assert_null(platform_qat_name(0x8086, 0x1572)); /* a network card */
    assert_null(platform_qat_name(0x15b3, 0x4940)); /* another maker's */
    assert_int_equal(platform_hex_decode(SPAN_LIT("0x8086\n"), &value), ERR_OK);
    assert_int_equal(value, 0x8086);
    assert_int_equal(platform_hex_decode(SPAN_LIT("0xfFfFfFfFfFfFfFfF"), &value), ERR_OK);
    assert_true(value == UINT64_MAX);
    static const char *const bad[] = {"",    "0x", "8086", "0x1g", "0x11111111111111111",
                                      "0x:", "0x@"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(platform_hex_decode(span_str(bad[i]), &value), ERR_SYNTAX);
}

/* As Linux 6.12 writes it. */
static void tls_counters_are_read(void **state)
{
    static const char stat[] = "TlsCurrTxSw                     \t3\n"
                               "TlsCurrRxSw                     \t0\n"
                               "TlsCurrTxDevice                 \t18446744073709551615\n"
                               "\n"
                               "odd\n"
                               "negative -1\n"
                               "AVeryLongNameOfACounterThatHasNoRoomHere \t1\n"
                               "TlsDecryptError                 \t7";
    struct platform_tls_counter counters[8];

    assert_int_equal(platform_tls_stat_decode(span_str(stat), counters, 8), 4);
    assert_string_equal(counters[0].name, "TlsCurrTxSw");
    assert_int_equal(counters[0].value, 3);
    assert_true(counters[2].value == UINT64_MAX);
    assert_string_equal(counters[3].name, "TlsDecryptError");
    assert_int_equal(counters[3].value, 7);
    assert_int_equal(platform_tls_stat_decode(span_str(stat), counters, 2), 2);
    assert_int_equal(platform_tls_stat_decode(SPAN_LIT("\xff 1\n"), counters, 2), 0);
}

static void clocks_are_judged(void **state)
{
    struct clock_answer answer = {
        .now_s = 1795359888, .epoch_s = 1795000000, .sync_known = true, .synchronized = true};
    struct platform_clock clock;

    platform_clock_judge(&answer, &clock);
    assert_true(clock.plausible && clock.synchronized);
    assert_string_equal(clock.now, "2026-11-22 15:04:48Z");
    assert_string_equal(clock.why, "");

    answer.has_rtc = true;
    answer.rtc_s = answer.now_s - 3600;
    platform_clock_judge(&answer, &clock);
    assert_true(clock.plausible);
    assert_string_equal(
        clock.why, "the clock that runs without power is 3600 s behind: wrong after a power cut");
    answer.rtc_s = answer.now_s + 120;
    answer.synchronized = false;
    platform_clock_judge(&answer, &clock);
    assert_string_equal(clock.why, "no time server has set it");
    answer.sync_known = false; /* nothing is said of what is not known */
    platform_clock_judge(&answer, &clock);
    assert_string_equal(clock.why, "");

    answer.now_s = answer.epoch_s - 1;
    platform_clock_judge(&answer, &clock);
    assert_false(clock.plausible);
    assert_non_null(strstr(clock.why, "earlier than this system was made"));
    answer.now_s = 0; /* as a machine without a battery starts */
    platform_clock_judge(&answer, &clock);
    assert_false(clock.plausible);
    assert_string_equal(clock.now, "1970-01-01 00:00:00Z");
    answer.now_s = 4102444801;
    platform_clock_judge(&answer, &clock);
    assert_false(clock.plausible);
    assert_non_null(strstr(clock.why, "after 2100"));
    answer.now_s = UINT64_MAX;
    platform_clock_judge(&answer, &clock);
    assert_false(clock.plausible);
    assert_string_equal(clock.now, "beyond any calendar");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_read),
        cmocka_unit_test(accelerators_are_known),
        cmocka_unit_test(tls_counters_are_read),
        cmocka_unit_test(clocks_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
