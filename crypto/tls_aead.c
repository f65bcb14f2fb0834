/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_aead_priv.h"

#include "tls_openssl.h"

#include <stdatomic.h>
#include <stdio.h>

struct slot {
    const struct tls_aead_ops *ops; /* whose state it is */
    void *state;
    uint64_t owner;
    bool used; /* since the hand came by */
};

static _Thread_local struct {
    struct slot slots[TLS_AEAD_SLOTS];
    uint32_t hand; /* of the clock that finds one to take away */
} mine;

static const struct tls_aead_ops *const backends[] = {
    [TLS_AEAD_BACKEND_OPENSSL] = &tls_aead_openssl,
    [TLS_AEAD_BACKEND_IPSEC_MB] = &tls_aead_ipsec_mb,
};

static enum tls_aead_backend used; /* written before the first thread */

const char *tls_aead_backend_name(enum tls_aead_backend backend)
{
    return backends[backend]->name;
}

int tls_aead_use(enum tls_aead_backend backend, char *said, size_t room)
{
    if (!backends[backend]->ready(said, room))
        return ERR_UNSUPPORTED;
    used = backend;
    return ERR_OK;
}

enum tls_aead_backend tls_aead_use_fastest(char *why, size_t room)
{
    char ipsec_mb[TLS_AEAD_WHY_TEXT / 2], openssl[TLS_AEAD_WHY_TEXT / 2];

    if (tls_aead_use(TLS_AEAD_BACKEND_IPSEC_MB, ipsec_mb, sizeof(ipsec_mb)) == ERR_OK) {
        snprintf(why, room, "%s: the processor has VAES and VPCLMULQDQ", ipsec_mb);
    } else {
        (void)backends[TLS_AEAD_BACKEND_OPENSSL]->ready(openssl, sizeof(openssl));
        used = TLS_AEAD_BACKEND_OPENSSL;
        snprintf(why, room, "%s: %s", openssl, ipsec_mb);
    }
    return used;
}

enum tls_aead_backend tls_aead_used(void)
{
    return used;
}

static const struct tls_aead_ops *ops_of(enum tls_aead aead)
{
    return aead == TLS_AEAD_CHACHA20_POLY1305 ? &tls_aead_openssl : backends[used];
}

/* One that was not used in the last round, found in at most two. */
static uint32_t slot_take(void)
{
    for (;;) {
        uint32_t slot = mine.hand;
        mine.hand = (slot + 1) % TLS_AEAD_SLOTS;
        if (!mine.slots[slot].used)
            return slot;
        mine.slots[slot].used = false;
    }
}

static struct slot *slot_of(const struct tls_aead_place *place)
{
    struct slot *s = &mine.slots[place->slot];

    return place->owner != 0 && s->owner == place->owner ? s : NULL;
}

static void slot_clear(struct slot *s)
{
    if (s->ops)
        s->ops->forget(s->state);
    *s = (struct slot){0};
}

static bool slot_key(struct slot *s, enum tls_aead aead, const uint8_t *key, bool sealing)
{
    const struct tls_aead_ops *ops = ops_of(aead);

    if (s->ops != ops)
        slot_clear(s);
    s->ops = ops;
    return ops->key(&s->state, aead, key, sealing);
}

/* The slot with the key ready in it; only until the next call. NULL: no memory. */
static struct slot *slot_get(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                             bool sealing)
{
    static atomic_uint_fast64_t owners;
    struct slot *s = slot_of(place);

    if (!s) {
        place->slot = slot_take();
        place->owner = 0;
        s = &mine.slots[place->slot];
        s->owner = 0;
        if (!slot_key(s, aead, key, sealing))
            return NULL;
        s->owner = place->owner = ++owners;
    }
    s->used = true;
    return s;
}

int tls_aead_prepare(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                     bool sealing)
{
    return slot_get(place, aead, key, sealing) ? ERR_OK : ERR_NOMEM;
}

int tls_aead_open(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                  struct tls_aead_record *record)
{
    struct slot *s = slot_get(place, aead, key, false);

    if (!s)
        return ERR_NOMEM;
    if (s->ops->open(s->state, aead, record))
        return ERR_OK;
    /* What was decrypted before the tag was compared is nobody's. */
    OPENSSL_cleanse(record->bytes, record->len);
    return ERR_TLS_RECORD;
}

int tls_aead_seal(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                  struct tls_aead_record *record)
{
    struct slot *s = slot_get(place, aead, key, true);

    if (!s)
        return ERR_NOMEM;
    return s->ops->seal(s->state, aead, record) ? ERR_OK : ERR_TLS;
}

void tls_aead_forget(struct tls_aead_place *place)
{
    struct slot *s = slot_of(place);

    if (s)
        slot_clear(s);
    *place = (struct tls_aead_place){0};
}
