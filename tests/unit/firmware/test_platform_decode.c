/* SPDX-License-Identifier: Apache-2.0 */
/* Are the answers of processors, rings and the kernel's files read right, also odd ones? */
#include "../cmocka_all.h"

#include "platform.h"

#include <errno.h>
#include <liburing.h>

static bool has(const struct platform_feature *features, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++) {
        if (strcmp(features[i].name, name) == 0)
            return features[i].has;
    }
    fail_msg("%s is not a row", name);
    return false;
}

/* Recorded from an Intel Xeon with AVX-512 in a virtual machine, and what the same would be with
 * less. */
static void x86_is_decoded(void **state)
{
    struct cpu_answer answer = {
        .arch = CPU_ARCH_X86,
        .reg = {[CPU_REG_1_ECX] = 0xfffa3203,
                [CPU_REG_7_EBX] = 0xf1bf2ffb,
                [CPU_REG_7_ECX] = 0x415f46},
        .xcr0 = 0xe7,
    };
    static const char *const all[] = {"aes-ni",  "pclmul",   "avx2",     "vaes",   "vpclmulqdq",
                                      "avx512f", "avx512bw", "avx512vl", "sha-ni", "rdrand"};
    struct platform_cpu cpu;

    platform_cpu_decode(&answer, &cpu);
    assert_int_equal(cpu.len, sizeof(all) / sizeof(all[0]));
    for (size_t i = 0; i < cpu.len; i++)
        assert_true(has(cpu.features, cpu.len, all[i]));

    answer.xcr0 = 0x07; /* the kernel saves no 512-bit registers */
    platform_cpu_decode(&answer, &cpu);
    assert_true(has(cpu.features, cpu.len, "vaes"));
    assert_false(has(cpu.features, cpu.len, "avx512f"));
    answer.xcr0 = 0; /* and none of 256 bits */
    platform_cpu_decode(&answer, &cpu);
    assert_false(has(cpu.features, cpu.len, "avx2"));
    assert_true(has(cpu.features, cpu.len, "aes-ni"));
    answer.reg[CPU_REG_1_ECX] = 0;
    platform_cpu_decode(&answer, &cpu);
    assert_false(has(cpu.features, cpu.len, "aes-ni"));
    assert_true(has(cpu.features, cpu.len, "sha-ni"));
}

static void arm_is_decoded(void **state)
{
    /* The bits of what a Neoverse N1 lists: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics
     * fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp. */
    struct cpu_answer answer = {.arch = CPU_ARCH_ARM64, .reg = {[CPU_REG_HWCAP] = 0x119fff}};
    struct platform_cpu cpu;

    platform_cpu_decode(&answer, &cpu);
    assert_true(has(cpu.features, cpu.len, "aes"));
    assert_true(has(cpu.features, cpu.len, "pmull"));
    assert_true(has(cpu.features, cpu.len, "sha2"));
    assert_false(has(cpu.features, cpu.len, "sve"));
    answer.arch = CPU_ARCH_OTHER;
    platform_cpu_decode(&answer, &cpu);
    assert_int_equal(cpu.len, 0);
}

static void model_is_found(void **state)
{
    char model[96], tiny[5];

    platform_cpu_model(
        SPAN_LIT("processor\t: 0\nmodel\t\t: 106\nmodel name\t: Some CPU @ 2 GHz\nx"), model,
        sizeof(model));
    assert_string_equal(model, "Some CPU @ 2 GHz");
    platform_cpu_model(SPAN_LIT("model name"), model, sizeof(model));
    assert_string_equal(model, "unknown");
    platform_cpu_model(SPAN_LIT("model name:"), model, sizeof(model));
    assert_string_equal(model, "");
    platform_cpu_model(SPAN_LIT(""), model, sizeof(model));
    assert_string_equal(model, "unknown");
    platform_cpu_model(SPAN_LIT("model name: abcdefgh"), tiny, sizeof(tiny));
    assert_string_equal(tiny, "abcd");
}

static struct ring_answer ring_good(void)
{
    struct ring_answer answer = {.features = 0x3fff,
                                 .defer_taskrun = true,
                                 .buffer_rings = true,
                                 .multishot_accept = true,
                                 .multishot_receive = true,
                                 .sync_cancel = true};

    for (int i = 0; i <= IORING_OP_SEND_ZC; i++)
        answer.ops[i] = true;
    return answer;
}

static void rings_are_judged(void **state)
{
    struct ring_answer answer = ring_good();
    struct platform_ring ring;

    platform_ring_decode(&answer, &ring);
    assert_true(ring.available && ring.usable);
    assert_string_equal(ring.why, "");
    for (size_t i = 0; i < ring.len; i++)
        assert_true(ring.features[i].has);

    answer.ops[IORING_OP_SEND_ZC] = false; /* welcome, not needed */
    answer.defer_taskrun = false;
    platform_ring_decode(&answer, &ring);
    assert_true(ring.usable);
    assert_false(has(ring.features, ring.len, "send_zc"));
    assert_false(has(ring.features, ring.len, "defer_taskrun"));

    answer.multishot_receive = false;
    answer.ops[IORING_OP_RECV] = false;
    platform_ring_decode(&answer, &ring);
    assert_true(ring.available);
    assert_false(ring.usable);
    assert_string_equal(ring.why, "the kernel's io_uring lacks recv; Linux 6.1 or later has it");

    answer = ring_good(); /* Linux 5.15 */
    answer.defer_taskrun = answer.buffer_rings = answer.multishot_accept = false;
    answer.multishot_receive = answer.sync_cancel = false;
    platform_ring_decode(&answer, &ring);
    assert_false(ring.usable);
    assert_string_equal(ring.why,
                        "the kernel's io_uring lacks buffer_rings; Linux 6.1 or later has it");

    answer = ring_good();
    answer.features = 0;
    platform_ring_decode(&answer, &ring);
    assert_false(ring.usable);
    answer.error = EPERM;
    platform_ring_decode(&answer, &ring);
    assert_false(ring.available || ring.usable);
    assert_int_equal(ring.len, 0);
    assert_non_null(strstr(ring.why, "kernel.io_uring_disabled"));
    answer.error = ENOSYS;
    platform_ring_decode(&answer, &ring);
    assert_non_null(strstr(ring.why, "Linux 6.1 or later is needed"));
    answer.error = ENOMEM;
    platform_ring_decode(&answer, &ring);
    assert_non_null(strstr(ring.why, "Cannot allocate memory"));
}

static void huge_pages_are_read(void **state)
{
    struct platform_huge huge;

    assert_int_equal(platform_huge_decode(SPAN_LIT("hugepages-2048kB"), SPAN_LIT("512\n"),
                                          SPAN_LIT("500\n"), &huge),
                     ERR_OK);
    assert_true(huge.size_kb == 2048 && huge.total == 512 && huge.free == 500);
    assert_int_equal(
        platform_huge_decode(SPAN_LIT("hugepages-"), SPAN_LIT("1"), SPAN_LIT("1"), &huge),
        ERR_SYNTAX);
    assert_int_equal(platform_huge_decode(SPAN_LIT("other"), SPAN_LIT("1"), SPAN_LIT("1"), &huge),
                     ERR_SYNTAX);
    assert_int_equal(
        platform_huge_decode(SPAN_LIT("hugepages-2048kB"), SPAN_LIT(""), SPAN_LIT("1"), &huge),
        ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x86_is_decoded),      cmocka_unit_test(arm_is_decoded),
        cmocka_unit_test(model_is_found),      cmocka_unit_test(rings_are_judged),
        cmocka_unit_test(huge_pages_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
