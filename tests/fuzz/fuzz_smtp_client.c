/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A next hop that sends anything. The first byte chooses the level and how often the caller acts;
 * the rest comes in pieces whose sizes the bytes themselves choose. Whatever it sends: no MAIL
 * without the level, no line but whole ones, no body before a 354 to an accepted recipient.
 */
#include "fuzz.h"

#include "assertion.h"
#include "smtp_client.h"

struct run {
    struct smtp_client *client;
    struct buf out;
    struct smtp_transaction txn;
    struct smtp_recipient recipients[2];
    bool handshake, secure, demanded, over, accepted, body;
};

static void on_event(void *user, struct smtp_client *c, const struct smtp_client_event *e)
{
    struct run *r = user;
    bool positive = smtp_reply_class(&e->reply) == 2;

    ASSERT(!r->over);
    switch (e->kind) {
    case SMTP_CLIENT_START_TLS:
        ASSERT(!r->secure);
        r->handshake = true;
        break;
    case SMTP_CLIENT_READY:
        ASSERT(r->secure || !r->demanded);
        ASSERT(smtp_client_ready(c));
        break;
    case SMTP_CLIENT_ANSWER:
        ASSERT(e->phase >= SMTP_PHASE_MAIL);
        if (e->phase == SMTP_PHASE_RCPT)
            r->accepted |= positive;
        if (e->phase == SMTP_PHASE_DATA && smtp_reply_class(&e->reply) == 3) {
            ASSERT(r->accepted);
            r->body = true;
        }
        ASSERT(!(r->body && e->phase == SMTP_PHASE_FINAL && positive));
        r->over = e->reply.code == 421 || (r->body && e->phase == SMTP_PHASE_FINAL);
        break;
    case SMTP_CLIENT_NO_TLS:
        ASSERT(!r->demanded);
        break;
    case SMTP_CLIENT_FAILED:
    case SMTP_CLIENT_BROKEN:
    case SMTP_CLIENT_CLOSING:
        r->over = true;
        break;
    }
}

static const struct smtp_client_events events = {.event = on_event};

/* Calls are refused where they are out of order; that is the point of making them. */
static void act(struct run *r, unsigned what)
{
    switch (what) {
    case 0:
        if (smtp_client_mail(r->client, &r->txn, 10) == ERR_OK) {
            ASSERT(r->secure || !r->demanded);
            r->accepted = false;
        }
        break;
    case 1:
    case 2:
        (void)!smtp_client_rcpt(r->client, &r->txn, what - 1);
        break;
    case 3:
        (void)!smtp_client_data(r->client);
        break;
    case 4:
        (void)!smtp_client_chunk(r->client, 5, false);
        break;
    case 5:
        (void)!smtp_client_chunk(r->client, 5, true);
        break;
    case 6:
        if (r->body && !r->over)
            smtp_client_dot(r->client);
        r->body = false;
        break;
    case 7:
        ASSERT(smtp_client_rset(r->client) != ERR_OK || !r->body);
        break;
    default:
        r->secure |= r->handshake;
        smtp_client_tls_done(r->client);
        break;
    }
}

static void lines_check(struct run *r)
{
    struct span s = buf_span(&r->out);

    ASSERT(s.len == 0 || (s.len >= 2 && memcmp(s.ptr + s.len - 2, "\r\n", 2) == 0));
    for (size_t i = 0; i < s.len; i++) {
        ASSERT(s.ptr[i] != '\r' || s.ptr[i + 1] == '\n');
        ASSERT(s.ptr[i] != '\n' || (i > 0 && s.ptr[i - 1] == '\r'));
    }
    ASSERT(s.len == 0 || !r->demanded || r->secure || !memmem(s.ptr, s.len, "MAIL", 4));
    buf_clear(&r->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const union net_addr addr = {.v4 = {.sin_family = AF_INET}};
    static const struct smtp_client_speaks_for who = {.name = "n", .helo = "h", .addr = &addr};
    struct run r = {.txn = {.mail = {.address = SPAN_LIT("a@b")}}};
    struct smtp_client_conf conf = {.helo = "h", .user = "u", .password = "p"};
    size_t at = 1, kept = 1;

    if (size < 1)
        return 0;
    conf.tls = (enum smtp_client_tls)(data[0] & 3);
    conf.auth = (enum conf_auth)(data[0] >> 2 & 3) % 3;
    conf.xclient = data[0] & 16 ? &who : NULL;
    r.demanded = conf.tls == SMTP_CLIENT_TLS_DEMAND || conf.tls == SMTP_CLIENT_TLS_IMPLICIT;
    r.handshake = conf.tls == SMTP_CLIENT_TLS_IMPLICIT;
    r.txn.recipients = r.recipients;
    r.recipients[0].rcpt.address = r.recipients[1].rcpt.address = SPAN_LIT("c@d");
    buf_init(&r.out, 0);
    if (smtp_client_new(&conf, &r.out, &events, &r, &r.client) != ERR_OK)
        return 0;
    while (at < size) {
        act(&r, data[at] % 12);
        at += data[at] % 7 + 1;
        if (at > size)
            at = size;
        kept += smtp_client_input(r.client, data + kept, at - kept);
        ASSERT(kept <= at);
        lines_check(&r);
    }
    smtp_client_free(r.client);
    buf_release(&r.out);
    return 0;
}
