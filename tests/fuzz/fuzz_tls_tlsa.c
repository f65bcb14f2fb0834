/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever RRset of TLSA records a zone has: what is said to be usable is what OpenSSL takes, and a
 * handshake begins with it. The input is records: usage, selector, matching type, two bytes of
 * length, data. */
#include "fuzz.h"

#include "assertion.h"
#include "tls_openssl.h"
#include "tls_service.h"

enum { RECORDS_MAX = 24 };

static struct tls_service *service;
static struct tls_client_ctx *client;
static SSL_CTX *plain;
static size_t outputs;

static void on_output(void *user, struct leg_id leg, struct span bytes)
{
    ASSERT(bytes.len > 0);
    outputs++;
}

static void on_done(void *user, struct leg_id leg, const struct tls_keys *keys,
                    const struct tls_facts *facts, struct span rest)
{
    ASSERT(!"nobody answers");
}

static void on_failed(void *user, struct leg_id leg, const struct tls_failure *failure)
{
    ASSERT(!"records do not keep a handshake from beginning");
}

static void prepare(void)
{
    static const struct tls_service_events events = {on_output, on_done, on_failed};
    const struct tls_service_conf conf = {.max_legs = 1, .max_handshakes = 1};
    const struct tls_client_conf client_conf = {.profile = TLS_PROFILE_MODERN};
    char why[256];

    plain = SSL_CTX_new(TLS_client_method());
    ASSERT(plain && SSL_CTX_dane_enable(plain) == 1);
    ASSERT(!tls_client_ctx_new(&client_conf, &client, why, sizeof(why)));
    ASSERT(!tls_service_openssl_new(&conf, &events, NULL, &service));
}

static size_t records_read(const uint8_t *data, size_t size, struct tls_tlsa ret[RECORDS_MAX])
{
    size_t len = 0;

    for (size_t at = 0; len < RECORDS_MAX && size - at >= 5; len++) {
        size_t room = size - at - 5, want = (size_t)data[at + 3] << 8 | data[at + 4];

        want = want < room ? want : room;
        ret[len] =
            (struct tls_tlsa){data[at], data[at + 1], data[at + 2], (uint16_t)want, data + at + 5};
        at += 5 + want;
    }
    return len;
}

/* Usage 0 and 1 OpenSSL would take. */
static void usable_is_what_openssl_takes(const struct tls_tlsa *records, size_t len)
{
    SSL *ssl = SSL_new(plain);

    ASSERT(ssl && SSL_dane_enable(ssl, "mx.example") == 1);
    for (size_t i = 0; i < len; i++) {
        const struct tls_tlsa *r = &records[i];
        bool usable = tls_tlsa_usable(r);

        ASSERT(ERR_peek_error() == 0);
        int added = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data, r->len);
        ASSERT(usable == (added == 1 && r->usage >= TLSA_DANE_TA));
        ERR_clear_error();
    }
    SSL_free(ssl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct leg_id leg = {0, 1};
    struct tls_tlsa records[RECORDS_MAX];

    if (!service)
        prepare();
    size_t len = records_read(data, size, records);
    usable_is_what_openssl_takes(records, len);
    const struct tls_client_request request = {.ctx = client,
                                               .check = TLS_CHECK_DANE,
                                               .sni = "mx.example",
                                               .tlsa = records,
                                               .tlsa_len = len};
    outputs = 0;
    ASSERT(!service->ops->start_client(service, leg, &request));
    ASSERT(outputs == 1);
    service->ops->release(service, leg);
    return 0;
}
