/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_probe.h"

#include <dirent.h>
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

/* The first bytes of a file; empty where it can't be read. */
static struct span file_head(int directory, const char *name, char *buffer, size_t room)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, buffer, room) : -1;

    if (fd >= 0)
        close(fd);
    return span_make(buffer, n > 0 ? (size_t)n : 0);
}

static void probe_huge(struct platform *ret)
{
    DIR *dir = opendir("/sys/kernel/mm/hugepages");
    struct dirent *entry;

    while (dir && ret->huge_len < PLATFORM_HUGE_MAX && (entry = readdir(dir))) {
        char name[300], total[32], free[32];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/nr_hugepages", entry->d_name);
        struct span total_text = file_head(dirfd(dir), name, total, sizeof(total));
        snprintf(name, sizeof(name), "%s/free_hugepages", entry->d_name);
        struct span free_text = file_head(dirfd(dir), name, free, sizeof(free));
        if (platform_huge_decode(span_str(entry->d_name), total_text, free_text,
                                 &ret->huge[ret->huge_len]) == ERR_OK)
            ret->huge_len++;
    }
    if (dir)
        closedir(dir);
}

void platform_probe(struct platform *ret)
{
    struct cpu_answer cpu = {0};
    struct utsname name;
    char cpuinfo[4096];

    *ret = (struct platform){0};
    if (uname(&name) == 0) {
        snprintf(ret->kernel, sizeof(ret->kernel), "%s %s", name.sysname, name.release);
        snprintf(ret->machine, sizeof(ret->machine), "%s", name.machine);
        platform_fixes_decode(name.release, name.version, &ret->fixes);
    }
    cpu_ask(&cpu);
    platform_cpu_decode(&cpu, &ret->cpu);
    platform_cpu_model(file_head(AT_FDCWD, "/proc/cpuinfo", cpuinfo, sizeof(cpuinfo)),
                       ret->cpu.model, sizeof(ret->cpu.model));
    platform_ktls_probe(&ret->ktls);
    platform_ring_probe(&ret->ring);
    platform_probe_nics(ret);
    probe_huge(ret);
}
