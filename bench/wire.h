/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One non-blocking TCP connection, in plaintext or under OpenSSL, for the load generator and the
 * sink. They use nothing of the gateway's dataplane and crypto floors: what checks the gateway
 * must not share its mistakes.
 */
#pragma once

#include "errcode.h"
#include "span.h"
#include "wire_openssl.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum wire_tls { WIRE_UNSET, WIRE_PLAIN, WIRE_STARTTLS, WIRE_IMPLICIT };

struct wire {
    int fd; /* -1: closed */
    SSL *ssl;
    uint32_t wants; /* EPOLLIN or EPOLLOUT after ERR_AGAIN */
    bool broken;    /* TLS failed: nothing may be sent any more, not even an alert */
};

/* "HOST:PORT" with a name or an address; ERR_NOTFOUND, ERR_SYNTAX. */
int wire_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len) ERR_CHECK;
int wire_connect(struct wire *w, const struct sockaddr_storage *to, socklen_t len) ERR_CHECK;
/* The result of a connect that has become writable. */
int wire_connected(struct wire *w) ERR_CHECK;
int wire_listen(const struct sockaddr_storage *at, socklen_t len, int *ret_fd) ERR_CHECK;
/* Takes fd over. */
void wire_accept(struct wire *w, int fd);

/* session: to resume, or NULL. ERR_NOMEM. */
int wire_tls_start(struct wire *w, SSL_CTX *context, bool server, SSL_SESSION *session) ERR_CHECK;
/* ERR_AGAIN until it is complete. */
int wire_handshake(struct wire *w) ERR_CHECK;
/* *ret_len is 0 with ERR_AGAIN. The peer's orderly end is ERR_CLOSED, an end without
 * close_notify ERR_TLS_TRUNCATED. */
int wire_read(struct wire *w, void *out, size_t room, size_t *ret_len) ERR_CHECK;
/* May write a part. */
int wire_write(struct wire *w, struct span bytes, size_t *ret_len) ERR_CHECK;
/* Sends close_notify where it can be sent at once; harmless on a closed wire. */
void wire_close(struct wire *w);

/* What OpenSSL last complained of on this thread. */
void wire_tls_error(char *out, size_t room);

/* What is offered. suites: NULL for OpenSSL's own; names that start with "TLS_" are those of TLS
 * 1.3, and then that version alone is spoken; others are those of TLS 1.2, and then only that.
 * groups: for the key exchange, the best first; NULL for OpenSSL's own. */
struct wire_offer {
    bool tls12;
    const char *suites, *groups;
};
/* A client's context; certificates are not checked, since what is measured is the relay. NULL
 * where OpenSSL fails. */
SSL_CTX *wire_client_context(const struct wire_offer *offer);
/* cert and key: PEM files, or NULLs for a self-made ECDSA P-256 certificate. NULL on failure. */
SSL_CTX *wire_server_context(const struct wire_offer *offer, const char *cert, const char *key);

/* Microseconds of the monotonic clock. */
uint64_t wire_now_us(void);
