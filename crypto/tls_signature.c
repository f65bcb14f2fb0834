/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_signature.h"

#include "tls_openssl.h"

#include <stdio.h>

enum { SECURITY_BITS_MIN = 112 }; /* NIST SP 800-131A */

static int fail(char *why, size_t why_room, const char *text)
{
    snprintf(why, why_room, "%s", text);
    return ERR_TLS;
}

static EVP_PKEY *key_read(struct span pem)
{
    BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return key;
}

static bool verify(EVP_PKEY *key, struct span data, struct span signature)
{
    bool edwards = EVP_PKEY_get_id(key) == EVP_PKEY_ED25519;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md &&
                EVP_DigestVerifyInit(md, NULL, edwards ? NULL : EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(md, signature.ptr, signature.len, data.ptr, data.len) == 1;

    EVP_MD_CTX_free(md);
    return good;
}

int tls_signature_check(struct span data, struct span signature, struct span key, char *why,
                        size_t why_room)
{
    EVP_PKEY *public = key_read(key);
    int kind = public ? EVP_PKEY_get_id(public) : EVP_PKEY_NONE;
    int err = ERR_OK;

    if (kind != EVP_PKEY_ED25519 && kind != EVP_PKEY_EC && kind != EVP_PKEY_RSA)
        err = fail(why, why_room, "no PEM of a public key of Ed25519, ECDSA or RSA");
    else if (EVP_PKEY_get_security_bits(public) < SECURITY_BITS_MIN)
        err = fail(why, why_room, "a key that is too short");
    else if (!verify(public, data, signature))
        err = fail(why, why_room, "a signature that is not the key's for this list");
    EVP_PKEY_free(public);
    ERR_clear_error();
    return err;
}
