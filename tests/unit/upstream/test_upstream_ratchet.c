/* SPDX-License-Identifier: Apache-2.0 */
/* Is a connection that has less TLS than its destination had found before MAIL FROM, is it used or
 * not as the route says, and is the ratchet's process told of it, and of what messages were taken
 * over, and of nothing else? */
#include "world.h"

#include "channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define HEARD "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 250 2.6.0\n"
#define HELD "lost 451 4.7.5\n"

static const char no_starttls[] = "250-mx\r\n250 PIPELINING\r\n";
static const char fixed_hop[] = "mx1.test:25";

static struct world w;
static struct ratchet_table *table;
static int line[2];

static int64_t now_s(void)
{
    return (int64_t)(dp_wall_us(w.dp) / 1000000);
}

/* Remembered of a host (NULL: of the weakest), age seconds ago. */
static void remember(const char *destination, const char *host, enum conf_level level,
                     enum tls_source source, int64_t age)
{
    const struct ratchet_known known = {
        .memory = {.known = true, .best = {level, source}, .last = now_s() - age}};

    assert_true(ratchet_table_put(table, destination, host, &known));
}

static void forget(const char *destination, const char *host)
{
    const struct ratchet_known nothing = {0};

    assert_true(ratchet_table_put(table, destination, host, &nothing));
}

static void start(enum conf_level level, enum conf_ratchet ratchet, bool mx, unsigned hosts)
{
    world_init(&w, hosts);
    assert_int_equal(ratchet_table_new(&table), ERR_OK);
    ratchet_table_take(table);
    assert_int_equal(channel_pair(line), 0);
    w.ratchet = (struct ratchet_line){table, line[0]};
    w.conf.tls.ratchet_expiry_days = 1;
    w.routes[0].tls.level = level;
    w.routes[0].tls.ratchet = ratchet;
    w.routes[0].mx = mx;
    w.mx = (struct dns_mx_answer){.secure = true, .len = hosts};
    for (unsigned i = 0; i < hosts; i++) {
        w.mx.mx[i].preference = (uint16_t)(10 * i);
        snprintf(w.mx.mx[i].host, sizeof(w.mx.mx[i].host), "mx%u.test", i + 1);
    }
}

static void end(void)
{
    world_end(&w);
    ratchet_table_free(table);
    close(line[0]);
    close(line[1]);
}

/* The next report is this one. */
static void told(enum ratchet_told kind, const char *destination, const char *host,
                 enum conf_level level, bool holds)
{
    struct ratchet_report r;

    assert_int_equal(ratchet_hear(line[1], &r), ERR_OK);
    assert_int_equal(r.kind, kind);
    assert_string_equal(r.destination, destination);
    assert_string_equal(r.host, host);
    assert_int_equal(r.level, level);
    assert_int_equal(r.holds, holds);
    assert_string_equal(r.route, "example.org");
}

static void told_nothing(void)
{
    struct ratchet_report r;

    assert_int_equal(ratchet_hear(line[1], &r), ERR_AGAIN);
}

static uint64_t counted(enum counter which)
{
    return counter_sum(w.shared, which);
}

/* A message that goes, or is held. */
static void message(bool held)
{
    if (!held) {
        sender_message(&w, 0, 0);
        sender_expect(&w.senders[0], HEARD);
        return;
    }
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    sender_expect(s, HELD);
    sender_close(s);
    world_run(&w, 100);
}

/* What there was, what there is, and what becomes of the mail. */
enum offer { PLAIN, ANY_TLS, TLSA_RECORD };
static const struct cell {
    enum conf_level level;
    bool mx;
    enum offer offer;
    bool known, weakest; /* is the memory of the host, of the others? */
    struct ratchet_had was;
    enum conf_level now;
    bool drop;
} cells[] = {
    {CONF_LEVEL_MAY, false, PLAIN, false, false, {0, 0}, CONF_LEVEL_NONE, false},
    {CONF_LEVEL_MAY,
     false,
     PLAIN,
     true,
     false,
     {CONF_LEVEL_NONE, TLS_SOURCE_ROUTE},
     CONF_LEVEL_NONE,
     false},
    {CONF_LEVEL_MAY,
     false,
     PLAIN,
     true,
     false,
     {CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE},
     CONF_LEVEL_NONE,
     true},
    {CONF_LEVEL_MAY,
     false,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE},
     CONF_LEVEL_ENCRYPT,
     false},
    {CONF_LEVEL_MAY,
     false,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_ENCRYPT,
     false},
    {CONF_LEVEL_MAY,
     false,
     PLAIN,
     true,
     false,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_NONE,
     true},
    {CONF_LEVEL_MAY,
     true,
     PLAIN,
     false,
     true,
     {CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE},
     CONF_LEVEL_NONE,
     true},
    {CONF_LEVEL_AUTO, true, ANY_TLS, false, false, {0, 0}, CONF_LEVEL_ENCRYPT, false},
    {CONF_LEVEL_AUTO,
     true,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_ENCRYPT,
     true},
    {CONF_LEVEL_AUTO,
     true,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_VERIFY, TLS_SOURCE_STS},
     CONF_LEVEL_ENCRYPT,
     true},
    {CONF_LEVEL_AUTO,
     true,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_VERIFY, TLS_SOURCE_ROUTE},
     CONF_LEVEL_ENCRYPT,
     false},
    {CONF_LEVEL_AUTO,
     true,
     PLAIN,
     true,
     false,
     {CONF_LEVEL_VERIFY, TLS_SOURCE_ROUTE},
     CONF_LEVEL_NONE,
     true},
    {CONF_LEVEL_AUTO,
     true,
     TLSA_RECORD,
     true,
     false,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_DANE,
     false},
    {CONF_LEVEL_AUTO,
     true,
     TLSA_RECORD,
     true,
     false,
     {CONF_LEVEL_VERIFY, TLS_SOURCE_STS},
     CONF_LEVEL_DANE,
     false},
    {CONF_LEVEL_AUTO,
     true,
     ANY_TLS,
     false,
     true,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_ENCRYPT,
     true},
    {CONF_LEVEL_AUTO,
     true,
     TLSA_RECORD,
     false,
     true,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_DANE,
     false},
    /* What demands is held to nothing: it refuses by itself. */
    {CONF_LEVEL_ENCRYPT,
     false,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_ENCRYPT,
     false},
    {CONF_LEVEL_VERIFY,
     false,
     ANY_TLS,
     true,
     false,
     {CONF_LEVEL_DANE, TLS_SOURCE_DANE},
     CONF_LEVEL_VERIFY,
     false},
};
enum { CELLS = sizeof(cells) / sizeof(cells[0]) };

static void cell_start(const struct cell *c, enum conf_ratchet ratchet)
{
    const char *destination = c->mx ? "example.org" : fixed_hop;

    start(c->level, ratchet, c->mx, 1);
    if (c->offer == PLAIN)
        w.mtas[0].ehlo = no_starttls;
    if (c->offer == TLSA_RECORD)
        world_tlsa(&w, 1, 3, 7);
    world_start(&w);
    if (c->known)
        remember(destination, c->mx ? "mx1.test" : fixed_hop, c->was.level, c->was.source, 10);
    if (c->weakest)
        remember(destination, NULL, c->was.level, c->was.source, 10);
}

static void cell_try(unsigned number, enum conf_ratchet ratchet)
{
    const struct cell *c = &cells[number];
    const char *destination = c->mx ? "example.org" : fixed_hop;
    const char *host = c->mx ? "mx1.test" : fixed_hop;
    bool drop = c->drop && ratchet != CONF_RATCHET_OFF;
    bool held = drop && ratchet == CONF_RATCHET_HOLD;

    cell_start(c, ratchet);
    message(held);
    if (held)
        mta_never(&w.mtas[0], "MAIL");
    assert_int_equal(counted(COUNTER_RATCHET_DROPS), drop);
    assert_int_equal(counted(COUNTER_RATCHET_HELD), held);
    if (drop)
        told(RATCHET_TOLD_DROP, destination, host, c->now, held);
    /* What went out is told too, of whom nothing is known; that it is less, the book knows. */
    if (ratchet != CONF_RATCHET_OFF && !held && !c->known)
        told(RATCHET_TOLD_SEEN, destination, host, c->now, false);
    struct ratchet_report r;
    int err = ratchet_hear(line[1], &r);
    if (err == ERR_OK) { /* better than what was known, and nothing else */
        const struct ratchet_had now = {(enum conf_level)r.level, (enum tls_source)r.source};
        assert_true(c->known && ratchet_better(&now, &c->was));
    }
    end();
}

static void test_every_cell(void **state)
{
    for (unsigned i = 0; i < CELLS; i++) {
        cell_try(i, CONF_RATCHET_HOLD);
        cell_try(i, CONF_RATCHET_WARN);
        cell_try(i, CONF_RATCHET_OFF);
    }
}

/* The next host, if it is as good as it was; each is held to its own. */
static void test_next_host(void **state)
{
    start(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, true, 2);
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    remember("example.org", "mx1.test", CONF_LEVEL_ENCRYPT, TLS_SOURCE_NONE, 0);
    remember("example.org", NULL, CONF_LEVEL_ENCRYPT, TLS_SOURCE_NONE, 0);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    mta_never(&w.mtas[0], "MAIL");
    told(RATCHET_TOLD_DROP, "example.org", "mx1.test", CONF_LEVEL_NONE, true);
    told(RATCHET_TOLD_SEEN, "example.org", "mx2.test", CONF_LEVEL_ENCRYPT, false);
    told_nothing();
    end();
}

/* A connection that was refused serves nobody, and the next message is judged anew. */
static void test_nothing_refused_is_kept(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    remember(fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 0);
    for (unsigned i = 1; i <= 3; i++) {
        message(true);
        assert_int_equal(w.mtas[0].connections, i);
        assert_int_equal(w.mtas[0].open, 0);
    }
    mta_expect(&w.mtas[0], "EHLO gw.test\nQUIT\nEHLO gw.test\nQUIT\nEHLO gw.test\nQUIT\n");
    /* The host is not dead for it, and once the administrator says so all is well. */
    remember(fixed_hop, fixed_hop, CONF_LEVEL_NONE, TLS_SOURCE_ROUTE, 0);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    end();
}

/* One look and one report a connection: messages that follow on it cost nothing. */
static void test_once_a_connection(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_WARN, false, 1);
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    remember(fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 0);
    for (int i = 0; i < 3; i++) {
        sender_message(&w, 0, 0);
        sender_expect(&w.senders[0], HEARD);
    }
    assert_int_equal(w.mtas[0].connections, 1);
    assert_int_equal(counted(COUNTER_RATCHET_DROPS), 1);
    told(RATCHET_TOLD_DROP, fixed_hop, fixed_hop, CONF_LEVEL_NONE, false);
    told_nothing();
    /* Each message's log line has it, though. */
    struct sender *s = sender_open(&w, 1, 0, 1);
    struct hop_facts facts;
    world_run(&w, 100);
    hop_facts(s->hop, &facts);
    assert_true(facts.reused);
    assert_string_equal(facts.ratchet_was, "encrypt");
    sender_close(s);
    end();
}

/* What is known already is told once an hour; a refused message proves nothing. */
static void test_what_is_told_of_messages(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
    w.mtas[0].final = "554 5.7.1 no\r\n";
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], "rcpt 250 2.1.5\ndata 354 0.0.0\nfinal 554 5.7.1\n");
    told_nothing();
    w.mtas[0].final = NULL;
    sender_message(&w, 0, 0); /* on the same connection */
    sender_expect(&w.senders[0], HEARD);
    assert_int_equal(w.mtas[0].connections, 1);
    told(RATCHET_TOLD_SEEN, fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, false);
    end();
    for (int64_t age = 3590; age <= 3600; age += 10) { /* a message takes some seconds */
        start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
        world_start(&w);
        remember(fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, age);
        sender_message(&w, 0, 0);
        if (age == 3600)
            told(RATCHET_TOLD_SEEN, fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, false);
        told_nothing();
        end();
    }
}

/* The end of a drop is told at once. */
static void test_restored(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
    world_start(&w);
    const struct ratchet_known known = {
        .memory = {true, {CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE}, now_s()}, .dropped = true};
    assert_true(ratchet_table_put(table, fixed_hop, fixed_hop, &known));
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    told(RATCHET_TOLD_SEEN, fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, false);
    end();
}

static void test_memory_expires(void **state)
{
    for (int64_t age = 86400; age <= 86402; age += 2) {
        start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
        w.mtas[0].ehlo = no_starttls;
        world_start(&w);
        remember(fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, age - 1);
        message(age <= 86400);
        end();
    }
}

/* A handshake that fails is what somebody on the way can bring about, too. */
static void test_failed_handshake(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
    w.mtas[0].bad_handshake = true;
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    told(RATCHET_TOLD_SEEN, fixed_hop, fixed_hop, CONF_LEVEL_NONE, false);
    end();
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
    w.mtas[0].bad_handshake = true;
    world_start(&w);
    remember(fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 0);
    message(true);
    mta_never(&w.mtas[0], "MAIL");
    end();
}

/* A process that does not read keeps no mail. */
static void test_full_line(void **state)
{
    static const struct ratchet_report report = {.kind = RATCHET_TOLD_SEEN};

    start(CONF_LEVEL_MAY, CONF_RATCHET_WARN, false, 1);
    world_start(&w);
    while (ratchet_tell(&w.ratchet, &report))
        ;
    sender_message(&w, 0, 0);
    sender_expect(&w.senders[0], HEARD);
    end();
}

/* What the sender hears: all that there is to say, also of a name as long as they get. */
static void test_words(void **state)
{
    char domain[254];

    for (size_t i = 0; i < sizeof(domain) - 1; i++)
        domain[i] = i % 60 == 59 ? '.' : 'a';
    domain[sizeof(domain) - 1] = '\0';
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, true, 1);
    w.mtas[0].ehlo = no_starttls;
    w.domain = domain;
    world_start(&w);
    remember(domain, NULL, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 0);
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 1000);
    sender_expect(s, HELD);
    char text[sizeof(s->last.text) + 1], want[400];
    memcpy(text, s->last.text, s->last.len);
    text[s->last.len] = '\0';
    snprintf(want, sizeof(want), "posternctl policy ratchet accept %s takes that", domain);
    assert_non_null(strstr(text, want));
    assert_non_null(strstr(text, "other hosts of the domain had encrypt until "));
    assert_non_null(strstr(text, "now plaintext (STARTTLS is not offered)"));
    sender_close(s);
    end();
}

/* --- connections that several destinations share --- */

/* Two domains with the same host. */
static void start_shared(enum conf_ratchet ratchet, const char *ehlo)
{
    start(CONF_LEVEL_MAY, ratchet, true, 1);
    w.mtas[0].ehlo = ehlo;
    world_start(&w);
}

static void message_for(const char *domain, bool held)
{
    w.domain = domain;
    message(held);
}

#define EHLO "EHLO gw.test\n"
#define MAIL "MAIL FROM:<s@client.test>\n"
#define REST "RCPT TO:<a@example.org>\nDATA\n"

/* Somebody strips STARTTLS while mail of a domain that nothing is known of opens the connection. */
static void test_shared_plaintext(void **state)
{
    start_shared(CONF_RATCHET_HOLD, no_starttls);
    remember("bank.test", "mx1.test", CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 10);
    message_for("other.test", false);
    told(RATCHET_TOLD_SEEN, "other.test", "mx1.test", CONF_LEVEL_NONE, false);
    mta_expect(&w.mtas[0], EHLO MAIL REST);
    message_for("bank.test", true);
    mta_expect(&w.mtas[0], "QUIT\n" EHLO "QUIT\n");
    assert_int_equal(w.mtas[0].connections, 2);
    assert_int_equal(w.mtas[0].open, 0);
    /* It is the new one that was judged, and it alone. */
    told(RATCHET_TOLD_DROP, "bank.test", "mx1.test", CONF_LEVEL_NONE, true);
    told_nothing();
    assert_int_equal(counted(COUNTER_RATCHET_DROPS), 1);
    assert_int_equal(counted(COUNTER_RATCHET_HELD), 1);
    assert_int_equal(counted(COUNTER_HOP_REUSED), 0);
    /* Without the stripping it goes, and the other domain's over the same one. */
    message_for("other.test", false);
    w.mtas[0].ehlo = NULL;
    buf_clear(&w.mtas[0].log);
    message_for("bank.test", false);
    mta_never(&w.mtas[0], "\n" MAIL);
    assert_int_equal(w.mtas[0].connections, 4);
    message_for("other.test", false);
    assert_int_equal(w.mtas[0].connections, 4);
    assert_int_equal(counted(COUNTER_HOP_REUSED), 1);
    end();
}

/* Of several idle connections one that has enough is found behind those that have not. */
static void test_shared_idle(void **state)
{
    start_shared(CONF_RATCHET_HOLD, NULL);
    remember("bank.test", NULL, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 10);
    w.domain = "other.test";
    for (unsigned i = 0; i < 3; i++) {
        struct sender *s = sender_open(&w, i, 0, 1);
        world_run(&w, 100);
        sender_expect(s, "rcpt 250 2.1.5\n");
        w.mtas[0].ehlo = no_starttls;
    }
    for (unsigned i = 0; i < 3; i++) { /* the one with TLS is the last to be found */
        sender_close(&w.senders[i]);
        world_run(&w, 100);
    }
    assert_int_equal(w.mtas[0].open, 3);
    buf_clear(&w.mtas[0].log);
    message_for("bank.test", false);
    mta_expect(&w.mtas[0], "QUIT\nQUIT\nT " MAIL "T RCPT TO:<a@example.org>\nT DATA\n");
    assert_int_equal(w.mtas[0].connections, 3);
    end();
}

/* The same for a hop that waits until one becomes idle: its place is the new one's. */
static void test_shared_waited_for(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, true, 1);
    w.mtas[0].ehlo = no_starttls;
    w.routes[0].max_connections = 1;
    world_start(&w);
    remember("bank.test", "mx1.test", CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 10);
    w.domain = "other.test";
    struct sender *first = sender_open(&w, 0, 0, 1);
    world_run(&w, 100);
    w.domain = "bank.test";
    struct sender *second = sender_open(&w, 1, 0, 1);
    world_run(&w, 100);
    sender_expect(second, "");
    buf_clear(&w.mtas[0].log);
    w.mtas[0].ehlo = NULL;
    sender_close(first);
    world_run(&w, 1000);
    sender_expect(second, "rcpt 250 2.1.5\n");
    mta_expect(&w.mtas[0],
               "RSET\nQUIT\n" EHLO "STARTTLS\nT " EHLO "T " MAIL "T RCPT TO:<a@example.org>\n");
    end();
}

/* Two routes to one next hop: what one does not ask for the other does. */
static void test_shared_routes(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, false, 1);
    w.routes[1].tls.level = CONF_LEVEL_MAY;
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    remember(fixed_hop, fixed_hop, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 10);
    sender_message(&w, 0, 1);
    sender_expect(&w.senders[0], HEARD);
    told_nothing();
    buf_clear(&w.mtas[0].log);
    message(true);
    mta_expect(&w.mtas[0], "QUIT\n" EHLO "QUIT\n");
    told(RATCHET_TOLD_DROP, fixed_hop, fixed_hop, CONF_LEVEL_NONE, true);
    told_nothing();
    end();
}

/* Each domain is remembered by its own message, and once. */
static void test_shared_remembered(void **state)
{
    start_shared(CONF_RATCHET_WARN, NULL);
    message_for("one.test", false);
    told(RATCHET_TOLD_SEEN, "one.test", "mx1.test", CONF_LEVEL_ENCRYPT, false);
    message_for("two.test", false);
    told(RATCHET_TOLD_SEEN, "two.test", "mx1.test", CONF_LEVEL_ENCRYPT, false);
    message_for("two.test", false);
    told_nothing();
    assert_int_equal(w.mtas[0].connections, 1);
    end();
}

static const char *ratchet_was(const char *domain)
{
    struct hop_facts facts;

    w.domain = domain;
    struct sender *s = sender_open(&w, 0, 0, 1);
    world_run(&w, 100);
    hop_facts(s->hop, &facts);
    sender_close(s);
    world_run(&w, 100);
    assert_int_equal(w.mtas[0].connections, 1);
    return facts.ratchet_was;
}

/* A log line says what the message's own destination had. */
static void test_shared_log(void **state)
{
    start_shared(CONF_RATCHET_WARN, no_starttls);
    remember("bank.test", "mx1.test", CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 10);
    assert_null(ratchet_was("other.test"));
    assert_string_equal(ratchet_was("bank.test"), "encrypt");
    assert_string_equal(ratchet_was("bank.test"), "encrypt");
    told(RATCHET_TOLD_DROP, "bank.test", "mx1.test", CONF_LEVEL_NONE, false);
    told_nothing();
    assert_null(ratchet_was("other.test"));
    told_nothing();
    end();
}

/* --- probes --- */

struct probed {
    struct hop *hop;
    enum upstream_probe_result result;
    struct ratchet_memory had;
    bool new_host, drop, over;
    unsigned code;
};

static void on_host(void *user, const struct upstream_probe_host *host)
{
    struct probed *p = user;

    p->result = host->result;
    p->had = host->had;
    p->new_host = host->new_host;
    p->drop = host->drop != NULL;
    if (p->result == UPSTREAM_PROBE_HELD)
        assert_non_null(strstr(host->why, "had encrypt until "));
}

static void on_done(void *user, const struct upstream_probe_end *probe_end)
{
    struct probed *p = user;

    p->code = probe_end->failure->code;
    p->over = true;
    hop_close(&p->hop);
}

static struct probed probe(bool connects)
{
    static const struct upstream_probe_events events = {.host = on_host, .done = on_done};
    struct probed p = {0};

    assert_int_equal(
        upstream_probe_open(w.u, &w.routes[0], "example.org", connects, &events, &p, &p.hop),
        ERR_OK);
    world_run(&w, 20000);
    assert_true(p.over);
    return p;
}

/* A probe says what mail would meet, and leaves no trace. */
static void test_probe(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, true, 1);
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    struct probed p = probe(true);
    assert_int_equal(p.result, UPSTREAM_PROBE_MET);
    assert_false(p.had.known || p.drop);
    remember("example.org", NULL, CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 0);
    p = probe(true);
    assert_int_equal(p.result, UPSTREAM_PROBE_HELD);
    assert_int_equal(p.code, 451);
    assert_true(p.had.known && p.new_host);
    p = probe(false);
    assert_int_equal(p.result, UPSTREAM_PROBE_USABLE);
    assert_true(p.had.known && p.new_host);
    remember("example.org", "mx1.test", CONF_LEVEL_NONE, TLS_SOURCE_ROUTE, 0);
    p = probe(true);
    assert_int_equal(p.result, UPSTREAM_PROBE_MET);
    assert_true(p.had.known && !p.new_host && !p.drop);
    forget("example.org", "mx1.test");
    w.routes[0].tls.ratchet = CONF_RATCHET_WARN;
    p = probe(true);
    assert_int_equal(p.result, UPSTREAM_PROBE_MET);
    assert_int_equal(p.code, 0);
    assert_true(p.drop);
    told_nothing();
    assert_int_equal(counted(COUNTER_RATCHET_DROPS), 0);
    end();
}

/* A host is as good as the address that mail would take. */
static void test_probe_addresses(void **state)
{
    start(CONF_LEVEL_MAY, CONF_RATCHET_HOLD, true, 1);
    w.addrs = 2;
    w.mtas[0].ehlo = no_starttls;
    world_start(&w);
    remember("example.org", "mx1.test", CONF_LEVEL_ENCRYPT, TLS_SOURCE_ROUTE, 0);
    struct probed p = probe(true);
    assert_int_equal(p.result, UPSTREAM_PROBE_MET);
    assert_int_equal(w.mtas[0].connections, 1);
    assert_int_equal(w.mtas[1].connections, 1);
    assert_false(p.drop);
    w.mtas[1].ehlo = no_starttls;
    p = probe(true);
    assert_int_equal(p.result, UPSTREAM_PROBE_HELD);
    assert_false(p.drop);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cell),
        cmocka_unit_test(test_next_host),
        cmocka_unit_test(test_nothing_refused_is_kept),
        cmocka_unit_test(test_once_a_connection),
        cmocka_unit_test(test_what_is_told_of_messages),
        cmocka_unit_test(test_restored),
        cmocka_unit_test(test_memory_expires),
        cmocka_unit_test(test_failed_handshake),
        cmocka_unit_test(test_full_line),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_shared_plaintext),
        cmocka_unit_test(test_shared_idle),
        cmocka_unit_test(test_shared_waited_for),
        cmocka_unit_test(test_shared_routes),
        cmocka_unit_test(test_shared_remembered),
        cmocka_unit_test(test_shared_log),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_probe_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
