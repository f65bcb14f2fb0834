/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user record layer's core: opens and seals one TLS record in place, over the AEADs of tls_aead.h
 * (RFC 8446 section 5, RFC 5246 section 6.2.3.3). Pure: bytes in, bytes out; no socket, no clock,
 * no allocation per record. One struct per direction of one leg.
 *
 * Peers' bytes are judged by result codes, never by assertions. After a failure of
 * tls_record_open the direction is dead: send the alert that tls_record_alert_for names, close.
 */
#pragma once

#include "errcode.h"
#include "tls_aead.h"
#include "tls_keys.h"

#include <stdbool.h>

enum tls_content {
    TLS_CONTENT_CCS = 20,
    TLS_CONTENT_ALERT = 21,
    TLS_CONTENT_HANDSHAKE = 22,
    TLS_CONTENT_DATA = 23,
};

enum tls_alert {
    TLS_ALERT_CLOSE_NOTIFY = 0,
    TLS_ALERT_UNEXPECTED_MESSAGE = 10,
    TLS_ALERT_BAD_RECORD_MAC = 20,
    TLS_ALERT_RECORD_OVERFLOW = 22,
    TLS_ALERT_DECODE_ERROR = 50,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_NO_RENEGOTIATION = 100,
};

enum tls_dir { TLS_DIR_TX, TLS_DIR_RX };

struct tls_record_dir {
    struct tls_aead_place aead;
    uint8_t iv[TLS_IV_LEN];
    uint64_t seq;
    enum tls_version version;
    enum tls_aead cipher;
    uint16_t max_plaintext;
    uint8_t key_len, secret_len;
    bool left; /* another record layer has the direction: the kernel's */
    uint8_t key[TLS_KEY_MAX];
    uint8_t secret[TLS_SECRET_MAX]; /* for KeyUpdate; TLS 1.3 only */
};

/* Makes ret from one direction of keys. ERR_NOMEM. Freed with tls_record_free. */
int tls_record_init(struct tls_record_dir *ret, const struct tls_keys *keys,
                    enum tls_dir dir) ERR_CHECK;
/* Wipes and frees; a zeroed struct is fine. */
void tls_record_free(struct tls_record_dir *d);
/* Another record layer goes on from here: nothing is opened or sealed with d any more, and the key
 * is wiped; tls_record_rekey still makes the next one. */
void tls_record_leave(struct tls_record_dir *d);

/* How long the record at data is, header included: ERR_AGAIN where fewer than 5 bytes are there,
 * else as tls_record_open where the header can't be one of an established connection (type,
 * version, length over the limit or too short for the AEAD). */
int tls_record_length(const struct tls_record_dir *d, const uint8_t *data, size_t len,
                      size_t *ret_len) ERR_CHECK;

struct tls_record {
    enum tls_content type; /* the inner type on TLS 1.3, padding removed */
    uint8_t *data;         /* the plaintext, inside the record's own bytes */
    size_t len;            /* may be 0 */
};

/* Opens one whole record of len bytes in place. ERR_TLS_RECORD: not authentic; ERR_RANGE: too long;
 * ERR_SYNTAX: a type or version that can't be here, no inner type, a CCS where none may be, an
 * empty record of anything but data; ERR_NOMEM. On TLS 1.3 nothing in plaintext is accepted. */
int tls_record_open(struct tls_record_dir *d, uint8_t *record, size_t len,
                    struct tls_record *ret) ERR_CHECK;
/* The alert for what a failed open (or length) returned. */
enum tls_alert tls_record_alert_for(int err);

/* Bytes that a record has before and after its plaintext: before is 5 (13 for TLS 1.2 GCM),
 * after is 16 (17 on TLS 1.3). */
size_t tls_record_before(const struct tls_record_dir *d);
size_t tls_record_after(const struct tls_record_dir *d);
/* The size that n bytes (n <= max_plaintext) have as one record. */
static inline size_t tls_record_size(size_t before, size_t n, size_t after)
{
    return before + n + after;
}

/* Seals n <= max_plaintext bytes at data into out, which has room for the whole record. In place
 * where data == out + tls_record_before(d); otherwise the two must not overlap. */
int tls_record_seal(struct tls_record_dir *d, enum tls_content type, const uint8_t *data, size_t n,
                    uint8_t *out, size_t *ret_len) ERR_CHECK;

/* The next key generation of a TLS 1.3 direction (RFC 8446 section 7.2); seq goes to 0.
 * ERR_STATE on TLS 1.2. */
int tls_record_rekey(struct tls_record_dir *d) ERR_CHECK;
