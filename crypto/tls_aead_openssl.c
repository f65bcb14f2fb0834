/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_aead_priv.h"

#include "tls_openssl.h"

#include <stdio.h>

static bool openssl_ready(char *said, size_t room)
{
    snprintf(said, room, "OpenSSL %s", OpenSSL_version(OPENSSL_VERSION_STRING));
    return true;
}

static const EVP_CIPHER *cipher_of(enum tls_aead aead)
{
    switch (aead) {
    case TLS_AEAD_AES_128_GCM:
        return EVP_aes_128_gcm();
    case TLS_AEAD_AES_256_GCM:
        return EVP_aes_256_gcm();
    case TLS_AEAD_CHACHA20_POLY1305:
        return EVP_chacha20_poly1305();
    }
    return NULL;
}

static bool openssl_key(void **state, enum tls_aead aead, const uint8_t *key, bool sealing)
{
    if (!*state)
        *state = EVP_CIPHER_CTX_new();
    return *state && EVP_CipherInit_ex(*state, cipher_of(aead), NULL, key, NULL, sealing) == 1;
}

static void openssl_forget(void *state)
{
    EVP_CIPHER_CTX_free(state); /* wipes the key schedule */
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
static bool begin(EVP_CIPHER_CTX *evp, enum tls_aead aead, struct tls_aead_record *r, uint8_t *tag)
{
    OSSL_PARAM params[3], *p = params;

    if (aead != TLS_AEAD_CHACHA20_POLY1305)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, r->nonce,
                                                 SIZE_MAX);
    else if (EVP_CipherInit_ex(evp, NULL, NULL, NULL, r->nonce, -1) != 1)
        return false;
    if (tag)
        *p++ = tag_param(tag);
    *p = OSSL_PARAM_construct_end();
    return EVP_CIPHER_CTX_set_params(evp, params) == 1;
}

static bool openssl_open(void *state, enum tls_aead aead, struct tls_aead_record *r)
{
    uint8_t none[1];
    int len;

    return begin(state, aead, r, r->bytes + r->len) &&
           EVP_DecryptUpdate(state, NULL, &len, r->aad, (int)r->aad_len) == 1 &&
           (r->len == 0 || EVP_DecryptUpdate(state, r->bytes, &len, r->bytes, (int)r->len) == 1) &&
           EVP_DecryptFinal_ex(state, none, &len) == 1;
}

/* Where the data is elsewhere, the inner type goes in as an update of its own, without a copy. */
static bool openssl_seal(void *state, enum tls_aead aead, struct tls_aead_record *r)
{
    const uint8_t *inner_type = r->inner_type;
    size_t n = r->len, sealed = n + (inner_type ? 1 : 0);
    OSSL_PARAM tag[] = {tag_param(r->bytes + sealed), OSSL_PARAM_construct_end()};
    int len;

    if (!begin(state, aead, r, NULL) ||
        EVP_EncryptUpdate(state, NULL, &len, r->aad, (int)r->aad_len) != 1)
        return false;
    if (r->from == r->bytes && inner_type) {
        r->bytes[n++] = *inner_type;
        inner_type = NULL;
    }
    if (n > 0 && EVP_EncryptUpdate(state, r->bytes, &len, r->from, (int)n) != 1)
        return false;
    if (inner_type && EVP_EncryptUpdate(state, r->bytes + n, &len, inner_type, 1) != 1)
        return false;
    return EVP_EncryptFinal_ex(state, r->bytes + sealed, &len) == 1 &&
           EVP_CIPHER_CTX_get_params(state, tag) == 1;
}

const struct tls_aead_ops tls_aead_openssl = {
    .name = "openssl",
    .ready = openssl_ready,
    .key = openssl_key,
    .forget = openssl_forget,
    .open = openssl_open,
    .seal = openssl_seal,
};
