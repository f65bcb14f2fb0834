/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include <libmnl/libmnl.h>
#include <linux/ethtool_netlink.h>
#include <stdio.h>

static const char *const nic_features[NIC_FEATURE_COUNT] = {
    [NIC_TLS_TX] = "tls-hw-tx-offload",
    [NIC_TLS_RX] = "tls-hw-rx-offload",
    [NIC_TLS_RECORD] = "tls-hw-record",
};

const char *platform_nic_feature(enum nic_feature feature)
{
    return nic_features[feature];
}

/* Calls each attribute of a payload; false where its bytes are not whole attributes. */
static bool attributes_walk(const void *payload, size_t len,
                            void (*each)(void *user, const struct nlattr *attr), void *user)
{
    const struct nlattr *attr = payload;
    size_t left = len;

    while (left >= sizeof(*attr) && mnl_attr_ok(attr, (int)left)) {
        size_t step = MNL_ALIGN(attr->nla_len);
        each(user, attr);
        left -= step < left ? step : left;
        attr = (const struct nlattr *)((const char *)attr + step);
    }
    return left == 0;
}

static bool nested_walk(const struct nlattr *nest,
                        void (*each)(void *user, const struct nlattr *attr), void *user)
{
    return attributes_walk(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), each, user);
}

struct bit {
    char name[32];
    bool value;
};

static void bit_attribute(void *user, const struct nlattr *attr)
{
    struct bit *bit = user;

    if (mnl_attr_get_type(attr) == ETHTOOL_A_BITSET_BIT_VALUE)
        bit->value = true;
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_BITSET_BIT_NAME)
        snprintf(bit->name, sizeof(bit->name), "%.*s", (int)mnl_attr_get_payload_len(attr),
                 mnl_attr_get_str(attr));
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
    if (!nested_walk(attr, bit_attribute, &bit))
        set->malformed = true;
    for (int i = 0; i < NIC_FEATURE_COUNT; i++) {
        if (strcmp(bit.name, nic_features[i]) == 0)
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

    if (!nested_walk(attr, bitset_attribute, &set))
        return false;
    return (!set.bits || nested_walk(set.bits, bitset_bit, &set)) && !set.malformed;
}

struct reply {
    struct platform_nic *nic;
    bool malformed;
};

static void header_attribute(void *user, const struct nlattr *attr)
{
    struct reply *reply = user;

    if (mnl_attr_get_type(attr) == ETHTOOL_A_HEADER_DEV_NAME)
        snprintf(reply->nic->name, sizeof(reply->nic->name), "%.*s",
                 (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
}

static void reply_attribute(void *user, const struct nlattr *attr)
{
    struct reply *reply = user;
    bool ok = true;

    if (mnl_attr_get_type(attr) == ETHTOOL_A_FEATURES_HEADER)
        ok = nested_walk(attr, header_attribute, reply);
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_FEATURES_HW)
        ok = bitset_decode(attr, reply->nic->can);
    else if (mnl_attr_get_type(attr) == ETHTOOL_A_FEATURES_ACTIVE)
        ok = bitset_decode(attr, reply->nic->on);
    reply->malformed = reply->malformed || !ok;
}

int platform_nic_decode(struct span attributes, struct platform_nic *ret)
{
    struct reply reply = {.nic = ret};

    *ret = (struct platform_nic){0};
    if (!attributes_walk(attributes.ptr, attributes.len, reply_attribute, &reply) ||
        reply.malformed || !ret->name[0])
        return ERR_SYNTAX;
    return ERR_OK;
}
