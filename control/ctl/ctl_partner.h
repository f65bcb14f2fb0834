/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl partner add: from a partner's certificates, what a configuration says of the partner: a
 * route that pins the keys, and a rule of senders that names the certificates. It is printed, for a
 * configuration is one file, which its administrator writes. With a pin file, the pins go there, and
 * route and rule name it: they stay as they are when the partner changes its key.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct ctl_partner_request {
    const char *domain;
    const char *cert, *next; /* files; NULL: none. cert may be so where a pin file has a current pin */
    bool write;
    const char *file; /* the pin file; NULL: the domain's in the usual folder */
    int64_t now;      /* seconds since 1970 */
};

/* On failure NULL, *ret_exit (sysexits), and why. */
json_t *ctl_partner_add(const struct ctl_partner_request *request, int *ret_exit, char *why,
                        size_t why_room);
void ctl_print_partner(const json_t *data);
