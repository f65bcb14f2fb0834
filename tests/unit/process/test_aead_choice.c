/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "aead_choice.h"

#include <string.h>

static const struct conf_gateway conf_auto = {.aead = CONF_AEAD_AUTO},
                                 conf_openssl = {.aead = CONF_AEAD_OPENSSL},
                                 conf_ipsec_mb = {.aead = CONF_AEAD_IPSEC_MB};

static void openssl_is_always_to_be_had(void **state)
{
    struct aead_choice choice;
    char why[AEAD_ERROR_TEXT];

    assert_int_equal(aead_choose(&conf_openssl, &choice, why, sizeof(why)), ERR_OK);
    assert_int_equal(choice.backend, TLS_AEAD_BACKEND_OPENSSL);
    assert_int_equal(tls_aead_used(), TLS_AEAD_BACKEND_OPENSSL);
    assert_memory_equal(choice.why, "OpenSSL 3.", 10);
    assert_non_null(strstr(choice.why, ": the configuration says openssl"));
}

static void ipsec_mb_is_taken_or_refused_with_its_reason(void **state)
{
    struct aead_choice choice;
    char why[AEAD_ERROR_TEXT], said[TLS_AEAD_WHY_TEXT];
    bool is_there = tls_aead_use(TLS_AEAD_BACKEND_IPSEC_MB, said, sizeof(said)) == ERR_OK;

    assert_int_equal(tls_aead_use(TLS_AEAD_BACKEND_OPENSSL, why, sizeof(why)), ERR_OK);
    int err = aead_choose(&conf_ipsec_mb, &choice, why, sizeof(why));
    if (is_there) {
        assert_int_equal(err, ERR_OK);
        assert_int_equal(choice.backend, TLS_AEAD_BACKEND_IPSEC_MB);
        assert_int_equal(tls_aead_used(), TLS_AEAD_BACKEND_IPSEC_MB);
        assert_memory_equal(choice.why, "libipsec-mb ", 12);
        assert_non_null(strstr(choice.why, ": the configuration says ipsec-mb"));
        return;
    }
    assert_int_equal(err, ERR_CONFIG);
    assert_int_equal(tls_aead_used(), TLS_AEAD_BACKEND_OPENSSL);
    assert_memory_equal(why, "found \"ipsec-mb\"", 16);
    assert_non_null(strstr(why, said));
    assert_non_null(strstr(why, "allowed is \"auto\" or \"openssl\""));
}

static void auto_takes_the_fastest_there_is(void **state)
{
    struct aead_choice choice;
    char why[AEAD_ERROR_TEXT], said[TLS_AEAD_WHY_TEXT];
    enum tls_aead_backend fastest = tls_aead_use_fastest(said, sizeof(said));

    assert_int_equal(aead_choose(&conf_openssl, &choice, why, sizeof(why)), ERR_OK);
    assert_int_equal(aead_choose(&conf_auto, &choice, why, sizeof(why)), ERR_OK);
    assert_int_equal(choice.backend, fastest);
    assert_int_equal(tls_aead_used(), fastest);
    assert_string_equal(choice.why, said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_is_always_to_be_had),
        cmocka_unit_test(ipsec_mb_is_taken_or_refused_with_its_reason),
        cmocka_unit_test(auto_takes_the_fastest_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
