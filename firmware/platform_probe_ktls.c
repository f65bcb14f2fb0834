/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>
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
} ciphers[KTLS_CIPHER_COUNT] = {
#define KTLS_CIPHER(name, text, version, cipher, type)                                             \
    [KTLS_##name] = {text, version, cipher, sizeof(struct type)},
#include "ktls_cipher.def"
#undef KTLS_CIPHER
};

const char *platform_ktls_cipher(enum ktls_cipher cipher)
{
    return ciphers[cipher].name;
}

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

static bool ciphers_try(struct platform_ktls *ret)
{
    bool any = false;

    for (size_t i = 0; i < KTLS_CIPHER_COUNT; i++) {
        struct pair p;
        bool ready = pair_open(&p) && ulp_set(&p);
        ret->ciphers[i].tx = ready && keys_set(&p, TLS_TX, i);
        ret->ciphers[i].rx = ready && keys_set(&p, TLS_RX, i);
        any = any || ret->ciphers[i].tx || ret->ciphers[i].rx;
        pair_close(&p);
    }
    return any;
}

/* Keys are set twice; a kernel that can't replace them says EBUSY. */
static bool rekey_try(void)
{
    struct pair p;
    bool ok = pair_open(&p) && ulp_set(&p) && keys_set(&p, TLS_TX, KTLS_TLS13_AES128) &&
              keys_set(&p, TLS_RX, KTLS_TLS13_AES128) && keys_set(&p, TLS_TX, KTLS_TLS13_AES128) &&
              keys_set(&p, TLS_RX, KTLS_TLS13_AES128);

    pair_close(&p);
    return ok;
}

void platform_ktls_probe(struct platform_ktls *ret)
{
    struct utsname name;
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
                 errno == ENOENT ? "the kernel has no protocol tls (CONFIG_TLS, module tls)"
                                 : strerror(errno));
    pair_close(&p);
    if (!ret->ulp)
        return;
    if (!ciphers_try(ret))
        snprintf(ret->why, sizeof(ret->why),
                 "but no cipher: the kernel lacks modules such as gcm and chacha20poly1305");
    ret->rekey = rekey_try();
    ret->splice_pages = uname(&name) == 0 && platform_kernel_since(name.release, 6, 5);
}
