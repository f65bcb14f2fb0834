/* SPDX-License-Identifier: Apache-2.0 */
/* Does each recipient hear the right answer, in order, and does mail go only where it may? */
#include "script.h"

#include "cmocka_all.h"

static struct script_setup setup;

static void run(const char *text)
{
    script_run(&setup, text);
}

static int fresh(void **state)
{
    script_setup(&setup);
    return 0;
}

/* RFC 2920 section 3.2: replies in order; ours wait behind the next hop's. */
static void test_pipelining_order(void **state)
{
    run(HELLO "C: MAIL FROM:<a@client.example>\nC: RCPT TO:<x@example.org>\n"
              "C: RCPT TO:<y@nowhere.invalid>\nC: RCPT TO:<z@example.org>\nC: RCPT TO:<>\nC: DATA\n"
              "S: 250 2.1.0 Ok\n" OPEN "A: REFUSED 550 y@nowhere.invalid\nA: RCPT 1 z@example.org\n"
              "A: DATA\nH: rcpt 550 5.1.1 One\nS: 550 5.1.1 One\nS: 550 5.7.1 ...\n"
              "H: rcpt 250 2.1.5 Two\nS: 250 2.1.5 Two\nS: 501 5.1.3 ...\n"
              "H: data 354 0.0.0 go\nS: 354 ...\nA: BODY\n"
              "C: body\nC: .\nC: QUIT\nH: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n"
              "S: 221 2.0.0 Bye\nA: CLOSE quit\n");
}

/* Any command but RCPT and DATA waits until every answer is there. */
static void test_others_wait(void **state)
{
    run(MAIL
        "C: RCPT TO:<x@example.org>\nC: NOOP\nC: RSET\n" OPEN
        "H: rcpt 250 2.1.5 Fine\nS: 250 2.1.5 Fine\nS: 250 2.0.0 Ok\nS: 250 2.0.0 Ok\nA: ABORT\n"
        "C: QUIT\nS: 221 ...\nA: CLOSE quit\n");
    run(MAIL "C: RCPT TO:<x@example.org>\nC: DATA now\n" OPEN
             "H: rcpt 250 2.1.5 Fine\nS: 250 2.1.5 Fine\nS: 501 5.5.4 ...\n"
             "C: QUIT\nS: 221 ...\nA: ABORT\nA: CLOSE quit\n");
}

/* RFC 5321 section 4.5.3.1.8 and .10, DESIGN "a transaction has one destination": the excess and
 * another route get 452, and nothing accepted is dropped. */
static void test_one_destination(void **state)
{
    run(MAIL
        "C: RCPT TO:<x@nowhere.invalid>\nS: 550 5.7.1 ...\nA: REFUSED 550 x@nowhere.invalid\n"
        "C: RCPT TO:<x@EXAMPLE.org>\nA: OPEN example.org example.org\nA: RCPT 0 x@EXAMPLE.org\n"
        "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
        "C: RCPT TO:<y@a.sub.example.org>\nS: 452 4.5.3 Another...\n"
        "C: RCPT TO:<y@example.org>\nA: RCPT 1 y@example.org\nH: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
        "C: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
    /* Domains of one fixed next hop may share a transaction. */
    run(MAIL "C: RCPT TO:<x@a.sub.example.org>\nA: OPEN .sub.example.org a.sub.example.org\n"
             "A: RCPT 0 x@a.sub.example.org\nH: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
             "C: RCPT TO:<x@b.sub.example.org>\nA: RCPT 1 x@b.sub.example.org\n"
             "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n");
    /* With mx, the domain is part of the destination. */
    run("FROM 10.1.2.3\n" MAIL
        "C: RCPT TO:<x@One.example>\nA: OPEN * one.example\nA: RCPT 0 x@One.example\n"
        "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: RCPT TO:<x@two.example>\nS: 452 4.5.3 ...\n"
        "C: RCPT TO:<y@one.EXAMPLE>\nA: RCPT 1 y@one.EXAMPLE\nH: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
        "C: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n");
}

/* RFC 6531 section 3.2: routes and DNS have the domain in A-labels, the next hop as it was said. */
static void test_domain_in_any_letters(void **state)
{
    run(HELLO "C: MAIL FROM:<a@client.example> SMTPUTF8\nS: 250 2.1.0 Ok\n"
              "C: RCPT TO:<x@B\xc3\x9c"
              "CHER.sub.example.org>\n"
              "A: OPEN .sub.example.org xn--bcher-kva.sub.example.org\n"
              "A: RCPT 0 x@B\xc3\x9c"
              "CHER.sub.example.org\n"
              "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
              /* Wide letters are those of example.org: another route's. */
              "C: RCPT TO:<x@\xef\xbd\x85xample.org>\nS: 452 4.5.3 Another...\n"
              /* U+2100 stands for "a/c". */
              "C: RCPT TO:<x@\xe2\x84\x80.sub.example.org>\nS: 501 5.1.3 ...\n"
              "C: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
}

/* RFC 5321 section 4.5.3.1.10: never 552. */
static void test_too_many_recipients(void **state)
{
    setup.conf.limits.max_recipients = 2;
    run(MAIL
        "C: RCPT TO:<x@example.org>\nC: RCPT TO:<y@example.org>\nC: RCPT TO:<z@example.org>\n" OPEN
        "A: RCPT 1 y@example.org\nH: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\n"
        "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nS: 452 4.5.3 Too many recipients\n"
        "C: DATA\nA: DATA\nH: data 354 0.0.0 go\nS: 354 ...\nA: BODY\nC: .\n"
        "H: final 250 2.0.0 k\nS: 250 2.0.0 k\nA: END\n" READY);
}

/* DESIGN "nothing is relayed for anybody unless a route matches recipient and listener". */
static void test_no_relay(void **state)
{
    static const char *const routes[] = {"inside"};

    run(MAIL "C: RCPT TO:<x@elsewhere.example>\nS: 550 5.7.1 Relaying denied\n"
             "A: REFUSED 550 x@elsewhere.example\nC: RCPT TO:<x%elsewhere.example@gw.invalid>\n"
             "S: 550 5.7.1 ...\nA: REFUSED 550 x%elsewhere.example@gw.invalid\n"
             "C: RCPT TO:<x@[127.0.0.1]>\nS: 550 5.7.1 ...\nA: REFUSED 550 x@[127.0.0.1]\n" QUIT);
    setup.routes[2].listeners = (struct conf_strings){routes, 1};
    run("FROM 10.0.0.9\n" MAIL "C: RCPT TO:<x@elsewhere.example>\n"
        "S: 550 5.7.1 Relaying denied: no route...\nA: REFUSED 550 x@elsewhere.example\n" QUIT);
}

/* DESIGN "senders": a partner's mail comes as its rule says, and is refused at MAIL. */
static void test_sender_rules(void **state)
{
    static const char *const names[] = {"mx.partner.example"};
    static const struct conf_sender rules[] = {
        {.domain = "plain.example"},
        {.domain = "partner.example", .level = CONF_SENDER_VERIFY, .names = {names, 1}},
        {.domain = "xn--bcher-kva.example",
         .level = CONF_SENDER_VERIFY,
         .names = {names, 1},
         .refuse = CONF_REFUSE_TEMPORARY}};

    setup.conf.senders = (struct conf_sender *)rules;
    setup.conf.senders_len = 3;
    /* Pipelined MAIL: each is told of before the next forgets it, and RCPT finds no transaction. */
    run(HELLO "C: MAIL FROM:<a@plain.example>\nC: MAIL FROM:<b@Partner.Example>\n"
              "C: RCPT TO:<x@example.org>\n"
              "S: 550 5.7.1 Mail from this domain has to come by TLS\n"
              "A: REFUSED_SENDER 550 a@plain.example plain.example\n"
              "S: 550 5.7.1 Mail from this domain has to come by TLS\n"
              "A: REFUSED_SENDER 550 b@Partner.Example partner.example\n"
              "S: 503 5.5.1 Send MAIL first\n"
              "C: MAIL FROM:<\xc3\xbc@B\xc3\x9c"
              "CHER.example> SMTPUTF8\n"
              "S: 451 4.7.1 Mail from this domain has to come by TLS\n"
              "A: REFUSED_SENDER 451 \xc3\xbc@B\xc3\x9c"
              "CHER.example xn--bcher-kva.example\n" READY);
    /* With its certificate: the partner's domains and the empty sender, and nobody else's. */
    run(HELLO "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n" HELLO
              "C: MAIL FROM:<b@partner.example>\nS: 250 2.1.0 Ok\nC: RSET\nS: 250 2.0.0 Ok\n"
              "C: MAIL FROM:<c@other.example>\n"
              "S: 550 5.7.1 You may send mail from other domains only\n"
              "A: REFUSED_SENDER 550 c@other.example partner.example\n" READY);
    /* What a proxy has of TLS is not the client's for whom it speaks. */
    run("FROM 192.0.2.7\n" HELLO "C: STARTTLS\nS: 220 ...\nA: STARTTLS\nE: tls\n" HELLO
        "C: XCLIENT ADDR=192.0.2.9\nS: 220 ...\n" HELLO "C: MAIL FROM:<b@partner.example>\n"
        "S: 550 5.7.1 Mail from this domain has to come by TLS\n"
        "A: REFUSED_SENDER 550 b@partner.example partner.example\n" READY);
}

/* RFC 5321 section 4.5.1: <postmaster> is ours. */
static void test_postmaster(void **state)
{
    setup.routes[3] = (struct conf_route){.domain = "gw.example.org"};
    setup.conf.routes_len = 4;
    run(MAIL
        "C: RCPT TO:<Postmaster>\nA: OPEN gw.example.org gw.example.org\nA: RCPT 0 Postmaster\n"
        "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n");
}

static void test_mail_parameters(void **state)
{
    run(HELLO "C: MAIL FROM:<a@b.example> XYZ=1\nS: 555 5.5.4 ...\n"
              "C: MAIL FROM:<a@b.example> AUTH=<>\nS: 555 5.5.4 ...\n"
              "C: MAIL FROM:<a@b.example> RET=FULL\nS: 555 5.5.4 ...\n"
              "C: MAIL FROM:<a@b.example> ENVID=x\nS: 555 5.5.4 ...\n"
              "C: MAIL FROM:<a@b.example> BODY=BINARYMIME\nS: 555 5.5.4 ...\n"
              "C: MAIL FROM:<a@b.example> REQUIRETLS\nS: 555 5.5.4 ...\n"
              "C: MAIL FROM:<a@b.example> SIZE=x\nS: 501 5.5.2 ...\n"
              "C: MAIL FROM:a@b.example\nS: 501 5.5.2 ...\nC: MAIL FROM:<a>\nS: 501 5.1.7 ...\n"
              "C: MAIL FROM:<\xc3\xa4@b.example>\nS: 553 5.6.7 ...\n"
              "C: MAIL FROM: <a@b.example> body=8bitmime SMTPUTF8 SIZE=1000\nS: 250 2.1.0 Ok\n"
              "C: RCPT TO:<x@example.org> NOTIFY=NEVER\nS: 555 5.5.4 ...\n"
              "C: RCPT TO:<x@example.org> ORCPT=rfc822;x\nS: 555 5.5.4 ...\n" QUIT);
    run("C: HELO client.example\nS: 250 ...\nC: MAIL FROM:<a@b.example> SIZE=10\nS: 555 5.5.4 ...\n"
        "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok\n" QUIT);
}

/* RFC 1870 section 6.1: 552 at MAIL; DESIGN: the smallest limit less our Received. */
static void test_size_at_mail(void **state)
{
    run(HELLO "C: MAIL FROM:<> SIZE=1000001\nS: 552 5.3.4 ...\n"
              "C: MAIL FROM:<> SIZE=99999999999999999999\nS: 552 5.3.4 ...\n"
              "C: MAIL FROM:<> SIZE=1000000\nS: 250 2.1.0 Ok\n" QUIT);
    setup.offers.size = 5024;
    run(HELLO "C: MAIL FROM:<> SIZE=4001\nS: 552 5.3.4 ...\nC: MAIL FROM:<> SIZE=4000\nS: 250 "
              "2.1.0 Ok\n" QUIT);
}

/* RFC 3461 where it is offered. */
static void test_dsn_offered(void **state)
{
    setup.offers.dsn = true;
    run(HELLO "C: MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B\nS: 250 2.1.0 Ok\n"
              "C: RCPT TO:<x@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@example.org\n" OPEN
              "H: rcpt 250 2.1.5 k\nS: 250 2.1.5 k\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n");
}

/* Failure table: "next hop refuses or is down before DATA": its code, or 451 4.4.1; nothing more
 * goes to it. */
static void test_hop_lost_before_data(void **state)
{
    run(MAIL
        "C: RCPT TO:<x@example.org>\nC: RCPT TO:<y@example.org>\nC: RCPT TO:<>\n" OPEN
        "A: RCPT 1 y@example.org\n"
        "H: lost 451 4.4.1 Down\nS: 451 4.4.1 Down\nS: 451 4.4.1 Down\nS: 501 5.1.3 ...\nA: ABORT\n"
        "C: RCPT TO:<z@example.org>\nS: 451 4.4.1 Down\n"
        "C: RCPT TO:<z@nowhere.invalid>\nS: 550 5.7.1 ...\nA: REFUSED 550 z@nowhere.invalid\n"
        "C: DATA\nS: 451 4.4.1 Down\n" READY);
    /* Also where it had taken recipients: DATA then hears it too. */
    run(OPENED "H: lost 451 4.4.2 Gone\nA: ABORT\nC: DATA\nS: 451 4.4.2 Gone\n" READY);
    run(OPENED "H: lost 451 4.4.2 Gone\nA: ABORT\nC: BDAT 4 LAST\nc: QUIT\nS: 451 4.4.2 Gone\n"
               "A: DRAIN_CHUNK\n" READY);
    run(OPENED "H: lost 451 4.4.2 Gone\nA: ABORT\nC: RSET\nS: 250 2.0.0 Ok\n" READY);
    run(OPENED "C: DATA\nA: DATA\nH: lost 451 4.4.2 Gone\nS: 451 4.4.2 Gone\nA: ABORT\n" READY);
    run(MAIL "C: RCPT TO:<x@example.org>\nC: DATA\n" OPEN "A: DATA\n"
             "H: lost 451 4.4.1 Down\nS: 451 4.4.1 Down\nS: 451 4.4.1 Down\nA: ABORT\n" READY);
}

/* Never better than the next hop: what is no answer is not a success. */
static void test_nonsense_answers(void **state)
{
    run(MAIL "C: RCPT TO:<x@example.org>\n" OPEN "H: rcpt 354 0.0.0 What\nS: 451 4.3.5 ...\n"
             "C: DATA\nS: 554 5.5.1 ...\nC: RSET\nS: 250 2.0.0 Ok\nA: ABORT\n" READY);
    run(OPENED "H: lost 250 2.0.0 What\nA: ABORT\nC: DATA\nS: 451 4.3.5 ...\n" READY);
    /* Events that do not fit are ignored. */
    run(HELLO
        "H: rcpt 250 2.1.5 x\nH: data 354 0.0.0 x\nH: chunk 250 2.0.0 x\nH: final 250 2.0.0 x\n"
        "H: lost 451 4.4.1 x\nH: refused 552 5.3.4 x\nE: tls\n" READY);
}

/* RFC 9422 MAILMAX. */
static void test_limit_messages(void **state)
{
    setup.conf.limits.max_messages = 1;
    run(MAIL "C: RSET\nS: 250 2.0.0 Ok\nC: MAIL FROM:<>\nS: 421 4.7.0 Too many messages...\n"
             "A: CLOSE too_many_commands\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pipelining_order, fresh),
        cmocka_unit_test_setup(test_others_wait, fresh),
        cmocka_unit_test_setup(test_one_destination, fresh),
        cmocka_unit_test_setup(test_domain_in_any_letters, fresh),
        cmocka_unit_test_setup(test_too_many_recipients, fresh),
        cmocka_unit_test_setup(test_no_relay, fresh),
        cmocka_unit_test_setup(test_sender_rules, fresh),
        cmocka_unit_test_setup(test_postmaster, fresh),
        cmocka_unit_test_setup(test_mail_parameters, fresh),
        cmocka_unit_test_setup(test_size_at_mail, fresh),
        cmocka_unit_test_setup(test_dsn_offered, fresh),
        cmocka_unit_test_setup(test_hop_lost_before_data, fresh),
        cmocka_unit_test_setup(test_nonsense_answers, fresh),
        cmocka_unit_test_setup(test_limit_messages, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
