/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_ethtool.h"
#include "platform_netlink.h"
#include "platform_probe.h"

#include <errno.h>
#include <linux/devlink.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- ethtool over netlink ----------------------------------------------------------------- */

static void features_answer(void *user, struct span attributes)
{
    struct platform *p = user;

    if (p->nics_len < PLATFORM_NICS_MAX &&
        platform_nic_decode(attributes, &p->nics[p->nics_len]) == ERR_OK)
        p->nics_len++;
}

struct numbers_asked {
    struct platform *platform;
    void (*take)(const struct nic_numbers *numbers, struct platform_nic *ret);
};

static void numbers_answer(void *user, struct span attributes)
{
    const struct numbers_asked *asked = user;
    struct nic_numbers numbers;

    if (platform_nic_numbers_decode(attributes, &numbers) != ERR_OK)
        return;
    for (size_t i = 0; i < asked->platform->nics_len; i++) {
        if (strcmp(asked->platform->nics[i].name, numbers.name) == 0)
            asked->take(&numbers, &asked->platform->nics[i]);
    }
}

static bool dump(struct netlink *n, uint16_t family, uint8_t command,
                 void (*each)(void *user, struct span attributes), void *user)
{
    struct nlmsghdr *request = netlink_begin(n, family, NLM_F_DUMP, command, ETHTOOL_GENL_VERSION);
    struct nlattr *header = mnl_attr_nest_start(request, ETHTOOL_A_FEATURES_HEADER);

    mnl_attr_nest_end(request, header);
    return netlink_ask(n, request, each, user);
}

/* What a card does not say stays empty: that one of these questions fails is no failure. */
static void numbers_ask(struct netlink *n, uint16_t family, struct platform *p)
{
    static const struct {
        uint8_t command;
        void (*take)(const struct nic_numbers *numbers, struct platform_nic *ret);
    } questions[] = {
        {ETHTOOL_MSG_CHANNELS_GET, platform_nic_channels_take},
        {ETHTOOL_MSG_RINGS_GET, platform_nic_rings_take},
        {ETHTOOL_MSG_LINKMODES_GET, platform_nic_speed_take},
    };

    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        struct numbers_asked asked = {.platform = p, .take = questions[i].take};
        (void)dump(n, family, questions[i].command, numbers_answer, &asked);
    }
}

/* --- devlink ------------------------------------------------------------------------------ */

static void devlink_answer(void *user, struct span attributes)
{
    struct platform *p = user;
    struct platform_devlink devlink;

    if (platform_devlink_decode(attributes, &devlink) != ERR_OK)
        return;
    for (size_t i = 0; i < p->nics_len; i++) {
        if (strcmp(p->nics[i].address, devlink.device) == 0)
            platform_devlink_firmware(&devlink, p->nics[i].firmware, sizeof(p->nics[i].firmware));
    }
}

/* A kernel without devlink, or a card that has none, is no failure: what its driver says instead
 * stands there already. */
static void devlink_ask(struct netlink *n, struct platform *p)
{
    uint16_t family = netlink_family(n, DEVLINK_GENL_NAME);

    if (family == 0)
        return;
    const struct nlmsghdr *request =
        netlink_begin(n, family, NLM_F_DUMP, DEVLINK_CMD_INFO_GET, DEVLINK_GENL_VERSION);
    (void)netlink_ask(n, request, devlink_answer, p);
}

/* --- ethtool by ioctl --------------------------------------------------------------------- */

static void driver_ask(int socket, struct platform_nic *nic)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

    if (ethtool_ask(socket, nic->name, &info) != 0)
        return;
    snprintf(nic->driver, sizeof(nic->driver), "%.*s", (int)sizeof(nic->driver) - 1, info.driver);
    snprintf(nic->address, sizeof(nic->address), "%.*s", (int)sizeof(info.bus_info) - 1,
             info.bus_info);
    snprintf(nic->firmware, sizeof(nic->firmware), "%.*s", (int)sizeof(info.fw_version) - 1,
             info.fw_version);
}

static void rss_ask(int socket, struct platform_nic *nic)
{
    struct ethtool_rxfh_indir *table;

    if (ethtool_rss_read(socket, nic->name, &table) == 0) {
        nic->rss_size = table->size;
        nic->rss_queues = platform_nic_rss_even(table->ring_index, table->size);
    }
    free(table);
}

void platform_probe_nics(int root, struct platform *ret)
{
    struct netlink n;
    uint16_t family;
    bool open = netlink_open(&n);

    if (!open)
        snprintf(ret->nics_why, sizeof(ret->nics_why), "no netlink socket: %s", strerror(errno));
    else if ((family = netlink_family(&n, ETHTOOL_GENL_NAME)) == 0)
        snprintf(ret->nics_why, sizeof(ret->nics_why), "no ethtool netlink family: %s",
                 strerror(errno));
    else if (!dump(&n, family, ETHTOOL_MSG_FEATURES_GET, features_answer, ret))
        snprintf(ret->nics_why, sizeof(ret->nics_why), "the interfaces' features can't be read: %s",
                 strerror(errno));
    else
        numbers_ask(&n, family, ret);

    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (size_t i = 0; i < ret->nics_len; i++) {
        driver_ask(fd, &ret->nics[i]);
        rss_ask(fd, &ret->nics[i]);
        platform_probe_nic_files(root, ret, &ret->nics[i]);
    }
    if (fd >= 0)
        close(fd);
    if (open)
        devlink_ask(&n, ret);
    netlink_close(&n);
}
