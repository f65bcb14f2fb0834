/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-GCM by libipsec-mb's direct calls, without its jobs: one call a record, no look-up by name,
 * and AES and GHASH on two or four blocks an instruction (from 2.0 on also without AVX-512). A call
 * costs 0.03 microseconds where EVP's cost 0.2.
 *
 * Of its manager nothing is needed but the addresses of the functions that suit this processor: it
 * takes 200 KB, and is freed once it has told them. These functions keep no state.
 */
#include "tls_aead_priv.h"

#include "tls_openssl.h"

#include <intel-ipsec-mb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNED = 64, /* as the library declares its keys on the systems it knows */
    COPIED = 2048 /* up to it a copy and one call are cheaper than four calls without a copy */
};

struct ready_key {
    struct gcm_key_data data __attribute__((aligned(ALIGNED)));
};

enum { AES_128, AES_256, SIZES };

static struct {
    bool ready;
    struct {
        aes_gcm_pre_t pre;
        aes_gcm_enc_dec_t enc, dec;
        aes_gcm_init_t init;
        aes_gcm_enc_dec_update_t update;
        aes_gcm_enc_dec_finalize_t finalize;
    } sizes[SIZES];
} gcm;

static int size_of(enum tls_aead aead)
{
    return aead == TLS_AEAD_AES_256_GCM ? AES_256 : AES_128;
}

/* The library asks the processor only, and its test of itself then uses what the processor has: the
 * compiler's own look also asks whether the system saves the registers. */
static const char *processor_lacks(void)
{
    uint64_t features = imb_get_feature_flags();

    if (!(features & IMB_FEATURE_VAES) || !(features & IMB_FEATURE_VPCLMULQDQ))
        return "the processor has no VAES and VPCLMULQDQ";
    if (!__builtin_cpu_supports("avx2"))
        return "the system does not save AVX's registers";
    if ((features & IMB_FEATURE_AVX512F) && !__builtin_cpu_supports("avx512f"))
        return "the system does not save AVX-512's registers";
    return NULL;
}

static const char *manager_wrong(IMB_MGR *m, IMB_ARCH arch)
{
    const uint64_t tested = IMB_FEATURE_SELF_TEST | IMB_FEATURE_SELF_TEST_PASS;

    if (imb_get_errno(m) != 0)
        return imb_get_strerror(imb_get_errno(m));
    if ((m->features & tested) != tested)
        return "libipsec-mb's test of itself failed";
    return arch == IMB_ARCH_AVX512 || arch == IMB_ARCH_AVX2
               ? NULL
               : "libipsec-mb has no functions for this processor";
}

static void functions_take(const IMB_MGR *m)
{
    gcm.sizes[AES_128].pre = m->gcm128_pre;
    gcm.sizes[AES_128].enc = m->gcm128_enc;
    gcm.sizes[AES_128].dec = m->gcm128_dec;
    gcm.sizes[AES_128].init = m->gcm128_init;
    gcm.sizes[AES_128].update = m->gcm128_enc_update;
    gcm.sizes[AES_128].finalize = m->gcm128_enc_finalize;
    gcm.sizes[AES_256].pre = m->gcm256_pre;
    gcm.sizes[AES_256].enc = m->gcm256_enc;
    gcm.sizes[AES_256].dec = m->gcm256_dec;
    gcm.sizes[AES_256].init = m->gcm256_init;
    gcm.sizes[AES_256].update = m->gcm256_enc_update;
    gcm.sizes[AES_256].finalize = m->gcm256_enc_finalize;
    gcm.ready = true;
}

static const char *library_open(void)
{
    IMB_ARCH arch = IMB_ARCH_NONE;
    IMB_MGR *m = alloc_mb_mgr(0);

    if (!m)
        return "no memory for libipsec-mb";
    init_mb_mgr_auto(m, &arch);
    const char *wrong = manager_wrong(m, arch);
    if (!wrong)
        functions_take(m);
    free_mb_mgr(m);
    return wrong;
}

static bool ipsec_mb_ready(char *said, size_t room)
{
    const char *wrong = gcm.ready ? NULL : processor_lacks();

    if (!wrong && !gcm.ready)
        wrong = library_open();
    if (wrong)
        snprintf(said, room, "%s", wrong);
    else
        snprintf(said, room, "libipsec-mb %s", imb_get_version_str());
    return !wrong;
}

static bool ipsec_mb_key(void **state, enum tls_aead aead, const uint8_t *key, bool sealing)
{
    struct ready_key *k = *state;

    if (!k)
        k = *state = aligned_alloc(ALIGNED, sizeof(*k));
    if (!k)
        return false;
    /* A 128-bit key takes less room than the 256-bit one that may have been here. */
    OPENSSL_cleanse(k, sizeof(*k));
    gcm.sizes[size_of(aead)].pre(key, &k->data);
    return true;
}

static void ipsec_mb_forget(void *state)
{
    if (state)
        OPENSSL_cleanse(state, sizeof(struct ready_key));
    free(state);
}

static bool ipsec_mb_open(void *state, enum tls_aead aead, struct tls_aead_record *r)
{
    const struct ready_key *k = state;
    struct gcm_context_data context;
    uint8_t tag[TLS_TAG_LEN];

    gcm.sizes[size_of(aead)].dec(&k->data, &context, r->bytes, r->bytes, r->len, r->nonce, r->aad,
                                 r->aad_len, tag, sizeof(tag));
    bool same = CRYPTO_memcmp(tag, r->bytes + r->len, sizeof(tag)) == 0;
    OPENSSL_cleanse(tag, sizeof(tag)); /* of a forged record: with it the next try would pass */
    return same;
}

static bool ipsec_mb_seal(void *state, enum tls_aead aead, struct tls_aead_record *r)
{
    const struct ready_key *k = state;
    struct gcm_context_data context;
    int size = size_of(aead);
    size_t sealed = r->len + (r->inner_type ? 1 : 0);
    uint8_t *tag = r->bytes + sealed;

    if (r->inner_type && r->from != r->bytes && r->len > COPIED) {
        gcm.sizes[size].init(&k->data, &context, r->nonce, r->aad, r->aad_len);
        gcm.sizes[size].update(&k->data, &context, r->bytes, r->from, r->len);
        gcm.sizes[size].update(&k->data, &context, r->bytes + r->len, r->inner_type, 1);
        gcm.sizes[size].finalize(&k->data, &context, tag, TLS_TAG_LEN);
        return true;
    }
    const uint8_t *from = r->from;
    if (r->inner_type) {
        if (from != r->bytes)
            memcpy(r->bytes, from, r->len);
        r->bytes[r->len] = *r->inner_type;
        from = r->bytes;
    }
    gcm.sizes[size].enc(&k->data, &context, r->bytes, from, sealed, r->nonce, r->aad, r->aad_len,
                        tag, TLS_TAG_LEN);
    return true;
}

const struct tls_aead_ops tls_aead_ipsec_mb = {
    .name = "ipsec-mb",
    .ready = ipsec_mb_ready,
    .key = ipsec_mb_key,
    .forget = ipsec_mb_forget,
    .open = ipsec_mb_open,
    .seal = ipsec_mb_seal,
};
