/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of the resolver process: asks over a socket, answers come as events of the
 * dataplane's loop. The process (resolver_process.c) alone talks DNS, through libunbound, which
 * validates. Its death or slowness makes look-ups fail after their timeout (mail is deferred), and
 * never weakens a decision. Messages are fixed structs over SOCK_SEQPACKET (resolver_wire.h).
 *
 * The interface is a table of functions, so that the simulated dataplane's tests answer themselves.
 */
#pragma once

#include "errcode.h"
#include "net_addr.h"

enum { DNS_NAME_MAX = 255, DNS_ADDRS_MAX = 32, DNS_MX_MAX = 32 };

enum dns_status {
    DNS_OK,     /* there is at least one record */
    DNS_NODATA, /* the name is there, no such record */
    DNS_NXDOMAIN,
    DNS_FAILED, /* SERVFAIL, timeout, resolver gone: defer */
    DNS_BOGUS,  /* DNSSEC validation failed: defer */
};

struct dns_mx {
    uint16_t preference;
    char host[DNS_NAME_MAX + 1]; /* lower case, no final dot; "" for the root: null MX (RFC 7505) */
};

struct dns_mx_answer {
    enum dns_status status;
    bool secure; /* DNSSEC validated */
    uint32_t ttl_s;
    unsigned len; /* sorted by preference, equals in random order; at most DNS_MX_MAX are kept */
    struct dns_mx mx[DNS_MX_MAX];
};

struct dns_addr_answer {
    enum dns_status
        status; /* of A and AAAA together: OK where either has one, FAILED over NODATA */
    bool secure;
    uint32_t ttl_s;
    unsigned len;
    union net_addr addr[DNS_ADDRS_MAX]; /* port 0; IPv6 and IPv4 take turns, IPv6 first */
};

struct dns_ptr_answer {
    enum dns_status status; /* OK only where the name's own addresses contain the address */
    char name[DNS_NAME_MAX + 1];
};

struct dns_question; /* one outstanding question */

struct resolver;
struct resolver_ops {
    /* done is called once, later, unless cancelled. *ret is valid until then. */
    int (*mx)(struct resolver *r, const char *domain,
              void (*done)(void *user, const struct dns_mx_answer *answer), void *user,
              struct dns_question **ret);
    int (*addr)(struct resolver *r, const char *host,
                void (*done)(void *user, const struct dns_addr_answer *answer), void *user,
                struct dns_question **ret);
    int (*ptr)(struct resolver *r, const union net_addr *addr,
               void (*done)(void *user, const struct dns_ptr_answer *answer), void *user,
               struct dns_question **ret);
    void (*cancel)(struct resolver *r, struct dns_question *question);
};
struct resolver {
    const struct resolver_ops *ops;
};

struct dp;
struct shared_column;
/* Over fd, one end of a SOCK_SEQPACKET pair whose other end the resolver process has. fd stays the
 * caller's; resolver_client_set_fd replaces it after the process was restarted (questions that were
 * out are asked again). */
int resolver_client_new(struct dp *dp, int fd, unsigned timeout_s,
                        const struct shared_column *counters, struct resolver **ret) ERR_CHECK;
void resolver_client_set_fd(struct resolver *r, int fd);
void resolver_client_free(struct resolver *r);
