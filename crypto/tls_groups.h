/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key exchange groups that an administrator demands, in order of preference: nothing else is then
 * offered or taken, whatever the profile has. What the library lacks is refused, never left out.
 */
#pragma once

#include "errcode.h"

#include <stddef.h>

struct ssl_ctx_st;

enum { TLS_GROUPS_TEXT = 96 };

struct tls_groups {
    const char *const *names; /* as the facts have them: "X25519MLKEM768", "X25519", "P-256" */
    size_t len;               /* 0: the profile's */
};

/* ERR_TLS: why says which name, and what this library has. */
int tls_groups_check(const struct tls_groups *groups, char *why, size_t why_room) ERR_CHECK;
/* After the profile. Takes away what would go round the groups: suites whose key exchange has none,
 * and TLS 1.2 where no group of the list is for it. ERR_TLS,
 * also where no suite or version is left. */
int tls_groups_apply(const struct tls_groups *groups, struct ssl_ctx_st *ctx) ERR_CHECK;
/* The names, for texts: "X25519, P-256", "" for the profile's; cut where room ends. */
void tls_groups_text(const struct tls_groups *groups, char *out, size_t room);
