/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts instructions inside the cost gate's virtual machine, whose clock ticks once an
 * instruction: CPU time in nanoseconds is their number, the kernel's part included.
 *
 *   postern-cost up                 loopback, in a machine without its tools
 *   postern-cost tree PID           CPU time of a process and all below it, threads of the kernel's
 *                                   own (io-wq) included
 *   postern-cost relay KIND BYTES   CPU time of a bare relay between two loopback connections for
 *                                   so many bytes, which the gateway is held against. KIND:
 *                                   splice, kernel (TLS by the kernel and splice), ssl (OpenSSL)
 *   postern-cost off                ends the machine
 */
#include "cost.h"

#include "assertion.h"

#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 512 };

struct process {
    pid_t pid, parent;
};

uint64_t cost_clock_ns(clockid_t clock)
{
    struct timespec now;

    ASSERT(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    const char *after_name;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    after_name = strrchr(text, ')');
    if (after_name == NULL || strlen(after_name) < 4)
        return 0;
    return (pid_t)strtol(after_name + 4, NULL, 10); /* ") S PARENT" */
}

static size_t processes_list(struct process *ret_all)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    size_t count = 0;

    ASSERT(proc != NULL);
    while ((entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid <= 0)
            continue;
        ASSERT(count < PROCESSES_MAX);
        ret_all[count++] = (struct process){pid, parent_of(entry->d_name)};
    }
    closedir(proc);
    return count;
}

static uint64_t tree_ns(const struct process *all, size_t count, pid_t top)
{
    uint64_t sum;
    clockid_t clock;

    ASSERT(clock_getcpuclockid(top, &clock) == 0);
    sum = cost_clock_ns(clock);
    for (size_t i = 0; i < count; i++) {
        if (all[i].parent == top)
            sum += tree_ns(all, count, all[i].pid);
    }
    return sum;
}

static int tree_main(const char *pid)
{
    static struct process all[PROCESSES_MAX];
    size_t count = processes_list(all);

    printf("%llu\n", (unsigned long long)tree_ns(all, count, (pid_t)strtol(pid, NULL, 10)));
    return EXIT_SUCCESS;
}

static int up_main(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    ASSERT(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0);
    close(fd);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "up") == 0)
        return up_main();
    if (argc == 2 && strcmp(argv[1], "off") == 0)
        return reboot(RB_POWER_OFF) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (argc == 3 && strcmp(argv[1], "tree") == 0)
        return tree_main(argv[2]);
    if (argc == 4 && strcmp(argv[1], "relay") == 0)
        return cost_relay_main(argv[2], strtoul(argv[3], NULL, 10));
    fputs("usage: postern-cost up | off | tree PID | relay splice|kernel|ssl BYTES\n", stderr);
    return EXIT_FAILURE;
}
