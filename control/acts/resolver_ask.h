/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to libunbound as the resolver's process has them on its way: one, or both that ask for
 * a host's addresses.
 */
#pragma once

#include "resolver_answer.h"

/* RFC 1035 section 3.2.2, RFC 3596, RFC 6698. */
enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_TLSA = 52,
    DNS_CLASS_IN = 1,
};

/* done hears of the question's end once, perhaps before this returns; the result is its to free. */
void resolver_ask(struct ub_ctx *ub, const char *name, int type, ub_callback_type done, void *user);

/* The asker's, until done is called. */
struct resolver_addresses {
    struct resolver_part v4, v6;
    unsigned pending;
    void (*done)(void *user, const struct dns_addr_answer *answer);
    void *user;
};

/* done and user are set; done is called once, perhaps before this returns, and may free it. */
void resolver_ask_addresses(struct ub_ctx *ub, const char *host, struct resolver_addresses *a);
