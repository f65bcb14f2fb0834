/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is amiss with processor, system or library: libipsec-mb is refused with a reason, and
 * OpenSSL goes on. What the library says goes by way of this test (the linker's --wrap). */
#include "test_crypto.h"

#include "tls_aead.h"

#include <intel-ipsec-mb.h>

/* What the library says otherwise than it is. */
static struct {
    uint64_t lacks;      /* features of the processor */
    uint64_t failed;     /* features of the manager, once it is made */
    bool old, no_memory; /* it has functions for other processors; it makes no manager */
    unsigned made, freed;
} lie;

uint64_t __real_imb_get_feature_flags(void);
uint64_t __wrap_imb_get_feature_flags(void);
IMB_MGR *__real_alloc_mb_mgr(uint64_t flags);
IMB_MGR *__wrap_alloc_mb_mgr(uint64_t flags);
void __real_free_mb_mgr(IMB_MGR *m);
void __wrap_free_mb_mgr(IMB_MGR *m);
void __real_init_mb_mgr_auto(IMB_MGR *m, IMB_ARCH *arch);
void __wrap_init_mb_mgr_auto(IMB_MGR *m, IMB_ARCH *arch);

uint64_t __wrap_imb_get_feature_flags(void)
{
    return __real_imb_get_feature_flags() & ~lie.lacks;
}

IMB_MGR *__wrap_alloc_mb_mgr(uint64_t flags)
{
    IMB_MGR *m = lie.no_memory ? NULL : __real_alloc_mb_mgr(flags);

    lie.made += m != NULL;
    return m;
}

void __wrap_free_mb_mgr(IMB_MGR *m)
{
    lie.freed++;
    __real_free_mb_mgr(m);
}

void __wrap_init_mb_mgr_auto(IMB_MGR *m, IMB_ARCH *arch)
{
    __real_init_mb_mgr_auto(m, arch);
    m->features &= ~lie.failed;
    if (lie.old)
        *arch = IMB_ARCH_AVX2;
}

static void refused(const char *reason)
{
    char said[TLS_AEAD_WHY_TEXT], why[TLS_AEAD_WHY_TEXT];

    assert_int_equal(tls_aead_use(TLS_AEAD_BACKEND_OPENSSL, said, sizeof(said)), ERR_OK);
    assert_int_equal(tls_aead_use(TLS_AEAD_BACKEND_IPSEC_MB, said, sizeof(said)), ERR_UNSUPPORTED);
    assert_string_equal(said, reason);
    assert_int_equal(tls_aead_used(), TLS_AEAD_BACKEND_OPENSSL);
    assert_int_equal(tls_aead_use_fastest(why, sizeof(why)), TLS_AEAD_BACKEND_OPENSSL);
    assert_memory_equal(why, "OpenSSL 3.", 10);
    assert_non_null(strstr(why, reason));
    assert_int_equal(lie.made, lie.freed);
    memset(&lie, 0, sizeof(lie));
}

static bool is_there(void)
{
    const uint64_t wanted = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AVX512_SKX;

    return (__real_imb_get_feature_flags() & wanted) == wanted;
}

static void a_processor_without_is_refused(void **state)
{
    lie.lacks = IMB_FEATURE_VAES;
    refused("the processor has no VAES and VPCLMULQDQ");
    lie.lacks = IMB_FEATURE_VPCLMULQDQ;
    refused("the processor has no VAES and VPCLMULQDQ");
    if (!is_there())
        skip();
    lie.lacks = IMB_FEATURE_AVX512VL;
    refused("the processor has no AVX-512");
}

static void a_library_that_fails_is_refused(void **state)
{
    if (!is_there())
        skip();
    lie.no_memory = true;
    refused("no memory for libipsec-mb");
    lie.failed = IMB_FEATURE_SELF_TEST_PASS;
    refused("libipsec-mb's test of itself failed");
    lie.failed = IMB_FEATURE_SELF_TEST;
    refused("libipsec-mb's test of itself failed");
    lie.old = true;
    refused("libipsec-mb has no functions for this processor");
}

/* Last, for once it is there it stays. */
static void the_manager_is_needed_once_and_freed(void **state)
{
    char said[TLS_AEAD_WHY_TEXT];

    if (!is_there())
        skip();
    for (int i = 0; i < 3; i++)
        assert_int_equal(tls_aead_use(TLS_AEAD_BACKEND_IPSEC_MB, said, sizeof(said)), ERR_OK);
    assert_int_equal(lie.made, 1);
    assert_int_equal(lie.freed, 1);
    assert_memory_equal(said, "libipsec-mb ", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_processor_without_is_refused),
        cmocka_unit_test(a_library_that_fails_is_refused),
        cmocka_unit_test(the_manager_is_needed_once_and_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
