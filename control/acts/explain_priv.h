/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by explain.c (the steps, and how it ends) and explain_host.c (what is said of a host). */
#pragma once

#include "explain.h"

/* A text of ours, a peer's or DNS's: what is not printable ASCII becomes '?'. */
json_t *explain_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "ok", "nodata", ... */
const char *explain_dns_text(enum dns_status status);

/* One host: what was found, what it must have, what is accepted, what it showed, and where mail
 * would not go there, what to do. */
json_t *explain_host_json(const struct conf_route *route, const struct upstream_probe_host *host);
