/* SPDX-License-Identifier: Apache-2.0 */
#include "actor_tls.h"

#include "../cmocka_all.h"

#include "tls_fake.h"
#include "tls_record.h"

#include <stdlib.h>

enum { HANDSHAKE_KEY_UPDATE = 24 };

void (*actor_tls_noise)(struct actor_tls *t, struct dp_sim_peer *peer, size_t *len);

struct actor_tls {
    struct tls_fake fake;
    struct tls_record_dir rx, tx;
    struct buf sealed; /* received, not yet a whole record */
};

static struct actor_tls *make(bool is_server, uint64_t seed)
{
    struct actor_tls *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    tls_fake_init(&t->fake, is_server, seed ^ 0x5eed, NULL);
    return t;
}

struct actor_tls *actor_tls_client(uint64_t seed, struct dp_sim_peer *peer)
{
    struct actor_tls *t = make(false, seed);

    dp_sim_peer_send(peer, t->fake.out, t->fake.out_len);
    return t;
}

struct actor_tls *actor_tls_server(uint64_t seed)
{
    return make(true, seed);
}

void actor_tls_free(struct actor_tls *t)
{
    if (!t)
        return;
    tls_record_free(&t->rx);
    tls_record_free(&t->tx);
    buf_release(&t->sealed);
    free(t);
}

bool actor_tls_in_handshake(const struct actor_tls *t)
{
    return t->fake.state != TLS_FAKE_DONE;
}

static void record_send(struct actor_tls *t, struct dp_sim_peer *peer, enum tls_content type,
                        const void *data, size_t len)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t sealed;

    assert_int_equal(tls_record_seal(&t->tx, type, data, len, record, &sealed), ERR_OK);
    dp_sim_peer_send(peer, record, sealed);
}

void actor_tls_send(struct actor_tls *t, struct dp_sim_peer *peer, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = len - at < TLS_PLAINTEXT_MAX ? len - at : TLS_PLAINTEXT_MAX;
        if (actor_tls_noise)
            actor_tls_noise(t, peer, &n);
        record_send(t, peer, TLS_CONTENT_DATA, (const uint8_t *)data + at, n);
        at += n;
    }
}

void actor_tls_key_update(struct actor_tls *t, struct dp_sim_peer *peer, bool request)
{
    const uint8_t message[] = {HANDSHAKE_KEY_UPDATE, 0, 0, 1, request};

    record_send(t, peer, TLS_CONTENT_HANDSHAKE, message, sizeof(message));
    assert_int_equal(tls_record_rekey(&t->tx), ERR_OK);
}

void actor_tls_empty(struct actor_tls *t, struct dp_sim_peer *peer)
{
    record_send(t, peer, TLS_CONTENT_DATA, "", 0);
}

static struct span handshake(struct actor_tls *t, struct dp_sim_peer *peer, struct span in)
{
    int err = tls_fake_feed(&t->fake, &in);

    assert_true(err == ERR_OK || err == ERR_AGAIN);
    if (t->fake.out_len > 0)
        dp_sim_peer_send(peer, t->fake.out, t->fake.out_len);
    if (err == ERR_OK) {
        assert_int_equal(tls_record_init(&t->rx, &t->fake.keys, TLS_DIR_RX), ERR_OK);
        assert_int_equal(tls_record_init(&t->tx, &t->fake.keys, TLS_DIR_TX), ERR_OK);
    }
    return in;
}

void actor_tls_receive(struct actor_tls *t, struct dp_sim_peer *peer, const uint8_t *data,
                       size_t len, struct buf *ret_plain)
{
    struct span in = span_make(data, len);

    if (actor_tls_in_handshake(t))
        in = handshake(t, peer, in);
    assert_int_equal(buf_append_span(&t->sealed, in), ERR_OK);
    for (;;) {
        struct span have = buf_span(&t->sealed);
        struct tls_record record;
        size_t whole;
        if (have.len < TLS_RECORD_HEADER)
            return;
        assert_int_equal(tls_record_length(&t->rx, have.ptr, have.len, &whole), ERR_OK);
        if (have.len < whole)
            return;
        uint8_t copy[TLS_RECORD_MAX];
        memcpy(copy, have.ptr, whole);
        buf_consume(&t->sealed, whole);
        assert_int_equal(tls_record_open(&t->rx, copy, whole, &record), ERR_OK);
        if (record.type == TLS_CONTENT_DATA)
            assert_int_equal(buf_append(ret_plain, record.data, record.len), ERR_OK);
        if (record.type == TLS_CONTENT_HANDSHAKE && record.data[0] == HANDSHAKE_KEY_UPDATE)
            assert_int_equal(tls_record_rekey(&t->rx), ERR_OK);
    }
}
