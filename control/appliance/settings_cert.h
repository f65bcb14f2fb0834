/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate that a machine makes itself for its name, so that a gateway to which nobody gave one
 * can speak TLS. It proves nothing to anybody, and is marked, so that it is never taken for one that
 * was given.
 */
#pragma once

#include "settings_files.h"

#include <stdint.h>

/* Puts a key and its certificate into files, as APPLIANCE_KEY and APPLIANCE_CERT. now: seconds since
 * 1970. ERR_SYSTEM, ERR_NOMEM, ERR_FULL. */
int settings_cert_make(const char *hostname, int64_t now, struct settings_files *files) ERR_CHECK;
/* Whether the certificate, as PEM, is such a one. ret_named: for this name. */
bool settings_cert_is_self_made(const char *pem, size_t len, const char *hostname, bool *ret_named);
