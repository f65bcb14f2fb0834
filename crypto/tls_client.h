/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side's context of one route: profile, trust, pins, our certificate. Immutable once
 * made. What varies per connection (what is checked, names, TLSA records, SNI, session key) is in
 * struct tls_client_request.
 *
 * A certificate that the check does not accept fails the handshake (no byte of MAIL FROM can
 * follow). A resumed session is judged again, by its stored chain and by what is asked now.
 *
 * Names. A reference name is a host's, of A-labels, without a final dot; a certificate's wildcard
 * stands for the whole leftmost label and has at least two labels behind it (RFC 6125 section
 * 6.4.3). An IP address is looked for among the certificate's addresses only.
 */
#pragma once

#include "errcode.h"
#include "tls_groups.h"
#include "tls_profile.h"
#include "tls_suites.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_check {
    TLS_CHECK_NOTHING, /* may, encrypt */
    TLS_CHECK_NAME,    /* verify: RFC 6125 name and chain to a CA; the context has names */
    TLS_CHECK_PIN,  /* pin: SHA-256 of SPKI or certificate of the leaf; name and expiry ignored */
    TLS_CHECK_DANE, /* TLSA records: usage 3 ignores name and expiry, usage 2 checks both */
};

/* RFC 6698 section 2.1, by the names of RFC 7218, as DNS has it. */
enum { TLSA_PKIX_TA, TLSA_PKIX_EE, TLSA_DANE_TA, TLSA_DANE_EE };
enum { TLSA_CERT, TLSA_SPKI };
enum { TLSA_FULL, TLSA_SHA256, TLSA_SHA512 };
struct tls_tlsa {
    uint8_t usage, selector, matching;
    uint16_t len;
    const uint8_t *data;
};

/* Whether a record can match at all for SMTP (RFC 7671, 7672 section 3.1): usage 2 or 3, selector 0
 * or 1, matching type 0 to 2 with data of the right length, and for 0 DER that parses. */
bool tls_tlsa_usable(const struct tls_tlsa *record);

struct tls_client_conf {
    enum tls_profile profile;
    enum tls_version min_version; /* 0: the profile's */
    struct tls_groups groups;
    struct tls_suites suites;
    bool names;       /* TLS_CHECK_NAME may be asked: CAs are needed */
    const char *ca;   /* PEM bundle; NULL: the system's (/etc/ssl/certs) */
    const char *cert; /* our own certificate chain, NULL for none */
    const char *key;
    const uint8_t (*spki_pins)[32]; /* current and next */
    size_t spki_pins_len;
    const uint8_t (*cert_pins)[32];
    size_t cert_pins_len;
};

struct tls_client_ctx;

int tls_client_ctx_new(const struct tls_client_conf *conf, struct tls_client_ctx **ret, char *why,
                       size_t why_room) ERR_CHECK;
void tls_client_ctx_free(struct tls_client_ctx *ctx);

/* The names and identity of one connection; all pointers are only read during tls_start. */
struct tls_client_request {
    const struct tls_client_ctx *ctx;
    enum tls_check check;
    /* A check that is made may fail: the handshake goes on, and the facts say TLS_VERIFY_FAILED and
     * why. */
    bool lenient;
    const char *sni; /* NULL: none (an address); DANE: the TLSA base domain */
    /* Reference names for TLS_CHECK_NAME and for usage 2 of DANE (RFC 7672 section 3.2.3); ".d"
     * means d's subdomains. */
    const char *const *names;
    size_t names_len;
    /* TLS_CHECK_DANE: the RRset. Records that are not usable are left aside; without a usable one
     * the handshake fails. */
    const struct tls_tlsa *tlsa;
    size_t tlsa_len;
    /* Hash of destination host, reference names and the whole TLS policy: sessions are resumed
     * only under the very same one. */
    uint8_t session_key[32];
};
