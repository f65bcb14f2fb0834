/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_fake.h"

#include "tls_key_schedule.h"
#include "tls_openssl.h"
#include "tls_record.h"

#include <stdio.h>

enum { MESSAGE_HELLO = 1, MESSAGE_FINISHED = 20, RANDOM_LEN = 32 };

/* Four blocks of splitmix64: fit for a simulation, for nothing else. */
static void random_from(uint64_t seed, uint8_t out[RANDOM_LEN])
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        memcpy(out + 8 * i, &z, 8);
    }
}

static void record_put(struct tls_fake *f, uint8_t message, const uint8_t *body, size_t len)
{
    uint8_t *to = f->out + f->out_len;

    to[0] = TLS_CONTENT_HANDSHAKE;
    to[1] = 3;
    to[2] = 3;
    to[3] = (uint8_t)((len + 1) >> 8);
    to[4] = (uint8_t)(len + 1);
    to[5] = message;
    memcpy(to + 6, body, len);
    f->out_len += 6 + len;
}

static void hello_put(struct tls_fake *f)
{
    uint8_t body[RANDOM_LEN + sizeof(f->sni)];
    size_t sni_len = f->is_server ? 0 : strlen(f->sni);

    memcpy(body, f->is_server ? f->server_random : f->client_random, RANDOM_LEN);
    memcpy(body + RANDOM_LEN, f->sni, sni_len);
    record_put(f, MESSAGE_HELLO, body, RANDOM_LEN + sni_len);
}

void tls_fake_init(struct tls_fake *f, bool is_server, uint64_t seed, const char *sni)
{
    *f = (struct tls_fake){.is_server = is_server, .state = TLS_FAKE_HELLO};
    random_from(seed, is_server ? f->server_random : f->client_random);
    if (sni)
        snprintf(f->sni, sizeof(f->sni), "%s", sni);
    if (!is_server)
        hello_put(f);
}

static bool finished_make(const struct tls_fake *f, bool of_server, uint8_t out[32])
{
    const uint8_t *secret = of_server == f->is_server ? f->keys.tx.secret : f->keys.rx.secret;

    return tls13_expand_label(secret, 32, "finished", out, 32) == ERR_OK;
}

static bool finished_put(struct tls_fake *f)
{
    uint8_t verify[32];

    if (!finished_make(f, f->is_server, verify))
        return false;
    record_put(f, MESSAGE_FINISHED, verify, sizeof(verify));
    return true;
}

static bool keys_make(struct tls_fake *f)
{
    struct tls_direction *client = f->is_server ? &f->keys.rx : &f->keys.tx;
    struct tls_direction *server = f->is_server ? &f->keys.tx : &f->keys.rx;
    uint8_t randoms[2 * RANDOM_LEN], secret[32];

    f->keys = (struct tls_keys){.version = TLS_VERSION_1_3,
                                .aead = TLS_AEAD_AES_128_GCM,
                                .suite = 0x1301,
                                .max_plaintext = TLS_PLAINTEXT_MAX,
                                .key_len = 16,
                                .secret_len = 32};
    memcpy(randoms, f->client_random, RANDOM_LEN);
    memcpy(randoms + RANDOM_LEN, f->server_random, RANDOM_LEN);
    return EVP_Digest(randoms, sizeof(randoms), secret, NULL, EVP_sha256(), NULL) == 1 &&
           !tls13_expand_label(secret, 32, "c fake traffic", client->secret, 32) &&
           !tls13_expand_label(secret, 32, "s fake traffic", server->secret, 32) &&
           !tls13_direction_derive(client, 32, 16) && !tls13_direction_derive(server, 32, 16);
}

static bool hello_take(struct tls_fake *f, const uint8_t *body, size_t len)
{
    size_t sni_len = len - RANDOM_LEN;

    if (len < RANDOM_LEN || sni_len >= sizeof(f->sni) || (!f->is_server && sni_len > 0) ||
        memchr(body + RANDOM_LEN, 0, sni_len))
        return false;
    memcpy(f->is_server ? f->client_random : f->server_random, body, RANDOM_LEN);
    if (f->is_server) {
        memcpy(f->sni, body + RANDOM_LEN, sni_len);
        f->sni[sni_len] = '\0';
        hello_put(f);
    }
    f->state = TLS_FAKE_FINISHED;
    return keys_make(f) && (!f->is_server || finished_put(f));
}

static bool finished_take(struct tls_fake *f, const uint8_t *body, size_t len)
{
    uint8_t verify[32];

    if (len != sizeof(verify) || !finished_make(f, !f->is_server, verify) ||
        memcmp(body, verify, sizeof(verify)) != 0)
        return false;
    f->state = TLS_FAKE_DONE;
    return f->is_server || finished_put(f);
}

/* record: whole, its header judged. */
static bool record_take(struct tls_fake *f, const uint8_t *record, size_t len)
{
    const uint8_t *body = record + TLS_RECORD_HEADER + 1;
    size_t body_len = len - TLS_RECORD_HEADER - 1;

    switch (f->state) {
    case TLS_FAKE_HELLO:
        return record[TLS_RECORD_HEADER] == MESSAGE_HELLO && hello_take(f, body, body_len);
    case TLS_FAKE_FINISHED:
        return record[TLS_RECORD_HEADER] == MESSAGE_FINISHED && finished_take(f, body, body_len);
    case TLS_FAKE_DONE:
    case TLS_FAKE_BROKEN:
        break;
    }
    return false;
}

static bool bytes_take(struct tls_fake *f, struct span *input, size_t need)
{
    size_t n = need - f->partial_len;

    n = n < input->len ? n : input->len;
    memcpy(f->partial + f->partial_len, input->ptr, n);
    f->partial_len += n;
    *input = span_from(*input, n);
    return f->partial_len == need;
}

int tls_fake_feed(struct tls_fake *f, struct span *input)
{
    f->out_len = 0;
    while (f->state == TLS_FAKE_HELLO || f->state == TLS_FAKE_FINISHED) {
        if (f->partial_len < TLS_RECORD_HEADER && !bytes_take(f, input, TLS_RECORD_HEADER))
            return ERR_AGAIN;
        size_t len = TLS_RECORD_HEADER + ((size_t)f->partial[3] << 8 | f->partial[4]);
        bool good = f->partial[0] == TLS_CONTENT_HANDSHAKE && f->partial[1] == 3 &&
                    f->partial[2] == 3 && len > TLS_RECORD_HEADER && len <= sizeof(f->partial);
        if (good && !bytes_take(f, input, len))
            return ERR_AGAIN;
        f->partial_len = 0;
        if (!good || !record_take(f, f->partial, len))
            f->state = TLS_FAKE_BROKEN;
    }
    return f->state == TLS_FAKE_DONE ? ERR_OK : ERR_TLS;
}
