/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides, purely from what the route asks and from what DNS and MTA-STS said, what TLS one host of
 * a next hop must have: a level, where it comes from, and whether the host may be used at all.
 * Whoever speaks to the host keeps the verdict, and weakens it nowhere.
 *
 * Per host, for DNSSEC may cover some hosts of a domain and not others (RFC 7672 section 2.2.1),
 * and MTA-STS names some of them (RFC 8461 section 4.1). docs/policy.md has the table.
 */
#pragma once

#include "conf.h"
#include "dns_answer.h"
#include "sts_policy.h"

/* What named the level. */
enum tls_source {
    TLS_SOURCE_ROUTE, /* the administrator alone */
    TLS_SOURCE_DANE,
    TLS_SOURCE_STS,
    TLS_SOURCE_LIST, /* a list of policies, where the domain has no policy of its own */
    TLS_SOURCE_NONE, /* auto found no policy */
};

enum tls_verdict_use {
    TLS_USE,
    TLS_SKIP, /* this host must not be used; 451 4.7.5 where none is left, or 4.4.3 (failed) */
};

struct tls_verdict {
    /* What this host must have; never AUTO, never STS (which is VERIFY with the source STS). Of a
     * host to skip: what it would have needed. */
    enum conf_level level;
    enum tls_source source;
    enum tls_verdict_use use;
    bool failed;   /* skipped because a look-up failed or was forged, not for what it found */
    bool testing;  /* an STS policy in testing mode: deliver what it would refuse, and report */
    bool unlisted; /* with testing: it does not list the host */
    char why[160]; /* for log, explain and the sender: one sentence, without a peer's raw bytes */
};

/* mx_secure: DNSSEC proved the MX records that named the host, or the host is the route's own
 * (fixed) next hop; where it is false no TLSA counts.
 * tlsa: NULL where it was not asked; at levels dane and auto with mx_secure, the host is skipped
 * then, for nobody knows what it would have said.
 * sts: NULL where it was not asked, which is right only where no domain is looked up (a fixed next
 * hop). FAILED is as none (RFC 8461 section 3.3); BOGUS, which is also a resolver process that does
 * not answer, is not, and skips the host. */
void tls_verdict_make(enum conf_level route_level, bool mx_secure, const char *host,
                      const struct dns_tlsa_answer *tlsa, const struct sts_answer *sts,
                      struct tls_verdict *ret);

/* The records as a handshake takes them; their data stays the answer's. Returns how many.
 * Not usable ones are among them: a handshake leaves them aside. */
size_t tls_verdict_records(const struct dns_tlsa_answer *answer, struct tls_tlsa ret[DNS_TLSA_MAX]);

/* Whether TLSA, STS must be asked at all for this level. */
bool tls_verdict_wants_tlsa(enum conf_level level, bool mx_secure);
bool tls_verdict_wants_sts(enum conf_level level);

/* "route", "dane", "sts", "list", "none". */
const char *tls_source_text(enum tls_source source);
