/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

/* Our own fault is no failure of the next hop's TLS: level may does not fall back for it, no report
 * counts it, and no message goes back to its author. */
static void own_fault(struct upstream_leg *leg, const char *why)
{
    static const struct smtp_reply busy = {.code = 451, .enhanced = {4, 3, 2}};

    leg_failed(leg, SMTP_PHASE_GREETING, &busy, why, false);
}

void upstream_tls_begin(struct upstream_leg *leg)
{
    struct upstream *u = leg->u;
    struct tls_client_request request;
    struct upstream_names names;

    upstream_tls_request(leg, &names, &request);
    leg->state = LEG_HANDSHAKE;
    leg->tickets = true;
    int err = u->conf.tls->ops->start_client(u->conf.tls, leg->id, &request);
    if (err == ERR_OK || leg->state == LEG_CLOSED)
        return;
    own_fault(leg, err == ERR_LIMIT ? "too many TLS handshakes at once" : err_text(err));
}

/* The service fails a handshake whose certificate is not what the level asks; that nothing weaker
 * ever comes this far is checked once more. */
static bool level_met(const struct upstream_leg *leg, const struct tls_facts *facts)
{
    return upstream_check_of(leg->level) == TLS_CHECK_NOTHING || facts->verify == TLS_VERIFY_OK;
}

bool upstream_tls_output(struct upstream *u, struct leg_id id, struct span bytes)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (!leg)
        return false;
    /* A leg that takes no more is lost, and its event says so. */
    (void)!dp_send(u->conf.dp, id, bytes.ptr, bytes.len);
    return true;
}

bool upstream_tls_done(struct upstream *u, struct leg_id id, const struct tls_keys *keys,
                       const struct tls_facts *facts, struct span rest)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (!leg)
        return false;
    if (leg->lost) {
        leg_lost(leg, &leg->lost_info);
        return true;
    }
    leg_pin(leg);
    bool tickets = keys->version == TLS_VERSION_1_3;
    const struct shared *shared = u->conf.shared.shared;
    bool rekeys =
        shared_rekeys(shared, shared_address_key(shared, &leg->addr), dp_now_ms(u->conf.dp) / 1000);
    int err = dp_set_keys(u->conf.dp, id, keys, rest,
                          (tickets ? DP_KEYS_TICKETS : 0) | (rekeys ? DP_KEYS_USER : 0));
    if (err) {
        own_fault(leg, err_text(err));
    } else if (!level_met(leg, facts)) {
        leg_failed(leg, SMTP_PHASE_TLS, NULL, "the certificate is not what the level asks", false);
    } else {
        if (!tickets) {
            u->conf.tls->ops->release(u->conf.tls, id);
            leg->tickets = false;
        }
        leg_secured(leg, facts);
    }
    leg_unpin(leg);
    return true;
}

bool upstream_tls_failed(struct upstream *u, struct leg_id id, const struct tls_failure *failure)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (!leg)
        return false;
    if (failure->kind == TLS_FAIL_ENDED) {
        leg_lost(leg, &leg->lost_info);
        return true;
    }
    leg_pin(leg);
    if (leg->state == LEG_HANDSHAKE) {
        upstream_count(u, COUNTER_TLS_OUT_FAILED);
        if (leg->hop)
            leg->hop->fault = failure->fault;
        if (failure->kind == TLS_FAIL_INTERNAL)
            own_fault(leg, failure->text);
        else
            leg_failed(leg, SMTP_PHASE_TLS, NULL, failure->text, false);
    }
    leg_unpin(leg);
    return true;
}

bool upstream_ticket_record(struct upstream *u, struct leg_id id, struct span record)
{
    struct upstream_leg *leg = upstream_leg_find(u, id);

    if (!leg)
        return false;
    if (leg->tickets)
        u->conf.tls->ops->ticket_record(u->conf.tls, id, record);
    return true;
}
