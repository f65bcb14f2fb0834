/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of network cards: features, queues, rings, speed (ethtool over generic
 * netlink), firmware (devlink), interrupts and what they are spread over (sysfs, procfs). Each
 * answer's decoder is a pure function of its bytes; platform_probe asks. A card's queues are rows of
 * one table that all cards share.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum { PLATFORM_NICS_MAX = 64, PLATFORM_QUEUES_MAX = 1024, NIC_NAME_TEXT = 32, NIC_CPUS_TEXT = 32 };

enum nic_feature {
#define NIC_FEATURE(name, text, group) NIC_##name,
#include "nic_feature.def"
#undef NIC_FEATURE
    NIC_FEATURE_COUNT
};

enum nic_group { NIC_GROUP_TLS, NIC_GROUP_OFFLOAD };

enum nic_channel { NIC_CHANNEL_RX, NIC_CHANNEL_TX, NIC_CHANNEL_COMBINED, NIC_CHANNEL_COUNT };

enum nic_ring { NIC_RING_RX, NIC_RING_TX, NIC_RING_COUNT };

struct nic_count {
    uint32_t now, max; /* max 0: the card has none, or does not say */
};

/* One queue of a card: its interrupts (0: not known; one for both directions where they are the
 * same) and the processors, as lists ("0-3"), that they and the kernel's steering are set to. */
struct platform_queue {
    uint32_t irq_rx, irq_tx;
    char irq_rx_cpus[NIC_CPUS_TEXT], irq_tx_cpus[NIC_CPUS_TEXT];
    bool has_rx, has_tx; /* as the kernel's folder of queues has them */
    char rps[NIC_CPUS_TEXT], xps[NIC_CPUS_TEXT];
};

struct platform_nic {
    char name[NIC_NAME_TEXT];
    char driver[32];   /* "" where there is none */
    char address[48];  /* on its bus ("0000:01:00.0"), or "" */
    char firmware[96]; /* "fw 22.36.1010", or "" */
    bool device;       /* a real or emulated device is behind it; not loopback, bridge, bond */
    int numa_node;     /* -1 where there is none */
    uint32_t speed_mbps; /* 0 where that is not known */
    bool can[NIC_FEATURE_COUNT]; /* can be switched */
    bool on[NIC_FEATURE_COUNT];
    struct nic_count channels[NIC_CHANNEL_COUNT];
    struct nic_count rings[NIC_RING_COUNT];
    /* RSS: entries of the table that spreads connections over queues, 0 where there is none; over
     * how many queues it spreads them evenly, 0 where it does so in another way. */
    uint32_t rss_size, rss_queues;
    char gro_flush_ns[24], defer_irqs[24]; /* of the kernel's files, "" where there are none */
    size_t queues_first, queues_len;       /* rows of struct platform's queues */
};

/* "tls-hw-tx-offload", as the kernel and ethtool(8) call it. */
const char *platform_nic_feature(enum nic_feature feature);
enum nic_group platform_nic_group(enum nic_feature feature);
/* "rx", "tx", "combined"; "rx", "tx": as ethtool(8) calls them. */
const char *platform_nic_channel(enum nic_channel channel);
const char *platform_nic_ring(enum nic_ring ring);

/* The attributes of one ETHTOOL_MSG_FEATURES_GET_REPLY, after its generic header; only name, can
 * and on are set, all else is empty. ERR_SYNTAX where it has no name or is malformed. */
int platform_nic_decode(struct span attributes, struct platform_nic *ret) ERR_CHECK;

/* An answer of ETHTOOL_MSG_CHANNELS_GET, RINGS_GET or LINKMODES_GET: the interface's name, and the
 * attributes that are 32 bit numbers by their type. */
enum { NIC_NUMBERS = 16 };

struct nic_numbers {
    char name[NIC_NAME_TEXT];
    bool has[NIC_NUMBERS];
    uint32_t value[NIC_NUMBERS];
};

/* ERR_SYNTAX where it has no name or is malformed. */
int platform_nic_numbers_decode(struct span attributes, struct nic_numbers *ret) ERR_CHECK;
void platform_nic_channels_take(const struct nic_numbers *numbers, struct platform_nic *ret);
void platform_nic_rings_take(const struct nic_numbers *numbers, struct platform_nic *ret);
void platform_nic_speed_take(const struct nic_numbers *numbers, struct platform_nic *ret);

/* Over how many queues, from 0 on, a table of RSS spreads evenly; 0 where it does so otherwise. */
uint32_t platform_nic_rss_even(const uint32_t *table, size_t len);

/* --- firmware ----------------------------------------------------------------------------- */

enum { DEVLINK_VERSIONS_MAX = 24 };

struct platform_devlink {
    char bus[16], device[48]; /* "pci", "0000:01:00.0" */
    char driver[32];
    size_t len;
    struct {
        char name[32], value[48];
    } running[DEVLINK_VERSIONS_MAX];
};

/* The attributes of one answer of DEVLINK_CMD_INFO_GET; ERR_SYNTAX where it names no device or is
 * malformed. Versions beyond the room are left away. */
int platform_devlink_decode(struct span attributes, struct platform_devlink *ret) ERR_CHECK;
/* The versions of the firmware that matter for traffic, "fw 22.36.1010, fw.mgmt 7.3.4". */
void platform_devlink_firmware(const struct platform_devlink *devlink, char *out, size_t room);

/* --- interrupts --------------------------------------------------------------------------- */

enum nic_direction { NIC_DIRECTION_RX, NIC_DIRECTION_TX, NIC_DIRECTION_BOTH };

/* Which queue an interrupt of that name ("mlx5_comp3@pci:0000:01:00.0", "ice-eth0-TxRx-3",
 * "virtio0-input.3") is for, where the interface has that name; false where it is for none. */
bool platform_nic_irq_decode(struct span irq, struct span nic, unsigned *ret_queue,
                             enum nic_direction *ret_direction);
