/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the kernel over generic netlink (ethtool, devlink), one at a time. What the kernel
 * says of a refusal (its extended acknowledgement) is kept as text.
 */
#pragma once

#include "errcode.h"
#include "span.h"

#include <libmnl/libmnl.h>

enum { NETLINK_MESSAGE_MAX = 65536, NETLINK_WHY_TEXT = 96 };

struct netlink {
    struct mnl_socket *socket;
    char *buffer; /* NETLINK_MESSAGE_MAX bytes: the question, then the answers */
    uint32_t sequence;
    char why[NETLINK_WHY_TEXT]; /* the kernel's own words for the last refusal, or "" */
};

/* False with errno. netlink_close takes what failed to open as well. */
bool netlink_open(struct netlink *ret);
void netlink_close(struct netlink *n);
/* The number of a family, 0 with errno where the kernel has none. */
uint16_t netlink_family(struct netlink *n, const char *name);
struct nlmsghdr *netlink_begin(struct netlink *n, uint16_t family, uint16_t flags, uint8_t command,
                               uint8_t version);
/* Sends what was begun, and gives the attributes of every answer to each, which may be NULL. False
 * with errno where it failed or was refused. */
bool netlink_ask(struct netlink *n, const struct nlmsghdr *request,
                 void (*each)(void *user, struct span attributes), void *user);
/* The text of an extended acknowledgement: the bytes of a message of type NLMSG_ERROR after its
 * header; "" where it has none. ERR_SYNTAX where it is cut. Pure. */
int netlink_why_decode(struct span error, uint16_t flags, char *out, size_t room) ERR_CHECK;
