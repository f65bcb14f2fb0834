/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seals and opens one record's bytes with an AEAD. Who does: OpenSSL's EVP (tls_aead_openssl.c),
 * or, for AES-GCM where the processor has AES and carry-less multiplication on wide registers,
 * Intel's libipsec-mb (tls_aead_ipsec_mb.c). That is settled once a process, before its first
 * thread, its sandbox and its first key; until then it is OpenSSL. ChaCha20-Poly1305 is always
 * OpenSSL's.
 *
 * A key that is ready for use takes 1.0 to 1.3 KB, and a session has four over its two legs: with
 * thousands of idle sessions these would be most of the memory. So each thread keeps
 * TLS_AEAD_SLOTS of them for the directions that seal or open now. One that was not used for a
 * while loses its slot to another, and is keyed again (less than 0.5 microseconds) when it goes on.
 *
 * Used by one thread's record layer at a time; no key is shared between threads. No allocation per
 * record.
 */
#pragma once

#include "errcode.h"
#include "tls_keys.h"

#include <stdbool.h>

enum {
    TLS_AEAD_SLOTS = 512,
    TLS_AEAD_WHY_TEXT = 128,
};

enum tls_aead_backend { TLS_AEAD_BACKEND_OPENSSL, TLS_AEAD_BACKEND_IPSEC_MB };

/* "openssl", "ipsec-mb" */
const char *tls_aead_backend_name(enum tls_aead_backend backend);
/* Keys made from now on are that one's; said is its name and version. ERR_UNSUPPORTED: it can't be
 * had here, said is the reason, and nothing has changed. TLS_AEAD_WHY_TEXT is room enough. */
int tls_aead_use(enum tls_aead_backend backend, char *said, size_t room) ERR_CHECK;
/* The fastest that can be had here; why is its name and version, and what it was decided by. */
enum tls_aead_backend tls_aead_use_fastest(char *why, size_t room);
enum tls_aead_backend tls_aead_used(void);

/* Where a direction's key is ready for use, if it still is. Zeroed: it is nowhere. */
struct tls_aead_place {
    uint64_t owner; /* never given twice in a process; 0: none */
    uint32_t slot;
};

/* A record's bytes between its header (and explicit nonce) and its tag, which follows them. */
struct tls_aead_record {
    uint8_t nonce[TLS_IV_LEN];
    const uint8_t *aad; /* additional data */
    size_t aad_len;
    uint8_t *bytes;            /* opened in place; sealed to here, with room for the tag */
    const uint8_t *from;       /* what is sealed: bytes itself, or elsewhere without overlap */
    size_t len;                /* to open: without the tag; to seal: without the inner type */
    const uint8_t *inner_type; /* sealed after it; NULL: none */
};

/* Makes the key ready ahead of its first record, in the direction it is for. ERR_NOMEM. */
int tls_aead_prepare(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                     bool sealing) ERR_CHECK;
/* ERR_TLS_RECORD: not authentic, and its bytes are wiped; ERR_NOMEM. */
int tls_aead_open(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                  struct tls_aead_record *record) ERR_CHECK;
/* ERR_NOMEM, ERR_TLS: nothing of record->bytes may be sent. */
int tls_aead_seal(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                  struct tls_aead_record *record) ERR_CHECK;
/* The key is over: wipes it where place still has a slot. */
void tls_aead_forget(struct tls_aead_place *place);
