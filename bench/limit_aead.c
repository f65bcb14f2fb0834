/* SPDX-License-Identifier: Apache-2.0 */
#include "limit.h"

#include "tls_record.h"

#include <stdlib.h>

enum {
    BATCH = 256 * 1024, /* as much as a relay has in hand at once: what is opened is in the cache */
    ROUND_MS = 40,
};

struct batch {
    struct tls_record_dir tx, rx;
    uint8_t *bytes;
    size_t record, stride, count;
};

static int batch_seal(struct batch *b)
{
    int err = ERR_OK;
    size_t len;

    for (size_t i = 0; i < b->count && err == ERR_OK; i++) {
        uint8_t *at = b->bytes + i * b->stride;
        err = tls_record_seal(&b->tx, TLS_CONTENT_DATA, at + tls_record_before(&b->tx), b->record,
                              at, &len);
    }
    return err;
}

static int batch_open(struct batch *b)
{
    struct tls_record opened;
    int err = ERR_OK;

    for (size_t i = 0; i < b->count && err == ERR_OK; i++)
        err = tls_record_open(&b->rx, b->bytes + i * b->stride, b->stride, &opened);
    return err;
}

static int batch_run(struct batch *b, double *ret_open_s, double *ret_seal_s)
{
    double open_s = 0, seal_s = 0, bytes = 0;

    while (open_s + seal_s < ROUND_MS / 1e3) {
        double began = limit_cpu_s();
        int err = batch_seal(b);
        if (err != ERR_OK)
            return err;
        double sealed = limit_cpu_s();
        err = batch_open(b);
        if (err != ERR_OK)
            return err;
        seal_s += sealed - began;
        open_s += limit_cpu_s() - sealed;
        bytes += (double)(b->record * b->count);
    }
    *ret_open_s = open_s / bytes;
    *ret_seal_s = seal_s / bytes;
    return ERR_OK;
}

int limit_aead(const struct tls_keys *keys, size_t record, double *ret_open_s, double *ret_seal_s)
{
    struct batch b = {.record = record};
    int err = tls_record_init(&b.tx, keys, TLS_DIR_TX);

    if (err == ERR_OK)
        err = tls_record_init(&b.rx, keys, TLS_DIR_RX);
    if (err == ERR_OK) {
        b.stride = tls_record_size(tls_record_before(&b.tx), record, tls_record_after(&b.tx));
        b.count = BATCH / b.stride;
        b.bytes = calloc(b.count, b.stride);
        err = b.bytes ? batch_run(&b, ret_open_s, ret_seal_s) : ERR_NOMEM;
    }
    free(b.bytes);
    tls_record_free(&b.tx);
    tls_record_free(&b.rx);
    return err;
}
