/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each conversation is one string of steps: "S:" lines are what the next hop sends, "C:" lines
 * what the machine must have written by then, "E:" lines what its caller must have heard, "!" lines
 * a call. Every conversation runs twice: replies whole, and one byte at a time.
 */
#include "smtp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct talk {
    struct smtp_client *client;
    struct smtp_client_conf conf;
    struct buf out, heard, stash;
    struct smtp_transaction txn;
    struct smtp_recipient recipients[4];
    bool byte_by_byte;
    enum smtp_client_phase broken_at;
};

static const char *const phases[] = {"connect", "greeting", "ehlo", "starttls", "tls",
                                     "xclient", "auth",     "mail", "rcpt",     "data",
                                     "chunk",   "final",    "rset", "quit"};

static void on_event(void *user, struct smtp_client *c, const struct smtp_client_event *e)
{
    static const char *const kinds[] = {"START_TLS", "READY",  "ANSWER", "NO_TLS",
                                        "FAILED",    "BROKEN", "CLOSING"};
    struct talk *t = user;
    int err = buf_printf(&t->heard, "%s", kinds[e->kind]);

    if (e->kind == SMTP_CLIENT_ANSWER || e->kind == SMTP_CLIENT_FAILED)
        err |= buf_printf(&t->heard, " %s %u", phases[e->phase], e->reply.code);
    if (e->kind == SMTP_CLIENT_ANSWER && e->phase == SMTP_PHASE_RCPT)
        err |= buf_printf(&t->heard, " [%u]", e->index);
    err |= buf_printf(&t->heard, "\n");
    assert_int_equal(err, ERR_OK);
    if (e->kind == SMTP_CLIENT_BROKEN)
        t->broken_at = e->phase;
}

static const struct smtp_client_events events = {.event = on_event};

static void feed_some(struct talk *t, const void *data, size_t len)
{
    assert_int_equal(buf_append(&t->stash, data, len), ERR_OK);
    size_t used = smtp_client_input(t->client, buf_span(&t->stash).ptr, buf_len(&t->stash));
    buf_consume(&t->stash, used);
}

static void feed(struct talk *t, const char *text)
{
    if (!t->byte_by_byte) {
        feed_some(t, text, strlen(text));
        return;
    }
    for (size_t i = 0; text[i]; i++)
        feed_some(t, text + i, 1);
}

static void expect_line(struct buf *b, const char *line, const char *what)
{
    struct span s = buf_span(b);

    if (s.len < strlen(line) || (line[0] && memcmp(s.ptr, line, strlen(line)) != 0))
        fail_msg("%s: wanted \"%s\", there is \"%.*s\"", what, line, (int)s.len,
                 s.ptr ? (const char *)s.ptr : "");
    buf_consume(b, strlen(line));
}

static void call(struct talk *t, const char *what)
{
    int err = ERR_OK;

    if (strcmp(what, "mail") == 0)
        err = smtp_client_mail(t->client, &t->txn, 100);
    else if (strncmp(what, "rcpt ", 5) == 0)
        err = smtp_client_rcpt(t->client, &t->txn, (unsigned)strtoul(what + 5, NULL, 10));
    else if (strcmp(what, "data") == 0)
        err = smtp_client_data(t->client);
    else if (strcmp(what, "chunk") == 0)
        err = smtp_client_chunk(t->client, 10, false);
    else if (strcmp(what, "last") == 0)
        err = smtp_client_chunk(t->client, 10, true);
    else if (strcmp(what, "dot") == 0)
        smtp_client_dot(t->client);
    else if (strcmp(what, "rset") == 0)
        err = smtp_client_rset(t->client);
    else if (strcmp(what, "quit") == 0)
        smtp_client_quit(t->client);
    else if (strcmp(what, "tls") == 0)
        smtp_client_tls_done(t->client);
    else if (strcmp(what, "no rset") == 0)
        err = smtp_client_rset(t->client) == ERR_STATE ? ERR_OK : ERR_STATE;
    else if (strcmp(what, "no chunk") == 0)
        err = smtp_client_chunk(t->client, 10, false) == ERR_STATE ? ERR_OK : ERR_STATE;
    else if (strcmp(what, "no mail") == 0)
        err = smtp_client_mail(t->client, &t->txn, 100) == ERR_STATE ? ERR_OK : ERR_STATE;
    else if (strcmp(what, "no data") == 0)
        err = smtp_client_data(t->client) == ERR_STATE ? ERR_OK : ERR_STATE;
    else if (strcmp(what, "limit 1") == 0)
        err = smtp_client_rcpt(t->client, &t->txn, 1) == ERR_LIMIT ? ERR_OK : ERR_STATE;
    else if (strcmp(what, "lacks mail") == 0)
        err = smtp_client_mail(t->client, &t->txn, 100) == ERR_UNSUPPORTED ? ERR_OK : ERR_STATE;
    else
        fail_msg("no such call: %s", what);
    if (err)
        fail_msg("%s: %s", what, err_text(err));
}

/* "|" in a script is the end of one of a reply's lines. */
static void lines_expand(const char *line, char *out)
{
    for (; *line; line++) {
        if (*line == '|')
            *out++ = '\r';
        *out++ = *line == '|' ? '\n' : *line;
    }
    *out = '\0';
}

static void step(struct talk *t, const char *line)
{
    char lines[2048], text[2052];

    lines_expand(line + 2, lines);
    snprintf(text, sizeof(text), "%s%s", lines, line[0] == 'E' ? "\n" : "\r\n");
    switch (line[0]) {
    case 'S':
        feed(t, text);
        break;
    case 'C':
        expect_line(&t->out, text, "command");
        break;
    case 'E':
        expect_line(&t->heard, text, "event");
        break;
    case '!':
        call(t, line + 1);
        break;
    default:
        fail_msg("bad step %s", line);
    }
}

static void run_once(const struct talk *with, const char *script, bool byte_by_byte)
{
    struct talk t = *with;
    char *copy = strdup(script), *save = NULL;

    t.byte_by_byte = byte_by_byte;
    t.txn.recipients = t.recipients;
    t.txn.recipients_len = 4;
    buf_init(&t.out, 0);
    buf_init(&t.heard, 0);
    buf_init(&t.stash, 0);
    assert_int_equal(smtp_client_new(&t.conf, &t.out, &events, &t, &t.client), ERR_OK);
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        step(&t, line);
    expect_line(&t.out, "", "command");
    if (buf_len(&t.out) || buf_len(&t.heard))
        fail_msg("too much: out \"%.*s\" events \"%.*s\"", (int)buf_len(&t.out),
                 (const char *)buf_span(&t.out).ptr, (int)buf_len(&t.heard),
                 (const char *)buf_span(&t.heard).ptr);
    smtp_client_free(t.client);
    buf_release(&t.out);
    buf_release(&t.heard);
    buf_release(&t.stash);
    free(copy);
}

static void run(const struct talk *with, const char *script)
{
    run_once(with, script, false);
    run_once(with, script, true);
}

static struct talk talk(enum smtp_client_tls tls)
{
    struct talk t = {.conf = {.helo = "gw.example.org", .tls = tls}};

    t.txn.mail.address = SPAN_LIT("a@example.com");
    for (unsigned i = 0; i < 4; i++) {
        static const char *const to[] = {"r0@example.org", "r1@example.org", "r2@example.org",
                                         "r3@example.org"};
        t.recipients[i].rcpt.address = span_str(to[i]);
    }
    return t;
}

#define HELLO                                                                                      \
    "S:220 mx\nC:EHLO gw.example.org\n"                                                            \
    "S:250-mx|250-PIPELINING|250-SIZE 1000|250-CHUNKING|250 8BITMIME\nE:READY\n"

static void test_message(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t, HELLO "!mail\n!rcpt 0\n!rcpt 1\nC:MAIL FROM:<a@example.com>\n"
                  "C:RCPT TO:<r0@example.org>\nC:RCPT TO:<r1@example.org>\n"
                  "S:250 ok\nE:ANSWER mail 250\nS:550 no\nE:ANSWER rcpt 550 [0]\n"
                  "S:250 ok\nE:ANSWER rcpt 250 [1]\n!data\nC:DATA\n!no mail\nS:354 go\n"
                  "E:ANSWER data 354\n!no rset\n!dot\nS:250 queued\nE:ANSWER final 250\n"
                  "!mail\nC:MAIL FROM:<a@example.com>\nS:250 ok\nE:ANSWER mail 250\n!rset\nC:RSET\n"
                  "S:250 ok\nE:ANSWER rset 250\n!quit\nC:QUIT");
}

static void test_replies_are_counted(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t,
        HELLO "!mail\n!rcpt 0\n!rcpt 1\n!data\nC:MAIL FROM:<a@example.com>\n"
              "C:RCPT TO:<r0@example.org>\nC:RCPT TO:<r1@example.org>\nC:DATA\n"
              "S:250 ok|250-a|250 b|452 full|354 go\n"
              "E:ANSWER mail 250\nE:ANSWER rcpt 250 [0]\nE:ANSWER rcpt 452 [1]\n"
              "E:ANSWER data 354\n!dot\nS:250 queued\nE:ANSWER final 250\nS:250 again\nE:BROKEN");
}

static void test_no_pipelining_holds_back(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250 mx\nE:READY\n!mail\n!rcpt 0\n!rcpt 1\n!data\n"
            "C:MAIL FROM:<a@example.com>\nS:250 ok\nE:ANSWER mail 250\nC:RCPT TO:<r0@example.org>\n"
            "S:250 ok\nE:ANSWER rcpt 250 [0]\nC:RCPT TO:<r1@example.org>\n"
            "S:250 ok\nE:ANSWER rcpt 250 [1]\nC:DATA\nS:354 go\nE:ANSWER data 354\n");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250 mx\nE:READY\n!mail\n!rcpt 0\n!rcpt 1\n"
            "C:MAIL FROM:<a@example.com>\n!rset\nS:250 ok\nE:ANSWER mail 250\nC:RSET\n"
            "S:250 ok\nE:ANSWER rset 250\n!mail\nC:MAIL FROM:<a@example.com>");
}

/* RFC 2920 section 3.1 */
static void test_all_refused_but_354(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t, HELLO "!mail\n!rcpt 0\n!data\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\n"
                  "C:DATA\nS:250 ok|550 no|354 go\nE:ANSWER mail 250\nE:ANSWER rcpt 550 [0]\n"
                  "E:ANSWER data 554\nC:.\n!no mail\nS:250 an empty message\n"
                  "!mail\nC:MAIL FROM:<a@example.com>");
    run(&t, HELLO "!mail\n!rcpt 0\n!data\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\n"
                  "C:DATA\nS:451 no|250 ok|354 go\nE:ANSWER mail 451\nE:ANSWER rcpt 250 [0]\n"
                  "E:ANSWER data 554\nC:.\nS:554 no\n!mail\nC:MAIL FROM:<a@example.com>");
    run(&t, HELLO "!mail\n!rcpt 0\n!data\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\n"
                  "C:DATA\nS:250 ok|550 no|503 what\nE:ANSWER mail 250\n"
                  "E:ANSWER rcpt 550 [0]\nE:ANSWER data 554\n!rset\nC:RSET\nS:250 ok\n"
                  "E:ANSWER rset 250");
}

static void test_chunks(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);
    const char *begin = HELLO "!mail\n!rcpt 0\nC:MAIL FROM:<a@example.com>\n"
                              "C:RCPT TO:<r0@example.org>\nS:250 ok|250 ok\nE:ANSWER mail 250\n"
                              "E:ANSWER rcpt 250 [0]\n!chunk\nC:BDAT 10\n";
    char script[2048];

    snprintf(script, sizeof(script), "%s%s", begin,
             "S:250 ok\nE:ANSWER chunk 250\n!last\nC:BDAT 10 LAST\n!no rset\nS:250 ok\n"
             "E:ANSWER final 250\n!mail\nC:MAIL FROM:<a@example.com>");
    run(&t, script);
    snprintf(script, sizeof(script), "%s%s", begin,
             "S:552 no\nE:ANSWER chunk 552\n!no chunk\n!rset\nC:RSET\nS:250 ok\n"
             "E:ANSWER rset 250");
    run(&t, script);
    /* With PIPELINING answers are counted, and RSET goes behind what is out. */
    snprintf(script, sizeof(script), "%s%s", begin,
             "!chunk\nC:BDAT 10\n!last\nC:BDAT 10 LAST\n!no rset\nS:250 ok\nE:ANSWER chunk 250\n"
             "S:250 ok\nE:ANSWER chunk 250\nS:550 no\nE:ANSWER final 550\n!mail\n"
             "C:MAIL FROM:<a@example.com>");
    run(&t, script);
    snprintf(script, sizeof(script), "%s%s", begin,
             "!chunk\nC:BDAT 10\nS:552 no\nE:ANSWER chunk 552\n!no chunk\n!rset\nC:RSET\n"
             "!no chunk\nS:503 no\nE:ANSWER chunk 503\n!no mail\nS:250 ok\nE:ANSWER rset 250\n"
             "!mail\nC:MAIL FROM:<a@example.com>");
    run(&t, script);
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 CHUNKING\nE:READY\n!mail\n"
            "C:MAIL FROM:<a@example.com>\nS:250 ok\nE:ANSWER mail 250\n!rcpt 0\n"
            "C:RCPT TO:<r0@example.org>\nS:250 ok\nE:ANSWER rcpt 250 [0]\n!chunk\nC:BDAT 10\n"
            "!no chunk\n!no rset\nS:250 ok\nE:ANSWER chunk 250\n!chunk\nC:BDAT 10");
}

static void test_early_final_reply(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);
    const char *begin = HELLO "!mail\n!rcpt 0\n!data\nC:MAIL FROM:<a@example.com>\n"
                              "C:RCPT TO:<r0@example.org>\nC:DATA\nS:250 ok|250 ok|354 go\n"
                              "E:ANSWER mail 250\nE:ANSWER rcpt 250 [0]\nE:ANSWER data 354\n";
    char script[2048];

    snprintf(script, sizeof(script), "%s%s", begin, "S:552 big\nE:ANSWER final 552\n!no mail");
    run(&t, script);
    snprintf(script, sizeof(script), "%s%s", begin, "S:421 bye\nE:ANSWER final 421\n!no mail");
    run(&t, script);
    /* A success before the end of the body is none. */
    snprintf(script, sizeof(script), "%s%s", begin, "S:250 ok\nE:BROKEN\n!no mail");
    run(&t, script);
}

static void test_starttls(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_DEMAND);

    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250-PIPELINING|250 STARTTLS\n"
            "C:STARTTLS\n!no mail\nS:220 go\nE:START_TLS\n!no mail\n!tls\nC:EHLO gw.example.org\n"
            "!no mail\nS:250-mx|250 SIZE\nE:READY\n!mail\n!rcpt 0\nC:MAIL FROM:<a@example.com>\n"
            "S:250 ok\nE:ANSWER mail 250\nC:RCPT TO:<r0@example.org>");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 SIZE\nE:FAILED starttls 0\n!no mail");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 STARTTLS\nC:STARTTLS\n"
            "S:454 no\nE:FAILED starttls 454\n!no mail");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 STARTTLS\nC:STARTTLS\n"
            "S:421 no\nE:FAILED starttls 421\n!no mail");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:502 what\nE:FAILED starttls 502\n!no mail");
}

/* RFC 3207 section 4.2, RFC 9422: what was learnt before TLS is forgotten, LIMITS too. */
static void test_limits_are_learnt_again(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_DEMAND);
    const char *begin = "S:220 mx\nC:EHLO gw.example.org\n"
                        "S:250-mx|250-PIPELINING|250-LIMITS RCPTMAX=9 MAILMAX=3|250 STARTTLS\n"
                        "C:STARTTLS\nS:220 go\nE:START_TLS\n!tls\nC:EHLO gw.example.org\n";
    char script[2048];

    snprintf(script, sizeof(script), "%s%s", begin,
             "S:250-mx|250-LIMITS MAILMAX=7 RCPTMAX=1 X=2|250 PIPELINING\nE:READY\n!mail\n"
             "!rcpt 0\n!limit 1\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>");
    run(&t, script);
    snprintf(script, sizeof(script), "%s%s", begin,
             "S:250-mx|250 PIPELINING\nE:READY\n!mail\n!rcpt 0\n!rcpt 1\n"
             "C:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\nC:RCPT TO:<r1@example.org>");
    run(&t, script);
}

/* CVE-2021-38371: at every split of the bytes, either they are injection, or the handshake gets
 * them; never are they a reply. */
static void test_injection_after_220(void **state)
{
    static const char reply[] = "220 go\r\n250 injected\r\n";
    struct talk t = talk(SMTP_CLIENT_TLS_DEMAND);

    for (size_t split = 0; split < sizeof(reply); split++) {
        buf_init(&t.out, 0);
        buf_init(&t.heard, 0);
        buf_init(&t.stash, 0);
        assert_int_equal(smtp_client_new(&t.conf, &t.out, &events, &t, &t.client), ERR_OK);
        feed(&t, "220 mx\r\n");
        feed(&t, "250-mx\r\n250 STARTTLS\r\n");
        feed_some(&t, reply, split);
        feed_some(&t, reply + split, sizeof(reply) - 1 - split);
        expect_line(&t.heard, split == 8 ? "START_TLS\n" : "BROKEN\n", "event");
        assert_int_equal(buf_len(&t.heard), 0);
        assert_int_equal(buf_len(&t.stash), split == 8 ? 14 : 0);
        smtp_client_free(t.client);
        buf_release(&t.out);
        buf_release(&t.heard);
        buf_release(&t.stash);
    }
}

/* STARTTLS that could not be said is no failure of the next hop's TLS. */
static void test_no_room_for_starttls(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_DEMAND);

    buf_init(&t.out, 25);
    buf_init(&t.heard, 0);
    buf_init(&t.stash, 0);
    assert_int_equal(smtp_client_new(&t.conf, &t.out, &events, &t, &t.client), ERR_OK);
    feed(&t, "220 mx\r\n");
    feed(&t, "250-mx\r\n250 STARTTLS\r\n"); /* EHLO is not sent yet */
    expect_line(&t.heard, "BROKEN\n", "event");
    assert_int_equal(t.broken_at, SMTP_PHASE_EHLO);
    smtp_client_free(t.client);
    buf_release(&t.out);
    buf_release(&t.heard);
    buf_release(&t.stash);
}

static void test_level_may(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_TRY);

    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250 mx\nE:NO_TLS\nE:READY");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 STARTTLS\nC:STARTTLS\n"
            "S:454 no\nE:NO_TLS\nE:READY\n!mail\nC:MAIL FROM:<a@example.com>");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:502 what\nC:HELO gw.example.org\nS:250 mx\n"
            "E:NO_TLS\nE:READY");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 STARTTLS\nC:STARTTLS\n"
            "S:220 go\nE:START_TLS\n!tls\nC:EHLO gw.example.org\nS:250-mx|250 STARTTLS\nE:READY");
}

static void test_implicit(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_IMPLICIT);

    run(&t, "!no mail\n!tls\nS:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 STARTTLS\nE:READY");
}

static void test_helo_fallback(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t,
        "S:220 mx\nC:EHLO gw.example.org\nS:500 what\nC:HELO gw.example.org\nS:250 mx\nE:READY");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:500 what\nC:HELO gw.example.org\nS:550 no\n"
            "E:FAILED ehlo 550");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:450 later\nE:FAILED ehlo 450");
}

static void test_421_anywhere(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t, "S:421 busy\nE:FAILED greeting 421");
    run(&t, "S:554 go away\nE:FAILED greeting 554\n!quit\nC:QUIT\nS:221 bye");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:421 busy\nE:FAILED ehlo 421");
    run(&t, HELLO "S:421 idle\nE:CLOSING\n!no mail");
    run(&t, HELLO "!mail\n!rcpt 0\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\n"
                  "S:421 bye\nE:ANSWER mail 421\n!no mail\n!no data\nS:250 ok");
    run(&t, HELLO "!mail\n!rcpt 0\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\n"
                  "S:250 ok|421 bye\nE:ANSWER mail 250\nE:ANSWER rcpt 421 [0]");
}

static void test_nonsense(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    run(&t, "S:SSH-2.0-OpenSSH\nE:BROKEN");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-a|251 b\nE:BROKEN");
    run(&t, HELLO "S:250 hello\nE:BROKEN");
    run(&t, HELLO "!mail\nC:MAIL FROM:<a@example.com>\nS:354 go\nE:BROKEN");
    run(&t, HELLO "!mail\n!rcpt 0\n!data\nC:MAIL FROM:<a@example.com>\nC:RCPT TO:<r0@example.org>\n"
                  "C:DATA\nS:250 a|250 b|250 c\nE:ANSWER mail 250\nE:ANSWER rcpt 250 [0]\n"
                  "E:BROKEN");
}

#define TLS_HELLO(keywords)                                                                        \
    "!tls\nS:220 mx\nC:EHLO gw.example.org\nS:250-mx|250-" keywords "|250 SIZE\n"

static void test_auth(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_IMPLICIT);

    t.conf.auth = CONF_AUTH_PLAIN;
    t.conf.user = "user";
    t.conf.password = "secret";
    run(&t, TLS_HELLO("AUTH LOGIN PLAIN") "C:AUTH PLAIN AHVzZXIAc2VjcmV0\nS:235 ok\nE:READY");
    run(&t, TLS_HELLO("AUTH PLAIN") "C:AUTH PLAIN AHVzZXIAc2VjcmV0\nS:535 no\nE:FAILED auth 535");
    run(&t, TLS_HELLO("AUTH PLAIN") "C:AUTH PLAIN AHVzZXIAc2VjcmV0\nS:334 more\nE:BROKEN");
    run(&t, TLS_HELLO("AUTH LOGIN") "E:FAILED auth 0\n!no mail");
    t.conf.auth = CONF_AUTH_LOGIN;
    run(&t, TLS_HELLO("AUTH=LOGIN") "C:AUTH LOGIN\nS:334 VXNlcm5hbWU6\nC:dXNlcg==\n"
                                    "S:334 UGFzc3dvcmQ6\nC:c2VjcmV0\nS:235 ok\nE:READY");
    /* A password never goes out in plaintext. */
    t.conf.tls = SMTP_CLIENT_TLS_TRY;
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 AUTH LOGIN\nE:NO_TLS\n"
            "E:FAILED auth 0\n!no mail");
}

static void test_xclient(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);
    union net_addr addr;
    struct smtp_client_speaks_for who = {
        .name = "client.example", .helo = "a b+c", .addr = &addr, .esmtp = true};

    assert_int_equal(net_addr_parse(SPAN_LIT("192.0.2.7:1234"), &addr), ERR_OK);
    t.conf.xclient = &who;
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 XCLIENT NAME ADDR PROTO HELO\n"
            "C:XCLIENT ADDR=192.0.2.7 PROTO=ESMTP NAME=client.example HELO=a+20b+2Bc\n!no mail\n"
            "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 XCLIENT NAME ADDR\nE:READY");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 XCLIENT ADDR\n"
            "C:XCLIENT ADDR=192.0.2.7\nS:550 no\nE:FAILED xclient 550");
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250 mx\nE:READY");
    who.name = NULL;
    assert_int_equal(net_addr_parse(SPAN_LIT("[2001:db8::1]:9"), &addr), ERR_OK);
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 XCLIENT NAME ADDR PORT\n"
            "C:XCLIENT ADDR=IPV6:2001:db8::1 PORT=9 NAME=[UNAVAILABLE]");
}

static void test_parameters(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);
    const char *all =
        "S:220 mx\nC:EHLO gw.example.org\n"
        "S:250-mx|250-size 5000|250-Pipelining|250-8bitmime|250-SMTPUTF8|"
        "250 DSN\nE:READY\n!mail\n!rcpt 0\n"
        "C:MAIL FROM:<> SIZE=600 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1\n"
        "C:RCPT TO:<r0@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;r0@example.org";

    t.txn.mail = (struct smtp_mail){.body = SMTP_BODY_8BITMIME,
                                    .has_body = true,
                                    .smtputf8 = true,
                                    .has_size = true,
                                    .size = 500,
                                    .ret = SPAN_LIT("HDRS"),
                                    .envid = SPAN_LIT("e1")};
    t.recipients[0].rcpt.notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE;
    t.recipients[0].rcpt.orcpt = SPAN_LIT("rfc822;r0@example.org");
    run(&t, all);
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250 mx\nE:READY\n!lacks mail");
    /* What the next hop does not know is not said to it. */
    t.txn.mail.body = SMTP_BODY_7BIT;
    t.txn.mail.smtputf8 = false;
    t.recipients[0].rcpt.notify = SMTP_NOTIFY_NEVER;
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 PIPELINING\nE:READY\n!mail\n!rcpt 0\n"
            "C:MAIL FROM:<>\nC:RCPT TO:<r0@example.org>");
}

/* RFC 8689 section 2: offered over TLS alone, what is said of it before does not count; section
 * 4.2.1: it is passed on, or the message is not. */
static void test_requiretls(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_DEMAND);
    const char *beginning =
        "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250-REQUIRETLS|250 STARTTLS\n"
        "C:STARTTLS\nS:220 go\nE:START_TLS\n!tls\nC:EHLO gw.example.org\n";
    char script[512];

    t.txn.mail.requiretls = true;
    snprintf(script, sizeof(script),
             "%sS:250-mx|250 requiretls\nE:READY\n!mail\n"
             "C:MAIL FROM:<a@example.com> REQUIRETLS",
             beginning);
    run(&t, script);
    snprintf(script, sizeof(script), "%sS:250 mx\nE:READY\n!lacks mail", beginning);
    run(&t, script);
    t.txn.mail.requiretls = false; /* not said for a message that does not require it */
    snprintf(script, sizeof(script),
             "%sS:250-mx|250 REQUIRETLS\nE:READY\n!mail\nC:MAIL FROM:<a@example.com>", beginning);
    run(&t, script);
    t.txn.mail.requiretls = true;
    t.conf.tls = SMTP_CLIENT_TLS_NEVER;
    run(&t, "S:220 mx\nC:EHLO gw.example.org\nS:250-mx|250 REQUIRETLS\nE:READY\n!lacks mail");
}

static void test_no_line_ends_in_addresses(void **state)
{
    struct talk t = talk(SMTP_CLIENT_TLS_NEVER);

    buf_init(&t.out, 0);
    buf_init(&t.heard, 0);
    buf_init(&t.stash, 0);
    assert_int_equal(smtp_client_new(&t.conf, &t.out, &events, &t, &t.client), ERR_OK);
    feed(&t, "220 mx\r\n250 mx\r\n");
    buf_clear(&t.out);
    t.txn.mail.address = SPAN_LIT("a@b>\r\nRCPT TO:<x@y");
    assert_int_equal(smtp_client_mail(t.client, &t.txn, 0), ERR_SYNTAX);
    t.txn.mail.address = SPAN_LIT("a\n@b");
    assert_int_equal(smtp_client_mail(t.client, &t.txn, 0), ERR_SYNTAX);
    assert_int_equal(buf_len(&t.out), 0);
    smtp_client_free(t.client);
    buf_release(&t.out);
    buf_release(&t.heard);
    buf_release(&t.stash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_replies_are_counted),
        cmocka_unit_test(test_no_pipelining_holds_back),
        cmocka_unit_test(test_all_refused_but_354),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_early_final_reply),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_limits_are_learnt_again),
        cmocka_unit_test(test_injection_after_220),
        cmocka_unit_test(test_no_room_for_starttls),
        cmocka_unit_test(test_level_may),
        cmocka_unit_test(test_implicit),
        cmocka_unit_test(test_helo_fallback),
        cmocka_unit_test(test_421_anywhere),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_xclient),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_requiretls),
        cmocka_unit_test(test_no_line_ends_in_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
