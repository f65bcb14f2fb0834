/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void add(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    assert_int_equal(buf_vprintf(b, format, args), ERR_OK);
    va_end(args);
}

/* --- next hops --- */

static void conn_send(struct conn *c, const char *text)
{
    uint8_t record[2048];
    size_t len = strlen(text);

    if (c->closed)
        return;
    if (c->tls) {
        assert_true(len < 1024);
        assert_int_equal(
            tls_record_seal(c->tx, TLS_CONTENT_DATA, (const uint8_t *)text, len, record, &len),
            ERR_OK);
        dp_sim_peer_send(c->peer, record, len);
    } else {
        dp_sim_peer_send(c->peer, text, len);
    }
}

static void say(struct conn *c, const char *text, const char *usual)
{
    conn_send(c, text ? text : usual);
}

static bool cut(struct conn *c, const char *verb)
{
    struct mta *m = c->mta;

    if (!m->cut_at || strcmp(m->cut_at, verb) != 0)
        return false;
    if (m->cut_times > 0 && --m->cut_times == 0)
        m->cut_at = NULL;
    c->closed = true;
    m->open--;
    dp_sim_peer_reset(c->peer);
    return true;
}

static void close_after(struct conn *c, const char *verb)
{
    if (!c->mta->close_after || strcmp(c->mta->close_after, verb) != 0 || c->closed)
        return;
    c->closed = true;
    c->mta->open--;
    dp_sim_peer_finish(c->peer);
}

static void on_ehlo(struct conn *c)
{
    if (c->tls)
        say(c, c->mta->ehlo_tls,
            "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 1000000\r\n250-DSN\r\n"
            "250-BINARYMIME\r\n250 CHUNKING\r\n");
    else
        say(c, c->mta->ehlo, "250-mx\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 CHUNKING\r\n");
}

static void on_starttls(struct conn *c)
{
    say(c, c->mta->starttls, "220 go\r\n");
    if (c->mta->starttls && strncmp(c->mta->starttls, "220", 3) != 0)
        return;
    c->handshaking = true;
    tls_fake_init(&c->fake, true, (uint64_t)(c - c->mta->world->conns), NULL);
}

static void on_bdat(struct conn *c, const char *line)
{
    c->chunk_left = strtoull(line + 5, NULL, 10);
    c->chunk_last = strstr(line, "LAST") != NULL;
}

static void on_command(struct conn *c, const char *line)
{
    struct mta *m = c->mta;
    char verb[9] = {0};

    add(&m->log, "%s%s\n", c->tls ? "T " : "", line);
    for (unsigned i = 0; i < 8 && line[i] && line[i] != ' '; i++)
        verb[i] = line[i];
    if (cut(c, verb))
        return;
    if (strcmp(verb, "EHLO") == 0)
        on_ehlo(c);
    else if (strcmp(verb, "HELO") == 0)
        say(c, m->helo, "250 mx\r\n");
    else if (strcmp(verb, "STARTTLS") == 0)
        on_starttls(c);
    else if (strcmp(verb, "XCLIENT") == 0)
        say(c, m->xclient, "220 mx\r\n");
    else if (strcmp(verb, "AUTH") == 0)
        say(c, m->auth, "235 2.7.0 ok\r\n");
    else if (strcmp(verb, "MAIL") == 0)
        say(c, m->mail, "250 2.1.0 ok\r\n");
    else if (strcmp(verb, "RCPT") == 0)
        say(c, m->rcpt[c->rcpts++ % 4], "250 2.1.5 ok\r\n");
    else if (strcmp(verb, "DATA") == 0)
        say(c, m->data, "354 go\r\n");
    else if (strcmp(verb, "BDAT") == 0)
        on_bdat(c, line);
    else if (strcmp(verb, "RSET") == 0)
        say(c, m->rset, "250 2.0.0 ok\r\n");
    else if (strcmp(verb, "QUIT") == 0)
        conn_send(c, "221 2.0.0 bye\r\n");
    else
        fail_msg("a next hop heard \"%s\"", line);
    if (strcmp(verb, "DATA") == 0 && !m->data)
        c->in_body = true;
    if (strcmp(verb, "MAIL") == 0 || strcmp(verb, "RSET") == 0)
        c->rcpts = 0;
    close_after(c, verb);
}

/* Bytes of a body, up to its dot. */
static bool body_take(struct conn *c)
{
    struct span s = buf_span(&c->in);
    const uint8_t *end = memmem(s.ptr, s.len, "\r\n.\r\n", 5);

    if (s.len > 0 && cut(c, "BODY"))
        return false;
    if (s.len > 0 && c->mta->early) {
        conn_send(c, c->mta->early);
        c->mta->early = NULL;
        c->closed = true; /* deaf from here on */
        return false;
    }
    if (s.len >= 3 && memcmp(s.ptr, ".\r\n", 3) == 0) { /* an empty message */
        buf_consume(&c->in, 3);
        c->in_body = false;
        add(&c->mta->log, ".\n");
        say(c, c->mta->final, "554 5.5.1 no valid recipients\r\n");
        return true;
    }
    if (!end)
        return false;
    if (cut(c, "DOT"))
        return false;
    assert_int_equal(buf_append(&c->mta->bodies, s.ptr, (size_t)(end - s.ptr) + 2), ERR_OK);
    buf_consume(&c->in, (size_t)(end - s.ptr) + 5);
    c->in_body = false;
    say(c, c->mta->final, "250 2.6.0 queued\r\n");
    close_after(c, "DOT");
    return true;
}

static bool chunk_take(struct conn *c)
{
    size_t n = buf_len(&c->in) < c->chunk_left ? buf_len(&c->in) : c->chunk_left;

    assert_int_equal(buf_append(&c->mta->bodies, buf_span(&c->in).ptr, n), ERR_OK);
    buf_consume(&c->in, n);
    c->chunk_left -= n;
    if (c->chunk_left > 0)
        return false;
    if (c->chunk_last)
        say(c, c->mta->final, "250 2.6.0 queued\r\n");
    else
        say(c, c->mta->chunk, "250 2.0.0 chunk\r\n");
    return true;
}

static void conn_talk(struct conn *c)
{
    while (!c->closed && buf_len(&c->in) > 0) {
        struct span s = buf_span(&c->in);
        char line[1024];
        if (c->in_body ? !body_take(c) : c->chunk_left > 0 ? !chunk_take(c) : false)
            return;
        if (c->in_body || c->chunk_left > 0 || buf_len(&c->in) == 0)
            continue;
        s = buf_span(&c->in);
        const uint8_t *end = memmem(s.ptr, s.len, "\r\n", 2);
        if (!end)
            return;
        assert_int_equal(span_to_cstr(span_make(s.ptr, (size_t)(end - s.ptr)), line, sizeof(line)),
                         ERR_OK);
        buf_consume(&c->in, (size_t)(end - s.ptr) + 2);
        on_command(c, line);
        if (c->handshaking) {
            assert_int_equal(buf_len(&c->in), 0);
            return;
        }
    }
}

static void conn_open_records(struct conn *c)
{
    size_t len;

    while (!c->closed && tls_record_length(c->rx, buf_span(&c->cipher).ptr, buf_len(&c->cipher),
                                           &len) == ERR_OK) {
        struct tls_record r;
        if (len > buf_len(&c->cipher))
            return;
        assert_int_equal(tls_record_open(c->rx, c->cipher.data + c->cipher.start, len, &r), ERR_OK);
        if (r.type == TLS_CONTENT_DATA)
            assert_int_equal(buf_append(&c->in, r.data, r.len), ERR_OK);
        buf_consume(&c->cipher, len);
        conn_talk(c);
    }
}

static void conn_handshake(struct conn *c, const uint8_t *data, size_t len)
{
    struct span input = span_make(data, len);

    if (c->mta->no_handshake)
        return;
    if (c->mta->bad_handshake) {
        dp_sim_peer_send(c->peer, "\x16\x03\x03\x00\x05nonsense", 13);
        return;
    }
    int err = tls_fake_feed(&c->fake, &input);
    if (c->fake.out_len > 0)
        dp_sim_peer_send(c->peer, c->fake.out, c->fake.out_len);
    if (err == ERR_AGAIN)
        return;
    assert_int_equal(err, ERR_OK);
    c->handshaking = false;
    c->tls = true;
    c->tx = calloc(1, sizeof(*c->tx));
    c->rx = calloc(1, sizeof(*c->rx));
    assert_int_equal(tls_record_init(c->tx, &c->fake.keys, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(c->rx, &c->fake.keys, TLS_DIR_RX), ERR_OK);
    assert_int_equal(buf_append(&c->cipher, input.ptr, input.len), ERR_OK);
    conn_open_records(c);
}

static struct conn *conn_of(struct world *w, const struct dp_sim_peer *peer)
{
    for (unsigned i = 0; i < w->conns_len; i++)
        if (w->conns[i].peer == peer)
            return &w->conns[i];
    return NULL;
}

static void on_accepted(void *user, struct dp_sim_peer *peer, const union net_addr *to)
{
    struct mta *m = user;
    struct conn *c = &m->world->conns[m->world->conns_len++];

    assert_true(m->world->conns_len <= CONNS);
    *c = (struct conn){.mta = m, .peer = peer};
    m->connections++;
    m->open++;
    if (cut(c, "CONNECT") || m->silent)
        return;
    say(c, m->greeting, "220 mx\r\n");
    close_after(c, "CONNECT");
}

static void on_received(void *user, struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
    struct mta *m = user;
    struct conn *c = conn_of(m->world, peer);

    if (c->closed)
        return;
    if (c->handshaking) {
        if (!cut(c, "HANDSHAKE"))
            conn_handshake(c, data, len);
        return;
    }
    assert_int_equal(buf_append(c->tls ? &c->cipher : &c->in, data, len), ERR_OK);
    if (c->tls)
        conn_open_records(c);
    else
        conn_talk(c);
}

static void on_closed(void *user, struct dp_sim_peer *peer, bool reset)
{
    struct mta *m = user;
    struct conn *c = conn_of(m->world, peer);

    if (!c) /* closed before it was accepted */
        return;
    c->reset |= reset;
    if (c->closed)
        return;
    c->closed = true;
    m->open--;
    if (c->in_body || c->chunk_left > 0)
        add(&m->log, "(cut in the body)\n");
    dp_sim_peer_finish(peer);
}

static const struct dp_sim_peer_events mta_events = {
    .accepted = on_accepted, .received = on_received, .closed = on_closed};

/* --- the TLS service: the fake, and notes of what it was asked --- */

static struct world *world_of_tls(struct tls_service *s)
{
    return (struct world *)((char *)s - offsetof(struct world, tls));
}

static int tls_start_client(struct tls_service *s, struct leg_id leg,
                            const struct tls_client_request *request)
{
    struct world *w = world_of_tls(s);
    struct request *r = &w->requests[w->requests_len++ % REQUESTS];

    *r = (struct request){0};
    memcpy(r->session_key, request->session_key, sizeof(r->session_key));
    r->check = request->check;
    r->lenient = request->lenient;
    r->tlsa_len = request->tlsa_len;
    snprintf(r->sni, sizeof(r->sni), "%s", request->sni ? request->sni : "-");
    for (size_t i = 0; i < request->names_len; i++) {
        size_t at = strlen(r->names);
        snprintf(r->names + at, sizeof(r->names) - at, "%s ", request->names[i]);
    }
    if (w->handshakes_max && w->requests_len > w->handshakes_max)
        return ERR_LIMIT;
    return w->fake->ops->start_client(w->fake, leg, request);
}

static void tls_feed(struct tls_service *s, struct leg_id leg, struct span bytes)
{
    struct tls_service *fake = world_of_tls(s)->fake;

    fake->ops->feed(fake, leg, bytes);
}

static void tls_ticket_record(struct tls_service *s, struct leg_id leg, struct span record)
{
}

static void tls_release(struct tls_service *s, struct leg_id leg)
{
    struct tls_service *fake = world_of_tls(s)->fake;

    fake->ops->release(fake, leg);
}

static bool tls_end(struct tls_service *s, struct leg_id leg)
{
    return false;
}

static const struct tls_service_ops tls_ops = {.start_client = tls_start_client,
                                               .feed = tls_feed,
                                               .end = tls_end,
                                               .ticket_record = tls_ticket_record,
                                               .release = tls_release};

static void on_tls_output(void *user, struct leg_id leg, struct span bytes)
{
    assert_true(upstream_tls_output(((struct world *)user)->u, leg, bytes));
}

static void on_tls_done(void *user, struct leg_id leg, const struct tls_keys *keys,
                        const struct tls_facts *facts, struct span rest)
{
    static const struct tls_failure no_memory = {.kind = TLS_FAIL_INTERNAL, .text = "no memory"};
    struct world *w = user;
    struct tls_facts changed = *facts;

    if (w->own_fault == FAULT_SERVICE) {
        assert_true(upstream_tls_failed(w->u, leg, &no_memory));
        return;
    }
    if (w->own_fault == FAULT_KEYS) /* a second time it is refused */
        assert_int_equal(dp_set_keys(w->dp, leg, keys, span_make(NULL, 0), 0), ERR_OK);
    changed.not_after = w->not_after;
    changed.verify = w->verify;
    changed.fault = w->fault;
    assert_true(upstream_tls_done(w->u, leg, keys, &changed, rest));
}

static void on_tls_failed(void *user, struct leg_id leg, const struct tls_failure *failure)
{
    assert_true(upstream_tls_failed(((struct world *)user)->u, leg, failure));
}

static const struct tls_service_events tls_events = {
    .output = on_tls_output, .done = on_tls_done, .failed = on_tls_failed};

/* --- the dataplane's events --- */

static void on_dp_connected(void *user, struct leg_id leg, int error)
{
    upstream_connected(((struct world *)user)->u, leg, error);
}

static size_t on_dp_received(void *user, struct leg_id leg, const uint8_t *data, size_t len)
{
    size_t used = len;

    upstream_received(((struct world *)user)->u, leg, data, len, &used);
    return used;
}

static void on_dp_ticket(void *user, struct leg_id leg, struct span record)
{
    upstream_ticket_record(((struct world *)user)->u, leg, record);
}

static void on_dp_lost(void *user, struct leg_id leg, const struct dp_lost_info *info)
{
    upstream_lost(((struct world *)user)->u, leg, info);
}

static void on_dp_writable(void *user, struct leg_id leg)
{
    upstream_writable(((struct world *)user)->u, leg);
}

static const struct dp_events dp_events = {.connected = on_dp_connected,
                                           .received = on_dp_received,
                                           .ticket_record = on_dp_ticket,
                                           .lost = on_dp_lost,
                                           .writable = on_dp_writable};

/* --- the world --- */

void world_init(struct world *w, unsigned mtas)
{
    *w = (struct world){
        .max_legs = 64, .addr_status = DNS_OK, .verify = TLS_VERIFY_OK, .domain = "example.org"};
    w->sim = (struct dp_sim_conf){.seed = 1,
                                  .delay_min_ms = 1,
                                  .delay_max_ms = 3,
                                  .fragment_max = 7,
                                  .wall_us = 1700000000000000};
    w->tls.ops = &tls_ops;
    w->sts.status = DNS_NODATA;
    for (unsigned i = 0; i < MTAS; i++) {
        w->tlsa[i].status = DNS_NODATA;
        snprintf(w->tlsa[i].base, sizeof(w->tlsa[i].base), "mx%u.test", i + 1);
    }
    w->resolver.ops = &world_resolver_ops;
    w->conf.gateway.hostname = "gw.test";
    w->conf.limits = (struct conf_limits){.hop_connect_timeout_s = 10,
                                          .hop_command_timeout_s = 60,
                                          .hop_final_timeout_s = 300,
                                          .hop_budget_s = 120,
                                          .hop_dead_s = 30,
                                          .hop_idle_s = 100,
                                          .hop_max_messages = 100};
    w->conf.routes = w->routes;
    w->conf.routes_len = ROUTES;
    w->conf.listeners = &w->listener;
    w->conf.listeners_len = 1;
    w->listener.name = "in";
    for (unsigned r = 0; r < ROUTES; r++)
        w->routes[r] = (struct conf_route){.domain = "example.org",
                                           .mx_port = 25,
                                           .hops = w->hops[r],
                                           .hops_len = mtas,
                                           .max_connections = 10};
    for (unsigned i = 0; i < MTAS; i++) {
        static const char *const names[] = {"mx1.test", "mx2.test", "mx3.test", "mx4.test"};
        char text[32];
        w->mtas[i].world = w;
        snprintf(text, sizeof(text), "10.0.0.%u:25", i + 1);
        assert_int_equal(net_addr_parse(span_str(text), &w->mtas[i].addr), ERR_OK);
        for (unsigned r = 0; r < ROUTES; r++)
            w->hops[r][i] = (struct conf_hop){.host = names[i], .port = 25};
    }
}

void world_mx(struct world *w, enum conf_level level, unsigned mtas)
{
    world_init(w, mtas);
    for (unsigned r = 0; r < ROUTES; r++) {
        w->routes[r].tls.level = level;
        w->routes[r].mx = true;
    }
    w->mx = (struct dns_mx_answer){.secure = true, .len = mtas};
    for (unsigned i = 0; i < mtas; i++) {
        w->mx.mx[i].preference = (uint16_t)(10 * i);
        snprintf(w->mx.mx[i].host, sizeof(w->mx.mx[i].host), "mx%u.test", i + 1);
    }
}

void world_start(struct world *w)
{
    struct dp_conf dp = {.max_legs = w->max_legs, .max_relays = 4};
    struct tls_service_conf tls = {.max_legs = w->max_legs, .max_handshakes = 64};
    char why[256] = "";

    assert_int_equal(shared_new(&w->shared), ERR_OK);
    assert_int_equal(dp_sim_new(&dp, &w->sim, &dp_events, w, &w->dp), ERR_OK);
    assert_int_equal(tls_service_fake_new(&tls, 7, &tls_events, w, NULL, NULL, &w->fake), ERR_OK);
    struct upstream_conf conf = {.conf = &w->conf,
                                 .dp = w->dp,
                                 .tls = &w->tls,
                                 .resolver = &w->resolver,
                                 .shared = {.shared = w->shared, .column = 0},
                                 .max_legs = w->max_legs,
                                 .ratchet = w->ratchet};
    if (upstream_new(&conf, &w->u, why, sizeof(why)) != ERR_OK)
        fail_msg("upstream_new: %s", why);
    for (unsigned i = 0; i < MTAS; i++)
        assert_int_equal(dp_sim_serve(w->dp, &w->mtas[i].addr, &mta_events, &w->mtas[i]), ERR_OK);
}

static void conn_free(struct conn *c)
{
    if (c->tx)
        tls_record_free(c->tx);
    if (c->rx)
        tls_record_free(c->rx);
    free(c->tx);
    free(c->rx);
    buf_release(&c->cipher);
    buf_release(&c->in);
}

void world_end(struct world *w)
{
    for (unsigned i = 0; i < SENDERS; i++)
        sender_close(&w->senders[i]);
    upstream_free(w->u);
    /* Every connection and hold was given back. */
    assert_int_equal(counter_sum(w->shared, COUNTER_HOP_CONNECTIONS_OPEN), 0);
    w->fake->ops->free(w->fake);
    dp_free(w->dp);
    shared_free(w->shared);
    for (unsigned i = 0; i < w->conns_len; i++)
        conn_free(&w->conns[i]);
    for (unsigned i = 0; i < MTAS; i++) {
        buf_release(&w->mtas[i].log);
        buf_release(&w->mtas[i].bodies);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        buf_release(&w->senders[i].heard);
}

uint64_t world_now(const struct world *w)
{
    return dp_now_ms(w->dp);
}

static void on_tick(void *user, struct dp_timer *timer)
{
}

/* The clock of the simulation stands still where nothing happens; something does at the end. */
void world_run(struct world *w, uint64_t ms)
{
    struct dp_timer tick = {.fire = on_tick};
    uint64_t until_ms = dp_now_ms(w->dp) + ms;

    assert_int_equal(dp_timer_start(w->dp, &tick, ms), ERR_OK);
    dp_sim_run(w->dp, until_ms);
    assert_true(dp_now_ms(w->dp) == until_ms);
    dp_timer_stop(w->dp, &tick);
}

/* --- senders --- */

static void hear(struct sender *s, const char *what, const struct smtp_reply *r, const char *more)
{
    s->last = *r;
    add(&s->heard, "%s %u %u.%u.%u%s\n", what, r->code, r->enhanced.class, r->enhanced.subject,
        r->enhanced.detail, more);
}

static void on_hop_rcpt(void *user, const struct smtp_reply *reply)
{
    hear(user, "rcpt", reply, "");
}

static void on_hop_data(void *user, const struct smtp_reply *reply)
{
    struct sender *s = user;

    hear(s, "data", reply, "");
    if (s->body && reply->code == 354) {
        assert_int_equal(hop_send(s->hop, span_str(s->body)), ERR_OK);
        assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    }
}

static void on_hop_chunk(void *user, const struct smtp_reply *reply)
{
    hear(user, "chunk", reply, "");
}

static void on_hop_final(void *user, const struct smtp_reply *reply, bool early)
{
    struct sender *s = user;

    hear(s, "final", reply, early ? " early" : "");
    if (s->close_on_final)
        hop_close(&s->hop);
}

static void on_hop_lost(void *user, const struct smtp_reply *reply, bool indeterminate)
{
    struct sender *s = user;

    hear(s, "lost", reply, indeterminate ? " indeterminate" : "");
    if (s->close_on_final)
        hop_close(&s->hop);
}

static void on_hop_writable(void *user)
{
}

static const struct hop_events hop_events = {.rcpt = on_hop_rcpt,
                                             .data = on_hop_data,
                                             .chunk = on_hop_chunk,
                                             .final = on_hop_final,
                                             .lost = on_hop_lost,
                                             .writable = on_hop_writable};

struct sender *sender_open(struct world *w, unsigned number, unsigned route, unsigned rcpts)
{
    static const char *const to[] = {"a@example.org", "b@example.org", "c@example.org",
                                     "d@example.org"};
    struct sender *s = &w->senders[number];
    union net_addr addr;
    char client[32];

    snprintf(client, sizeof(client), "192.0.2.%u:99", number);
    assert_int_equal(net_addr_parse(span_str(client), &addr), ERR_OK);
    struct hop_client who = {.name = "client.test", .helo = "h", .addr = &addr, .esmtp = true};
    sender_close(s);
    s->world = w;
    s->txn.route = &w->routes[route];
    s->txn.domain = w->domain;
    s->txn.mail.address = SPAN_LIT("s@client.test");
    s->txn.recipients = s->recipients;
    s->txn.recipients_len = rcpts;
    for (unsigned i = 0; i < 4; i++)
        s->recipients[i].rcpt.address = span_str(to[i]);
    assert_int_equal(hop_open(w->u, &s->txn, 100, &who, &hop_events, s, &s->hop), ERR_OK);
    for (unsigned i = 0; i < rcpts; i++)
        assert_int_equal(hop_rcpt(s->hop, i), ERR_OK);
    return s;
}

void sender_message(struct world *w, unsigned number, unsigned route)
{
    struct sender *s = sender_open(w, number, route, 1);

    assert_int_equal(hop_data(s->hop), ERR_OK);
    world_run(w, 2000);
    assert_int_equal(hop_send(s->hop, SPAN_LIT("Subject: x\r\n\r\nhello\r\n")), ERR_OK);
    assert_int_equal(hop_finish(s->hop, SPAN_LIT(".\r\n")), ERR_OK);
    world_run(w, 2000);
    hop_close(&s->hop);
}

void sender_close(struct sender *s)
{
    hop_close(&s->hop);
}

static void expect(struct buf *b, const char *text)
{
    if (buf_len(b) != strlen(text) || (text[0] && memcmp(buf_span(b).ptr, text, strlen(text)) != 0))
        fail_msg("wanted:\n%sheard:\n%.*s", text, (int)buf_len(b),
                 buf_len(b) ? (const char *)buf_span(b).ptr : "");
    buf_clear(b);
}

void sender_expect(struct sender *s, const char *heard)
{
    expect(&s->heard, heard);
}

void mta_expect(struct mta *m, const char *log)
{
    expect(&m->log, log);
}

void mta_fail(struct mta *m, int error)
{
    assert_int_equal(dp_sim_fail(m->world->dp, &m->addr, error), ERR_OK);
}

void mta_never(const struct mta *m, const char *text)
{
    struct span s = buf_span(&m->log);

    if (s.len > 0 && memmem(s.ptr, s.len, text, strlen(text)))
        fail_msg("a next hop heard %s:\n%.*s", text, (int)s.len, (const char *)s.ptr);
}
