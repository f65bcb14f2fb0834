/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The postern.conf that a machine has whose routes were typed on its console, or that was given none:
 * made from a host name and a short list of routes, and read back for the next change. One that an
 * administrator wrote is never taken for it. Pure.
 */
#pragma once

#include "conf.h"

struct appliance_route {
    const char *domain;
    const char *next_hop; /* "mx", "host:port" */
    enum conf_level level;
};

enum { APPLIANCE_ROUTES_MAX = 64 };

/* Where its certificate is, beside the file. */
#define APPLIANCE_CERT "tls/gateway.pem"
#define APPLIANCE_KEY "tls/gateway.key"

/* Without a route, mail is refused with 550. ERR_FULL, ERR_NOMEM. */
int appliance_gateway_write(const char *hostname, const struct appliance_route *routes, size_t len,
                            struct buf *out) ERR_CHECK;
/* Whether it was made so. */
bool appliance_gateway_is_ours(const char *text);
/* Its routes; the strings are the arena's. ERR_CONFIG: it was changed, and is none of ours any more;
 * ERR_FULL; ERR_NOMEM. */
int appliance_gateway_read(const char *text, struct arena *arena, struct appliance_route *ret,
                           size_t room, size_t *ret_len) ERR_CHECK;
/* Whether a route may be made of these; why: what is allowed. level: its word. */
bool appliance_route_valid(const char *domain, const char *next_hop, const char *level,
                           struct appliance_route *ret, char *why, size_t why_room);
