/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving machine, driven as control/acts/gateway.c would, with a client and a next hop that
 * do what the input says. The input is a list of steps: a byte that chooses, then what it needs.
 * Asserted: the order of actions, one end for each next hop, a body only after an accepted
 * recipient, no reply that is not whole lines, and that no success is said for a message that the
 * next hop did not take.
 */
#include "fuzz.h"

#include "assertion.h"
#include "smtp_session.h"

struct world {
    struct smtp_session s;
    struct buf replies;
    struct smtp_out out;
    const uint8_t *data; /* the input's rest */
    size_t len;
    uint8_t client[4096]; /* bytes that the machine has not used yet */
    size_t client_len;
    bool hop, tls_wanted, closed, finals;
    unsigned owed; /* recipients that the next hop has not answered */
    bool data_owed, body, chunk, chunk_owed, final_owed, drain, last;
    bool auth_owed;             /* the judgement on an AUTH */
    bool known;                 /* some judgement said who the client is */
    bool early;                 /* the chunk on its way was answered already */
    unsigned accepted;          /* recipients that the next hop took */
    unsigned taken;             /* messages that it took */
    unsigned commands, answers; /* lines used; whole replies but 354 and the greeting */
};

static uint8_t byte_next(struct world *w)
{
    if (w->len == 0)
        return 0;
    w->len--;
    return *w->data++;
}

/* Whole lines, each with a code, the last one of each reply with a blank behind it. */
static void check_replies(struct world *w)
{
    struct span said = buf_span(&w->replies);
    size_t start = 0;

    for (size_t i = 0; i < said.len; i++) {
        if (said.ptr[i] != '\n')
            continue;
        ASSERT(i - start >= 5 && i - start <= 520 && said.ptr[i - 1] == '\r');
        ASSERT(said.ptr[start] >= '2' && said.ptr[start] <= '5');
        ASSERT(said.ptr[start + 3] == ' ' || said.ptr[start + 3] == '-');
        w->answers += said.ptr[start + 3] == ' ' && memcmp(said.ptr + start, "354", 3) != 0;
        start = i + 1;
    }
    ASSERT(start == said.len);
    buf_clear(&w->replies);
}

static void hop_forget(struct world *w)
{
    w->hop = w->data_owed = w->body = w->chunk = w->chunk_owed = w->final_owed = false;
    w->owed = w->accepted = 0;
}

static void act(struct world *w, const struct smtp_action *a)
{
    ASSERT(!w->closed);
    switch (a->kind) {
    case SMTP_DO_STARTTLS:
        ASSERT(!w->hop && !w->s.peer.tls_done && w->client_len == 0);
        w->tls_wanted = true;
        break;
    case SMTP_DO_OPEN:
        ASSERT(!w->hop && w->s.txn.open && w->s.txn.route && w->s.txn.domain);
        ASSERT(w->known || (!w->s.peer.listener->require_auth && w->s.era.user[0] == '\0'));
        w->hop = true;
        break;
    case SMTP_DO_RCPT:
        ASSERT(w->hop && !w->data_owed && a->index < w->s.txn.recipients_len);
        w->owed++;
        break;
    case SMTP_DO_DATA:
        ASSERT(w->hop && !w->data_owed && !w->s.chunked);
        w->data_owed = true;
        break;
    case SMTP_DO_CHUNK:
        ASSERT(w->hop && w->owed == 0 && w->accepted > 0 && !w->chunk && !w->chunk_owed);
        w->chunk = true;
        w->early = false;
        w->last = a->last;
        break;
    case SMTP_DO_BODY:
        ASSERT(w->hop && w->owed == 0 && w->accepted > 0 && !w->body);
        w->body = true;
        break;
    case SMTP_DO_DRAIN_BODY:
    case SMTP_DO_DRAIN_CHUNK:
        ASSERT(!w->drain && !w->body && !w->chunk);
        w->drain = true;
        break;
    case SMTP_DO_ABORT:
    case SMTP_DO_END:
        ASSERT(w->hop);
        hop_forget(w);
        break;
    case SMTP_DO_REFUSED:
        ASSERT(a->local->code == 550 && a->address.len > 0);
        break;
    case SMTP_DO_REFUSED_SENDER:
        ASSERT(!w->s.txn.open && a->sender && w->s.txn.mail.address.len > 0);
        ASSERT(a->local->code == (a->sender->refuse == CONF_REFUSE_PERMANENT ? 550 : 451));
        break;
    case SMTP_DO_AUTH:
        ASSERT(!w->hop && w->s.auth && w->s.auth->asked && !w->auth_owed);
        ASSERT(w->s.peer.tls_done && w->s.era.user[0] == '\0');
        w->auth_owed = true;
        break;
    case SMTP_DO_AUTH_END:
        ASSERT(!w->auth_owed);
        break;
    case SMTP_DO_CLOSE:
        ASSERT(!w->hop && w->s.state == SMTP_STATE_CLOSED);
        w->closed = true;
        break;
    }
}

static void settle(struct world *w)
{
    check_replies(w);
    unsigned actions = w->out.actions_len;
    w->out.actions_len = 0;
    for (unsigned i = 0; i < actions; i++)
        act(w, &w->out.actions[i]);
    ASSERT(w->s.peer.messages == w->taken);
    ASSERT(w->closed == (w->s.state == SMTP_STATE_CLOSED));
    bool owes = w->owed > 0 || w->data_owed || w->chunk_owed || w->final_owed;
    ASSERT(w->closed || smtp_session_owes_answer(&w->s) == owes);
    /* One answer each, and all said where nothing is on its way (the greeting is one more). */
    if (!w->closed && !owes && !w->body && !w->chunk && !w->drain && !w->auth_owed)
        ASSERT(w->answers == w->commands + 1);
}

/* The machine takes what it wants of the client's bytes. */
static void feed(struct world *w)
{
    size_t used = 1;

    while (used > 0 && w->client_len > 0 && smtp_session_wants_input(&w->s)) {
        ASSERT(!w->body && !w->chunk && !w->drain && !w->tls_wanted && !w->closed && !w->auth_owed);
        used = smtp_session_input(&w->s, w->client, w->client_len, &w->out);
        ASSERT(used <= w->client_len);
        for (size_t i = 1; i < used; i++)
            w->commands += w->client[i - 1] == '\r' && w->client[i] == '\n';
        memmove(w->client, w->client + used, w->client_len - used);
        w->client_len -= used;
        settle(w);
    }
}

static void client_says(struct world *w, const void *bytes, size_t len)
{
    if (len > sizeof(w->client) - w->client_len)
        return;
    memcpy(w->client + w->client_len, bytes, len);
    w->client_len += len;
}

static const char *const lines[] = {
    "EHLO client.example\r\n",
    "HELO client.example\r\n",
    "STARTTLS\r\n",
    "MAIL FROM:<a@b.example>\r\n",
    "RCPT TO:<x@example.org>\r\n",
    "RCPT TO:<y@other.example>\r\n",
    "RCPT TO:<z@denied.invalid>\r\n",
    "DATA\r\n",
    "BDAT 10\r\n",
    "BDAT 10 LAST\r\n",
    "BDAT 0 LAST\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "XCLIENT ADDR=10.0.0.1\r\n",
    "QUIT\r\n",
    "BDAT 99999\r\n",
};

static const char *const auth_lines[] = {
    "AUTH PLAIN\r\n",
    "AUTH PLAIN AGEAYg==\r\n",
    "AUTH LOGIN\r\n",
    "AUTH SCRAM-SHA-256 biwsbj1hLHI9eA==\r\n",
    "AUTH PLAIN =\r\n",
    "AUTH\r\n",
    "AUTH NTLM\r\n",
    "AUTH PLAIN x\r\n",
    "*\r\n",
    "\r\n",
    "YQ==\r\n",
    "YQ=\r\n",
    "MAIL FROM:<a@b.example> AUTH=<>\r\n",
    "MAIL FROM:<a@c.example>\r\n",
    "auth login YQ==\r\n",
    "HELP\r\n",
};

static void reply_next(struct world *w, struct smtp_reply *ret)
{
    static const uint16_t codes[] = {250, 250, 354, 450, 550, 421, 299, 220};

    smtp_reply_make(ret, codes[byte_next(w) % 8], 0, 0, "text");
}

/* One event that a driver may now give. */
static void hop_event(struct world *w)
{
    struct smtp_reply reply;

    reply_next(w, &reply);
    bool ok = smtp_reply_class(&reply) == 2;
    if (w->owed > 0) {
        w->owed--;
        w->accepted += ok;
        smtp_session_rcpt_answer(&w->s, &reply, &w->out);
    } else if (w->data_owed) {
        w->data_owed = false;
        smtp_session_data_answer(&w->s, &reply, &w->out);
    } else if (w->chunk_owed) {
        w->chunk_owed = false;
        smtp_session_chunk_answer(&w->s, &reply, &w->out);
    } else if (w->final_owed) {
        w->final_owed = false;
        w->taken += ok;
        smtp_session_final_answer(&w->s, &reply, &w->out);
    }
}

static void auth_event(struct world *w)
{
    struct smtp_auth_answer answer = {.user = "anna"};
    uint8_t how = byte_next(w);

    answer.kind = (enum smtp_auth_kind)(how % 4);
    answer.len = how & 4 && answer.kind < SMTP_AUTH_REFUSED ? how % SMTP_AUTH_CHALLENGE_MAX : 0;
    memset(answer.data, how, answer.len);
    w->auth_owed = false;
    w->known |= answer.kind == SMTP_AUTH_ACCEPTED;
    smtp_session_auth_answer(&w->s, &answer, &w->out);
}

static void body_event(struct world *w, uint8_t how)
{
    struct smtp_reply reply;

    smtp_reply_make(&reply, how & 4 ? 554 : 451, 0, 0, "no");
    if (w->drain) {
        w->drain = false;
        smtp_session_drained(&w->s, &w->out);
    } else if (!w->body && !w->chunk) {
        return;
    } else if (how & 1) {
        w->final_owed = w->body || w->last;
        w->chunk_owed = !w->final_owed && !w->early;
        w->final_owed = w->final_owed && !(w->chunk && w->early);
        w->taken += w->early && w->chunk && w->last;
        w->body = w->chunk = false;
        smtp_session_body_done(&w->s, &w->out);
    } else {
        w->body = w->chunk = false;
        smtp_session_body_refused(&w->s, &reply, how & 2, &w->out);
    }
}

/* A next hop may answer a chunk before its end was reported to the machine. */
static void chunk_answered_early(struct world *w)
{
    struct smtp_reply reply;

    if (!w->chunk || w->early)
        return;
    reply_next(w, &reply);
    bool ok = smtp_reply_class(&reply) == 2;
    w->early = ok;
    w->chunk = ok; /* otherwise the drain comes next */
    if (w->last)
        smtp_session_final_answer(&w->s, &reply, &w->out);
    else
        smtp_session_chunk_answer(&w->s, &reply, &w->out);
}

static void rare_event(struct world *w, uint8_t which)
{
    static const struct tls_facts facts = {.version = TLS_VERSION_1_3};
    struct smtp_reply reply;

    smtp_reply_make(&reply, 451, 4, 2, "gone");
    switch (which % 7) {
    case 0:
        if (w->hop) {
            w->body = w->chunk = false; /* the drain comes next */
            smtp_session_hop_lost(&w->s, &reply, &w->out);
        }
        break;
    case 1:
        if (which > 200)
            smtp_session_timeout(&w->s, SESSION_END_IDLE_TIMEOUT, &w->out);
        break;
    case 2:
        if (which > 220)
            smtp_session_shutdown(&w->s, &w->out);
        break;
    case 3:
        if (w->tls_wanted) {
            w->tls_wanted = false;
            w->client_len = 0; /* ciphertext now */
            smtp_session_tls_done(&w->s, &facts, &w->out);
        }
        break;
    case 4: /* answers to nothing, none of them a success */
        if (w->owed == 0 && !w->data_owed && !w->chunk_owed && !w->final_owed) {
            smtp_session_rcpt_answer(&w->s, &reply, &w->out);
            smtp_session_data_answer(&w->s, &reply, &w->out);
        }
        break;
    case 6:
        chunk_answered_early(w);
        break;
    case 5:
        if (!w->body && !w->chunk && !w->drain && !w->final_owed && !w->chunk_owed)
            smtp_session_body_done(&w->s, &w->out);
        break;
    }
}

static void step(struct world *w)
{
    uint8_t choice = byte_next(w);

    if (choice < 96) {
        const char *line = choice < 80 ? lines[choice % 16] : auth_lines[choice - 80];
        client_says(w, line, strlen(line));
    } else if (choice < 128) { /* raw bytes */
        size_t len = choice - 95u < w->len ? choice - 95u : w->len;
        client_says(w, w->data, len);
        w->data += len;
        w->len -= len;
    } else if (choice < 200 && w->auth_owed) {
        auth_event(w);
    } else if (choice < 176) {
        hop_event(w);
    } else if (choice < 216) {
        body_event(w, byte_next(w));
    } else {
        rare_event(w, byte_next(w));
    }
    settle(w);
    if (choice & 1 || choice >= 128)
        feed(w);
}

static void conf_make(struct conf *conf, struct conf_listener *listener,
                      struct conf_route routes[3], struct net_prefix trusted[1], uint8_t how)
{
    static const struct conf_sender refused[] = {
        {.domain = "b.example"}, {.domain = "c.example", .refuse = CONF_REFUSE_TEMPORARY}};
    static const struct conf_sender plain[] = {
        {.domain = "c.example", .level = CONF_SENDER_VERIFY},
        {.domain = ".example", .refuse = CONF_REFUSE_TEMPORARY}};

    *conf = (struct conf){.gateway.hostname = "gw.example.org",
                          .limits = {.max_commands = 200,
                                     .max_errors = 20,
                                     .max_auth_failures = 3,
                                     .max_recipients = 4,
                                     .max_messages = 9,
                                     .max_line = 64,
                                     .max_message = 40}};
    *listener = (struct conf_listener){.name = "fuzz",
                                       .tls = CONF_LISTENER_STARTTLS,
                                       .require_tls = how & 1,
                                       .auth_users = how & 32 ? "users" : NULL,
                                       .require_auth = (how & 96) == 96,
                                       .chunking = !(how & 2),
                                       .xclient_clients = trusted,
                                       .xclient_clients_len = how & 4 ? 1 : 0};
    routes[0] = (struct conf_route){.domain = "example.org"};
    routes[1] = (struct conf_route){.domain = "other.example", .mx = true};
    routes[2] = (struct conf_route){.domain = "*", .mx = true, .relay = true};
    conf->senders = (struct conf_sender *)(how & 8 ? refused : plain);
    conf->senders_len = how & 24 ? 2 : 0;
    conf->routes = routes;
    conf->routes_len = 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct world world;
    struct world *w = &world;
    struct conf conf;
    struct conf_listener listener;
    struct conf_route routes[3];
    struct net_prefix trusted[1];
    struct smtp_peer peer = {.id = "fuzz", .conf = &conf, .listener = &listener};

    if (net_addr_parse_ip(SPAN_LIT("192.0.2.1"), 1, &peer.addr) != ERR_OK ||
        net_prefix_parse(SPAN_LIT("192.0.2.0/24"), trusted) != ERR_OK)
        return 0;
    *w = (struct world){.data = data, .len = len, .out.bytes = &w->replies};
    struct smtp_offers offers = {.dsn = true, .binarymime = true, .requiretls = true};
    peer.offers = &offers;
    conf_make(&conf, &listener, routes, trusted, byte_next(w));
    buf_init(&w->replies, 32768);
    smtp_session_init(&w->s, &peer);
    smtp_session_greet(&w->s, &w->out);
    settle(w);
    while (w->len > 0 && !w->closed)
        step(w);
    smtp_session_free(&w->s);
    buf_release(&w->replies);
    return 0;
}
