/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_attr.h"
#include "platform_nic.h"

#include <linux/devlink.h>
#include <linux/ethtool_netlink.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum nic_group group;
} nic_features[NIC_FEATURE_COUNT] = {
#define NIC_FEATURE(name, text, group) [NIC_##name] = {text, NIC_GROUP_##group},
#include "nic_feature.def"
#undef NIC_FEATURE
};

const char *platform_nic_feature(enum nic_feature feature)
{
    return nic_features[feature].name;
}

enum nic_group platform_nic_group(enum nic_feature feature)
{
    return nic_features[feature].group;
}

const char *platform_nic_channel(enum nic_channel channel)
{
    static const char *const names[NIC_CHANNEL_COUNT] = {"rx", "tx", "combined"};

    return names[channel];
}

const char *platform_nic_ring(enum nic_ring ring)
{
    static const char *const names[NIC_RING_COUNT] = {"rx", "tx"};

    return names[ring];
}

/* --- features ----------------------------------------------------------------------------- */

struct bit {
    char name[NIC_NAME_TEXT];
    bool value;
};

static void bit_attribute(void *user, const struct nlattr *attr)
{
    struct bit *bit = user;

    if (mnl_attr_get_type(attr) == ETHTOOL_A_BITSET_BIT_VALUE)
        bit->value = true;
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_BITSET_BIT_NAME)
        platform_attr_text(attr, bit->name, sizeof(bit->name));
}

struct bitset {
    bool nomask; /* the bits that are listed are the set ones */
    bool *out;   /* by enum nic_feature */
    const struct nlattr *bits;
    bool malformed;
};

static void bitset_bit(void *user, const struct nlattr *attr)
{
    struct bitset *set = user;
    struct bit bit = {0};

    if (mnl_attr_get_type(attr) != ETHTOOL_A_BITSET_BITS_BIT)
        return;
    if (!platform_attr_nested(attr, bit_attribute, &bit))
        set->malformed = true;
    for (int i = 0; i < NIC_FEATURE_COUNT; i++) {
        if (strcmp(bit.name, nic_features[i].name) == 0)
            set->out[i] = set->nomask || bit.value;
    }
}

static void bitset_attribute(void *user, const struct nlattr *attr)
{
    struct bitset *set = user;

    if (mnl_attr_get_type(attr) == ETHTOOL_A_BITSET_NOMASK)
        set->nomask = true;
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_BITSET_BITS)
        set->bits = attr;
}

static bool bitset_decode(const struct nlattr *attr, bool *out)
{
    struct bitset set = {.out = out};

    if (!platform_attr_nested(attr, bitset_attribute, &set))
        return false;
    return (!set.bits || platform_attr_nested(set.bits, bitset_bit, &set)) && !set.malformed;
}

static void header_attribute(void *user, const struct nlattr *attr)
{
    char *name = user; /* NIC_NAME_TEXT bytes */

    if (mnl_attr_get_type(attr) == ETHTOOL_A_HEADER_DEV_NAME)
        platform_attr_text(attr, name, NIC_NAME_TEXT);
}

struct reply {
    struct platform_nic *nic;
    bool malformed;
};

static void reply_attribute(void *user, const struct nlattr *attr)
{
    struct reply *reply = user;
    bool ok = true;

    if (mnl_attr_get_type(attr) == ETHTOOL_A_FEATURES_HEADER)
        ok = platform_attr_nested(attr, header_attribute, reply->nic->name);
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_FEATURES_HW)
        ok = bitset_decode(attr, reply->nic->can);
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_FEATURES_ACTIVE)
        ok = bitset_decode(attr, reply->nic->on);
    reply->malformed = reply->malformed || !ok;
}

int platform_nic_decode(struct span attributes, struct platform_nic *ret)
{
    struct reply reply = {.nic = ret};

    *ret = (struct platform_nic){.numa_node = -1};
    if (!platform_attr_walk(attributes, reply_attribute, &reply) || reply.malformed ||
        !ret->name[0])
        return ERR_SYNTAX;
    return ERR_OK;
}

/* --- channels, rings, speed --------------------------------------------------------------- */

/* One decoder for the three. */
_Static_assert((int)ETHTOOL_A_CHANNELS_HEADER == (int)ETHTOOL_A_RINGS_HEADER &&
                   (int)ETHTOOL_A_LINKMODES_HEADER == (int)ETHTOOL_A_RINGS_HEADER,
               "the header is the same attribute in each");
_Static_assert((int)ETHTOOL_A_CHANNELS_COMBINED_COUNT < (int)NIC_NUMBERS &&
                   (int)ETHTOOL_A_RINGS_TX < (int)NIC_NUMBERS &&
                   (int)ETHTOOL_A_LINKMODES_SPEED < (int)NIC_NUMBERS,
               "each number has room");

struct numbers_reply {
    struct nic_numbers *numbers;
    bool malformed;
};

/* Attributes that are of other types than numbers (a bit set of modes, a byte) are passed over: the
 * ones that are asked for by their type are numbers in every kernel. */
static void numbers_attribute(void *user, const struct nlattr *attr)
{
    struct numbers_reply *reply = user;
    uint16_t type = mnl_attr_get_type(attr);

    if (type == ETHTOOL_A_RINGS_HEADER) {
        if (!platform_attr_nested(attr, header_attribute, reply->numbers->name))
            reply->malformed = true;
    } else if (type < NIC_NUMBERS) {
        reply->numbers->has[type] = platform_attr_u32(attr, &reply->numbers->value[type]);
    }
}

int platform_nic_numbers_decode(struct span attributes, struct nic_numbers *ret)
{
    struct numbers_reply reply = {.numbers = ret};

    *ret = (struct nic_numbers){0};
    if (!platform_attr_walk(attributes, numbers_attribute, &reply) || reply.malformed ||
        !ret->name[0])
        return ERR_SYNTAX;
    return ERR_OK;
}

static struct nic_count count_of(const struct nic_numbers *numbers, int now, int max)
{
    if (!numbers->has[now] || !numbers->has[max])
        return (struct nic_count){0};
    return (struct nic_count){.now = numbers->value[now], .max = numbers->value[max]};
}

void platform_nic_channels_take(const struct nic_numbers *numbers, struct platform_nic *ret)
{
    ret->channels[NIC_CHANNEL_RX] =
        count_of(numbers, ETHTOOL_A_CHANNELS_RX_COUNT, ETHTOOL_A_CHANNELS_RX_MAX);
    ret->channels[NIC_CHANNEL_TX] =
        count_of(numbers, ETHTOOL_A_CHANNELS_TX_COUNT, ETHTOOL_A_CHANNELS_TX_MAX);
    ret->channels[NIC_CHANNEL_COMBINED] =
        count_of(numbers, ETHTOOL_A_CHANNELS_COMBINED_COUNT, ETHTOOL_A_CHANNELS_COMBINED_MAX);
}

void platform_nic_rings_take(const struct nic_numbers *numbers, struct platform_nic *ret)
{
    ret->rings[NIC_RING_RX] = count_of(numbers, ETHTOOL_A_RINGS_RX, ETHTOOL_A_RINGS_RX_MAX);
    ret->rings[NIC_RING_TX] = count_of(numbers, ETHTOOL_A_RINGS_TX, ETHTOOL_A_RINGS_TX_MAX);
}

void platform_nic_speed_take(const struct nic_numbers *numbers, struct platform_nic *ret)
{
    uint32_t speed = numbers->value[ETHTOOL_A_LINKMODES_SPEED];

    if (numbers->has[ETHTOOL_A_LINKMODES_SPEED] && speed != UINT32_MAX) /* SPEED_UNKNOWN */
        ret->speed_mbps = speed;
}

/* The kernel's own spreading is entry i to queue i modulo the number of queues; the number is what
 * stands highest in the table. */
uint32_t platform_nic_rss_even(const uint32_t *table, size_t len)
{
    uint32_t queues = 0;

    for (size_t i = 0; i < len; i++) {
        if (table[i] >= queues && table[i] < len)
            queues = table[i] + 1;
    }
    for (size_t i = 0; i < len; i++) {
        if (table[i] != i % queues)
            return 0;
    }
    return queues;
}

/* --- firmware ----------------------------------------------------------------------------- */

struct devlink_reply {
    struct platform_devlink *devlink;
    bool malformed;
};

struct devlink_version {
    char name[32], value[48];
};

static void version_attribute(void *user, const struct nlattr *attr)
{
    struct devlink_version *version = user;

    if (mnl_attr_get_type(attr) == DEVLINK_ATTR_INFO_VERSION_NAME)
        platform_attr_text(attr, version->name, sizeof(version->name));
    else if (mnl_attr_get_type(attr) == DEVLINK_ATTR_INFO_VERSION_VALUE)
        platform_attr_text(attr, version->value, sizeof(version->value));
}

static void running_take(const struct nlattr *attr, struct devlink_reply *reply)
{
    struct platform_devlink *devlink = reply->devlink;
    struct devlink_version version = {0};

    if (!platform_attr_nested(attr, version_attribute, &version)) {
        reply->malformed = true;
        return;
    }
    if (devlink->len == DEVLINK_VERSIONS_MAX || !version.name[0])
        return;
    memcpy(devlink->running[devlink->len].name, version.name, sizeof(version.name));
    memcpy(devlink->running[devlink->len].value, version.value, sizeof(version.value));
    devlink->len++;
}

static void devlink_attribute(void *user, const struct nlattr *attr)
{
    struct devlink_reply *reply = user;
    struct platform_devlink *devlink = reply->devlink;
    uint16_t type = mnl_attr_get_type(attr);

    if (type == DEVLINK_ATTR_BUS_NAME)
        platform_attr_text(attr, devlink->bus, sizeof(devlink->bus));
    else if (type == DEVLINK_ATTR_DEV_NAME)
        platform_attr_text(attr, devlink->device, sizeof(devlink->device));
    else if (type == DEVLINK_ATTR_INFO_DRIVER_NAME)
        platform_attr_text(attr, devlink->driver, sizeof(devlink->driver));
    else if (type == DEVLINK_ATTR_INFO_VERSION_RUNNING)
        running_take(attr, reply);
}

int platform_devlink_decode(struct span attributes, struct platform_devlink *ret)
{
    struct devlink_reply reply = {.devlink = ret};

    *ret = (struct platform_devlink){0};
    if (!platform_attr_walk(attributes, devlink_attribute, &reply) || reply.malformed ||
        !ret->device[0])
        return ERR_SYNTAX;
    return ERR_OK;
}

/* By the generic names of the kernel's documentation (networking/devlink/devlink-info.rst); the
 * first rows are shown first. Names such as fw.undi or fw.netlist say nothing of traffic. */
static const char *const firmware_names[] = {"fw", "fw.app", "fw.mgmt", "fw.version", "fw.psid"};

void platform_devlink_firmware(const struct platform_devlink *devlink, char *out, size_t room)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof(firmware_names) / sizeof(firmware_names[0]); i++) {
        for (size_t j = 0; j < devlink->len; j++) {
            char part[sizeof(devlink->running[j]) + 4];
            if (strcmp(devlink->running[j].name, firmware_names[i]) != 0)
                continue;
            int n = snprintf(part, sizeof(part), "%s%s %s", used ? ", " : "",
                             devlink->running[j].name, devlink->running[j].value);
            if (n <= 0 || used + (size_t)n >= room)
                return;
            memcpy(out + used, part, (size_t)n + 1);
            used += (size_t)n;
        }
    }
}
