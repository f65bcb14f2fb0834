/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy files by HTTPS (RFC 8461 section 3.3), and TLS reports by HTTPS and SMTP (RFC 8460 section 5),
 * many at a time in the caller's poll loop, through libcurl. It looks up no names: addresses are the
 * caller's. No redirects, no proxy, no cookies, no reuse of connections; of the web only https with a
 * verified certificate, HTTP/1.1. What is kept of a server's answer is bounded, and so is its time; a
 * slow one holds nobody but itself.
 *
 * Process: the resolver's. libcurl and OpenSSL are set up before the sandbox closes.
 */
#pragma once

#include "net_addr.h"

#include <poll.h>

enum {
    RESOLVER_FETCHES_MAX = 100, /* under way at once */
    RESOLVER_FETCH_FDS = 2 * RESOLVER_FETCHES_MAX + 8,
    RESOLVER_FETCH_ADDRS = 8, /* of a host, tried */
    RESOLVER_FETCH_WHY = 128,
};

struct resolver_fetches;

/* ca: a PEM file, "" for the system's authorities. ERR_CONFIG, ERR_NOMEM: why says what. */
int resolver_fetches_new(const char *ca, uint16_t port, unsigned timeout_s,
                         struct resolver_fetches **ret, char *why, size_t why_room) ERR_CHECK;
void resolver_fetches_free(struct resolver_fetches *f);

/* done is called once, from resolver_fetches_turn: body where why is NULL; rejected: it is the server's
 * certificate that is not valid. ERR_LIMIT where
 * RESOLVER_FETCHES_MAX are under way, ERR_NOMEM: done is not called then. */
typedef void resolver_fetch_done(void *user, struct span body, bool rejected, const char *why);
int resolver_fetch_start(struct resolver_fetches *f, const char *domain,
                         const union net_addr *addrs, unsigned addrs_len, resolver_fetch_done *done,
                         void *user) ERR_CHECK;

/* A TLS report to a URL, https, of this host and port. Any answer 2xx is good; its body is none of ours.
 * The texts and bytes are copied. */
struct resolver_post {
    const char *url, *host;
    uint16_t port;
    const union net_addr *addrs;
    unsigned addrs_len;
    const char *type; /* Content-Type */
    struct span body;
};
int resolver_fetch_post(struct resolver_fetches *f, const struct resolver_post *post,
                        resolver_fetch_done *done, void *user) ERR_CHECK;
/* A mail to a submission server of ours. TLS is taken where the server has it, whatever its certificate
 * is (RFC 8460 section 3). */
struct resolver_submission {
    union net_addr server;
    const char *helo, *from, *to;
    struct span mail;
};
int resolver_fetch_submit(struct resolver_fetches *f, const struct resolver_submission *submission,
                          resolver_fetch_done *done, void *user) ERR_CHECK;

/* Descriptors to wait for, at most RESOLVER_FETCH_FDS, and for how long: -1 for ever. */
unsigned resolver_fetches_fds(const struct resolver_fetches *f, struct pollfd *fds, int *ret_ms);
void resolver_fetches_turn(struct resolver_fetches *f, const struct pollfd *fds, unsigned len);
