/* SPDX-License-Identifier: Apache-2.0 */
#include "aead_choice.h"

#include <stdio.h>

static int choose_named(enum tls_aead_backend backend, struct aead_choice *ret, char *why,
                        size_t why_room)
{
    const char *name = tls_aead_backend_name(backend);
    char said[TLS_AEAD_WHY_TEXT];

    ret->backend = backend;
    if (tls_aead_use(backend, said, sizeof(said)) != ERR_OK) {
        snprintf(
            why, why_room,
            "found \"%s\", which is not to be had here: %s; allowed is \"auto\" or \"openssl\"",
            name, said);
        return ERR_CONFIG;
    }
    snprintf(ret->why, sizeof(ret->why), "%s: the configuration says %s", said, name);
    return ERR_OK;
}

int aead_choose(const struct conf_gateway *conf, struct aead_choice *ret, char *why,
                size_t why_room)
{
    switch (conf->aead) {
    case CONF_AEAD_AUTO:
        ret->backend = tls_aead_use_fastest(ret->why, sizeof(ret->why));
        return ERR_OK;
    case CONF_AEAD_OPENSSL:
        return choose_named(TLS_AEAD_BACKEND_OPENSSL, ret, why, why_room);
    case CONF_AEAD_IPSEC_MB:
        return choose_named(TLS_AEAD_BACKEND_IPSEC_MB, ret, why, why_room);
    }
    return ERR_CONFIG;
}
