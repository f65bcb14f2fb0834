/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tls_aead.c asks of one that seals and opens. state is its own: a key that is ready for use,
 * made when it is NULL, keyed anew when it is not, and the same for one direction only.
 */
#pragma once

#include "tls_aead.h"

struct tls_aead_ops {
    const char *name;
    /* Whether it can be had here; may be asked again. said: see tls_aead_use. */
    bool (*ready)(char *said, size_t room);
    bool (*key)(void **state, enum tls_aead aead, const uint8_t *key, bool sealing);
    void (*forget)(void *state); /* wipes and frees; NULL is fine */
    bool (*open)(void *state, enum tls_aead aead, struct tls_aead_record *record);
    bool (*seal)(void *state, enum tls_aead aead, struct tls_aead_record *record);
};

extern const struct tls_aead_ops tls_aead_openssl, tls_aead_ipsec_mb;
