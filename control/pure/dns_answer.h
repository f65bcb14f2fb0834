/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the resolver process answers: plain values that pure code decides by. They come from DNS as
 * libunbound validated it (control/acts/resolver_answer.c, resolver_tlsa.c); whoever reads one
 * looks at its status first. "secure" means that DNSSEC proved the whole answer, with every CNAME
 * on the way to it.
 */
#pragma once

#include "net_addr.h"

enum { DNS_NAME_MAX = 255, DNS_ADDRS_MAX = 32, DNS_MX_MAX = 32 };
enum { DNS_TLSA_MAX = 24, DNS_TLSA_BYTES = 8192 };

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

/* One record (RFC 6698 section 2.1); its data is data[at] on, len bytes. */
struct dns_tlsa {
    uint8_t usage, selector, matching;
    uint16_t at, len;
};

/* What RFC 7672 section 2.2 finds for a host and port. */
struct dns_tlsa_answer {
    /* OK: a DNSSEC-secure RRset. NODATA: there is none, or the host's addresses are not secure, so
     * that none counts. FAILED, BOGUS: do not use this host. NXDOMAIN never. */
    enum dns_status status;
    uint32_t ttl_s;
    /* TLSA base domain (RFC 7672 section 2.2.2): where the records of status OK were found; the
     * host itself otherwise. */
    char base[DNS_NAME_MAX + 1];
    unsigned len;
    /* More records than fit, or data that does not, are left out; an RRset of which
     * nothing fits is FAILED. */
    struct dns_tlsa records[DNS_TLSA_MAX];
    uint8_t data[DNS_TLSA_BYTES];
};
