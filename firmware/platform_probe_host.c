/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_files.h"
#include "platform_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>

static void cpus_read(int root, struct platform_host *h)
{
    char text[PLATFORM_FILE_MAX];

    if (platform_cpus_list_decode(
            platform_file_head(root, "sys/devices/system/cpu/online", text, sizeof(text)),
            &h->cpus) != ERR_OK)
        h->cpus = (struct platform_cpus){0};
    h->cpus_len = platform_cpus_count(&h->cpus);
}

static void governor_read(int root, const char *name, struct platform_host *h)
{
    struct platform_governor *g = &h->governor[h->governors_len];
    char path[PLATFORM_PATH_TEXT];
    uint64_t number;

    if (strncmp(name, "policy", 6) != 0 ||
        span_to_u64(span_str(name + 6), PLATFORM_CPUS_MAX - 1, &number) != ERR_OK)
        return;
    g->policy = (unsigned)number;
    snprintf(path, sizeof(path), "sys/devices/system/cpu/cpufreq/%s/scaling_governor", name);
    if (!platform_file_line(root, path, g->name, sizeof(g->name)))
        return;
    snprintf(path, sizeof(path), "sys/devices/system/cpu/cpufreq/%s/scaling_available_governors",
             name);
    if (h->governors_len++ == 0)
        (void)platform_file_line(root, path, h->governors, sizeof(h->governors));
}

static void governors_read(int root, struct platform_host *h)
{
    DIR *folder = platform_folder_open(root, "sys/devices/system/cpu/cpufreq");
    const char *name;

    while (folder && h->governors_len < PLATFORM_GOVERNORS_MAX &&
           (name = platform_folder_next(folder)))
        governor_read(root, name, h);
    if (folder)
        closedir(folder);
}

static void sysctls_read(int root, struct platform_host *h)
{
    for (int i = 0; i < PLATFORM_SYSCTL_COUNT; i++)
        (void)platform_file_line(root, platform_sysctl_path((enum platform_sysctl)i), h->sysctls[i],
                                 sizeof(h->sysctls[i]));
}

static void node_read(int root, const char *name, struct platform_host *h)
{
    char path[PLATFORM_PATH_TEXT], text[PLATFORM_FILE_MAX];
    struct platform_node *node = &h->nodes[h->nodes_len];
    struct platform_memory memory;
    uint64_t number;

    if (strncmp(name, "node", 4) != 0 ||
        span_to_u64(span_str(name + 4), PLATFORM_NODES_MAX - 1, &number) != ERR_OK)
        return;
    *node = (struct platform_node){.number = (unsigned)number};
    snprintf(path, sizeof(path), "sys/devices/system/node/%s/meminfo", name);
    if (platform_memory_decode(platform_file_head(root, path, text, sizeof(text)), &memory) ==
        ERR_OK)
        node->total_kb = memory.total_kb;
    snprintf(path, sizeof(path), "sys/devices/system/node/%s/cpulist", name);
    (void)platform_file_line(root, path, node->cpus, sizeof(node->cpus));
    h->nodes_len++;
}

static int node_order(const void *a, const void *b)
{
    const struct platform_node *first = a, *second = b;

    return (first->number > second->number) - (first->number < second->number);
}

static void memory_read(int root, struct platform_host *h)
{
    char text[PLATFORM_FILE_MAX];
    const char *name;

    if (platform_memory_decode(platform_file_head(root, "proc/meminfo", text, sizeof(text)),
                               &h->memory) != ERR_OK)
        h->memory = (struct platform_memory){0};
    DIR *folder = platform_folder_open(root, "sys/devices/system/node");
    while (folder && h->nodes_len < PLATFORM_NODES_MAX && (name = platform_folder_next(folder)))
        node_read(root, name, h);
    if (folder)
        closedir(folder);
    qsort(h->nodes, h->nodes_len, sizeof(h->nodes[0]), node_order);
}

static bool hex_read(int root, const char *device, const char *file, uint64_t *ret)
{
    char path[PLATFORM_PATH_TEXT], text[32];

    snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/%s", device, file);
    return platform_hex_decode(platform_file_head(root, path, text, sizeof(text)), ret) == ERR_OK;
}

static void accelerators_read(int root, struct platform_host *h)
{
    DIR *folder = platform_folder_open(root, "sys/bus/pci/devices");
    const char *name;

    while (folder && h->accelerators_len < PLATFORM_ACCELERATORS_MAX &&
           (name = platform_folder_next(folder))) {
        struct platform_accelerator *a = &h->accelerators[h->accelerators_len];
        char path[PLATFORM_PATH_TEXT];
        uint64_t vendor, device;
        const char *qat;
        if (!hex_read(root, name, "vendor", &vendor) || !hex_read(root, name, "device", &device) ||
            !(qat = platform_qat_name(vendor, device)))
            continue;
        *a = (struct platform_accelerator){.name = qat};
        snprintf(a->address, sizeof(a->address), "%.*s", (int)sizeof(a->address) - 1, name);
        snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/driver", name);
        (void)platform_link_name(root, path, a->driver, sizeof(a->driver));
        h->accelerators_len++;
    }
    if (folder)
        closedir(folder);
}

static void iommu_read(int root, struct platform_host *h)
{
    DIR *folder = platform_folder_open(root, "sys/class/iommu");
    const char *name = folder ? platform_folder_next(folder) : NULL;

    if (name)
        snprintf(h->iommu, sizeof(h->iommu), "%.*s", (int)sizeof(h->iommu) - 1, name);
    if (folder)
        closedir(folder);
    folder = platform_folder_open(root, "sys/kernel/iommu_groups");
    while (folder && platform_folder_next(folder))
        h->iommu_groups++;
    if (folder)
        closedir(folder);
}

static void tpm_read(int root, struct platform_tpm *tpm)
{
    uint64_t version;

    tpm->there = platform_file_exists(root, "sys/class/tpm/tpm0");
    if (platform_file_number(root, "sys/class/tpm/tpm0/tpm_version_major", &version) &&
        version <= 2)
        tpm->version = (unsigned)version;
}

static void watchdogs_read(int root, struct platform_host *h)
{
    DIR *folder = platform_folder_open(root, "sys/class/watchdog");
    const char *name;

    while (folder && h->watchdogs_len < PLATFORM_WATCHDOGS_MAX &&
           (name = platform_folder_next(folder))) {
        struct platform_watchdog *w = &h->watchdogs[h->watchdogs_len];
        char path[PLATFORM_PATH_TEXT], state[16];
        uint64_t nowayout = 0;
        *w = (struct platform_watchdog){0};
        snprintf(w->name, sizeof(w->name), "%.*s", (int)sizeof(w->name) - 1, name);
        snprintf(path, sizeof(path), "sys/class/watchdog/%s/identity", w->name);
        if (!platform_file_line(root, path, w->identity, sizeof(w->identity)))
            snprintf(w->identity, sizeof(w->identity), "this kernel does not say what it is");
        snprintf(path, sizeof(path), "sys/class/watchdog/%s/timeout", w->name);
        (void)platform_file_number(root, path, &w->timeout_s);
        snprintf(path, sizeof(path), "sys/class/watchdog/%s/max_timeout", w->name);
        (void)platform_file_number(root, path, &w->max_timeout_s);
        snprintf(path, sizeof(path), "sys/class/watchdog/%s/nowayout", w->name);
        w->nowayout = platform_file_number(root, path, &nowayout) && nowayout != 0;
        snprintf(path, sizeof(path), "sys/class/watchdog/%s/state", w->name);
        w->active =
            platform_file_line(root, path, state, sizeof(state)) && strcmp(state, "active") == 0;
        h->watchdogs_len++;
    }
    if (folder)
        closedir(folder);
}

static void tls_stat_read(int root, struct platform_host *h)
{
    char text[PLATFORM_FILE_MAX];
    struct span stat = platform_file_head(root, "proc/net/tls_stat", text, sizeof(text));

    h->tls_stat = stat.len > 0;
    h->tls_counters_len =
        platform_tls_stat_decode(stat, h->tls_counters, PLATFORM_TLS_COUNTERS_MAX);
}

/* Files of the system that can't be younger than now; the first one there tells. */
static void clock_ask(int root, struct platform_clock *ret)
{
    static const char *const files[] = {"usr/lib/clock-epoch", "usr/lib/os-release"};
    struct clock_answer answer = {.now_s = (uint64_t)time(NULL)};
    struct timex timex = {0};
    struct stat st;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && answer.epoch_s == 0; i++) {
        if (fstatat(root, files[i], &st, 0) == 0)
            answer.epoch_s = (uint64_t)st.st_mtime;
    }
    answer.has_rtc = platform_file_number(root, "sys/class/rtc/rtc0/since_epoch", &answer.rtc_s);
    int state = adjtimex(&timex);
    answer.sync_known = state >= 0; /* a sandbox may forbid to ask */
    answer.synchronized = answer.sync_known && state != TIME_ERROR && !(timex.status & STA_UNSYNC);
    platform_clock_judge(&answer, ret);
}

void platform_probe_host(int root, struct platform *ret)
{
    cpus_read(root, &ret->host);
    governors_read(root, &ret->host);
    sysctls_read(root, &ret->host);
    memory_read(root, &ret->host);
    accelerators_read(root, &ret->host);
    iommu_read(root, &ret->host);
    tpm_read(root, &ret->host.tpm);
    watchdogs_read(root, &ret->host);
    tls_stat_read(root, &ret->host);
    clock_ask(root, &ret->host.clock);
}
