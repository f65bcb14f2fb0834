/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096, CERT_DAYS = 30, READ_AHEAD = 64 * 1024 };

uint64_t wire_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int wire_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    struct span name = span_make(text, colon ? (size_t)(colon - text) : 0);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;

    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = span_make(name.ptr + 1, name.len - 2);
    if (name.len == 0 || colon[1] == '\0' || span_to_cstr(name, host, sizeof(host)) != ERR_OK)
        return ERR_SYNTAX;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return ERR_NOTFOUND;
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return ERR_OK;
}

/* Replies and commands are small and wait for each other: never for Nagle's algorithm. */
static void nodelay_set(int fd)
{
    int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int wire_connect(struct wire *w, const struct sockaddr_storage *to, socklen_t len)
{
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return ERR_SYSTEM;
    nodelay_set(fd);
    if (connect(fd, (const struct sockaddr *)to, len) < 0 && errno != EINPROGRESS) {
        close(fd);
        return ERR_IO;
    }
    *w = (struct wire){.fd = fd, .wants = EPOLLOUT};
    return ERR_OK;
}

int wire_connected(struct wire *w)
{
    int problem = 0;
    socklen_t len = sizeof(problem);

    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &problem, &len) < 0 || problem != 0)
        return ERR_IO;
    w->wants = EPOLLIN;
    return ERR_OK;
}

int wire_listen(const struct sockaddr_storage *at, socklen_t len, int *ret_fd)
{
    int one = 1;
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return ERR_SYSTEM;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (const struct sockaddr *)at, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        close(fd);
        return ERR_SYSTEM;
    }
    *ret_fd = fd;
    return ERR_OK;
}

void wire_accept(struct wire *w, int fd)
{
    nodelay_set(fd);
    *w = (struct wire){.fd = fd, .wants = EPOLLIN};
}

int wire_tls_start(struct wire *w, SSL_CTX *context, bool server, SSL_SESSION *session)
{
    w->ssl = SSL_new(context);
    if (!w->ssl || SSL_set_fd(w->ssl, w->fd) != 1)
        return ERR_NOMEM;
    if (server)
        SSL_set_accept_state(w->ssl);
    else
        SSL_set_connect_state(w->ssl);
    if (session && SSL_set_session(w->ssl, session) != 1)
        return ERR_TLS;
    return ERR_OK;
}

static int tls_result(struct wire *w, int result)
{
    unsigned long why;

    switch (SSL_get_error(w->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        w->wants = EPOLLIN;
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        w->wants = EPOLLOUT;
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return ERR_CLOSED;
    case SSL_ERROR_SYSCALL:
        w->broken = true;
        return ERR_IO;
    default:
        w->broken = true;
        why = ERR_peek_error();
        return ERR_GET_REASON(why) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? ERR_TLS_TRUNCATED
                                                                         : ERR_TLS;
    }
}

static int plain_result(struct wire *w, ssize_t result, uint32_t wants, size_t *ret_len)
{
    *ret_len = result > 0 ? (size_t)result : 0;
    if (result > 0)
        return ERR_OK;
    if (result == 0)
        return ERR_CLOSED;
    if (errno != EAGAIN && errno != EINTR)
        return ERR_IO;
    w->wants = wants;
    return ERR_AGAIN;
}

int wire_handshake(struct wire *w)
{
    ERR_clear_error();
    int result = SSL_do_handshake(w->ssl);
    if (result == 1) {
        w->wants = EPOLLIN;
        return ERR_OK;
    }
    int err = tls_result(w, result);
    return err == ERR_CLOSED ? ERR_TLS : err;
}

int wire_read(struct wire *w, void *out, size_t room, size_t *ret_len)
{
    if (!w->ssl)
        return plain_result(w, recv(w->fd, out, room, 0), EPOLLIN, ret_len);
    ERR_clear_error();
    *ret_len = 0;
    int result = SSL_read_ex(w->ssl, out, room, ret_len);
    return result == 1 ? ERR_OK : tls_result(w, result);
}

int wire_write(struct wire *w, struct span bytes, size_t *ret_len)
{
    if (!w->ssl)
        return plain_result(w, send(w->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), EPOLLOUT, ret_len);
    ERR_clear_error();
    *ret_len = 0;
    int result = SSL_write_ex(w->ssl, bytes.ptr, bytes.len, ret_len);
    return result == 1 ? ERR_OK : tls_result(w, result);
}

void wire_close(struct wire *w)
{
    if (w->ssl) {
        ERR_clear_error();
        if (!w->broken && SSL_is_init_finished(w->ssl))
            (void)SSL_shutdown(w->ssl);
        /* Without this, SSL_free marks the session as one that can't be resumed. */
        SSL_set_shutdown(w->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(w->ssl);
    }
    if (w->fd >= 0)
        close(w->fd);
    *w = (struct wire){.fd = -1};
}

void wire_tls_error(char *out, size_t room)
{
    unsigned long why = ERR_peek_error();

    if (why != 0)
        ERR_error_string_n(why, out, room);
    else
        snprintf(out, room, "no reason given");
}

static bool suites_set(SSL_CTX *context, const char *suites)
{
    bool tls13 = span_starts_nocase(span_str(suites), SPAN_LIT("TLS_"));
    int version = tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;

    return SSL_CTX_set_min_proto_version(context, version) == 1 &&
           SSL_CTX_set_max_proto_version(context, version) == 1 &&
           (tls13 ? SSL_CTX_set_ciphersuites(context, suites)
                  : SSL_CTX_set_cipher_list(context, suites)) == 1;
}

static SSL_CTX *context_new(const SSL_METHOD *method, const struct wire_offer *offer)
{
    SSL_CTX *context = SSL_CTX_new(method);

    if (!context)
        return NULL;
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (offer->tls12)
        SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    if ((!offer->suites || suites_set(context, offer->suites)) &&
        (!offer->groups || SSL_CTX_set1_groups_list(context, offer->groups) == 1))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *wire_client_context(const struct wire_offer *offer)
{
    return context_new(TLS_client_method(), offer);
}

static bool cert_name(X509 *cert)
{
    static const unsigned char name[] = "postern-bench";
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_EXTENSION *alt =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    bool good = alt && X509_add_ext(cert, alt, -1) == 1 &&
                X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1, 0) == 1 &&
                X509_set_issuer_name(cert, subject) == 1;

    X509_EXTENSION_free(alt);
    return good;
}

static bool cert_make(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool good = key && cert && X509_set_version(cert, X509_VERSION_3) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
                X509_gmtime_adj(X509_getm_notAfter(cert), CERT_DAYS * 86400L) &&
                X509_set_pubkey(cert, key) == 1 && cert_name(cert) &&
                X509_sign(cert, key, EVP_sha256()) > 0 &&
                SSL_CTX_use_certificate(context, cert) == 1 &&
                SSL_CTX_use_PrivateKey(context, key) == 1;

    X509_free(cert);
    EVP_PKEY_free(key);
    return good;
}

SSL_CTX *wire_server_context(const struct wire_offer *offer, const char *cert, const char *key)
{
    SSL_CTX *context = context_new(TLS_server_method(), offer);
    bool good =
        context && (cert ? SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
                               SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1
                         : cert_make(context));

    if (good)
        return context;
    SSL_CTX_free(context);
    return NULL;
}
