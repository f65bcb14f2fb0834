/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int ethtool_ask(int socket, const char *nic, void *command)
{
    struct ifreq request = {.ifr_data = command};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%.*s", IFNAMSIZ - 1, nic);
    return ioctl(socket, SIOCETHTOOL, &request) == 0 ? 0 : errno;
}

int ethtool_rss_read(int socket, const char *nic, struct ethtool_rxfh_indir **ret)
{
    struct ethtool_rxfh_indir *table =
        calloc(1, sizeof(*table) + ETHTOOL_RSS_MAX * sizeof(uint32_t));

    *ret = table;
    if (!table)
        return ENOMEM;
    /* Without room it says how large it is. */
    table->cmd = ETHTOOL_GRXFHINDIR;
    int error = ethtool_ask(socket, nic, table);
    if (error != 0)
        return error;
    uint32_t size = table->size;
    if (size == 0 || size > ETHTOOL_RSS_MAX)
        return EOPNOTSUPP;
    table->cmd = ETHTOOL_GRXFHINDIR;
    error = ethtool_ask(socket, nic, table);
    return error == 0 && table->size != size ? EAGAIN : error;
}
