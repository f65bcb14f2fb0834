/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One handshake: an SSL object between two memory BIOs, fed one record at a time. What it knows at
 * its end becomes keys and facts (tls_export.c), or a text for the administrator (tls_failure.c).
 * Private to this floor; tls_service_openssl.c makes and frees it, tls_job.c runs its steps.
 *
 * It may go from thread to thread, but only one of them has it at a time. What it shares with
 * others is never written: the contexts, and what OpenSSL itself locks or counts in them. A session
 * to resume is a copy of its own; a new one is kept here until the service takes it.
 */
#pragma once

#include "buf.h"
#include "tls_openssl.h"
#include "tls_service.h"

enum {
    TLS_HANDSHAKE_MAX = 128 * 1024, /* bytes that a peer may send for one handshake */
    TLS_TICKET_RECORDS_MAX = 16,    /* records that may come as tickets after it */
};

/* What came of looking at the peer's certificate. */
struct tls_judgement {
    enum tls_verify verify;
    enum tls_cert_fault fault;
    char text[160];
};

/* TLS 1.3 traffic secrets, by side. */
struct tls_secrets {
    uint8_t client[TLS_SECRET_MAX], server[TLS_SECRET_MAX];
    uint8_t client_len, server_len;
};

enum tls_step { TLS_STEP_MORE, TLS_STEP_DONE, TLS_STEP_FAILED };

struct tls_handshake {
    SSL *ssl;
    BIO *in, *out;                       /* the SSL object's */
    const struct tls_server_ctx *server; /* one of the two is set */
    const struct tls_client_ctx *client;
    /* A client's: what it may resume (its own), and the newest that the server gave. */
    SSL_SESSION *session_old, *session_new;
    bool session_offered, session_bad; /* bad: its chain does not hold any more */
    struct tls_judgement judgement;
    struct tls_secrets secrets;
    struct buf partial; /* of the record that is not complete */
    size_t taken;       /* bytes that the peer sent */
    uint32_t tickets;   /* records that came after the handshake */
    bool done, too_big, not_tls, no_memory;
    /* Read off our own output. */
    bool after_ccs;
    uint64_t explicit_nonce; /* of our Finished, TLS 1.2 GCM */
    uint32_t data_records;   /* that the last step emitted */
    enum tls_check check;    /* a client's; what follows too */
    bool lenient;
    struct tls_tlsa *tlsa;   /* with the data behind the records, or NULL */
    size_t tlsa_len;
    size_t tlsa_usable; /* of these; the SSL object has them */
    const char *sni;    /* behind the names, or NULL */
    size_t names_len;
    char names[]; /* reference names, each with its NUL */
};

/* These copy what they are given, and leave OpenSSL for the first step. ERR_NOMEM; ERR_RANGE: a
 * name longer than DNS allows. */
int tls_handshake_new_server(const struct tls_server_ctx *ctx,
                             struct tls_handshake **ret) ERR_CHECK;
int tls_handshake_new_client(const struct tls_client_request *request,
                             struct tls_handshake **ret) ERR_CHECK;
void tls_handshake_free(struct tls_handshake *h);

/* Makes the SSL object; a client's first flight is the output then. */
enum tls_step tls_handshake_start(struct tls_handshake *h);
/* Takes at most one record off bytes. */
enum tls_step tls_handshake_feed(struct tls_handshake *h, struct span *bytes);
/* What the last step made for the peer; valid until the next one. */
struct span tls_handshake_output(struct tls_handshake *h);
/* A record after the handshake; false where no more of them are of use. */
bool tls_handshake_ticket(struct tls_handshake *h, struct span record);

/* tls_export.c. ERR_TLS where OpenSSL has not what is needed; keys are wiped by the caller. */
int tls_export_keys(const struct tls_handshake *h, struct tls_keys *ret) ERR_CHECK;
void tls_export_facts(const struct tls_handshake *h, struct tls_facts *ret);
/* The key exchange group of an established session as people know it, "" where there is none. */
void tls_export_group(SSL *ssl, char *out, size_t room);
/* Every context's, so that a handshake on it can be exported. */
void tls_export_prepare(SSL_CTX *ctx);

/* tls_failure.c. Reads OpenSSL's error queue, right after the step that failed. */
void tls_failure_explain(const struct tls_handshake *h, struct tls_failure *ret);

/* tls_server.c */
struct tls_ticket;
SSL_CTX *tls_server_ssl_ctx(const struct tls_server_ctx *ctx);
const struct tls_ticket *tls_server_ticket(const struct tls_server_ctx *ctx);
enum tls_profile tls_server_profile(const struct tls_server_ctx *ctx);
const char *tls_server_groups_text(const struct tls_server_ctx *ctx);
/* The judgement of a client certificate that came with a resumed session. */
void tls_server_judge_resumed(const struct tls_server_ctx *ctx, SSL *ssl,
                              struct tls_judgement *ret);

/* tls_client.c */
SSL_CTX *tls_client_ssl_ctx(const struct tls_client_ctx *ctx);
enum tls_profile tls_client_profile(const struct tls_client_ctx *ctx);
const char *tls_client_groups_text(const struct tls_client_ctx *ctx);
/* Judges the chain of a stored session, which ssl has been given. */
bool tls_client_judge_stored(struct tls_handshake *h);

/* tls_dane.c */
/* Gives the usable records to the SSL object. ERR_NOMEM. */
int tls_dane_set(struct tls_handshake *h) ERR_CHECK;
/* Which record matched, after the chain was verified: "dane 3 1 1". False: none did. */
bool tls_dane_matched(struct tls_handshake *h, char *out, size_t room, uint8_t *ret_usage);
/* Why none did. */
void tls_dane_explain(const struct tls_handshake *h, X509 *leaf, char *out, size_t room);
