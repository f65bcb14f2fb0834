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

/* OpenSSL 3.3 renamed these for 64-bit times, 3.4 deprecates the old names. */
#if OPENSSL_VERSION_NUMBER < 0x30300000L
#define SSL_SESSION_get_time_ex SSL_SESSION_get_time
#define SSL_SESSION_set_time_ex SSL_SESSION_set_time
#endif
