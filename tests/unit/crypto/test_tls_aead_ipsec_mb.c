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
    bool old, no_memory; /* it has functions for older processors only; it makes no manager */
    bool avx2;           /* the processor has no AVX-512 */
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
    if (lie.avx2) {
        init_mb_mgr_avx2(m);
        *arch = IMB_ARCH_AVX2;
    }
    if (lie.old)
        *arch = IMB_ARCH_SSE;
    m->features &= ~lie.failed;
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
    const uint64_t wanted = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

    return (__real_imb_get_feature_flags() & wanted) == wanted;
}

static void a_processor_without_is_refused(void **state)
{
    lie.lacks = IMB_FEATURE_VAES;
    refused("the processor has no VAES and VPCLMULQDQ");
    lie.lacks = IMB_FEATURE_VPCLMULQDQ;
    refused("the processor has no VAES and VPCLMULQDQ");
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

/* n zeros and a type, sealed; and they open again. */
static void sealed_by(enum tls_aead_backend backend, enum tls_aead aead, size_t n, bool in_place,
                      uint8_t *out)
{
    static const uint8_t key[TLS_KEY_MAX] = {1, 2, 3}, plain[TLS_PLAINTEXT_MAX], type = 23;
    static uint8_t copy[TLS_PLAINTEXT_MAX + 1 + TLS_TAG_LEN];
    struct tls_aead_record r = {.bytes = out,
                                .from = in_place ? out : plain,
                                .len = n,
                                .inner_type = &type,
                                .aad = key,
                                .aad_len = 5};
    struct tls_aead_place tx = {0}, rx = {0};
    char said[TLS_AEAD_WHY_TEXT];

    memset(out, 0, n);
    assert_int_equal(tls_aead_use(backend, said, sizeof(said)), ERR_OK);
    assert_int_equal(tls_aead_seal(&tx, aead, key, &r), ERR_OK);
    memcpy(copy, out, n + 1 + TLS_TAG_LEN);
    r.bytes = copy;
    r.len = n + 1;
    assert_int_equal(tls_aead_open(&rx, aead, key, &r), ERR_OK);
    assert_memory_equal(copy, plain, n);
    assert_int_equal(copy[n], type);
    tls_aead_forget(&tx);
    tls_aead_forget(&rx);
}

/* The last two, for once the library is there it stays. Where the processor has AVX-512,
 * test_tls_aead never meets the functions for those without. */
static void the_functions_for_avx2_seal_the_same(void **state)
{
    static uint8_t a[TLS_PLAINTEXT_MAX + 1 + TLS_TAG_LEN], b[sizeof(a)];

    if (!is_there())
        skip();
    lie.avx2 = true;
    for (size_t n = 0; n <= TLS_PLAINTEXT_MAX; n = n < 512 ? n + 1 : n * 2)
        for (int i = 0; i < 4; i++) {
            enum tls_aead aead = i & 1 ? TLS_AEAD_AES_256_GCM : TLS_AEAD_AES_128_GCM;
            sealed_by(TLS_AEAD_BACKEND_OPENSSL, aead, n, i & 2, a);
            sealed_by(TLS_AEAD_BACKEND_IPSEC_MB, aead, n, i & 2, b);
            assert_memory_equal(a, b, n + 1 + TLS_TAG_LEN);
        }
}

static void the_manager_is_needed_once_and_freed(void **state)
{
    char said[TLS_AEAD_WHY_TEXT];

    if (!is_there())
        skip();
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
        cmocka_unit_test(the_functions_for_avx2_seal_the_same),
        cmocka_unit_test(the_manager_is_needed_once_and_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
