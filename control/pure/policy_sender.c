/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_sender.h"

#include "tls_name.h"

static bool cert_listed(const struct conf_sender *rule, const struct tls_facts *tls)
{
    /* The handshake has proved that the client holds the key; no CA needs to vouch for it. */
    for (size_t i = 0; tls && tls->verify != TLS_VERIFY_NONE && i < rule->certs_len; i++) {
        if (memcmp(rule->certs[i].sha256, tls->cert_sha256, sizeof(tls->cert_sha256)) == 0)
            return true;
    }
    return false;
}

static bool user_listed(const struct conf_sender *rule, const char *user)
{
    for (size_t i = 0; user && i < rule->users.len; i++) {
        if (strcmp(rule->users.items[i], user) == 0)
            return true;
    }
    return false;
}

/* The client is one that the rule names. */
static bool client_named(const struct conf_sender *rule, const struct policy_client *client)
{
    return cert_listed(rule, client->tls) || tls_name_verified(client->tls, &rule->names) ||
           user_listed(rule, client->user);
}

static enum policy_sender_verdict rule_judge(const struct conf_sender *rule,
                                             const struct policy_client *client)
{
    const struct tls_facts *tls = client->tls;

    /* A user has logged in inside TLS, also where it is that of a server which speaks for it. */
    if (user_listed(rule, client->user))
        return POLICY_SENDER_OK;
    if (!tls)
        return POLICY_SENDER_NEEDS_TLS;
    if (rule->level == CONF_SENDER_ENCRYPT || client_named(rule, client))
        return POLICY_SENDER_OK;
    bool anyone = rule->certs_len == 0 && rule->names.len == 0 && rule->users.len == 0;
    return anyone && tls->verify == TLS_VERIFY_OK ? POLICY_SENDER_OK : POLICY_SENDER_NEEDS_CERT;
}

struct policy_sender_decision policy_sender_decide(const struct conf *conf,
                                                   const struct policy_client *client,
                                                   struct span domain)
{
    const struct conf_sender *best = NULL, *binds = NULL;
    size_t best_fit = 0;
    bool bound_elsewhere = true;
    bool someone = client->user || (client->tls && client->tls->verify != TLS_VERIFY_NONE);

    if (domain.len == 0)
        return (struct policy_sender_decision){.verdict = POLICY_SENDER_OK};
    for (size_t i = 0; i < conf->senders_len; i++) {
        const struct conf_sender *rule = &conf->senders[i];
        if (!conf_at_listener(&rule->listeners, client->listener))
            continue;
        size_t fit = policy_domain_fit(rule->domain, domain);
        if (fit > best_fit) {
            best = rule;
            best_fit = fit;
        }
        if (!someone || !client_named(rule, client))
            continue;
        if (!binds)
            binds = rule;
        if (fit > 0)
            bound_elsewhere = false;
    }
    struct policy_sender_decision ret = {.rule = best};
    if (best)
        ret.verdict = rule_judge(best, client);
    if (ret.verdict == POLICY_SENDER_OK && binds && bound_elsewhere)
        ret = (struct policy_sender_decision){.verdict = POLICY_SENDER_BOUND, .rule = binds};
    return ret;
}
