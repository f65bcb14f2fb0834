/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_handshake.h"

#include "tls_cert.h"

#include <stdio.h>

/* What OpenSSL's reasons mean for the one who has to mend it. */
static const struct {
    int reason;
    const char *text;
} reasons[] = {
    {SSL_R_NO_SHARED_CIPHER, "no cipher suite in common"},
    {SSL_R_NO_CIPHERS_AVAILABLE, "no cipher suite in common"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "no TLS version in common (the peer's is older than we accept)"},
    {SSL_R_VERSION_TOO_LOW, "no TLS version in common (the peer's is older than we accept)"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "no key exchange group in common"},
    {SSL_R_NO_SUITABLE_GROUPS, "no key exchange group in common"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
     "no signature algorithm in common that fits the certificate"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
     "no signature algorithm in common that fits the certificate"},
    {SSL_R_WRONG_SIGNATURE_TYPE, "the peer signs with an algorithm that we do not accept"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "the client asked (ALPN) for another protocol than smtp"},
    {SSL_R_EE_KEY_TOO_SMALL, "the peer's certificate has too small a key"},
    {SSL_R_CA_KEY_TOO_SMALL, "a certificate in the peer's chain has too small a key"},
    {SSL_R_CA_MD_TOO_WEAK, "a certificate in the peer's chain is signed with a weak digest"},
    {SSL_R_DH_KEY_TOO_SMALL, "the peer's Diffie-Hellman group is too small"},
    {SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED,
     "the peer lacks secure renegotiation (RFC 5746): very old software"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a record is not authentic"},
};

/* RFC 8446 section 6.2; a note where the bare name does not say whose fault it is. */
static const struct {
    int alert;
    const char *note;
} alerts[] = {
    {40, "it found no suite, group or signature that it likes"},
    {42, "it does not accept our certificate"},
    {43, "it does not accept our type of certificate"},
    {44, "our certificate is revoked"},
    {45, "it finds our certificate expired"},
    {46, "it does not accept our certificate"},
    {48, "it does not know the CA of our certificate"},
    {70, "it wants another TLS version"},
    {71, "it wants stronger parameters than ours"},
    {112, "it has no certificate for the name we asked for"},
    {116, "it requires a client certificate: set one for this route"},
    {120, "it wants another protocol by ALPN"},
};

static void alert_explain(int alert, char *out, size_t room)
{
    const char *note = "";

    for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++)
        if (alerts[i].alert == alert)
            note = alerts[i].note;
    snprintf(out, room, "the peer ended the handshake with alert %d (%s)%s%s", alert,
             SSL_alert_desc_string_long(alert), *note ? ": " : "", note);
}

static enum tls_profile profile_of(const struct tls_handshake *h)
{
    return h->server ? tls_server_profile(h->server) : tls_client_profile(h->client);
}

/* What the peer has nothing in common with. */
static void reason_explain(const struct tls_handshake *h, const char *text, char *out, size_t room)
{
    const char *groups =
        h->server ? tls_server_groups_text(h->server) : tls_client_groups_text(h->client);

    snprintf(out, room, "%s; our profile is %s%s%s", text, tls_profile_name(profile_of(h)),
             *groups ? ", our groups are " : "", groups);
}

static void not_tls_explain(struct tls_failure *ret)
{
    ret->kind = TLS_FAIL_PROTOCOL;
    snprintf(ret->text, sizeof(ret->text),
             "the peer does not speak TLS here (its bytes are no TLS record)");
}

void tls_failure_explain(const struct tls_handshake *h, struct tls_failure *ret)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;

    *ret = (struct tls_failure){.kind = TLS_FAIL_PROTOCOL};
    if (h->too_big) {
        ret->kind = TLS_FAIL_LIMIT;
        snprintf(ret->text, sizeof(ret->text),
                 "the peer's handshake is larger than is accepted (%d bytes)", TLS_HANDSHAKE_MAX);
        return;
    }
    if (h->not_tls) {
        not_tls_explain(ret);
        return;
    }
    if (h->no_memory) {
        ret->kind = TLS_FAIL_INTERNAL;
        snprintf(ret->text, sizeof(ret->text), "%s", err_text(ERR_NOMEM));
        return;
    }
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        ret->kind = TLS_FAIL_CLIENT_CERT;
        snprintf(ret->text, sizeof(ret->text),
                 "this listener requires a client certificate and the client sent none");
        return;
    }
    if (h->judgement.verify == TLS_VERIFY_FAILED && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        ret->kind = h->server ? TLS_FAIL_CLIENT_CERT : TLS_FAIL_VERIFY;
        ret->fault = h->judgement.fault;
        snprintf(ret->text, sizeof(ret->text), "%s", h->judgement.text);
        return;
    }
    if (reason >= SSL_AD_REASON_OFFSET) {
        alert_explain(reason - SSL_AD_REASON_OFFSET, ret->text, sizeof(ret->text));
        return;
    }
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].reason == reason) {
            reason_explain(h, reasons[i].text, ret->text, sizeof(ret->text));
            return;
        }
    const char *own = ERR_reason_error_string(error);
    snprintf(ret->text, sizeof(ret->text), "TLS handshake failed: %.100s",
             own ? own : "malformed or out of order");
    if (error && !reason && ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
        ret->kind = TLS_FAIL_INTERNAL;
}
