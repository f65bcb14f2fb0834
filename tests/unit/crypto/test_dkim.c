/* SPDX-License-Identifier: Apache-2.0 */
/* DKIM: bodies and fields in their canonical form, by the vectors of RFC 6376 and RFC 8463; a
 * signature that python3-dkim found valid; keys that are refused. That others find the signatures
 * of reports valid, peers/test_tlsrpt.py shows. */
#include "dkim.h"

#include "base64.h"
#include "tls_openssl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_hash(const char *body, const char *base64)
{
    uint8_t sum[32];
    char text[64];

    assert_int_equal(dkim_body_hash(span_str(body), sum), ERR_OK);
    assert_string_equal(base64_encode(span_make(sum, sizeof(sum)), text), base64);
}

static void expect_same(const char *one, const char *other)
{
    uint8_t a[32], b[32];

    assert_int_equal(dkim_body_hash(span_str(one), a), ERR_OK);
    assert_int_equal(dkim_body_hash(span_str(other), b), ERR_OK);
    assert_memory_equal(a, b, sizeof(a));
}

static void test_bodies(void **state)
{
    /* RFC 6376 section 3.4.4: an empty body is empty. */
    expect_hash("", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    expect_hash("\r\n \r\n\t\r\n", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    /* RFC 8463 appendix A.3. */
    expect_hash("Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n",
                "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    /* RFC 6376 section 3.4.5. */
    expect_same(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
    expect_same("no end", "no end\r\n");
}

static FILE *file_open(char path[32])
{
    snprintf(path, 32, "/tmp/dkim-test-XXXXXX");
    FILE *file = fdopen(mkstemp(path), "w");
    assert_non_null(file);
    return file;
}

/* cipher: NULL for a key that anybody can read. */
static void key_write(int id, unsigned bits, const EVP_CIPHER *cipher, char path[32])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(id, NULL);
    EVP_PKEY *key = NULL;

    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    if (id == EVP_PKEY_RSA)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits), 1);
    if (id == EVP_PKEY_EC)
        assert_int_equal(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    FILE *file = file_open(path);
    unsigned char passphrase[] = "x";
    assert_int_equal(
        PEM_write_PrivateKey(file, key, cipher, passphrase, sizeof(passphrase) - 1, NULL, NULL), 1);
    fclose(file);
    EVP_PKEY_free(key);
}

/* RFC 8463 appendix A.2: the seed nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=. */
static void rfc_key_write(char path[32])
{
    FILE *file = file_open(path);

    fputs("-----BEGIN PRIVATE KEY-----\n"
          "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
          "-----END PRIVATE KEY-----\n",
          file);
    fclose(file);
}

#define HEADER "From: a\r\nSubject: one\r\n two\r\nX: not signed\r\n"

static char *signature(const struct dkim_key *key, const char *header, const char *body)
{
    static const char *const names[] = {"from", "subject", "date", "from", NULL};
    const struct dkim_request request = {
        .key = key, .domain = "example.org", .selector = "s", .headers = names, .now = 1};
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(dkim_sign(&request, span_str(header), span_str(body), &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    char *text = strdup((const char *)buf_span(&out).ptr);
    buf_release(&out);
    return text;
}

static void expect_signature(const struct dkim_key *key, const char *header, bool same)
{
    char *one = signature(key, HEADER, "body\r\n"), *other = signature(key, header, "body\r\n");

    assert_int_equal(strcmp(one, other) == 0, same);
    free(one);
    free(other);
}

static void test_fields(void **state)
{
    char path[32], why[256];
    struct dkim_key *key;

    rfc_key_write(path);
    assert_int_equal(dkim_key_load(path, &key, why, sizeof(why)), ERR_OK);
    assert_string_equal(dkim_algorithm(key), "ed25519-sha256");
    char *text = signature(key, HEADER, "body\r\n");
    /* Its hash and signature are python3-nacl's, and python3-dkim verified the whole. */
    assert_string_equal(
        text, "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=s;\r\n"
              "\tt=1; bh=Ck5SoRNWUpSR4X0COv7R5ub2pUTtl6xz4dTFz++ji4M=;\r\n"
              "\th=from:subject:date:from;\r\n"
              "\tb=fFYL2E6Py/7yXqXDRmCcq99fqLB8nxestSI1I5elO6q4iHH+xWJTCHKsh9jxVMQnZshB/GK6\r\n"
              "\t1MFzx9kOJWZDCw==\r\n");
    free(text);
    /* Folding, case of names and runs of blanks do not count; what is said does. */
    expect_signature(key, "FROM:   a \r\nsubject:one\t \r\n\ttwo\r\n", true);
    expect_signature(key, "Subject: one two\r\nFrom: a\r\nY: z\r\n", true);
    expect_signature(key, "From: b\r\nSubject: one\r\n two\r\n", false);
    expect_signature(key, "From: a\r\nSubject: one\r\n two\r\nDate: now\r\n", false);
    expect_signature(key, "From: a\r\nFrom: b\r\nSubject: one\r\n two\r\n", false);
    dkim_key_free(key);
    unlink(path);
}

static void test_keys(void **state)
{
    static const struct {
        int id;
        unsigned bits;
        bool good;
    } kinds[] = {{EVP_PKEY_RSA, 2048, true}, {EVP_PKEY_RSA, 512, false}, {EVP_PKEY_EC, 0, false}};
    char path[32], why[256];
    struct dkim_key *key;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        key_write(kinds[i].id, kinds[i].bits, NULL, path);
        int err = dkim_key_load(path, &key, why, sizeof(why));
        assert_int_equal(err, kinds[i].good ? ERR_OK : ERR_CONFIG);
        if (!kinds[i].good)
            assert_non_null(strstr(why, "neither a key of RSA"));
        dkim_key_free(key);
        unlink(path);
    }
    key_write(EVP_PKEY_ED25519, 0, EVP_aes_128_cbc(), path);
    assert_int_equal(dkim_key_load(path, &key, why, sizeof(why)), ERR_CONFIG);
    assert_null(key);
    assert_non_null(strstr(why, "without a passphrase"));
    unlink(path);
    assert_int_equal(dkim_key_load("/does/not/exist", &key, why, sizeof(why)), ERR_CONFIG);
    assert_null(key);
    assert_non_null(strstr(why, "/does/not/exist"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
