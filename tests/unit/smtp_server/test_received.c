/* SPDX-License-Identifier: Apache-2.0 */
/* Does the trace line say what DESIGN says, and can a peer's words not break out of it? */
#include "received.h"

#include "cmocka_all.h"

#include <stdio.h>

static const uint64_t when = UINT64_C(1795286358) * 1000000 + 5; /* Sat, 21 Nov 2026 */

static struct conf conf;
static struct smtp_session s;
static struct smtp_recipient recipients[2];

static int fresh(void **state)
{
    conf = (struct conf){.gateway.hostname = "gw.example.org"};
    s = (struct smtp_session){.peer.conf = &conf,
                              .era = {.extended = true, .helo = "client.example"}};
    snprintf(s.txn.id, sizeof(s.txn.id), "0123456789abcdef.1");
    recipients[0] =
        (struct smtp_recipient){.rcpt.address = SPAN_LIT("x@example.org"), .accepted = true};
    recipients[1] = (struct smtp_recipient){.rcpt.address = SPAN_LIT("y@example.org")};
    s.txn.recipients = recipients;
    s.txn.recipients_len = 2;
    s.txn.accepted = 1;
    return net_addr_parse_ip(SPAN_LIT("192.0.2.1"), 1, &s.peer.addr);
}

static void use_tls(void)
{
    s.peer.tls_done = true;
    s.peer.tls = (struct tls_facts){.version = TLS_VERSION_1_3,
                                    .suite = "TLS_AES_128_GCM_SHA256",
                                    .group = "P-256",
                                    .verify = TLS_VERIFY_OK};
}

/* Writes it, checks its shape (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.1.1), and unfolds. */
static const char *line(const char *ptr)
{
    static char text[2 * SMTP_RECEIVED_MAX];
    struct buf out;
    size_t len = 0, column = 0;

    buf_init(&out, 0);
    assert_int_equal(received_write(&s, ptr, when, &out), ERR_OK);
    struct span written = buf_span(&out);
    assert_true(written.len <= SMTP_RECEIVED_MAX);
    for (size_t i = 0; i < written.len; i++, column++) {
        uint8_t c = written.ptr[i];
        assert_true(c >= ' ' || c == '\r' || c == '\n' || c == '\t');
        assert_true(column <= 998);
        if (c == '\n') {
            assert_true(written.ptr[i - 1] == '\r');
            assert_true(i + 1 == written.len || written.ptr[i + 1] == '\t');
            column = 0;
        }
        if (c != '\r' && c != '\n')
            text[len++] = c == '\t' ? ' ' : (char)c;
    }
    assert_true(written.ptr[written.len - 1] == '\n');
    text[len] = '\0';
    buf_release(&out);
    return text;
}

/* DESIGN, "Received"; RFC 8314 section 4.3: the tls clause last. */
static void test_tls(void **state)
{
    use_tls();
    assert_string_equal(line("mail.client.example"),
                        "Received: from client.example (mail.client.example [192.0.2.1]) "
                        "by gw.example.org (postern) with ESMTPS id 0123456789abcdef.1 "
                        "(TLS1.3 TLS_AES_128_GCM_SHA256 P-256 verify=ok) for <x@example.org> "
                        "tls TLS_AES_128_GCM_SHA256 group P-256; "
                        "Sat, 21 Nov 2026 18:39:18 +0000");
}

/* RFC 3848, RFC 6531 section 4.3. */
static void test_protocols(void **state)
{
    assert_non_null(
        strstr(line(""), " (unknown [192.0.2.1]) by gw.example.org (postern) with ESMTP id "));
    s.txn.mail.smtputf8 = true;
    assert_non_null(strstr(line(""), " with UTF8SMTP id "));
    use_tls();
    assert_non_null(strstr(line(""), " with UTF8SMTPS id "));
    s.era.extended = false;
    assert_non_null(strstr(line(""), " with SMTP id "));
}

/* "for" only with a single recipient: nobody learns of another. */
static void test_for(void **state)
{
    assert_non_null(strstr(line(""), " for <x@example.org>; "));
    recipients[1].accepted = true;
    s.txn.accepted = 2;
    assert_null(strstr(line(""), " for "));
}

static void test_peer_bytes(void **state)
{
    snprintf(s.era.client_helo, sizeof(s.era.client_helo), "a)b(c\\d;e<f>\"");
    s.era.client_helo_known = true;
    assert_non_null(strstr(line("x)y z\x01\x80"), "from a?b?c?d?e?f?? (x?y?z?? [192.0.2.1])"));
}

static void test_xclient(void **state)
{
    s.era.xclient = true;
    snprintf(s.era.client_name, sizeof(s.era.client_name), "named.example");
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("2001:db8::1"), 1, &s.era.client_addr), ERR_OK);
    assert_non_null(strstr(line(s.era.client_name), "(named.example [IPv6:2001:db8::1])"));
    assert_non_null(strstr(line(""), "(unknown [IPv6:2001:db8::1])"));
}

static void test_bounds(void **state)
{
    static char hostname[256], address[500];
    char ptr[256];

    use_tls();
    memset(s.era.helo, 'h', 255);
    memset(hostname, 'g', 255);
    memset(ptr, 'p', 255);
    ptr[255] = '\0';
    memset(address, 'a', sizeof(address));
    conf.gateway.hostname = hostname;
    recipients[0].rcpt.address = span_make(address, sizeof(address));
    assert_null(strstr(line(ptr), " for "));
    /* The client's name goes last of all, whoever said it. */
    s.era.xclient = true;
    s.era.client_addr = s.peer.addr;
    memset(s.peer.tls.suite, 's', sizeof(s.peer.tls.suite) - 1);
    memset(s.peer.tls.group, 'g', sizeof(s.peer.tls.group) - 1);
    memcpy(s.era.client_name, ptr, sizeof(ptr));
    assert_non_null(strstr(line(s.era.client_name), "(unknown [192.0.2.1])"));
    s.era.xclient = false;
    hostname[10] = '\0';
    assert_null(strstr(line(ptr), " for "));
    recipients[0].rcpt.address.len = 200;
    ptr[20] = '\0';
    assert_non_null(strstr(line(ptr), " for <aaa"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tls, fresh),     cmocka_unit_test_setup(test_protocols, fresh),
        cmocka_unit_test_setup(test_for, fresh),     cmocka_unit_test_setup(test_peer_bytes, fresh),
        cmocka_unit_test_setup(test_xclient, fresh), cmocka_unit_test_setup(test_bounds, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
