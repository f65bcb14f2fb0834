/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a stranger sends in place of a handshake: it is told at most one end, and none of it
 * is success. The first byte chooses the role and how the rest is cut into pieces. */
#include "fuzz.h"

#include "assertion.h"
#include "tls_openssl.h"
#include "tls_service.h"

#include <stdlib.h>
#include <unistd.h>

static struct tls_service *service;
static struct tls_server_ctx *server;
static struct tls_client_ctx *client;
static int ends;

static void on_output(void *user, struct leg_id leg, struct span bytes)
{
    ASSERT(bytes.len > 0 && ends == 0);
}

static void on_done(void *user, struct leg_id leg, const struct tls_keys *keys,
                    const struct tls_facts *facts, struct span rest)
{
    ASSERT(!"a stranger without keys can't finish");
}

static void on_failed(void *user, struct leg_id leg, const struct tls_failure *failure)
{
    ASSERT(failure->text[0] != '\0');
    ends++;
}

/* A certificate in files that are gone when this returns. */
static void contexts_make(void)
{
    char cert_file[] = "/tmp/postern-fuzz-XXXXXX", key_file[] = "/tmp/postern-fuzz-XXXXXX",
         why[256];
    FILE *cert_out = fdopen(mkstemp(cert_file), "w"), *key_out = fdopen(mkstemp(key_file), "w");
    const struct tls_cert_files files = {cert_file, key_file};
    const struct tls_server_conf server_conf = {.name = "fuzz", .certs = &files, .certs_len = 1};
    const struct tls_client_conf client_conf = {.profile = TLS_PROFILE_MODERN};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();

    ASSERT(cert_out && key_out && key && cert);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 24 * 3600);
    X509_set_pubkey(cert, key);
    ASSERT(X509_sign(cert, key, EVP_sha256()) > 0);
    ASSERT(PEM_write_X509(cert_out, cert) == 1);
    ASSERT(PEM_write_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(cert_out);
    fclose(key_out);
    ASSERT(!tls_server_ctx_new(&server_conf, &server, why, sizeof(why)));
    ASSERT(!tls_client_ctx_new(&client_conf, &client, why, sizeof(why)));
    unlink(cert_file);
    unlink(key_file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tls_service_events events = {on_output, on_done, on_failed};
    const struct tls_service_conf conf = {.max_legs = 1, .max_handshakes = 1};
    const struct leg_id leg = {0, 1};

    if (size < 2)
        return 0;
    if (!service) {
        contexts_make();
        ASSERT(!tls_service_openssl_new(&conf, &events, NULL, &service));
    }
    const struct tls_client_request request = {.ctx = client, .sni = "mx.example"};
    size_t piece = data[0] >> 1 ? data[0] >> 1 : size;
    ends = 0;
    if (data[0] & 1)
        ASSERT(!service->ops->start_client(service, leg, &request));
    else
        ASSERT(!service->ops->start_server(service, leg, server));
    for (size_t at = 1; at < size; at += piece)
        service->ops->feed(service, leg,
                           span_make(data + at, piece < size - at ? piece : size - at));
    ASSERT(ends <= 1);
    service->ops->release(service, leg);
    return 0;
}
