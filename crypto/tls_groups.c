/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_groups.h"

#include "tls_openssl.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LIST_MAX = 512 };

/* IANA's registry of TLS supported groups, less what nobody should use. */
static const struct group_row {
    const char *name;
    bool hybrid; /* with ML-KEM: from OpenSSL 3.5 on */
    bool tls13;  /* for TLS 1.3 alone */
} rows[] = {
    {"X25519MLKEM768", true, true},
    {"SecP256r1MLKEM768", true, true},
    {"SecP384r1MLKEM1024", true, true},
    {"X25519", false, false},
    {"P-256", false, false},
    {"P-384", false, false},
    {"P-521", false, false},
    {"X448", false, false},
    {"ffdhe2048", false, true},
    {"ffdhe3072", false, true},
    {"ffdhe4096", false, true},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct group_row *row_find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static bool list_set(SSL_CTX *ctx, const char *list)
{
    ERR_set_mark();
    bool ok = SSL_CTX_set1_groups_list(ctx, list) == 1;
    ERR_pop_to_mark();
    return ok;
}

static void have_text(SSL_CTX *ctx, char *out, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < ROWS && len < room; i++)
        if (list_set(ctx, rows[i].name))
            len += (size_t)snprintf(out + len, room - len, "%s%s", len ? ", " : "", rows[i].name);
}

static int names_check(SSL_CTX *ctx, const struct tls_groups *groups, char *why, size_t why_room)
{
    char have[256] = "";

    have_text(ctx, have, sizeof(have));
    for (size_t i = 0; i < groups->len; i++) {
        const char *name = groups->names[i];
        const struct group_row *row = row_find(name);
        bool known = row && list_set(ctx, name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(groups->names[j], name) == 0) {
                snprintf(why, why_room, "found \"%.64s\" twice, allowed is each group once", name);
                return ERR_TLS;
            }
        if (known)
            continue;
        snprintf(why, why_room, "found \"%.64s\"%s, allowed here are %s", name,
                 row ? ", which this system's OpenSSL lacks" : "", have);
        return ERR_TLS;
    }
    return ERR_OK;
}

int tls_groups_check(const struct tls_groups *groups, char *why, size_t why_room)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (!ctx) {
        snprintf(why, why_room, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    int err = names_check(ctx, groups, why, why_room);
    SSL_CTX_free(ctx);
    return err;
}

/* A client sends a key share for the first group, and where that is a hybrid one also for the first
 * that is not: a server without it then needs no other round trip. The star marks them. */
static bool list_make(const struct tls_groups *groups, char out[LIST_MAX], bool *ret_only_13)
{
    bool first_hybrid = false, starred = false;
    size_t len = 0;

    *ret_only_13 = true;
    for (size_t i = 0; i < groups->len; i++) {
        const struct group_row *row = row_find(groups->names[i]);
        if (!row)
            return false;
        if (i == 0)
            first_hybrid = row->hybrid;
        bool star = first_hybrid && (i == 0 || (!row->hybrid && !starred));
        starred = starred || (star && !row->hybrid);
        *ret_only_13 = *ret_only_13 && row->tls13;
        len += (size_t)snprintf(out + len, LIST_MAX - len, "%s%s%s", i ? ":" : "", star ? "*" : "",
                                row->name);
        if (len >= LIST_MAX)
            return false;
    }
    return true;
}

/* Of the suites that are set for TLS 1.2, those with ECDHE. */
static bool suites_narrow(SSL_CTX *ctx)
{
    const STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
    char list[2048] = "";
    size_t len = 0;

    for (int i = 0; i < sk_SSL_CIPHER_num(all) && len < sizeof(list); i++) {
        const SSL_CIPHER *suite = sk_SSL_CIPHER_value(all, i);
        if (SSL_CIPHER_get_kx_nid(suite) == NID_kx_ecdhe)
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len ? ":" : "",
                                    SSL_CIPHER_get_name(suite));
    }
    return len < sizeof(list) && SSL_CTX_set_cipher_list(ctx, list) == 1;
}

int tls_groups_apply(const struct tls_groups *groups, SSL_CTX *ctx)
{
    char list[LIST_MAX];
    bool only_13;

    if (groups->len == 0)
        return ERR_OK;
    if (!list_make(groups, list, &only_13) || !list_set(ctx, list) || !suites_narrow(ctx))
        return ERR_TLS;
    if (only_13 && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
        return ERR_TLS;
    /* Suites may have left TLS 1.2 alone. */
    return SSL_CTX_get_min_proto_version(ctx) <= SSL_CTX_get_max_proto_version(ctx) ? ERR_OK
                                                                                    : ERR_TLS;
}

void tls_groups_text(const struct tls_groups *groups, char *out, size_t room)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < groups->len && len < room; i++)
        len += (size_t)snprintf(out + len, room - len, "%s%s", i ? ", " : "", groups->names[i]);
}
