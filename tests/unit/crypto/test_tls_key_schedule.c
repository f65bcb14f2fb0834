/* SPDX-License-Identifier: Apache-2.0 */
#include "test_crypto.h"

#include "tls_key_schedule.h"

/* RFC 8448 section 3, "Simple 1-RTT Handshake". */
static const struct {
    const char *secret, *key, *iv;
} rfc8448[] = {
    {"b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
     "3fce516009c21727d0f2e4e86ee403bc", "5d313eb2671276ee13000b30"},
    {"b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
     "dbfaa693d1762c5b666af5d950258d01", "5bd3c71b836e0b76bb73265f"},
    {"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
     "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"},
    {"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
     "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"},
};

static void traffic_keys_are_those_of_rfc_8448(void **state)
{
    for (size_t i = 0; i < sizeof(rfc8448) / sizeof(rfc8448[0]); i++) {
        struct tls_direction d = {0};
        uint8_t key[16], iv[12];

        assert_int_equal(bytes_of(rfc8448[i].secret, d.secret, sizeof(d.secret)), 32);
        bytes_of(rfc8448[i].key, key, sizeof(key));
        bytes_of(rfc8448[i].iv, iv, sizeof(iv));
        assert_int_equal(tls13_direction_derive(&d, 32, 16), ERR_OK);
        assert_memory_equal(d.key, key, sizeof(key));
        assert_memory_equal(d.iv, iv, sizeof(iv));
    }
}

static void suites_are_found_by_number(void **state)
{
    assert_int_equal(tls_suite_find(0x1302)->aead, TLS_AEAD_AES_256_GCM);
    assert_int_equal(tls_suite_find(0xcca9)->aead, TLS_AEAD_CHACHA20_POLY1305);
    assert_int_equal(tls_suite_find(0xc030)->hash_len, 48);
    assert_null(tls_suite_find(0x002f)); /* no AEAD */
    assert_null(tls_suite_find(0x1304)); /* CCM */
}

static void a_tls12_key_block_is_cut_for_both_sides(void **state)
{
    uint8_t master[48];
    struct tls12_randoms randoms;

    memset(master, 7, sizeof(master));
    memset(&randoms, 9, sizeof(randoms));
    for (unsigned id = 0; id < 0x10000; id++) {
        const struct tls_suite *suite = tls_suite_find((uint16_t)id);
        struct tls_keys client = {0}, server = {0};

        if (!suite || suite->version != TLS_VERSION_1_2)
            continue;
        assert_int_equal(tls12_keys_derive(&client, suite, master, 48, &randoms, 0), ERR_OK);
        assert_int_equal(tls12_keys_derive(&server, suite, master, 48, &randoms, 1), ERR_OK);
        assert_memory_equal(&client.tx, &server.rx, sizeof(client.tx));
        assert_memory_equal(&client.rx, &server.tx, sizeof(client.tx));
        assert_memory_not_equal(client.rx.key, client.tx.key, client.key_len);
        assert_int_equal(client.key_len, tls_aead_key_len(suite->aead));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traffic_keys_are_those_of_rfc_8448),
        cmocka_unit_test(suites_are_found_by_number),
        cmocka_unit_test(a_tls12_key_block_is_cut_for_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
