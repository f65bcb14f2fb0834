/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_handshake.h"

#include "tls_record.h"

#include <stdlib.h>

/* ---- making ---- */

enum { NAME_MAX_LEN = 255 }; /* RFC 1035 section 2.3.4; OpenSSL takes no longer SNI */

static int handshake_new(size_t room, struct tls_handshake **ret)
{
    struct tls_handshake *h = calloc(1, sizeof(*h) + room);

    *ret = h;
    if (!h)
        return ERR_NOMEM;
    buf_init(&h->partial, TLS_RECORD_MAX);
    return ERR_OK;
}

int tls_handshake_new_server(const struct tls_server_ctx *ctx, struct tls_handshake **ret)
{
    int err = handshake_new(0, ret);

    if (!err)
        (*ret)->server = ctx;
    return err;
}

/* The records, and their data behind them. */
static int tlsa_copy(const struct tls_client_request *request, struct tls_handshake *h)
{
    size_t room = request->tlsa_len * sizeof(*request->tlsa);

    if (request->tlsa_len == 0)
        return ERR_OK;
    for (size_t i = 0; i < request->tlsa_len; i++)
        room += request->tlsa[i].len;
    h->tlsa = malloc(room);
    if (!h->tlsa)
        return ERR_NOMEM;
    h->tlsa_len = request->tlsa_len;
    uint8_t *data = (uint8_t *)(h->tlsa + h->tlsa_len);
    for (size_t i = 0; i < h->tlsa_len; i++) {
        h->tlsa[i] = request->tlsa[i];
        h->tlsa[i].data = data;
        if (h->tlsa[i].len > 0)
            memcpy(data, request->tlsa[i].data, h->tlsa[i].len);
        data += h->tlsa[i].len;
    }
    return ERR_OK;
}

int tls_handshake_new_client(const struct tls_client_request *request, struct tls_handshake **ret)
{
    size_t names_len = 0, at = 0, sni_len = request->sni ? strlen(request->sni) + 1 : 0;

    *ret = NULL;
    if (sni_len > NAME_MAX_LEN + 1)
        return ERR_RANGE;
    for (size_t i = 0; i < request->names_len; i++)
        names_len += strlen(request->names[i]) + 1;
    int err = handshake_new(names_len + sni_len, ret);
    if (err)
        return err;
    struct tls_handshake *h = *ret;
    h->client = request->ctx;
    h->names_len = names_len;
    for (size_t i = 0; i < request->names_len; i++) {
        size_t len = strlen(request->names[i]) + 1;

        memcpy(h->names + at, request->names[i], len);
        at += len;
    }
    if (request->sni)
        h->sni = memcpy(h->names + at, request->sni, sni_len);
    h->check = request->check;
    h->lenient = request->lenient;
    err = tlsa_copy(request, h);
    if (err) {
        tls_handshake_free(h);
        *ret = NULL;
    }
    return err;
}

void tls_handshake_free(struct tls_handshake *h)
{
    if (!h)
        return;
    /* Without it SSL_free would make the saved session non-resumable: OpenSSL takes it for a
     * connection that was cut. One that failed shall not be resumed. */
    if (h->done)
        SSL_set_shutdown(h->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(h->ssl);
    SSL_SESSION_free(h->session_old);
    SSL_SESSION_free(h->session_new);
    buf_release(&h->partial);
    free(h->tlsa);
    OPENSSL_cleanse(&h->secrets, sizeof(h->secrets));
    free(h);
}

/* ---- steps ---- */

struct span tls_handshake_output(struct tls_handshake *h)
{
    char *data = NULL;
    long len = h->out ? BIO_get_mem_data(h->out, &data) : 0;

    return span_make(data, len > 0 ? (size_t)len : 0);
}

/* What the keys need and OpenSSL does not tell stands in the headers of our own output. */
static void output_read(struct tls_handshake *h)
{
    struct span out = tls_handshake_output(h);

    h->data_records = 0;
    while (out.len >= TLS_RECORD_HEADER) {
        size_t len = TLS_RECORD_HEADER + ((size_t)out.ptr[3] << 8 | out.ptr[4]);

        if (len > out.len)
            return;
        if (out.ptr[0] == TLS_CONTENT_CCS)
            h->after_ccs = true;
        else if (out.ptr[0] == TLS_CONTENT_DATA)
            h->data_records++;
        else if (out.ptr[0] == TLS_CONTENT_HANDSHAKE && h->after_ccs &&
                 len >= TLS_RECORD_HEADER + 8) {
            memcpy(&h->explicit_nonce, out.ptr + TLS_RECORD_HEADER, 8);
            h->explicit_nonce = __builtin_bswap64(h->explicit_nonce);
        }
        out = span_from(out, len);
    }
}

static enum tls_step handshake_step(struct tls_handshake *h)
{
    ERR_clear_error();
    int result = SSL_do_handshake(h->ssl);
    int want = result == 1 ? SSL_ERROR_NONE : SSL_get_error(h->ssl, result);

    output_read(h);
    if (result != 1)
        return want == SSL_ERROR_WANT_READ ? TLS_STEP_MORE : TLS_STEP_FAILED;
    /* One record was in; more in it than the Finished would be lost at the switch, and is
     * nothing that a peer may send (RFC 8446 section 5.1). */
    if (SSL_has_pending(h->ssl) || BIO_pending(h->in) > 0)
        return TLS_STEP_FAILED;
    h->done = true;
    if (h->server && SSL_session_reused(h->ssl))
        tls_server_judge_resumed(h->server, h->ssl, &h->judgement);
    return TLS_STEP_DONE;
}

static bool ssl_make(struct tls_handshake *h)
{
    h->ssl = SSL_new(h->server ? tls_server_ssl_ctx(h->server) : tls_client_ssl_ctx(h->client));
    h->in = BIO_new(BIO_s_mem());
    h->out = BIO_new(BIO_s_mem());
    if (!h->ssl || !h->in || !h->out) {
        BIO_free(h->in);
        BIO_free(h->out);
        SSL_free(h->ssl);
        h->ssl = NULL;
        h->in = h->out = NULL;
        return false;
    }
    SSL_set_bio(h->ssl, h->in, h->out);
    SSL_set_app_data(h->ssl, h);
    return true;
}

/* A session whose chain does not hold any more is not offered: a full handshake may still find
 * the server with a new certificate. */
static void session_offer(struct tls_handshake *h)
{
    if (!h->session_old)
        return;
    h->session_offered = SSL_set_session(h->ssl, h->session_old) == 1 && tls_client_judge_stored(h);
    SSL_SESSION_free(h->session_old);
    h->session_old = NULL;
    if (h->session_offered)
        return;
    SSL_set_session(h->ssl, NULL);
    h->judgement = (struct tls_judgement){.verify = TLS_VERIFY_NONE};
    h->session_bad = true;
    ERR_clear_error();
}

enum tls_step tls_handshake_start(struct tls_handshake *h)
{
    ERR_clear_error();
    if (!ssl_make(h)) {
        h->no_memory = true;
        return TLS_STEP_FAILED;
    }
    if (h->server) {
        SSL_set_accept_state(h->ssl);
        return TLS_STEP_MORE;
    }
    SSL_set_connect_state(h->ssl);
    if (h->sni && SSL_set_tlsext_host_name(h->ssl, h->sni) != 1)
        return TLS_STEP_FAILED;
    if (h->check == TLS_CHECK_DANE && tls_dane_set(h)) {
        h->no_memory = true;
        return TLS_STEP_FAILED;
    }
    session_offer(h);
    return handshake_step(h);
}

/* The header decides how much is waited for, so that it is judged first. No record of a handshake
 * is empty (RFC 8446 section 5.1). */
static bool header_ok(struct tls_handshake *h, const uint8_t *header, size_t len)
{
    size_t payload = len < TLS_RECORD_HEADER ? 1 : (size_t)header[3] << 8 | header[4];

    if (header[0] < TLS_CONTENT_CCS || header[0] > TLS_CONTENT_DATA ||
        (len > 1 && header[1] != 3) || payload == 0)
        h->not_tls = true;
    else if (payload > TLS_CIPHERTEXT_MAX)
        h->too_big = true;
    return !h->not_tls && !h->too_big;
}

static enum tls_step record_run(struct tls_handshake *h, const uint8_t *record, size_t len)
{
    h->taken += len;
    if (h->taken > TLS_HANDSHAKE_MAX) {
        h->too_big = true;
        return TLS_STEP_FAILED;
    }
    if (BIO_write(h->in, record, (int)len) != (int)len)
        return TLS_STEP_FAILED;
    return handshake_step(h);
}

enum tls_step tls_handshake_feed(struct tls_handshake *h, struct span *bytes)
{
    struct span have = buf_len(&h->partial) ? buf_span(&h->partial) : *bytes;
    enum tls_step step = TLS_STEP_MORE;

    (void)BIO_reset(h->out);
    if (bytes->len == 0)
        return TLS_STEP_MORE;
    if (buf_len(&h->partial) < TLS_RECORD_HEADER && buf_len(&h->partial) > 0) {
        size_t n = TLS_RECORD_HEADER - buf_len(&h->partial);

        n = n < bytes->len ? n : bytes->len;
        if (buf_append(&h->partial, bytes->ptr, n))
            return TLS_STEP_FAILED;
        *bytes = span_from(*bytes, n);
        have = buf_span(&h->partial);
    }
    if (!header_ok(h, have.ptr, have.len))
        return TLS_STEP_FAILED;
    size_t need = TLS_RECORD_HEADER;
    if (have.len >= TLS_RECORD_HEADER)
        need += (size_t)have.ptr[3] << 8 | have.ptr[4];
    if (buf_len(&h->partial) == 0 && bytes->len >= need && bytes->len >= TLS_RECORD_HEADER) {
        *bytes = span_from(*bytes, need);
        return record_run(h, have.ptr, need);
    }
    size_t n = need - buf_len(&h->partial);
    n = n < bytes->len ? n : bytes->len;
    if (buf_append(&h->partial, bytes->ptr, n))
        return TLS_STEP_FAILED;
    *bytes = span_from(*bytes, n);
    if (buf_len(&h->partial) == need && need > TLS_RECORD_HEADER) {
        step = record_run(h, buf_span(&h->partial).ptr, need);
        buf_release(&h->partial);
    }
    return step;
}

bool tls_handshake_ticket(struct tls_handshake *h, struct span record)
{
    uint8_t byte;

    if (++h->tickets > TLS_TICKET_RECORDS_MAX || record.len > TLS_RECORD_MAX)
        return false;
    ERR_clear_error();
    if (BIO_write(h->in, record.ptr, (int)record.len) != (int)record.len)
        return false;
    int result = SSL_read(h->ssl, &byte, 1);
    bool more = result <= 0 && SSL_get_error(h->ssl, result) == SSL_ERROR_WANT_READ;
    /* What OpenSSL would answer is none of its business any more: these keys are ours now. */
    (void)BIO_reset(h->out);
    ERR_clear_error();
    return more;
}
