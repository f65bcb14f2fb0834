/* SPDX-License-Identifier: Apache-2.0 */
/* A test of records is run with each of the two that can seal and open them. Where libipsec-mb
 * can't be had it is skipped, and the output says why. */
#pragma once

#include "test_crypto.h"

#include "tls_aead.h"

static enum tls_aead_backend aead_backends[] = {TLS_AEAD_BACKEND_OPENSSL,
                                                TLS_AEAD_BACKEND_IPSEC_MB};

static inline bool backend_there(enum tls_aead_backend backend)
{
    char why[TLS_AEAD_WHY_TEXT];

    if (tls_aead_use(backend, why, sizeof(why)) == ERR_OK)
        return true;
    print_message("%s: %s\n", tls_aead_backend_name(backend), why);
    return false;
}

/* Such a test begins with it. */
static inline void backend_of(void **state)
{
    if (!backend_there(*(const enum tls_aead_backend *)*state))
        skip();
}

#define WITH_BOTH(test)                                                                            \
    {#test " (openssl)", test, NULL, NULL, &aead_backends[0]},                                     \
    {                                                                                              \
#test " (ipsec-mb)", test, NULL, NULL, &aead_backends[1]                                   \
    }
