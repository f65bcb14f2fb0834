/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides, purely from the configuration and what is known of the client, where a recipient goes:
 * which route, or why not. Never better than the administrator said: no route, or no right to
 * relay, is 550 5.7.1. The TLS level towards the next hop is the route's.
 */
#pragma once

#include "conf.h"
#include "tls_facts.h"

struct policy_client {
    const struct conf_listener *listener;
    const union net_addr *addr;  /* after PROXY or XCLIENT */
    const struct tls_facts *tls; /* NULL in plaintext, and for whom another speaks by XCLIENT */
    const char *user;            /* who AUTH proved it to be; NULL: nobody */
};

enum policy_verdict {
    POLICY_ROUTE,
    POLICY_NO_ROUTE, /* no route for this recipient at this listener */
    POLICY_NO_RIGHT, /* a route to elsewhere, and the client may not relay */
};

struct policy_decision {
    enum policy_verdict verdict;
    const struct conf_route *route; /* POLICY_ROUTE only */
};

/* domain: the recipient's, empty for <postmaster> (then gateway.hostname's route is looked for).
 * The most specific route wins: exact, then the longest ".suffix", then "*"; among equals the
 * first that the listener may use. NULL: none. elsewhere: the client needs the right to it. */
const struct conf_route *policy_route(const struct conf *conf, const struct conf_listener *listener,
                                      struct span domain, bool *ret_elsewhere);
/* The same for this client, which may lack the right. */
struct policy_decision policy_decide(const struct conf *conf, const struct policy_client *client,
                                     struct span domain);
/* The client may use routes to elsewhere: by address, by client certificate fingerprint, by a
 * name in a certificate that client_ca vouches for, or as a user of the listener. */
bool policy_may_relay(const struct policy_client *client);
/* How well a domain fits what a rule has ("example.org", ".example.org", "*"): 0 not at all, more
 * is more specific. */
size_t policy_domain_fit(const char *wanted, struct span domain);
