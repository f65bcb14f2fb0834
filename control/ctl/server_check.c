/* SPDX-License-Identifier: Apache-2.0 */
#include "server_check.h"

#include "server_talk.h"
#include "tls_hello.h"
#include "tls_inspect.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

enum { TLS_BYTES_MAX = 512 * 1024 };

const char *server_check_text(enum server_check check)
{
    static const char *const texts[] = {
#define CHECK(name, text, advice) text,
#include "server_check.def"
#undef CHECK
    };
    return texts[check];
}

const char *server_check_advice(enum server_check check)
{
    static const char *const advices[] = {
#define CHECK(name, text, advice) advice,
#include "server_check.def"
#undef CHECK
    };
    return advices[check];
}

const char *server_check_result_text(enum server_check_result result)
{
    switch (result) {
    case SERVER_CHECK_SKIPPED:
        return "skipped";
    case SERVER_CHECK_OK:
        return "ok";
    case SERVER_CHECK_WARNING:
        return "warning";
    case SERVER_CHECK_FAILED:
        return "failed";
    }
    return "?";
}

__attribute__((format(printf, 4, 5))) static void set(struct server_check_report *r,
                                                      enum server_check check,
                                                      enum server_check_result result,
                                                      const char *format, ...)
{
    struct server_check_row *row = &r->rows[check];
    va_list args;

    row->result = result;
    va_start(args, format);
    vsnprintf(row->seen, sizeof(row->seen), format, args);
    va_end(args);
}

static void skip_rest(struct server_check_report *r, enum server_check first, const char *why)
{
    for (enum server_check c = first; c < SERVER_CHECK_COUNT; c++)
        set(r, c, SERVER_CHECK_SKIPPED, "%s", why);
}

/* --- a handshake, and all that it shows --- */

/* Until EHLO is answered behind TLS: in TLS 1.3 what the server thinks of us comes after our part
 * of the handshake is over. */
static bool session_run(struct server_talk *t, struct tls_inspect *tls)
{
    struct buf came, out, plain;
    bool told = false;
    int err;

    buf_init(&came, TLS_BYTES_MAX);
    buf_init(&out, TLS_BYTES_MAX);
    buf_init(&plain, TLS_BYTES_MAX);
    do {
        err = tls_inspect_feed(tls, buf_span(&came), &out, &plain);
        buf_clear(&came);
        if (!err && !told && tls_inspect_seen(tls)->done) {
            told = true;
            buf_clear(&t->commands);
            smtp_client_tls_done(t->client);
        }
        if (!err && buf_len(&plain) > 0)
            server_talk_input(t, buf_span(&plain));
        buf_clear(&plain);
        if (!err && told)
            err = tls_inspect_send(tls, buf_span(&t->commands), &out);
        buf_clear(&t->commands);
        if (!server_talk_send(t, buf_span(&out)))
            break;
        buf_clear(&out);
    } while (!err && t->state == SERVER_TALK_TLS && server_talk_receive(t, &came));
    if (!err && t->state == SERVER_TALK_READY) {
        buf_clear(&t->commands);
        smtp_client_quit(t->client);
        if (tls_inspect_send(tls, buf_span(&t->commands), &out) == ERR_OK)
            (void)server_talk_send(t, buf_span(&out));
    }
    buf_release(&came);
    buf_release(&out);
    buf_release(&plain);
    return !err && t->state == SERVER_TALK_READY;
}

static void set_finding(struct server_check_report *r, enum server_check check,
                        const struct tls_finding *f)
{
    set(r, check,
        f->grade == TLS_GRADE_BAD    ? SERVER_CHECK_FAILED
        : f->grade == TLS_GRADE_WEAK ? SERVER_CHECK_WARNING
                                     : SERVER_CHECK_OK,
        "%s", f->text);
}

static void handshake_check(const struct server_check_conf *conf, struct server_talk *t,
                            struct server_check_report *r)
{
    const struct tls_inspect_conf inspect = {.ca = conf->ca, .name = conf->name, .sni = conf->sni};
    struct tls_inspect *tls;
    char why[192];

    if (tls_inspect_new(&inspect, &tls, why, sizeof(why)) != ERR_OK) {
        skip_rest(r, SERVER_CHECK_HANDSHAKE, why);
        return;
    }
    bool good = session_run(t, tls);
    const struct tls_inspection *seen = tls_inspect_seen(tls);
    skip_rest(r, SERVER_CHECK_HANDSHAKE, "there was no TLS session to see it in");
    if (seen->done) {
        set_finding(r, SERVER_CHECK_HANDSHAKE, &seen->session);
        set_finding(r, SERVER_CHECK_AUTHORITY, &seen->chain);
        set_finding(r, SERVER_CHECK_DATES, &seen->dates);
        set_finding(r, SERVER_CHECK_NAME, &seen->name);
        set_finding(r, SERVER_CHECK_KEY, &seen->key);
        set_finding(r, SERVER_CHECK_SIGNATURE, &seen->digest);
        r->has_tls = true;
        r->facts = seen->facts;
    }
    if (!good)
        set(r, SERVER_CHECK_HANDSHAKE, SERVER_CHECK_FAILED, "%s%s",
            seen->done ? "EHLO is not answered behind TLS: " : "",
            seen->failure[0] ? seen->failure : t->why);
    tls_inspect_free(tls);
}

/* --- versions that are to be refused --- */

static void old_version_judge(struct server_check_report *r, enum server_check check,
                              enum tls_hello_said said, const char *text,
                              const struct server_talk *t)
{
    switch (said) {
    case TLS_HELLO_ACCEPTED:
        set(r, check, SERVER_CHECK_FAILED, "it is spoken: %s", text);
        return;
    case TLS_HELLO_REFUSED:
        set(r, check, SERVER_CHECK_OK, "refused: %s", text);
        return;
    case TLS_HELLO_NOT_TLS:
        set(r, check, SERVER_CHECK_SKIPPED, "%s", text);
        return;
    case TLS_HELLO_MORE:
        break;
    }
    set(r, check, t->closed ? SERVER_CHECK_OK : SERVER_CHECK_SKIPPED, "%s%s%s",
        t->closed ? "refused: " : "", text[0] ? "after an alert " : "", t->why);
}

static void old_version_check(const struct server_check_conf *conf, const union net_addr *addr,
                              enum tls_hello_version version, enum server_check check,
                              struct server_check_report *r)
{
    enum tls_hello_said said = TLS_HELLO_MORE;
    uint8_t hello[TLS_HELLO_MAX], random[32];
    char text[TLS_HELLO_TEXT] = "";
    struct server_talk t;
    struct buf came;
    size_t len;

    server_talk_open(&t, addr, conf->helo, SMTP_CLIENT_TLS_DEMAND, conf->timeout_s);
    buf_init(&came, TLS_BYTES_MAX);
    if (t.state != SERVER_TALK_TLS) {
        set(r, check, SERVER_CHECK_SKIPPED, "STARTTLS could not be had once more: %s", t.why);
    } else if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
               tls_hello_write(version, conf->sni, random, hello, &len) != ERR_OK) {
        set(r, check, SERVER_CHECK_SKIPPED, "no ClientHello could be made");
    } else {
        bool there = server_talk_send(&t, span_make(hello, len));
        while (there && said == TLS_HELLO_MORE) {
            there = server_talk_receive(&t, &came);
            said = tls_hello_read(version, buf_span(&came), text);
        }
        old_version_judge(r, check, said, text, &t);
    }
    buf_release(&came);
    server_talk_close(&t);
}

/* The first connection, up to EHLO behind TLS. False: there is no TLS. */
static bool session_check(const struct server_check_conf *conf, const union net_addr *addr,
                          enum smtp_client_tls tls, struct server_check_report *ret)
{
    struct server_talk t;

    *ret = (struct server_check_report){0};
    server_talk_open(&t, addr, conf->helo, tls, conf->timeout_s);
    bool implicit = tls == SMTP_CLIENT_TLS_IMPLICIT, has_tls = t.state == SERVER_TALK_TLS;
    bool greeted = implicit ? t.connected : t.heard;
    if (!greeted) {
        set(ret, SERVER_CHECK_CONNECT, SERVER_CHECK_FAILED, "%s", t.why);
        skip_rest(ret, SERVER_CHECK_STARTTLS, "nobody to ask");
    } else {
        set(ret, SERVER_CHECK_CONNECT, SERVER_CHECK_OK, "%s",
            implicit ? "it is connected" : t.greeting);
    }
    if (greeted && !has_tls) {
        set(ret, SERVER_CHECK_STARTTLS, SERVER_CHECK_FAILED, "%s", t.why);
        skip_rest(ret, SERVER_CHECK_HANDSHAKE, "there is no STARTTLS");
    }
    if (has_tls) {
        set(ret, SERVER_CHECK_STARTTLS, SERVER_CHECK_OK, "%s",
            implicit ? "TLS comes first here" : "offered, and answered 220");
        handshake_check(conf, &t, ret);
    }
    server_talk_close(&t);
    return has_tls;
}

void server_check_run(const struct server_check_conf *conf, const union net_addr *addr,
                      struct server_check_report *ret)
{
    if (!session_check(conf, addr, SMTP_CLIENT_TLS_DEMAND, ret))
        return;
    old_version_check(conf, addr, TLS_HELLO_SSL_3_0, SERVER_CHECK_SSL_3_0, ret);
    old_version_check(conf, addr, TLS_HELLO_TLS_1_0, SERVER_CHECK_TLS_1_0, ret);
    old_version_check(conf, addr, TLS_HELLO_TLS_1_1, SERVER_CHECK_TLS_1_1, ret);
}

bool server_check_answers(const struct server_check_conf *conf, const union net_addr *addr,
                          enum smtp_client_tls tls, char *seen, size_t seen_room)
{
    static const enum server_check asked[] = {SERVER_CHECK_CONNECT, SERVER_CHECK_STARTTLS,
                                              SERVER_CHECK_HANDSHAKE};
    struct server_check_report report;
    const struct server_check_row *row = NULL;
    struct server_talk t;
    bool good;

    if (tls == SMTP_CLIENT_TLS_NEVER) {
        server_talk_open(&t, addr, conf->helo, tls, conf->timeout_s);
        good = t.state == SERVER_TALK_READY;
        snprintf(seen, seen_room, "%s", good ? t.greeting : t.why);
        server_talk_close(&t);
        return good;
    }
    (void)session_check(conf, addr, tls, &report);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        row = &report.rows[asked[i]];
        if (row->result == SERVER_CHECK_FAILED || row->result == SERVER_CHECK_SKIPPED)
            break;
    }
    snprintf(seen, seen_room, "%s", row->seen);
    return row->result == SERVER_CHECK_OK || row->result == SERVER_CHECK_WARNING;
}
