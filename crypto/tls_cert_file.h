/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a certificate in a file, as it would be known of a peer that shows it. */
#pragma once

#include "errcode.h"
#include "tls_facts.h"

#include <stddef.h>

/* Of the first certificate in a PEM file. On failure why says which file and what about it; ERR_TLS. */
int tls_cert_file_facts(const char *file, struct tls_facts *ret, char *why,
                        size_t why_room) ERR_CHECK;
/* The same of the certificate in the file that ends before the others do. */
int tls_cert_file_first_end(const char *file, struct tls_facts *ret, char *why,
                            size_t why_room) ERR_CHECK;
