/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AUTH (RFC 4954) as the client sees it: the command, its lines of base64, and what they may be.
 * Who somebody is, the driver finds out (SMTP_DO_AUTH); no mechanism is known here but by its name.
 */
#include "smtp_session_priv.h"

#include "base64.h"

#include <stdlib.h>

static const struct smtp_local bad_base64 = {501, 5, 2, "Not base64"};
static const struct smtp_local refused = {535, 7, 8, "Authentication credentials invalid"};
static const struct smtp_local unavailable = {454, 7, 0, "Temporary authentication failure"};

const char *smtp_mechanism_name(enum smtp_mechanism mechanism)
{
    static const char *const names[SMTP_MECHANISM_COUNT] = {
        [SMTP_MECHANISM_SCRAM_SHA_256] = "SCRAM-SHA-256",
        [SMTP_MECHANISM_PLAIN] = "PLAIN",
        [SMTP_MECHANISM_LOGIN] = "LOGIN",
    };

    return names[mechanism];
}

bool smtp_auth_offered(const struct smtp_session *s)
{
    return s->peer.listener->auth_users && s->peer.tls_done;
}

void smtp_auth_forget(struct smtp_session *s)
{
    if (s->auth)
        explicit_bzero(s->auth, sizeof(*s->auth));
    free(s->auth);
    s->auth = NULL;
}

/* What the client hears of the end of an exchange. */
static void auth_end(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out)
{
    smtp_auth_forget(s);
    smtp_enter_state(s, SMTP_STATE_READY);
    smtp_say_local(s, local, out);
}

void smtp_auth_cancel(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out)
{
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_AUTH_END});
    auth_end(s, local, out);
}

static void challenge_say(struct smtp_session *s, const struct smtp_auth_answer *answer,
                          struct smtp_out *out)
{
    char text[(SMTP_AUTH_CHALLENGE_MAX + 2) / 3 * 4 + 1];
    struct smtp_reply reply;

    ASSERT(answer->len <= sizeof(answer->data));
    base64_encode(span_make(answer->data, answer->len), text);
    smtp_reply_make(&reply, 334, 0, 0, text);
    s->auth->asked = false;
    smtp_say(s, &reply, out);
}

/* Hands a response, or that there is none yet, to the driver. */
static void ask(struct smtp_session *s, struct smtp_out *out)
{
    s->auth->asked = true;
    smtp_act(out, &(struct smtp_action){.kind = SMTP_DO_AUTH});
}

static bool response_take(struct smtp_auth *auth, struct span text)
{
    auth->has_response = true;
    return base64_decode(text, auth->response, sizeof(auth->response), &auth->len) == ERR_OK;
}

static bool mechanism_find(struct span name, enum smtp_mechanism *ret)
{
    for (unsigned i = 0; i < SMTP_MECHANISM_COUNT; i++) {
        *ret = (enum smtp_mechanism)i;
        if (span_equal_nocase(name, span_str(smtp_mechanism_name(*ret))))
            return true;
    }
    return false;
}

/* NULL where an exchange may begin with this line; *ret_initial is empty where it has no response.
 */
static const struct smtp_local *auth_refusal(const struct smtp_session *s, struct span rest,
                                             enum smtp_mechanism *ret_mechanism,
                                             struct span *ret_initial)
{
    static const struct smtp_local none = {502, 5, 1, "AUTH is not offered here"};
    static const struct smtp_local hello = {503, 5, 1, "Send EHLO first"};
    static const struct smtp_local again = {503, 5, 1, "Already authenticated"};
    static const struct smtp_local syntax = {501, 5, 4, "Syntax: AUTH mechanism [response]"};
    static const struct smtp_local unknown = {504, 5, 4, "Mechanism not offered"};
    const uint8_t *blank = rest.len ? memchr(rest.ptr, ' ', rest.len) : NULL;
    struct span name = span_make(rest.ptr, blank ? (size_t)(blank - rest.ptr) : rest.len);

    *ret_initial = span_from(rest, name.len + 1);
    if (!smtp_auth_offered(s))
        return &none;
    if (!s->era.extended)
        return &hello;
    if (s->era.user[0] != '\0')
        return &again;
    if (name.len == 0)
        return &syntax;
    return mechanism_find(name, ret_mechanism) ? NULL : &unknown;
}

void smtp_do_auth(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    enum smtp_mechanism mechanism;
    struct span initial;
    const struct smtp_local *refusal = auth_refusal(s, rest, &mechanism, &initial);

    if (refusal) {
        smtp_say_local(s, refusal, out);
        return;
    }
    s->auth = calloc(1, sizeof(*s->auth));
    if (!s->auth) {
        smtp_say_local(s, &unavailable, out);
        return;
    }
    s->auth->mechanism = mechanism;
    /* "=" is a response of no bytes, which differs from none (RFC 4954 section 4). */
    if (span_equal(initial, SPAN_LIT("=")))
        initial = span_make(initial.ptr, 0);
    else if (initial.len == 0)
        initial.ptr = NULL;
    smtp_enter_state(s, SMTP_STATE_AUTH);
    if (initial.ptr && !response_take(s->auth, initial))
        auth_end(s, &bad_base64, out);
    else
        ask(s, out);
}

static void auth_success(struct smtp_session *s, struct smtp_out *out)
{
    static const struct smtp_local success = {235, 7, 0, "Authentication successful"};

    memcpy(s->era.user, s->auth->user, sizeof(s->era.user));
    auth_end(s, &success, out);
}

void smtp_auth_line(struct smtp_session *s, struct span line, bool clean, struct smtp_out *out)
{
    static const struct smtp_local cancelled = {501, 7, 0, "Authentication cancelled"};

    if (clean && span_equal(line, SPAN_LIT("*")))
        smtp_auth_cancel(s, &cancelled, out);
    else if (!clean || !response_take(s->auth, line))
        smtp_auth_cancel(s, &bad_base64, out);
    else if (!s->auth->accepted)
        ask(s, out);
    else if (s->auth->len > 0) /* the last challenge asks nothing */
        smtp_auth_cancel(s, &bad_base64, out);
    else
        auth_success(s, out);
}

void smtp_session_auth_answer(struct smtp_session *s, const struct smtp_auth_answer *answer,
                              struct smtp_out *out)
{
    if (s->state != SMTP_STATE_AUTH || !s->auth->asked)
        return;
    switch (answer->kind) {
    case SMTP_AUTH_CHALLENGE:
        challenge_say(s, answer, out);
        break;
    case SMTP_AUTH_ACCEPTED:
        ASSERT(answer->user[0] != '\0' && strlen(answer->user) < sizeof(s->auth->user));
        s->auth->accepted = true;
        memcpy(s->auth->user, answer->user, strlen(answer->user) + 1);
        if (answer->len > 0)
            challenge_say(s, answer, out);
        else
            auth_success(s, out);
        break;
    case SMTP_AUTH_REFUSED:
        s->peer.auth_failures++;
        auth_end(s, &refused, out);
        break;
    case SMTP_AUTH_UNAVAILABLE:
        s->peer.auth_failures++; /* who goes on trying all the same is let go */
        auth_end(s, &unavailable, out);
        break;
    }
    smtp_check_limits(s, out);
}
