/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "tls_aead.h"
#include "tls_openssl.h"

enum { MANY = TLS_AEAD_CONTEXTS + 100 };

/* The first block of keystream, which tells the key; its own inverse, so that it serves both ways.
 */
static uint32_t stream_of(EVP_CIPHER_CTX *aead, bool sealing)
{
    static const uint8_t nonce[TLS_IV_LEN];
    uint8_t data[16] = {0};
    uint32_t first;
    int len;

    assert_int_equal(EVP_CipherInit_ex(aead, NULL, NULL, NULL, nonce, -1), 1);
    assert_int_equal(EVP_CIPHER_CTX_is_encrypting(aead), sealing);
    assert_int_equal(EVP_CipherUpdate(aead, data, &len, data, sizeof(data)), 1);
    memcpy(&first, data, sizeof(first));
    return first;
}

static void key_of(unsigned number, uint8_t key[TLS_KEY_MAX])
{
    memset(key, 0, TLS_KEY_MAX);
    memcpy(key, &number, sizeof(number));
}

static uint32_t stream_alone(enum tls_aead aead, unsigned number)
{
    struct tls_aead_place place = {0};
    uint8_t key[TLS_KEY_MAX];

    key_of(number, key);
    uint32_t stream = stream_of(tls_aead_get(&place, aead, key, true), true);
    tls_aead_forget(&place);
    return stream;
}

static void a_context_stays_while_there_are_enough(void **state)
{
    struct tls_aead_place place = {0}, others[TLS_AEAD_CONTEXTS] = {0};
    uint8_t key[TLS_KEY_MAX];

    key_of(1, key);
    EVP_CIPHER_CTX *aead = tls_aead_get(&place, TLS_AEAD_AES_128_GCM, key, true);
    uint64_t owner = place.owner;
    for (unsigned i = 0; i < TLS_AEAD_CONTEXTS - 1; i++)
        assert_non_null(tls_aead_get(&others[i], TLS_AEAD_AES_256_GCM, key, false));
    assert_ptr_equal(tls_aead_get(&place, TLS_AEAD_AES_128_GCM, key, true), aead);
    assert_true(place.owner == owner);
    for (unsigned i = 0; i < TLS_AEAD_CONTEXTS; i++)
        tls_aead_forget(&others[i]);
    tls_aead_forget(&place);
    assert_true(place.owner == 0);
}

static void more_than_there_are_get_their_own_keys_all_the_same(void **state)
{
    static struct tls_aead_place places[MANY];
    static uint32_t streams[MANY];
    uint8_t key[TLS_KEY_MAX];

    for (unsigned i = 0; i < MANY; i++)
        streams[i] = stream_alone(i % 3, i);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < MANY; i++) {
            bool sealing = i % 2 == 0;

            key_of(i, key);
            EVP_CIPHER_CTX *aead = tls_aead_get(&places[i], i % 3, key, sealing);
            assert_true(stream_of(aead, sealing) == streams[i]);
        }
    for (unsigned i = 0; i < MANY; i++)
        tls_aead_forget(&places[i]);
}

static void a_forgotten_place_gives_no_key_away(void **state)
{
    struct tls_aead_place place = {0}, copy, next = {0};
    uint8_t key[TLS_KEY_MAX];

    key_of(1, key);
    assert_non_null(tls_aead_get(&place, TLS_AEAD_AES_128_GCM, key, true));
    copy = place;
    tls_aead_forget(&place);
    tls_aead_forget(&place); /* does no harm */
    key_of(2, key);
    uint32_t stream = stream_of(tls_aead_get(&copy, TLS_AEAD_AES_128_GCM, key, true), true);
    assert_true(stream == stream_alone(TLS_AEAD_AES_128_GCM, 2));
    assert_true(stream != stream_alone(TLS_AEAD_AES_128_GCM, 1));
    assert_non_null(tls_aead_get(&next, TLS_AEAD_AES_128_GCM, key, true));
    assert_true(next.owner != copy.owner);
    tls_aead_forget(&copy);
    tls_aead_forget(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_stays_while_there_are_enough),
        cmocka_unit_test(more_than_there_are_get_their_own_keys_all_the_same),
        cmocka_unit_test(a_forgotten_place_gives_no_key_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
