/* SPDX-License-Identifier: Apache-2.0 */
/* Does the parser take what RFC 5321 and the extensions say, and nothing that could be misread? */
#include "smtp_command.h"

#include "cmocka_all.h"

#include <stdio.h>

static void assert_span(struct span got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    if (got.len > 0)
        assert_memory_equal(got.ptr, wanted, got.len);
}

static void test_verbs(void **state)
{
    static const struct {
        const char *line;
        enum smtp_verb verb;
        const char *rest;
    } rows[] = {
        {"EHLO a.example", SMTP_VERB_EHLO, "a.example"},
        {"eHlO \t a.example  ", SMTP_VERB_EHLO, "a.example"},
        {"MAIL FROM:<>", SMTP_VERB_MAIL, "FROM:<>"},
        {"QUIT", SMTP_VERB_QUIT, ""},
        {"QUIT ", SMTP_VERB_QUIT, ""},
        {"QUITE", SMTP_VERB_UNKNOWN, ""},
        {" QUIT", SMTP_VERB_UNKNOWN, "QUIT"},
        {"", SMTP_VERB_UNKNOWN, ""},
        {"get / HTTP/1.1", SMTP_VERB_HTTP, "/ HTTP/1.1"},
        {"PRI * HTTP/2.0", SMTP_VERB_HTTP, "* HTTP/2.0"},
        {"EXPN list", SMTP_VERB_UNKNOWN, "list"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct span rest;
        assert_int_equal(smtp_command_verb(span_str(rows[i].line), &rest), rows[i].verb);
        assert_span(rest, rows[i].rest);
    }
}

static void test_mail_addresses(void **state)
{
    static const struct {
        const char *rest, *address;
        int err;
    } rows[] = {
        {"FROM:<>", "", ERR_OK},
        {"from:<a@b.example>", "a@b.example", ERR_OK},
        {"FROM: <a@b.example>", "a@b.example", ERR_OK},
        {"FROM:<\"a b\\\">\"@b.example>", "\"a b\\\">\"@b.example", ERR_OK},
        {"FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", ERR_OK},
        {"FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", ERR_OK},
        {"FROM:<a..b.@b_c.example>", "a..b.@b_c.example", ERR_OK},
        {"FROM:<@x.example,@y.example:a@b.example>", "a@b.example", ERR_OK},
        {"FROM:<SRS0=HHH=TT=orig.example=user@fwd.example>",
         "SRS0=HHH=TT=orig.example=user@fwd.example", ERR_OK},
        {"FROM:a@b.example", NULL, ERR_SYNTAX},
        {"FROM <a@b.example>", NULL, ERR_SYNTAX},
        {"<a@b.example>", NULL, ERR_SYNTAX},
        {"FROM:<a@b.example>SIZE=1", NULL, ERR_SYNTAX},
        {"FROM:<", NULL, ERR_SYNTAX},
        {"FROM:<a", NULL, ERR_RANGE},
        {"FROM:<a>", NULL, ERR_RANGE},
        {"FROM:<a@>", NULL, ERR_RANGE},
        {"FROM:<@b.example>", NULL, ERR_RANGE},
        {"FROM:<a@b@c.example>", NULL, ERR_RANGE},
        {"FROM:<a b@c.example>", NULL, ERR_RANGE},
        {"FROM:<a@b..example>", NULL, ERR_RANGE},
        {"FROM:<a@b.example.>", NULL, ERR_RANGE},
        {"FROM:<a@.example>", NULL, ERR_RANGE},
        {"FROM:<a(x)@b.example>", NULL, ERR_RANGE},
        {"FROM:<\"a@b.example>", NULL, ERR_RANGE},
        {"FROM:<\"a\\\"@b.example>", NULL, ERR_RANGE},
        {"FROM:<a@[192.0.2.256]>", NULL, ERR_RANGE},
        {"FROM:<a@[2001:db8::1]>", NULL, ERR_RANGE},
        {"FROM:<@x.example:>", NULL, ERR_RANGE},
        {"FROM:<@x.example,a@b.example>", NULL, ERR_RANGE},
        {"FROM:<a\x01@b.example>", NULL, ERR_RANGE},
        {"FROM:<\xc3\xa4@b.example>", NULL, ERR_UNSUPPORTED},
        {"FROM:<\xc3\xa4@b.example> SMTPUTF8", "\xc3\xa4@b.example", ERR_OK},
        {"FROM:<\xff@b.example> SMTPUTF8", NULL, ERR_RANGE},
        {"FROM:<\xc0\xaf@b.example> SMTPUTF8", NULL, ERR_RANGE},
        {"FROM:<\xed\xa0\x80@b.example> SMTPUTF8", NULL, ERR_RANGE},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_mail mail;
        int err = smtp_parse_mail(span_str(rows[i].rest), &mail);
        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].rest, err_text(err));
        if (err == ERR_OK)
            assert_span(mail.address, rows[i].address);
    }
}

static void test_mail_parameters(void **state)
{
    static const char *const bad[] = {
        "SIZE=",
        "SIZE=x",
        "SIZE=1 SIZE=2",
        "SIZE=-1",
        "BODY=9BIT",
        "BODY",
        "SMTPUTF8=1",
        "REQUIRETLS=1",
        "REQUIRETLS REQUIRETLS",
        "RET=ALL",
        "RET=FULL RET=FULL",
        "ENVID=a+2",
        "ENVID=+2b",
        "=x",
        "-X=1",
        "X=a=b",
        "BODY=7BIT BODY=8BITMIME",
        "SMTPUTF8 SMTPUTF8",
        "SIZE=000000000000000000001",
    };
    struct smtp_mail mail;
    char line[200];

    assert_int_equal(smtp_parse_mail(SPAN_LIT("FROM:<a@b.example>  size=77 BODY=8bitMIME SMTPUTF8 "
                                              "RET=hdrs ENVID=QQ+2B XYZ=1 ABC"),
                                     &mail),
                     ERR_OK);
    assert_true(mail.has_size && mail.size == 77 && mail.smtputf8);
    assert_true(mail.has_body && mail.body == SMTP_BODY_8BITMIME);
    assert_span(mail.ret, "hdrs");
    assert_span(mail.envid, "QQ+2B");
    assert_span(mail.unknown, "XYZ=1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "FROM:<> %s", bad[i]);
        if (smtp_parse_mail(span_str(line), &mail) != ERR_SYNTAX)
            fail_msg("%s passed", bad[i]);
    }
}

static void test_rcpt(void **state)
{
    static const char *const bad[] = {"NOTIFY=",
                                      "NOTIFY=NEVER,DELAY",
                                      "NOTIFY=SOMETIMES",
                                      "NOTIFY=DELAY,",
                                      "ORCPT=x",
                                      "ORCPT=;x",
                                      "ORCPT=rfc822;",
                                      "ORCPT=rfc822;a+1",
                                      "NOTIFY=DELAY NOTIFY=DELAY"};
    struct smtp_rcpt rcpt;
    char line[200];

    assert_int_equal(smtp_parse_rcpt(SPAN_LIT("TO:<\"x@y\"@b.example> NOTIFY=success,Delay "
                                              "ORCPT=rfc822;x+40b AUTH=y"),
                                     false, &rcpt),
                     ERR_OK);
    assert_span(rcpt.address, "\"x@y\"@b.example");
    assert_span(rcpt.domain, "b.example");
    assert_int_equal(rcpt.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
    assert_span(rcpt.orcpt, "rfc822;x+40b");
    assert_span(rcpt.unknown, "AUTH=y");
    assert_int_equal(smtp_parse_rcpt(SPAN_LIT("TO:<postMASTER>"), false, &rcpt), ERR_OK);
    assert_int_equal(rcpt.domain.len, 0);
    assert_int_equal(smtp_parse_rcpt(SPAN_LIT("TO:<someone>"), false, &rcpt), ERR_RANGE);
    assert_int_equal(smtp_parse_rcpt(SPAN_LIT("TO:<>"), false, &rcpt), ERR_RANGE);
    assert_int_equal(smtp_parse_rcpt(SPAN_LIT("TO:<a@\xc3\xb6.example>"), false, &rcpt),
                     ERR_UNSUPPORTED);
    assert_int_equal(
        smtp_parse_rcpt(SPAN_LIT("TO:<a@\xc3\xb6.example> ORCPT=utf-8;\xc3\xb6"), true, &rcpt),
        ERR_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "TO:<a@b.example> %s", bad[i]);
        if (smtp_parse_rcpt(span_str(line), false, &rcpt) != ERR_SYNTAX)
            fail_msg("%s passed", bad[i]);
    }
}

static void test_address_too_long(void **state)
{
    char line[700] = "TO:<";
    struct smtp_rcpt rcpt;

    memset(line + 4, 'a', 500);
    strncat(line, "@b.example>", sizeof(line) - strlen(line) - 1);
    assert_int_equal(smtp_parse_rcpt(span_str(line), false, &rcpt), ERR_OK);
    memset(line + 4, 'a', 510);
    line[514] = '\0';
    strncat(line, "@b.example>", sizeof(line) - strlen(line) - 1);
    assert_int_equal(smtp_parse_rcpt(span_str(line), false, &rcpt), ERR_RANGE);
}

static void test_bdat(void **state)
{
    uint64_t size;
    bool last;

    assert_int_equal(smtp_parse_bdat(SPAN_LIT("12"), &size, &last), ERR_OK);
    assert_true(size == 12 && !last);
    assert_int_equal(smtp_parse_bdat(SPAN_LIT("0 last"), &size, &last), ERR_OK);
    assert_true(size == 0 && last);
    assert_int_equal(smtp_parse_bdat(SPAN_LIT(""), &size, &last), ERR_SYNTAX);
    assert_int_equal(smtp_parse_bdat(SPAN_LIT("-1"), &size, &last), ERR_SYNTAX);
    assert_int_equal(smtp_parse_bdat(SPAN_LIT("1 FIRST"), &size, &last), ERR_SYNTAX);
    assert_int_equal(smtp_parse_bdat(SPAN_LIT("1 LAST x"), &size, &last), ERR_SYNTAX);
    assert_int_equal(smtp_parse_bdat(SPAN_LIT("9223372036854775808"), &size, &last), ERR_RANGE);
}

static void test_helo(void **state)
{
    static const char *const good[] = {"a.example", "[192.0.2.1]", "[IPv6:2001:db8::1]",
                                       "my_host",   "192.0.2.1",   "localhost"};
    static const char *const bad[] = {"", "a b", "a(b)", "[1.2.3]", "a\xc3\xa4", "<x>", "[x"};
    struct span name;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(smtp_parse_helo(span_str(good[i]), &name), ERR_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(smtp_parse_helo(span_str(bad[i]), &name), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_mail_addresses),
        cmocka_unit_test(test_mail_parameters),
        cmocka_unit_test(test_rcpt),
        cmocka_unit_test(test_address_too_long),
        cmocka_unit_test(test_bdat),
        cmocka_unit_test(test_helo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
