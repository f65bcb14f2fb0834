/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a server still speaks a version of TLS that nobody should: a ClientHello of that version
 * and no newer, and what the first bytes of the answer say. No session comes of it, and no library
 * needs to have the version. Pure.
 */
#pragma once

#include "errcode.h"
#include "span.h"

#include <stddef.h>
#include <stdint.h>

/* As on the wire, oldest first. */
enum tls_hello_version { TLS_HELLO_SSL_3_0 = 0x300, TLS_HELLO_TLS_1_0, TLS_HELLO_TLS_1_1 };

enum { TLS_HELLO_MAX = 512, TLS_HELLO_TEXT = 96 };

enum tls_hello_said {
    TLS_HELLO_MORE,     /* not enough bytes yet */
    TLS_HELLO_ACCEPTED, /* the server chose this very version */
    TLS_HELLO_REFUSED,  /* an alert, or another version */
    TLS_HELLO_NOT_TLS,
};

/* sni: a host name, or NULL. Returns its bytes, one record. ERR_RANGE: a name longer than DNS
 * allows. */
int tls_hello_write(enum tls_hello_version version, const char *sni, const uint8_t random[32],
                    uint8_t ret[TLS_HELLO_MAX], size_t *ret_len) ERR_CHECK;
/* answer: all that came so far. text says what came, in the words of RFC 8446. */
enum tls_hello_said tls_hello_read(enum tls_hello_version version, struct span answer,
                                   char text[TLS_HELLO_TEXT]);
