/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl tls check: a server's checks, at each of its addresses, or those of all hosts that
 * take a domain's mail. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct ctl_tls_request {
    const char *target; /* "mx.example.org", "192.0.2.1", with ":port"; with mx a domain */
    bool mx;
    const char *name; /* that certificates must have; NULL: the host's */
    const char *ca;   /* NULL: the system's */
};

/* What was found, or NULL, and then why says why not and *ret_exit is a code of sysexits. */
json_t *ctl_tls_check(const struct ctl_tls_request *request, int *ret_exit, char *why,
                      size_t why_room);
void ctl_print_tls_check(const json_t *data);
