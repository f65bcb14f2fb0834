/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which MTA-STS policy holds for a domain now (RFC 8461 sections 3 and 5.1). It asks DNS for the
 * record, has the file fetched, and keeps policies, also on disk, for as long as they hold.
 *
 * A policy that holds is answered with at once; whether its record changed, or it is due for a
 * refresh (at half its age or a day, whichever comes first), is looked at behind that answer. A
 * fetch that fails leaves the old policy in force until its time is over, and is not tried again
 * for five minutes, then later each time. A domain is looked at once at a time, however many ask.
 *
 * Process: the resolver's. It logs each policy that is new or changed, and each fetch that failed.
 */
#pragma once

#include "conf.h"
#include "resolver_fetch.h"
#include "sts_policy.h"

#include <unbound.h>

enum { RESOLVER_STS_FDS = RESOLVER_FETCH_FDS };

struct resolver_sts;
struct shared_column;

/* ub stays the caller's, and is deleted before resolver_sts_free: its answers come here. store: see
 * resolver_store.h; becomes ours; -1 for none. counters may be NULL. ERR_CONFIG, ERR_NOMEM. */
int resolver_sts_new(const struct conf_resolver *conf, struct ub_ctx *ub, int store,
                     const struct shared_column *counters, struct resolver_sts **ret, char *why,
                     size_t why_room) ERR_CHECK;
void resolver_sts_free(struct resolver_sts *s);

/* done is called once, maybe at once. */
typedef void resolver_sts_done(void *user, const struct sts_answer *answer);
void resolver_sts_ask(struct resolver_sts *s, const char *domain, resolver_sts_done *done,
                      void *user);

/* For whoever sends by the same loop. */
struct resolver_fetches *resolver_sts_fetches(struct resolver_sts *s);

/* Descriptors to wait for, at most RESOLVER_STS_FDS, and for how long: -1 for ever. */
unsigned resolver_sts_fds(const struct resolver_sts *s, struct pollfd *fds, int *ret_ms);
void resolver_sts_turn(struct resolver_sts *s, const struct pollfd *fds, unsigned len);
