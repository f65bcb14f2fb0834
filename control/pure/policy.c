/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include "tls_name.h"

size_t policy_domain_fit(const char *wanted, struct span domain)
{
    struct span pattern = span_str(wanted);
    bool literal = domain.len > 0 && domain.ptr[0] == '[';

    if (span_equal_nocase(pattern, domain))
        return SIZE_MAX;
    /* An address literal goes where a route names it, never where a wildcard would send it: the
     * client must not choose the address that we connect to. */
    if (literal)
        return 0;
    if (pattern.len > 1 && pattern.ptr[0] == '.' && domain.len > pattern.len &&
        span_ends_nocase(domain, pattern))
        return 1 + pattern.len;
    return span_equal(pattern, SPAN_LIT("*")) ? 1 : 0;
}

bool policy_may_relay(const struct policy_client *client)
{
    const struct conf_listener *listener = client->listener;

    if (client->user)
        return true;
    for (size_t i = 0; i < listener->relay_clients_len; i++) {
        if (net_prefix_contains(&listener->relay_clients[i], client->addr))
            return true;
    }
    /* The handshake has proved that the peer holds the certificate's key; whether a CA vouches for
     * it does not matter here, the fingerprint names it. */
    if (!client->tls || client->tls->verify == TLS_VERIFY_NONE)
        return false;
    for (size_t i = 0; i < listener->relay_certs_len; i++) {
        if (memcmp(listener->relay_certs[i].sha256, client->tls->cert_sha256,
                   sizeof(client->tls->cert_sha256)) == 0)
            return true;
    }
    return tls_name_verified(client->tls, &listener->relay_names);
}

const struct conf_route *policy_route(const struct conf *conf, const struct conf_listener *listener,
                                      struct span domain, bool *ret_elsewhere)
{
    const struct conf_route *best = NULL;
    size_t best_fit = 0;

    if (domain.len == 0)
        domain = span_str(conf->gateway.hostname);
    for (size_t i = 0; i < conf->routes_len; i++) {
        size_t fit = policy_domain_fit(conf->routes[i].domain, domain);
        if (fit > best_fit && conf_at_listener(&conf->routes[i].listeners, listener)) {
            best = &conf->routes[i];
            best_fit = fit;
        }
    }
    *ret_elsewhere = best && (best->relay || best_fit == 1);
    return best;
}

struct policy_decision policy_decide(const struct conf *conf, const struct policy_client *client,
                                     struct span domain)
{
    bool elsewhere;
    const struct conf_route *best = policy_route(conf, client->listener, domain, &elsewhere);

    if (!best)
        return (struct policy_decision){.verdict = POLICY_NO_ROUTE};
    if (elsewhere && !policy_may_relay(client))
        return (struct policy_decision){.verdict = POLICY_NO_RIGHT};
    return (struct policy_decision){.verdict = POLICY_ROUTE, .route = best};
}
