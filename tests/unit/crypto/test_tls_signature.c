/* SPDX-License-Identifier: Apache-2.0 */
/* Whose signature is taken, and that no other is: each byte of it, of the data and the kind of key
 * count. */
#include "tls_signature.h"

#include "tls_openssl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DATA SPAN_LIT("{\"version\": \"0.1\"}\n")

struct signer {
    EVP_PKEY *key;
    uint8_t signature[1024];
    size_t len;
    char pem[4096];
};

static void pem_write(struct signer *s)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PUBKEY(bio, s->key), 1);
    int n = BIO_read(bio, s->pem, sizeof(s->pem) - 1);
    assert_true(n > 0);
    s->pem[n] = '\0';
    BIO_free(bio);
}

static void signer_make(struct signer *s, EVP_PKEY *key)
{
    bool edwards = EVP_PKEY_get_id(key) == EVP_PKEY_ED25519;
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    s->key = key;
    s->len = sizeof(s->signature);
    assert_non_null(key);
    assert_int_equal(EVP_DigestSignInit(md, NULL, edwards ? NULL : EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(md, s->signature, &s->len, DATA.ptr, DATA.len), 1);
    EVP_MD_CTX_free(md);
    pem_write(s);
}

static int check(struct span data, const struct signer *s, const char *pem)
{
    char why[256] = "";
    int err =
        tls_signature_check(data, span_make(s->signature, s->len), span_str(pem), why, sizeof(why));

    assert_true((err == ERR_OK) == (why[0] == '\0'));
    return err;
}

static void every_kind(struct signer s[4])
{
    signer_make(&s[0], EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    signer_make(&s[1], EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    signer_make(&s[2], EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
    signer_make(&s[3], EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

static void test_its_own(void **state)
{
    static struct signer s[4];

    every_kind(s);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++)
            assert_int_equal(check(DATA, &s[i], s[j].pem), i == j ? ERR_OK : ERR_TLS);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(check(SPAN_LIT("{\"version\": \"0.2\"}\n"), &s[i], s[i].pem), ERR_TLS);
        assert_int_equal(check(SPAN_LIT(""), &s[i], s[i].pem), ERR_TLS);
        s[i].signature[s[i].len / 2] ^= 1;
        assert_int_equal(check(DATA, &s[i], s[i].pem), ERR_TLS);
        s[i].len = 0;
        assert_int_equal(check(DATA, &s[i], s[i].pem), ERR_TLS);
        EVP_PKEY_free(s[i].key);
    }
}

static void test_keys_that_are_not_taken(void **state)
{
    static struct signer s;

    signer_make(&s, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024));
    assert_int_equal(check(DATA, &s, s.pem), ERR_TLS);
    EVP_PKEY_free(s.key);
    signer_make(&s, EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    assert_int_equal(check(DATA, &s, ""), ERR_TLS);
    assert_int_equal(
        check(DATA, &s, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), ERR_TLS);
    EVP_PKEY_free(s.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_its_own),
        cmocka_unit_test(test_keys_that_are_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
