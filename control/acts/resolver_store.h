/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MTA-STS policies on disk, so that a restart forgets none: a file a domain, named by it, in a
 * directory of their own. A file is replaced by rename, is either whole or not believed, and is
 * read by the same parser as what a server sends. Not synced: what a power failure takes is fetched
 * anew.
 *
 * Process: the resolver's, which has the directory's descriptor and no other right to write.
 */
#pragma once

#include "sts_policy.h"

#include <sys/types.h>

struct resolver_stored {
    char domain[DNS_NAME_MAX + 1]; /* lower case; letters, digits, '-', '_', '.' */
    char id[STS_ID_MAX + 1];
    int64_t fetched;  /* seconds since 1970 */
    struct span body; /* the policy as it came */
};

/* The folder "sts" of state_dir, made where it is missing, for uid and gid. -1: none to be had, why
 * says why. Called with the rights that state_dir asks for, before they are given up. */
int resolver_store_open(const char *state_dir, uid_t uid, gid_t gid, char *why, size_t why_room);
/* Calls each for up to max policies; returns how many files were no policies, which are removed. */
unsigned resolver_store_load(int store, unsigned max,
                             void (*each)(void *user, const struct resolver_stored *stored),
                             void *user);
int resolver_store_write(int store, const struct resolver_stored *stored) ERR_CHECK;
void resolver_store_remove(int store, const char *domain);
