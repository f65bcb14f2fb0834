/* SPDX-License-Identifier: Apache-2.0 */
/* A build without libipsec-mb: it is never ready, so that nothing else of it is ever called. */
#include "tls_aead_priv.h"

#include <stdio.h>

static bool none_ready(char *said, size_t room)
{
    snprintf(said, room, "this build has no libipsec-mb");
    return false;
}

const struct tls_aead_ops tls_aead_ipsec_mb = {.name = "ipsec-mb", .ready = none_ready};
