/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_suites.h"

#include "tls_openssl.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LIST_MAX = 1024 };

/* IANA's registry of TLS cipher suites: what the record layer seals and opens. */
static const struct suite_row {
    const char *name;
    const char *openssl; /* OpenSSL's name; NULL: it is the same, which goes for TLS 1.3 */
} rows[] = {
    {"TLS_AES_128_GCM_SHA256", NULL},
    {"TLS_AES_256_GCM_SHA384", NULL},
    {"TLS_CHACHA20_POLY1305_SHA256", NULL},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"},
    {"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"},
    {"TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct suite_row *row_find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static void spoken_text(char *out, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < ROWS && len < room; i++)
        len += (size_t)snprintf(out + len, room - len, "%s%s", len ? ", " : "", rows[i].name);
}

int tls_suites_check(const struct tls_suites *suites, enum tls_version min, char *why,
                     size_t why_room)
{
    bool any_13 = false;

    for (size_t i = 0; i < suites->len; i++) {
        const char *name = suites->names[i];
        const struct suite_row *row = row_find(name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(suites->names[j], name) == 0) {
                snprintf(why, why_room, "found \"%.64s\" twice, allowed is each suite once", name);
                return ERR_TLS;
            }
        if (!row) {
            char spoken[768];
            spoken_text(spoken, sizeof(spoken));
            snprintf(why, why_room, "found \"%.64s\", allowed are %s", name, spoken);
            return ERR_TLS;
        }
        any_13 = any_13 || !row->openssl;
    }
    if (suites->len > 0 && !any_13 && min == TLS_VERSION_1_3) {
        snprintf(why, why_room,
                 "found no suite of TLS 1.3, allowed with min_version = \"1.3\" is "
                 "a list that has one");
        return ERR_TLS;
    }
    return ERR_OK;
}

static bool list_add(char list[LIST_MAX], const char *name)
{
    size_t len = strlen(list);
    int n = snprintf(list + len, LIST_MAX - len, "%s%s", len ? ":" : "", name);

    return n > 0 && (size_t)n < LIST_MAX - len;
}

int tls_suites_apply(const struct tls_suites *suites, SSL_CTX *ctx)
{
    char of_12[LIST_MAX] = "", of_13[LIST_MAX] = "";

    if (suites->len == 0)
        return ERR_OK;
    for (size_t i = 0; i < suites->len; i++) {
        const struct suite_row *row = row_find(suites->names[i]);
        if (!row ||
            !list_add(row->openssl ? of_12 : of_13, row->openssl ? row->openssl : row->name))
            return ERR_TLS;
    }
    SSL_CTX_clear_options(ctx, SSL_OP_PRIORITIZE_CHACHA); /* the list's order holds */
    if (SSL_CTX_set_ciphersuites(ctx, of_13) != 1 ||
        (of_12[0] && SSL_CTX_set_cipher_list(ctx, of_12) != 1) ||
        (!of_12[0] && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) ||
        (!of_13[0] && SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) != 1))
        return ERR_TLS;
    return SSL_CTX_get_min_proto_version(ctx) <= SSL_CTX_get_max_proto_version(ctx) ? ERR_OK
                                                                                    : ERR_TLS;
}
