/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_aead.h"

#include "tls_openssl.h"

#include <stdatomic.h>

struct context {
    EVP_CIPHER_CTX *evp;
    uint64_t owner;
    bool used; /* since the hand came by */
};

static _Thread_local struct {
    struct context contexts[TLS_AEAD_CONTEXTS];
    uint32_t hand; /* of the clock that finds one to take away */
} mine;

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

/* One that was not used in the last round, found in at most two. */
static uint32_t slot_take(void)
{
    for (;;) {
        uint32_t slot = mine.hand;
        mine.hand = (slot + 1) % TLS_AEAD_CONTEXTS;
        if (!mine.contexts[slot].used)
            return slot;
        mine.contexts[slot].used = false;
    }
}

static struct context *context_of(const struct tls_aead_place *place)
{
    struct context *c = &mine.contexts[place->slot];

    return place->owner != 0 && c->owner == place->owner ? c : NULL;
}

static bool context_key(struct context *c, enum tls_aead aead, const uint8_t *key, bool sealing)
{
    if (!c->evp)
        c->evp = EVP_CIPHER_CTX_new();
    return c->evp && EVP_CipherInit_ex(c->evp, cipher_of(aead), NULL, key, NULL, sealing) == 1;
}

struct evp_cipher_ctx_st *tls_aead_get(struct tls_aead_place *place, enum tls_aead aead,
                                       const uint8_t *key, bool sealing)
{
    static atomic_uint_fast64_t owners;
    struct context *c = context_of(place);

    if (!c) {
        place->slot = slot_take();
        place->owner = 0;
        c = &mine.contexts[place->slot];
        c->owner = 0;
        if (!context_key(c, aead, key, sealing))
            return NULL;
        c->owner = place->owner = ++owners;
    }
    c->used = true;
    return c->evp;
}

void tls_aead_forget(struct tls_aead_place *place)
{
    struct context *c = context_of(place);

    if (c) {
        EVP_CIPHER_CTX_free(c->evp); /* wipes the key schedule */
        *c = (struct context){0};
    }
    *place = (struct tls_aead_place){0};
}
