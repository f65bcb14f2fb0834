/* SPDX-License-Identifier: Apache-2.0 */
/* Is a machine's plan what its cards, processors and limits call for, and nothing else? */
#include "../cmocka_all.h"

#include "tune.h"

#include <stdio.h>

static struct platform p; /* too large for a stack */
static struct tune_plan plan;

/* Eight processors on two nodes, kernel TLS with all fixes, all limits as they should be. */
static void machine(void)
{
    static const char *const limits[PLATFORM_SYSCTL_COUNT] = {
        [PLATFORM_SYSCTL_SOMAXCONN] = "8192",
        [PLATFORM_SYSCTL_SYN_BACKLOG] = "8192",
        [PLATFORM_SYSCTL_DEVICE_BACKLOG] = "4096",
        [PLATFORM_SYSCTL_TCP_RMEM] = "4096 131072 33554432",
        [PLATFORM_SYSCTL_TCP_WMEM] = "4096 16384 16777216",
        [PLATFORM_SYSCTL_PORT_RANGE] = "1024 65535",
        [PLATFORM_SYSCTL_TW_REUSE] = "1",
        [PLATFORM_SYSCTL_SLOW_START] = "0",
        [PLATFORM_SYSCTL_MTU_PROBING] = "1",
        [PLATFORM_SYSCTL_CONNTRACK] = "",
        [PLATFORM_SYSCTL_BUSY_READ] = "0",
        [PLATFORM_SYSCTL_BUSY_POLL] = "0",
    };

    memset(&p, 0, sizeof(p));
    p.ktls.ulp = true;
    p.host.memory.total_kb = 64 << 20;
    assert_int_equal(platform_cpus_list_decode(SPAN_LIT("0-7"), &p.host.cpus), ERR_OK);
    p.host.cpus_len = 8;
    p.host.nodes_len = 2;
    p.host.nodes[0] = (struct platform_node){.number = 0, .cpus = "0-3"};
    p.host.nodes[1] = (struct platform_node){.number = 1, .cpus = "4-7"};
    for (int i = 0; i < PLATFORM_SYSCTL_COUNT; i++)
        snprintf(p.host.sysctls[i], sizeof(p.host.sysctls[i]), "%s", limits[i]);
}

/* A card of that driver with queues of both directions, all as it should be for 8 workers: queue i
 * on processor i, on node 1 first. */
static struct platform_nic *card(const char *driver, unsigned queues)
{
    struct platform_nic *nic = &p.nics[p.nics_len++];

    *nic = (struct platform_nic){
        .name = "eth0",
        .device = true,
        .numa_node = 1,
        .speed_mbps = 100000,
        .channels = {[NIC_CHANNEL_COMBINED] = {.now = queues, .max = 63}},
        .rings = {{.now = 4096, .max = 8192}, {.now = 4096, .max = 8192}},
        .rss_size = 128,
        .rss_queues = queues,
        .queues_first = p.queues_len,
        .queues_len = queues,
        .gro_flush_ns = "0",
        .defer_irqs = "0",
    };
    snprintf(nic->driver, sizeof(nic->driver), "%s", driver);
    for (unsigned i = 0; i < queues; i++) {
        struct platform_queue *q = &p.queues[p.queues_len++];
        unsigned cpu = (i + 4) % 8;
        *q = (struct platform_queue){
            .irq_rx = 100 + i, .irq_tx = 100 + i, .has_rx = true, .has_tx = true, .rps = "none"};
        snprintf(q->irq_rx_cpus, sizeof(q->irq_rx_cpus), "%u", cpu);
        snprintf(q->irq_tx_cpus, sizeof(q->irq_tx_cpus), "%u", cpu);
        snprintf(q->xps, sizeof(q->xps), "%u", cpu);
    }
    return nic;
}

static void make(const struct tune_settings *settings)
{
    static const struct tune_settings none;

    tune_plan_free(&plan);
    assert_int_equal(tune_plan(&p, settings ? settings : &none, &plan), ERR_OK);
    for (size_t i = 0; i < plan.len; i++) {
        assert_true(plan.changes[i].why[0] != '\0');
        assert_string_not_equal(plan.changes[i].from, plan.changes[i].to);
    }
}

static const struct tune_change *find(const char *target)
{
    for (size_t i = 0; i < plan.len; i++) {
        if (strcmp(plan.changes[i].target, target) == 0)
            return &plan.changes[i];
    }
    return NULL;
}

static void has(enum tune_kind kind, const char *target, const char *from, const char *to)
{
    const struct tune_change *c = find(target);

    if (!c)
        fail_msg("%s is not planned", target);
    assert_int_equal(c->kind, kind);
    assert_string_equal(c->from, from);
    assert_string_equal(c->to, to);
}

static bool noted(const char *text, bool warns)
{
    for (size_t i = 0; i < plan.notes_len; i++) {
        if (strstr(plan.notes[i].text, text) && plan.notes[i].warns == warns)
            return true;
    }
    return false;
}

static void what_is_right_stays(void **state)
{
    machine();
    card("ice", 8);
    make(NULL);
    assert_int_equal(plan.len, 0);
    assert_int_equal(plan.notes_len, 0);
}

static void queues_come_before_what_needs_them(void **state)
{
    machine();
    struct platform_nic *nic = card("ice", 4);
    nic->rss_queues = 3;
    make(NULL);
    has(TUNE_KIND_CHANNELS, "eth0 combined", "4", "8");
    assert_int_equal(plan.len, 1);
    assert_true(noted("follow when it has its queues", false));

    /* Fewer workers than queues; more than the card has. */
    const struct tune_settings two = {.workers = 2}, many = {.workers = 100};
    make(&two);
    has(TUNE_KIND_CHANNELS, "eth0 combined", "4", "2");
    make(&many);
    has(TUNE_KIND_CHANNELS, "eth0 combined", "4", "63");

    /* Left alone: the rest is done for the queues that there are. */
    const struct tune_settings skip = {.skip = {[TUNE_QUEUES] = true}};
    make(&skip);
    assert_null(find("eth0 combined"));
    has(TUNE_KIND_RSS, "eth0", "3", "4");
}

static void queues_of_one_direction_are_counted_apart(void **state)
{
    machine();
    struct platform_nic *nic = card("bnxt_en", 8);
    nic->channels[NIC_CHANNEL_COMBINED] = (struct nic_count){0};
    nic->channels[NIC_CHANNEL_RX] = (struct nic_count){.now = 8, .max = 16};
    nic->channels[NIC_CHANNEL_TX] = (struct nic_count){.now = 4, .max = 6};
    make(NULL);
    has(TUNE_KIND_CHANNELS, "eth0 tx", "4", "6");
    assert_int_equal(plan.len, 1);
}

static void rings_grow_to_what_the_card_can(void **state)
{
    machine();
    struct platform_nic *nic = card("ice", 8);
    nic->rings[NIC_RING_RX] = (struct nic_count){.now = 512, .max = 8160};
    nic->rings[NIC_RING_TX] = (struct nic_count){.now = 512, .max = 1024};
    make(NULL);
    has(TUNE_KIND_RING, "eth0 rx", "512", "4096");
    has(TUNE_KIND_RING, "eth0 tx", "512", "1024");
    nic->speed_mbps = 1000;
    nic->rings[NIC_RING_TX].now = 2048; /* never fewer */
    make(NULL);
    has(TUNE_KIND_RING, "eth0 rx", "512", "1024");
    assert_int_equal(plan.len, 1);
}

static void tls_goes_to_cards_that_have_it(void **state)
{
    const struct tune_settings both = {.tls_rx = true};

    machine();
    struct platform_nic *nic = card("mlx5_core", 8);
    make(NULL);
    assert_int_equal(plan.len, 0);
    assert_true(noted("has no TLS offload", false));

    nic->can[NIC_TLS_TX] = nic->can[NIC_TLS_RX] = true;
    make(NULL); /* without checksums the kernel would drop it */
    assert_int_equal(plan.len, 0);
    assert_true(noted("needs the checksums", true));
    nic->on[NIC_CSUM_TX4] = nic->on[NIC_CSUM_TX6] = nic->on[NIC_CSUM_RX] = true;
    make(NULL);
    has(TUNE_KIND_FEATURE, "eth0 tls-hw-tx-offload", "off", "on");
    assert_int_equal(plan.len, 1);
    make(&both);
    has(TUNE_KIND_FEATURE, "eth0 tls-hw-rx-offload", "off", "on");
    nic->on[NIC_TLS_TX] = nic->on[NIC_TLS_RX] = true;
    make(&both);
    assert_int_equal(plan.len, 0);
    nic->on[NIC_TLS_TX] = false;
    p.fixes.lacking = 1;
    make(NULL);
    assert_int_equal(plan.len, 0);
    assert_true(noted("lacks fixes", true));
    p.fixes.lacking = 0;
    p.ktls.ulp = false;
    make(NULL);
    assert_int_equal(plan.len, 0);
    assert_true(noted("takes no TLS keys", true));

    /* A card whose driver has none is not asked for it, whatever its features say. */
    machine();
    nic = card("ice", 8);
    nic->can[NIC_TLS_TX] = nic->on[NIC_CSUM_TX] = true;
    make(NULL);
    assert_int_equal(plan.len + plan.notes_len, 0);
}

static void interrupts_go_to_the_cards_node_first(void **state)
{
    const struct tune_settings four = {.workers = 4, .skip = {[TUNE_QUEUES] = true}};

    machine();
    struct platform_nic *nic = card("ice", 8);
    for (int i = 0; i < 8; i++)
        snprintf(p.queues[i].irq_rx_cpus, sizeof(p.queues[i].irq_rx_cpus), "0-7");
    make(NULL);
    has(TUNE_KIND_FILE, "proc/irq/100/smp_affinity_list", "0-7", "4");
    has(TUNE_KIND_FILE, "proc/irq/103/smp_affinity_list", "0-7", "7");
    has(TUNE_KIND_FILE, "proc/irq/104/smp_affinity_list", "0-7", "0");
    assert_int_equal(plan.len, 8);

    /* Four workers have the four processors of the card's node; queues beyond begin again. */
    make(&four);
    has(TUNE_KIND_FILE, "proc/irq/104/smp_affinity_list", "0-7", "4");
    has(TUNE_KIND_RSS, "eth0", "8", "4");

    /* Without a node the processors are in their order. */
    nic->numa_node = -1;
    make(NULL);
    has(TUNE_KIND_FILE, "proc/irq/100/smp_affinity_list", "0-7", "0");
    has(TUNE_KIND_MASK, "sys/class/net/eth0/queues/tx-0/xps_cpus", "4", "0");
}

/* As with virtio: one interrupt for each direction. */
static void both_directions_interrupt_the_same_processor(void **state)
{
    machine();
    card("virtio_net", 8);
    for (unsigned i = 0; i < 8; i++) {
        p.queues[i].irq_tx = 200 + i;
        snprintf(p.queues[i].irq_tx_cpus, sizeof(p.queues[i].irq_tx_cpus), "7");
    }
    make(NULL);
    has(TUNE_KIND_FILE, "proc/irq/200/smp_affinity_list", "7", "4");
    has(TUNE_KIND_FILE, "proc/irq/207/smp_affinity_list", "7", "3");
    assert_null(find("proc/irq/203/smp_affinity_list"));
}

static void few_queues_are_shared_out(void **state)
{
    machine();
    struct platform_nic *nic = card("igb", 2);
    nic->channels[NIC_CHANNEL_COMBINED].max = 2;
    make(NULL);
    has(TUNE_KIND_MASK, "sys/class/net/eth0/queues/rx-0/rps_cpus", "none", "4-7");
    has(TUNE_KIND_MASK, "sys/class/net/eth0/queues/rx-1/rps_cpus", "none", "0-3");
    has(TUNE_KIND_MASK, "sys/class/net/eth0/queues/tx-0/xps_cpus", "4", "4-7");
    has(TUNE_KIND_FILE, "proc/irq/101/smp_affinity_list", "5", "0");
    /* The kernel has no such choice for a card with one queue. */
    machine();
    nic = card("igb", 1);
    nic->channels[NIC_CHANNEL_COMBINED].max = 1;
    p.queues[0].xps[0] = '\0';
    make(NULL);
    has(TUNE_KIND_MASK, "sys/class/net/eth0/queues/rx-0/rps_cpus", "none", "0-7");
    assert_int_equal(plan.len, 1);
}

static void other_peoples_work_stays(void **state)
{
    machine();
    struct platform_nic *nic = card("ice", 8);
    nic->rss_queues = 0; /* a table of somebody's own */
    make(NULL);
    assert_int_equal(plan.len, 0);
    assert_true(noted("table of RSS", false));

    machine();
    nic = card("brand_new", 4);
    nic->can[NIC_TLS_TX] = nic->on[NIC_CSUM_TX] = true;
    nic->rings[NIC_RING_RX].now = 64;
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_SOMAXCONN], 8, "128");
    make(NULL);
    has(TUNE_KIND_FILE, "proc/sys/net/core/somaxconn", "128", "8192");
    assert_int_equal(plan.len, 1);
    assert_true(noted("driver \"brand_new\" is not known here", true));

    machine();
    nic = card("bonding", 4);
    nic->device = false;
    make(NULL);
    assert_int_equal(plan.len + plan.notes_len, 0);
}

static void limits_are_raised_never_lowered(void **state)
{
    machine();
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_SOMAXCONN], 8, "4096");
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_SYN_BACKLOG], 8, "65536");
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_TCP_RMEM], 32, "4096 131072 6291456");
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_PORT_RANGE], 32, "32768 60999");
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_TW_REUSE], 8, "2");
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_CONNTRACK], 8, "65536");
    snprintf(p.host.sysctls[PLATFORM_SYSCTL_DEVICE_BACKLOG], 16, "nonsense");
    make(NULL);
    has(TUNE_KIND_FILE, "proc/sys/net/core/somaxconn", "4096", "8192");
    has(TUNE_KIND_FILE, "proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456",
        "4096 131072 16777216");
    has(TUNE_KIND_FILE, "proc/sys/net/ipv4/ip_local_port_range", "32768 60999", "16384 60999");
    has(TUNE_KIND_FILE, "proc/sys/net/ipv4/tcp_tw_reuse", "2", "1");
    has(TUNE_KIND_FILE, "proc/sys/net/netfilter/nf_conntrack_max", "65536", "524288");
    assert_int_equal(plan.len, 5);
    p.host.memory.total_kb = 2 << 20;
    make(NULL);
    assert_null(find("proc/sys/net/ipv4/tcp_rmem"));
    assert_true(noted("less than 3 GB", false));
    const struct tune_settings skip = {.skip = {[TUNE_TCP] = true}};
    make(&skip);
    assert_int_equal(plan.len, 0);
}

static void busy_polling_is_asked_for(void **state)
{
    const struct tune_settings busy = {.busy_poll_us = 50};

    machine();
    card("ice", 8);
    make(&busy);
    has(TUNE_KIND_FILE, "proc/sys/net/core/busy_read", "0", "50");
    has(TUNE_KIND_FILE, "proc/sys/net/core/busy_poll", "0", "50");
    has(TUNE_KIND_FILE, "sys/class/net/eth0/napi_defer_hard_irqs", "0", "2");
    has(TUNE_KIND_FILE, "sys/class/net/eth0/gro_flush_timeout", "0", "200000");
    assert_int_equal(plan.len, 4);
}

static void clocks_are_kept_up(void **state)
{
    machine();
    snprintf(p.host.governors, sizeof(p.host.governors), "performance powersave");
    p.host.governors_len = 2;
    p.host.governor[0] = (struct platform_governor){.policy = 0, .name = "powersave"};
    p.host.governor[1] = (struct platform_governor){.policy = 4, .name = "performance"};
    make(NULL);
    has(TUNE_KIND_FILE, "sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "powersave",
        "performance");
    assert_int_equal(plan.len, 1);
    snprintf(p.host.governors, sizeof(p.host.governors), "ondemand powersave");
    make(NULL);
    assert_int_equal(plan.len, 0);
}

/* 1024 queues, processors in every other place: texts are bounded, and nothing is planned that
 * would not be found again. */
static void large_machines_have_room(void **state)
{
    machine();
    p.host.cpus = (struct platform_cpus){0};
    p.host.cpus_len = 0;
    for (unsigned cpu = 0; cpu < PLATFORM_CPUS_MAX; cpu += 2) {
        platform_cpus_add(&p.host.cpus, cpu);
        p.host.cpus_len++;
    }
    struct platform_nic *nic = card("ice", 2);
    nic->channels[NIC_CHANNEL_COMBINED].max = 2;
    nic->numa_node = 63;
    make(NULL);
    assert_null(find("sys/class/net/eth0/queues/tx-0/xps_cpus"));
    has(TUNE_KIND_FILE, "proc/irq/101/smp_affinity_list", "5", "512");
    machine();
    nic = card("ice", PLATFORM_QUEUES_MAX);
    nic->channels[NIC_CHANNEL_COMBINED] = (struct nic_count){.now = 1024, .max = 1024};
    const struct tune_settings many = {.workers = 1024};
    make(&many);
    assert_null(find("sys/class/net/eth0/queues/tx-9/xps_cpus")); /* no processor left for it */
    tune_plan_free(&plan);
}

static void words_name_groups(void **state)
{
    struct tune_settings settings = {0};
    struct span bad;

    assert_int_equal(tune_skip_decode("tls,busy-poll", &settings, &bad), ERR_OK);
    assert_true(settings.skip[TUNE_TLS] && settings.skip[TUNE_BUSY_POLL]);
    assert_false(settings.skip[TUNE_RINGS]);
    assert_int_equal(tune_skip_decode("rings,tsl", &settings, &bad), ERR_NOTFOUND);
    assert_true(span_equal(bad, SPAN_LIT("tsl")));
    assert_int_equal(tune_skip_decode("", &settings, &bad), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_stays),
        cmocka_unit_test(queues_come_before_what_needs_them),
        cmocka_unit_test(queues_of_one_direction_are_counted_apart),
        cmocka_unit_test(rings_grow_to_what_the_card_can),
        cmocka_unit_test(tls_goes_to_cards_that_have_it),
        cmocka_unit_test(interrupts_go_to_the_cards_node_first),
        cmocka_unit_test(both_directions_interrupt_the_same_processor),
        cmocka_unit_test(few_queues_are_shared_out),
        cmocka_unit_test(other_peoples_work_stays),
        cmocka_unit_test(limits_are_raised_never_lowered),
        cmocka_unit_test(busy_polling_is_asked_for),
        cmocka_unit_test(clocks_are_kept_up),
        cmocka_unit_test(large_machines_have_room),
        cmocka_unit_test(words_name_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
