/* SPDX-License-Identifier: Apache-2.0 */
/* Does a probe of this machine come through, and do text and JSON say what was found? */
#include "../cmocka_all.h"

#include "platform.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void host_sample(struct platform_host *h)
{
    *h = (struct platform_host){
        .cpus_len = 8,
        .governors_len = 1,
        .governor = {{.name = "powersave"}},
        .memory = {.total_kb = 16 << 20, .available_kb = 12 << 20},
        .nodes_len = 1,
        .nodes = {{.number = 1, .total_kb = 8 << 20, .cpus = "4-7"}},
        .accelerators_len = 1,
        .accelerators = {{.address = "0000:6b:00.0", .name = "QAT 4xxx", .driver = "4xxx"}},
        .iommu = "dmar0",
        .iommu_groups = 9,
        .tpm = {.there = true, .version = 2},
        .watchdogs_len = 1,
        .watchdogs = {{.name = "watchdog0", .identity = "iTCO_wdt", .timeout_s = 30}},
        .disks_len = 1,
        .disks = {{.name = "sda", .model = "Disk", .size_mb = 4096, .why = "only root may"}},
        .sysctls = {[PLATFORM_SYSCTL_SOMAXCONN] = "4096"},
        .tls_stat = true,
        .tls_counters_len = 2,
        .tls_counters = {{.name = "TlsCurrTxSw", .value = 3}, {.name = "TlsCurrRxSw"}},
        .clock = {.plausible = true, .now = "2026-11-22 15:04:48Z", .why = "no server"},
    };
}

static struct platform sample(void)
{
    struct platform p = {.kernel = "Linux 6.12.1",
                         .machine = "x86_64",
                         .cpu = {.model = "Some \"CPU\"", .len = 1},
                         .ktls = {.ulp = true, .rekey = true},
                         .fixes = {.package = "Debian 6.12.1-1", .len = 1, .lacking = 1},
                         .ring = {.available = true, .usable = false, .len = 1},
                         .nics_len = 1,
                         .huge_len = 1};

    p.cpu.features[0] = (struct platform_feature){.name = "vaes", .text = "wide", .has = true};
    p.ktls.ciphers[KTLS_TLS13_AES128].tx = true;
    p.fixes.fixes[0] = (struct platform_fix){.id = "CVE-1", .text = "a crash", .why = "fixed in 9"};
    p.ring.features[0] = (struct platform_feature){.name = "recv", .text = "tried", .needed = true};
    snprintf(p.ring.why, sizeof(p.ring.why), "the kernel lacks recv");
    p.nics[0] = (struct platform_nic){.name = "eth0",
                                      .driver = "mlx5_core",
                                      .can = {true, true, false},
                                      .on = {true, false, false}};
    p.nics[0].device = true;
    p.nics[0].numa_node = 1;
    p.nics[0].speed_mbps = 25000;
    snprintf(p.nics[0].address, sizeof(p.nics[0].address), "0000:01:00.0");
    snprintf(p.nics[0].firmware, sizeof(p.nics[0].firmware), "fw 22.36.1010");
    p.nics[0].can[NIC_GRO] = p.nics[0].on[NIC_GRO] = p.nics[0].can[NIC_LRO] = true;
    p.nics[0].channels[NIC_CHANNEL_COMBINED] = (struct nic_count){.now = 2, .max = 63};
    p.nics[0].rings[NIC_RING_RX] = (struct nic_count){.now = 1024, .max = 8192};
    p.nics[0].rss_size = 128;
    p.nics[0].rss_queues = 2;
    p.nics[0].queues_len = p.queues_len = 1;
    p.queues[0] = (struct platform_queue){.irq_rx = 61, .irq_tx = 61, .irq_rx_cpus = "0-7"};
    p.huge[0] = (struct platform_huge){.size_kb = 2048, .total = 8, .free = 3};
    host_sample(&p.host);
    return p;
}

static void text_says_it(void **state)
{
    const struct platform p = sample();
    static const char *const lines[] = {
        "kernel      Linux 6.12.1 (x86_64)\n",
        "  vaes               yes  wide\n",
        "kernel TLS  yes\n",
        "  TLS1.3 AES-128-GCM         send yes  receive no\n",
        "  TLS1.2 AES-128-GCM         send no   receive no\n",
        "  new keys after KeyUpdate   yes\n",
        "  splice without a copy      no\n",
        "fixes       Debian 6.12.1-1 lacks 1 of 1 that kernel TLS needs\n",
        "  CVE-1                lacking  fixed in 9; a crash\n",
        "io_uring    too little for the uring transport: the kernel lacks recv\n",
        "  recv               no   tried, needed\n",
        "  eth0               driver mlx5_core    send on    receive off   whole records none\n",
        "    place            0000:01:00.0, NUMA node 1, 25000 Mbit/s, firmware fw 22.36.1010\n",
        "    offloads on      rx-gro\n",
        "    offloads off     rx-lro\n",
        "    queues           combined 2 of 63\n",
        "    rings            rx 1024 of 8192\n",
        "    RSS              evenly over 2 queues\n",
        "  2048 KB: 3 of 8 free\n",
        "memory      16384 MB, 12288 MB available; 8 processors in use, governor powersave\n",
        "  NUMA node 1        processors 4-7, 8192 MB\n",
        "TLS counters\n  TlsCurrTxSw                3\naccelerators\n",
        "  0000:6b:00.0       QAT 4xxx, driver 4xxx\n",
        "IOMMU       dmar0, 9 groups\n",
        "TPM         version 2\n",
        "  watchdog0          iTCO_wdt, not running, timeout 30 s\n",
        "  sda                4096 MB, Disk, does not rotate; health: not asked, only root may\n",
        "clock       2026-11-22 15:04:48Z, plausible: no server\n",
        "warnings\n  clock: no server\n",
    };
    char *text;

    assert_int_equal(platform_text(&p, &text), ERR_OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(text, lines[i]))
            fail_msg("\"%s\" is missing in: %s", lines[i], text);
    }
    free(text);
}

static const char *string_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static json_int_t number_of(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

static void nic_json_says_it(const json_t *nic)
{
    json_t *combined = json_object_get(json_object_get(nic, "channels"), "combined");
    json_t *ring = json_object_get(json_object_get(nic, "rings"), "rx");
    json_t *queue = json_array_get(json_object_get(nic, "queues"), 0);

    assert_true(json_is_true(json_object_get(nic, "device")));
    assert_string_equal(string_of(nic, "address"), "0000:01:00.0");
    assert_int_equal(number_of(nic, "numa_node"), 1);
    assert_int_equal(number_of(nic, "speed_mbps"), 25000);
    assert_string_equal(string_of(nic, "firmware"), "fw 22.36.1010");
    assert_string_equal(string_of(json_object_get(nic, "offloads"), "rx-lro"), "off");
    assert_null(json_object_get(json_object_get(nic, "tls"), "rx-lro"));
    assert_int_equal(number_of(combined, "now"), 2);
    assert_int_equal(number_of(combined, "max"), 63);
    assert_int_equal(number_of(ring, "max"), 8192);
    assert_int_equal(number_of(json_object_get(nic, "rss"), "even_over"), 2);
    assert_int_equal(number_of(queue, "irq_tx"), 61);
    assert_string_equal(string_of(queue, "irq_rx_cpus"), "0-7");
}

static void host_json_says_it(const json_t *root)
{
    json_t *clock = json_object_get(root, "clock"), *tls = json_object_get(root, "tls_counters");
    json_t *disk = json_array_get(json_object_get(root, "disks"), 0);
    json_t *watchdog = json_array_get(json_object_get(root, "watchdogs"), 0);
    json_t *node = json_array_get(json_object_get(json_object_get(root, "memory"), "numa"), 0);

    assert_int_equal(number_of(json_object_get(root, "processors"), "online"), 8);
    assert_string_equal(string_of(node, "cpus"), "4-7");
    assert_int_equal(number_of(json_object_get(tls, "values"), "TlsCurrTxSw"), 3);
    assert_string_equal(string_of(json_array_get(json_object_get(root, "accelerators"), 0), "name"),
                        "QAT 4xxx");
    assert_int_equal(number_of(json_object_get(root, "iommu"), "groups"), 9);
    assert_int_equal(number_of(json_object_get(root, "tpm"), "version"), 2);
    assert_string_equal(string_of(watchdog, "identity"), "iTCO_wdt");
    assert_true(json_is_false(json_object_get(watchdog, "active")));
    assert_string_equal(string_of(disk, "health"), "not asked");
    assert_int_equal(json_object_size(json_object_get(root, "sysctls")), 1);
    assert_string_equal(string_of(json_object_get(root, "sysctls"), "proc/sys/net/core/somaxconn"),
                        "4096");
    assert_true(json_is_true(json_object_get(clock, "plausible")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "warnings"), 0)),
                        "clock: no server");
}

static void json_says_it(void **state)
{
    const struct platform p = sample();
    char *text;

    assert_int_equal(platform_json(&p, &text), ERR_OK);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    json_t *cpu = json_object_get(root, "cpu"), *ring = json_object_get(root, "io_uring");
    json_t *ktls = json_object_get(root, "kernel_tls");
    json_t *fixes = json_object_get(root, "kernel_fixes");
    json_t *fix = json_array_get(json_object_get(fixes, "fixes"), 0);
    json_t *cipher = json_array_get(json_object_get(ktls, "ciphers"), 0);
    json_t *nic = json_array_get(json_object_get(root, "interfaces"), 0);
    json_t *huge = json_array_get(json_object_get(root, "huge_pages"), 0);
    assert_string_equal(string_of(root, "kernel"), "Linux 6.12.1");
    assert_string_equal(string_of(cpu, "model"), "Some \"CPU\"");
    assert_true(json_is_true(json_object_get(json_object_get(cpu, "features"), "vaes")));
    assert_true(json_is_true(json_object_get(ktls, "available")));
    assert_string_equal(string_of(cipher, "cipher"), "TLS1.3 AES-128-GCM");
    assert_true(json_is_true(json_object_get(cipher, "tx")));
    assert_true(json_is_false(json_object_get(cipher, "rx")));
    assert_true(json_is_true(json_object_get(ktls, "rekey")));
    assert_true(json_is_false(json_object_get(ktls, "splice_pages")));
    assert_string_equal(string_of(fixes, "package"), "Debian 6.12.1-1");
    assert_int_equal(json_integer_value(json_object_get(fixes, "lacking")), 1);
    assert_string_equal(string_of(fix, "id"), "CVE-1");
    assert_true(json_is_false(json_object_get(fix, "there")));
    assert_string_equal(string_of(fix, "why"), "fixed in 9");
    assert_true(json_is_false(json_object_get(ring, "usable")));
    assert_true(json_is_false(json_object_get(json_object_get(ring, "features"), "recv")));
    assert_string_equal(string_of(nic, "driver"), "mlx5_core");
    assert_string_equal(string_of(json_object_get(nic, "tls"), "tls-hw-tx-offload"), "on");
    assert_string_equal(string_of(json_object_get(nic, "tls"), "tls-hw-rx-offload"), "off");
    assert_string_equal(string_of(json_object_get(nic, "tls"), "tls-hw-record"), "none");
    assert_int_equal(json_integer_value(json_object_get(huge, "free")), 3);
    nic_json_says_it(nic);
    host_json_says_it(root);
    json_decref(root);
    free(text);
}

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Whatever this machine has: an answer comes, nothing stays open. */
static void this_machine_is_probed(void **state)
{
    static struct platform p;
    unsigned before = descriptors();
    char *text;

    platform_probe(&p);
    assert_int_equal(descriptors(), before);
    assert_memory_equal(p.kernel, "Linux ", 6);
    assert_true(p.ktls.ulp || p.ktls.why[0] != '\0');
    assert_true(p.fixes.len > 0 && p.fixes.package[0] != '\0');
    assert_true(p.ring.usable || p.ring.why[0] != '\0');
    assert_true(p.nics_len > 0 || p.nics_why[0] != '\0');
    assert_int_equal(platform_text(&p, &text), ERR_OK);
    free(text);
    assert_int_equal(platform_json(&p, &text), ERR_OK);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_says_it),
        cmocka_unit_test(json_says_it),
        cmocka_unit_test(this_machine_is_probed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
