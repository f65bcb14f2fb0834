/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides, purely from the rules in `senders` and what is known of the client, whether mail with
 * this envelope sender may come from it: a partner's mail arrives as the partner's rule says, and a
 * partner's certificate, or a user, brings its own mail only. Asked at MAIL, where the client may still
 * hear no for the whole message.
 */
#pragma once

#include "policy.h"

enum policy_sender_verdict {
    POLICY_SENDER_OK,
    POLICY_SENDER_NEEDS_TLS,  /* the rule of the sender's domain asks for TLS */
    POLICY_SENDER_NEEDS_CERT, /* and for a certificate, or a user, that the client is not */
    POLICY_SENDER_BOUND,      /* the client's certificate, or user, is bound to other domains */
};

struct policy_sender_decision {
    enum policy_sender_verdict verdict;
    /* The rule that says so. OK: that of the sender's domain, NULL where there is none. BOUND: the
     * first that binds the client. */
    const struct conf_sender *rule;
};

/* domain: the sender's in A-labels, empty for the null reverse-path, which no rule is about: it
 * is what bounces of anybody's mail have (RFC 5321 section 4.5.5). */
struct policy_sender_decision policy_sender_decide(const struct conf *conf,
                                                   const struct policy_client *client,
                                                   struct span domain);
