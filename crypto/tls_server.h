/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side's context of one listener: profile, certificates by SNI (ECDSA and RSA side by
 * side), client certificates, ticket keys. Immutable once made and reference counted by its
 * owner's lifetime: a reload makes a new worker generation with new contexts.
 *
 * An unknown SNI gets the first certificate pair, never an alert. A foreign ALPN is declined
 * (RFC 7301 no_application_protocol) where the client offers any list without "smtp" (there is no
 * registered id for SMTP; anything else there is another protocol's client: cross protocol).
 */
#pragma once

#include "errcode.h"
#include "tls_groups.h"
#include "tls_profile.h"
#include "tls_suites.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_client_cert { TLS_CLIENT_CERT_NONE, TLS_CLIENT_CERT_ASK, TLS_CLIENT_CERT_REQUIRE };

/* One certificate chain with its key, from PEM files. */
struct tls_cert_files {
    const char *cert; /* leaf first, then intermediates */
    const char *key;
};

/*
 * The secret that session ticket keys are derived from, in memory that the supervisor shares with
 * all workers, so that a ticket of one opens in another. Key number n is
 * HKDF(seed, "ticket" || n || context hash), n = now / rotate_s; the current and previous n open.
 * The listener's context hash is mixed in: a ticket is no good at another listener.
 */
struct tls_ticket_seed {
    uint8_t seed[32];
};

struct tls_server_conf {
    const char *name; /* the listener's, part of the ticket context */
    enum tls_profile profile;
    enum tls_version min_version; /* 0: the profile's */
    struct tls_groups groups;
    struct tls_suites suites;
    const struct tls_cert_files *certs;
    size_t certs_len;
    enum tls_client_cert client_cert;
    const char *client_ca; /* PEM bundle that client certificates are checked against, or NULL */
    const struct tls_ticket_seed *tickets; /* NULL: no resumption; must outlive the context */
    uint32_t ticket_rotate_s;
};

struct tls_server_ctx;

/* Loads everything; on failure *ret is NULL and why says which file and what to do (at most
 * why_room bytes with the NUL). ERR_TLS, ERR_NOMEM. Key and certificate must match. */
int tls_server_ctx_new(const struct tls_server_conf *conf, struct tls_server_ctx **ret, char *why,
                       size_t why_room) ERR_CHECK;
void tls_server_ctx_free(struct tls_server_ctx *ctx);
