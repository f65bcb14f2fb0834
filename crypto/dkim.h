/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DKIM signatures (RFC 6376, 8463) for mail of our own: relaxed/relaxed, over the whole body, by RSA or Ed25519,
 * whatever the key is. Nothing is verified here.
 */
#pragma once

#include "buf.h"

struct dkim_key;

/* A private key in PEM. ERR_CONFIG: it can't be read, or is neither RSA of 1024 bits or more nor Ed25519; why says
 * what is wrong. */
int dkim_key_load(const char *file, struct dkim_key **ret, char *why, size_t why_room) ERR_CHECK;
void dkim_key_free(struct dkim_key *key);
/* "rsa-sha256", "ed25519-sha256" */
const char *dkim_algorithm(const struct dkim_key *key);

struct dkim_request {
    const struct dkim_key *key;
    const char *domain, *selector;
    const char *const *headers; /* names to sign, in lower case; NULL behind the last */
    int64_t now;                /* seconds since 1970 */
};

/* Appends the field "DKIM-Signature: ...", with its line end, for a header of whole lines that end with
 * CRLF, and a body. One of the names that the header has not (a second "from", say) can't be added
 * later without breaking the signature. ERR_NOMEM, ERR_TLS. */
int dkim_sign(const struct dkim_request *request, struct span header, struct span body,
              struct buf *out) ERR_CHECK;

/* For tests: SHA-256 of the body in its canonical form. */
int dkim_body_hash(struct span body, uint8_t ret[32]) ERR_CHECK;
