/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of handshakes share: certificates made at run time, the service with all that it
 * told, a plain OpenSSL peer in memory, and the wire between them.
 */
#pragma once

#include "test_crypto.h"

#include "buf.h"
#include "tls_openssl.h"
#include "tls_record.h"
#include "tls_service.h"

/* ---- certificates ---- */

struct lab_cert {
    X509 *cert;
    EVP_PKEY *key;
    char cert_file[96], key_file[96];
};

/* A name byte by byte, as no tool would write it. */
struct lab_san {
    int type; /* GEN_DNS, GEN_EMAIL, GEN_URI, GEN_IPADD */
    const char *bytes;
    size_t len; /* 0: a C string */
};

struct lab_cert_spec {
    const char *cn;
    size_t cn_len;   /* 0: a C string */
    const char *san; /* "DNS:a.example, IP:192.0.2.1", or NULL */
    const struct lab_san *sans;
    size_t sans_len;
    bool rsa; /* else ECDSA P-256 */
    bool ca;
    const char *usage;             /* extended key usage, or NULL */
    const struct lab_cert *issuer; /* NULL: self-signed */
    int days;                      /* of validity from yesterday on; 0: a year */
};

void lab_cert_make(struct lab_cert *ret, const struct lab_cert_spec *spec);
void lab_cert_free(struct lab_cert *cert);
/* Writes what a server with cert is to send: its certificate, then the others. Returns the file,
 * valid until the next call. */
const char *lab_chain_file(const struct lab_cert *const *certs, size_t len);
/* Makes, and at the end removes, the directory that the files are in. */
int lab_setup(void **state);
int lab_teardown(void **state);
/* The same, with these two certificates, each by itself, for mx.example. */
extern struct lab_cert lab_ecdsa, lab_rsa;
int lab_pair_setup(void **state);
int lab_pair_teardown(void **state);
/* A file in it; the text is valid until the next call. */
const char *lab_file(const char *name);

/* ---- the service ---- */

/* Where steps run, of services that are opened from now on: the same tests pass in each. */
enum lab_where {
    LAB_INLINE,
    LAB_THREAD,
    LAB_TURNS, /* here and in the thread by turns: a handshake goes to and fro */
    LAB_WHERE_COUNT,
};
extern enum lab_where lab_where;
/* Runs the group once for each of them. */
int lab_group_run(const char *name, const struct CMUnitTest *tests, size_t len,
                  CMFixtureFunction setup, CMFixtureFunction teardown);

struct lab {
    struct tls_service *service;
    int fd;               /* of the thread's answers */
    unsigned asked, away; /* steps; those that the thread has */
    struct leg_id leg;
    struct buf out, rest;
    bool done, failed;
    int outputs;            /* flights of ours */
    bool release_on_output; /* the leg goes away in the middle of a call */
    struct tls_keys keys;
    struct tls_facts facts;
    struct tls_failure failure;
    struct tls_record_dir tx, rx; /* once made by lab_records */
};

void lab_open(struct lab *l);
void lab_close(struct lab *l);
/* A new leg on the same service; what the last one had is forgotten. */
void lab_next(struct lab *l);
void lab_server(struct lab *l, const struct tls_server_ctx *ctx);
void lab_client(struct lab *l, const struct tls_client_request *request);
/* Feeds, and waits for the answer. */
void lab_feed(struct lab *l, const void *data, size_t len);

/* Contexts that must come up. */
struct tls_server_ctx *lab_server_ctx(const struct tls_server_conf *conf);
struct tls_client_ctx *lab_client_ctx(const struct tls_client_conf *conf);

/* Both ends are ours: carries bytes between them until neither has more to say, and gives the
 * client its tickets. */
void lab_pair(struct lab *client, struct lab *server);

/* ---- the peer ---- */

/* A context as any other program would make it. version 0: any. */
SSL_CTX *lab_peer_ctx(bool is_server, int version, const struct lab_cert *cert);
SSL *lab_peer(SSL_CTX *ctx, bool is_server);

struct lab_wire {
    size_t fragment;   /* the service is fed at most so many bytes at once; 0: all */
    const char *early; /* what the peer sends as soon as it can: it then comes with its Finished */
    bool peer_failed;
};
/* Carries bytes until both ends are done or one has failed. */
void lab_run(struct lab *l, SSL *peer, struct lab_wire *wire);
/* Makes the record layers of a leg that is done. */
void lab_records(struct lab *l);
/* Seals text and has the peer read it. */
void lab_say(struct lab *l, SSL *peer, const char *text);
/* Opens what the peer wrote (rest first) until data comes, which must be text; what comes before
 * it (tickets) goes to the service. Returns how many records that were. */
int lab_hear(struct lab *l, SSL *peer, const char *text);
/* The peer writes text; lab_hear follows. */
void lab_peer_say(SSL *peer, const char *text);
