/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random clients against random next hops, by seed: DATA and BDAT, pipelined or not, RSET, QUIT,
 * vanishing anywhere; refusals, silence, cuts, early answers, next hops without PIPELINING,
 * CHUNKING or STARTTLS; TLS or not on either side, its records ours or the kernel's, in each
 * direction by itself, short ones, empty ones and changes of keys among them; chunks that go by
 * splice; resets by the network. Whatever happens: a 250
 * to a message means that the next hop took exactly these bytes and said 250 to them; the next hop
 * never has a whole message that the client did not end, or twice, or other bytes; replies come in
 * order and none is missing; and in the end nothing is left open.
 *
 * RANDOM_SEEDS="FIRST COUNT" runs others than the usual ones.
 */
#include "world.h"

#include "actor_tls.h"
#include "gateway_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGES_MAX = 96, HELD_MAX = 8, RCPTS_MAX = 5, HANG_MS = 1500 * 1000, DEPTH_MAX = 2 };

struct sent {
    struct buf content;
    bool whole; /* the client said that it ends */
    bool bdat;
    unsigned took, accepted, told; /* told: code of the final answer */
};

struct run {
    struct world *w;
    uint64_t seed, state;
    unsigned mood;                /* of next hops, per mille of answers */
    unsigned vanish;              /* of clients, per mille */
    bool resets;                  /* by the network */
    bool encrypt;                 /* the route demands TLS */
    unsigned noise;               /* per mille of records: KeyUpdates, empty ones, short ones */
    bool unknown;                 /* a next hop may be lost with its answer, by resets or keys */
    bool large;                   /* messages: several arenas and pipes full */
    struct actor *held[HELD_MAX]; /* next hops that read nothing for a while */
    struct sent sent[MESSAGES_MAX];
    unsigned sent_len, told_250, said_250, sessions;
};

static struct run run; /* choose and took get nothing else */
static unsigned long all_sent, all_told_250, all_told_other, all_key_updates;
static unsigned long long all_spliced;

static uint64_t next(void)
{
    uint64_t z = run.state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static unsigned below(unsigned n)
{
    return (unsigned)(next() % n);
}

static bool chance(unsigned per_mille)
{
    return below(1000) < per_mille;
}

static void wrong(const char *what, const char *text)
{
    fail_msg("seed %llu: %s: %s", (unsigned long long)run.seed, what, text);
}

/* --- the next hop --- */

static const char *rcpt_echo(const struct actor *a)
{
    static char text[400];

    snprintf(text, sizeof(text), "250 2.1.5 %.*s\r\n", (int)a->line.len, (const char *)a->line.ptr);
    return text;
}

static const char *bad_answer(const char *verb)
{
    static const char *const answers[] = {
        "450 4.2.0 later\r\n",
        "550 5.1.1 never\r\n",
        "421 4.3.2 closing\r\n",
        "452-4.5.3 two\r\n452 4.5.3 lines\r\n",
        "503 5.5.1 out of step\r\n",
        "!",
        "!",
        "#",
        "?",
        "",
    };
    unsigned i = below(sizeof(answers) / sizeof(answers[0]));

    /* Silence in a body is no answer at all, and rare: it costs much of the virtual time. */
    if (answers[i][0] == '\0' && (strcmp(verb, "body") == 0 || chance(500)))
        return NULL;
    return answers[i];
}

/* Those that stopped reading go on, or don't, for as long as the gateway has patience. */
static void held_release(unsigned per_mille)
{
    for (unsigned i = 0; i < HELD_MAX; i++) {
        if (!run.held[i] || !chance(per_mille))
            continue;
        if (!run.held[i]->closed)
            dp_sim_peer_hold(run.held[i]->peer, false);
        run.held[i] = NULL;
    }
}

static void hold(struct actor *a)
{
    unsigned i = below(HELD_MAX);

    if (run.held[i])
        return;
    run.held[i] = a;
    dp_sim_peer_hold(a->peer, true);
}

static const char *choose(struct actor *a, const char *verb)
{
    unsigned mood = run.mood;

    if (chance(run.mood / 10))
        hold(a);

    if (strcmp(verb, "body") == 0)
        mood /= 10;
    const char *bad = chance(mood) ? bad_answer(verb) : NULL;
    if (bad)
        return bad;
    return strcmp(verb, "RCPT") == 0 ? rcpt_echo(a) : NULL;
}

static struct span without_received(struct span message)
{
    const uint8_t *at = message.ptr, *end = message.ptr + message.len;

    if (!span_starts_nocase(message, SPAN_LIT("Received: from ")))
        wrong("no Received line", "");
    do {
        const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
        if (!lf)
            wrong("no end of Received", "");
        at = lf + 1;
    } while (at < end && (*at == ' ' || *at == '\t'));
    return span_make(at, (size_t)(end - at));
}

static bool same_message(const struct sent *s, struct span got)
{
    struct span content = buf_span(&s->content);

    if (span_equal(content, got))
        return true;
    /* A message by BDAT whose last line has no end gets one where it goes out as DATA. */
    return s->bdat && got.len == content.len + 2 &&
           memcmp(got.ptr, content.ptr, content.len) == 0 &&
           memcmp(got.ptr + content.len, "\r\n", 2) == 0;
}

static void took(struct actor *a, struct span message, bool accepted)
{
    struct span got = without_received(message);
    unsigned index;
    char head[32];

    if (run.encrypt && !a->tls)
        wrong("a message in plaintext", "");
    if (span_to_cstr(span_make(got.ptr, got.len < 16 ? got.len : 16), head, sizeof(head)) !=
            ERR_OK ||
        sscanf(head, "X-Id: %u;", &index) != 1 || index >= run.sent_len)
        wrong("a message that nobody sent", head);
    struct sent *s = &run.sent[index];
    if (!s->whole)
        wrong("a message without its end", head);
    if (!same_message(s, got))
        wrong("other bytes", head);
    if (++s->took > 1)
        wrong("twice", head);
    s->accepted += accepted;
    run.said_250 += accepted;
}

/* What peers may do between records, without a word about it in SMTP. */
static void noise(struct actor_tls *t, struct dp_sim_peer *peer, size_t *len)
{
    if (!chance(run.noise))
        return;
    switch (below(4)) {
    case 0:
        actor_tls_key_update(t, peer, false);
        break;
    case 1:
        actor_tls_key_update(t, peer, true);
        break;
    case 2:
        actor_tls_empty(t, peer);
        break;
    default:
        *len = 1 + below((unsigned)*len);
    }
}

/* --- a client --- */

/* Rarely so long that somebody's time is over. */
static void wait_a_little(void)
{
    static const unsigned times[] = {0, 1, 20, 1000, 3000};

    world_run(run.w, chance(5) ? 150 * 1000 : times[below(5)]);
}

static bool vanishes(struct actor *a)
{
    if (a->closed)
        return true;
    if (!chance(run.vanish))
        return false;
    unsigned how = below(a->tls ? 3 : 2);
    if (how == 0)
        dp_sim_peer_reset(a->peer);
    else if (how == 1)
        dp_sim_peer_finish(a->peer);
    else
        dp_sim_peer_send(a->peer, "\x17\3\3\0\x12no record of anything", 27);
    a->closed = true;
    return true;
}

/* The next reply's code; 0 where the connection is gone. */
static unsigned hear(struct actor *a, char text[600])
{
    char room[600];
    unsigned waited = 0;

    text = text ? text : room;
    while (!client_reply(a, text, 600)) {
        if (a->closed)
            return 0;
        if (waited > HANG_MS)
            wrong("no answer", "");
        held_release(waited < 5000 ? 300 : 20);
        unsigned ms = waited < 5000 ? 200 : 20000;
        world_run(run.w, ms);
        waited += ms;
    }
    unsigned code = (unsigned)strtoul(text, NULL, 10);
    if (code < 200 || code > 599)
        wrong("not a reply", text);
    if (code == 421) { /* the gateway ends the session; what was pipelined is not answered */
        world_run(run.w, 30000);
        if (!a->closed)
            wrong("421 without an end", text);
        return 0;
    }
    return code;
}

static bool hear_code(struct actor *a, unsigned expected)
{
    char text[600];
    unsigned code = hear(a, text);

    if (code != 0 && code != expected)
        wrong("another answer was due", text);
    return code != 0;
}

static void say_text(struct actor *a, const char *text)
{
    client_send(a, text, strlen(text));
}

static void session(unsigned depth);

enum rcpt_kind { RCPT_GOOD, RCPT_SYNTAX, RCPT_ELSEWHERE };

struct envelope {
    unsigned rcpts, accepted;
    enum rcpt_kind kind[RCPTS_MAX];
};

static void rcpt_text(const struct envelope *e, unsigned i, char *out, size_t room)
{
    if (e->kind[i] == RCPT_GOOD)
        snprintf(out, room, "RCPT TO:<r%u@example.org>\r\n", i);
    else if (e->kind[i] == RCPT_SYNTAX)
        snprintf(out, room, "RCPT TO:<r%u\r\n", i);
    else
        snprintf(out, room, "RCPT TO:<r%u@elsewhere.example>\r\n", i);
}

static bool rcpt_hear(struct actor *a, struct envelope *e, unsigned i)
{
    char text[600], address[40];
    unsigned code = hear(a, text);

    if (code == 0)
        return false;
    if (e->kind[i] == RCPT_SYNTAX && code != 501)
        wrong("a bad recipient", text);
    if (e->kind[i] == RCPT_ELSEWHERE && strncmp(text, "550 5.7.1 Relaying denied", 25) != 0)
        wrong("a recipient elsewhere", text);
    if (e->kind[i] != RCPT_GOOD)
        return true;
    if (code == 501 || (code / 100 != 2 && code / 100 != 4 && code / 100 != 5))
        wrong("a good recipient", text);
    snprintf(address, sizeof(address), "<r%u@example.org>", i);
    if (code == 250 && !strstr(text, address))
        wrong("another recipient's answer", text);
    e->accepted += code == 250;
    return true;
}

static void text_append(char *text, size_t room, const char *more)
{
    size_t len = strlen(text);

    snprintf(text + len, room - len, "%s", more);
}

/* Says MAIL and RCPT, and last behind them; false where the session is gone. */
static bool envelope_say(struct actor *a, struct envelope *e, bool pipelined, const char *last)
{
    char text[2048], line[80];

    snprintf(text, sizeof(text), "MAIL FROM:<s@example.net>%s%s\r\n",
             chance(300) ? " SIZE=1000" : "", chance(300) ? " BODY=8BITMIME" : "");
    *e = (struct envelope){.rcpts = 1 + below(RCPTS_MAX)};
    for (unsigned i = 0; i < e->rcpts; i++)
        e->kind[i] = chance(850) ? RCPT_GOOD : chance(500) ? RCPT_SYNTAX : RCPT_ELSEWHERE;
    if (!pipelined) {
        say_text(a, text);
        if (!hear_code(a, 250))
            return false;
    }
    for (unsigned i = 0; i < e->rcpts; i++) {
        rcpt_text(e, i, line, sizeof(line));
        if (pipelined) {
            text_append(text, sizeof(text), line);
            continue;
        }
        say_text(a, line);
        if (vanishes(a) || !rcpt_hear(a, e, i))
            return false;
    }
    if (!pipelined) {
        say_text(a, last);
        return true;
    }
    text_append(text, sizeof(text), last);
    say_text(a, text);
    if (vanishes(a) || !hear_code(a, 250))
        return false;
    for (unsigned i = 0; i < e->rcpts; i++) {
        if (!rcpt_hear(a, e, i))
            return false;
    }
    return true;
}

static const char *const lines[] = {
    "text\r\n",
    ".\r\n",
    "..\r\n",
    ".dot at the start\r\n",
    "\r\n",
    "a.\r\n",
    ". \r\n",
    "Received: no header any more\r\n",
    "RSET\r\n",
    "QUIT\r\n",
    "0123456789012345678901234567890123456789012345678901234567890123\r\n",
};

/* NULL: no place left. Content as the receiver shall have it. */
static struct sent *message_make(bool bdat)
{
    struct sent *s = &run.sent[run.sent_len];
    char head[128];
    size_t size = below(10) ? below(3000) : below(40) ? below(40000) : below(400000);

    if (run.large && chance(400))
        size = below(1000000);

    if (run.sent_len == MESSAGES_MAX)
        return NULL;
    buf_init(&s->content, 0);
    snprintf(head, sizeof(head), "X-Id: %u;\r\nMessage-ID: <m%u@example.net>\r\n%s", run.sent_len,
             run.sent_len, chance(950) ? "\r\n" : "");
    run.sent_len++;
    all_sent++;
    s->bdat = bdat;
    assert_int_equal(buf_append_span(&s->content, span_str(head)), ERR_OK);
    while (buf_len(&s->content) < size) {
        const char *line = lines[below(sizeof(lines) / sizeof(lines[0]))];
        assert_int_equal(buf_append_span(&s->content, span_str(line)), ERR_OK);
    }
    /* What no message by DATA may have; by BDAT it depends. */
    if (chance(40))
        assert_int_equal(buf_append_span(&s->content, span_str(below(2) ? "a\nb\r\n" : "a\rb\r\n")),
                         ERR_OK);
    if (bdat && chance(300))
        assert_int_equal(buf_append_span(&s->content, span_str(below(4) ? "no end" : "cr\r")),
                         ERR_OK);
    return s;
}

static bool pieces_say(struct actor *a, struct span bytes, unsigned depth)
{
    while (bytes.len > 0) {
        size_t n = 1 + below(chance(900) ? 60000 : 40);
        n = n < bytes.len ? n : bytes.len;
        client_send(a, bytes.ptr, n);
        bytes = span_from(bytes, n);
        if (chance(300))
            wait_a_little();
        if (vanishes(a))
            return false;
        if (depth < DEPTH_MAX && chance(30))
            session(depth + 1);
        if (chance(2))
            gateway_drain(run.w->gateway);
    }
    return true;
}

static void final_told(struct sent *s, unsigned code)
{
    s->told = code;
    if (code == 250) {
        run.told_250++;
        all_told_250++;
        if (s->accepted != 1)
            wrong("250 for what the next hop does not have", "");
    } else {
        all_told_other++;
    }
    if (code >= 500 && s->accepted)
        wrong("refused, but the next hop took it", "");
    if (code / 100 == 4 && s->accepted && !run.unknown)
        wrong("deferred, but the next hop took it", "");
    if (code / 100 == 3)
        wrong("a final answer", "3yz");
}

/* Dots are stuffed, and the end comes with whatever is behind it. */
static bool data_body_say(struct actor *a, struct sent *s, const char *behind, unsigned depth)
{
    struct span rest = buf_span(&s->content);
    struct buf stuffed;

    buf_init(&stuffed, 0);
    while (rest.len > 0) {
        const uint8_t *end = memmem(rest.ptr, rest.len, "\r\n", 2);
        size_t n = end ? (size_t)(end - rest.ptr) + 2 : rest.len;
        if (rest.ptr[0] == '.')
            assert_int_equal(buf_append(&stuffed, ".", 1), ERR_OK);
        assert_int_equal(buf_append(&stuffed, rest.ptr, n), ERR_OK);
        rest = span_from(rest, n);
    }
    bool goes_on = pieces_say(a, buf_span(&stuffed), depth);
    buf_clear(&stuffed);
    if (goes_on) {
        s->whole = true;
        assert_int_equal(buf_append_span(&stuffed, SPAN_LIT(".\r\n")), ERR_OK);
        assert_int_equal(buf_append_span(&stuffed, span_str(behind)), ERR_OK);
        client_send(a, buf_span(&stuffed).ptr, buf_len(&stuffed));
    }
    buf_release(&stuffed);
    return goes_on;
}

static bool message_by_data(struct actor *a, unsigned depth)
{
    const char *behind = chance(600) ? "" : chance(700) ? "NOOP\r\n" : "RSET\r\nQUIT\r\n";
    struct envelope e;

    if (!envelope_say(a, &e, chance(600), "DATA\r\n"))
        return false;
    if (vanishes(a))
        return false;
    unsigned code = hear(a, NULL);
    if (code == 0)
        return false;
    if (code == 354 && e.accepted == 0)
        wrong("354 without a recipient", "");
    if (code != 354 && code < 400)
        wrong("an answer to DATA", "");
    if (code != 354)
        return true;
    struct sent *s = message_make(false);
    if (!s || !data_body_say(a, s, behind, depth) || vanishes(a))
        return false;
    code = hear(a, NULL);
    if (code == 0)
        return false;
    final_told(s, code);
    if (behind[0] != '\0' && !hear_code(a, 250))
        return false;
    if (behind[0] == 'R')
        hear_code(a, 221);
    return behind[0] != 'R';
}

static bool chunk_say(struct actor *a, struct span *rest, bool last, unsigned depth)
{
    char line[64];
    size_t n = last ? rest->len : rest->len ? below((unsigned)rest->len + 1) : 0;

    snprintf(line, sizeof(line), "BDAT %zu%s\r\n", n, last ? " LAST" : "");
    say_text(a, line);
    bool goes_on = pieces_say(a, span_make(rest->ptr, n), depth);
    *rest = span_from(*rest, n);
    return goes_on;
}

static bool message_by_bdat(struct actor *a, unsigned depth)
{
    unsigned chunks = 1 + below(4), refused = 0, code = 0;
    bool pipelined = chance(500);
    struct envelope e;

    if (!envelope_say(a, &e, chance(600), ""))
        return false;
    if (e.accepted == 0 && chance(500))
        return true;
    struct sent *s = message_make(true);
    if (!s)
        return false;
    struct span rest = buf_span(&s->content);
    for (unsigned i = 0; i < chunks; i++) {
        bool last = i + 1 == chunks;
        if (last && pipelined && chance(100))
            return true; /* the replies are heard before RSET's */
        if (last && !pipelined && chance(50))
            return true;
        s->whole |= last && rest.len == 0; /* its command is all of it */
        if (last)                          /* the last byte ends it; it may go out in any piece */
            s->whole = true;
        if (!chunk_say(a, &rest, last, depth))
            return false;
        if (pipelined)
            continue;
        code = hear(a, NULL);
        if (code == 0)
            return false;
        refused += code != 250;
        if (refused && code == 250)
            wrong("250 to a chunk behind a refused one", "");
    }
    for (unsigned i = 0; pipelined && i < chunks; i++) {
        code = hear(a, NULL);
        if (code == 0)
            return false;
        refused += code != 250;
        if (refused && code == 250)
            wrong("250 to a chunk behind a refused one", "");
    }
    final_told(s, code);
    return true;
}

static bool starttls(struct actor *a)
{
    say_text(a, "STARTTLS\r\n");
    if (!hear_code(a, 220) || vanishes(a))
        return false;
    client_handshake(a);
    if (vanishes(a))
        return false;
    for (unsigned i = 0; i < 60 && !a->closed && actor_tls_in_handshake(a->tls); i++)
        world_run(run.w, 1000);
    return !a->closed && !actor_tls_in_handshake(a->tls);
}

static bool hello(struct actor *a)
{
    say_text(a, "EHLO c.example\r\n");
    return hear_code(a, 250);
}

static void session(unsigned depth)
{
    unsigned messages = 1 + below(4);
    struct actor *a = client_dial(run.w);

    run.sessions++;
    bool goes_on = hear_code(a, 220) && hello(a);
    if (goes_on && chance(run.large ? 950 : 400))
        goes_on = starttls(a) && hello(a);
    for (unsigned i = 0; goes_on && i < messages; i++) {
        goes_on =
            chance(run.large ? 200 : 500) ? message_by_data(a, depth) : message_by_bdat(a, depth);
        if (goes_on && chance(100))
            wait_a_little();
        if (goes_on && vanishes(a))
            goes_on = false;
        /* Whatever state that left: replies still due come before RSET's 250 2.0.0 Ok. */
        if (goes_on) {
            char text[600];
            say_text(a, chance(800) ? "RSET\r\nVRFY x\r\n" : "EHLO again.example\r\nVRFY x\r\n");
            unsigned code;
            while ((code = hear(a, text)) != 0 && code != 252) {
            }
            goes_on = code != 0;
        }
    }
    if (!goes_on || a->closed)
        return;
    if (chance(500))
        say_text(a, "QUIT\r\n");
    else
        dp_sim_peer_finish(a->peer);
    world_run(run.w, 100);
}

/* --- a run --- */

static struct world *make_world(void)
{
    static const char *const listeners[] = {NULL, "tls = \"starttls\"; bdat_scan = true;",
                                            "tls = \"starttls\"; chunking = false;",
                                            "tls = \"starttls\"; bare_newline = \"reject\";"};
    static const char *const routes[] = {
        NULL,
        "next_hop = \"hop1.example:25\"; tls = { level = \"none\"; };",
        "next_hop = \"hop1.example:25\"; tls = { level = \"encrypt\"; };",
        "next_hop = [ \"hop1.example:25\", \"hop2.example:25\" ]; tls = { level = \"encrypt\"; };",
        "next_hop = [ \"hop1.example:25\", \"hop2.example:25\" ]; tls = { level = \"may\"; }; "
        "max_connections = 1;",
        "next_hop = \"hop1.example:25\"; tls = { level = \"may\"; }; xclient = true;",
        "next_hop = \"hop1.example:25\"; tls = { level = \"encrypt\"; }; data_to_bdat = true;",
        "next_hop = [ \"hop1.example:25\", \"hop2.example:25\" ]; tls = { level = \"may\"; }; "
        "max_connections = 1; data_to_bdat = true;",
        /* Records that change make a leg no good for the next transaction. */
        "next_hop = [ \"hop1.example:25\", \"hop2.example:25\" ]; tls = { level = \"dane\"; };",
        "next_hop = \"mx\"; tls = { level = \"auto\"; }; max_connections = 1;",
    };
    static const unsigned fragments[] = {0, 1, 200, 5000, 60000};
    unsigned route = below(sizeof(routes) / sizeof(routes[0]));
    run.large = chance(120);
    run.noise = chance(600) ? 0 : 1 + below(200);
    struct dp_sim_conf sim = {.seed = run.seed,
                              .delay_min_ms = 0,
                              .delay_max_ms = chance(500) ? 20 : 0,
                              .fragment_max = fragments[chance(20) ? 1 : 2 + below(3)],
                              .window = chance(200) ? 1000 + below(30000) : 0,
                              .reset_per_mille = chance(300) ? 1 + below(10) : 0,
                              .kernel = chance(run.large ? 950 : 600),
                              .kernel_rekey = chance(500),
                              .kernel_refuse_per_mille = chance(200) ? 200 : 0,
                              .pipe_size = chance(300) ? 5000 + below(50000) : 0,
                              .wall_us = 1767225600ull * 1000000};

    if (chance(200))
        sim.fragment_max = 0;
    run.resets = sim.reset_per_mille != 0;
    run.unknown = run.resets || (run.noise != 0 && sim.kernel && !sim.kernel_rekey);
    run.encrypt = route == 2 || route == 3 || route == 6 || route >= 8;
    run.mood = chance(300) ? 0 : below(chance(500) ? 60 : 300);
    run.vanish = chance(300) ? 0 : below(150);
    struct world *w = world_new_sim(
        &sim, listeners[below(sizeof(listeners) / sizeof(listeners[0]))], routes[route],
        "limits = { command_timeout_s = 100; hop_command_timeout_s = 30; "
        "data_timeout_s = 60; hop_final_timeout_s = 100; };");
    w->mx = (struct dns_mx_answer){
        .secure = true, .len = 2, .mx = {{10, "hop1.example"}, {20, "hop2.example"}}};
    w->tls_late_max_ms = chance(500) ? 1 + below(chance(800) ? 200 : 40000) : 0;
    for (unsigned i = 0; i < WORLD_HOPS; i++) {
        struct hop_double *h = &w->hops[i];
        h->no_chunking = chance(run.large ? 100 : 400);
        h->no_pipelining = chance(300);
        h->no_starttls = !run.encrypt && chance(run.large ? 50 : 300);
        h->extra_caps = chance(500) ? "250-XCLIENT NAME ADDR PORT PROTO HELO\r\n" : NULL;
        h->choose = choose;
        h->took = took;
    }
    return w;
}

/* Places under limits that nobody holds any more. */
static void places_check(void)
{
    const struct shared *shared = run.w->shared;
    union net_addr client;

    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.200"), 0, &client), ERR_OK);
    if (shared_held(shared, SHARED_CLIENT_ADDRESS, shared_address_key(shared, &client)) != 0)
        wrong("a place of the client's address is held", "");
    for (unsigned i = 1; i <= 2; i++) {
        char host[32];
        snprintf(host, sizeof(host), "hop%u.example:25", i);
        if (shared_held(shared, SHARED_HOP, shared_text_key(shared, span_str(host))) != 0)
            wrong("a place of a next hop is held", host);
    }
    if (run.w->gateway->handshakes_len != 0)
        wrong("a handshake is counted that is over", "");
}

static void end_check(void)
{
    struct dp_counters dp;

    held_release(1000);
    if (chance(300)) {
        gateway_drain(run.w->gateway);
        world_run(run.w, 4000000);
        if (!run.w->drained)
            wrong("not drained", "");
    } else {
        world_run(run.w, 4000000);
    }
    if (counter_sum(run.w->shared, COUNTER_SESSIONS_OPEN) != 0)
        wrong("a session is left", "");
    if (counter_sum(run.w->shared, COUNTER_HOP_CONNECTIONS_OPEN) != 0)
        wrong("a connection to a next hop is left", "");
    places_check();
    dp_counters(run.w->dp, &dp);
    all_key_updates += dp.key_updates;
    all_spliced += dp.bytes_spliced;
    if (dp.legs != 0 || dp.relays != 0)
        wrong("a leg or a relay is left", "");
    if (counter_sum(run.w->shared, COUNTER_MESSAGES_RELAYED) < run.told_250 ||
        counter_sum(run.w->shared, COUNTER_MESSAGES_RELAYED) > run.said_250)
        wrong("messages relayed are miscounted", "");
}

static void one_seed(uint64_t seed)
{
    run = (struct run){.seed = seed, .state = seed};
    actor_tls_noise = noise;
    run.w = make_world();
    unsigned sessions = 1 + below(4);
    for (unsigned i = 0; i < sessions; i++)
        session(0);
    end_check();
    world_free(run.w);
    for (unsigned i = 0; i < run.sent_len; i++)
        buf_release(&run.sent[i].content);
}

static void nothing_is_lost_or_changed(void **state)
{
    unsigned long long first = 1, count = 300;
    const char *seeds = getenv("RANDOM_SEEDS");

    (void)state;
    if (seeds)
        assert_int_equal(sscanf(seeds, "%llu %llu", &first, &count), 2);
    for (unsigned long long i = 0; i < count; i++)
        one_seed(first + i);
    if (count >= 100) { /* or the test has lost its teeth */
        assert_true(all_told_250 > count / 2);
        assert_true(all_told_other > count / 20);
        assert_true(all_key_updates > count / 20);
    }
    if (count >= 300)
        assert_true(all_spliced > 0);
    if (seeds)
        print_message("%lu sent, %lu told 250, %lu told otherwise; %lu key updates, %llu bytes "
                      "spliced\n",
                      all_sent, all_told_250, all_told_other, all_key_updates, all_spliced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_or_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
