/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's headers, for the files that call it. Its err.h defines a type ERR_STATE (used by
 * nothing but itself) that collides with the error code of base/errcode.h, and so gets another
 * name here. Include this instead of <openssl/...>.
 */
#pragma once

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

/* Seconds since 1970. OpenSSL 3.4 deprecates the calls whose time is a long. */
#if OPENSSL_VERSION_NUMBER >= 0x30400000L
#define tls_session_time(session) ((int64_t)SSL_SESSION_get_time_ex(session))
#define tls_session_set_time(session, seconds) SSL_SESSION_set_time_ex(session, (time_t)(seconds))
#else
#define tls_session_time(session) ((int64_t)SSL_SESSION_get_time(session))
#define tls_session_set_time(session, seconds) SSL_SESSION_set_time(session, (long)(seconds))
#endif
