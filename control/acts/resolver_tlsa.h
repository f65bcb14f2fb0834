/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which TLSA records count for a host and port (RFC 7672 section 2.2), step by step: each step
 * takes a result of libunbound and says what to ask next. No I/O here; resolver_process.c asks.
 *
 * Addresses come first: where DNSSEC does not prove them, no TLSA record counts, and servers that
 * fail on unknown types are not asked. An alias whose whole chain is secure has two names to look
 * under, the expanded one first; of one whose chain becomes insecure only the alias itself counts,
 * and that only where its own CNAME record is secure.
 *
 * A look-up that fails or is bogus ends the search as that, and never as "no records": else whoever
 * can drop packets would turn DANE off.
 */
#pragma once

#include "dns_answer.h"

#include <unbound.h>

/* What A or AAAA said of the host. */
struct resolver_tlsa_host {
    enum dns_status status;
    bool secure;
    uint32_t ttl_s;
    bool alias;
    bool canon_unreadable; /* an alias of what is no host name */
    char canon[DNS_NAME_MAX + 1];
};

enum resolver_tlsa_step {
    RESOLVER_TLSA_ALIAS,   /* ask for CNAME of host */
    RESOLVER_TLSA_RECORDS, /* ask for TLSA of resolver_tlsa_name */
    RESOLVER_TLSA_END,     /* *answer is the answer */
};

struct resolver_tlsa {
    char host[DNS_NAME_MAX + 1];
    uint16_t port;
    uint32_t ttl_s;
    unsigned bases_len, bases_next;
    char bases[2][DNS_NAME_MAX + 1];
    struct dns_tlsa_answer *answer; /* the caller's */
};

void resolver_tlsa_begin(struct resolver_tlsa *t, const char *host, uint16_t port,
                         struct dns_tlsa_answer *answer);
/* error: libunbound's, with result NULL then; here and below. */
void resolver_tlsa_host(const struct resolver_tlsa *t, int error, const struct ub_result *result,
                        struct resolver_tlsa_host *ret);
enum resolver_tlsa_step resolver_tlsa_addresses(struct resolver_tlsa *t,
                                                const struct resolver_tlsa_host *v6,
                                                const struct resolver_tlsa_host *v4);
enum resolver_tlsa_step resolver_tlsa_alias(struct resolver_tlsa *t, int error,
                                            const struct ub_result *result);
/* "_25._tcp.mx.example.org", of the base domain that is next. */
void resolver_tlsa_name(const struct resolver_tlsa *t, char ret_name[DNS_NAME_MAX + 1]);
enum resolver_tlsa_step resolver_tlsa_records(struct resolver_tlsa *t, int error,
                                              const struct ub_result *result);
