/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DANE for SMTP (RFC 6698, 7671, 7672): which TLSA records can match, how they reach OpenSSL, which
 * does the matching, and what is told of it.
 */
#include "tls_handshake.h"

#include "tls_cert.h"

#include <stdio.h>

/* Whole certificates and keys come from whoever signs the zone. */
static bool certificate_parses(const struct tls_tlsa *record)
{
    const uint8_t *at = record->data;
    X509 *cert = d2i_X509(NULL, &at, record->len);
    bool ok = cert && at == record->data + record->len && X509_get0_pubkey(cert);

    X509_free(cert);
    return ok;
}

static bool key_parses(const struct tls_tlsa *record)
{
    const uint8_t *at = record->data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, record->len);
    bool ok = key && at == record->data + record->len;

    EVP_PKEY_free(key);
    return ok;
}

static bool data_usable(const struct tls_tlsa *record)
{
    switch (record->matching) {
    case TLSA_FULL:
        if (record->len == 0)
            return false;
        return record->selector == TLSA_CERT ? certificate_parses(record) : key_parses(record);
    case TLSA_SHA256:
        return record->len == 32;
    case TLSA_SHA512:
        return record->len == 64;
    default:
        return false; /* what DNS says, not a case forgotten */
    }
}

bool tls_tlsa_usable(const struct tls_tlsa *record)
{
    /* RFC 7672 section 3.1.3: 0 and 1 need a list of CAs that an MTA does not have. */
    if (record->usage != TLSA_DANE_TA && record->usage != TLSA_DANE_EE)
        return false;
    if (record->selector > TLSA_SPKI)
        return false;
    bool usable = data_usable(record);
    ERR_clear_error();
    return usable;
}

int tls_dane_set(struct tls_handshake *h)
{
    /* Without a name: usage 3 knows none (RFC 7672 section 3.1.1), those of usage 2 are ours to
     * check, and the SNI is set already. */
    if (SSL_dane_enable(h->ssl, NULL) != 1)
        return ERR_NOMEM;
    for (size_t i = 0; i < h->tlsa_len; i++) {
        const struct tls_tlsa *record = &h->tlsa[i];

        if (!tls_tlsa_usable(record))
            continue;
        int added = SSL_dane_tlsa_add(h->ssl, record->usage, record->selector, record->matching,
                                      record->data, record->len);
        if (added < 0)
            return ERR_NOMEM;
        h->tlsa_usable += added;
    }
    ERR_clear_error();
    return ERR_OK;
}

bool tls_dane_matched(struct tls_handshake *h, char *out, size_t room, uint8_t *ret_usage)
{
    uint8_t selector, matching;

    if (SSL_get0_dane_tlsa(h->ssl, ret_usage, &selector, &matching, NULL, NULL) < 0)
        return false;
    snprintf(out, room, "dane %u %u %u", *ret_usage, selector, matching);
    return true;
}

void tls_dane_explain(const struct tls_handshake *h, X509 *leaf, char *out, size_t room)
{
    uint8_t spki[32];
    char hex[65] = "unreadable";

    if (h->tlsa_usable == 0) {
        snprintf(out, room, "none of the host's %zu TLSA records is usable", h->tlsa_len);
        return;
    }
    if (tls_cert_spki_sha256(leaf, spki))
        for (size_t i = 0; i < sizeof(spki); i++)
            snprintf(hex + 2 * i, 3, "%02x", spki[i]);
    snprintf(out, room, "none of the host's %zu usable TLSA records matches; its key is 3 1 1 %s",
             h->tlsa_usable, hex);
}
