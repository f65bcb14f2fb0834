/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a certificate that a CA vouches for is of one of the names that the configuration has
 * (RFC 6125 section 6.4; a CN is no name). Pure: the names come as facts of the handshake.
 */
#pragma once

#include "conf.h"
#include "tls_facts.h"

/* wanted: "mx.example.org", or ".example.org" for any name below it. name: the certificate's, in
 * lower case, where a wildcard is the whole leftmost label. */
bool tls_name_fits(const char *wanted, const char *name);
/* False too where the certificate did not verify, or there is none. */
bool tls_name_verified(const struct tls_facts *tls, const struct conf_strings *wanted);
