/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_handshake.h"

#include "tls_cert.h"
#include "tls_key_schedule.h"

#include <stdio.h>

/* ---- TLS 1.3 secrets, by the key log: OpenSSL has no other way to tell them ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint8_t secret_parse(const char *hex, uint8_t out[TLS_SECRET_MAX])
{
    uint8_t n = 0;

    for (; hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0 && n < TLS_SECRET_MAX; hex += 2)
        out[n++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
    return n;
}

/* line: label, client random, secret, with a blank between them. */
static void keylog_callback(const SSL *ssl, const char *line)
{
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct tls_handshake *h = SSL_get_app_data(ssl);
    const char *secret = strrchr(line, ' ');

    if (!h || !secret)
        return;
    if (strncmp(line, client, sizeof(client) - 1) == 0)
        h->secrets.client_len = secret_parse(secret + 1, h->secrets.client);
    else if (strncmp(line, server, sizeof(server) - 1) == 0)
        h->secrets.server_len = secret_parse(secret + 1, h->secrets.server);
}

void tls_export_prepare(SSL_CTX *ctx)
{
    SSL_CTX_set_keylog_callback(ctx, keylog_callback);
}

/* ---- keys ---- */

static int keys_13(const struct tls_handshake *h, const struct tls_suite *suite,
                   struct tls_keys *ret)
{
    const struct tls_secrets *s = &h->secrets;

    if (s->client_len != suite->hash_len || s->server_len != suite->hash_len)
        return ERR_TLS;
    ret->secret_len = suite->hash_len;
    memcpy(ret->tx.secret, h->server ? s->server : s->client, suite->hash_len);
    memcpy(ret->rx.secret, h->server ? s->client : s->server, suite->hash_len);
    /* Tickets are the only records that OpenSSL has sealed under these keys, and they went out in
     * the step that took the client's Finished. */
    ret->tx.seq = h->server ? h->data_records : 0;
    ret->rx.seq = 0;
    int err = tls13_direction_derive(&ret->tx, ret->secret_len, ret->key_len);
    return err ? err : tls13_direction_derive(&ret->rx, ret->secret_len, ret->key_len);
}

static int keys_12(const struct tls_handshake *h, const struct tls_suite *suite,
                   struct tls_keys *ret)
{
    uint8_t master[SSL_MAX_MASTER_KEY_LENGTH];
    struct tls12_randoms randoms;
    size_t len = SSL_SESSION_get_master_key(SSL_get_session(h->ssl), master, sizeof(master));

    if (len == 0 || SSL_get_client_random(h->ssl, randoms.client, 32) != 32 ||
        SSL_get_server_random(h->ssl, randoms.server, 32) != 32)
        return ERR_TLS;
    int err = tls12_keys_derive(ret, suite, master, len, &randoms, h->server != NULL);
    OPENSSL_cleanse(master, sizeof(master));
    ret->tx.seq = 1; /* each side has sealed its Finished */
    ret->rx.seq = 1;
    if (!err && suite->aead != TLS_AEAD_CHACHA20_POLY1305) {
        uint64_t next = __builtin_bswap64(h->explicit_nonce + 1);
        memcpy(ret->tx.iv + 4, &next, sizeof(next));
    }
    return err;
}

int tls_export_keys(const struct tls_handshake *h, struct tls_keys *ret)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(h->ssl);
    const struct tls_suite *suite =
        cipher ? tls_suite_find(SSL_CIPHER_get_protocol_id(cipher)) : NULL;
    uint8_t fragment = SSL_SESSION_get_max_fragment_length(SSL_get_session(h->ssl));

    memset(ret, 0, sizeof(*ret));
    if (!suite || SSL_version(h->ssl) != (int)suite->version)
        return ERR_TLS;
    ret->version = suite->version;
    ret->aead = suite->aead;
    ret->suite = suite->id;
    ret->key_len = tls_aead_key_len(suite->aead);
    /* RFC 6066 section 4: 1 is 512 bytes, 4 is 4096. */
    ret->max_plaintext =
        (uint16_t)(fragment >= 1 && fragment <= 4 ? 256 << fragment : TLS_PLAINTEXT_MAX);
    return suite->version == TLS_VERSION_1_3 ? keys_13(h, suite, ret) : keys_12(h, suite, ret);
}

/* ---- facts ---- */

void tls_export_group(SSL *ssl, char *out, size_t room)
{
    static const struct {
        int nid;
        const char *name;
    } names[] = {
        {NID_X25519, "X25519"},       {NID_X448, "X448"},           {NID_X9_62_prime256v1, "P-256"},
        {NID_secp384r1, "P-384"},     {NID_secp521r1, "P-521"},     {NID_ffdhe2048, "ffdhe2048"},
        {NID_ffdhe3072, "ffdhe3072"}, {NID_ffdhe4096, "ffdhe4096"},
    };
    int nid = (int)SSL_get_negotiated_group(ssl);

    out[0] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].nid == nid) {
            snprintf(out, room, "%s", names[i].name);
            return;
        }
    const char *name = nid > 0 && nid != TLSEXT_nid_unknown ? SSL_group_to_name(ssl, nid) : NULL;
    if (name)
        snprintf(out, room, "%s", name);
}

void tls_export_facts(const struct tls_handshake *h, struct tls_facts *ret)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(h->ssl);
    X509 *leaf = SSL_get0_peer_certificate(h->ssl);
    const char *sni = SSL_get_servername(h->ssl, TLSEXT_NAMETYPE_host_name);

    memset(ret, 0, sizeof(*ret));
    ret->version = (enum tls_version)SSL_version(h->ssl);
    snprintf(ret->suite, sizeof(ret->suite), "%s", SSL_CIPHER_standard_name(cipher));
    ret->bits = (uint16_t)SSL_CIPHER_get_bits(cipher, NULL);
    ret->resumed = SSL_session_reused(h->ssl) == 1;
    /* A resumed TLS 1.2 session had no key exchange of its own. */
    if (!ret->resumed || ret->version == TLS_VERSION_1_3)
        tls_export_group(h->ssl, ret->group, sizeof(ret->group));
    ret->verify = h->judgement.verify;
    ret->fault = h->judgement.fault;
    snprintf(ret->verify_text, sizeof(ret->verify_text), "%.*s", (int)sizeof(ret->verify_text) - 1,
             h->judgement.text);
    if (leaf)
        tls_cert_facts(leaf, ret);
    if (sni)
        tls_text_escape(sni, strlen(sni), ret->sni, sizeof(ret->sni));
}
