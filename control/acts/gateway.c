/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_priv.h"

#include "assertion.h"
#include "log.h"
#include "policy_list.h"
#include "proxy_header.h"

#include <stdlib.h>

struct client *client_find(const struct gateway *g, struct leg_id leg)
{
    ASSERT(leg.slot < g->conf.max_legs);
    struct client *c = g->by_slot[leg.slot];
    return c && leg_same(c->leg, leg) ? c : NULL;
}

void client_count(const struct client *c, enum counter which)
{
    counter_add(&c->gateway->conf.shared, which, 1);
}

void client_out_init(struct client *c, struct smtp_out *out)
{
    buf_clear(&c->gateway->reply);
    out->bytes = &c->gateway->reply;
    out->actions_len = 0;
}

static const struct conf_limits *limits_of(const struct client *c)
{
    return &c->gateway->conf.conf->limits;
}

static const struct conf_listener *listener_of(const struct client *c)
{
    return &c->gateway->conf.conf->listeners[c->listener];
}

/* --- a session's end --- */

/* The last session of a gateway that takes no new ones has ended. */
static void left_tell(struct gateway *g)
{
    if (!g->leaving || g->told_drained || g->clients_len > 0)
        return;
    g->told_drained = true;
    upstream_drain(g->upstream);
    if (g->conf.drained)
        g->conf.drained(g->conf.user);
}

static void client_free(struct client *c)
{
    struct gateway *g = c->gateway;

    ASSERT(!c->hop);
    dp_timer_stop(g->dp, &c->idle_timer);
    dp_timer_stop(g->dp, &c->session_timer);
    if (c->ptr_question)
        g->resolver->ops->cancel(g->resolver, c->ptr_question);
    if (c->held_address)
        shared_drop(&g->conf.shared, SHARED_CLIENT_ADDRESS, c->address_key);
    smtp_session_free(&c->smtp);
    client_auth_end(c);
    free(c->ptr);
    if (c->prev)
        c->prev->next = c->next;
    else
        g->clients = c->next;
    if (c->next)
        c->next->prev = c->prev;
    g->clients_len--;
    counter_set(&g->conf.shared, COUNTER_SESSIONS_OPEN, g->clients_len);
    free(c);
    left_tell(g);
}

/* Takes the leg away from the client. */
static void client_part(struct client *c, enum session_end end, enum dp_close how)
{
    struct gateway *g = c->gateway;

    if (c->mode == CLIENT_GONE)
        return;
    body_leave(c);
    if (c->mode == CLIENT_TLS) {
        handshake_end(c);
        g->tls->ops->release(g->tls, c->leg);
    }
    c->mode = CLIENT_GONE;
    c->end = end;
    g->by_slot[c->leg.slot] = NULL;
    dp_close(g->dp, c->leg, how);
    dp_timer_stop(g->dp, &c->idle_timer);
    dp_timer_stop(g->dp, &c->session_timer);
    counter_session_end(&g->conf.shared, end);
    gateway_log_session(c);
}

/* A client without a leg waits for nothing but the next hop's final answer, so that the log can say
 * what became of a complete message whose sender is gone. False where it is gone too. */
static bool client_settle(struct client *c)
{
    if (c->hop && c->body.finished)
        return true;
    if (c->hop)
        client_message_end(c, MESSAGE_ABORTED);
    client_free(c);
    return false;
}

void client_close(struct client *c, enum session_end end, enum dp_close how)
{
    client_part(c, end, how);
    client_settle(c);
}

/* Actions that are carried out even where the leg is gone: they end things. */
static bool without_leg(enum smtp_action_kind kind)
{
    switch (kind) {
    case SMTP_DO_ABORT:
    case SMTP_DO_END:
    case SMTP_DO_REFUSED:
    case SMTP_DO_REFUSED_SENDER:
    case SMTP_DO_AUTH_END:
    case SMTP_DO_CLOSE:
        return true;
    case SMTP_DO_STARTTLS:
    case SMTP_DO_AUTH:
    case SMTP_DO_OPEN:
    case SMTP_DO_RCPT:
    case SMTP_DO_DATA:
    case SMTP_DO_CHUNK:
    case SMTP_DO_BODY:
    case SMTP_DO_DRAIN_BODY:
    case SMTP_DO_DRAIN_CHUNK:
        break;
    }
    return false;
}

bool client_apply(struct client *c, struct smtp_out *out)
{
    /* Where they don't fit it sends commands and reads no replies: DP_OUTPUT_MAX bytes of them
     * wait. What the machine decided holds all the same: this may have been the final answer. */
    if (client_reply_out(c, out) != ERR_OK)
        client_part(c, SESSION_END_CLIENT_RESET, DP_CLOSE_CUT);
    buf_clear(out->bytes);
    for (unsigned i = 0; i < out->actions_len; i++) {
        if (c->mode == CLIENT_GONE && !without_leg(out->actions[i].kind))
            continue;
        if (!client_act(c, &out->actions[i]))
            return false;
    }
    if (c->mode == CLIENT_GONE)
        return client_settle(c);
    client_resume(c);
    return true;
}

void client_resume(struct client *c)
{
    bool wanted =
        c->mode == CLIENT_BODY || (c->mode == CLIENT_COMMAND && smtp_session_wants_input(&c->smtp));

    if (!c->left_over || !wanted)
        return;
    c->left_over = false;
    (void)!dp_resume(c->gateway->dp, c->leg); /* a leg that is gone is told by lost */
}

/* --- timers --- */

static uint64_t idle_limit_ms(const struct client *c)
{
    const struct conf_limits *l = limits_of(c);

    switch (c->mode) {
    case CLIENT_PROXY:
    case CLIENT_TLS:
        return l->handshake_timeout_s * 1000ull;
    case CLIENT_BODY:
        return l->data_timeout_s * 1000ull;
    case CLIENT_COMMAND:
    case CLIENT_RELAY:
    case CLIENT_BODY_WAIT:
    case CLIENT_GONE:
        break;
    }
    return l->command_timeout_s * 1000ull;
}

void client_enter(struct client *c, enum client_mode mode)
{
    struct dp *dp = c->gateway->dp;

    c->mode = mode;
    c->active_ms = dp_now_ms(dp);
    uint64_t due_ms = c->active_ms + idle_limit_ms(c);
    /* A timer that fires early looks at active_ms; one that would be late is set anew. */
    if (c->idle_timer.heap_place != 0 && c->idle_timer.due_ms > due_ms &&
        dp_timer_start(dp, &c->idle_timer, due_ms - c->active_ms) != ERR_OK)
        c->idle_timer.due_ms = 0; /* no memory: the session's own timer is still there */
}

static void idle_watch(struct client *c, uint64_t after_ms)
{
    if (dp_timer_start(c->gateway->dp, &c->idle_timer, after_ms) != ERR_OK)
        client_close(c, SESSION_END_INTERNAL, DP_CLOSE_CUT);
}

/* Only what gets somewhere counts: a whole command, bytes of a body. A handshake or a PROXY header
 * has its time from its beginning, however its bytes trickle in. */
static void note_activity(struct client *c, size_t used)
{
    if (used > 0 && (c->mode == CLIENT_COMMAND || c->mode == CLIENT_BODY))
        c->active_ms = dp_now_ms(c->gateway->dp);
}

/* Activity only notes the time: the timer looks at it when it fires, so that a busy session costs
 * no heap operation a command. */
static void idle_fired(void *user, struct dp_timer *timer)
{
    struct client *c = user;
    uint64_t now = dp_now_ms(c->gateway->dp), limit = idle_limit_ms(c);
    bool ours = c->mode == CLIENT_RELAY || c->mode == CLIENT_BODY_WAIT ||
                (c->mode == CLIENT_COMMAND &&
                 (!smtp_session_wants_input(&c->smtp) || smtp_session_owes_answer(&c->smtp)));

    (void)timer;
    if (ours)
        c->active_ms = now; /* the client waits for us: the clock starts anew with our answer */
    if (now - c->active_ms < limit) {
        idle_watch(c, limit - (now - c->active_ms));
        return;
    }
    if (c->mode == CLIENT_PROXY || c->mode == CLIENT_TLS) {
        if (c->mode == CLIENT_TLS)
            client_count(c, COUNTER_TLS_IN_FAILED);
        client_close(c, SESSION_END_IDLE_TIMEOUT, DP_CLOSE_CUT);
        return;
    }
    struct smtp_out out;
    client_out_init(c, &out);
    smtp_session_timeout(&c->smtp, SESSION_END_IDLE_TIMEOUT, &out);
    client_apply(c, &out);
}

static void session_fired(void *user, struct dp_timer *timer)
{
    struct client *c = user;
    struct smtp_out out;

    (void)timer;
    client_out_init(c, &out);
    smtp_session_timeout(&c->smtp, SESSION_END_SESSION_TIMEOUT, &out);
    if (!client_apply(c, &out) || c->mode == CLIENT_GONE)
        return;
    /* A message is on its way, and the session ends behind it; but not even that takes for ever. */
    if (dp_timer_start(c->gateway->dp, &c->session_timer,
                       limits_of(c)->session_timeout_s * 1000ull) != ERR_OK)
        client_close(c, SESSION_END_INTERNAL, DP_CLOSE_CUT);
}

/* --- a session's beginning --- */

static void make_id(struct gateway *g, char id[SMTP_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t time_us = dp_wall_us(g->dp);
    uint64_t mixed = (g->conf.id_seed + ++g->id_counter) * 0x9e3779b97f4a7c15ull;

    /* Ten digits of time, so that ids sort; six that tell workers and moments apart. */
    for (int i = 9; i >= 0; i--, time_us /= 36)
        id[i] = digits[time_us % 36];
    mixed >>= 16;
    for (int i = 10; i < SMTP_ID_LEN; i++, mixed /= 36)
        id[i] = digits[mixed % 36];
    id[SMTP_ID_LEN] = '\0';
}

static bool prefixes_contain(const struct net_prefix *p, size_t len, const union net_addr *a)
{
    for (size_t i = 0; i < len; i++) {
        if (net_prefix_contains(&p[i], a))
            return true;
    }
    return false;
}

static void ptr_done(void *user, const struct dns_ptr_answer *answer)
{
    struct client *c = user;

    c->ptr_question = NULL;
    if (answer->status == DNS_OK)
        c->ptr = strdup(answer->name); /* without memory it stays unknown */
}

const char *client_ptr(const struct client *c)
{
    if (c->smtp.era.xclient)
        return c->smtp.era.client_name;
    return c->ptr ? c->ptr : "";
}

/* False where the client was refused and is gone. */
static bool client_admit(struct client *c)
{
    struct gateway *g = c->gateway;
    enum session_end end;

    c->address_key = shared_address_key(g->conf.shared.shared, &c->smtp.peer.addr);
    if (g->draining)
        end = SESSION_END_SHUTDOWN;
    else if (g->clients_len > limits_of(c)->max_sessions || !handshake_has_place(g, c))
        end = SESSION_END_OVERLOAD;
    else if (!shared_hold(&g->conf.shared, SHARED_CLIENT_ADDRESS, c->address_key,
                          limits_of(c)->max_sessions_per_address))
        end = SESSION_END_ADDRESS_LIMIT;
    else {
        c->held_address = true;
        if (g->conf.conf->resolver.reverse)
            (void)!g->resolver->ops->ptr(g->resolver, &c->smtp.peer.addr, ptr_done, c,
                                         &c->ptr_question);
        return true;
    }
    client_count(c, COUNTER_SESSIONS_REFUSED);
    if (listener_of(c)->tls == CONF_LISTENER_IMPLICIT) {
        client_close(c, end, DP_CLOSE_FLUSH); /* a 421 in plaintext would only confuse */
        return false;
    }
    struct smtp_out out;
    client_out_init(c, &out);
    smtp_session_refuse(&c->smtp, end, &out);
    client_apply(c, &out);
    return false;
}

/* After the PROXY header, or at once. False where the client is gone. */
static bool client_welcome(struct client *c)
{
    struct smtp_out out;

    if (!client_admit(c))
        return false;
    if (listener_of(c)->tls == CONF_LISTENER_IMPLICIT)
        return client_act(c, &(struct smtp_action){.kind = SMTP_DO_STARTTLS});
    client_enter(c, CLIENT_COMMAND);
    client_out_init(c, &out);
    smtp_session_greet(&c->smtp, &out);
    return client_apply(c, &out);
}

/* Legs that are closed but not gone: those of refused clients that don't close their end stay for
 * seconds. Who opens many of them could take the places of sessions and of next hops. */
static bool too_many_linger(const struct gateway *g)
{
    struct dp_counters now;

    dp_counters(g->dp, &now);
    return now.legs > g->clients_len + upstream_legs(g->upstream) + g->conf.max_legs / 8;
}

static void on_accepted(void *user, unsigned listener, struct leg_id leg,
                        const union net_addr *peer_addr, const union net_addr *local)
{
    struct gateway *g = user;
    struct client *c = too_many_linger(g) ? NULL : calloc(1, sizeof(*c));

    upstream_room_make(g->upstream);
    if (!c) {
        counter_add(&g->conf.shared, COUNTER_SESSIONS_REFUSED, 1);
        dp_close(g->dp, leg, DP_CLOSE_CUT);
        return;
    }
    c->gateway = g;
    c->leg = leg;
    c->listener = listener;
    c->started_ms = c->active_ms = dp_now_ms(g->dp);
    c->idle_timer = (struct dp_timer){.fire = idle_fired, .user = c};
    c->session_timer = (struct dp_timer){.fire = session_fired, .user = c};
    c->next = g->clients;
    if (c->next)
        c->next->prev = c;
    g->clients = c;
    g->clients_len++;
    g->by_slot[leg.slot] = c;
    client_count(c, COUNTER_SESSIONS);
    counter_set(&g->conf.shared, COUNTER_SESSIONS_OPEN, g->clients_len);

    struct smtp_peer peer = {.addr = *peer_addr,
                             .local = *local,
                             .conf = g->conf.conf,
                             .listener = listener_of(c),
                             .offers = &g->listeners[listener].offers};
    net_addr_unmap(&peer.addr);
    net_addr_unmap(&peer.local);
    make_id(g, peer.id);
    smtp_session_init(&c->smtp, &peer);

    const struct conf_listener *l = listener_of(c);
    c->mode = CLIENT_COMMAND;
    if (dp_timer_start(g->dp, &c->session_timer, limits_of(c)->session_timeout_s * 1000ull) !=
        ERR_OK) {
        client_close(c, SESSION_END_INTERNAL, DP_CLOSE_CUT);
        return;
    }
    bool proxied = prefixes_contain(l->proxy_clients, l->proxy_clients_len, &peer.addr);
    if (proxied)
        c->mode = CLIENT_PROXY;
    else if (!client_welcome(c))
        return;
    idle_watch(c, idle_limit_ms(c));
}

/* --- bytes --- */

/* Returns how many bytes were used; ERR_SYNTAX ends the session. */
static bool proxy_input(struct client *c, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct proxy_header header;
    int err = proxy_header_parse(data, len, &header, ret_used);

    if (err == ERR_AGAIN) {
        *ret_used = 0;
        return true;
    }
    if (err != ERR_OK) {
        client_close(c, SESSION_END_BAD_PROXY, DP_CLOSE_CUT);
        return false;
    }
    if (!header.local) {
        c->smtp.peer.addr = header.source;
        c->smtp.peer.local = header.destination;
    }
    return client_welcome(c);
}

/* *ret_again: something happened, so that the rest is worth another look. */
static bool command_input(struct client *c, const uint8_t *data, size_t len, size_t *ret_used,
                          bool *ret_again)
{
    struct smtp_out out;

    client_out_init(c, &out);
    *ret_used = smtp_session_input(&c->smtp, data, len, &out);
    *ret_again = *ret_used > 0 || out.actions_len > 0;
    c->left_over = false;
    return client_apply(c, &out);
}

static size_t on_client_received(struct client *c, const uint8_t *data, size_t len)
{
    size_t total = 0;
    bool alive = true;

    while (alive && total < len) {
        enum client_mode mode = c->mode;
        size_t used = 0;
        bool again = false;
        switch (mode) {
        case CLIENT_PROXY:
            alive = proxy_input(c, data + total, len - total, &used);
            break;
        case CLIENT_COMMAND:
            alive = command_input(c, data + total, len - total, &used, &again);
            break;
        case CLIENT_TLS:
            /* Everything is taken; done may come from inside, and hands the rest back itself. */
            c->gateway->tls->ops->feed(c->gateway->tls, c->leg,
                                       span_make(data + total, len - total));
            return len;
        case CLIENT_BODY:
            used = body_input(c, data + total, len - total, &alive);
            break;
        case CLIENT_RELAY:
        case CLIENT_BODY_WAIT:
        case CLIENT_GONE:
            return total;
        }
        total += used;
        if (alive)
            note_activity(c, used);
        if (alive && used == 0 && !again && c->mode == mode)
            break;
    }
    if (alive && total < len && c->mode == CLIENT_COMMAND)
        c->left_over = true;
    return total;
}

static size_t on_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    struct gateway *g = user;
    struct client *c = client_find(g, leg);
    size_t used = len;

    if (c)
        return on_client_received(c, data, len);
    upstream_received(g->upstream, leg, data, len, &used);
    return used;
}

static enum session_end end_of_lost(const struct dp_lost_info *info)
{
    switch (info->why) {
    case DP_LOST_EOF:
        return SESSION_END_CLIENT_CLOSED;
    case DP_LOST_ALERT:
    case DP_LOST_BAD_RECORD:
    case DP_LOST_LIMIT:
    case DP_LOST_REKEY:
        return SESSION_END_TLS_ERROR;
    case DP_LOST_TRUNCATED:
    case DP_LOST_RESET:
    case DP_LOST_SEND:
        break;
    }
    return SESSION_END_CLIENT_RESET;
}

static void on_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    struct gateway *g = user;
    struct client *c = client_find(g, leg);

    if (!c) {
        upstream_lost(g->upstream, leg, info);
        return;
    }
    bool in_handshake = c->mode == CLIENT_TLS;
    /* What it sent last may say why it went: an alert, most of all. */
    if (in_handshake && g->tls->ops->end(g->tls, leg)) {
        c->lost = true;
        return;
    }
    if (info->why == DP_LOST_REKEY) {
        client_count(c, COUNTER_REKEYS_LOST);
        shared_rekeyed(g->conf.shared.shared, c->address_key, dp_now_ms(g->dp) / 1000);
    }
    if (in_handshake)
        client_count(c, COUNTER_TLS_IN_FAILED);
    client_close(c, in_handshake ? SESSION_END_TLS_FAILED : end_of_lost(info),
                 info->why == DP_LOST_EOF ? DP_CLOSE_FLUSH : DP_CLOSE_CUT);
}

static void on_connected(void *user, struct leg_id leg, int error)
{
    struct gateway *g = user;

    upstream_connected(g->upstream, leg, error);
}

static void on_ticket_record(void *user, struct leg_id leg, struct span record)
{
    struct gateway *g = user;

    upstream_ticket_record(g->upstream, leg, record);
}

static void on_writable(void *user, struct leg_id leg)
{
    struct gateway *g = user;

    upstream_writable(g->upstream, leg);
}

/* A line is the system's before its reply is: what a sender was told, the log knows. */
static void on_turned(void *user)
{
    (void)user;
    log_flush();
}

const struct dp_events gateway_dp_events = {
    .accepted = on_accepted,
    .connected = on_connected,
    .received = on_received,
    .ticket_record = on_ticket_record,
    .lost = on_lost,
    .writable = on_writable,
    .turned = on_turned,
};

/* --- the gateway's own life --- */

int gateway_new(const struct gateway_conf *conf, struct gateway **ret)
{
    struct gateway *g = calloc(1, sizeof(*g));

    *ret = NULL;
    if (!g)
        return ERR_NOMEM;
    g->conf = *conf;
    TAILQ_INIT(&g->handshakes);
    g->by_slot = calloc(conf->max_legs, sizeof(struct client *));
    g->listeners = calloc(conf->conf->listeners_len, sizeof(struct gateway_listener));
    buf_init(&g->reply, DP_OUTPUT_MAX);
    if (!g->by_slot || !g->listeners) {
        gateway_free(g);
        return ERR_NOMEM;
    }
    *ret = g;
    return ERR_OK;
}

static int listener_contexts(struct gateway *g, char *why, size_t why_room)
{
    const struct conf *conf = g->conf.conf;
    struct tls_cert_files files[64];

    for (size_t i = 0; i < conf->listeners_len; i++) {
        const struct conf_listener *l = &conf->listeners[i];
        const struct conf_cert *certs =
            l->certificates_len ? l->certificates : conf->tls.certificates;
        size_t len = l->certificates_len ? l->certificates_len : conf->tls.certificates_len;
        if (l->tls == CONF_LISTENER_NONE)
            continue;
        if (len > sizeof(files) / sizeof(files[0]))
            len = sizeof(files) / sizeof(files[0]);
        for (size_t n = 0; n < len; n++)
            files[n] = (struct tls_cert_files){certs[n].cert, certs[n].key};
        struct tls_server_conf server = {
            .name = l->name,
            .profile = l->profile,
            .min_version = l->min_version,
            .groups = {l->groups.items, l->groups.len},
            .suites = {l->suites.items, l->suites.len},
            .certs = files,
            .certs_len = len,
            .client_cert = l->client_cert,
            .client_ca = l->client_ca,
            .tickets = conf->tls.ticket_rotate_s ? shared_ticket_seed(g->conf.shared.shared) : NULL,
            .ticket_rotate_s = conf->tls.ticket_rotate_s,
        };
        int err = tls_server_ctx_new(&server, &g->listeners[i].tls, why, why_room);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

int gateway_start(struct gateway *g, struct dp *dp, struct tls_service *tls,
                  struct resolver *resolver, char *why, size_t why_room)
{
    struct upstream_conf upstream = {.conf = g->conf.conf,
                                     .dp = dp,
                                     .tls = tls,
                                     .resolver = resolver,
                                     .shared = g->conf.shared,
                                     .max_legs = g->conf.max_legs,
                                     .ratchet = g->conf.ratchet};
    int err;

    g->dp = dp;
    g->tls = tls;
    g->resolver = resolver;
    err = listener_contexts(g, why, why_room);
    for (size_t i = 0; i < g->conf.conf->listeners_len && err == ERR_OK && !g->auth; i++) {
        if (g->conf.conf->listeners[i].auth_users)
            err = auth_server_new(&g->auth);
    }
    if (err == ERR_OK)
        err = upstream_new(&upstream, &g->upstream, why, why_room);
    return err;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    while (g->clients) {
        struct client *c = g->clients;
        c->body.finished = false; /* nobody will hear its answer any more */
        client_close(c, SESSION_END_SHUTDOWN, DP_CLOSE_CUT);
    }
    upstream_free(g->upstream);
    auth_server_free(g->auth);
    for (size_t i = 0; g->listeners && i < g->conf.conf->listeners_len; i++)
        tls_server_ctx_free(g->listeners[i].tls);
    free(g->listeners);
    free(g->by_slot);
    buf_release(&g->reply);
    free(g);
}

void gateway_retire(struct gateway *g)
{
    g->leaving = true;
    left_tell(g);
}

void gateway_drain(struct gateway *g)
{
    g->leaving = g->draining = true;
    upstream_drain(g->upstream);
    left_tell(g);
    struct client *next;
    for (struct client *c = g->clients; c; c = next) {
        struct smtp_out out;
        next = c->next;
        if (c->mode == CLIENT_GONE)
            continue;
        client_out_init(c, &out);
        smtp_session_shutdown(&c->smtp, &out);
        client_apply(c, &out);
    }
}

/* RULES.md of its format: who goes on without it must be told. */
static void list_watch(struct gateway *g)
{
    const struct conf_tls_defaults *tls = &g->conf.conf->tls;

    if (g->list_expired || !tls->policies ||
        (int64_t)(dp_wall_us(g->dp) / 1000000) < policy_list_expires(tls->policies))
        return;
    g->list_expired = true;
    log_text(LOG_LEVEL_WARNING, g->conf.name,
             "tls.policy_list: %s is expired and not used; get a newer one, and reload",
             tls->policy_list.file);
}

void gateway_publish(struct gateway *g)
{
    const struct shared_column *s = &g->conf.shared;
    struct dp_counters now;

    dp_counters(g->dp, &now);
    counter_add(s, COUNTER_BYTES_IN, (int64_t)(now.bytes_in - g->published.bytes_in));
    counter_add(s, COUNTER_BYTES_OUT, (int64_t)(now.bytes_out - g->published.bytes_out));
    counter_add(s, COUNTER_RECORDS_OPENED,
                (int64_t)(now.records_opened - g->published.records_opened));
    counter_add(s, COUNTER_RECORDS_SEALED,
                (int64_t)(now.records_sealed - g->published.records_sealed));
    counter_add(s, COUNTER_KEY_UPDATES, (int64_t)(now.key_updates - g->published.key_updates));
    counter_add(s, COUNTER_KERNEL_REFUSED,
                (int64_t)(now.kernel_refused - g->published.kernel_refused));
    counter_set(s, COUNTER_KERNEL_RX, now.kernel_rx);
    counter_set(s, COUNTER_KERNEL_TX, now.kernel_tx);
    g->published = now;
    list_watch(g);
    for (size_t i = 0; i < g->conf.conf->listeners_len; i++)
        upstream_offers(g->upstream, &g->conf.conf->listeners[i], &g->listeners[i].offers);
}

void gateway_sessions(const struct gateway *g,
                      void (*row)(void *user, const struct gateway_session_status *s), void *user)
{
    uint64_t now = dp_now_ms(g->dp);

    for (const struct client *c = g->clients; c; c = c->next) {
        struct gateway_session_status s = {
            .id = c->smtp.peer.id,
            .state = smtp_state_text(c->smtp.state),
            .listener = g->conf.conf->listeners[c->listener].name,
            .helo = smtp_session_helo(&c->smtp),
            .client = *smtp_session_client(&c->smtp),
            .tls = c->smtp.peer.tls_done,
            .tls_version = c->smtp.peer.tls_done ? tls_version_text(c->smtp.peer.tls.version) : "",
            .tls_suite = c->smtp.peer.tls_done ? c->smtp.peer.tls.suite : "",
            .messages = c->smtp.peer.messages,
            .age_ms = now - c->started_ms,
            .idle_ms = now - c->active_ms,
            .body_bytes = c->body.flow.bytes,
            .route = c->smtp.txn.route ? c->smtp.txn.route->domain : "",
        };
        row(user, &s);
    }
}

struct upstream *gateway_upstream(struct gateway *g)
{
    return g->upstream;
}

void gateway_hosts(const struct gateway *g,
                   void (*row)(void *user, const struct upstream_host_status *s), void *user)
{
    upstream_hosts(g->upstream, row, user);
}
