/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's headers for this folder. Their name ERR_STATE is also an error of ours: theirs gets
 * another name while they are read; nothing here uses it.
 */
#pragma once

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
