/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a file is signed by whom it must be: a detached signature, as `openssl pkeyutl -sign
 * -rawin` and `openssl dgst -sha256 -sign` make it. */
#pragma once

#include "errcode.h"
#include "span.h"

/* key: PEM of a public key: Ed25519, or ECDSA or RSA (PKCS #1) with SHA-256, of 112 bits of
 * security at least. ERR_TLS: why says whether key or signature is wrong. */
int tls_signature_check(struct span data, struct span signature, struct span key, char *why,
                        size_t why_room) ERR_CHECK;
