/* SPDX-License-Identifier: Apache-2.0 */
/* Does what is written arrive in the struct, with defaults, and does broken text tell its line? */
#include "test_conf.h"

#include "buf.h"

#include <stdlib.h>

static const char all_values[] =
    "gateway: { hostname = \"GW.Example.org\"; workers = 3; control_socket = \"run/c.sock\";\n"
    "  state_dir = \"/state\"; log_level = \"debug\"; };\n"
    "limits: { max_message = 5000000000; max_hops = 0x80; };\n"
    "resolver: { forward = \"192.0.2.53\"; reverse = false; };\n"
    "tls: { profile = \"nist-800-52r2\"; certificates = ( { cert = \"a.pem\"; } ); };\n"
    "listeners = ( { name = \"in\"; address = \"[::1]:2525\"; client_cert = \"ask\";\n"
    "    relay_clients = [ \"10.0.0.0/8\", \"::1\" ]; profile = \"modern\";\n"
    "    relay_certs = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\";\n"
    "    bare_newline = \"normalize\"; chunking = false; } );\n"
    "routes = ( { domain = \"Example.ORG\"; listeners = [ \"in\" ]; helo = \"out.example\";\n"
    "    next_hop = [ \"A.example:26\", \"[2001:db8::1]:27\", \"192.0.2.9:28\" ];\n"
    "    source = [ \"2001:db8::2\", \"192.0.2.2\" ]; max_connections = 7; xclient = true; "
    "data_to_bdat = true;\n"
    "    tls = { level = \"pin\"; mode = \"implicit\"; client = { cert = \"c\"; key = \"k\"; "
    "};\n"
    "      spki = \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"; };\n"
    "    auth = { mechanism = \"login\"; user = \"u\"; password_file = \"p\"; }; },\n"
    "  { domain = \"*\"; next_hop = \"mx\"; mx_port = 2525; tls = { level = \"may\"; }; } "
    ");\n";

static void listener_arrives(const struct conf_listener *l)
{
    union net_addr addr;

    assert_int_equal(net_addr_port(&l->addr), 2525);
    assert_true(net_addr_is_v6(&l->addr));
    assert_int_equal(l->profile, TLS_PROFILE_MODERN);
    assert_int_equal(l->client_cert, TLS_CLIENT_CERT_ASK);
    assert_int_equal(l->relay_clients_len, 2);
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("10.9.9.9"), 0, &addr), ERR_OK);
    assert_true(net_prefix_contains(&l->relay_clients[0], &addr));
    assert_int_equal(l->relay_certs_len, 1);
    assert_int_equal(l->relay_certs[0].sha256[31], 0xff);
    assert_int_equal(l->bare_newline, CONF_BARE_NEWLINE_NORMALIZE);
    assert_false(l->chunking);
    assert_false(l->require_tls);
}

static void route_arrives(const struct conf_route *r)
{
    /* printf '' | sha256sum */
    static const uint8_t empty_sha256[] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                           0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                           0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                           0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};

    assert_string_equal(r->domain, "example.org");
    assert_string_equal(r->helo, "out.example");
    assert_false(r->mx);
    assert_int_equal(r->hops_len, 3);
    assert_string_equal(r->hops[0].host, "a.example");
    assert_int_equal(r->hops[0].port, 26);
    assert_false(r->hops[0].is_addr);
    assert_true(r->hops[1].is_addr && net_addr_is_v6(&r->hops[1].addr));
    assert_string_equal(r->hops[1].host, "2001:db8::1");
    assert_int_equal(r->hops[1].port, 27);
    assert_true(r->hops[2].is_addr && net_addr_port(&r->hops[2].addr) == 28);
    assert_true(r->has_source4 && r->has_source6);
    assert_int_equal(r->max_connections, 7);
    assert_true(r->xclient);
    assert_true(r->data_to_bdat);
    assert_false(r->relay);
    assert_int_equal(r->tls.level, CONF_LEVEL_PIN);
    assert_int_equal(r->tls.mode, CONF_HOP_IMPLICIT);
    assert_int_equal(r->tls.profile, TLS_PROFILE_NIST_800_52R2);
    assert_string_equal(r->tls.client.key, "dir/k");
    assert_int_equal(r->tls.spki_len, 1);
    assert_memory_equal(r->tls.spki[0].sha256, empty_sha256, 32);
    assert_int_equal(r->auth.mechanism, CONF_AUTH_LOGIN);
    assert_string_equal(r->auth.password_file, "dir/p");
    assert_null(r->auth.password);
    assert_string_equal(r->listeners.items[0], "in");
}

static void values_arrive(void **state)
{
    struct parsed p = parse(all_values);
    const struct conf *c = p.conf;

    assert_string_equal(p.errors.text, "");
    assert_string_equal(c->gateway.hostname, "gw.example.org");
    assert_int_equal(c->gateway.workers, 3);
    assert_string_equal(c->gateway.control_socket, "dir/run/c.sock");
    assert_string_equal(c->gateway.state_dir, "/state");
    assert_int_equal(c->gateway.log_level, LOG_LEVEL_DEBUG);
    assert_true(c->limits.max_message == 5000000000);
    assert_int_equal(c->limits.max_hops, 128);
    assert_int_equal(c->resolver.forward.len, 1);
    assert_string_equal(c->resolver.forward.items[0], "192.0.2.53");
    assert_false(c->resolver.reverse);
    assert_string_equal(c->tls.certificates[0].cert, "dir/a.pem");
    assert_string_equal(c->tls.certificates[0].key, "dir/a.pem");
    listener_arrives(&c->listeners[0]);
    route_arrives(&c->routes[0]);
    assert_true(c->routes[1].mx && c->routes[1].relay);
    assert_int_equal(c->routes[1].mx_port, 2525);
    assert_int_equal(c->routes[1].hops_len, 0);
    assert_int_equal(c->routes[1].tls.level, CONF_LEVEL_MAY);
    conf_free(p.conf);
}

static void defaults_arrive(void **state)
{
    const struct parts parts = {0};
    struct parsed p = parse_parts(&parts);
    const struct conf *c = p.conf;

    assert_string_equal(p.errors.text, "");
    assert_string_equal(c->gateway.state_dir, "/var/lib/postern");
    assert_string_equal(c->gateway.metrics, "127.0.0.1:9925");
    assert_int_equal(c->gateway.log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->limits.max_recipients, 1000);
    assert_true(c->limits.max_message == 52428800);
    assert_true(c->resolver.reverse);
    assert_string_equal(c->resolver.trust_anchor, "");
    assert_true(c->listeners[0].chunking);
    assert_int_equal(c->listeners[0].tls, CONF_LISTENER_STARTTLS);
    assert_null(c->listeners[0].client_ca);
    /* Nothing is sent in plaintext that was not told to be. */
    assert_int_equal(c->routes[0].tls.level, CONF_LEVEL_ENCRYPT);
    assert_null(c->routes[0].helo);
    assert_null(c->routes[0].tls.client.cert);
    conf_free(p.conf);
}

static void broken_text_tells_its_line(void **state)
{
    assert_refused(parse("gateway: {\n  hostname = ;\n};\n"),
                   "dir/postern.conf:2: ", "syntax error");
    assert_refused(parse("a = 1;\na = 2;\n"), "dir/postern.conf:2: ", "duplicate setting name");
    struct parsed p = parse("");
    assert_true(p.errors.count >= 3);
    assert_non_null(strstr(p.errors.text, "routes: found nothing, it must be set"));
}

static void numbers_are_whole(void **state)
{
    struct parts parts = {.limits = "max_message = 9999999999999999999999;"};

    struct parsed p = parse_parts(&parts);
    assert_non_null(strstr(p.errors.text, "dir/postern.conf:2: found a number of 22 digits"));
    parts.limits = "max_message = 0xfffffffffffffffff;";
    p = parse_parts(&parts);
    assert_non_null(strstr(p.errors.text, "dir/postern.conf:2: found a number of 17 digits"));
    parts.limits = "max_message = -5000000000;";
    assert_refused(parse_parts(&parts), "dir/postern.conf:2: limits.max_message: ",
                   "found -5000000000, allowed 65536 to ");
    parts.limits = "max_message = 0x12A05F200; # 5000000000\nmax_line = 0000000000000000000000513;";
    assert_accepted(parse_parts(&parts));
    parts.limits = "max_message = 5000000000L; max_line = 1.5e3;";
    assert_refused(parse_parts(&parts), "dir/postern.conf:2: limits.max_line: ", "found 1500");
}

/* libconfig would take the rest of the file for the comment, and say nothing. */
static void a_comment_has_an_end(void **state)
{
    struct parts parts = {.gateway = "hostname = \"gw\"; /* why /* \n */"};

    assert_accepted(parse_parts(&parts));
    parts.gateway = "hostname = \"gw\"; user = \"a/*b\"; # /*\n // /* \" \n";
    assert_accepted(parse_parts(&parts));
    parts.more_routes = ");\n/* the end is missing *";
    struct parsed p = parse_parts(&parts);
    assert_refused(p, "dir/postern.conf:9: ", "found a comment without its end");
    parts.more_routes = ");\n a = \"the end \\\"is missing";
    assert_refused(parse_parts(&parts), "dir/postern.conf:9: ", "found a string without its end");
}

/* A parser that reads no file can be fuzzed, and shows an administrator what is in force. */
static void nothing_is_included(void **state)
{
    struct parsed p = parse("@include \"/etc/hostname\"\n");
    assert_non_null(
        strstr(p.errors.text, "dir/postern.conf:1: found @include, allowed is one file"));
    struct parts parts = {.gateway = "hostname = \"gw\";\n \t@include \"/etc/hostname\"\n"};
    assert_refused(parse_parts(&parts), "dir/postern.conf:2: ", "@include");
    parts.gateway = "hostname = \"gw\"; # \n#@include \"/etc/hostname\"\n";
    assert_accepted(parse_parts(&parts));
}

static void unknown_keys_are_errors(void **state)
{
    struct parts parts = {.limits = "\nmax_recipient = 200;"};

    assert_refused(parse_parts(&parts), "dir/postern.conf:3: limits.max_recipient: ",
                   "found an unknown key, the nearest known one is \"max_recipients\"");
    parts.limits = "require_tls = true;";
    assert_refused(parse_parts(&parts), "dir/postern.conf:2: limits.require_tls: ",
                   "does not belong here, it is one of listeners");
    parts.limits = "routes = true;";
    assert_refused(parse_parts(&parts), "dir/postern.conf:2: limits.routes: ",
                   "does not belong here, it stands outside of all groups");
    parts.limits = "qqqqqqqqqqqqqqqqqqqqqqqqqqqq = true;";
    assert_refused(parse_parts(&parts), "dir/postern.conf:2: limits.qqqqqqqqqqqqqqqqqqqqqqqqqqqq: ",
                   "found an unknown key");
}

static void all_errors_are_collected(void **state)
{
    struct parsed p = parse("gateway: { hostname = 1; workers = -1;\n colour = 2; };\n"
                            "limits: { max_line = 1; max_hops = 1; };\n"
                            "listeners = ( { }, { name = 7; } );\nroutes = ( 5 );\n");

    assert_int_equal(p.errors.count, 12);
    assert_non_null(strstr(p.errors.text, "listeners[1].address: found nothing"));
    assert_non_null(strstr(p.errors.text, "routes[0]: found 5"));
}

static void errors_have_a_bound(void **state)
{
    enum { KEYS = 1000 };
    char *text = malloc(KEYS * 32), *at = text;

    assert_non_null(text);
    for (int i = 0; i < KEYS; i++)
        at += snprintf(at, 32, "unknown_%d = 1;\n", i);
    struct parsed p = parse(text);
    assert_int_equal(p.errors.count, KEYS + 3); /* and three that must be set */
    assert_true(p.errors.len < sizeof(p.errors.text));
    const char *last = "(further errors are not shown)\n";
    assert_string_equal(p.errors.text + strlen(p.errors.text) - strlen(last), last);
    free(text);
}

/* A peer of this parser is an administrator, whose terminal shows what was found. */
static void found_text_is_shown_safely(void **state)
{
    struct parts parts = {.gateway = "hostname = \"\\x1b[31m\\\"\\\\\";"};

    assert_refused(parse_parts(&parts), "dir/postern.conf:1: gateway.hostname: ",
                   "found \"\\x1b[31m\\x22\\x5c\", allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(defaults_arrive),
        cmocka_unit_test(broken_text_tells_its_line),
        cmocka_unit_test(numbers_are_whole),
        cmocka_unit_test(a_comment_has_an_end),
        cmocka_unit_test(nothing_is_included),
        cmocka_unit_test(unknown_keys_are_errors),
        cmocka_unit_test(all_errors_are_collected),
        cmocka_unit_test(errors_have_a_bound),
        cmocka_unit_test(found_text_is_shown_safely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
