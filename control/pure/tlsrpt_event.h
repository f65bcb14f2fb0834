/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one session with a next hop ended, as TLS reports (RFC 8460 section 4) tell of it to the domain
 * whose mail it was: a plain value, which a worker makes and the resolver process counts
 * (tlsrpt_day.h). It crosses between processes; tlsrpt_event_valid is for whoever receives it.
 */
#pragma once

#include "dns_answer.h"
#include "tlsrpt_report.h"

enum tlsrpt_policy_type { TLSRPT_NO_POLICY, TLSRPT_STS, TLSRPT_TLSA, TLSRPT_POLICY_TYPES };

enum { TLSRPT_EVENT_REASON = 128, TLSRPT_EVENT_POLICY = 8192 };

struct tlsrpt_event {
    uint8_t type;   /* enum tlsrpt_policy_type: what was applied */
    uint8_t failed; /* 0: all went as the policy demands; 1: result says what did not */
    uint8_t result; /* enum tlsrpt_result */
    uint16_t policy_len;
    /* Family 0: not known. sending: where the route has an address of its own. */
    union net_addr sending, receiving;
    char domain[DNS_NAME_MAX + 1];        /* the recipients', who may ask for the report */
    char policy_domain[DNS_NAME_MAX + 1]; /* the same, or the TLSA base domain */
    char mx[DNS_NAME_MAX + 1];            /* "": none was tried */
    char reason[TLSRPT_EVENT_REASON];
    /* The policy's texts (RFC 8460 section 4.4, policy-string), a line feed behind each. */
    char policy[TLSRPT_EVENT_POLICY];
};

/* "no-policy-found", "sts", "tlsa". */
const char *tlsrpt_policy_type_text(enum tlsrpt_policy_type type);
/* Adds one text; one that does not fit is left out. What does not print becomes '?'. */
void tlsrpt_event_policy_add(struct tlsrpt_event *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Cut to fit. */
void tlsrpt_event_reason(struct tlsrpt_event *e, const char *text);
/* Bytes that need to cross. */
static inline size_t tlsrpt_event_len(const struct tlsrpt_event *e)
{
    return offsetof(struct tlsrpt_event, policy) + e->policy_len;
}
/* Whether len bytes are a whole event: its texts end, are printable ASCII, and names are such. */
bool tlsrpt_event_valid(const struct tlsrpt_event *e, size_t len);
