/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AEAD contexts, keyed and ready. OpenSSL's takes 1.2 KB, and a session has four over its two
 * legs: with thousands of idle sessions these would be most of the memory. So each thread keeps
 * TLS_AEAD_CONTEXTS of them for the directions that seal or open now. One that was not used for a
 * while loses its context to another, and is keyed again (0.3 microseconds) when it goes on.
 *
 * Used by one thread's record layer at a time; nothing here is shared between threads.
 */
#pragma once

#include "tls_keys.h"

#include <stdbool.h>

enum { TLS_AEAD_CONTEXTS = 512 };

struct evp_cipher_ctx_st;

/* Where a direction's context is, if it still has one. Zeroed: it has none. */
struct tls_aead_place {
    uint64_t owner; /* never given twice in a process; 0: none */
    uint32_t slot;
};

/* The context for key, made or keyed where place has none any more. Only until the next call.
 * NULL: no memory. */
struct evp_cipher_ctx_st *tls_aead_get(struct tls_aead_place *place, enum tls_aead aead,
                                       const uint8_t *key, bool sealing);
/* The key is over: wipes the context where place still has one. */
void tls_aead_forget(struct tls_aead_place *place);
