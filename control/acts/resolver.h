/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of the resolver process: asks over a socket, answers come as events of the
 * dataplane's loop. The process (resolver_process.c) alone talks DNS, through libunbound, which
 * validates. Its death or slowness makes look-ups fail after their timeout (mail is deferred), and
 * never weakens a decision. Messages are fixed structs over SOCK_SEQPACKET (resolver_wire.h).
 *
 * The interface is a table of functions, so that the simulated dataplane's tests answer themselves.
 */
#pragma once

#include "dns_answer.h"
#include "errcode.h"
#include "sts_policy.h"
#include "tlsrpt_event.h"

struct dns_question; /* one outstanding question */

struct resolver;
struct resolver_ops {
    /* done is called once, in a later turn of the loop (also where the answer is in the worker's
     * cache), unless cancelled. *ret is valid until then, the answer for the time of the call. */
    int (*mx)(struct resolver *r, const char *domain,
              void (*done)(void *user, const struct dns_mx_answer *answer), void *user,
              struct dns_question **ret);
    int (*addr)(struct resolver *r, const char *host,
                void (*done)(void *user, const struct dns_addr_answer *answer), void *user,
                struct dns_question **ret);
    int (*ptr)(struct resolver *r, const union net_addr *addr,
               void (*done)(void *user, const struct dns_ptr_answer *answer), void *user,
               struct dns_question **ret);
    /* The TLSA records that count for a host and port, by RFC 7672 section 2.2. */
    int (*tlsa)(struct resolver *r, const char *host, uint16_t port,
                void (*done)(void *user, const struct dns_tlsa_answer *answer), void *user,
                struct dns_question **ret);
    /* The MTA-STS policy of a recipient's domain. It may take as long as a fetch by HTTPS. Where
     * it can't even be asked (ERR_LIMIT), nothing is known of a policy: defer. */
    int (*sts)(struct resolver *r, const char *domain,
               void (*done)(void *user, const struct sts_answer *answer), void *user,
               struct dns_question **ret);
    void (*cancel)(struct resolver *r, struct dns_question *question);
    /* For the TLS reports that the process keeps. Never waits: what can't be told now is dropped, and
     * counted. */
    void (*report)(struct resolver *r, const struct tlsrpt_event *event);
};
struct resolver {
    const struct resolver_ops *ops;
};

struct dp;
struct shared_column;
struct resolver_client_conf {
    unsigned timeout_s;     /* of a question */
    unsigned sts_timeout_s; /* what a fetch of a policy may take in addition */
    unsigned cache_entries; /* answers that are kept */
};
/* Over fd, one end of a SOCK_SEQPACKET pair whose other end the resolver process has. fd stays the
 * caller's; resolver_client_set_fd replaces it after the process was restarted (questions that were
 * out are asked again). Answers are kept for their TTL (resolver_cache.h), and a question that is
 * out already is not sent again. */
int resolver_client_new(struct dp *dp, int fd, const struct resolver_client_conf *conf,
                        const struct shared_column *counters, struct resolver **ret) ERR_CHECK;
void resolver_client_set_fd(struct resolver *r, int fd);
void resolver_client_free(struct resolver *r);
