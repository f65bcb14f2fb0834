/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_probe.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 65536 };

struct asking {
    struct mnl_socket *socket;
    char *buffer; /* MESSAGE_MAX bytes */
    uint32_t sequence;
};

static struct nlmsghdr *message_begin(struct asking *a, uint16_t type, uint16_t flags, uint8_t cmd,
                                      uint8_t version)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(a->buffer);

    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    header->nlmsg_seq = ++a->sequence;
    struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
    generic->cmd = cmd;
    generic->version = version;
    return header;
}

/* Sends, and gives every answer to each; false with errno on failure. */
static bool message_ask(struct asking *a, const struct nlmsghdr *request, mnl_cb_t each, void *user)
{
    unsigned port = mnl_socket_get_portid(a->socket);
    int more = MNL_CB_OK;

    if (mnl_socket_sendto(a->socket, request, request->nlmsg_len) < 0)
        return false;
    while (more == MNL_CB_OK) {
        ssize_t n = mnl_socket_recvfrom(a->socket, a->buffer, MESSAGE_MAX);
        if (n <= 0)
            return false;
        more = mnl_cb_run(a->buffer, (size_t)n, a->sequence, port, each, user);
    }
    return more != MNL_CB_ERROR;
}

static int family_attribute(const struct nlattr *attr, void *user)
{
    uint16_t *id = user;

    if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
        mnl_attr_validate(attr, MNL_TYPE_U16) == 0)
        *id = mnl_attr_get_u16(attr);
    return MNL_CB_OK;
}

static int family_reply(const struct nlmsghdr *header, void *user)
{
    return mnl_attr_parse(header, sizeof(struct genlmsghdr), family_attribute, user);
}

static bool family_find(struct asking *a, uint16_t *ret)
{
    struct nlmsghdr *request = message_begin(a, GENL_ID_CTRL, NLM_F_ACK, CTRL_CMD_GETFAMILY, 1);

    *ret = 0;
    mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, ETHTOOL_GENL_NAME);
    return message_ask(a, request, family_reply, ret) && *ret != 0;
}

static int features_reply(const struct nlmsghdr *header, void *user)
{
    const char *attributes = mnl_nlmsg_get_payload_offset(header, sizeof(struct genlmsghdr));
    struct platform *p = user;
    size_t before = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct genlmsghdr));

    if (header->nlmsg_len < before || p->nics_len == PLATFORM_NICS_MAX)
        return MNL_CB_OK;
    if (platform_nic_decode(span_make(attributes, header->nlmsg_len - before),
                            &p->nics[p->nics_len]) == ERR_OK)
        p->nics_len++;
    return MNL_CB_OK;
}

static bool features_dump(struct asking *a, uint16_t family, struct platform *p)
{
    struct nlmsghdr *request =
        message_begin(a, family, NLM_F_DUMP, ETHTOOL_MSG_FEATURES_GET, ETHTOOL_GENL_VERSION);
    struct nlattr *header = mnl_attr_nest_start(request, ETHTOOL_A_FEATURES_HEADER);

    mnl_attr_nest_end(request, header);
    return message_ask(a, request, features_reply, p);
}

static void driver_ask(int socket, struct platform_nic *nic)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {.ifr_data = (char *)&info};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%.*s", IFNAMSIZ - 1, nic->name);
    if (socket >= 0 && ioctl(socket, SIOCETHTOOL, &request) == 0)
        snprintf(nic->driver, sizeof(nic->driver), "%.*s", (int)sizeof(nic->driver) - 1,
                 info.driver);
}

void platform_probe_nics(struct platform *ret)
{
    struct asking a = {.socket = mnl_socket_open(NETLINK_GENERIC), .buffer = malloc(MESSAGE_MAX)};
    uint16_t family;

    if (!a.socket || !a.buffer || mnl_socket_bind(a.socket, 0, MNL_SOCKET_AUTOPID) != 0)
        snprintf(ret->nics_why, sizeof(ret->nics_why), "no netlink socket: %s", strerror(errno));
    else if (!family_find(&a, &family))
        snprintf(ret->nics_why, sizeof(ret->nics_why), "no ethtool netlink family: %s",
                 strerror(errno));
    else if (!features_dump(&a, family, ret))
        snprintf(ret->nics_why, sizeof(ret->nics_why), "the interfaces' features can't be read: %s",
                 strerror(errno));
    if (a.socket)
        mnl_socket_close(a.socket);
    free(a.buffer);

    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (size_t i = 0; i < ret->nics_len; i++)
        driver_ask(fd, &ret->nics[i]);
    if (fd >= 0)
        close(fd);
}
