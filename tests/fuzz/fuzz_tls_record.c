/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a record: it is refused, or its plaintext lies inside it. The first byte
 * chooses the cipher, and whether the rest is what a peer sends or what an authentic record holds
 * inside. Where both can be had, OpenSSL and libipsec-mb make the same of it, byte by byte. */
#include "fuzz.h"

#include "assertion.h"
#include "tls_key_schedule.h"
#include "tls_record.h"

#include <stdlib.h>
#include <string.h>

enum { BACKENDS = 2 };

/* What became of an input. */
struct outcome {
    uint8_t *bytes; /* of its very size, so that a byte too much is seen */
    size_t len;
    size_t records;
    int err;
};

static void records_read(struct tls_record_dir *rx, struct outcome *o)
{
    uint8_t *data = o->bytes;
    size_t len = o->len, record;
    struct tls_record got;

    while (tls_record_length(rx, data, len, &record) == ERR_OK && record <= len) {
        o->err = tls_record_open(rx, data, record, &got);
        if (o->err) {
            ASSERT(tls_record_alert_for(o->err) != TLS_ALERT_INTERNAL_ERROR);
            return;
        }
        ASSERT(got.data >= data && got.data + got.len <= data + record - TLS_TAG_LEN);
        ASSERT(got.len <= TLS_PLAINTEXT_MAX);
        o->records++;
        data += record;
        len -= record;
    }
}

/* Sealed first, with the last byte as its type, the rest may end in anything, also in padding. */
static void bytes_take(struct outcome *o, struct tls_record_dir *tx, const uint8_t *data,
                       size_t size)
{
    static uint8_t sealed[TLS_RECORD_MAX];
    const uint8_t *from = data + 1;

    o->len = size - 1;
    if (data[0] & 0x80) {
        if (tls_record_seal(tx, data[size - 1], data + 1, size - 2, sealed, &o->len))
            o->len = 0;
        from = sealed;
    }
    o->bytes = malloc(o->len + 1);
    ASSERT(o->bytes);
    memcpy(o->bytes, from, o->len);
}

static void outcome_find(const struct tls_keys *keys, const uint8_t *data, size_t size,
                         struct outcome *o)
{
    struct tls_record_dir tx, rx;

    if (tls_record_init(&tx, keys, TLS_DIR_TX))
        return;
    if (tls_record_init(&rx, keys, TLS_DIR_RX) == ERR_OK) {
        bytes_take(o, &tx, data, size);
        records_read(&rx, o);
        tls_record_free(&rx);
    }
    tls_record_free(&tx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum tls_aead_backend backends[BACKENDS] = {TLS_AEAD_BACKEND_OPENSSL,
                                                             TLS_AEAD_BACKEND_IPSEC_MB};
    struct outcome outcomes[BACKENDS] = {0};
    char why[TLS_AEAD_WHY_TEXT];

    if (size < 2 || size > TLS_PLAINTEXT_MAX)
        return 0;
    struct tls_keys keys = {
        .version = data[0] & 1 ? TLS_VERSION_1_3 : TLS_VERSION_1_2,
        .aead = (data[0] >> 1) % 3,
        .max_plaintext = TLS_PLAINTEXT_MAX,
    };
    keys.key_len = tls_aead_key_len(keys.aead);
    keys.secret_len = data[0] & 1 ? 32 : 0;
    for (int i = 0; i < BACKENDS; i++)
        if (tls_aead_use(backends[i], why, sizeof(why)) == ERR_OK)
            outcome_find(&keys, data, size, &outcomes[i]);
    const struct outcome *a = &outcomes[0], *b = &outcomes[1];
    if (a->bytes && b->bytes)
        ASSERT(a->err == b->err && a->records == b->records && a->len == b->len &&
               memcmp(a->bytes, b->bytes, a->len) == 0);
    free(a->bytes);
    free(b->bytes);
    return 0;
}
