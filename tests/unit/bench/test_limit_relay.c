/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relays that limits are measured with move all that the sender sends, and its answers back, in
 * any cipher: the sink opens each record and counts each byte, and says nothing where one is
 * missing. Where the kernel has TLS (tests/vm), so does the loop of splice.
 */
#include "../cmocka_all.h"

#include "limit.h"

/* Less than a record, and many with a short one at the end. */
static const size_t sizes[] = {64, 300001};

static struct tls_keys keys_of(enum tls_version version, enum tls_aead aead)
{
    return (struct tls_keys){.version = version,
                             .aead = aead,
                             .max_plaintext = TLS_PLAINTEXT_MAX,
                             .key_len = aead == TLS_AEAD_AES_128_GCM ? 16 : 32,
                             .secret_len = version == TLS_VERSION_1_2     ? 0
                                           : aead == TLS_AEAD_AES_256_GCM ? 48
                                                                          : 32};
}

static void each_cipher(int (*relay)(const struct limit_relay_conf *conf, double *ret_s))
{
    static const struct {
        enum tls_version version;
        enum tls_aead aead;
    } rows[] = {{TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
                {TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM},
                {TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM},
                {TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305}};
    double cost;

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        const struct tls_keys keys = keys_of(rows[row].version, rows[row].aead);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            const struct limit_relay_conf conf = {
                .keys = &keys, .size = sizes[i], .sessions = 3, .messages = 2};
            int err = relay(&conf, &cost);
            if (err == ERR_UNSUPPORTED && relay == limit_kernel)
                skip();
            assert_int_equal(err, ERR_OK);
            assert_true(cost >= 0);
        }
    }
}

static void plaintext_is_relayed(void **state)
{
    double cost;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct limit_relay_conf conf = {.size = sizes[i], .sessions = 8, .messages = 2};
        assert_int_equal(limit_relay(&conf, &cost), ERR_OK);
        assert_true(cost >= 0);
    }
}

static void user_records_are_relayed(void **state)
{
    (void)state;
    each_cipher(limit_relay);
}

static void kernel_records_are_spliced(void **state)
{
    (void)state;
    each_cipher(limit_kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plaintext_is_relayed),
        cmocka_unit_test(user_records_are_relayed),
        cmocka_unit_test(kernel_records_are_spliced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
