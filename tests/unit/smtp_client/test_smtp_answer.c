/* SPDX-License-Identifier: Apache-2.0 */
/* DESIGN, "SMTP in a cut-through gateway": what the sender hears is never better than what the next
 * hop said, and a gateway's fault bounces no mail. */
#include "smtp_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void expect(enum smtp_client_phase phase, const char *hop, const char *sender, bool alarm)
{
    struct smtp_reply from = {0}, to;
    size_t used;
    char line[64], text[64];

    snprintf(line, sizeof(line), "%s\r\n", hop);
    if (hop[0])
        assert_int_equal(smtp_reply_parse((const uint8_t *)line, strlen(line), &from, &used),
                         ERR_OK);
    assert_int_equal(smtp_answer_translate(phase, &from, &to), alarm);
    snprintf(text, sizeof(text), "%u %u.%u.%u %.*s", to.code, to.enhanced.class,
             to.enhanced.subject, to.enhanced.detail, (int)to.len, to.text);
    assert_string_equal(text, sender);
}

static void test_its_own_answer(void **state)
{
    expect(SMTP_PHASE_RCPT, "550 5.1.1 unknown", "550 5.1.1 unknown", false);
    expect(SMTP_PHASE_RCPT, "450 4.2.0 greylisted", "450 4.2.0 greylisted", false);
    expect(SMTP_PHASE_RCPT, "250 ok", "250 2.1.5 ok", false);
    expect(SMTP_PHASE_FINAL, "250 queued", "250 2.0.0 queued", false);
    expect(SMTP_PHASE_FINAL, "552 too big", "552 5.0.0 too big", false);
    expect(SMTP_PHASE_DATA, "354 go", "354 0.0.0 go", false);
    expect(SMTP_PHASE_MAIL, "555 5.5.4 what", "555 5.5.4 what", false);
}

static void test_421_becomes_451(void **state)
{
    for (unsigned phase = SMTP_PHASE_GREETING; phase <= SMTP_PHASE_QUIT; phase++) {
        if (phase != SMTP_PHASE_STARTTLS && phase != SMTP_PHASE_TLS) {
            expect(phase, "421 4.3.0 bye", "451 4.3.0 bye", false);
            expect(phase, "421 bye", "451 4.3.2 bye", false);
        }
    }
}

static void test_refusals_before_mail_do_not_bounce(void **state)
{
    static const enum smtp_client_phase phases[] = {SMTP_PHASE_GREETING, SMTP_PHASE_EHLO,
                                                    SMTP_PHASE_STARTTLS, SMTP_PHASE_XCLIENT,
                                                    SMTP_PHASE_AUTH};

    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        expect(phases[i], "554 5.7.1 no", "451 4.3.5 no", true);
        expect(phases[i], "535 5.7.8 no", "451 4.3.5 no", true);
    }
    expect(SMTP_PHASE_GREETING, "250 what", "451 4.3.5 what", true);
    expect(SMTP_PHASE_AUTH, "250 what", "451 4.3.5 what", true);
    expect(SMTP_PHASE_GREETING, "450 4.7.1 later", "451 4.7.1 later", false);
    expect(SMTP_PHASE_STARTTLS, "454 no tls", "451 4.7.5 no tls", false);
}

static void test_protocol_errors_do_not_bounce(void **state)
{
    static const char *const codes[] = {"500", "501", "502", "503", "504", "530"};
    char hop[32], sender[32];

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        snprintf(hop, sizeof(hop), "%s 5.5.1 x", codes[i]);
        snprintf(sender, sizeof(sender), "451 4.3.5 x");
        expect(SMTP_PHASE_MAIL, hop, sender, true);
        expect(SMTP_PHASE_RCPT, hop, sender, true);
        expect(SMTP_PHASE_FINAL, hop, sender, true);
    }
}

static void test_no_answer(void **state)
{
    expect(SMTP_PHASE_STARTTLS, "", "451 4.7.5 ", false);
    expect(SMTP_PHASE_TLS, "", "451 4.7.5 ", false);
    expect(SMTP_PHASE_GREETING, "", "451 4.4.2 ", false);
    expect(SMTP_PHASE_AUTH, "", "451 4.3.5 ", true);
}

static void test_unsupported(void **state)
{
    struct smtp_caps none = {.size_limit = 1000}, all = {.size_limit = 1000,
                                                         .eightbit = true,
                                                         .smtputf8 = true,
                                                         .dsn = true,

                                                         .binarymime = true,
                                                         .requiretls = true,
                                                         .chunking = true};
    struct smtp_transaction txn = {0};
    struct smtp_rcpt rcpt = {.notify = SMTP_NOTIFY_NEVER};
    struct smtp_reply r;

    assert_false(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    txn.mail.body = SMTP_BODY_8BITMIME;
    assert_false(smtp_answer_unsupported(&all, &txn, &rcpt, 100, &r));
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    assert_int_equal(r.code * 1000 + r.enhanced.subject * 10 + r.enhanced.detail, 554063);
    txn.mail.body = SMTP_BODY_BINARYMIME;
    assert_false(smtp_answer_unsupported(&all, &txn, &rcpt, 100, &r));
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    txn.mail = (struct smtp_mail){.smtputf8 = true};
    assert_false(smtp_answer_unsupported(&all, &txn, &rcpt, 100, &r));
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    assert_int_equal(r.code * 1000 + r.enhanced.subject * 10 + r.enhanced.detail, 553067);
    txn.mail = (struct smtp_mail){.requiretls = true};
    assert_false(smtp_answer_unsupported(&all, &txn, &rcpt, 100, &r));
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    assert_int_equal(r.code * 1000 + r.enhanced.subject * 100 + r.enhanced.detail, 550730);
    txn.mail = (struct smtp_mail){.has_size = true, .size = 900};
    assert_false(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 101, &r));
    assert_int_equal(r.code, 552);
    txn.mail.size = UINT64_MAX;
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 101, &r));
    txn.mail = (struct smtp_mail){0};
    rcpt.notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE;
    assert_false(smtp_answer_unsupported(&all, &txn, &rcpt, 100, &r));
    assert_true(smtp_answer_unsupported(&none, &txn, &rcpt, 100, &r));
    assert_int_equal(r.code, 550);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_its_own_answer),
        cmocka_unit_test(test_421_becomes_451),
        cmocka_unit_test(test_refusals_before_mail_do_not_bounce),
        cmocka_unit_test(test_protocol_errors_do_not_bounce),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
