/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_priv.h"

#include "assertion.h"

#include <stdlib.h>

static void target_next(struct hop *h);
static void target_leave(struct hop *h);
static void ask_anew(struct hop *h);

/* --- what failed --- */

static const char *target_name(const struct hop *h)
{
    return h->fact_host[0] ? h->fact_host : h->txn->domain ? h->txn->domain : "";
}

/* RFC 8689 section 4.2.1: a message that requires TLS goes back to its author where the hosts can't
 * give it; but not while one could not be reached, which may be fit. */
static uint16_t requiretls_code(const struct hop *h)
{
    return h->has_failure && h->failure.code < 500 ? 451 : 550;
}

/* What the sender hears if nothing better is found: the next hop's own words behind ours. */
static void failure_set(struct hop *h, enum smtp_client_phase phase, const struct smtp_reply *reply,
                        const char *why)
{
    struct smtp_reply translated;
    char ip[NET_ADDR_TEXT] = "";

    if (h->probe)
        upstream_probe_failed(h, phase);
    if (smtp_answer_translate(phase, reply, &translated)) {
        h->alarm = true;
        upstream_count(h->u, COUNTER_ALARMS);
    }
    if (reply->code == 0 && phase == SMTP_PHASE_CONNECT)
        translated.enhanced = (struct smtp_enhanced){4, 4, 1};
    if (h->txn->mail.requiretls && reply->code / 100 != 4 &&
        (phase == SMTP_PHASE_TLS || phase == SMTP_PHASE_STARTTLS)) {
        translated.code = requiretls_code(h);
        translated.enhanced = (struct smtp_enhanced){5, 7, 10};
    }
    if (h->addr < h->addrs_len && !h->targets[h->target].is_addr)
        net_addr_ip_text(&h->addrs[h->addr], ip);
    if (reply->len > 0)
        upstream_why(h->why, "%s: %u %.*s", why, reply->code, (int)reply->len, reply->text);
    else
        upstream_why(h->why, "%s", why);
    upstream_reply(&h->failure, translated.code, translated.enhanced.subject,
                   translated.enhanced.detail, "%s%s%s%s: %s", target_name(h), ip[0] ? "[" : "", ip,
                   ip[0] ? "]" : "", h->why);
    h->has_failure = true;
}

static void failure_make(struct hop *h, uint16_t code, uint16_t subject, uint16_t detail,
                         const char *text)
{
    upstream_why(h->why, "%s", text);
    upstream_reply(&h->failure, code, subject, detail, "%s: %s", target_name(h), text);
    h->has_failure = true;
}

/* --- one address --- */

static void address_next(struct hop *h)
{
    struct upstream *u = h->u;

    if (upstream_race_goes_on(h))
        return;
    while (h->addr < h->addrs_len && !upstream_probe_only_asks(h)) {
        if (!upstream_host_hold(u, h->host, h->route->conf->max_connections)) {
            if (h->is_waiting && dp_now_ms(u->conf.dp) >= h->wait_until_ms) {
                failure_make(h, 451, 3, 2, "all connections to it are in use");
                h->unreachable = false;
                break;
            }
            h->state = HOP_WAITING;
            upstream_wait_begin(h);
            return;
        }
        upstream_wait_end(h);
        h->state = HOP_DIALLING;
        h->facts.addr = h->addrs[h->addr];
        int err = upstream_leg_dial(h, &h->addrs[h->addr], &h->leg);
        if (err == ERR_OK) {
            upstream_race_begin(h);
            return;
        }
        failure_make(h, 451, 3, 2, err_text(err));
        h->unreachable = false;
        h->addr++;
    }
    upstream_wait_end(h);
    if (h->unreachable && !h->probe)
        upstream_host_failed(u, h->host, h->why);
    target_leave(h);
    target_next(h);
}

void upstream_dial_failed(struct hop *h, enum smtp_client_phase phase,
                          const struct smtp_reply *reply, const char *why, bool unreachable)
{
    bool tls = phase == SMTP_PHASE_TLS || phase == SMTP_PHASE_STARTTLS;

    hop_pin(h);
    if (tls)
        upstream_report_failed(h, phase, why);
    failure_set(h, phase, reply, why);
    h->unreachable &= unreachable;
    if (tls && h->verdict->level == CONF_LEVEL_MAY &&
        h->route->conf->tls.mode == CONF_HOP_STARTTLS && !h->plaintext) {
        h->plaintext = true; /* the same address once more */
    } else {
        h->plaintext = false;
        h->addr++;
    }
    address_next(h);
    hop_unpin(h);
}

void upstream_dial_unfit(struct hop *h)
{
    struct upstream_leg *leg = h->leg;

    failure_make(h, requiretls_code(h), 7, 30, "it does not take REQUIRETLS");
    leg->hop = NULL;
    h->leg = NULL;
    upstream_pool_put(leg);
    h->state = HOP_WAITING;
    target_leave(h);
    /* The next host from a turn of its own: this one's events are on the stack. */
    if (dp_timer_start(h->u->conf.dp, &h->turn, 0) != ERR_OK)
        hop_give_up(h, &h->failure, false);
}

void upstream_dial_held(struct hop *h, const char *text)
{
    hop_pin(h);
    failure_make(h, 451, 7, 5, text);
    h->unreachable = h->plaintext = false;
    h->addr++;
    address_next(h);
    hop_unpin(h);
}

void upstream_dial_again(struct hop *h, bool stale, const struct smtp_reply *reply, const char *why)
{
    uint64_t now = dp_now_ms(h->u->conf.dp);

    hop_pin(h);
    failure_set(h, SMTP_PHASE_MAIL, reply, why);
    if (now >= h->deadline_ms ||
        dp_timer_start(h->u->conf.dp, &h->budget, h->deadline_ms - now) != ERR_OK) {
        hop_give_up(h, &h->failure, false);
    } else if (stale) {
        h->no_pool = true;
        if (h->recalled)
            ask_anew(h);
        else
            target_next(h);
    } else {
        h->addr++;
        h->unreachable = h->plaintext = false;
        address_next(h);
    }
    hop_unpin(h);
}

/* --- one host --- */

static void address_take(struct hop *h, const union net_addr *addrs, unsigned len, uint16_t port)
{
    h->addrs_len = len < DNS_ADDRS_MAX ? len : DNS_ADDRS_MAX;
    for (unsigned i = 0; i < h->addrs_len; i++) {
        h->addrs[i] = addrs[i];
        net_addr_set_port(&h->addrs[i], port);
    }
    h->addr = 0;
    h->unreachable = true;
    h->resolved = true;
}

static void on_addresses(void *user, const struct dns_addr_answer *answer)
{
    struct hop *h = user;
    bool permanent = answer->status == DNS_NXDOMAIN || answer->status == DNS_NODATA;

    h->question = NULL;
    hop_pin(h);
    if (h->probe)
        upstream_probe_addresses(h, answer);
    if (answer->status == DNS_OK && answer->len > 0) {
        address_take(h, answer->addr, answer->len, h->targets[h->target].port);
        address_next(h);
    } else {
        if (permanent && h->route->conf->mx && strcmp(target_name(h), h->txn->domain) == 0)
            failure_make(h, 550, 1, 2, "the domain has neither MX nor address records");
        else if (permanent)
            failure_make(h, 451, 4, 4, "the host has no address");
        else
            failure_make(h, 451, 4, 3,
                         answer->status == DNS_BOGUS ? "DNSSEC validation of its addresses failed"
                                                     : "its addresses can't be looked up");
        target_leave(h);
        target_next(h);
    }
    hop_unpin(h);
}

/* The pool's host of the target in turn. */
static bool target_enter(struct hop *h)
{
    const struct upstream_target *t = &h->targets[h->target];

    if (h->host)
        upstream_host_drop(h->u, h->host);
    h->host = upstream_host_get(h->u, t->host, t->port);
    memcpy(h->fact_host, t->host, sizeof(h->fact_host));
    h->addrs_len = h->addr = 0;
    h->resolved = h->plaintext = false;
    if (h->probe)
        upstream_probe_enter(h);
    return h->host != NULL;
}

/* One that has less TLS than this destination must have goes, whatever it was good for before. */
static struct upstream_leg *pooled_take(struct hop *h)
{
    struct upstream_leg *leg = upstream_pool_take(h->u, h->host, &h->key);

    for (; leg && upstream_ratchet_unfit(h, leg); leg = upstream_pool_take(h->u, h->host, &h->key))
        leg_quit(leg);
    return leg;
}

/* An idle connection by h->key, which is as it was since the target's turn began. */
static bool pooled_use(struct hop *h)
{
    struct upstream_leg *leg = h->no_pool ? NULL : pooled_take(h);

    if (!leg)
        return false;
    upstream_count(h->u, COUNTER_HOP_REUSED);
    upstream_wait_end(h);
    leg->hop = h;
    h->leg = leg;
    hop_activate(h, leg);
    return true;
}

static bool target_pooled(struct hop *h)
{
    upstream_pool_key(h, &h->key);
    return pooled_use(h);
}

/* By its verdict; or because a message that requires TLS goes only to a host that proves who it is
 * (RFC 8689 section 4.2.1). No level that asks for proof takes a name from MX records that neither
 * DNSSEC nor MTA-STS vouches for. */
static bool target_refused(struct hop *h)
{
    const struct tls_verdict *v = h->verdict;
    bool requires = h->txn->mail.requiretls;

    if (v->use == TLS_SKIP && v->failed)
        failure_make(h, 451, 4, 3, v->why);
    else if (v->use == TLS_SKIP)
        failure_make(h, requires ? requiretls_code(h) : 451, 7, requires ? 10 : 5, v->why);
    else if (requires && upstream_check_of(v->level) == TLS_CHECK_NOTHING)
        failure_make(h, requiretls_code(h), 7, 10,
                     "the message requires TLS with a host that proves who it is, and the level "
                     "asks for no proof");
    else
        return false;
    return true;
}

/* The target in turn, whose verdict is made. False: it is not to be had. */
static bool target_try(struct hop *h)
{
    struct upstream *u = h->u;
    const struct upstream_target *t = &h->targets[h->target];

    if (h->probe)
        upstream_probe_judged(h);
    if (h->verdict->use == TLS_SKIP)
        upstream_report_skipped(h);
    if (target_refused(h))
        return false;
    if (target_pooled(h))
        return true;
    if (upstream_host_dead(u, h->host) && !h->probe) {
        failure_make(h, 451, 4, 1, h->host->last_error);
        return false;
    }
    if (t->is_addr) {
        address_take(h, &t->addr, 1, t->port);
        address_next(h);
        return true;
    }
    if (u->conf.resolver->ops->addr(u->conf.resolver, t->host, on_addresses, h, &h->question) ==
        ERR_OK)
        return true;
    h->question = NULL;
    failure_make(h, 451, 4, 3, "its addresses can't be looked up");
    return false;
}

/* It is done with, one way or the other. */
static void target_leave(struct hop *h)
{
    if (h->probe)
        upstream_probe_leave(h);
    h->target++;
}

/* Walks the targets until something is under way; or gives up. */
static void target_next(struct hop *h)
{
    for (; h->target < h->targets_len; target_leave(h)) {
        h->state = HOP_WAITING;
        if (!target_enter(h))
            failure_make(h, 451, 3, 0, "out of memory");
        else if (upstream_verdict_host(h) || target_try(h))
            return;
    }
    if (!h->has_failure)
        failure_make(h, 451, 4, 1, "no host to try");
    hop_give_up(h, &h->failure, false);
}

/* --- MX --- */

static bool targets_make(struct hop *h, unsigned len)
{
    h->targets = calloc(len ? len : 1, sizeof(*h->targets));
    h->targets_owned = true;
    return h->targets != NULL;
}

static void target_add(struct hop *h, const char *host)
{
    struct upstream_target *t = &h->targets[h->targets_len];

    if (span_to_cstr(span_str(host), t->host, sizeof(t->host)) != ERR_OK)
        return;
    t->port = (uint16_t)h->route->conf->mx_port;
    h->targets_len++;
}

/* RFC 5321 section 5.1: where we are an MX ourselves, hosts that are no better than us would send
 * the mail back. */
static unsigned own_preference(const struct hop *h, const struct dns_mx_answer *answer)
{
    struct span own = span_str(h->u->conf.conf->gateway.hostname);

    for (unsigned i = 0; i < answer->len; i++)
        if (span_equal_nocase(span_str(answer->mx[i].host), own))
            return answer->mx[i].preference;
    return UINT16_MAX + 1u;
}

static void mx_take(struct hop *h, const struct dns_mx_answer *answer)
{
    unsigned below = own_preference(h, answer);

    if (!targets_make(h, answer->len)) {
        failure_make(h, 451, 3, 0, "out of memory");
        return;
    }
    for (unsigned i = 0; i < answer->len && answer->mx[i].preference < below; i++)
        if (answer->mx[i].host[0])
            target_add(h, answer->mx[i].host);
    if (h->targets_len == 0)
        failure_make(h, 451, 4, 6, "its mail exchanger is this gateway: mail would loop");
}

/* Of the first host. */
static unsigned equals_count(const struct dns_mx_answer *answer)
{
    unsigned count = 1;

    while (count < answer->len && answer->mx[count].preference == answer->mx[0].preference)
        count++;
    return count;
}

static void on_mx(void *user, const struct dns_mx_answer *answer)
{
    struct hop *h = user;

    h->question = NULL;
    hop_pin(h);
    if (h->probe)
        upstream_probe_mx(h, answer);
    upstream_verdict_mx(h, answer->secure);
    upstream_recall_limit(h, answer->status, answer->ttl_s);
    h->first_equals = equals_count(answer);
    switch (answer->status) {
    case DNS_OK:
        if (answer->len == 1 && answer->mx[0].host[0] == '\0')
            failure_make(h, 556, 1, 10, "the domain takes no mail (null MX)");
        else
            mx_take(h, answer);
        break;
    case DNS_NODATA: /* RFC 5321 section 5.1: an implicit MX */
        if (targets_make(h, 1))
            target_add(h, h->txn->domain);
        break;
    case DNS_NXDOMAIN:
        failure_make(h, 550, 1, 2, "the domain does not exist");
        break;
    case DNS_BOGUS:
        failure_make(h, 451, 4, 3, "DNSSEC validation of its MX records failed");
        break;
    case DNS_FAILED:
        failure_make(h, 451, 4, 3, "its MX records can't be looked up");
        break;
    }
    if (h->targets_len == 0 || !upstream_verdict_domain(h))
        target_next(h);
    hop_unpin(h);
}

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]": no MX is asked for (RFC 5321 section 5.1). */
static bool literal_take(struct hop *h)
{
    struct span s = span_str(h->txn->domain);
    union net_addr addr;

    if (s.len < 3 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']')
        return false;
    s = span_make(s.ptr + 1, s.len - 2);
    if (span_starts_nocase(s, SPAN_LIT("IPv6:")))
        s = span_from(s, 5);
    uint16_t port = (uint16_t)h->route->conf->mx_port;
    if (net_addr_parse_ip(s, port, &addr) != ERR_OK) {
        failure_make(h, 550, 1, 2, "not an address literal");
        return true;
    }
    if (!targets_make(h, 1))
        return true;
    upstream_verdict_literal(h);
    target_add(h, h->txn->domain);
    if (h->targets_len == 1) {
        h->targets[0].is_addr = true;
        h->targets[0].addr = addr;
    }
    return true;
}

/* --- the whole --- */

static void on_turn(void *user, struct dp_timer *timer)
{
    upstream_dial_turn(user);
}

/* This host, or the whole of it, takes longer than a probe waits. */
static void probe_late(struct hop *h)
{
    bool over = dp_now_ms(h->u->conf.dp) >= h->deadline_ms;

    hop_pin(h);
    upstream_dial_stop(h);
    if (h->leg)
        leg_close(h->leg, DP_CLOSE_CUT);
    failure_make(h, 451, 4, 1, over ? "the time for a probe is over" : "no answer in time");
    if (h->target < h->targets_len)
        target_leave(h);
    while (over && h->target < h->targets_len)
        target_leave(h);
    target_next(h);
    hop_unpin(h);
}

static void on_budget(void *user, struct dp_timer *timer)
{
    struct hop *h = user;
    struct smtp_reply reply;

    if (h->probe) {
        probe_late(h);
        return;
    }
    hop_pin(h);
    upstream_reply(&reply, 451, 4, 1, "%s: no answer within %u seconds%s%s", target_name(h),
                   h->u->limits->hop_budget_s, h->has_failure ? ": " : "",
                   h->has_failure ? h->why : "");
    if (h->host && h->unreachable && h->resolved)
        upstream_host_failed(h->u, h->host, "no answer in time");
    hop_give_up(h, &reply, false);
    hop_unpin(h);
}

static bool mx_ask(struct hop *h)
{
    struct resolver *resolver = h->u->conf.resolver;

    h->stands_until_ms = UINT64_MAX;
    if (resolver->ops->mx(resolver, h->txn->domain, on_mx, h, &h->question) == ERR_OK)
        return true;
    h->question = NULL;
    failure_make(h, 451, 4, 3, "its MX records can't be looked up");
    return false;
}

/* The connection that another message for the domain went by, where nothing has to be asked again.
 */
static bool recall_use(struct hop *h)
{
    if (h->probe || h->txn->mail.requiretls || !upstream_recall_take(h))
        return false;
    if (target_enter(h) && pooled_use(h))
        return true;
    upstream_recall_drop(h);
    return false;
}

int upstream_dial_begin(struct hop *h)
{
    struct upstream *u = h->u;
    uint64_t budget_ms = upstream_probe_time(h, u->limits->hop_budget_s * 1000ull);

    h->state = HOP_WAITING;
    h->turn = (struct dp_timer){.fire = on_turn, .user = h};
    h->budget = (struct dp_timer){.fire = on_budget, .user = h};
    upstream_race_init(h);
    h->deadline_ms = dp_now_ms(u->conf.dp) + budget_ms;
    if (dp_timer_start(u->conf.dp, &h->budget, budget_ms) != ERR_OK)
        return ERR_NOMEM;
    if (recall_use(h))
        return ERR_OK;
    if (upstream_verdict_begin(h) != ERR_OK)
        return ERR_NOMEM;
    if (!h->route->conf->mx) {
        h->targets = h->route->targets;
        h->targets_len = (unsigned)h->route->conf->hops_len;
        if (!h->said && !h->txn->mail.requiretls && target_enter(h) && target_pooled(h))
            return ERR_OK;
    } else if (!literal_take(h) && mx_ask(h)) {
        return ERR_OK;
    }
    /* From a turn of its own, so that nothing is told from inside hop_open. */
    return dp_timer_start(u->conf.dp, &h->turn, 0);
}

/* What was recalled is no more than a way to a connection that is there, and it was gone. */
static void ask_anew(struct hop *h)
{
    upstream_recall_drop(h);
    h->state = HOP_WAITING;
    if (upstream_verdict_begin(h) != ERR_OK || !mx_ask(h))
        hop_give_up(h, &h->failure, false);
}

void upstream_dial_turn(struct hop *h)
{
    hop_pin(h);
    if (h->state != HOP_WAITING || h->question) {
        hop_deliver(h);
    } else if (!h->is_waiting) {
        target_next(h);
    } else if (!pooled_use(h)) {
        address_next(h);
    }
    hop_unpin(h);
}

void upstream_dial_stop(struct hop *h)
{
    struct upstream *u = h->u;

    if (h->question)
        u->conf.resolver->ops->cancel(u->conf.resolver, h->question);
    h->question = NULL;
    upstream_wait_end(h);
    upstream_race_end(h);
    dp_timer_stop(u->conf.dp, &h->turn);
    dp_timer_stop(u->conf.dp, &h->budget);
}
