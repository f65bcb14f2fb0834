/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handshake that takes whatever a server has, so that all of it can be judged and told, where one
 * of the gateway's own (tls_client.h) ends at the first thing that is not as demanded. For
 * posternctl tls check; no mail ever goes through it. Bytes in, bytes out; it reads the clock for
 * the dates of certificates.
 */
#pragma once

#include "buf.h"
#include "tls_facts.h"

struct tls_inspect_conf {
    const char *ca;   /* PEM bundle; NULL: the system's */
    const char *name; /* that the certificate must have: a host's, or an address */
    const char *sni;  /* NULL: none */
};

enum tls_grade { TLS_GRADE_GOOD, TLS_GRADE_WEAK, TLS_GRADE_BAD };

/* Each text says what was seen. */
struct tls_finding {
    enum tls_grade grade;
    char text[256];
};

struct tls_inspection {
    bool done;                  /* the handshake is: what follows was seen */
    char failure[192];          /* why it is not */
    struct tls_finding session; /* version, suite, group; weak: no forward secrecy, no AEAD */
    struct tls_finding chain;   /* signed by a CA that is trusted */
    struct tls_finding dates;   /* weak: expires within TLS_INSPECT_SOON_DAYS */
    struct tls_finding name;    /* subjectAltName has it; weak: only the CN does */
    struct tls_finding key;     /* of each certificate: 112 bits of security and above */
    struct tls_finding digest;  /* the same of what they are signed with */
    struct tls_facts facts;     /* names, fingerprints, notAfter */
};

enum { TLS_INSPECT_SOON_DAYS = 14, TLS_INSPECT_BITS = 112 };

struct tls_inspect;

/* On failure why says which file. ERR_TLS, ERR_NOMEM. */
int tls_inspect_new(const struct tls_inspect_conf *conf, struct tls_inspect **ret, char *why,
                    size_t why_room) ERR_CHECK;
void tls_inspect_free(struct tls_inspect *t);
/* What the server sent; empty at the beginning. out gets what it is to be sent, plain what it said
 * behind the handshake. ERR_TLS: the handshake failed, or the session is broken, and out may have
 * an alert; failure says why. */
int tls_inspect_feed(struct tls_inspect *t, struct span bytes, struct buf *out,
                     struct buf *plain) ERR_CHECK;
/* After the handshake. ERR_TLS. */
int tls_inspect_send(struct tls_inspect *t, struct span plain, struct buf *out) ERR_CHECK;
/* Valid as long as t. */
const struct tls_inspection *tls_inspect_seen(const struct tls_inspect *t);
