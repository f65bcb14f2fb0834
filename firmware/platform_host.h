/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What else of a machine concerns an appliance: memory and its nodes, accelerators for crypto, IOMMU,
 * TPM, watchdogs, disks and their health, whether its clock can be right, and the counters of kernel
 * TLS. The decoders are pure functions of the kernel's and the devices' bytes.
 */
#pragma once

#include "errcode.h"
#include "platform_cpus.h"
#include "span.h"

enum {
    PLATFORM_NODES_MAX = 64,
    PLATFORM_ACCELERATORS_MAX = 32,
    PLATFORM_WATCHDOGS_MAX = 8,
    PLATFORM_DISKS_MAX = 64,
    PLATFORM_TLS_COUNTERS_MAX = 32,
};

/* --- memory ------------------------------------------------------------------------------- */

struct platform_memory {
    uint64_t total_kb, available_kb;
};

struct platform_node {
    unsigned number;
    uint64_t total_kb;
    char cpus[64]; /* as a list */
};

/* /proc/meminfo, or a node's ("Node 0 MemTotal: ..."), which knows MemFree in place of
 * MemAvailable. ERR_SYNTAX where it has no total. */
int platform_memory_decode(struct span meminfo, struct platform_memory *ret) ERR_CHECK;

/* --- accelerators ------------------------------------------------------------------------- */

struct platform_accelerator {
    char address[16];
    const char *name; /* of a row of qat_device.def */
    char driver[32];  /* "" where none has it */
};

/* The name of Intel's QuickAssist device of those numbers, NULL where it is none. */
const char *platform_qat_name(uint64_t vendor, uint64_t device);
/* "0x8086\n" of a PCI device's file. ERR_SYNTAX. */
int platform_hex_decode(struct span text, uint64_t *ret) ERR_CHECK;

/* --- settings of the kernel --------------------------------------------------------------- */

/* Those that tune may change, by the rows of tune_sysctl.def. */
enum platform_sysctl {
#define TUNE_SYSCTL(name, path, rule, value, why) PLATFORM_SYSCTL_##name,
#include "tune_sysctl.def"
#undef TUNE_SYSCTL
    PLATFORM_SYSCTL_COUNT
};

enum { PLATFORM_SYSCTL_TEXT = 48, PLATFORM_GOVERNORS_MAX = 256 };

/* "proc/sys/net/core/somaxconn" */
const char *platform_sysctl_path(enum platform_sysctl sysctl);

/* What chooses the clock of some processors. */
struct platform_governor {
    unsigned policy;
    char name[24];
};

/* --- kernel TLS --------------------------------------------------------------------------- */

struct platform_tls_counter {
    char name[40]; /* "TlsCurrTxDevice", as /proc/net/tls_stat has it */
    uint64_t value;
};

/* How many rows of /proc/net/tls_stat were read; others are passed over. */
size_t platform_tls_stat_decode(struct span text, struct platform_tls_counter *ret, size_t room);

/* --- watchdogs ---------------------------------------------------------------------------- */

struct platform_watchdog {
    char name[16]; /* "watchdog0" */
    char identity[64];
    uint64_t timeout_s, max_timeout_s; /* 0 where that is not known */
    bool active;                       /* running now: a program feeds it */
    bool nowayout;                     /* once started it can't be stopped */
};

/* --- TPM ---------------------------------------------------------------------------------- */

struct platform_tpm {
    bool there;
    unsigned version; /* 1 or 2; 0 where that is not known */
};

/* --- disks -------------------------------------------------------------------------------- */

enum disk_health { DISK_NOT_ASKED, DISK_GOOD, DISK_WARNS, DISK_FAILS };

struct platform_disk {
    char name[32];
    char model[64];
    uint64_t size_mb;
    bool rotational, removable;
    enum disk_health health;
    char why[128]; /* what it said, or why it was not asked */
};

/* "good", "not asked", ... */
const char *platform_disk_health(enum disk_health health);

enum { NVME_SMART_LOG_SIZE = 512 };

/* The log page of health that an NVMe disk gives (NVM Express, "SMART / Health Information"): sets
 * health and why. ERR_SYNTAX where it is shorter. */
int platform_nvme_decode(struct span log, struct platform_disk *ret) ERR_CHECK;
/* The sense bytes that answer SMART RETURN STATUS through SCSI's ATA PASS-THROUGH. ERR_SYNTAX where
 * they hold no registers of an ATA disk. */
int platform_ata_decode(struct span sense, struct platform_disk *ret) ERR_CHECK;

/* --- clock -------------------------------------------------------------------------------- */

struct clock_answer {
    uint64_t now_s;   /* the system's clock */
    uint64_t epoch_s; /* when the system's own files were made: it can't be earlier; 0: not known */
    bool has_rtc;
    uint64_t rtc_s;
    bool sync_known, synchronized; /* the kernel says whether a time server set it */
};

struct platform_clock {
    bool plausible, synchronized, has_rtc;
    char now[24]; /* "2026-11-22 15:04:48Z" */
    char why[128];
};

void platform_clock_judge(const struct clock_answer *answer, struct platform_clock *ret);

/* --- the whole ---------------------------------------------------------------------------- */

struct platform_host {
    struct platform_cpus cpus; /* in use */
    unsigned cpus_len;
    char governors[128]; /* that the processors' clocks may have, "" where they have none */
    size_t governors_len;
    struct platform_governor governor[PLATFORM_GOVERNORS_MAX];
    char sysctls[PLATFORM_SYSCTL_COUNT][PLATFORM_SYSCTL_TEXT]; /* "" where this kernel has none */
    struct platform_memory memory;
    size_t nodes_len;
    struct platform_node nodes[PLATFORM_NODES_MAX];
    size_t accelerators_len;
    struct platform_accelerator accelerators[PLATFORM_ACCELERATORS_MAX];
    char iommu[64]; /* the first one's name, "" where there is none */
    unsigned iommu_groups;
    struct platform_tpm tpm;
    size_t watchdogs_len;
    struct platform_watchdog watchdogs[PLATFORM_WATCHDOGS_MAX];
    size_t disks_len;
    struct platform_disk disks[PLATFORM_DISKS_MAX];
    bool tls_stat; /* the kernel counts */
    size_t tls_counters_len;
    struct platform_tls_counter tls_counters[PLATFORM_TLS_COUNTERS_MAX];
    struct platform_clock clock;
};
