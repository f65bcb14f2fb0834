/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_record.h"

#include "assertion.h"
#include "tls_key_schedule.h"
#include "tls_openssl.h"

#include <string.h>

enum {
    EXPLICIT_NONCE = 8, /* of TLS 1.2 GCM */
    SALT = 4,
    AAD_MAX = 13,
    TLS13_CIPHERTEXT_MAX = TLS_PLAINTEXT_MAX + 256, /* RFC 8446 section 5.2 */
};

static EVP_CIPHER_CTX *aead_of(struct tls_record_dir *d)
{
    ASSERT(!d->left);
    return tls_aead_get(&d->aead, d->cipher, d->key, d->sealing);
}

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
        .sealing = dir == TLS_DIR_TX,
    };
    memcpy(ret->iv, from->iv, TLS_IV_LEN);
    memcpy(ret->key, from->key, keys->key_len);
    memcpy(ret->secret, from->secret, keys->secret_len);
    if (!aead_of(ret)) {
        tls_record_free(ret);
        return ERR_NOMEM;
    }
    return ERR_OK;
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

/* The additional data of the record with this header and n bytes of plaintext; its length. */
static size_t aad_make(const struct tls_record_dir *d, const uint8_t *header, size_t n,
                       uint8_t aad[AAD_MAX])
{
    if (d->version == TLS_VERSION_1_3) {
        memcpy(aad, header, TLS_RECORD_HEADER);
        return TLS_RECORD_HEADER;
    }
    put_u64(aad, d->seq);
    memcpy(aad + 8, header, 3);
    aad[11] = (uint8_t)(n >> 8);
    aad[12] = (uint8_t)n;
    return AAD_MAX;
}

static OSSL_PARAM tag_param(uint8_t *tag)
{
    return OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TLS_TAG_LEN);
}

/*
 * Begins a record, with its tag where one is opened. GCM takes the whole nonce as a "fixed" one of
 * no length, as EVP_CTRL_GCM_SET_IV_FIXED with -1 gives it: to set it by EVP_CipherInit_ex makes
 * OpenSSL 3.0 look its length up by name each time, which is a fifth of a short record's cost.
 */
static bool aead_begin(const struct tls_record_dir *d, EVP_CIPHER_CTX *aead,
                       uint8_t nonce[TLS_IV_LEN], uint8_t *tag)
{
    OSSL_PARAM params[3], *p = params;

    if (d->cipher != TLS_AEAD_CHACHA20_POLY1305)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, nonce,
                                                 SIZE_MAX);
    else if (EVP_CipherInit_ex(aead, NULL, NULL, NULL, nonce, -1) != 1)
        return false;
    if (tag)
        *p++ = tag_param(tag);
    *p = OSSL_PARAM_construct_end();
    return EVP_CIPHER_CTX_set_params(aead, params) == 1;
}

static bool aead_open(const struct tls_record_dir *d, EVP_CIPHER_CTX *aead,
                      uint8_t nonce[TLS_IV_LEN], const uint8_t *aad, size_t aad_len, uint8_t *data,
                      size_t n)
{
    uint8_t none[1];
    int len;

    return aead_begin(d, aead, nonce, data + n) &&
           EVP_DecryptUpdate(aead, NULL, &len, aad, (int)aad_len) == 1 &&
           (n == 0 || EVP_DecryptUpdate(aead, data, &len, data, (int)n) == 1) &&
           EVP_DecryptFinal_ex(aead, none, &len) == 1;
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
    uint8_t nonce[TLS_IV_LEN], aad[AAD_MAX];

    int err = tls_record_length(d, record, len, &whole);
    if (err)
        return err == ERR_AGAIN ? ERR_TLS_RECORD : err;
    if (whole != len || d->seq == UINT64_MAX)
        return ERR_TLS_RECORD;
    EVP_CIPHER_CTX *aead = aead_of(d);
    if (!aead)
        return ERR_NOMEM;
    uint8_t *data = record + before;
    size_t n = len - before - TLS_TAG_LEN;

    if (has_explicit_nonce(d)) {
        memcpy(nonce, d->iv, SALT);
        memcpy(nonce + SALT, record + TLS_RECORD_HEADER, EXPLICIT_NONCE);
    } else {
        nonce_by_seq(d, nonce);
    }
    size_t aad_len = aad_make(d, record, n, aad);
    if (!aead_open(d, aead, nonce, aad, aad_len, data, n))
        return ERR_TLS_RECORD;
    d->seq++;
    if (d->version == TLS_VERSION_1_3) {
        err = inner_plaintext(data, n, ret);
        if (err)
            return err;
    } else {
        ret->type = record[0];
        ret->data = data;
        ret->len = n;
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

/* Where the data is elsewhere, the inner type goes in as an update of its own, without a copy. */
static bool aead_seal(const struct tls_record_dir *d, EVP_CIPHER_CTX *aead,
                      uint8_t nonce[TLS_IV_LEN], const uint8_t *aad, size_t aad_len,
                      const uint8_t *data, size_t n, const uint8_t *inner_type, uint8_t *out)
{
    size_t sealed = n + (inner_type ? 1 : 0);
    OSSL_PARAM tag[] = {tag_param(out + sealed), OSSL_PARAM_construct_end()};
    int len;

    if (!aead_begin(d, aead, nonce, NULL) ||
        EVP_EncryptUpdate(aead, NULL, &len, aad, (int)aad_len) != 1)
        return false;
    if (data == out && inner_type) {
        out[n] = *inner_type;
        n++;
        inner_type = NULL;
    }
    if (n > 0 && EVP_EncryptUpdate(aead, out, &len, data, (int)n) != 1)
        return false;
    if (inner_type && EVP_EncryptUpdate(aead, out + n, &len, inner_type, 1) != 1)
        return false;
    return EVP_EncryptFinal_ex(aead, out + sealed, &len) == 1 &&
           EVP_CIPHER_CTX_get_params(aead, tag) == 1;
}

int tls_record_seal(struct tls_record_dir *d, enum tls_content type, const uint8_t *data, size_t n,
                    uint8_t *out, size_t *ret_len)
{
    const uint8_t inner_type = (uint8_t)type;
    bool is_13 = d->version == TLS_VERSION_1_3;
    size_t before = tls_record_before(d);
    size_t len = tls_record_size(before, n, tls_record_after(d));
    uint8_t nonce[TLS_IV_LEN], aad[AAD_MAX];

    ASSERT(n <= d->max_plaintext);
    if (d->seq == UINT64_MAX)
        return ERR_LIMIT;
    EVP_CIPHER_CTX *aead = aead_of(d);
    if (!aead)
        return ERR_NOMEM;
    out[0] = is_13 ? TLS_CONTENT_DATA : inner_type;
    out[1] = 3;
    out[2] = 3;
    out[3] = (uint8_t)((len - TLS_RECORD_HEADER) >> 8);
    out[4] = (uint8_t)(len - TLS_RECORD_HEADER);
    if (has_explicit_nonce(d)) {
        memcpy(nonce, d->iv, TLS_IV_LEN);
        memcpy(out + TLS_RECORD_HEADER, nonce + SALT, EXPLICIT_NONCE);
        put_u64(d->iv + SALT, get_u64(d->iv + SALT) + 1);
    } else {
        nonce_by_seq(d, nonce);
    }
    size_t aad_len = aad_make(d, out, n, aad);
    if (!aead_seal(d, aead, nonce, aad, aad_len, data, n, is_13 ? &inner_type : NULL, out + before))
        return ERR_TLS;
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
