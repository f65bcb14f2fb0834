/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_facts.h"

const char *tls_version_text(enum tls_version version)
{
    switch (version) {
    case TLS_VERSION_1_2:
        return "TLS1.2";
    case TLS_VERSION_1_3:
        return "TLS1.3";
    }
    return "unknown";
}

const char *tls_verify_text(enum tls_verify verify)
{
    switch (verify) {
    case TLS_VERIFY_NONE:
        return "none";
    case TLS_VERIFY_UNCHECKED:
        return "unchecked";
    case TLS_VERIFY_OK:
        return "ok";
    case TLS_VERIFY_FAILED:
        return "failed";
    }
    return "unknown";
}
