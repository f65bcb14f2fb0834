/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of one established TLS connection: what the handshake hands over and every record
 * layer (ours, the kernel's, a NIC's) is installed from. A plain value; whoever holds it zeroes
 * it (tls_keys_wipe) when it is done. It owns nothing.
 *
 * TLS 1.3 (RFC 8446 section 7.3): key and 12-byte iv per direction; the nonce is iv XOR the
 * sequence number; secret is the traffic secret that a KeyUpdate starts from.
 * TLS 1.2 (RFC 5246, 5288, 7905): GCM has a 4-byte salt in iv[0..3] and an 8-byte explicit nonce
 * in each record: ours goes on from iv[4..11] of tx (big endian, the next one to use), the peer's
 * is read from its records. ChaCha20-Poly1305 is iv XOR sequence as in 1.3. No secret.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum tls_version { TLS_VERSION_1_2 = 0x0303, TLS_VERSION_1_3 = 0x0304 };

/* The AEAD of a suite, whatever its key exchange: one row a cipher. */
enum tls_aead { TLS_AEAD_AES_128_GCM, TLS_AEAD_AES_256_GCM, TLS_AEAD_CHACHA20_POLY1305 };

enum {
    TLS_KEY_MAX = 32,
    TLS_IV_LEN = 12,
    TLS_SECRET_MAX = 48,
    TLS_TAG_LEN = 16,
    TLS_RECORD_HEADER = 5,
    TLS_PLAINTEXT_MAX = 16384,
    /* RFC 5246 section 6.2.3 allows 2048 more, RFC 8446 section 5.2 256 more. */
    TLS_CIPHERTEXT_MAX = TLS_PLAINTEXT_MAX + 2048,
    TLS_RECORD_MAX = TLS_RECORD_HEADER + TLS_CIPHERTEXT_MAX,
};

struct tls_direction {
    uint8_t key[TLS_KEY_MAX];
    uint8_t iv[TLS_IV_LEN];
    uint64_t seq; /* of the next record */
    uint8_t secret[TLS_SECRET_MAX];
};

struct tls_keys {
    enum tls_version version;
    enum tls_aead aead;
    uint16_t suite;         /* IANA number, for evidence */
    uint16_t max_plaintext; /* most bytes we put into a record (max_fragment_length, RFC 6066) */
    uint8_t key_len;        /* 16 or 32 */
    uint8_t secret_len;     /* 32 or 48; 0 on TLS 1.2 */
    struct tls_direction tx, rx;
};

void tls_keys_wipe(struct tls_keys *keys);
