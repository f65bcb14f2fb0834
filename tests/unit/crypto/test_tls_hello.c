/* SPDX-License-Identifier: Apache-2.0 */
/* Old ClientHellos: they are what OpenSSL's own server takes for one, and answers are read right,
 * also one byte at a time. */
#include "test_crypto.h"

#include "tls_hello.h"
#include "tls_openssl.h"

#include <string.h>

static const uint8_t zeros[32];

/* What a server with an anonymous suite and all versions that it has answers. */
static enum tls_hello_said openssl_says(enum tls_hello_version version, int newest,
                                        char text[TLS_HELLO_TEXT])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl;
    uint8_t hello[TLS_HELLO_MAX], *answer;
    size_t len;

    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, newest ? TLS1_VERSION : TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, newest), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, "aNULL"), 1);
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    assert_int_equal(tls_hello_write(version, "mx.example.org", zeros, hello, &len), 0);
    assert_int_equal(BIO_write(SSL_get_rbio(ssl), hello, (int)len), len);
    SSL_accept(ssl);
    long answered = BIO_get_mem_data(SSL_get_wbio(ssl), &answer);
    enum tls_hello_said said = tls_hello_read(version, span_make(answer, (size_t)answered), text);
    if (said == TLS_HELLO_ACCEPTED)
        assert_string_equal(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), "mx.example.org");
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return said;
}

static void test_openssl_accepts(void **state)
{
    char text[TLS_HELLO_TEXT];

    assert_int_equal(openssl_says(TLS_HELLO_TLS_1_0, TLS1_1_VERSION, text), TLS_HELLO_ACCEPTED);
    assert_string_equal(text, "the server chose TLS1.0");
    assert_int_equal(openssl_says(TLS_HELLO_TLS_1_1, TLS1_1_VERSION, text), TLS_HELLO_ACCEPTED);
    assert_string_equal(text, "the server chose TLS1.1");
}

static void test_openssl_refuses(void **state)
{
    char text[TLS_HELLO_TEXT];

    assert_int_equal(openssl_says(TLS_HELLO_TLS_1_1, TLS1_VERSION, text), TLS_HELLO_REFUSED);
    assert_string_equal(text, "the server chose TLS1.0");
    assert_int_equal(openssl_says(TLS_HELLO_SSL_3_0, TLS1_1_VERSION, text), TLS_HELLO_REFUSED);
    for (unsigned v = TLS_HELLO_SSL_3_0; v <= TLS_HELLO_TLS_1_1; v++)
        assert_int_equal(openssl_says(v, 0, text), TLS_HELLO_REFUSED);
}

struct cell {
    const char *bytes;
    size_t len;
    enum tls_hello_said said; /* to a hello of TLS 1.0 */
    const char *text;
};
#define BYTES(literal) literal, sizeof(literal) - 1

static void test_answers(void **state)
{
    static const struct cell cells[] = {
        {BYTES(""), TLS_HELLO_MORE, ""},
        {BYTES("\x16\x03\x01\x00\x31\x02\x00\x00\x2d\x03\x01"), TLS_HELLO_ACCEPTED,
         "the server chose TLS1.0"},
        {BYTES("\x16\x03\x01\x00\x31\x02\x00\x00\x2d\x03\x00"), TLS_HELLO_REFUSED,
         "the server chose SSL3.0"},
        {BYTES("\x16\x03\x01\x00\x31\x02\x00\x00\x2d\x03\x03"), TLS_HELLO_REFUSED,
         "the server chose TLS1.2"},
        {BYTES("\x16\x03\x01\x00\x31\x02\x00\x00\x2d\xfe\xff"), TLS_HELLO_REFUSED,
         "the server chose a version that nobody knows"},
        {BYTES("\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x01"), TLS_HELLO_NOT_TLS,
         "a TLS record came that is no ServerHello"},
        {BYTES("\x16\x03\x01\x00\x02\x02\x00"), TLS_HELLO_NOT_TLS,
         "a TLS record came that is no ServerHello"},
        {BYTES("\x15\x03\x01\x00\x02\x02\x46"), TLS_HELLO_REFUSED, "alert 70 (protocol version)"},
        {BYTES("\x15\x03\x01\x00\x02\x01\x00"), TLS_HELLO_REFUSED, "alert 0 (close notify)"},
        {BYTES("\x15\x03\x01\x00\x02\x01\x70"), TLS_HELLO_MORE, "alert 112 (unrecognized name)"},
        {BYTES("\x15\x03\x01\x00\x02\x01\x70\x16\x03\x01\x00\x31\x02\x00\x00\x2d\x03\x01"),
         TLS_HELLO_ACCEPTED, "the server chose TLS1.0"},
        {BYTES("\x15\x03\x01\x00\x03\x02\x46\x00"), TLS_HELLO_NOT_TLS,
         "what came is no TLS record"},
        {BYTES("\x17\x03\x01\x00\x02"), TLS_HELLO_NOT_TLS, "what came is no TLS record"},
        {BYTES("\x16\x02"), TLS_HELLO_NOT_TLS, "what came is no TLS record"},
        {BYTES("HTTP/1.1 400\r\n"), TLS_HELLO_NOT_TLS, "what came is no TLS record"},
    };
    char text[TLS_HELLO_TEXT];

    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        const struct cell *c = &cells[i];
        enum tls_hello_said said = TLS_HELLO_MORE;
        for (size_t len = 0; len <= c->len && said == TLS_HELLO_MORE; len++)
            said = tls_hello_read(TLS_HELLO_TLS_1_0, span_make(c->bytes, len), text);
        assert_int_equal(said, c->said);
        assert_string_equal(text, c->text);
        assert_int_equal(tls_hello_read(TLS_HELLO_TLS_1_0, span_make(c->bytes, c->len), text),
                         c->said);
    }
}

static void test_name_that_is_too_long(void **state)
{
    uint8_t hello[TLS_HELLO_MAX];
    char name[300];
    size_t len;

    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    assert_int_equal(tls_hello_write(TLS_HELLO_TLS_1_1, name, zeros, hello, &len), 0);
    assert_in_range(len, 300, TLS_HELLO_MAX);
    name[255] = 'a';
    name[256] = '\0';
    assert_int_equal(tls_hello_write(TLS_HELLO_TLS_1_1, name, zeros, hello, &len), ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl_accepts),
        cmocka_unit_test(test_openssl_refuses),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_name_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
