/* SPDX-License-Identifier: Apache-2.0 */
#include "acme_request.h"

#include "tls_openssl.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { NAMES_ROOM = 8192 };

static int fail(char *why, size_t why_room, int err, const char *text)
{
    snprintf(why, why_room, "%s", text);
    return err;
}

/* "DNS:a.example,DNS:b.example"; the names were held to what host names may have when they were
 * read. */
static int names_text(const struct conf_strings *names, struct buf *out)
{
    int err = ERR_OK;

    for (size_t i = 0; i < names->len && !err; i++)
        err = buf_printf(out, "%sDNS:%s", i ? "," : "", names->items[i]);
    return err ? err : buf_append(out, "", 1);
}

static bool id_make(EVP_PKEY *key, const char *names, char ret_id[ACME_REQUEST_ID])
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    int len = i2d_PUBKEY(key, &der);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = len > 0 && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(md, der, (size_t)len) == 1 &&
                EVP_DigestUpdate(md, names, strlen(names)) == 1 &&
                EVP_DigestFinal_ex(md, digest, NULL) == 1;

    for (size_t i = 0; good && i < (ACME_REQUEST_ID - 1) / 2; i++)
        snprintf(ret_id + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(md);
    OPENSSL_free(der);
    return good;
}

static X509_REQ *request_make(EVP_PKEY *key, const char *names)
{
    bool edwards = EVP_PKEY_get_id(key) == EVP_PKEY_ED25519;
    X509_REQ *request = X509_REQ_new();
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, NULL, NULL, request, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, names);
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    bool good = request && extension && extensions &&
                sk_X509_EXTENSION_push(extensions, extension) == 1 &&
                X509_REQ_set_version(request, 0) == 1 && X509_REQ_set_pubkey(request, key) == 1 &&
                X509_REQ_add_extensions(request, extensions) == 1 &&
                X509_REQ_sign(request, key, edwards ? NULL : EVP_sha256()) > 0;
    sk_X509_EXTENSION_free(extensions);
    X509_EXTENSION_free(extension);
    if (good)
        return request;
    X509_REQ_free(request);
    return NULL;
}

static int request_write(X509_REQ *request, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    int err = bio && PEM_write_bio_X509_REQ(bio, request) == 1 ? ERR_OK : ERR_NOMEM;

    if (!err) {
        long len = BIO_get_mem_data(bio, &text);
        err = buf_append(out, text, (size_t)len);
    }
    BIO_free(bio);
    return err;
}

int acme_request_make(const char *key_file, const struct conf_strings *names, struct buf *out,
                      char ret_id[ACME_REQUEST_ID], char *why, size_t why_room)
{
    BIO *bio = BIO_new_file(key_file, "r");
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    struct buf text;
    int err = ERR_OK;

    BIO_free(bio);
    ret_id[0] = '\0';
    buf_init(&text, NAMES_ROOM);
    if (!key)
        err = fail(why, why_room, ERR_IO, "its private key can't be read");
    if (!err)
        err = names_text(names, &text);
    const char *list = err ? "" : (const char *)buf_span(&text).ptr;
    X509_REQ *request = err || !id_make(key, list, ret_id) ? NULL : request_make(key, list);
    if (!err && !request)
        err = fail(why, why_room, ERR_TLS, "no request can be made by its private key");
    if (!err)
        err = request_write(request, out);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    buf_release(&text);
    ERR_clear_error();
    return err;
}
