/* SPDX-License-Identifier: Apache-2.0 */
/* AUTH: brings the client's part of an exchange to who judges it, and the judgement back. */
#include "gateway_priv.h"

void client_auth_end(struct client *c)
{
    auth_exchange_free(c->auth);
    c->auth = NULL;
}

static void judge(struct client *c, struct smtp_auth_answer *ret)
{
    const struct smtp_auth *in = c->smtp.auth;

    *ret = (struct smtp_auth_answer){.kind = SMTP_AUTH_UNAVAILABLE};
    if (!c->auth && auth_exchange_new(c->gateway->auth, c->smtp.peer.listener->users, in->mechanism,
                                      &c->auth) != ERR_OK)
        return;
    auth_exchange_step(c->auth, in, ret);
}

bool client_act_auth(struct client *c)
{
    const enum smtp_mechanism mechanism = c->smtp.auth->mechanism;
    struct smtp_auth_answer answer;
    struct smtp_out out;

    judge(c, &answer);
    client_out_init(c, &out);
    smtp_session_auth_answer(&c->smtp, &answer, &out);
    if (answer.kind != SMTP_AUTH_CHALLENGE) {
        if (answer.kind == SMTP_AUTH_ACCEPTED)
            client_count(c, COUNTER_AUTH_ACCEPTED);
        if (answer.kind == SMTP_AUTH_REFUSED)
            client_count(c, COUNTER_AUTH_REFUSED);
        gateway_log_auth(c, mechanism, c->auth ? auth_exchange_claimed(c->auth) : "", answer.kind);
        client_auth_end(c);
    }
    return client_apply(c, &out);
}
