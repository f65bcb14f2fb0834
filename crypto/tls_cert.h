/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates as this floor needs them: a chain with its key from PEM files, the names of a
 * certificate, its fingerprints and how it reads to a person. Private to this floor.
 */
#pragma once

#include "errcode.h"
#include "tls_facts.h"
#include "tls_openssl.h"
#include "tls_server.h"

/* One certificate chain with its key, loaded. */
struct tls_cert {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf; may be NULL */
    EVP_PKEY *key;
};

/* On failure ret is zeroed, and why says which file and what to do. ERR_TLS. */
int tls_cert_load(const struct tls_cert_files *files, struct tls_cert *ret, char *why,
                  size_t why_room) ERR_CHECK;
void tls_cert_free(struct tls_cert *cert);
/* ERR_TLS where ctx does not take it (a key too small for the profile, say). */
int tls_cert_use(const struct tls_cert *cert, SSL_CTX *ctx) ERR_CHECK;

/* Calls each with every DNS name, lower case; the CN where there is no DNS name at all. Stops
 * where each returns false, and returns false then. */
bool tls_cert_names(X509 *leaf, bool (*each)(void *user, const char *name), void *user);
/* Joined by ", " and cut where room ends: for texts. Returns out. */
const char *tls_cert_names_text(X509 *leaf, char *out, size_t room);

/* Whether it is for a host of that name, or for that address: by its subjectAltName, by the CN only
 * where there is no DNS name. */
bool tls_cert_matches(X509 *leaf, const char *name);

/* The certificate's part of the facts: names, fingerprints, notAfter. */
void tls_cert_facts(X509 *leaf, struct tls_facts *ret);
/* SHA-256 of the DER of its subject public key info; false where that fails. */
bool tls_cert_spki_sha256(X509 *leaf, uint8_t ret[32]);
bool tls_cert_sha256(X509 *leaf, uint8_t ret[32]);

/* Printable ASCII as it is, the rest as \xHH, cut where room ends. */
void tls_text_escape(const void *bytes, size_t len, char *out, size_t room);
/* Why the last OpenSSL call failed, in its own words. */
const char *tls_openssl_reason(void);
