/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_profile.h"

#include "assertion.h"
#include "tls_openssl.h"

#include <stdbool.h>

/* Fast first: AES-128-GCM is what the hardware is best at; ECDSA signs at a thirtieth of RSA. */
#define SUITES_13_AES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define SUITES_12_AES                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_12_CHACHA "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_12_OLD_KEY_EXCHANGE                                                                 \
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305:"               \
    "AES128-GCM-SHA256:AES256-GCM-SHA384"
#define SIGALGS_NIST                                                                               \
    "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:RSA+SHA384:"               \
    "ECDSA+SHA512:RSA-PSS+SHA512:RSA+SHA512"

struct profile_row {
    const char *name;
    const char *suites_12, *suites_13;
    /* The first list that the library knows is taken: hybrid groups came with OpenSSL 3.5. A star
     * marks those that a client sends a key share for at once: without the second, each server
     * that lacks the hybrid one would cost another round trip. */
    const char *groups[2];
    const char *sigalgs;
    int security_level;
    uint64_t options;
};

static const struct profile_row rows[TLS_PROFILE_COUNT] = {
    /* Mozilla, Server Side TLS 5.7, "intermediate", without DHE. */
    [TLS_PROFILE_MODERN] = {.name = "modern",
                            .suites_12 = SUITES_12_AES ":" SUITES_12_CHACHA,
                            .suites_13 = SUITES_13_AES ":TLS_CHACHA20_POLY1305_SHA256",
                            .groups = {"*X25519MLKEM768:*X25519:P-256:P-384", "X25519:P-256:P-384"},
                            .sigalgs = SIGALGS_NIST ":ed25519",
                            .security_level = 2},
    /* NIST SP 800-52 revision 2, section 3.3.1, of its suites those with GCM and ECDHE. */
    [TLS_PROFILE_NIST_800_52R2] = {.name = "nist-800-52r2",
                                   .suites_12 = SUITES_12_AES,
                                   .suites_13 = SUITES_13_AES,
                                   .groups = {"P-256:P-384"},
                                   .sigalgs = SIGALGS_NIST,
                                   .security_level = 2},
    /* 45 CFR 164.312(e): HHS names NIST SP 800-52 for data in motion, and NIST SP 800-66 revision 2
     * leads there from section 5.3.5. */
    [TLS_PROFILE_HIPAA] = {.name = "hipaa",
                           .suites_12 = SUITES_12_AES,
                           .suites_13 = SUITES_13_AES,
                           .groups = {"P-256:P-384"},
                           .sigalgs = SIGALGS_NIST,
                           .security_level = 2},
    /* For peers of the last decade: RFC 9325 less its ban on static RSA and DHE, which here is
     * still better than what such a peer would otherwise do, namely plaintext. */
    [TLS_PROFILE_COMPATIBLE] = {.name = "compatible",
                                .suites_12 = SUITES_12_AES ":" SUITES_12_CHACHA
                                                           ":" SUITES_12_OLD_KEY_EXCHANGE,
                                .suites_13 = SUITES_13_AES ":TLS_CHACHA20_POLY1305_SHA256",
                                .groups = {"*X25519MLKEM768:*X25519:P-256:P-384:P-521",
                                           "X25519:P-256:P-384:P-521"},
                                .sigalgs = SIGALGS_NIST ":ed25519",
                                .security_level = 1,
                                .options = SSL_OP_LEGACY_SERVER_CONNECT},
};

const char *tls_profile_name(enum tls_profile profile)
{
    ASSERT(profile < TLS_PROFILE_COUNT);
    return rows[profile].name;
}

static bool groups_set(const struct profile_row *row, SSL_CTX *ctx)
{
    for (size_t i = 0; i < sizeof(row->groups) / sizeof(row->groups[0]); i++) {
        if (!row->groups[i])
            break;
        ERR_set_mark();
        bool known = SSL_CTX_set1_groups_list(ctx, row->groups[i]) == 1;
        ERR_pop_to_mark();
        if (known)
            return true;
    }
    return false;
}

int tls_profile_apply(enum tls_profile profile, enum tls_version min, SSL_CTX *ctx)
{
    const struct profile_row *row = &rows[profile];

    ASSERT(profile < TLS_PROFILE_COUNT);
    SSL_CTX_set_security_level(ctx, row->security_level);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 row->options);
    if (!(row->options & SSL_OP_LEGACY_SERVER_CONNECT))
        SSL_CTX_clear_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_early_data(ctx, 0);
    /* Only the DHE suites of compatible use it; the size follows the certificate's key. */
    SSL_CTX_set_dh_auto(ctx, 1);
    if (SSL_CTX_set_min_proto_version(ctx, min ? (int)min : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, row->suites_12) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, row->suites_13) != 1 ||
        SSL_CTX_set1_sigalgs_list(ctx, row->sigalgs) != 1 || !groups_set(row, ctx))
        return ERR_TLS;
    return ERR_OK;
}
