/* SPDX-License-Identifier: Apache-2.0 */
/* What TLS reports are told of sessions: a table, a row a cell; the policy that was applied, as RFC
 * 8460 section 4.4 writes it, and the result type of section 4.3. Each session once. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char no_starttls[] = "250-mx\r\n250 PIPELINING\r\n";
static const char *const both_hosts[] = {"*.test", NULL};
static const char *const no_host[] = {"mx.elsewhere.test", NULL};

#define STS_TEXT(mode, mx) "version: STSv1\nmode: " mode "\nmx: " mx "\nmax_age: 86400\n"
#define ENFORCE_TEXT STS_TEXT("enforce", "*.test")
#define TLSA_TEXT(usage)                                                                           \
#usage " 1 1 0707070707070707070707070707070707070707070707070707070707070707\n"

enum trouble {
    NO_TROUBLE,
    NO_STARTTLS,
    STARTTLS_454,
    BAD_HANDSHAKE,
    CUT,
    CUT_STARTTLS,
    CLOSED_STARTTLS,
    NO_ANSWER,
    INJECTION,
    OTHER_NAME,
    OLD,
    NO_MEMORY,
    NO_KEYS,
};

static struct world w;

struct row {
    enum conf_level level;
    const char *usages; /* of TLSA records; "": none; NULL: the look-up fails */
    enum dns_status sts;
    enum sts_mode mode;
    const char *const *patterns;
    enum sts_fault fault;
    enum trouble trouble;
    const char *events; /* "POLICY RESULT" of each, with a comma between them */
    const char *policy; /* of the last one */
};

#define NO_STS DNS_NODATA, STS_MODE_NONE, NULL, STS_FAULT_NONE
#define STS(mode, patterns) DNS_OK, STS_MODE_##mode, patterns, STS_FAULT_NONE
#define NO_FETCH(fault) DNS_FAILED, STS_MODE_NONE, NULL, STS_FAULT_##fault

static const struct row rows[] = {
    {CONF_LEVEL_AUTO, "", NO_STS, 0, "no-policy-found good", ""},
    {CONF_LEVEL_AUTO, "", NO_STS, NO_STARTTLS, "no-policy-found starttls-not-supported", ""},
    {CONF_LEVEL_AUTO, "", NO_STS, STARTTLS_454, "no-policy-found starttls-not-supported", ""},
    {CONF_LEVEL_AUTO, "", NO_STS, BAD_HANDSHAKE, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_AUTO, "", NO_STS, CUT, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, 0, "no-policy-found good", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, NO_STARTTLS, "no-policy-found starttls-not-supported", ""},
    {CONF_LEVEL_NONE, "", NO_STS, 0, "", ""},
    {CONF_LEVEL_AUTO, "", NO_STS, NO_MEMORY, "", ""}, /* ours, and nobody else's */
    {CONF_LEVEL_AUTO, "", NO_STS, NO_KEYS, "", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, NO_KEYS, "", ""},
    /* Lost behind STARTTLS: nobody said that there is none. */
    {CONF_LEVEL_AUTO, "", NO_STS, CUT_STARTTLS, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_AUTO, "", NO_STS, NO_ANSWER, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, CUT_STARTTLS, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, CLOSED_STARTTLS, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, NO_ANSWER, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_ENCRYPT, "", NO_STS, INJECTION, "no-policy-found validation-failure", ""},
    {CONF_LEVEL_DANE, "3", NO_STS, CUT_STARTTLS, "tlsa validation-failure", TLSA_TEXT(3)},
    /* TLSA */
    {CONF_LEVEL_AUTO, "3", NO_STS, 0, "tlsa good", TLSA_TEXT(3)},
    {CONF_LEVEL_DANE, "32", NO_STS, 0, "tlsa good", TLSA_TEXT(3) TLSA_TEXT(2)},
    {CONF_LEVEL_AUTO, "3", NO_STS, NO_STARTTLS, "tlsa starttls-not-supported", TLSA_TEXT(3)},
    {CONF_LEVEL_AUTO, "3", NO_STS, CUT, "tlsa validation-failure", TLSA_TEXT(3)},
    {CONF_LEVEL_DANE, "3", NO_STS, NO_MEMORY, "", ""},
    {CONF_LEVEL_AUTO, "1", NO_STS, 0, "tlsa tlsa-invalid", TLSA_TEXT(1)},
    {CONF_LEVEL_DANE, "1", NO_STS, 0, "tlsa tlsa-invalid", TLSA_TEXT(1)},
    {CONF_LEVEL_DANE, "", NO_STS, 0, "tlsa dane-required", ""},
    {CONF_LEVEL_AUTO, NULL, NO_STS, 0, "tlsa dnssec-invalid", ""},
    {CONF_LEVEL_DANE, NULL, NO_STS, 0, "tlsa dnssec-invalid", ""},
    {CONF_LEVEL_AUTO, "3", STS(ENFORCE, both_hosts), 0, "tlsa good", TLSA_TEXT(3)},
    /* MTA-STS */
    {CONF_LEVEL_AUTO, "", STS(ENFORCE, both_hosts), 0, "sts good", ENFORCE_TEXT},
    {CONF_LEVEL_STS, "", STS(ENFORCE, both_hosts), 0, "sts good", ENFORCE_TEXT},
    {CONF_LEVEL_AUTO, "", STS(ENFORCE, both_hosts), NO_STARTTLS, "sts starttls-not-supported",
     ENFORCE_TEXT},
    {CONF_LEVEL_AUTO, "", STS(ENFORCE, no_host), 0, "sts validation-failure",
     STS_TEXT("enforce", "mx.elsewhere.test")},
    {CONF_LEVEL_AUTO, "", STS(TESTING, both_hosts), 0, "sts good", STS_TEXT("testing", "*.test")},
    {CONF_LEVEL_AUTO, "", STS(TESTING, both_hosts), OTHER_NAME, "sts certificate-host-mismatch",
     STS_TEXT("testing", "*.test")},
    {CONF_LEVEL_AUTO, "", STS(TESTING, both_hosts), OLD, "sts certificate-expired",
     STS_TEXT("testing", "*.test")},
    {CONF_LEVEL_AUTO, "", STS(TESTING, both_hosts), NO_STARTTLS, "sts starttls-not-supported",
     STS_TEXT("testing", "*.test")},
    {CONF_LEVEL_AUTO, "", STS(TESTING, no_host), 0, "sts validation-failure",
     STS_TEXT("testing", "mx.elsewhere.test")},
    {CONF_LEVEL_AUTO, "", STS(NONE, both_hosts), 0, "no-policy-found good", ""},
    {CONF_LEVEL_AUTO, "", NO_FETCH(FETCH), 0, "sts sts-policy-fetch-error,no-policy-found good",
     ""},
    {CONF_LEVEL_AUTO, "", NO_FETCH(WEBPKI), 0, "sts sts-webpki-invalid,no-policy-found good", ""},
    {CONF_LEVEL_AUTO, "", NO_FETCH(POLICY), NO_STARTTLS,
     "sts sts-policy-invalid,no-policy-found starttls-not-supported", ""},
    {CONF_LEVEL_STS, "", NO_FETCH(FETCH), 0, "sts sts-policy-fetch-error", ""},
    {CONF_LEVEL_STS, "", NO_STS, 0, "", ""}, /* the domain never promised one */
};

static void row_set(const struct row *r)
{
    static const char *const starttls[NO_KEYS + 1] = {
        [STARTTLS_454] = "454 4.7.0 no\r\n",
        [CLOSED_STARTTLS] = "454-4.7.0 wait",
        [NO_ANSWER] = "454-4.7.0 wait",
        [INJECTION] = "220 go\r\n250 yes\r\n",
    };

    world_init(&w, 1);
    w.conf.tlsrpt.organization = "Us";
    for (unsigned i = 0; i < ROUTES; i++) {
        w.routes[i].tls.level = r->level;
        w.routes[i].mx = true;
        w.routes[i].report = true;
    }
    w.mx = (struct dns_mx_answer){.secure = true, .len = 1};
    snprintf(w.mx.mx[0].host, sizeof(w.mx.mx[0].host), "mx1.test");
    if (!r->usages)
        w.tlsa[0].status = DNS_BOGUS;
    for (const char *usage = r->usages; usage && *usage; usage++)
        world_tlsa(&w, 1, (uint8_t)(*usage - '0'), 7);
    if (r->sts == DNS_OK)
        world_sts(&w, r->mode, "1", r->patterns);
    else
        w.sts.status = r->sts;
    w.sts.max_age_s = 86400;
    w.sts.fault = r->fault;
    if (r->fault != STS_FAULT_NONE)
        snprintf(w.sts.why, sizeof(w.sts.why), "fetching the policy: no");
    w.mtas[0].ehlo = r->trouble == NO_STARTTLS ? no_starttls : NULL;
    w.mtas[0].starttls = starttls[r->trouble];
    w.mtas[0].bad_handshake = r->trouble == BAD_HANDSHAKE;
    w.mtas[0].cut_at = r->trouble == CUT            ? "HANDSHAKE"
                       : r->trouble == CUT_STARTTLS ? "STARTTLS"
                                                    : NULL;
    w.mtas[0].close_after = r->trouble == CLOSED_STARTTLS ? "STARTTLS" : NULL;
    w.own_fault = r->trouble == NO_MEMORY ? FAULT_SERVICE
                  : r->trouble == NO_KEYS ? FAULT_KEYS
                                          : FAULT_NONE;
    if (r->trouble == OTHER_NAME || r->trouble == OLD) {
        w.verify = TLS_VERIFY_FAILED;
        w.fault = r->trouble == OLD ? TLS_CERT_EXPIRED : TLS_CERT_NAME;
    }
}

static const char *events_text(char *out, size_t room)
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < w.reports_len; i++) {
        const struct tlsrpt_event *e = &w.reports[i];
        len += (size_t)snprintf(out + len, room - len, "%s%s %s", i > 0 ? "," : "",
                                tlsrpt_policy_type_text((enum tlsrpt_policy_type)e->type),
                                e->failed ? tlsrpt_result_text((enum tlsrpt_result)e->result)
                                          : "good");
    }
    return out;
}

static void test_every_row(void **state)
{
    char text[512];

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        row_set(r);
        world_start(&w);
        struct sender *s = sender_open(&w, 0, 0, 1);
        world_run(&w, 65000); /* hop_command_timeout_s, and some */
        sender_close(s);
        if (strcmp(events_text(text, sizeof(text)), r->events) != 0)
            fail_msg("row %u: \"%s\" in place of \"%s\"", i, text, r->events);
        if (w.reports_len > 0) {
            const struct tlsrpt_event *e = &w.reports[w.reports_len - 1];
            assert_string_equal(e->domain, "example.org");
            assert_int_equal(e->policy_len, strlen(r->policy));
            assert_memory_equal(e->policy, r->policy, e->policy_len);
            assert_string_equal(e->policy_domain, e->type == TLSRPT_TLSA && e->policy_len > 0
                                                      ? "mx1.test"
                                                      : "example.org");
            assert_int_equal(e->failed != 0, e->reason[0] != '\0');
        }
        world_end(&w);
    }
}

static void test_who_and_where(void **state)
{
    static const struct row failing = {CONF_LEVEL_AUTO, "3", NO_STS, NO_STARTTLS, "", ""};
    const struct tlsrpt_event *e = &w.reports[0];
    char ip[NET_ADDR_TEXT];

    row_set(&failing);
    world_start(&w);
    sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    assert_int_equal(w.reports_len, 1);
    assert_string_equal(e->mx, "mx1.test");
    assert_string_equal(net_addr_ip_text(&e->receiving, ip), "10.0.0.1");
    assert_int_equal(e->sending.any.sa_family, 0);
    world_end(&w);
}

/* A second message on the same connection is no second session. */
static void test_one_session(void **state)
{
    row_set(&rows[0]);
    world_start(&w);
    sender_message(&w, 0, 0);
    sender_message(&w, 1, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    assert_int_equal(w.reports_len, 1);
    world_end(&w);
}

/* It is one of each domain that shares it, with TLS or without. */
static void test_shared_session(void **state)
{
    for (int plain = 0; plain < 2; plain++) {
        row_set(&rows[plain ? 1 : 0]);
        world_start(&w);
        sender_message(&w, 0, 0);
        w.domain = "other.example";
        sender_message(&w, 1, 0);
        sender_message(&w, 2, 0);
        assert_int_equal(w.mtas[0].connections, 1);
        assert_int_equal(w.reports_len, 2);
        assert_string_equal(w.reports[0].domain, "example.org");
        assert_string_equal(w.reports[1].domain, "other.example");
        for (int i = 0; i < 2; i++) {
            assert_int_equal(w.reports[i].failed, plain);
            if (plain)
                assert_int_equal(w.reports[i].result, TLSRPT_STARTTLS_NOT_SUPPORTED);
        }
        world_end(&w);
    }
}

/* What the ratchet holds, and what does not take a message's REQUIRETLS, is no session of mail's.
 */
static void test_unused(void **state)
{
    static const char takes[] = "250-mx\r\n250 REQUIRETLS\r\n";
    static const struct ratchet_known dane = {
        .memory = {.known = true, .best = {CONF_LEVEL_DANE, TLS_SOURCE_DANE}, .last = 1700000000}};
    struct ratchet_table *table;
    char text[512];

    row_set(&rows[0]);
    w.conf.tls.ratchet_expiry_days = 1;
    w.routes[0].tls.ratchet = CONF_RATCHET_HOLD;
    assert_int_equal(ratchet_table_new(&table), ERR_OK);
    ratchet_table_take(table);
    assert_true(ratchet_table_put(table, "example.org", "mx1.test", &dane));
    w.ratchet = (struct ratchet_line){table, -1};
    world_start(&w);
    (void)sender_open(&w, 0, 0, 1);
    world_run(&w, 5000);
    sender_expect(&w.senders[0], "lost 451 4.7.5\n");
    assert_string_equal(events_text(text, sizeof(text)), "");
    world_end(&w);
    ratchet_table_free(table);

    /* A pooled leg counts with the first message that goes over it. */
    row_set(&(const struct row){CONF_LEVEL_VERIFY, "", NO_STS, 0, "", ""});
    world_start(&w);
    w.senders[0].txn.mail.requiretls = true;
    for (unsigned i = 0; i < 2; i++) {
        (void)sender_open(&w, 0, 0, 1);
        world_run(&w, 5000);
        sender_expect(&w.senders[0], "lost 550 5.7.30\n");
        assert_string_equal(events_text(text, sizeof(text)), "");
    }
    sender_close(&w.senders[0]);
    w.senders[0].txn.mail.requiretls = false;
    sender_message(&w, 0, 0);
    assert_int_equal(w.mtas[0].connections, 1);
    assert_string_equal(events_text(text, sizeof(text)), "no-policy-found good");
    world_end(&w);
    row_set(&(const struct row){CONF_LEVEL_VERIFY, "", NO_STS, 0, "", ""});
    w.mtas[0].ehlo_tls = takes;
    world_start(&w);
    w.senders[0].txn.mail.requiretls = true;
    sender_message(&w, 0, 0);
    assert_string_equal(events_text(text, sizeof(text)), "no-policy-found good");
    world_end(&w);
}

static void test_not_wanted(void **state)
{
    for (int what = 0; what < 3; what++) {
        row_set(&rows[what == 2 ? 5 : 0]);
        if (what == 0)
            w.conf.tlsrpt.organization = NULL;
        if (what == 1)
            w.routes[0].report = false;
        if (what == 2)
            w.routes[0].mx = false; /* a fixed hop, of a level that nobody publishes */
        world_start(&w);
        sender_message(&w, 0, 0);
        assert_int_equal(w.mtas[0].connections, 1);
        assert_int_equal(w.reports_len, 0);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),   cmocka_unit_test(test_who_and_where),
        cmocka_unit_test(test_one_session), cmocka_unit_test(test_shared_session),
        cmocka_unit_test(test_unused),      cmocka_unit_test(test_not_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
