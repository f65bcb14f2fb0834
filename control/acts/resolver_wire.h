/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker and the resolver process say to each other: one question or answer is one packet of
 * a SOCK_SEQPACKET pair, in the machine's own byte order. Neither end trusts the other: lengths,
 * kinds and terminators are checked on arrival, and what does not fit is dropped.
 */
#pragma once

#include "resolver.h"

#include <stdint.h>

enum resolver_kind { RESOLVER_MX, RESOLVER_ADDR, RESOLVER_PTR, RESOLVER_TLSA, RESOLVER_STS };
/* Beside them, of what has no answer. */
enum { RESOLVER_REPORT = 100 };

enum {
    RESOLVER_MAX_QUESTIONS = 1024, /* outstanding, of one worker */
};

struct resolver_wire_question {
    uint64_t id; /* the worker's; comes back with the answer */
    uint32_t kind;
    uint16_t port;               /* TLSA */
    union net_addr addr;         /* PTR */
    char name[DNS_NAME_MAX + 1]; /* all others: the domain, or the host */
};

struct resolver_wire_report {
    uint64_t none;
    uint32_t kind; /* RESOLVER_REPORT; where a question has its own */
    struct tlsrpt_event event;
};

struct resolver_wire_answer {
    uint64_t id;
    uint32_t kind;
    union {
        struct dns_mx_answer mx;
        struct dns_addr_answer addr;
        struct dns_ptr_answer ptr;
        struct dns_tlsa_answer tlsa;
        struct sts_answer sts;
    };
};

/* Bytes of a TLSA answer's data that its records use; they follow one another. */
size_t resolver_wire_tlsa_data(const struct dns_tlsa_answer *answer);
/* Bytes of an answer on the wire: entries beyond the last used one are left out. 0 for an answer
 * whose kind or length is none. */
size_t resolver_wire_len(const struct resolver_wire_answer *answer);
/* True where len bytes in answer are a whole answer and all of its texts end. */
bool resolver_wire_valid(const struct resolver_wire_answer *answer, size_t len);
