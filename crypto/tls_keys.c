/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_keys.h"
#include "tls_openssl.h"

void tls_keys_wipe(struct tls_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}
