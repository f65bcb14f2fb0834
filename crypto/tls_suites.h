/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suites that an administrator demands, in order of preference: nothing else is then offered or
 * taken, whatever the profile has. Only those with AEAD have names here.
 */
#pragma once

#include "errcode.h"
#include "tls_keys.h"

#include <stddef.h>

struct ssl_ctx_st;

struct tls_suites {
    const char *const *names; /* IANA's: "TLS_AES_128_GCM_SHA256" */
    size_t len;               /* 0: the profile's */
};

/* min: the lowest version that is accepted, 0 for the profile's. ERR_TLS: why says which name, and
 * what is spoken here, or that no suite is left for the version. */
int tls_suites_check(const struct tls_suites *suites, enum tls_version min, char *why,
                     size_t why_room) ERR_CHECK;
/* After the profile, before the groups. A version that no suite is for goes with the others.
 * ERR_TLS, also where no version is left. */
int tls_suites_apply(const struct tls_suites *suites, struct ssl_ctx_st *ctx) ERR_CHECK;
