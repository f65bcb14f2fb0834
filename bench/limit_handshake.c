/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes in memory, with OpenSSL alone: what a gateway's handshake could cost if there were
 * nothing around it. The key exchange is X25519 everywhere, so that libraries with a hybrid
 * default compare; P-256 is listed because TLS 1.2 asks it of the certificate too.
 */
#include "limit.h"

#include "wire.h"

#include <stdlib.h>

enum { ROUND_MS = 60, STEPS_MAX = 16, PIPE = 64 * 1024 };

struct limit_handshake {
    SSL_CTX *server, *client;
    SSL_SESSION *session;
};

struct side {
    SSL *ssl;
    double cpu_s;
    bool done;
};

static int session_keep(SSL *ssl, SSL_SESSION *session)
{
    struct limit_handshake *h = SSL_get_app_data(ssl);

    SSL_SESSION_free(h->session);
    h->session = session;
    return 1;
}

/* As bare as OpenSSL makes them: the read ahead of a load generator is of no use here. */
static bool context_prepare(SSL_CTX *context)
{
    if (!context)
        return false;
    SSL_CTX_set_read_ahead(context, 0);
    SSL_CTX_set_default_read_buffer_len(context, 0);
    return true;
}

int limit_handshake_new(const struct limit_handshake_conf *conf, struct limit_handshake **ret)
{
    struct limit_handshake *h = calloc(1, sizeof(*h));

    if (!h)
        return ERR_NOMEM;
    const struct wire_offer offer = {
        .tls12 = conf->tls12, .suites = conf->suite, .groups = "X25519:P-256"};
    h->server = wire_server_context(&offer, conf->cert, conf->key);
    h->client = wire_client_context(&offer);
    if (!context_prepare(h->server) || !context_prepare(h->client)) {
        limit_handshake_free(h);
        return ERR_TLS;
    }
    SSL_CTX_set_session_cache_mode(h->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(h->client, session_keep);
    *ret = h;
    return ERR_OK;
}

void limit_handshake_free(struct limit_handshake *h)
{
    if (!h)
        return;
    SSL_SESSION_free(h->session);
    SSL_CTX_free(h->server);
    SSL_CTX_free(h->client);
    free(h);
}

static void side_step(struct side *s)
{
    double began = limit_cpu_s();

    ERR_clear_error();
    s->done = SSL_do_handshake(s->ssl) == 1;
    s->cpu_s += limit_cpu_s() - began;
}

static bool side_new(struct side *s, SSL_CTX *context, BIO *bio, bool server)
{
    double began = limit_cpu_s();

    s->ssl = SSL_new(context);
    if (!s->ssl || !bio) {
        BIO_free(bio);
        return false;
    }
    SSL_set_bio(s->ssl, bio, bio);
    if (server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    s->cpu_s += limit_cpu_s() - began;
    return true;
}

static void side_free(struct side *s)
{
    double began = limit_cpu_s();

    if (s->ssl) /* else its session could not be resumed */
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->cpu_s += limit_cpu_s() - began;
}

/* Tickets of TLS 1.3 come after the handshake. */
static void tickets_take(struct side *client)
{
    double began = limit_cpu_s();
    char byte;

    (void)SSL_read(client->ssl, &byte, 1);
    client->cpu_s += limit_cpu_s() - began;
}

static int handshake_once(struct limit_handshake *h, bool resume, struct side *server,
                          struct side *client)
{
    BIO *near = NULL, *far = NULL;

    server->ssl = client->ssl = NULL;
    server->done = client->done = false;
    if (BIO_new_bio_pair(&near, PIPE, &far, PIPE) != 1)
        return ERR_NOMEM;
    bool made = side_new(client, h->client, near, false);
    made = side_new(server, h->server, far, true) && made;
    if (made && resume)
        made = SSL_set_session(client->ssl, h->session) == 1;
    if (made)
        SSL_set_app_data(client->ssl, h);
    for (int i = 0; made && i < STEPS_MAX && !(client->done && server->done); i++) {
        if (!client->done)
            side_step(client);
        if (!server->done)
            side_step(server);
    }
    bool good = made && client->done && server->done;
    if (good)
        tickets_take(client);
    good = good && (SSL_session_reused(server->ssl) == 1) == resume;
    side_free(client);
    side_free(server);
    return good ? ERR_OK : ERR_TLS;
}

int limit_handshake_run(struct limit_handshake *h, bool resume, double *ret_server_s,
                        double *ret_client_s)
{
    struct side server = {0}, client = {0};
    unsigned count = 0;
    int err = ERR_OK;

    if (resume && !h->session)
        return ERR_TLS;
    while (err == ERR_OK && server.cpu_s + client.cpu_s < ROUND_MS / 1e3) {
        err = handshake_once(h, resume, &server, &client);
        count++;
    }
    *ret_server_s = server.cpu_s / count;
    *ret_client_s = client.cpu_s / count;
    return err;
}
