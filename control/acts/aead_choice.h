/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who seals and opens the records that are ours: OpenSSL or libipsec-mb (crypto/tls_aead.h).
 * Decided once a start and reload, in the child that checks the configuration, by what the
 * processor and this build have; workers get the result in their plan.
 */
#pragma once

#include "conf.h"
#include "tls_aead.h"

enum { AEAD_WHY_TEXT = TLS_AEAD_WHY_TEXT + 64, AEAD_ERROR_TEXT = 256 };

/* A plain value: it goes from process to process. */
struct aead_choice {
    enum tls_aead_backend backend;
    char why[AEAD_WHY_TEXT];
};

/* This process uses it from now on. ERR_CONFIG: why says what is wrong and what would do. */
int aead_choose(const struct conf_gateway *conf, struct aead_choice *ret, char *why,
                size_t why_room) ERR_CHECK;
