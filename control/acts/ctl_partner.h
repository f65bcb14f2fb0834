/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl partner add: from a partner's certificates, what a configuration says of the partner: a
 * route that pins the keys, and a rule of senders that names the certificates. It is printed, for a
 * configuration is one file, which its administrator writes.
 */
#pragma once

#include <jansson.h>

/* domain: the partner's; next: the certificate that comes after the one in cert, or NULL. now: seconds
 * since 1970. On failure NULL, and why. */
json_t *ctl_partner_add(const char *domain, const char *cert, const char *next, int64_t now,
                        char *why, size_t why_room);
void ctl_print_partner(const json_t *data);
