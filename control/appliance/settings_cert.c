/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_cert.h"

#include "appliance_gateway.h"
#include "tls_openssl.h"

#include <stdio.h>
#include <string.h>

static const char maker[] = "postern, made by the machine itself";

static bool extension_add(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool name_set(X509 *cert, const char *hostname)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)maker, -1, -1,
                                      0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)hostname, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

/* From a day before now, for clocks that are behind, for ten years. */
static X509 *cert_make(EVP_PKEY *key, const char *hostname, int64_t now)
{
    enum { DAY = 86400, YEARS = 10 };
    X509 *cert = X509_new();
    unsigned char serial[8];
    char names[300];

    snprintf(names, sizeof(names), "DNS:%s", hostname);
    bool good =
        cert && RAND_bytes(serial, sizeof(serial)) == 1 && X509_set_version(cert, 2) == 1 &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert),
                                (uint64_t)(serial[0] & 0x7f) << 56 | (uint64_t)serial[1] << 48 |
                                    (uint64_t)serial[2] << 40 | serial[3]) &&
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now - DAY)) &&
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(now + (int64_t)YEARS * 365 * DAY)) &&
        X509_set_pubkey(cert, key) == 1 && name_set(cert, hostname) &&
        extension_add(cert, NID_subject_alt_name, names) &&
        extension_add(cert, NID_basic_constraints, "critical,CA:FALSE") &&
        extension_add(cert, NID_key_usage, "critical,digitalSignature") &&
        extension_add(cert, NID_ext_key_usage, "serverAuth") &&
        X509_sign(cert, key, EVP_sha256()) > 0;

    if (good)
        return cert;
    X509_free(cert);
    return NULL;
}

static int pem_set(struct settings_files *files, const char *name, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);

    return len > 0 ? settings_files_set(files, name, data, (size_t)len) : ERR_SYSTEM;
}

int settings_cert_make(const char *hostname, int64_t now, struct settings_files *files)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? cert_make(key, hostname, now) : NULL;
    BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
    bool good = cert && cert_bio && key_bio && PEM_write_bio_X509(cert_bio, cert) == 1 &&
                PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    int err = good ? pem_set(files, APPLIANCE_KEY, key_bio) : ERR_SYSTEM;

    if (!err)
        err = pem_set(files, APPLIANCE_CERT, cert_bio);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    X509_free(cert);
    EVP_PKEY_free(key);
    return err;
}

bool settings_cert_is_self_made(const char *pem, size_t len, const char *hostname, bool *ret_named)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    char organization[64] = "";

    if (cert)
        X509_NAME_get_text_by_NID(X509_get_issuer_name(cert), NID_organizationName, organization,
                                  sizeof(organization));
    *ret_named = cert && X509_check_host(cert, hostname, 0, 0, NULL) == 1;
    X509_free(cert);
    BIO_free(bio);
    return strcmp(organization, maker) == 0;
}
