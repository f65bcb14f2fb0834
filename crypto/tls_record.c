/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_record.h"

#include "assertion.h"
#include "tls_key_schedule.h"
#include "tls_openssl.h"

#include <string.h>

enum {
    EXPLICIT_NONCE = 8, /* of TLS 1.2 GCM */
    SALT = 4,
    AAD_12 = 13,                                    /* length of TLS 1.2's additional data */
    TLS13_CIPHERTEXT_MAX = TLS_PLAINTEXT_MAX + 256, /* RFC 8446 section 5.2 */
};

int tls_record_init(struct tls_record_dir *ret, const struct tls_keys *keys, enum tls_dir dir)
{
    const struct tls_direction *from = dir == TLS_DIR_TX ? &keys->tx : &keys->rx;

    ASSERT(keys->max_plaintext >= 1 && keys->max_plaintext <= TLS_PLAINTEXT_MAX);
    ASSERT(keys->key_len == tls_aead_key_len(keys->aead));
    ASSERT((keys->version == TLS_VERSION_1_3) == (keys->secret_len != 0));
    *ret = (struct tls_record_dir){
        .seq = from->seq,
        .version = keys->version,
        .cipher = keys->aead,
        .max_plaintext = keys->max_plaintext,
        .key_len = keys->key_len,
        .secret_len = keys->secret_len,
    };
    memcpy(ret->iv, from->iv, TLS_IV_LEN);
    memcpy(ret->key, from->key, keys->key_len);
    memcpy(ret->secret, from->secret, keys->secret_len);
    int err = tls_aead_prepare(&ret->aead, ret->cipher, ret->key, dir == TLS_DIR_TX);
    if (err)
        tls_record_free(ret);
    return err;
}

void tls_record_free(struct tls_record_dir *d)
{
    tls_aead_forget(&d->aead);
    OPENSSL_cleanse(d, sizeof(*d));
}

void tls_record_leave(struct tls_record_dir *d)
{
    tls_aead_forget(&d->aead);
    d->left = true;
    OPENSSL_cleanse(d->key, sizeof(d->key));
}

static bool has_explicit_nonce(const struct tls_record_dir *d)
{
    return d->version == TLS_VERSION_1_2 && d->cipher != TLS_AEAD_CHACHA20_POLY1305;
}

size_t tls_record_before(const struct tls_record_dir *d)
{
    return TLS_RECORD_HEADER + (has_explicit_nonce(d) ? EXPLICIT_NONCE : 0);
}

size_t tls_record_after(const struct tls_record_dir *d)
{
    return TLS_TAG_LEN + (d->version == TLS_VERSION_1_3 ? 1 : 0);
}

int tls_record_length(const struct tls_record_dir *d, const uint8_t *data, size_t len,
                      size_t *ret_len)
{
    if (len < TLS_RECORD_HEADER)
        return ERR_AGAIN;
    size_t payload = (size_t)data[3] << 8 | data[4];
    size_t overhead = tls_record_before(d) - TLS_RECORD_HEADER + tls_record_after(d);
    size_t max =
        d->version == TLS_VERSION_1_3 ? TLS13_CIPHERTEXT_MAX : TLS_PLAINTEXT_MAX + overhead;

    /* After the handshake TLS 1.3 has no plaintext alert and no CCS either; in TLS 1.2 a CCS would
     * belong to a renegotiation. */
    if (data[0] != TLS_CONTENT_DATA &&
        (d->version == TLS_VERSION_1_3 ||
         (data[0] != TLS_CONTENT_ALERT && data[0] != TLS_CONTENT_HANDSHAKE)))
        return ERR_SYNTAX;
    if (data[1] != 3 || data[2] != 3)
        return ERR_SYNTAX;
    if (payload > max)
        return ERR_RANGE;
    if (payload < overhead)
        return ERR_TLS_RECORD;
    *ret_len = TLS_RECORD_HEADER + payload;
    return ERR_OK;
}

static void put_u64(uint8_t *to, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(to, &value, sizeof(value));
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof(value));
    return __builtin_bswap64(value);
}

/* RFC 8446 section 5.3: the sequence number, padded on the left to the iv's length, XOR iv. */
static void nonce_by_seq(const struct tls_record_dir *d, uint8_t nonce[TLS_IV_LEN])
{
    memcpy(nonce, d->iv, SALT);
    put_u64(nonce + SALT, get_u64(d->iv + SALT) ^ d->seq);
}

/* The additional data of the record with this header and n bytes of plaintext: on TLS 1.3 the
 * header itself, else made in room. */
static void aad_make(const struct tls_record_dir *d, const uint8_t *header, size_t n,
                     uint8_t room[AAD_12], struct tls_aead_record *r)
{
    r->aad = header;
    r->aad_len = TLS_RECORD_HEADER;
    if (d->version == TLS_VERSION_1_3)
        return;
    put_u64(room, d->seq);
    memcpy(room + 8, header, 3);
    room[11] = (uint8_t)(n >> 8);
    room[12] = (uint8_t)n;
    r->aad = room;
    r->aad_len = AAD_12;
}

/* Takes padding and inner type off the plaintext. A peer may send 16 KiB of padding a record, so
 * that it goes by words. */
static int inner_plaintext(uint8_t *data, size_t n, struct tls_record *ret)
{
    if (n > TLS_PLAINTEXT_MAX + 1)
        return ERR_RANGE;
    while (n >= 8 && get_u64(data + n - 8) == 0)
        n -= 8;
    while (n > 0 && data[n - 1] == 0)
        n--;
    if (n == 0)
        return ERR_SYNTAX;
    ret->type = data[n - 1];
    ret->data = data;
    ret->len = n - 1;
    if (ret->type != TLS_CONTENT_DATA && ret->type != TLS_CONTENT_HANDSHAKE &&
        ret->type != TLS_CONTENT_ALERT)
        return ERR_SYNTAX;
    return ERR_OK;
}

int tls_record_open(struct tls_record_dir *d, uint8_t *record, size_t len, struct tls_record *ret)
{
    size_t before = tls_record_before(d), whole;
    struct tls_aead_record r;
    uint8_t aad[AAD_12];

    ASSERT(!d->left);
    int err = tls_record_length(d, record, len, &whole);
    if (err)
        return err == ERR_AGAIN ? ERR_TLS_RECORD : err;
    if (whole != len || d->seq == UINT64_MAX)
        return ERR_TLS_RECORD;
    r.bytes = record + before;
    r.len = len - before - TLS_TAG_LEN;
    if (has_explicit_nonce(d)) {
        memcpy(r.nonce, d->iv, SALT);
        memcpy(r.nonce + SALT, record + TLS_RECORD_HEADER, EXPLICIT_NONCE);
    } else {
        nonce_by_seq(d, r.nonce);
    }
    aad_make(d, record, r.len, aad, &r);
    err = tls_aead_open(&d->aead, d->cipher, d->key, &r);
    if (err)
        return err;
    d->seq++;
    if (d->version == TLS_VERSION_1_3) {
        err = inner_plaintext(r.bytes, r.len, ret);
        if (err)
            return err;
    } else {
        ret->type = record[0];
        ret->data = r.bytes;
        ret->len = r.len;
    }
    /* RFC 8446 section 5.1: only application data may be empty; TLS 1.2 has no use for it either.
     */
    return ret->len == 0 && ret->type != TLS_CONTENT_DATA ? ERR_SYNTAX : ERR_OK;
}

enum tls_alert tls_record_alert_for(int err)
{
    switch (err) {
    case ERR_TLS_RECORD:
        return TLS_ALERT_BAD_RECORD_MAC;
    case ERR_RANGE:
        return TLS_ALERT_RECORD_OVERFLOW;
    case ERR_SYNTAX:
        return TLS_ALERT_UNEXPECTED_MESSAGE;
    default:
        return TLS_ALERT_INTERNAL_ERROR;
    }
}

int tls_record_seal(struct tls_record_dir *d, enum tls_content type, const uint8_t *data, size_t n,
                    uint8_t *out, size_t *ret_len)
{
    const uint8_t inner_type = (uint8_t)type;
    bool is_13 = d->version == TLS_VERSION_1_3;
    size_t before = tls_record_before(d);
    size_t len = tls_record_size(before, n, tls_record_after(d));
    struct tls_aead_record r = {
        .bytes = out + before, .from = data, .len = n, .inner_type = is_13 ? &inner_type : NULL};
    uint8_t aad[AAD_12];

    ASSERT(!d->left);
    ASSERT(n <= d->max_plaintext);
    if (d->seq == UINT64_MAX)
        return ERR_LIMIT;
    out[0] = is_13 ? TLS_CONTENT_DATA : inner_type;
    out[1] = 3;
    out[2] = 3;
    out[3] = (uint8_t)((len - TLS_RECORD_HEADER) >> 8);
    out[4] = (uint8_t)(len - TLS_RECORD_HEADER);
    if (has_explicit_nonce(d)) {
        memcpy(r.nonce, d->iv, TLS_IV_LEN);
        memcpy(out + TLS_RECORD_HEADER, r.nonce + SALT, EXPLICIT_NONCE);
        put_u64(d->iv + SALT, get_u64(d->iv + SALT) + 1);
    } else {
        nonce_by_seq(d, r.nonce);
    }
    aad_make(d, out, n, aad, &r);
    int err = tls_aead_seal(&d->aead, d->cipher, d->key, &r);
    if (err)
        return err;
    d->seq++;
    *ret_len = len;
    return ERR_OK;
}

int tls_record_rekey(struct tls_record_dir *d)
{
    struct tls_direction next = {.seq = 0};

    if (d->version != TLS_VERSION_1_3)
        return ERR_STATE;
    int err =
        tls13_expand_label(d->secret, d->secret_len, "traffic upd", next.secret, d->secret_len);
    if (!err)
        err = tls13_direction_derive(&next, d->secret_len, d->key_len);
    if (!err) {
        tls_aead_forget(&d->aead); /* the next record keys it anew */
        memcpy(d->secret, next.secret, d->secret_len);
        memcpy(d->key, next.key, d->key_len);
        memcpy(d->iv, next.iv, TLS_IV_LEN);
        d->seq = 0;
    }
    OPENSSL_cleanse(&next, sizeof(next));
    return err;
}
