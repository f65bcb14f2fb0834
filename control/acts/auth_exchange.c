/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_exchange.h"

#include "base64.h"
#include "tls_openssl.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_LEN = 32, SALT_LEN = 16, CLAIMED_TEXT = 128 };

struct auth_server {
    Gsasl *gsasl;
};

struct auth_exchange {
    Gsasl_session *session;
    const struct auth_users *users;
    enum smtp_mechanism mechanism;
    bool begun;
    bool identified; /* the following are of who it says it is */
    bool known;
    char claimed[CLAIMED_TEXT];
    struct auth_record record;
};

static bool hmac(const uint8_t key[KEY_LEN], const char *text, uint8_t ret[KEY_LEN])
{
    return HMAC(EVP_sha256(), key, KEY_LEN, (const uint8_t *)text, strlen(text), ret, NULL) != NULL;
}

/* RFC 5802 section 3; salt and iterations are record's already. */
static bool keys_derive(const char *password, struct auth_record *record)
{
    uint8_t salted[KEY_LEN], client_key[KEY_LEN];

    bool ok =
        PKCS5_PBKDF2_HMAC(password, (int)strlen(password), record->salt, (int)record->salt_len,
                          (int)record->iterations, EVP_sha256(), KEY_LEN, salted) == 1 &&
        hmac(salted, "Client Key", client_key) && hmac(salted, "Server Key", record->server_key) &&
        EVP_Digest(client_key, KEY_LEN, record->stored_key, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_cleanse(salted, sizeof(salted));
    OPENSSL_cleanse(client_key, sizeof(client_key));
    return ok;
}

static void secret_free(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    gsasl_free(text);
}

int auth_record_make(const char *password, unsigned iterations, struct auth_record *ret)
{
    char *prepared = NULL;

    *ret = (struct auth_record){.iterations = iterations, .salt_len = SALT_LEN};
    if (gsasl_saslprep(password, 0, &prepared, NULL) != GSASL_OK || prepared[0] == '\0') {
        secret_free(prepared);
        return ERR_SYNTAX;
    }
    bool ok = RAND_bytes(ret->salt, SALT_LEN) == 1 && keys_derive(prepared, ret);
    secret_free(prepared);
    return ok ? ERR_OK : ERR_IO;
}

/* --- what libgsasl asks --- */

/* Finds who it says it is, or what somebody who is not there has. To act for another is nobody's
 * right. */
static void identify(struct auth_exchange *x)
{
    const char *name = gsasl_property_fast(x->session, GSASL_AUTHID);
    const char *other = gsasl_property_fast(x->session, GSASL_AUTHZID);
    const struct auth_user *user;

    if (x->identified || !name)
        return;
    x->identified = true;
    snprintf(x->claimed, sizeof(x->claimed), "%s", name);
    user = auth_users_find(x->users, name);
    x->known = user && (!other || other[0] == '\0' || strcmp(other, name) == 0);
    if (user)
        x->record = user->record;
    else
        auth_users_pretend(x->users, name, &x->record);
}

static bool password_fits(struct auth_exchange *x, const char *password)
{
    struct auth_record tried = x->record;
    char *prepared = NULL;
    bool usable = gsasl_saslprep(password, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK;
    bool hashed = keys_derive(usable ? prepared : "", &tried);
    bool same = CRYPTO_memcmp(tried.stored_key, x->record.stored_key, KEY_LEN) == 0;

    usable = usable && prepared[0] != '\0';
    secret_free(prepared);
    OPENSSL_cleanse(&tried, sizeof(tried));
    return hashed && same && usable && x->known;
}

static int property_set(struct auth_exchange *x, Gsasl_property property, const uint8_t *bytes,
                        size_t len)
{
    char text[(AUTH_SALT_MAX + 2) / 3 * 4 + 1];
    int code = gsasl_property_set(x->session, property, base64_encode(span_make(bytes, len), text));

    OPENSSL_cleanse(text, sizeof(text));
    return code;
}

static int on_property(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    struct auth_exchange *x = gsasl_session_hook_get(session);
    char number[16];

    identify(x);
    if (!x->identified)
        return GSASL_NO_CALLBACK;
    if (property == GSASL_VALIDATE_SIMPLE) {
        const char *password = gsasl_property_fast(session, GSASL_PASSWORD);
        return password && password_fits(x, password) ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
    }
    if (property == GSASL_SCRAM_ITER) {
        snprintf(number, sizeof(number), "%u", x->record.iterations);
        return gsasl_property_set(session, property, number);
    }
    if (property == GSASL_SCRAM_SALT)
        return property_set(x, property, x->record.salt, x->record.salt_len);
    if (property == GSASL_SCRAM_STOREDKEY)
        return property_set(x, property, x->record.stored_key, KEY_LEN);
    if (property == GSASL_SCRAM_SERVERKEY)
        return property_set(x, property, x->record.server_key, KEY_LEN);
    return GSASL_NO_CALLBACK;
}

/* --- an exchange --- */

int auth_server_new(struct auth_server **ret)
{
    struct auth_server *server = calloc(1, sizeof(*server));

    *ret = NULL;
    if (!server || gsasl_init(&server->gsasl) != GSASL_OK) {
        free(server);
        return ERR_NOMEM;
    }
    gsasl_callback_set(server->gsasl, on_property);
    *ret = server;
    return ERR_OK;
}

void auth_server_free(struct auth_server *server)
{
    if (!server)
        return;
    gsasl_done(server->gsasl);
    free(server);
}

int auth_exchange_new(struct auth_server *server, const struct auth_users *users,
                      enum smtp_mechanism mechanism, struct auth_exchange **ret)
{
    struct auth_exchange *x = calloc(1, sizeof(*x));

    *ret = NULL;
    if (!x || gsasl_server_start(server->gsasl, smtp_mechanism_name(mechanism), &x->session) !=
                  GSASL_OK) {
        free(x);
        return ERR_NOMEM;
    }
    gsasl_session_hook_set(x->session, x);
    x->users = users;
    x->mechanism = mechanism;
    *ret = x;
    return ERR_OK;
}

/* One step of libgsasl's; what it says goes into ret where it fits, which all that it says to
 * honest clients does: SCRAM repeats the client's nonce. */
static int step(struct auth_exchange *x, const void *bytes, size_t len,
                struct smtp_auth_answer *ret)
{
    char *said = NULL;
    size_t said_len = 0;
    int code = gsasl_step(x->session, bytes, len, &said, &said_len);

    if ((code == GSASL_OK || code == GSASL_NEEDS_MORE) && said_len > sizeof(ret->data))
        code = GSASL_MECHANISM_PARSE_ERROR;
    ret->len = code == GSASL_OK || code == GSASL_NEEDS_MORE ? said_len : 0;
    if (ret->len > 0)
        memcpy(ret->data, said, ret->len);
    gsasl_free(said);
    return code;
}

void auth_exchange_step(struct auth_exchange *x, const struct smtp_auth *in,
                        struct smtp_auth_answer *ret)
{
    int code = GSASL_NEEDS_MORE;

    *ret = (struct smtp_auth_answer){.kind = SMTP_AUTH_REFUSED};
    /* LOGIN's server speaks first; many clients put the name into AUTH all the same. */
    if (!x->begun && x->mechanism == SMTP_MECHANISM_LOGIN && in->has_response)
        code = step(x, NULL, 0, ret);
    x->begun = true;
    if (code == GSASL_NEEDS_MORE)
        code = step(x, in->has_response ? in->response : NULL, in->len, ret);
    if (code == GSASL_NEEDS_MORE) {
        ret->kind = SMTP_AUTH_CHALLENGE;
    } else if (code == GSASL_MALLOC_ERROR || code == GSASL_CRYPTO_ERROR) {
        ret->kind = SMTP_AUTH_UNAVAILABLE;
    } else if (code == GSASL_OK && x->known) {
        ret->kind = SMTP_AUTH_ACCEPTED;
        ret->user = x->claimed;
    }
    if (ret->kind == SMTP_AUTH_REFUSED || ret->kind == SMTP_AUTH_UNAVAILABLE)
        ret->len = 0;
}

const char *auth_exchange_claimed(const struct auth_exchange *x)
{
    return x->claimed;
}

void auth_exchange_free(struct auth_exchange *x)
{
    if (!x)
        return;
    gsasl_finish(x->session);
    OPENSSL_cleanse(x, sizeof(*x));
    free(x);
}
