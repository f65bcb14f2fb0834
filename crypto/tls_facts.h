/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of an established TLS session: for the Received line, the log, the decision and
 * the evidence. A plain value without pointers, so that it crosses a message as it is.
 */
#pragma once

#include "tls_keys.h"

#include <stdbool.h>

enum tls_verify {
    TLS_VERIFY_NONE,      /* the peer sent no certificate (a client) */
    TLS_VERIFY_UNCHECKED, /* a certificate came, the level asks for no check */
    TLS_VERIFY_OK,        /* name and chain, or a pin, matched as the level asks */
    TLS_VERIFY_FAILED,    /* it was checked and did not match, and the level lets that pass */
};

/* Which fault a certificate has that was checked. */
enum tls_cert_fault {
    TLS_CERT_FINE,
    TLS_CERT_NAME,      /* it is for other names */
    TLS_CERT_EXPIRED,   /* it, or one of its chain */
    TLS_CERT_UNTRUSTED, /* no chain to a CA, or to an anchor of DANE */
    TLS_CERT_TLSA,      /* no TLSA record is usable, or none matches */
    TLS_CERT_OTHER,
};

enum { TLS_CERT_NAMES = 512 };

struct tls_facts {
    enum tls_version version;
    char suite[48]; /* IANA's name: "TLS_AES_128_GCM_SHA256" */
    char group[24]; /* "X25519", "P-256", "X25519MLKEM768", "" where the key exchange has none */
    uint16_t bits;  /* of the AEAD key */
    bool resumed;
    enum tls_verify verify;
    enum tls_cert_fault fault; /* of verify failed */
    char verify_text[96]; /* why not, or by what: "pin", "name mx.example.org" */
    char peer_name[256];  /* the certificate's subject CN or first DNS name, escaped; "" if none */
    uint8_t cert_sha256[32];
    uint8_t spki_sha256[32];
    int64_t not_after; /* of the peer's leaf, seconds since 1970; 0 where there is none */
    char sni[256];     /* what the client asked for; "" if nothing */
    /* The leaf's DNS names (subjectAltName, never the CN), each with its NUL, an empty one behind
     * the last; in lower case, host names and wildcards ("*.example.org") alone. What does not fit
     * is left out, and so can't give a right. Whether a CA vouches for them, verify says. */
    char cert_names[TLS_CERT_NAMES];
};

/* "TLS1.3", "TLS1.2" */
const char *tls_version_text(enum tls_version version);
/* "none", "unchecked", "ok", "failed" */
const char *tls_verify_text(enum tls_verify verify);
