/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_probe.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282 /* linux/socket.h has it, glibc only from 2.38 on */
#endif

union ktls_keys {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_128 aes128;
    struct tls12_crypto_info_aes_gcm_256 aes256;
    struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static const struct {
    const char *name;
    uint16_t version, cipher;
    socklen_t len;
} ciphers[] = {
    {"TLS1.3 AES-128-GCM", TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128,
     sizeof(struct tls12_crypto_info_aes_gcm_128)},
    {"TLS1.3 AES-256-GCM", TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256,
     sizeof(struct tls12_crypto_info_aes_gcm_256)},
    {"TLS1.3 CHACHA20-POLY1305", TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305,
     sizeof(struct tls12_crypto_info_chacha20_poly1305)},
    {"TLS1.2 AES-128-GCM", TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128,
     sizeof(struct tls12_crypto_info_aes_gcm_128)},
    {"TLS1.2 AES-256-GCM", TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256,
     sizeof(struct tls12_crypto_info_aes_gcm_256)},
    {"TLS1.2 CHACHA20-POLY1305", TLS_1_2_VERSION, TLS_CIPHER_CHACHA20_POLY1305,
     sizeof(struct tls12_crypto_info_chacha20_poly1305)},
};

_Static_assert(sizeof(ciphers) / sizeof(ciphers[0]) <= KTLS_CIPHERS_MAX, "all rows have room");

struct pair {
    int client, server;
};

static void pair_close(struct pair *p)
{
    if (p->client >= 0)
        close(p->client);
    if (p->server >= 0)
        close(p->server);
}

/* The protocol wants an established TCP connection: a Unix socket pair would not do. */
static bool pair_open(struct pair *p)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *p = (struct pair){.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .server = -1};
    if (listener >= 0 && p->client >= 0 &&
        bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &len) == 0 &&
        connect(p->client, (const struct sockaddr *)&address, sizeof(address)) == 0)
        p->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int error = errno;
    if (listener >= 0)
        close(listener);
    errno = error;
    return p->server >= 0;
}

static bool ulp_set(const struct pair *p)
{
    return setsockopt(p->client, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0;
}

/* Keys of zeros on a connection that never carries a byte. */
static bool keys_set(const struct pair *p, int direction, size_t row)
{
    union ktls_keys keys = {
        .info = {.version = ciphers[row].version, .cipher_type = ciphers[row].cipher}};

    return setsockopt(p->client, SOL_TLS, direction, &keys, ciphers[row].len) == 0;
}

void platform_probe_ktls(struct platform_ktls *ret)
{
    struct pair p;

    *ret = (struct platform_ktls){0};
    if (!pair_open(&p)) {
        snprintf(ret->why, sizeof(ret->why), "no TCP connection on loopback: %s", strerror(errno));
        pair_close(&p);
        return;
    }
    ret->ulp = ulp_set(&p);
    if (!ret->ulp)
        snprintf(ret->why, sizeof(ret->why), "%s",
                 errno == ENOENT ? "the kernel has no protocol \"tls\" (CONFIG_TLS, module tls)"
                                 : strerror(errno));
    pair_close(&p);
    if (!ret->ulp)
        return;
    bool any = false;
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        bool ready = pair_open(&p) && ulp_set(&p);
        ret->ciphers[ret->len].name = ciphers[i].name;
        ret->ciphers[ret->len].tx = ready && keys_set(&p, TLS_TX, i);
        ret->ciphers[ret->len].rx = ready && keys_set(&p, TLS_RX, i);
        any = any || ret->ciphers[ret->len].tx || ret->ciphers[ret->len].rx;
        ret->len++;
        pair_close(&p);
    }
    if (!any)
        snprintf(ret->why, sizeof(ret->why),
                 "but no cipher: the kernel lacks modules such as gcm and chacha20poly1305");
}
