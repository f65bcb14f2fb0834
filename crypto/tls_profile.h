/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named TLS settings (versions, suites, groups, signature algorithms), one row a profile in
 * tls_profile.c. They follow the published advice that each row names; none claims a FIPS 140
 * validation. Suites without AEAD are in none. Shared by server and client contexts.
 */
#pragma once

#include "errcode.h"
#include "tls_keys.h"

struct ssl_ctx_st;

enum tls_profile {
    TLS_PROFILE_MODERN,        /* TLS 1.2 and 1.3, ECDHE AEAD suites */
    TLS_PROFILE_NIST_800_52R2, /* an AEAD subset without ChaCha20; P-256 and P-384 */
    TLS_PROFILE_COMPATIBLE,    /* TLS 1.2 AEAD with static RSA and DHE too */
    TLS_PROFILE_HIPAA,         /* nist-800-52r2; the configuration asks more of who uses it */
    TLS_PROFILE_COUNT,
};

/* "modern", "nist-800-52r2", "compatible", "hipaa". */
const char *tls_profile_name(enum tls_profile profile);
/* min: the lowest version to accept, 0 for the profile's own. Also sets what every context of
 * ours wants: no compression, no renegotiation, no 0-RTT. ERR_TLS. */
int tls_profile_apply(enum tls_profile profile, enum tls_version min,
                      struct ssl_ctx_st *ctx) ERR_CHECK;
