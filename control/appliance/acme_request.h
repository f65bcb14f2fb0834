/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request for a certificate (PKCS #10) for names, by a key that exists: what a renewal must not
 * change is the key, which TLSA records (DANE 3 1 1) and partners' pins name.
 */
#pragma once

#include "buf.h"
#include "conf.h"

enum { ACME_REQUEST_ID = 16 + 1 };

/* key: its PEM file. ret_id: the same for the same key and names, in hex digits, another for others.
 * ERR_IO, ERR_TLS (why), ERR_FULL. */
int acme_request_make(const char *key_file, const struct conf_strings *names, struct buf *out,
                      char ret_id[ACME_REQUEST_ID], char *why, size_t why_room) ERR_CHECK;
