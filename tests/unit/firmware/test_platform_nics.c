/* SPDX-License-Identifier: Apache-2.0 */
/* Are the kernel's answers for the cards that servers have read rightly, and is the plan for each
 * the one that fits it? Each file in nics/ describes one card and says where that is from; it is
 * compiled here to the bytes that the kernel would send. */
#include "../cmocka_all.h"

#include "tune.h"

#include <libmnl/libmnl.h>
#include <linux/devlink.h>
#include <linux/ethtool_netlink.h>
#include <stdio.h>
#include <stdlib.h>

enum { FEATURES = 64, LINES = 64, MESSAGE = 16384, PROCESSORS = 8 };

struct feature {
    char name[32];
    bool on, fixed;
};

struct card {
    char name[32], driver[32], address[32], firmware[128];
    int numa_node;
    uint32_t speed, rss_size, rss_queues;
    size_t features_len;
    struct feature features[FEATURES];
    struct nic_count channels, rings[NIC_RING_COUNT]; /* of channels: combined */
    size_t versions_len;
    struct {
        char type[16], name[32], value[48];
    } versions[LINES];
    size_t plans_len, notes_len;
    char plans[LINES][256], notes[LINES][128];
};

static struct platform p; /* too large for a stack */
static struct card card;

/* --- the description ---------------------------------------------------------------------- */

static void irq_check(const char *rest)
{
    static const char *const directions[] = {"rx", "tx", "both"};
    char name[64], queue[16], direction[16] = "";
    enum nic_direction found;
    unsigned number;

    assert_true(sscanf(rest, "%63s %15s %15s", name, queue, direction) >= 2);
    bool known = platform_nic_irq_decode(span_str(name), span_str(card.name), &number, &found);
    if (known != (strcmp(queue, "none") != 0))
        fail_msg("%s: is it known?", name);
    if (known) {
        assert_int_equal(number, strtoul(queue, NULL, 10));
        assert_string_equal(direction, directions[found]);
    }
}

static void line_take(const char *word, const char *rest)
{
    struct feature *f = &card.features[card.features_len];
    char state[8], fixed[8] = "";
    unsigned now, max;

    if (strcmp(word, "nic") == 0) {
        assert_int_equal(sscanf(rest, "%31s %31s %31s %d", card.name, card.driver, card.address,
                                &card.numa_node),
                         4);
    } else if (strcmp(word, "speed") == 0) {
        card.speed = (uint32_t)strtoul(rest, NULL, 10);
    } else if (strcmp(word, "feature") == 0) {
        assert_true(card.features_len++ < FEATURES);
        assert_true(sscanf(rest, "%31s %7s %7s", f->name, state, fixed) >= 2);
        f->on = strcmp(state, "on") == 0;
        f->fixed = fixed[0] != '\0';
    } else if (strcmp(word, "channels") == 0) {
        assert_int_equal(sscanf(rest, "combined %u %u", &now, &max), 2);
        card.channels = (struct nic_count){.now = now, .max = max};
    } else if (strcmp(word, "ring") == 0) {
        assert_int_equal(sscanf(rest, "%7s %u %u", state, &now, &max), 3);
        card.rings[strcmp(state, "rx") == 0 ? NIC_RING_RX : NIC_RING_TX] =
            (struct nic_count){.now = now, .max = max};
    } else if (strcmp(word, "rss") == 0) {
        assert_int_equal(sscanf(rest, "%u %u", &card.rss_size, &card.rss_queues), 2);
    } else if (strcmp(word, "devlink") == 0) {
        assert_true(card.versions_len < LINES);
        assert_int_equal(sscanf(rest, "%15s %31s %47[^\n]", card.versions[card.versions_len].type,
                                card.versions[card.versions_len].name,
                                card.versions[card.versions_len].value),
                         3);
        card.versions_len++;
    } else if (strcmp(word, "firmware") == 0) {
        snprintf(card.firmware, sizeof(card.firmware), "%s", rest);
    } else if (strcmp(word, "irq") == 0) {
        irq_check(rest);
    } else if (strcmp(word, "plan") == 0) {
        assert_true(card.plans_len < LINES);
        snprintf(card.plans[card.plans_len++], sizeof(card.plans[0]), "%s", rest);
    } else if (strcmp(word, "note") == 0) {
        assert_true(card.notes_len < LINES);
        snprintf(card.notes[card.notes_len++], sizeof(card.notes[0]), "%s", rest);
    } else {
        fail_msg("\"%s\" is no word of a card's file", word);
    }
}

static void card_load(const char *name)
{
    char path[512], line[512];

    snprintf(path, sizeof(path), "%s/%s.txt", getenv("NICS"), name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s can't be read", path);
    memset(&card, 0, sizeof(card));
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        char *rest = strchr(line, ' ');
        if (rest)
            *rest++ = '\0';
        line_take(line, rest ? rest : "");
    }
    fclose(file);
}

/* --- what the kernel would send ----------------------------------------------------------- */

static struct nlmsghdr *begin(uint8_t buffer[MESSAGE], uint16_t header)
{
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    struct nlattr *nest = mnl_attr_nest_start(m, header);

    mnl_attr_put_u32(m, ETHTOOL_A_HEADER_DEV_INDEX, 2);
    mnl_attr_put_strz(m, ETHTOOL_A_HEADER_DEV_NAME, card.name);
    mnl_attr_nest_end(m, nest);
    return m;
}

static struct span attributes_of(const struct nlmsghdr *m)
{
    return span_make((const char *)m + MNL_NLMSG_HDRLEN, m->nlmsg_len - MNL_NLMSG_HDRLEN);
}

static void put_bit(struct nlmsghdr *m, const char *name, bool value)
{
    struct nlattr *bit = mnl_attr_nest_start(m, ETHTOOL_A_BITSET_BITS_BIT);

    mnl_attr_put_strz(m, ETHTOOL_A_BITSET_BIT_NAME, name);
    if (value)
        mnl_attr_put(m, ETHTOOL_A_BITSET_BIT_VALUE, 0, NULL);
    mnl_attr_nest_end(m, bit);
}

/* What can be switched is told for every feature; what is on is a list of names. */
static void features_decode(struct platform_nic *nic)
{
    static uint8_t buffer[MESSAGE];
    struct nlmsghdr *m = begin(buffer, ETHTOOL_A_FEATURES_HEADER);
    struct nlattr *set = mnl_attr_nest_start(m, ETHTOOL_A_FEATURES_HW);
    struct nlattr *bits = mnl_attr_nest_start(m, ETHTOOL_A_BITSET_BITS);

    for (size_t i = 0; i < card.features_len; i++)
        put_bit(m, card.features[i].name, !card.features[i].fixed);
    mnl_attr_nest_end(m, bits);
    mnl_attr_nest_end(m, set);
    set = mnl_attr_nest_start(m, ETHTOOL_A_FEATURES_ACTIVE);
    mnl_attr_put(m, ETHTOOL_A_BITSET_NOMASK, 0, NULL);
    bits = mnl_attr_nest_start(m, ETHTOOL_A_BITSET_BITS);
    for (size_t i = 0; i < card.features_len; i++) {
        if (card.features[i].on)
            put_bit(m, card.features[i].name, false);
    }
    mnl_attr_nest_end(m, bits);
    mnl_attr_nest_end(m, set);
    assert_int_equal(platform_nic_decode(attributes_of(m), nic), ERR_OK);
}

static void numbers_decode(struct platform_nic *nic)
{
    static uint8_t buffer[MESSAGE];
    struct nic_numbers numbers;
    struct nlmsghdr *m = begin(buffer, ETHTOOL_A_RINGS_HEADER);

    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_RX_MAX, card.rings[NIC_RING_RX].max);
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_RX, card.rings[NIC_RING_RX].now);
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_TX_MAX, card.rings[NIC_RING_TX].max);
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_TX, card.rings[NIC_RING_TX].now);
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    platform_nic_rings_take(&numbers, nic);

    m = begin(buffer, ETHTOOL_A_LINKMODES_HEADER);
    mnl_attr_put_u8(m, ETHTOOL_A_LINKMODES_AUTONEG, 1);
    mnl_attr_put_u32(m, ETHTOOL_A_LINKMODES_SPEED, card.speed ? card.speed : UINT32_MAX);
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    platform_nic_speed_take(&numbers, nic);
    if (card.channels.max == 0)
        return; /* such a card has no answer */
    m = begin(buffer, ETHTOOL_A_CHANNELS_HEADER);
    mnl_attr_put_u32(m, ETHTOOL_A_CHANNELS_COMBINED_MAX, card.channels.max);
    mnl_attr_put_u32(m, ETHTOOL_A_CHANNELS_COMBINED_COUNT, card.channels.now);
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    platform_nic_channels_take(&numbers, nic);
}

static uint16_t version_type(const char *type)
{
    return strcmp(type, "fixed") == 0     ? DEVLINK_ATTR_INFO_VERSION_FIXED
           : strcmp(type, "running") == 0 ? DEVLINK_ATTR_INFO_VERSION_RUNNING
                                          : DEVLINK_ATTR_INFO_VERSION_STORED;
}

static void devlink_decode(struct platform_nic *nic)
{
    static uint8_t buffer[MESSAGE];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    struct platform_devlink devlink;

    mnl_attr_put_strz(m, DEVLINK_ATTR_BUS_NAME, "pci");
    mnl_attr_put_strz(m, DEVLINK_ATTR_DEV_NAME, card.address);
    mnl_attr_put_strz(m, DEVLINK_ATTR_INFO_DRIVER_NAME, card.driver);
    for (size_t i = 0; i < card.versions_len; i++) {
        struct nlattr *nest = mnl_attr_nest_start(m, version_type(card.versions[i].type));
        mnl_attr_put_strz(m, DEVLINK_ATTR_INFO_VERSION_NAME, card.versions[i].name);
        mnl_attr_put_strz(m, DEVLINK_ATTR_INFO_VERSION_VALUE, card.versions[i].value);
        mnl_attr_nest_end(m, nest);
    }
    assert_int_equal(platform_devlink_decode(attributes_of(m), &devlink), ERR_OK);
    assert_string_equal(devlink.device, card.address);
    assert_string_equal(devlink.driver, card.driver);
    platform_devlink_firmware(&devlink, nic->firmware, sizeof(nic->firmware));
}

/* --- the machine that it is in ------------------------------------------------------------ */

/* Eight processors on two nodes; queues and interrupts are where the plan would have them, so that
 * what is planned is what the card calls for. */
static struct platform_nic *machine(void)
{
    static const unsigned of_node[2][PROCESSORS] = {{0, 1, 2, 3, 4, 5, 6, 7},
                                                    {4, 5, 6, 7, 0, 1, 2, 3}};
    struct platform_nic *nic = &p.nics[0];
    unsigned queues = card.channels.max ? card.channels.now : card.rss_queues;
    unsigned share = queues < PROCESSORS ? PROCESSORS / queues : 1;

    memset(&p, 0, sizeof(p));
    p.ktls.ulp = true;
    p.host.cpus_len = PROCESSORS;
    assert_int_equal(platform_cpus_list_decode(SPAN_LIT("0-7"), &p.host.cpus), ERR_OK);
    p.host.nodes_len = 2;
    p.host.nodes[0] = (struct platform_node){.number = 0, .cpus = "0-3"};
    p.host.nodes[1] = (struct platform_node){.number = 1, .cpus = "4-7"};
    p.nics_len = 1;
    features_decode(nic);
    numbers_decode(nic);
    devlink_decode(nic);
    nic->device = true;
    nic->numa_node = card.numa_node;
    nic->rss_size = card.rss_size;
    nic->rss_queues = card.rss_queues;
    nic->queues_len = p.queues_len = queues;
    snprintf(nic->driver, sizeof(nic->driver), "%s", card.driver);
    for (unsigned i = 0; i < queues; i++) {
        struct platform_queue *q = &p.queues[i];
        unsigned cpu = of_node[card.numa_node == 1][i * share % PROCESSORS];
        *q = (struct platform_queue){
            .irq_rx = 100 + i, .irq_tx = 100 + i, .has_rx = true, .has_tx = true, .rps = "none"};
        snprintf(q->irq_rx_cpus, sizeof(q->irq_rx_cpus), "%u", cpu);
        if (share > 1)
            snprintf(q->xps, sizeof(q->xps), "%u-%u", cpu, cpu + share - 1);
        else
            snprintf(q->xps, sizeof(q->xps), "%u", cpu);
    }
    return nic;
}

static void decoded_is_right(const struct platform_nic *nic)
{
    size_t known = 0;

    assert_string_equal(nic->name, card.name);
    assert_string_equal(nic->firmware, card.firmware);
    assert_int_equal(nic->speed_mbps, card.speed);
    assert_memory_equal(nic->rings, card.rings, sizeof(nic->rings));
    assert_memory_equal(&nic->channels[NIC_CHANNEL_COMBINED], &card.channels,
                        sizeof(card.channels));
    for (size_t i = 0; i < card.features_len; i++) {
        for (int f = 0; f < NIC_FEATURE_COUNT; f++) {
            if (strcmp(platform_nic_feature((enum nic_feature)f), card.features[i].name) != 0)
                continue;
            known++;
            if (nic->on[f] != card.features[i].on || nic->can[f] == card.features[i].fixed)
                fail_msg("%s is read wrongly", card.features[i].name);
        }
    }
    assert_in_range(known, NIC_FEATURE_COUNT - 2, NIC_FEATURE_COUNT);
}

static void planned_is_right(void)
{
    static const struct tune_settings settings;
    struct tune_plan plan;
    char line[512];

    assert_int_equal(tune_plan(&p, &settings, &plan), ERR_OK);
    for (size_t i = 0; i < plan.len; i++) {
        const struct tune_change *c = &plan.changes[i];
        snprintf(line, sizeof(line), "%s | %s | %s | %s", tune_kind_name(c->kind), c->target,
                 c->from, c->to);
        if (i >= card.plans_len)
            fail_msg("%s is planned too", line);
        assert_string_equal(line, card.plans[i]);
    }
    assert_int_equal(plan.len, card.plans_len);
    assert_int_equal(plan.notes_len, card.notes_len);
    for (size_t i = 0; i < plan.notes_len; i++)
        assert_non_null(strstr(plan.notes[i].text, card.notes[i]));
    tune_plan_free(&plan);
}

static void check(const char *name)
{
    card_load(name);
    decoded_is_right(machine());
    planned_is_right();
}

static void mlx5(void **state)
{
    check("mlx5");
}

static void ice(void **state)
{
    check("ice");
}

static void ixgbe(void **state)
{
    check("ixgbe");
}

static void cxgb4(void **state)
{
    check("cxgb4");
}

static void virtio(void **state)
{
    check("virtio");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlx5),  cmocka_unit_test(ice),    cmocka_unit_test(ixgbe),
        cmocka_unit_test(cxgb4), cmocka_unit_test(virtio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
