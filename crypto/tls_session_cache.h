/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client sessions for resumption: the newest of each key, at most max, the least recently used
 * goes first. Private to this floor. One thread's alone; what it lends is copied before another
 * thread sees it (SSL_SESSION_dup), for OpenSSL writes into a session that it resumes.
 */
#pragma once

#include "errcode.h"
#include "tls_openssl.h"

struct tls_session_cache;

int tls_session_cache_new(uint32_t max, struct tls_session_cache **ret) ERR_CHECK;
void tls_session_cache_free(struct tls_session_cache *c);
/* Takes its own reference; replaces what the key had. */
void tls_session_cache_put(struct tls_session_cache *c, const uint8_t key[32],
                           SSL_SESSION *session);
/* Lent until the next call; NULL where there is none, or none that is still alive. */
SSL_SESSION *tls_session_cache_get(struct tls_session_cache *c, const uint8_t key[32]);
void tls_session_cache_drop(struct tls_session_cache *c, const uint8_t key[32]);
