/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivations that struct tls_keys is filled with: HKDF-Expand-Label of TLS 1.3 (RFC 8446 section
 * 7.1) and the PRF of TLS 1.2 (RFC 5246 section 5). Private to this floor. Pure.
 */
#pragma once

#include "errcode.h"
#include "tls_keys.h"

/* One row a suite that we speak: what its records need. */
struct tls_suite {
    uint16_t id; /* IANA number */
    enum tls_version version;
    enum tls_aead aead;
    uint8_t hash_len; /* of the PRF or HKDF: 32 (SHA-256) or 48 (SHA-384) */
};

/* How long the key of an AEAD is, in bytes. */
uint8_t tls_aead_key_len(enum tls_aead aead);
/* NULL for a suite that we don't speak. */
const struct tls_suite *tls_suite_find(uint16_t id);

/* HKDF-Expand-Label(secret, label, "", len); len is at most the hash's length, which is
 * secret_len. ERR_TLS. */
int tls13_expand_label(const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out,
                       size_t len) ERR_CHECK;
/* key and iv of d from d->secret. ERR_TLS. */
int tls13_direction_derive(struct tls_direction *d, size_t secret_len, size_t key_len) ERR_CHECK;

/* Where the two directions of a TLS 1.2 key block belong. */
struct tls12_randoms {
    uint8_t client[32], server[32];
};
/* Fills key and iv of both directions from the master secret: suite, aead and key_len of keys are
 * set. The explicit nonces in iv[4..11] stay zero for GCM. ERR_TLS. */
int tls12_keys_derive(struct tls_keys *keys, const struct tls_suite *suite, const uint8_t *master,
                      size_t master_len, const struct tls12_randoms *randoms,
                      int is_server) ERR_CHECK;
