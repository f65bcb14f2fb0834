/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MTA-STS (RFC 8461): what a TXT record and a policy file say, and whether a host is one of those
 * that a policy names. Pure; the resolver process fetches and keeps policies (control/acts/
 * resolver_sts.c), and what it answers to a worker is struct sts_answer.
 *
 * Where the RFC has a policy be none because of a fault, the fault is told in words.
 */
#pragma once

#include "dns_answer.h"
#include "span.h"

enum {
    STS_POLICY_MAX = 64 * 1024, /* bytes of a policy file */
    STS_MX_MAX = 64,            /* patterns of one policy; a policy with more is refused */
    STS_ID_MAX = 32,
    STS_MAX_AGE_MAX_S = 31557600, /* RFC 8461 section 3.2; more is taken as this */
};

/* Why there is none, where a domain has a record of one. */
enum sts_fault {
    STS_FAULT_NONE,
    STS_FAULT_FETCH,
    STS_FAULT_WEBPKI, /* the certificate of the policy's server */
    STS_FAULT_POLICY, /* its text */
};

enum sts_mode { STS_MODE_NONE, STS_MODE_TESTING, STS_MODE_ENFORCE };

struct sts_policy {
    enum sts_mode mode;
    uint32_t max_age_s; /* at most STS_MAX_AGE_MAX_S */
    unsigned mx_len;
    /* Lower case: a host name, or "*." and one. */
    char mx[STS_MX_MAX][DNS_NAME_MAX + 1];
};

struct sts_answer {
    /* OK: a policy that holds now, of any mode. NODATA: the domain has none. FAILED: it may have
     * one, and neither a fetch nor a cache gave it (RFC 8461 section 3.3: as none). BOGUS: DNSSEC
     * finds the record forged, or the resolver process was gone or hung: nothing is known, defer.
     */
    enum dns_status status;
    enum sts_mode mode;
    char id[STS_ID_MAX + 1]; /* of the TXT record that the policy was fetched for */
    uint32_t ttl_s;          /* how long this answer may be kept before asking again */
    int64_t expires;         /* when the policy's max_age is over; seconds since 1970 */
    bool from_cache;         /* not fetched for this question */
    enum sts_fault fault; /* of status FAILED */
    uint32_t max_age_s;   /* the policy's own */
    bool listed;   /* not the domain's own word: a list of policies has it (policy_list.h) */
    char why[160]; /* one sentence where not OK, or where a refresh failed */
    unsigned mx_len;
    char mx[STS_MX_MAX][DNS_NAME_MAX + 1]; /* as in struct sts_policy */
};

/* "none", "testing", "enforce". */
const char *sts_mode_text(enum sts_mode mode);

/* One TXT record's text. ERR_NOTFOUND: not a record of MTA-STS at all ("v=STSv1"), which does not
 * count; ERR_SYNTAX: one, and malformed. Whoever has several that are not ERR_NOTFOUND has none
 * (RFC 8461 section 3.1). */
int sts_record_parse(struct span text, char ret_id[STS_ID_MAX + 1]) ERR_CHECK;
/* A policy file. ERR_SYNTAX, ERR_RANGE (larger than STS_POLICY_MAX), ERR_LIMIT (more patterns than
 * STS_MX_MAX): *ret is not to be used, and why says what is wrong. */
int sts_policy_parse(struct span body, struct sts_policy *ret, char *why,
                     size_t why_room) ERR_CHECK;
/* Whether an MX host is one that the pattern names (RFC 8461 section 4.1): "*" stands for exactly
 * one label, the leftmost. Case and a final dot of host do not matter. */
bool sts_mx_matches(const char *pattern, const char *host);
