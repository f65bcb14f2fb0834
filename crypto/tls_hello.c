/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_hello.h"

#include "tls_openssl.h"

#include <stdio.h>
#include <string.h>

enum {
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    RECORD_HEAD = 5,
    HANDSHAKE_HEAD = 4,
    HOST_NAME_LONGEST = 255,
};

/* Whatever a server of these versions may have, the weakest too, and those without a certificate;
 * 00ff says that renegotiation is secure (RFC 5746), without which some refuse. */
static const uint8_t suites[] = {
    0xc0, 0x0a, 0xc0, 0x09, 0xc0, 0x14, 0xc0, 0x13,             /* ECDHE, AES */
    0x00, 0x39, 0x00, 0x33, 0x00, 0x38, 0x00, 0x32,             /* DHE, AES */
    0x00, 0x35, 0x00, 0x2f, 0x00, 0x84, 0x00, 0x41,             /* RSA, AES and Camellia */
    0xc0, 0x12, 0xc0, 0x08, 0x00, 0x16, 0x00, 0x13, 0x00, 0x0a, /* 3DES */
    0xc0, 0x11, 0xc0, 0x07, 0x00, 0x05, 0x00, 0x04,             /* RC4 */
    0xc0, 0x19, 0xc0, 0x18, 0x00, 0x3a, 0x00, 0x34, 0x00, 0x09, /* anonymous, and DES */
    0x00, 0xff,
};

/* X25519, P-256, P-384, P-521; uncompressed points. */
static const uint8_t curves[] = {0x00, 0x0a, 0x00, 0x0a, 0x00, 0x08, 0x00, 0x1d, 0x00, 0x17,
                                 0x00, 0x18, 0x00, 0x19, 0x00, 0x0b, 0x00, 0x02, 0x01, 0x00};

struct writer {
    uint8_t *out;
    size_t len;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
    memcpy(w->out + w->len, bytes, len);
    w->len += len;
}

static void put16(struct writer *w, size_t value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

    put(w, bytes, sizeof(bytes));
}

/* A length that is known only now. */
static void set16(struct writer *w, size_t at)
{
    size_t value = w->len - at - 2;

    w->out[at] = (uint8_t)(value >> 8);
    w->out[at + 1] = (uint8_t)value;
}

/* SSL 3.0 has no extensions. */
static void put_extensions(struct writer *w, const char *sni)
{
    size_t at = w->len;

    put16(w, 0);
    if (sni) {
        size_t len = strlen(sni);
        put16(w, 0); /* server_name */
        put16(w, len + 5);
        put16(w, len + 3);
        put(w, "", 1); /* host_name */
        put16(w, len);
        put(w, sni, len);
    }
    put(w, curves, sizeof(curves));
    set16(w, at);
}

int tls_hello_write(enum tls_hello_version version, const char *sni, const uint8_t random[32],
                    uint8_t ret[TLS_HELLO_MAX], size_t *ret_len)
{
    struct writer w = {.out = ret};

    if (sni && strlen(sni) > HOST_NAME_LONGEST)
        return ERR_RANGE;
    put(&w, &(uint8_t){RECORD_HANDSHAKE}, 1);
    /* The record's version is the oldest there is: some servers refuse by it. */
    put16(&w, version == TLS_HELLO_SSL_3_0 ? TLS_HELLO_SSL_3_0 : TLS_HELLO_TLS_1_0);
    put16(&w, 0);
    put(&w, (const uint8_t[]){CLIENT_HELLO, 0}, 2);
    put16(&w, 0);
    put16(&w, version);
    put(&w, random, 32);
    put(&w, "", 1); /* no session */
    put16(&w, sizeof(suites));
    put(&w, suites, sizeof(suites));
    put(&w, (const uint8_t[]){1, 0}, 2); /* no compression */
    if (version != TLS_HELLO_SSL_3_0)
        put_extensions(&w, sni);
    set16(&w, RECORD_HEAD - 2);
    set16(&w, RECORD_HEAD + HANDSHAKE_HEAD - 2);
    *ret_len = w.len;
    return ERR_OK;
}

static const char *version_text(unsigned version)
{
    static const char *const texts[] = {"SSL3.0", "TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"};

    return version - 0x300 < 5 ? texts[version - 0x300] : "a version that nobody knows";
}

static enum tls_hello_said server_hello_read(enum tls_hello_version version, struct span body,
                                             char *text)
{
    if (body.len < HANDSHAKE_HEAD + 2 || body.ptr[0] != SERVER_HELLO) {
        snprintf(text, TLS_HELLO_TEXT, "a TLS record came that is no ServerHello");
        return TLS_HELLO_NOT_TLS;
    }
    unsigned chosen = (unsigned)body.ptr[HANDSHAKE_HEAD] << 8 | body.ptr[HANDSHAKE_HEAD + 1];
    snprintf(text, TLS_HELLO_TEXT, "the server chose %s", version_text(chosen));
    return chosen == version ? TLS_HELLO_ACCEPTED : TLS_HELLO_REFUSED;
}

enum tls_hello_said tls_hello_read(enum tls_hello_version version, struct span answer,
                                   char text[TLS_HELLO_TEXT])
{
    text[0] = '\0';
    for (;;) {
        if (answer.len > 0 && answer.ptr[0] != RECORD_ALERT && answer.ptr[0] != RECORD_HANDSHAKE)
            break;
        if (answer.len > 1 && answer.ptr[1] != 3)
            break;
        if (answer.len < RECORD_HEAD)
            return TLS_HELLO_MORE;
        size_t len = (size_t)answer.ptr[3] << 8 | answer.ptr[4];
        struct span body = span_from(answer, RECORD_HEAD);
        if (answer.ptr[0] == RECORD_HANDSHAKE) {
            size_t wanted = len < HANDSHAKE_HEAD + 2 ? len : HANDSHAKE_HEAD + 2;
            return body.len < wanted
                       ? TLS_HELLO_MORE
                       : server_hello_read(version, span_make(body.ptr, wanted), text);
        }
        if (len != 2)
            break;
        if (body.len < 2)
            return TLS_HELLO_MORE;
        snprintf(text, TLS_HELLO_TEXT, "alert %d (%s)", body.ptr[1],
                 SSL_alert_desc_string_long(body.ptr[1]));
        /* A warning may stand in front of a ServerHello, "unrecognized name" does. */
        if (body.ptr[0] != SSL3_AL_WARNING || body.ptr[1] == SSL_AD_CLOSE_NOTIFY)
            return TLS_HELLO_REFUSED;
        answer = span_from(body, 2);
    }
    snprintf(text, TLS_HELLO_TEXT, "what came is no TLS record");
    return TLS_HELLO_NOT_TLS;
}
