/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An IPv4 or IPv6 address with a port, and a prefix of such addresses. Pure values: nothing
 * here resolves a name or opens a socket.
 */
#pragma once

#include "errcode.h"
#include "span.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { NET_ADDR_TEXT = 64 }; /* room for any formatted address with port */

union net_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct net_prefix {
    union net_addr addr;
    unsigned bits;
};

socklen_t net_addr_len(const union net_addr *a);
/* "192.0.2.1" or "2001:db8::1" (also "[...]"), no port; ERR_SYNTAX. An IPv4-mapped IPv6
 * address becomes the IPv4 one, so that prefixes match it. */
int net_addr_parse_ip(struct span text, uint16_t port, union net_addr *ret) ERR_CHECK;
/* "192.0.2.1:25" or "[2001:db8::1]:25"; ERR_SYNTAX. */
int net_addr_parse(struct span text, union net_addr *ret) ERR_CHECK;
/* "192.0.2.0/24", or an address alone; ERR_SYNTAX. */
int net_prefix_parse(struct span text, struct net_prefix *ret) ERR_CHECK;
bool net_prefix_contains(const struct net_prefix *p, const union net_addr *a);
uint16_t net_addr_port(const union net_addr *a);
void net_addr_set_port(union net_addr *a, uint16_t port);
/* IPv4-mapped IPv6 (from a dual-stack socket) becomes IPv4, in place. */
void net_addr_unmap(union net_addr *a);
bool net_addr_is_v6(const union net_addr *a);
bool net_addr_is_loopback(const union net_addr *a); /* 127.0.0.0/8, ::1 */
bool net_addr_same_ip(const union net_addr *a, const union net_addr *b);
/* Without port: "192.0.2.1", "2001:db8::1". Returns out. */
const char *net_addr_ip_text(const union net_addr *a, char out[NET_ADDR_TEXT]);
/* With port: "192.0.2.1:25", "[2001:db8::1]:25". Returns out. */
const char *net_addr_text(const union net_addr *a, char out[NET_ADDR_TEXT]);
/* As RFC 5321 section 4.1.3 writes it: "[192.0.2.1]", "[IPv6:2001:db8::1]". Returns out. */
const char *net_addr_literal(const union net_addr *a, char out[NET_ADDR_TEXT]);
