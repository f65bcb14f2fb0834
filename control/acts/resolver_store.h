/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MTA-STS policies on disk, so that a restart forgets none: a file a domain, named by it, in a
 * folder of their own (state_folder.h, RESOLVER_STORE_FOLDER). A file is either whole or not believed, and is
 * read by the same parser as what a server sends.
 */
#pragma once

#include "sts_policy.h"

#include <sys/types.h>

#define RESOLVER_STORE_FOLDER "sts"

struct resolver_stored {
    char domain[DNS_NAME_MAX + 1]; /* lower case; letters, digits, '-', '_', '.' */
    char id[STS_ID_MAX + 1];
    int64_t fetched;  /* seconds since 1970 */
    struct span body; /* the policy as it came */
};

/* Calls each for up to max policies; returns how many files were no policies, which are removed. */
unsigned resolver_store_load(int store, unsigned max,
                             void (*each)(void *user, const struct resolver_stored *stored),
                             void *user);
int resolver_store_write(int store, const struct resolver_stored *stored) ERR_CHECK;
void resolver_store_remove(int store, const char *domain);
