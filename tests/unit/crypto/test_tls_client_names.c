/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names of a certificate are a host's (RFC 6125, 9525), between our own client and our own
 * server: each row is run as a CA's certificate (level verify, MTA-STS) and as one under a trust
 * anchor from DNS (usage 2 of DANE), for both must judge alike.
 */
#include "tls_lab.h"

#include "tls_cert.h"

#include <string.h>

static struct lab_cert root;

#define DNS(text)                                                                                  \
    {                                                                                              \
        GEN_DNS, text                                                                              \
    }
#define DNS_BYTES(text)                                                                            \
    {                                                                                              \
        GEN_DNS, text, sizeof(text) - 1                                                            \
    }
#define IP(bytes)                                                                                  \
    {                                                                                              \
        GEN_IPADD, bytes, sizeof(bytes) - 1                                                        \
    }
#define IPV6_DOC "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define MX "mx.example.org"
/* Labels of 63, 63, 63 and 61 octets: the longest name there is, 253 in text. */
#define LABEL "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define LONGEST                                                                                    \
    LABEL "." LABEL "." LABEL ".abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy"

static const struct row {
    struct lab_san sans[4];
    const char *cn;
    const char *names[3]; /* looked for */
    const char *matched;  /* NULL: refused */
    size_t cn_len;
} rows[] = {
    {{DNS(MX)}, NULL, {MX}, MX},
    {{DNS("mx2.example.org")}, NULL, {MX}, NULL},
    {{DNS("example.org")}, NULL, {MX}, NULL},
    {{DNS(MX)}, NULL, {"example.org"}, NULL},
    {{DNS(MX)}, NULL, {"ample.org"}, NULL},
    {{DNS(MX)}, NULL, {"mx.example.or"}, NULL},
    {{DNS("")}, NULL, {MX}, NULL},
    {{DNS(LONGEST)}, NULL, {LONGEST}, LONGEST},
    /* case */
    {{DNS("MX.Example.ORG")}, NULL, {MX}, MX},
    {{DNS(MX)}, NULL, {"MX.EXAMPLE.ORG"}, "MX.EXAMPLE.ORG"},
    {{DNS("*.EXAMPLE.org")}, NULL, {MX}, MX},
    /* several */
    {{DNS("a.example"), DNS("b.example"), DNS(MX)}, NULL, {MX}, MX},
    {{DNS("a.example"), DNS("b.example"), DNS("c.example")}, NULL, {MX}, NULL},
    {{DNS("b.example")}, NULL, {MX, "b.example"}, "b.example"},
    {{DNS("b.example")}, NULL, {MX, "a.example"}, NULL},
    {{DNS(MX)}, NULL, {NULL}, NULL},
    /* RFC-RULES: "a wildcard is the whole leftmost label" (RFC 6125 section 6.4.3) */
    {{DNS("*.example.org")}, NULL, {MX}, MX},
    {{DNS("*.example.org")}, NULL, {"a.mx.example.org"}, NULL},
    {{DNS("*.example.org")}, NULL, {"example.org"}, NULL},
    {{DNS("*.example.org")}, NULL, {"mx.example.net"}, NULL},
    {{DNS("*.mx.example.org")}, NULL, {MX}, NULL},
    {{DNS("*.*.example.org")}, NULL, {"a.b.example.org"}, NULL},
    {{DNS("mx.*.org")}, NULL, {MX}, NULL},
    {{DNS("mx.*.example.org")}, NULL, {"mx.a.example.org"}, NULL},
    {{DNS("mx*.example.org")}, NULL, {"mx1.example.org"}, NULL},
    {{DNS("*mx.example.org")}, NULL, {"amx.example.org"}, NULL},
    {{DNS("m*x.example.org")}, NULL, {"m1x.example.org"}, NULL},
    {{DNS("**.example.org")}, NULL, {MX}, NULL},
    /* A wildcard has two labels behind it at least; a list of public suffixes is not consulted, a
     * CA does that (RFC 6125 section 7.2). */
    {{DNS("*")}, NULL, {MX}, NULL},
    {{DNS("*")}, NULL, {"localhost"}, NULL},
    {{DNS("*.")}, NULL, {"org"}, NULL},
    {{DNS("*.org")}, NULL, {"example.org"}, NULL},
    {{DNS("*.co.uk")}, NULL, {"example.co.uk"}, "example.co.uk"},
    {{DNS("*.co.uk")}, NULL, {"mx.example.co.uk"}, NULL},
    /* IDN: A-labels on both sides (RFC 6125 section 6.4.2) */
    {{DNS("xn--bcher-kva.example")}, NULL, {"xn--bcher-kva.example"}, "xn--bcher-kva.example"},
    {{DNS("XN--BCHER-KVA.example")}, NULL, {"xn--bcher-kva.example"}, "xn--bcher-kva.example"},
    {{DNS("*.example.org")}, NULL, {"xn--bcher-kva.example.org"}, "xn--bcher-kva.example.org"},
    {{DNS("xn--*.example.org")}, NULL, {"xn--bcher-kva.example.org"}, NULL},
    {{DNS("xn--bcher-kva.example")},
     NULL,
     {"b\xc3\xbc"
      "cher.example"},
     NULL},
    {{DNS("b\xc3\xbc"
          "cher.example")},
     NULL,
     {"b\xc3\xbc"
      "cher.example"},
     NULL},
    {{DNS("b\xc3\xbc"
          "cher.example")},
     NULL,
     {"xn--bcher-kva.example"},
     NULL},
    /* NUL, which a CA may have read past (CVE-2009-2408) */
    {{DNS_BYTES(MX "\0.evil.example")}, NULL, {MX}, NULL},
    {{DNS_BYTES(MX "\0.evil.example")}, NULL, {".evil.example"}, NULL},
    {{DNS_BYTES(MX "\0")}, NULL, {MX}, NULL},
    {{DNS_BYTES("\0" MX)}, NULL, {MX}, NULL},
    {{DNS_BYTES("evil.example\0"), DNS(MX)}, NULL, {MX}, MX},
    {{{0}}, MX "\0.evil.example", {MX}, NULL, sizeof(MX "\0.evil.example") - 1},
    /* Addresses are addresses (RFC 9525 section 6.5). */
    {{IP("\xc0\0\2\1")}, NULL, {"192.0.2.1"}, "192.0.2.1"},
    {{IP("\xc0\0\2\2")}, NULL, {"192.0.2.1"}, NULL},
    {{IP("\xc0\0\2\2"), IP("\xc0\0\2\1")}, NULL, {"192.0.2.1"}, "192.0.2.1"},
    {{IP(IPV6_DOC)}, NULL, {"2001:db8::1"}, "2001:db8::1"},
    {{IP(IPV6_DOC)}, NULL, {"2001:DB8:0:0::1"}, "2001:DB8:0:0::1"},
    {{IP(IPV6_DOC)}, NULL, {"2001:db8::2"}, NULL},
    {{IP("\xc0\0\2\1")}, NULL, {"::ffff:192.0.2.1"}, NULL},
    {{DNS("192.0.2.1")}, NULL, {"192.0.2.1"}, NULL},
    {{DNS("2001:db8::1")}, NULL, {"2001:db8::1"}, NULL},
    {{DNS("*.0.2.1")}, NULL, {"192.0.2.1"}, NULL},
    {{{0}}, "192.0.2.1", {"192.0.2.1"}, NULL},
    {{IP("\xc0\0\2\1")}, NULL, {MX}, NULL},
    /* CN: only where there is no DNS name (RFC 6125 section 6.4.4; RFC 7672 section 3.2.3) */
    {{{0}}, MX, {MX}, MX},
    {{{0}}, "MX.example.ORG", {MX}, MX},
    {{{0}}, "*.example.org", {MX}, MX},
    {{{0}}, "*.example.org", {"a.mx.example.org"}, NULL},
    {{{0}}, "other.example", {MX}, NULL},
    {{{0}}, NULL, {MX}, NULL},
    {{DNS("other.example")}, MX, {MX}, NULL},
    {{DNS(MX)}, "other.example", {MX}, MX},
    {{DNS(MX)}, "other.example", {"other.example"}, NULL},
    /* Other kinds of names are none of a host. */
    {{{GEN_EMAIL, "postmaster@" MX}}, NULL, {MX}, NULL},
    {{{GEN_EMAIL, "postmaster@" MX}}, NULL, {"postmaster@" MX}, NULL},
    {{{GEN_EMAIL, MX}}, NULL, {MX}, NULL},
    {{{GEN_EMAIL, "postmaster@" MX}}, MX, {MX}, MX},
    {{{GEN_URI, "https://" MX "/"}}, NULL, {MX}, NULL},
    {{{GEN_URI, MX}}, NULL, {MX}, NULL},
    {{{GEN_EMAIL, "a@b.example"}, DNS(MX)}, NULL, {MX}, MX},
    /* A final dot is not part of a name here, on either side. */
    {{DNS(MX ".")}, NULL, {MX}, NULL},
    {{DNS(MX)}, NULL, {MX "."}, NULL},
    /* ".domain": the administrator means any host below it. */
    {{DNS(MX)}, NULL, {".example.org"}, ".example.org"},
    {{DNS("a.b." MX)}, NULL, {".example.org"}, ".example.org"},
    {{DNS("*.example.org")}, NULL, {".example.org"}, ".example.org"},
    {{DNS("MX.EXAMPLE.ORG")}, NULL, {".example.org"}, ".example.org"},
    {{DNS("example.org")}, NULL, {".example.org"}, NULL},
    {{DNS("mxexample.org")}, NULL, {".example.org"}, NULL},
    {{DNS("mx.example.org.evil.example")}, NULL, {".example.org"}, NULL},
    {{DNS(MX)}, NULL, {"." MX}, NULL},
    {{DNS(".example.org")}, NULL, {MX}, NULL},
    {{DNS(".example.org")}, NULL, {"example.org"}, NULL},
};

static int setup(void **state)
{
    if (lab_setup(state))
        return -1;
    lab_cert_make(&root, &(struct lab_cert_spec){.cn = "Root", .ca = true});
    return 0;
}

static int teardown(void **state)
{
    lab_cert_free(&root);
    return lab_teardown(state);
}

static struct lab client, server;

/* What is not matched passes all the same, and is told. */
static void row_check_lenient(const struct row *row, size_t number)
{
    if (!client.done)
        fail_msg("row %zu, lenient: failed, \"%s\"", number, client.failure.text);
    assert_int_equal(client.facts.verify, row->matched ? TLS_VERIFY_OK : TLS_VERIFY_FAILED);
    assert_int_equal(strncmp(client.facts.verify_text, "the certificate is for ", 23) == 0,
                     row->matched == NULL);
}

static void row_check(const struct row *row, size_t number, bool dane)
{
    char text[96];

    snprintf(text, sizeof(text), "%sname %s", dane ? "dane 2 1 1, " : "",
             row->matched ? row->matched : "");
    if (client.done != (row->matched != NULL))
        fail_msg("row %zu%s: %s, \"%s\"", number, dane ? ", DANE" : "",
                 client.done ? "done" : "failed",
                 client.done ? client.facts.verify_text : client.failure.text);
    if (client.done) {
        assert_int_equal(client.facts.verify, TLS_VERIFY_OK);
        assert_string_equal(client.facts.verify_text, text);
    } else {
        assert_int_equal(client.failure.kind, TLS_FAIL_VERIFY);
        assert_non_null(strstr(client.failure.text, "the certificate is for "));
        for (const char *c = client.failure.text; *c; c++)
            assert_true((uint8_t)*c >= 0x20 && (uint8_t)*c < 0x7f);
    }
}

static void rows_run(enum tls_check check, bool lenient)
{
    uint8_t digest[32];
    const struct tls_tlsa anchor = {TLSA_DANE_TA, TLSA_SPKI, TLSA_SHA256, sizeof(digest), digest};
    struct tls_client_ctx *ctx = lab_client_ctx(
        &(struct tls_client_conf){.names = check == TLS_CHECK_NAME, .ca = root.cert_file});

    assert_true(tls_cert_spki_sha256(root.cert, digest));
    lab_open(&client);
    lab_open(&server);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab_cert_spec spec = {
            .cn = rows[i].cn, .cn_len = rows[i].cn_len, .sans = rows[i].sans, .issuer = &root};
        struct tls_client_request request = {.ctx = ctx,
                                             .check = check,
                                             .lenient = lenient,
                                             .names = rows[i].names,
                                             .tlsa = &anchor,
                                             .tlsa_len = 1};
        struct lab_cert leaf;

        while (spec.sans_len < 4 && rows[i].sans[spec.sans_len].bytes)
            spec.sans_len++;
        while (rows[i].names[request.names_len])
            request.names_len++;
        lab_cert_make(&leaf, &spec);
        const struct tls_cert_files files = {leaf.cert_file, leaf.key_file};
        struct tls_server_ctx *server_ctx = lab_server_ctx(
            &(struct tls_server_conf){.name = "names", .certs = &files, .certs_len = 1});
        lab_server(&server, server_ctx);
        lab_client(&client, &request);
        lab_pair(&client, &server);
        if (lenient)
            row_check_lenient(&rows[i], i);
        else
            row_check(&rows[i], i, check == TLS_CHECK_DANE);
        lab_next(&client);
        lab_next(&server);
        tls_server_ctx_free(server_ctx);
        lab_cert_free(&leaf);
    }
    lab_close(&client);
    lab_close(&server);
    tls_client_ctx_free(ctx);
}

static void names_under_a_ca(void **state)
{
    rows_run(TLS_CHECK_NAME, false);
}

static void names_under_an_anchor_from_dns(void **state)
{
    rows_run(TLS_CHECK_DANE, false);
}

static void names_that_may_be_wrong(void **state)
{
    rows_run(TLS_CHECK_NAME, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_under_a_ca),
        cmocka_unit_test(names_under_an_anchor_from_dns),
        cmocka_unit_test(names_that_may_be_wrong),
    };
    return cmocka_run_group_tests_name("tls_client_names", tests, setup, teardown);
}
