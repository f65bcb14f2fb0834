/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a client is: the server's side of SASL's SCRAM-SHA-256, PLAIN and LOGIN through libgsasl, over
 * the records of auth_users.h. It does no I/O of its own; a nonce is the kernel's getrandom. A step
 * of PLAIN or LOGIN hashes the password as often as the record says, AUTH_ITERATIONS_MAX times at most;
 * the loop stands still for those milliseconds: limits.max_auth_failures, and the lines of a session, bound that.
 *
 * A name that is not there costs what one costs that is, and hears the same.
 */
#pragma once

#include "auth_users.h"
#include "smtp_session.h"

struct auth_server; /* one a worker that offers AUTH */
struct auth_exchange;

int auth_server_new(struct auth_server **ret) ERR_CHECK;
void auth_server_free(struct auth_server *server);

/* users outlives it. ERR_NOMEM. */
int auth_exchange_new(struct auth_server *server, const struct auth_users *users,
                      enum smtp_mechanism mechanism, struct auth_exchange **ret) ERR_CHECK;
/* in: the client's part. ret->user is valid as long as the exchange. */
void auth_exchange_step(struct auth_exchange *x, const struct smtp_auth *in,
                        struct smtp_auth_answer *ret);
/* Who the client says it is, as far as that is known; a peer's bytes. */
const char *auth_exchange_claimed(const struct auth_exchange *x);
void auth_exchange_free(struct auth_exchange *x);

/* What is kept of a password (SASLprep, RFC 4013): for posternctl. ERR_SYNTAX where it has
 * characters that a password may not have; ERR_IO without randomness. */
int auth_record_make(const char *password, unsigned iterations, struct auth_record *ret) ERR_CHECK;
