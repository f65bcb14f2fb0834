/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a record: it is refused, or its plaintext lies inside it. The first byte
 * chooses the cipher, and whether the rest is what a peer sends or what an authentic record holds
 * inside. */
#include "fuzz.h"

#include "assertion.h"
#include "tls_key_schedule.h"
#include "tls_record.h"

#include <stdlib.h>
#include <string.h>

static void records_read(struct tls_record_dir *rx, uint8_t *data, size_t len)
{
    struct tls_record got;
    size_t record;

    while (tls_record_length(rx, data, len, &record) == ERR_OK && record <= len) {
        int err = tls_record_open(rx, data, record, &got);

        if (err) {
            ASSERT(tls_record_alert_for(err) != TLS_ALERT_INTERNAL_ERROR);
            return;
        }
        ASSERT(got.data >= data && got.data + got.len <= data + record - TLS_TAG_LEN);
        ASSERT(got.len <= TLS_PLAINTEXT_MAX);
        data += record;
        len -= record;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t sealed[TLS_RECORD_MAX];
    struct tls_record_dir tx, rx;
    size_t len = size - 1;

    if (size < 2 || size > TLS_PLAINTEXT_MAX)
        return 0;
    struct tls_keys keys = {
        .version = data[0] & 1 ? TLS_VERSION_1_3 : TLS_VERSION_1_2,
        .aead = (data[0] >> 1) % 3,
        .max_plaintext = TLS_PLAINTEXT_MAX,
    };
    keys.key_len = tls_aead_key_len(keys.aead);
    keys.secret_len = data[0] & 1 ? 32 : 0;
    if (tls_record_init(&tx, &keys, TLS_DIR_TX))
        return 0;
    if (tls_record_init(&rx, &keys, TLS_DIR_RX) == ERR_OK) {
        /* With the last byte as its type, the rest may end in anything, also in padding. */
        if (data[0] & 0x80 &&
            tls_record_seal(&tx, data[size - 1], data + 1, size - 2, sealed, &len))
            len = 0;
        if (!(data[0] & 0x80))
            memcpy(sealed, data + 1, len);
        /* A copy of its very size, so that a byte too much is seen. */
        uint8_t *copy = malloc(len + 1);
        if (copy) {
            memcpy(copy + 1, sealed, len);
            records_read(&rx, copy + 1, len);
        }
        free(copy);
        tls_record_free(&rx);
    }
    tls_record_free(&tx);
    return 0;
}
