/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine can do for encrypted mail: processor, kernel TLS, io_uring, huge pages here;
 * network cards in platform_nic.h, all else in platform_host.h. platform_probe asks and tries; it
 * changes nothing, but asking for kernel TLS may make the kernel load its module. The decoding of
 * each answer is a pure function of its bytes, so that tests feed it recorded ones. The result is a
 * plain value; names in it are static texts of the tables (*.def).
 */
#pragma once

#include "errcode.h"
#include "platform_host.h"
#include "platform_nic.h"
#include "span.h"

enum { PLATFORM_WHY_TEXT = 128, PLATFORM_HUGE_MAX = 8 };

/* --- processor ---------------------------------------------------------------------------- */

enum cpu_arch { CPU_ARCH_X86, CPU_ARCH_ARM64, CPU_ARCH_OTHER };

enum cpu_reg { CPU_REG_1_ECX, CPU_REG_7_EBX, CPU_REG_7_ECX, CPU_REG_HWCAP, CPU_REG_COUNT };

enum { CPU_STATE_YMM = 0x06, CPU_STATE_ZMM = 0xe6 };

/* What the processor (cpuid) or the kernel (getauxval) said. */
struct cpu_answer {
    enum cpu_arch arch;
    uint64_t reg[CPU_REG_COUNT];
    uint64_t xcr0; /* 0 where the kernel saves no extended state */
};

struct platform_feature {
    const char *name;
    const char *text; /* what it is, or "" */
    bool needed;
    bool has;
};

enum { CPU_FEATURES_MAX = 16 };

struct platform_cpu {
    char model[96];
    size_t len;
    struct platform_feature features[CPU_FEATURES_MAX];
};

void platform_cpu_decode(const struct cpu_answer *answer, struct platform_cpu *ret);
/* The first "model name" of /proc/cpuinfo, or "unknown". */
void platform_cpu_model(struct span cpuinfo, char *out, size_t room);

/* --- kernel TLS --------------------------------------------------------------------------- */

/* One row a version and cipher (ktls_cipher.def). */
enum ktls_cipher {
#define KTLS_CIPHER(name, text, version, cipher, type) KTLS_##name,
#include "ktls_cipher.def"
#undef KTLS_CIPHER
    KTLS_CIPHER_COUNT
};

struct platform_ktls {
    bool ulp;                    /* a socket takes the protocol "tls" */
    char why[PLATFORM_WHY_TEXT]; /* why not */
    struct {
        bool tx, rx;
    } ciphers[KTLS_CIPHER_COUNT];
    bool rekey;        /* TLS 1.3 keys can be replaced: a KeyUpdate does not end the session */
    bool splice_pages; /* pages spliced to a socket are sealed without a copy first */
};

/* "TLS1.3 AES-128-GCM" */
const char *platform_ktls_cipher(enum ktls_cipher cipher);
/* Real sockets on loopback take the protocol and each cipher's keys, and are closed. Before a
 * sandbox is entered. Where the caller may load modules, the kernel loads what it needs. */
void platform_ktls_probe(struct platform_ktls *ret);

/* --- fixes of the kernel ------------------------------------------------------------------ */

enum { KERNEL_FIXES_MAX = 16, KERNEL_PACKAGE_TEXT = 96 };

/* A fault of kernel TLS that can't be probed: judged by the version of the kernel's package. */
struct platform_fix {
    const char *id;              /* "CVE-2025-38616" */
    const char *text;            /* what happens without it */
    bool has;                    /* false where that is not known */
    char why[PLATFORM_WHY_TEXT]; /* what was compared */
};

struct platform_fixes {
    char package[KERNEL_PACKAGE_TEXT]; /* "Debian 6.1.187-1", or the release "Linux 6.18.16" */
    size_t len, lacking;
    struct platform_fix fixes[KERNEL_FIXES_MAX];
};

/* release and version: as uname(2) gives them. A Debian kernel is judged by its package, any other
 * by its upstream release, for what a distribution added to that is not known here. */
void platform_fixes_decode(const char *release, const char *version, struct platform_fixes *ret);
/* True where release is of that series or of a newer one. */
bool platform_kernel_since(const char *release, unsigned major, unsigned minor);

/* --- io_uring ----------------------------------------------------------------------------- */

enum { RING_FEATURES_MAX = 32, RING_OPS_MAX = 256 };

struct ring_answer {
    int error; /* errno of making a ring, 0 */
    uint32_t features;
    bool ops[RING_OPS_MAX]; /* supported, by opcode */
    bool defer_taskrun, buffer_rings, multishot_accept, multishot_receive, sync_cancel;
};

struct platform_ring {
    bool available;
    bool usable;                 /* every needed feature is there */
    char why[PLATFORM_WHY_TEXT]; /* not: what is missing, and what would do */
    size_t len;
    struct platform_feature features[RING_FEATURES_MAX];
};

void platform_ring_decode(const struct ring_answer *answer, struct platform_ring *ret);
/* Makes rings and tries them. Before a sandbox is entered: afterwards none can be made. */
void platform_ring_probe(struct platform_ring *ret);

/* --- huge pages --------------------------------------------------------------------------- */

struct platform_huge {
    uint64_t size_kb, total, free;
};

/* directory: "hugepages-2048kB"; total and free: the texts of its files. ERR_SYNTAX. */
int platform_huge_decode(struct span directory, struct span total, struct span free,
                         struct platform_huge *ret) ERR_CHECK;

/* --- the whole ---------------------------------------------------------------------------- */

struct platform {
    char kernel[160];
    char machine[66];
    struct platform_cpu cpu;
    struct platform_ktls ktls;
    struct platform_fixes fixes;
    struct platform_ring ring;
    char nics_why[PLATFORM_WHY_TEXT]; /* why there are none */
    size_t nics_len;
    struct platform_nic nics[PLATFORM_NICS_MAX];
    size_t queues_len;
    struct platform_queue queues[PLATFORM_QUEUES_MAX];
    size_t huge_len;
    struct platform_huge huge[PLATFORM_HUGE_MAX];
    struct platform_host host;
};

void platform_probe(struct platform *ret);
/* What settings depend on and no more: no ring is made, no disk asked, all that stays empty. */
void platform_probe_settings(struct platform *ret);

enum { PLATFORM_WARNINGS_MAX = 16, PLATFORM_WARNING_TEXT = 200 };

enum platform_grade {
    PLATFORM_LACK,  /* the machine was made without it */
    PLATFORM_AMISS, /* somebody should look after it */
    PLATFORM_FAULT, /* it fails, or lets others fail */
};

struct platform_warnings {
    size_t len;
    enum platform_grade grades[PLATFORM_WARNINGS_MAX];
    char lines[PLATFORM_WARNINGS_MAX][PLATFORM_WARNING_TEXT];
};

/* What an administrator should know at once, worst first. */
void platform_warn(const struct platform *p, struct platform_warnings *ret);
/* The same in one line, which is about lacks only where there is nothing worse; its grade, or
 * PLATFORM_LACK where there is nothing. */
enum platform_grade platform_warn_line(const struct platform_warnings *warnings, char *out,
                                       size_t room);

/* For people, and as one JSON object; both in *ret, a new string that the caller frees. */
int platform_text(const struct platform *p, char **ret) ERR_CHECK;
int platform_json(const struct platform *p, char **ret) ERR_CHECK;
