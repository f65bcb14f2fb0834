/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_key_schedule.h"

#include "assertion.h"
#include "tls_openssl.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static const struct tls_suite suites[] = {
    {0x1301, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM, 32},
    {0x1302, TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM, 48},
    {0x1303, TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305, 32},
    {0x009c, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM, 32}, /* RSA */
    {0x009d, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM, 48},
    {0x009e, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM, 32}, /* DHE_RSA */
    {0x009f, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM, 48},
    {0xc02b, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM, 32}, /* ECDHE_ECDSA */
    {0xc02c, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM, 48},
    {0xc02f, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM, 32}, /* ECDHE_RSA */
    {0xc030, TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM, 48},
    {0xcca8, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305, 32}, /* ECDHE_RSA */
    {0xcca9, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305, 32}, /* ECDHE_ECDSA */
    {0xccaa, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305, 32}, /* DHE_RSA */
};

uint8_t tls_aead_key_len(enum tls_aead aead)
{
    return aead == TLS_AEAD_AES_128_GCM ? 16 : 32;
}

const struct tls_suite *tls_suite_find(uint16_t id)
{
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
        if (suites[i].id == id)
            return &suites[i];
    return NULL;
}

/* HMAC with its digest, but without a key: a copy of it takes half the time of HMAC(), which looks
 * algorithms up by name each time. Made once in a process and only read from then on. */
static EVP_MAC_CTX *hmac_256, *hmac_384;

static EVP_MAC_CTX *hmac_new(const char *digest)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac);
    if (ctx && EVP_MAC_CTX_set_params(ctx, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static void hmacs_make(void)
{
    hmac_256 = hmac_new("SHA256");
    hmac_384 = hmac_new("SHA384");
}

/* out: as long as key, which is as long as the hash. */
static bool hmac(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len, uint8_t *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    size_t out_len;

    pthread_once(&once, hmacs_make);
    const EVP_MAC_CTX *made = key_len == 48 ? hmac_384 : hmac_256;
    EVP_MAC_CTX *ctx = made ? EVP_MAC_CTX_dup(made) : NULL;
    bool ok = ctx && EVP_MAC_init(ctx, key, key_len, NULL) == 1 &&
              EVP_MAC_update(ctx, data, len) == 1 &&
              EVP_MAC_final(ctx, out, &out_len, key_len) == 1;

    EVP_MAC_CTX_free(ctx);
    return ok;
}

int tls13_expand_label(const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out,
                       size_t len)
{
    static const char prefix[] = "tls13 ";
    const size_t prefix_len = sizeof(prefix) - 1;
    size_t label_len = strlen(label);
    uint8_t info[64], block[TLS_SECRET_MAX];
    size_t n = 0;

    ASSERT(len <= secret_len && label_len <= 32);
    info[n++] = 0;
    info[n++] = (uint8_t)len;
    info[n++] = (uint8_t)(prefix_len + label_len);
    memcpy(info + n, prefix, prefix_len);
    n += prefix_len;
    memcpy(info + n, label, label_len);
    n += label_len;
    info[n++] = 0; /* no context */
    info[n++] = 1; /* the first block of HKDF-Expand, all that is ever needed here */
    if (!hmac(secret, secret_len, info, n, block))
        return ERR_TLS;
    memcpy(out, block, len);
    OPENSSL_cleanse(block, sizeof(block));
    return ERR_OK;
}

int tls13_direction_derive(struct tls_direction *d, size_t secret_len, size_t key_len)
{
    int err = tls13_expand_label(d->secret, secret_len, "key", d->key, key_len);

    if (err)
        return err;
    return tls13_expand_label(d->secret, secret_len, "iv", d->iv, TLS_IV_LEN);
}

static int tls1_prf(const struct tls_suite *suite, const uint8_t *master, size_t master_len,
                    const uint8_t *seed, size_t seed_len, uint8_t *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    char *digest = suite->hash_len == 48 ? "SHA384" : "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master, master_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (void *)seed, seed_len),
        OSSL_PARAM_construct_end(),
    };
    int err = ctx && EVP_KDF_derive(ctx, out, len, params) == 1 ? ERR_OK : ERR_TLS;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return err;
}

int tls12_keys_derive(struct tls_keys *keys, const struct tls_suite *suite, const uint8_t *master,
                      size_t master_len, const struct tls12_randoms *randoms, int is_server)
{
    static const char label[] = "key expansion";
    enum { LABEL_LEN = sizeof(label) - 1 };
    uint8_t seed[LABEL_LEN + 64], block[2 * (TLS_KEY_MAX + TLS_IV_LEN)];
    struct tls_direction *client = is_server ? &keys->rx : &keys->tx;
    struct tls_direction *server = is_server ? &keys->tx : &keys->rx;
    size_t key_len = tls_aead_key_len(suite->aead);
    size_t iv_len = suite->aead == TLS_AEAD_CHACHA20_POLY1305 ? TLS_IV_LEN : 4;

    memcpy(seed, label, LABEL_LEN);
    memcpy(seed + LABEL_LEN, randoms->server, 32);
    memcpy(seed + LABEL_LEN + 32, randoms->client, 32);
    int err =
        tls1_prf(suite, master, master_len, seed, sizeof(seed), block, 2 * (key_len + iv_len));
    if (err)
        return err;
    keys->suite = suite->id;
    keys->aead = suite->aead;
    keys->key_len = (uint8_t)key_len;
    memcpy(client->key, block, key_len);
    memcpy(server->key, block + key_len, key_len);
    memcpy(client->iv, block + 2 * key_len, iv_len);
    memcpy(server->iv, block + 2 * key_len + iv_len, iv_len);
    OPENSSL_cleanse(block, sizeof(block));
    return ERR_OK;
}
