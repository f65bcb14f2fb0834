/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends yesterday's TLS reports (RFC 8460 section 5), to each domain that asks for them: some time after
 * midnight (UTC), a few at a time, by HTTPS or as signed mail through a submission server; what fails is
 * tried again, later each time, until that day ends (RFC 8460 section 5.5). What was sent is on disk, so
 * that a restart sends no report again.
 *
 * Of several resolver processes one sends: whoever holds the lock in the tally's folder.
 *
 * Process: the resolver's.
 */
#pragma once

#include "conf.h"
#include "dkim.h"
#include "resolver_fetch.h"
#include "tlsrpt_tally.h"

#include <unbound.h>

enum {
    TLSRPT_SENDS_MAX = 8,      /* at once */
    TLSRPT_SEND_DOUBLINGS = 6, /* of the first wait */
};

struct tlsrpt_send;

/* Where the configuration has no sender *ret is NULL. tally: stays the caller's, and outlives it; so does
 * key (NULL where nothing goes by mail), which is read before the sandbox. ERR_NOMEM. */
int tlsrpt_send_new(const struct conf *conf, const struct dkim_key *key,
                    struct tlsrpt_tally *tally, struct tlsrpt_send **ret) ERR_CHECK;
void tlsrpt_send_free(struct tlsrpt_send *s);
/* Whom it asks, once, before the first turn. */
void tlsrpt_send_begin(struct tlsrpt_send *s, struct ub_ctx *ub, struct resolver_fetches *fetches);

int tlsrpt_send_wait_ms(const struct tlsrpt_send *s);
void tlsrpt_send_turn(struct tlsrpt_send *s);
