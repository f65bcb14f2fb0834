/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_ticket.h"

#include "assertion.h"
#include "tls_handshake.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { TICKET_NAME = 16, RECENT = 2, WEEK_S = 7 * 24 * 3600 /* RFC 8446 section 4.6.1 */ };

struct derived {
    uint8_t name[32]; /* the first TICKET_NAME bytes go into the ticket */
    uint8_t aes[32];
    uint8_t hmac[32];
};

/* Handshakes of one context run in the loop and in the thread beside it. */
struct tls_ticket_recent {
    pthread_mutex_t lock;
    struct period {
        bool there;
        uint64_t number;
        struct derived keys;
    } periods[RECENT];
};

/* HKDF-Expand (RFC 5869) of the seed, a uniformly random key as it stands. */
static bool keys_derive(const struct tls_ticket *ticket, uint64_t number, struct derived *ret)
{
    uint8_t info[32 + 6 + 8 + 32 + 1], *to = (uint8_t *)ret;
    size_t from = 32; /* the first block has no block before it */

    memcpy(info + 32, "ticket", 6);
    for (int i = 0; i < 8; i++)
        info[38 + i] = (uint8_t)(number >> (56 - 8 * i));
    memcpy(info + 46, ticket->context, 32);
    for (uint8_t block = 1; block <= sizeof(*ret) / 32; block++, to += 32) {
        info[78] = block;
        if (!HMAC(EVP_sha256(), ticket->seed->seed, sizeof(ticket->seed->seed), info + from,
                  sizeof(info) - from, to, NULL))
            return false;
        memcpy(info, to, 32);
        from = 0;
    }
    OPENSSL_cleanse(info, 32);
    return true;
}

static bool keys_of(const struct tls_ticket *ticket, uint64_t number, struct derived *ret)
{
    struct period *p = &ticket->recent->periods[number % RECENT];

    pthread_mutex_lock(&ticket->recent->lock);
    if (!p->there || p->number != number) {
        p->there = keys_derive(ticket, number, &p->keys);
        p->number = number;
    }
    bool there = p->there;
    *ret = p->keys;
    pthread_mutex_unlock(&ticket->recent->lock);
    return there;
}

static bool keys_use(const struct derived *keys, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)keys->hmac,
                                          sizeof(keys->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->aes, iv, sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: go on; 2: go on, and seal a new ticket; 0: not one of ours, or too old; -1: broken. */
static int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                           EVP_MAC_CTX *mac, int sealing)
{
    const struct tls_handshake *h = SSL_get_app_data(ssl);
    const struct tls_ticket *ticket = tls_server_ticket(h->server);
    uint64_t number = (uint64_t)time(NULL) / ticket->rotate_s;
    struct derived keys = {0};
    int result = 0;

    if (sealing) {
        if (!keys_of(ticket, number, &keys) ||
            RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
            !keys_use(&keys, iv, cipher, mac, 1))
            result = -1;
        else
            result = 1;
        memcpy(name, keys.name, TICKET_NAME);
    } else {
        for (uint64_t age = 0; age < RECENT && age <= number && result == 0; age++) {
            if (!keys_of(ticket, number - age, &keys))
                result = -1;
            else if (CRYPTO_memcmp(name, keys.name, TICKET_NAME) == 0)
                result = keys_use(&keys, iv, cipher, mac, 0) ? (int)age + 1 : -1;
        }
    }
    OPENSSL_cleanse(&keys, sizeof(keys));
    return result;
}

int tls_ticket_init(struct tls_ticket *ret, const struct tls_ticket_seed *seed, uint32_t rotate_s)
{
    ASSERT(!seed || rotate_s > 0);
    *ret = (struct tls_ticket){.seed = seed, .rotate_s = rotate_s};
    ret->recent = calloc(1, sizeof(*ret->recent));
    if (!ret->recent)
        return ERR_NOMEM;
    pthread_mutex_init(&ret->recent->lock, NULL);
    return ERR_OK;
}

void tls_ticket_free(struct tls_ticket *ticket)
{
    if (!ticket->recent)
        return;
    pthread_mutex_destroy(&ticket->recent->lock);
    OPENSSL_cleanse(ticket->recent, sizeof(*ticket->recent));
    free(ticket->recent);
    ticket->recent = NULL;
}

int tls_ticket_enable(const struct tls_ticket *ticket, SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, ticket->rotate_s < WEEK_S ? ticket->rotate_s : WEEK_S);
    /* One is enough: mail servers keep one session for each destination. */
    if (SSL_CTX_set_num_tickets(ctx, 1) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_callback) != 1)
        return ERR_TLS;
    return ERR_OK;
}

void tls_ticket_disable(SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
}
