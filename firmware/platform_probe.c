/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_probe.h"

#include "platform_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

static void cpu_ask(struct cpu_answer *answer)
{
    unsigned eax, ebx, ecx, edx;

    answer->arch = CPU_ARCH_X86;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        answer->reg[CPU_REG_1_ECX] = ecx;
        if (ecx & bit_OSXSAVE) {
            __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
            answer->xcr0 = (uint64_t)edx << 32 | eax;
        }
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        answer->reg[CPU_REG_7_EBX] = ebx;
        answer->reg[CPU_REG_7_ECX] = ecx;
    }
}
#elif defined(__aarch64__)
static void cpu_ask(struct cpu_answer *answer)
{
    answer->arch = CPU_ARCH_ARM64;
    answer->reg[CPU_REG_HWCAP] = getauxval(AT_HWCAP);
}
#else
static void cpu_ask(struct cpu_answer *answer)
{
    answer->arch = CPU_ARCH_OTHER;
}
#endif

static void probe_huge(int root, struct platform *ret)
{
    static const char place[] = "sys/kernel/mm/hugepages";
    DIR *folder = platform_folder_open(root, place);
    const char *name;

    while (folder && ret->huge_len < PLATFORM_HUGE_MAX && (name = platform_folder_next(folder))) {
        char path[PLATFORM_PATH_TEXT], total[32], free[32];
        snprintf(path, sizeof(path), "%s/%.64s/nr_hugepages", place, name);
        struct span total_text = platform_file_head(root, path, total, sizeof(total));
        snprintf(path, sizeof(path), "%s/%.64s/free_hugepages", place, name);
        struct span free_text = platform_file_head(root, path, free, sizeof(free));
        if (platform_huge_decode(span_str(name), total_text, free_text,
                                 &ret->huge[ret->huge_len]) == ERR_OK)
            ret->huge_len++;
    }
    if (folder)
        closedir(folder);
}

static void probe_settings(int root, struct platform *ret)
{
    struct cpu_answer cpu = {0};
    struct utsname name;
    char cpuinfo[4096];

    memset(ret, 0, sizeof(*ret));
    if (uname(&name) == 0) {
        snprintf(ret->kernel, sizeof(ret->kernel), "%s %s", name.sysname, name.release);
        snprintf(ret->machine, sizeof(ret->machine), "%s", name.machine);
        platform_fixes_decode(name.release, name.version, &ret->fixes);
    }
    cpu_ask(&cpu);
    platform_cpu_decode(&cpu, &ret->cpu);
    platform_cpu_model(platform_file_head(root, "proc/cpuinfo", cpuinfo, sizeof(cpuinfo)),
                       ret->cpu.model, sizeof(ret->cpu.model));
    platform_ktls_probe(&ret->ktls);
    platform_probe_nics(root, ret);
    probe_huge(root, ret);
    platform_probe_host(root, ret);
}

static int root_open(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void platform_probe(struct platform *ret)
{
    int root = root_open();

    probe_settings(root, ret);
    platform_ring_probe(&ret->ring);
    platform_probe_disks(root, ret);
    if (root >= 0)
        close(root);
}

void platform_probe_settings(struct platform *ret)
{
    int root = root_open();

    probe_settings(root, ret);
    if (root >= 0)
        close(root);
}
