/* SPDX-License-Identifier: Apache-2.0 */
#include "ktls.h"

#include <endian.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_TLS
#define SOL_TLS 282 /* linux/socket.h has it, glibc only from 2.38 on */
#endif

/* Where a cipher's struct has what. */
struct shape {
    uint16_t type;
    uint8_t len;
    uint8_t key, key_len, salt, salt_len, iv, iv_len, seq; /* offsets and lengths */
};

#define MEMBER_LEN(of, member) sizeof(((struct of *)NULL)->member)
#define SHAPE(number, of)                                                                          \
    {                                                                                              \
        .type = (number), .len = sizeof(struct of), .key = offsetof(struct of, key),               \
        .key_len = MEMBER_LEN(of, key), .salt = offsetof(struct of, salt),                         \
        .salt_len = MEMBER_LEN(of, salt), .iv = offsetof(struct of, iv),                           \
        .iv_len = MEMBER_LEN(of, iv), .seq = offsetof(struct of, rec_seq)                          \
    }

static const struct shape shapes[] = {
    [TLS_AEAD_AES_128_GCM] = SHAPE(TLS_CIPHER_AES_GCM_128, tls12_crypto_info_aes_gcm_128),
    [TLS_AEAD_AES_256_GCM] = SHAPE(TLS_CIPHER_AES_GCM_256, tls12_crypto_info_aes_gcm_256),
    [TLS_AEAD_CHACHA20_POLY1305] =
        SHAPE(TLS_CIPHER_CHACHA20_POLY1305, tls12_crypto_info_chacha20_poly1305),
};

union crypto_info {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_256 largest;
    uint8_t bytes[sizeof(struct tls12_crypto_info_aes_gcm_256)];
};

static int option_of(enum tls_dir dir)
{
    return dir == TLS_DIR_TX ? TLS_TX : TLS_RX;
}

int ktls_attach(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ? ERR_OK
                                                                           : ERR_UNSUPPORTED;
}

/* With GCM the kernel's salt and iv are our iv: on TLS 1.3 all of it is fixed, on TLS 1.2 the last
 * 8 bytes are the explicit nonce of the next record that it seals. ChaCha20-Poly1305 has no salt.
 */
static void info_fill(union crypto_info *ret, const struct shape *s,
                      const struct tls_record_dir *keys)
{
    uint64_t seq = htobe64(keys->seq);

    *ret = (union crypto_info){
        .info = {.version = keys->version == TLS_VERSION_1_3 ? TLS_1_3_VERSION : TLS_1_2_VERSION,
                 .cipher_type = s->type}};
    memcpy(ret->bytes + s->key, keys->key, s->key_len);
    memcpy(ret->bytes + s->salt, keys->iv, s->salt_len);
    memcpy(ret->bytes + s->iv, keys->iv + s->salt_len, s->iv_len);
    memcpy(ret->bytes + s->seq, &seq, sizeof(seq));
}

int ktls_install(int fd, enum tls_dir dir, const struct tls_record_dir *keys)
{
    const struct shape *s = &shapes[keys->cipher];
    union crypto_info info;

    info_fill(&info, s, keys);
    int error = setsockopt(fd, SOL_TLS, option_of(dir), &info, s->len) == 0 ? 0 : errno;
    explicit_bzero(&info, sizeof(info));
    switch (error) {
    case 0:
        return ERR_OK;
    case EBUSY:
        return ERR_STATE;
    case ENOENT: /* the cipher's module is not there */
    case EINVAL:
    case EOPNOTSUPP:
    case ENOPROTOOPT:
        return ERR_UNSUPPORTED;
    default:
        return ERR_SYSTEM;
    }
}

int ktls_sequence(int fd, enum tls_dir dir, enum tls_aead cipher, uint64_t *ret_seq)
{
    const struct shape *s = &shapes[cipher];
    union crypto_info info = {0};
    socklen_t len = s->len;
    uint64_t seq;
    int result = getsockopt(fd, SOL_TLS, option_of(dir), &info, &len);

    memcpy(&seq, info.bytes + s->seq, sizeof(seq));
    *ret_seq = be64toh(seq);
    explicit_bzero(&info, sizeof(info));
    return result == 0 ? ERR_OK : ERR_SYSTEM;
}
