/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side's context of one route: profile, trust, pins, our certificate. Immutable once
 * made. What varies per connection (names, SNI, session key) is in struct tls_client_request.
 *
 * A certificate that the level does not accept fails the handshake (no byte of MAIL FROM can
 * follow). A resumed session is judged again by its stored chain.
 */
#pragma once

#include "errcode.h"
#include "tls_groups.h"
#include "tls_profile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_check {
    TLS_CHECK_NOTHING, /* may, encrypt */
    TLS_CHECK_NAME,    /* verify: RFC 6125 name and chain to a CA */
    TLS_CHECK_PIN, /* pin: SHA-256 of SPKI or certificate of the leaf; name and expiry ignored */
};

struct tls_client_conf {
    enum tls_profile profile;
    enum tls_version min_version; /* 0: the profile's */
    struct tls_groups groups;
    enum tls_check check;
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
    const char *sni;          /* NULL: none (an address) */
    const char *const *names; /* reference names for TLS_CHECK_NAME; ".d" means d's subdomains */
    size_t names_len;
    /* Hash of destination host, reference names and the whole TLS policy: sessions are resumed
     * only under the very same one. */
    uint8_t session_key[32];
};
