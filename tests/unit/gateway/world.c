/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "actor_tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char world_body[] =
    "From: a@example.net\r\nMessage-ID: <m1@example.net>\r\nSubject: x\r\n\r\n"
    "one line\r\n..two\r\nlast\r\n";

/* --- bytes of an actor --- */

static void actor_send(struct actor *a, const void *data, size_t len)
{
    if (a->tls)
        actor_tls_send(a->tls, a->peer, data, len);
    else
        dp_sim_peer_send(a->peer, data, len);
}

static void actor_free(struct actor *a)
{
    actor_tls_free(a->tls);
    buf_release(&a->in);
    buf_release(&a->partial);
    free(a);
}

/* --- a next hop --- */

static void hop_say(struct actor *a, const char *text)
{
    if (!a->mute)
        actor_send(a, text, strlen(text));
}

/* What choose said, or what the test set, or the default. */
static const char *hop_answer(const struct actor *a, const char *set, const char *normal)
{
    return a->answer ? a->answer : set ? set : normal;
}

/* The shape of a TLS record, and nothing in it that opens. */
static const uint8_t no_record[40] = {0x17, 3, 3, 0, 35};

static bool hop_event(struct actor *a, const char *verb)
{
    struct hop_double *h = a->hop;

    a->answer = h->choose && !a->mute ? h->choose(a, verb) : NULL;
    a->mute |= a->answer && !a->answer[0];
    char end = a->answer ? a->answer[0] : '\0';
    if ((h->cut_at && strcmp(h->cut_at, verb) == 0) || end == '!')
        dp_sim_peer_reset(a->peer);
    else if (end == '#')
        dp_sim_peer_finish(a->peer);
    else if (end == '?')
        dp_sim_peer_send(a->peer, no_record, sizeof(no_record));
    else
        return !a->mute && !(h->silent_at && strcmp(h->silent_at, verb) == 0);
    a->closed = true;
    return false;
    return !a->mute && !(h->silent_at && strcmp(h->silent_at, verb) == 0);
}

static void hop_ehlo(struct actor *a)
{
    struct hop_double *h = a->hop;
    char text[512];

    if (a->answer || h->ehlo_reply) {
        hop_say(a, hop_answer(a, h->ehlo_reply, NULL));
        return;
    }
    snprintf(text, sizeof(text),
             "250-hop.example\r\n%s%s%s%s250-SIZE 50000000\r\n250-8BITMIME\r\n250 "
             "ENHANCEDSTATUSCODES\r\n",
             h->no_pipelining ? "" : "250-PIPELINING\r\n", h->no_chunking ? "" : "250-CHUNKING\r\n",
             h->no_starttls || a->tls ? "" : "250-STARTTLS\r\n",
             h->extra_caps ? h->extra_caps : "");
    hop_say(a, text);
}

static void hop_store(struct actor *a, struct span bytes)
{
    assert_int_equal(buf_append_span(&a->partial, bytes), ERR_OK);
}

static void hop_message_whole(struct actor *a)
{
    struct hop_double *h = a->hop;

    h->messages++;
    buf_clear(&h->message);
    assert_int_equal(buf_append_span(&h->message, buf_span(&a->partial)), ERR_OK);
    buf_clear(&a->partial);
}

static void double_rcpt(struct actor *a)
{
    struct hop_double *h = a->hop;
    const char *reply = a->rcpts < 8 ? h->rcpt_reply[a->rcpts] : NULL;

    a->rcpts++;
    reply = a->mail_taken ? hop_answer(a, reply, "250 2.1.5 ok\r\n") : "503 5.5.1 no MAIL\r\n";
    a->rcpt_taken |= reply[0] == '2';
    hop_say(a, reply);
}

static void hop_bdat(struct actor *a, struct span line)
{
    char text[64];
    struct hop_double *h = a->hop;
    unsigned long long size = 0;
    char last[8] = "";

    assert_int_equal(span_to_cstr(line, text, sizeof(text)), ERR_OK);
    assert_true(sscanf(text, "BDAT %llu %7s", &size, last) >= 1);
    a->chunk_left = size;
    a->chunk_last = strcmp(last, "LAST") == 0;
    a->refused_in_body = false;
    a->in_body = true;
    h->chunks++;
}

static void hop_starttls(struct actor *a)
{
    struct hop_double *h = a->hop;

    if (a->answer || h->starttls_reply) {
        hop_say(a, hop_answer(a, h->starttls_reply, NULL));
        return;
    }
    hop_say(a, "220 2.0.0 go\r\n");
    h->starttls++;
    a->tls = actor_tls_server(h->world->seed);
}

static void hop_command(struct actor *a, struct span line)
{
    struct hop_double *h = a->hop;
    char verb[5] = "";

    assert_int_equal(buf_append_span(&h->commands, line), ERR_OK);
    assert_int_equal(buf_append(&h->commands, "\n", 1), ERR_OK);
    memcpy(verb, line.ptr, line.len < 4 ? line.len : 4);
    a->line = line;
    if (strcmp(verb, "MAIL") == 0) {
        h->mails++;
        h->mail_in_plaintext |= !a->tls;
    }
    if (!hop_event(a, verb))
        return;
    if (strcmp(verb, "EHLO") == 0)
        hop_ehlo(a);
    else if (strcmp(verb, "STAR") == 0)
        hop_starttls(a);
    else if (strcmp(verb, "XCLI") == 0)
        hop_say(a, hop_answer(a, NULL, "220 hop.example ESMTP\r\n"));
    else if (strcmp(verb, "MAIL") == 0) {
        a->rcpts = 0;
        buf_clear(&a->partial);
        a->chunk_refused = false;
        const char *said = hop_answer(a, h->mail_reply, "250 2.1.0 ok\r\n");
        a->mail_taken = said[0] == '2';
        a->rcpt_taken = false;
        hop_say(a, said);
    } else if (strcmp(verb, "RCPT") == 0)
        double_rcpt(a);
    else if (strcmp(verb, "DATA") == 0) {
        const char *said = hop_answer(a, h->data_reply, "354 go\r\n");
        hop_say(a, said);
        a->in_body = said[0] == '3';
        a->refused_in_body = false;
        a->chunk_left = UINT64_MAX;
    } else if (strcmp(verb, "BDAT") == 0)
        hop_bdat(a, line);
    else if (strcmp(verb, "RSET") == 0) {
        h->rsets++;
        buf_clear(&a->partial);
        hop_say(a, "250 2.0.0 ok\r\n");
    } else if (strcmp(verb, "QUIT") == 0) {
        h->quits++;
        hop_say(a, "221 2.0.0 bye\r\n");
        dp_sim_peer_finish(a->peer);
    } else
        hop_say(a, "500 5.5.2 what\r\n");
}

static void hop_whole(struct actor *a)
{
    struct hop_double *h = a->hop;

    a->in_body = false;
    if (a->refused_in_body)
        return;
    if (a->chunk_refused) {
        buf_clear(&a->partial);
        hop_say(a, "503 5.5.1 a chunk was refused\r\n");
        return;
    }
    if (!a->rcpt_taken) { /* an empty message behind 354 (RFC 2920 section 3.1) */
        buf_clear(&a->partial);
        hop_say(a, "554 5.5.1 no recipients\r\n");
        return;
    }
    a->mail_taken = a->rcpt_taken = false;
    bool says = hop_event(a, ".");
    const char *said = hop_answer(a, h->final_reply, "250 2.0.0 queued\r\n");
    if (h->took)
        h->took(a, buf_span(&a->partial), says && said[0] == '2');
    hop_message_whole(a);
    if (says)
        hop_say(a, said);
}

/* A piece of a body came: it may be refused before its end. */
static void hop_body_piece(struct actor *a)
{
    if (!a->hop->choose || a->refused_in_body || !hop_event(a, "body") || !a->answer)
        return;
    a->refused_in_body = a->chunk_refused = true;
    hop_say(a, a->answer);
}

static bool hop_chunk_bytes(struct actor *a)
{
    struct hop_double *h = a->hop;
    struct span in = buf_span(&a->in);
    size_t take = in.len < a->chunk_left ? in.len : (size_t)a->chunk_left;

    if (take > 0)
        hop_store(a, span_make(in.ptr, take));
    a->chunk_left -= take;
    buf_consume(&a->in, take);
    if (take > 0)
        hop_body_piece(a);
    if (a->chunk_left > 0 || a->closed)
        return false;
    if (a->chunk_last) {
        hop_whole(a);
    } else {
        a->in_body = false;
        if (a->refused_in_body || !hop_event(a, "BDAT+"))
            return true;
        const char *said = a->chunk_refused ? "503 5.5.1 a chunk was refused\r\n"
                                            : hop_answer(a, h->chunk_reply, "250 2.0.0 chunk\r\n");
        a->chunk_refused |= said[0] != '2';
        hop_say(a, said);
    }
    return true;
}

/* One line of a DATA body; false where no whole line is there. */
static bool hop_data_line(struct actor *a, struct span line)
{
    if (span_equal(line, SPAN_LIT("."))) {
        hop_whole(a);
        return true;
    }
    if (line.len > 0 && line.ptr[0] == '.')
        line = span_from(line, 1);
    hop_store(a, line);
    hop_store(a, SPAN_LIT("\r\n"));
    hop_body_piece(a);
    return true;
}

static void hop_work(struct actor *a)
{
    while (!a->closed) {
        struct span in = buf_span(&a->in);
        bool by_length = a->in_body && a->chunk_left != UINT64_MAX;
        if (by_length) {
            if (!hop_chunk_bytes(a))
                return;
            continue;
        }
        const uint8_t *end = in.len ? memmem(in.ptr, in.len, "\r\n", 2) : NULL;
        if (!end)
            return;
        struct span line = span_make(in.ptr, (size_t)(end - in.ptr));
        if (a->in_body)
            hop_data_line(a, line);
        else
            hop_command(a, line);
        buf_consume(&a->in, line.len + 2);
        if (a->tls && actor_tls_in_handshake(a->tls))
            return;
    }
}

static void on_hop_accepted(void *user, struct dp_sim_peer *peer, const union net_addr *to)
{
    struct hop_double *h = user;
    struct actor *a = calloc(1, sizeof(*a));

    (void)to;
    assert_non_null(a);
    a->world = h->world;
    a->hop = h;
    a->peer = peer;
    a->next = h->actors;
    h->actors = a;
    h->connections++;
    if (hop_event(a, "220"))
        hop_say(a, hop_answer(a, h->greeting, "220 hop.example ESMTP\r\n"));
}

static struct actor *actor_of(struct actor *list, struct dp_sim_peer *peer)
{
    for (struct actor *a = list; a; a = a->next) {
        if (a->peer == peer && !a->closed)
            return a;
    }
    return NULL;
}

static void actor_take(struct actor *a, const uint8_t *data, size_t len)
{
    if (a->tls)
        actor_tls_receive(a->tls, a->peer, data, len, &a->in);
    else
        assert_int_equal(buf_append(&a->in, data, len), ERR_OK);
}

static void on_hop_received(void *user, struct dp_sim_peer *peer, const uint8_t *data, size_t len)
{
    struct hop_double *h = user;
    struct actor *a = actor_of(h->actors, peer);

    if (!a)
        return;
    actor_take(a, data, len);
    hop_work(a);
}

static void on_hop_closed(void *user, struct dp_sim_peer *peer, bool reset)
{
    struct hop_double *h = user;
    struct actor *a = actor_of(h->actors, peer);

    if (a) {
        a->closed = true;
        a->reset = reset;
    }
}

static const struct dp_sim_peer_events hop_events = {on_hop_accepted, on_hop_received,
                                                     on_hop_closed};

/* --- a client --- */

static void on_client_received(void *user, struct dp_sim_peer *peer, const uint8_t *data,
                               size_t len)
{
    (void)peer;
    actor_take(user, data, len);
}

static void on_client_closed(void *user, struct dp_sim_peer *peer, bool reset)
{
    struct actor *a = user;

    (void)peer;
    a->closed = true;
    a->reset = reset;
}

static const struct dp_sim_peer_events client_events = {NULL, on_client_received, on_client_closed};

struct actor *client_dial_from(struct world *w, const char *from)
{
    struct actor *a = calloc(1, sizeof(*a));
    union net_addr addr;

    assert_non_null(a);
    assert_int_equal(net_addr_parse_ip(span_str(from), 40000, &addr), ERR_OK);
    a->world = w;
    a->next = w->clients;
    w->clients = a;
    a->peer = dp_sim_dial(w->dp, &addr, &w->listen, &client_events, a);
    assert_non_null(a->peer);
    world_run(w, 1000);
    return a;
}

struct actor *client_dial(struct world *w)
{
    return client_dial_from(w, "192.0.2.200");
}

void client_send(struct actor *a, const void *data, size_t len)
{
    if (!a->closed)
        actor_send(a, data, len);
}

void client_say_bytes(struct actor *a, const void *data, size_t len)
{
    client_send(a, data, len);
    world_run(a->world, 1000);
}

void client_say(struct actor *a, const char *text)
{
    client_say_bytes(a, text, strlen(text));
}

/* Length of the first whole reply in in; 0: none. */
static size_t reply_length(struct span in)
{
    size_t at = 0;

    while (at < in.len) {
        const uint8_t *end = memmem(in.ptr + at, in.len - at, "\r\n", 2);
        if (!end)
            return 0;
        bool last = end - (in.ptr + at) < 4 || in.ptr[at + 3] != '-';
        at = (size_t)(end - in.ptr) + 2;
        if (last)
            return at;
    }
    return 0;
}

bool client_reply(struct actor *a, char *text, size_t room)
{
    struct span in = buf_span(&a->in);
    size_t len = reply_length(in), n = len < room ? len : room - 1;

    if (len == 0)
        return false;
    memcpy(text, in.ptr, n);
    text[n] = '\0';
    buf_consume(&a->in, len);
    return true;
}

void client_hear(struct actor *a, const char *prefix)
{
    struct span in = buf_span(&a->in);
    size_t len = reply_length(in);

    if (len < strlen(prefix) || memcmp(in.ptr, prefix, strlen(prefix)) != 0)
        fail_msg("expected \"%s\", heard \"%.*s\"%s", prefix, (int)(len ? len : in.len),
                 (const char *)in.ptr, a->closed ? " and the end" : "");
    buf_consume(&a->in, len);
}

void client_hear_nothing(struct actor *a)
{
    struct span in = buf_span(&a->in);

    if (in.len > 0)
        fail_msg("expected nothing, heard \"%.*s\"", (int)in.len, (const char *)in.ptr);
}

void client_hear_closed(struct actor *a)
{
    client_hear_nothing(a);
    assert_true(a->closed);
}

struct actor *client_ready(struct world *w)
{
    struct actor *a = client_dial(w);

    client_hear(a, "220 gw.example.org");
    client_say(a, "EHLO client.example.net\r\n");
    client_hear(a, "250-gw.example.org");
    return a;
}

void client_handshake(struct actor *a)
{
    a->tls = actor_tls_client(a->world->seed, a->peer);
}

void client_implicit(struct actor *a)
{
    client_handshake(a);
    world_run(a->world, 1000);
    assert_false(actor_tls_in_handshake(a->tls));
}

void client_starttls(struct actor *a)
{
    client_say(a, "STARTTLS\r\n");
    client_hear(a, "220 2.0.0");
    client_implicit(a);
}

struct actor *client_ready_tls(struct world *w)
{
    struct actor *a = client_ready(w);

    client_starttls(a);
    client_say(a, "EHLO client.example.net\r\n");
    client_hear(a, "250-gw.example.org");
    return a;
}

void client_data(struct actor *a)
{
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    client_hear(a, "250 2.1.0");
    client_hear(a, "250 2.1.5");
    client_hear(a, "354");
}

void client_message(struct actor *a, const char *body)
{
    client_data(a);
    client_say(a, body);
    client_say(a, ".\r\n");
}

/* --- the world --- */

static char world_dir[64];

static void world_dir_remove(void)
{
    static const char *const names[] = {"key.pem", "cert.pem"};
    char path[96];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", world_dir, names[i]);
        unlink(path);
    }
    rmdir(world_dir);
}

static struct conf *make_conf(const char *listener, const char *route, const char *rest)
{
    char *dir = world_dir;
    struct conf_errors errors = {0};
    struct conf *conf = NULL;
    char text[8192], file[96], command[512];

    if (dir[0] == '\0') { /* one certificate for all tests of this program */
        snprintf(dir, sizeof(world_dir), "/tmp/postern-world-%d", (int)getpid());
        atexit(world_dir_remove);
        snprintf(
            command, sizeof(command),
            "mkdir -p %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            "-days 30 -subj /CN=gw.example.org -keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
            dir, dir, dir);
        assert_int_equal(system(command), 0);
    }
    snprintf(file, sizeof(file), "%s/postern.conf", dir);
    snprintf(text, sizeof(text),
             "gateway: { hostname = \"gw.example.org\"; };\n"
             "tls: { certificates = ( { cert = \"cert.pem\"; key = \"key.pem\"; } ); };\n"
             "listeners = ( { name = \"in\"; address = \"192.0.2.25:25\"; %s } );\n"
             "routes = ( { domain = \"example.org\"; %s } );\n%s\n",
             listener ? listener : "tls = \"starttls\";",
             route ? route : "next_hop = \"hop1.example:25\"; tls = { level = \"may\"; };",
             rest ? rest : "");
    if (conf_parse(text, file, &conf, &errors) != ERR_OK)
        fail_msg("%s", errors.text);
    return conf;
}

static void on_drained(void *user)
{
    ((struct world *)user)->drained = true;
}

struct world *world_new_sim(const struct dp_sim_conf *sim, const char *listener, const char *route,
                            const char *rest)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t after_bytes = sim->seed % 5 == 0 ? 20000 : 0;
    struct dp_conf dp = {.max_legs = WORLD_LEGS,
                         .max_relays = 16,
                         .kernel_rx = {sim->kernel && sim->seed % 3 != 1, after_bytes},
                         .kernel_tx = {sim->kernel && sim->seed % 3 != 2, after_bytes}};
    struct tls_service_conf tls = {
        .max_legs = WORLD_LEGS, .max_handshakes = 64, .max_sessions = 64};
    char why[256] = "";

    assert_non_null(w);
    w->seed = w->tls_late_state = sim->seed;
    w->conf = make_conf(listener, route, rest);
    assert_int_equal(shared_new(&w->shared), ERR_OK);
    w->resolver.ops = &world_resolver_ops;
    w->ptr.status = DNS_NXDOMAIN;
    struct gateway_conf gateway = {.conf = w->conf,
                                   .shared = {w->shared, 0},
                                   .name = "worker/0",
                                   .id_seed = sim->seed,
                                   .max_legs = WORLD_LEGS,
                                   .drained = on_drained,
                                   .user = w};
    assert_int_equal(gateway_new(&gateway, &w->gateway), ERR_OK);
    assert_int_equal(dp_sim_new(&dp, sim, &gateway_dp_events, w->gateway, &w->dp), ERR_OK);
    assert_int_equal(tls_service_fake_new(&tls, sim->seed, &gateway_tls_events, w->gateway,
                                          world_tls_late, w, &w->tls),
                     ERR_OK);
    if (gateway_start(w->gateway, w->dp, w->tls, &w->resolver, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    for (size_t i = 0; i < w->conf->listeners_len; i++)
        assert_int_equal(dp_sim_listen(w->dp, &w->conf->listeners[i].addr, (unsigned)i), ERR_OK);
    w->listen = w->conf->listeners[0].addr;
    w->now_ms = dp_now_ms(w->dp);
    for (unsigned i = 0; i < WORLD_HOPS; i++) {
        char text[32];
        snprintf(text, sizeof(text), "198.51.100.%u:25", i + 1);
        w->hops[i].world = w;
        assert_int_equal(net_addr_parse(span_str(text), &w->hops[i].addr), ERR_OK);
        assert_int_equal(dp_sim_serve(w->dp, &w->hops[i].addr, &hop_events, &w->hops[i]), ERR_OK);
    }
    return w;
}

struct world *world_new(uint64_t seed, const char *listener, const char *route, const char *rest)
{
    struct dp_sim_conf sim = {.seed = seed,
                              .delay_min_ms = 1,
                              .delay_max_ms = 10,
                              .fragment_max = 700,
                              .wall_us = 1767225600ull * 1000000};

    return world_new_sim(&sim, listener, route, rest);
}

void world_run(struct world *w, uint64_t ms)
{
    /* Where nothing is due any more, time stands still. */
    if (dp_sim_run(w->dp, w->now_ms + ms))
        w->now_ms += ms;
    else
        w->now_ms = dp_now_ms(w->dp);
}

static void actors_free(struct actor *list)
{
    while (list) {
        struct actor *next = list->next;
        actor_free(list);
        list = next;
    }
}

void world_free(struct world *w)
{
    w->tls->ops->halt(w->tls);
    gateway_free(w->gateway);
    world_tls_late_free(w);
    w->tls->ops->free(w->tls);
    dp_free(w->dp);
    conf_free(w->conf);
    shared_free(w->shared);
    actors_free(w->clients);
    for (unsigned i = 0; i < WORLD_HOPS; i++) {
        actors_free(w->hops[i].actors);
        buf_release(&w->hops[i].message);
        buf_release(&w->hops[i].commands);
    }
    free(w);
}
