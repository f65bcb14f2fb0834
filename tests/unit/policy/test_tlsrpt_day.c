/* SPDX-License-Identifier: Apache-2.0 */
/* The counts of a day: each session once, the same after a file, summed over processes, bounded;
 * and the report that comes of them reads as RFC 8460's own example would. */
#include "tlsrpt_day.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DAY = 1459468800 }; /* 2016-04-01 */

static const struct tlsrpt_sender sender = {"Company-X", "sts-reporting@company-x.example",
                                            "mail.company-x.example"};

static struct tlsrpt_event event_of(enum tlsrpt_policy_type type, const char *domain)
{
    struct tlsrpt_event e = {.type = (uint8_t)type};

    snprintf(e.domain, sizeof(e.domain), "%s", domain);
    snprintf(e.policy_domain, sizeof(e.policy_domain), "%s", domain);
    if (type == TLSRPT_STS) {
        tlsrpt_event_policy_add(&e, "version: STSv1");
        tlsrpt_event_policy_add(&e, "mode: testing");
        tlsrpt_event_policy_add(&e, "mx: *.mail.company-y.example");
        tlsrpt_event_policy_add(&e, "max_age: 86400");
    }
    return e;
}

static void ip_set(union net_addr *addr, const char *text)
{
    assert_int_equal(net_addr_parse_ip(span_str(text), 25, addr), ERR_OK);
}

static void fail_at(struct tlsrpt_event *e, enum tlsrpt_result result, const char *mx,
                    const char *sending, const char *receiving, const char *reason)
{
    e->failed = 1;
    e->result = (uint8_t)result;
    snprintf(e->mx, sizeof(e->mx), "%s", mx);
    ip_set(&e->sending, sending);
    if (receiving[0])
        ip_set(&e->receiving, receiving);
    tlsrpt_event_reason(e, reason);
}

static struct tlsrpt_day *day_new(int64_t start)
{
    struct tlsrpt_day *day;

    assert_int_equal(tlsrpt_day_new(start, &day), ERR_OK);
    return day;
}

static void add(struct tlsrpt_day *day, const struct tlsrpt_event *e, unsigned times)
{
    assert_true(tlsrpt_event_valid(e, tlsrpt_event_len(e)));
    while (times-- > 0)
        tlsrpt_day_add(day, e, "");
}

/* What appendix B of RFC 8460 tells of. */
static void appendix_b(struct tlsrpt_day *day)
{
    struct tlsrpt_event e = event_of(TLSRPT_STS, "company-y.example");

    add(day, &e, 5326);
    fail_at(&e, TLSRPT_EXPIRED, "mx1.mail.company-y.example", "2001:db8:abcd:12::1", "", "");
    add(day, &e, 100);
    fail_at(&e, TLSRPT_STARTTLS_NOT_SUPPORTED, "mx2.mail.company-y.example", "2001:db8:abcd:13::1",
            "203.0.113.56", "");
    add(day, &e, 200);
    fail_at(&e, TLSRPT_VALIDATION_FAILURE, "mx-backup.mail.company-y.example", "198.51.100.62",
            "203.0.113.58", "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED");
    add(day, &e, 3);
}

static char *report_text(const struct tlsrpt_day *day, const char *domain)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(tlsrpt_day_report(day, domain, &sender, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    char *text = strdup((const char *)buf_span(&out).ptr);
    buf_release(&out);
    return text;
}

static void expect_appendix_b(const struct tlsrpt_day *day)
{
    char *text = report_text(day, "company-y.example"), why[256] = "";
    struct tlsrpt_report *r;

    if (tlsrpt_report_parse(span_str(text), &r, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    const struct tlsrpt_policy *p = &r->policies[0];
    assert_string_equal(r->organization, "Company-X");
    assert_string_equal(r->contact, "sts-reporting@company-x.example");
    assert_string_equal(r->id, "2016-04-01.company-y.example@mail.company-x.example");
    assert_int_equal(r->start, DAY);
    assert_int_equal(r->end, DAY + 86399);
    assert_int_equal(r->policies_len, 1);
    assert_string_equal(p->type, "sts");
    assert_string_equal(p->domain, "company-y.example");
    assert_int_equal(p->policy.len, 4);
    assert_string_equal(p->policy.items[1], "mode: testing");
    assert_int_equal(p->mx.len, 1);
    assert_string_equal(p->mx.items[0], "*.mail.company-y.example");
    assert_int_equal(p->good, 5326);
    assert_int_equal(p->failed, 303);
    assert_int_equal(p->failures_len, 3);
    assert_string_equal(p->failures[0].result, "certificate-expired");
    assert_string_equal(p->failures[0].sending_ip, "2001:db8:abcd:12::1");
    assert_string_equal(p->failures[0].receiving_ip, "");
    assert_int_equal(p->failures[0].sessions, 100);
    assert_string_equal(p->failures[1].mx, "mx2.mail.company-y.example");
    assert_string_equal(p->failures[1].receiving_ip, "203.0.113.56");
    assert_int_equal(p->failures[1].sessions, 200);
    assert_string_equal(p->failures[2].reason, "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED");
    assert_int_equal(p->failures[2].sessions, 3);
    tlsrpt_report_free(r);
    free(text);
}

static void test_report(void **state)
{
    struct tlsrpt_day *day = day_new(DAY);
    struct buf none;

    appendix_b(day);
    expect_appendix_b(day);
    buf_init(&none, 0);
    assert_int_equal(tlsrpt_day_report(day, "other.example", &sender, &none), ERR_NOTFOUND);
    tlsrpt_day_free(day);
}

static void day_copy(const struct tlsrpt_day *from, struct tlsrpt_day *to, int err)
{
    struct buf file;

    buf_init(&file, TLSRPT_DAY_FILE_MAX);
    assert_int_equal(tlsrpt_day_write(from, &file), ERR_OK);
    assert_int_equal(tlsrpt_day_read(to, buf_span(&file)), err);
    buf_release(&file);
}

static void test_file(void **state)
{
    struct tlsrpt_day *day = day_new(DAY), *again = day_new(DAY), *other = day_new(DAY + 86400);

    appendix_b(day);
    day_copy(day, again, ERR_OK);
    expect_appendix_b(again);
    char *one = report_text(day, "company-y.example"),
         *two = report_text(again, "company-y.example");
    assert_string_equal(one, two);
    free(one);
    free(two);
    day_copy(day, other, ERR_STATE);
    assert_int_equal(tlsrpt_day_domains(other), 0);
    /* Counts of two processes add up. */
    day_copy(day, again, ERR_OK);
    one = report_text(again, "company-y.example");
    assert_non_null(strstr(one, "\"total-successful-session-count\":10652"));
    assert_non_null(strstr(one, "\"failed-session-count\":400"));
    assert_non_null(strstr(one, "\"total-failure-session-count\":606"));
    free(one);
    tlsrpt_day_free(day);
    tlsrpt_day_free(again);
    tlsrpt_day_free(other);
}

/* Not one byte may be missing, nor another be there, and nothing of it counts then. */
static void test_damaged_file(void **state)
{
    struct tlsrpt_day *day = day_new(DAY), *again = day_new(DAY);
    struct buf file;

    appendix_b(day);
    buf_init(&file, TLSRPT_DAY_FILE_MAX);
    assert_int_equal(tlsrpt_day_write(day, &file), ERR_OK);
    struct span whole = buf_span(&file);
    for (size_t len = 0; len < whole.len; len++)
        assert_int_equal(tlsrpt_day_read(again, span_make(whole.ptr, len)), ERR_SYNTAX);
    assert_int_equal(tlsrpt_day_domains(again), 0);
    assert_int_equal(buf_append(&file, "x\n", 2), ERR_OK);
    assert_int_equal(tlsrpt_day_read(again, buf_span(&file)), ERR_SYNTAX);
    assert_int_equal(tlsrpt_day_domains(again), 0);
    buf_release(&file);
    tlsrpt_day_free(day);
    tlsrpt_day_free(again);
}

static void sum_take(void *user, const struct tlsrpt_day_sum *sum)
{
    struct tlsrpt_day_sum *to = user;

    to->good += sum->good;
    to->failed += sum->failed;
}

static void test_bounds(void **state)
{
    struct tlsrpt_day *day = day_new(DAY);
    struct tlsrpt_event e = event_of(TLSRPT_NO_POLICY, "a.example");
    struct tlsrpt_day_sum sum = {0};
    char name[64];

    /* Each with a reason of its own: the sums are right, and so are those of the results. */
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "reason %u", i);
        fail_at(&e, i % 2 ? TLSRPT_EXPIRED : TLSRPT_NOT_TRUSTED, "mx.a.example", "192.0.2.1",
                "192.0.2.2", name);
        add(day, &e, 1);
    }
    tlsrpt_day_each(day, sum_take, &sum);
    assert_int_equal(sum.failed, 1000);
    char *text = report_text(day, "a.example"), why[256] = "";
    struct tlsrpt_report *r;
    assert_int_equal(tlsrpt_report_parse(span_str(text), &r, why, sizeof(why)), ERR_OK);
    uint64_t expired = 0, all = 0;
    for (size_t i = 0; i < r->policies[0].failures_len; i++) {
        all += r->policies[0].failures[i].sessions;
        expired += strcmp(r->policies[0].failures[i].result, "certificate-expired") == 0
                       ? r->policies[0].failures[i].sessions
                       : 0;
    }
    assert_int_equal(all, 1000);
    assert_int_equal(expired, 500);
    assert_int_equal(r->policies[0].failures_len, TLSRPT_DAY_FAILURES_MAX + 2);
    tlsrpt_report_free(r);
    free(text);

    /* Policies of a domain. */
    for (unsigned i = 0; i < TLSRPT_DAY_POLICIES_MAX + 5; i++) {
        struct tlsrpt_event p = event_of(TLSRPT_TLSA, "b.example");
        snprintf(p.policy_domain, sizeof(p.policy_domain), "mx%u.example", i);
        add(day, &p, 1);
    }
    assert_int_equal(tlsrpt_day_dropped(day), 5);
    /* Domains. */
    for (unsigned i = 0; i < TLSRPT_DAY_DOMAINS_MAX; i++) {
        snprintf(name, sizeof(name), "d%u.example", i);
        struct tlsrpt_event d = event_of(TLSRPT_NO_POLICY, name);
        add(day, &d, 1);
    }
    assert_int_equal(tlsrpt_day_domains(day), TLSRPT_DAY_DOMAINS_MAX);
    assert_int_equal(tlsrpt_day_dropped(day), 5 + 2);
    tlsrpt_day_free(day);
}

static void test_events(void **state)
{
    struct tlsrpt_event e = event_of(TLSRPT_STS, "a.example");
    size_t len = tlsrpt_event_len(&e);

    assert_true(tlsrpt_event_valid(&e, len));
    assert_false(tlsrpt_event_valid(&e, len - 1));
    assert_false(tlsrpt_event_valid(&e, len + 1));
    assert_false(tlsrpt_event_valid(&e, 3));
#define BAD(field, value)                                                                          \
    do {                                                                                           \
        struct tlsrpt_event bad = e;                                                               \
        bad.field = value;                                                                         \
        assert_false(tlsrpt_event_valid(&bad, tlsrpt_event_len(&bad)));                            \
    } while (0)
    BAD(type, TLSRPT_POLICY_TYPES);
    BAD(failed, 2);
    BAD(result, TLSRPT_RESULTS);
    BAD(domain[0], '\0');
    BAD(domain[1], ' ');
    BAD(policy_domain[1], '\n');
    BAD(mx[0], '\x7f');
    BAD(reason[0], '\x1b');
    BAD(policy[0], '\0');
    BAD(policy_len, 3);
    BAD(sending.any.sa_family, AF_UNIX);
    /* What does not fit is left out as a whole. */
    for (unsigned i = 0; i < 1000; i++)
        tlsrpt_event_policy_add(&e, "mx: %050u", i);
    assert_true(tlsrpt_event_valid(&e, tlsrpt_event_len(&e)));
    tlsrpt_event_reason(&e, "a\nb\x80");
    assert_string_equal(e.reason, "a?b?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),       cmocka_unit_test(test_file),
        cmocka_unit_test(test_damaged_file), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
