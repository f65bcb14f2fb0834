/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server session tickets under keys derived from the shared seed (tls_server.h says how), so that
 * each worker opens what another sealed and nothing is stored. Private to this floor.
 */
#pragma once

#include "tls_openssl.h"
#include "tls_server.h"

struct tls_ticket_recent;

struct tls_ticket {
    const struct tls_ticket_seed *seed; /* NULL: no tickets */
    uint32_t rotate_s;
    uint8_t context[32]; /* of the listener */
    /* Of this period and the one before, so that they are derived once and not for each ticket. */
    struct tls_ticket_recent *recent;
};

/* rotate_s: above 0 where there is a seed. ERR_NOMEM. */
int tls_ticket_init(struct tls_ticket *ret, const struct tls_ticket_seed *seed,
                    uint32_t rotate_s) ERR_CHECK;
/* Wipes the keys; a zeroed struct is fine. */
void tls_ticket_free(struct tls_ticket *ticket);
/* Turns tickets on. ticket is read by the callbacks as long as ctx lives. */
int tls_ticket_enable(const struct tls_ticket *ticket, SSL_CTX *ctx) ERR_CHECK;
void tls_ticket_disable(SSL_CTX *ctx);
