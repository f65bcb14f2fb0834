/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about network cards by ethtool's ioctl: what generic netlink has not, or has not in the
 * kernels of Debian 12.
 */
#pragma once

#include <stdint.h>

enum { ETHTOOL_RSS_MAX = 4096 };

struct ethtool_rxfh_indir;

/* command: a struct of linux/ethtool.h, which begins with what is asked. 0, or the errno of what
 * failed. */
int ethtool_ask(int socket, const char *nic, void *command);
/* The whole table of RSS, which spreads connections over queues. 0, or the errno of what failed;
 * EOPNOTSUPP where the card has none. The caller frees *ret in any case. */
int ethtool_rss_read(int socket, const char *nic, struct ethtool_rxfh_indir **ret);
