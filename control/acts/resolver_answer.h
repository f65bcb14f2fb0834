/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From libunbound's results to the answers of resolver.h. Pure but for random numbers (equal MX
 * preferences are shuffled, RFC 5321 section 5.1). Record data come from anywhere in the world: a
 * name that is no host name, or data of the wrong length, make that record no record.
 */
#pragma once

#include "resolver.h"
#include "tlsrpt_record.h"

#include <unbound.h>

enum {
    RESOLVER_PTR_NAMES = 4,       /* of one address, looked at for forward confirmation */
    RESOLVER_NAME_TEXT_MAX = 253, /* without the final dot: 255 bytes in wire form */
};

/* One question of the one or two that an answer needs. */
struct resolver_part {
    enum dns_status status;
    bool secure;
    uint32_t ttl_s;
    unsigned len;
    union net_addr addr[DNS_ADDRS_MAX];
};

/* Wire form without compression to lower case text without the final dot; "" for the root.
 * ERR_SYNTAX where it is not exactly a name of letters, digits, '-' and '_'. */
int resolver_name_text(const uint8_t *wire, size_t len, char ret_name[DNS_NAME_MAX + 1]) ERR_CHECK;
/* The name below in-addr.arpa or ip6.arpa. */
void resolver_reverse_name(const union net_addr *addr, char ret_name[DNS_NAME_MAX + 1]);

/* A host's name in text: in lower case, without the final dot. False: it has something else than
 * letters, digits, '-' and '_', an empty label, or no room. */
bool resolver_name_read(const char *text, char ret_name[DNS_NAME_MAX + 1]);
uint32_t resolver_ttl_s(const struct ub_result *result);
/* For what is no secret, such as who is first of equals: 0 where there is no randomness. */
uint64_t resolver_random_below(uint64_t bound);

/* error: libunbound's, with result NULL then. */
enum dns_status resolver_status(int error, const struct ub_result *result);
void resolver_mx_answer(int error, const struct ub_result *result, struct dns_mx_answer *ret);
void resolver_addr_part(int error, const struct ub_result *result, struct resolver_part *ret);
void resolver_addr_join(const struct resolver_part *v6, const struct resolver_part *v4,
                        struct dns_addr_answer *ret);
/* Up to RESOLVER_PTR_NAMES names; returns how many. */
unsigned resolver_ptr_names(const struct ub_result *result,
                            char ret_names[RESOLVER_PTR_NAMES][DNS_NAME_MAX + 1]);
/* The one record of TLSRPT among TXT records, as above; ERR_SYNTAX also where it has no place that
 * can be sent to. */
int resolver_tlsrpt_record(const struct ub_result *result, struct tlsrpt_record *ret) ERR_CHECK;
/* The id of the one record of MTA-STS among TXT records. ERR_NOTFOUND: there is none; ERR_LIMIT:
 * there are several; ERR_SYNTAX: one, and malformed. */
int resolver_sts_record(const struct ub_result *result, char ret_id[STS_ID_MAX + 1]) ERR_CHECK;
