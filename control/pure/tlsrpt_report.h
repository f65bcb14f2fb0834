/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS reports (RFC 8460) that others sent us: from the JSON of one to plain values. Pure. A report
 * is a stranger's: it is bounded in size, depth and number; its texts lose what a terminal could be
 * fooled with, so that they can be printed as they are.
 *
 * The schema of section 4.4 is read with what real senders do otherwise: a single text in place of
 * a list, and members that are missing where nothing hangs on them.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum {
    TLSRPT_DEPTH_MAX = 16, /* of the JSON; the schema has 6 */
    TLSRPT_VALUES_MAX = 1 << 19,
    TLSRPT_POLICIES_MAX = 4096,
    TLSRPT_FAILURES_MAX = 65536, /* in a whole report */
    TLSRPT_STRINGS_MAX = 256,    /* of one policy-string or mx-host */
};

enum tlsrpt_result {
#define RESULT(name, text, meaning) TLSRPT_##name,
#include "tlsrpt_result.def"
#undef RESULT
    TLSRPT_RESULTS
};

/* "certificate-expired", and what that means in words. */
const char *tlsrpt_result_text(enum tlsrpt_result result);
const char *tlsrpt_result_meaning(enum tlsrpt_result result);
/* TLSRPT_RESULTS: none of RFC 8460's. */
enum tlsrpt_result tlsrpt_result_find(const char *text);

struct tlsrpt_strings {
    size_t len;
    const char **items;
};

/* One of failure-details; what a report leaves out is "". */
struct tlsrpt_failure {
    const char *result; /* as the report has it, also where RFC 8460 has no such type */
    const char *sending_ip, *receiving_ip, *mx, *helo, *reason, *info;
    uint64_t sessions;
};

struct tlsrpt_policy {
    const char *type, *domain;
    struct tlsrpt_strings policy, mx;
    uint64_t good, failed; /* sessions */
    size_t failures_len;
    struct tlsrpt_failure *failures;
};

struct tlsrpt_report {
    const char *organization, *contact, *id;
    int64_t start, end; /* seconds since 1970 */
    size_t policies_len;
    struct tlsrpt_policy *policies;
};

/* ERR_SYNTAX, ERR_FULL (larger than is read), ERR_NOMEM: why says what is wrong, where, and what would be
 * right. */
int tlsrpt_report_parse(struct span json, struct tlsrpt_report **ret, char *why,
                        size_t why_room) ERR_CHECK;
void tlsrpt_report_free(struct tlsrpt_report *report);
