/* SPDX-License-Identifier: Apache-2.0 */
/* AUTH: brings the client's part of an exchange to who judges it, and the judgement back. */
#include "gateway_priv.h"

void client_auth_end(struct client *c)
{
    auth_exchange_free(c->auth);
    c->auth = NULL;
}

/* Of whom an address is, XCLIENT's word counts: a proxy's own would be everybody's. */
static uint64_t address_key(const struct client *c)
{
    return shared_address_key(c->gateway->conf.shared.shared, smtp_session_client(&c->smtp));
}

static uint64_t now_s(const struct client *c)
{
    return dp_now_ms(c->gateway->dp) / 1000;
}

static unsigned max_per_hour(const struct client *c)
{
    return c->gateway->conf.conf->limits.max_auth_failures_per_hour;
}

static void judge(struct client *c, struct smtp_auth_answer *ret)
{
    const struct smtp_auth *in = c->smtp.auth;
    struct shared *shared = c->gateway->conf.shared.shared;

    *ret = (struct smtp_auth_answer){.kind = SMTP_AUTH_UNAVAILABLE};
    if (shared_logins_over(shared, address_key(c), max_per_hour(c), now_s(c)))
        return;
    if (!c->auth && auth_exchange_new(c->gateway->auth, c->smtp.peer.listener->users, in->mechanism,
                                      &c->auth) != ERR_OK)
        return;
    auth_exchange_step(c->auth, in, ret);
    if (ret->kind == SMTP_AUTH_REFUSED)
        shared_login_failed(shared, address_key(c), max_per_hour(c), now_s(c));
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
