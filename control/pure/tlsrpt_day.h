/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of one UTC day, counted for each domain and policy, and for each way to fail (RFC 8460
 * section 4); as text for a file, and as the report to a domain (section 4.4). Pure: the caller says
 * what day it is, and keeps the file.
 *
 * Memory is bounded. What is beyond a bound of details still counts in its policy's sums, under its
 * result without address or reason; what is beyond a bound of domains or policies is counted as
 * dropped.
 */
#pragma once

#include "buf.h"
#include "tlsrpt_event.h"

enum {
    TLSRPT_DAY_S = 86400,
    TLSRPT_DAY_DOMAINS_MAX = 20000,
    TLSRPT_DAY_POLICIES_MAX = 16, /* of a domain */
    TLSRPT_DAY_FAILURES_MAX = 64, /* of a policy */
    TLSRPT_DAY_BYTES_MAX = 32 << 20,
    TLSRPT_DAY_FILE_MAX = 64 << 20,
};

struct tlsrpt_day;

/* start: the first second of a day. ERR_NOMEM. */
int tlsrpt_day_new(int64_t start, struct tlsrpt_day **ret) ERR_CHECK;
void tlsrpt_day_free(struct tlsrpt_day *day);
int64_t tlsrpt_day_start(const struct tlsrpt_day *day);

/* sending_ip: in place of an address that the event does not know. */
void tlsrpt_day_add(struct tlsrpt_day *day, const struct tlsrpt_event *e, const char *sending_ip);
size_t tlsrpt_day_domains(const struct tlsrpt_day *day);
/* Sessions that no bound had room for. */
uint64_t tlsrpt_day_dropped(const struct tlsrpt_day *day);

/* What another process, or this one before it ended, has counted. ERR_FULL, ERR_NOMEM. */
int tlsrpt_day_write(const struct tlsrpt_day *day, struct buf *out) ERR_CHECK;
/* Adds what was written. ERR_SYNTAX: it is not exactly what tlsrpt_day_write writes; ERR_STATE: of
 * another day. Nothing was added then. */
int tlsrpt_day_read(struct tlsrpt_day *day, struct span text) ERR_CHECK;

/* Sums of one domain; a later call of add may end the texts. */
struct tlsrpt_day_sum {
    const char *domain;
    uint64_t good, failed;
};
void tlsrpt_day_each(const struct tlsrpt_day *day,
                     void (*each)(void *user, const struct tlsrpt_day_sum *sum), void *user);

/* Who reports. */
struct tlsrpt_sender {
    const char *organization, *contact;
    const char *host; /* makes the report's id the sender's own */
};
/* The JSON of the report to a domain, the same bytes each time. ERR_NOTFOUND: no session is counted for
 * it. ERR_NOMEM, ERR_FULL. */
int tlsrpt_day_report(const struct tlsrpt_day *day, const char *domain,
                      const struct tlsrpt_sender *sender, struct buf *out) ERR_CHECK;
