/* SPDX-License-Identifier: Apache-2.0 */
/* Does each rule that spans several settings hold, with a complaint that names its place? */
#include "test_conf.h"

#define PIN "spki = \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\";"
#define HASH "\"0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\""

struct rule {
    struct parts parts;
    const char *path, *within;
};

#define LISTENER "name = \"in\"; address = \"127.0.0.1:25\"; "
#define ROUTE "domain = \"example.org\"; next_hop = \"mail.example:25\"; "
#define REPORTER "organization = \"Us\"; contact = \"a@a.example\"; "
#define SENDER "domain = \"partner.example\"; "
#define ROUTE_MX "domain = \"example.org\"; next_hop = \"mx\"; "
#define ROUTE_ADDRESS "domain = \"example.org\"; next_hop = \"192.0.2.1:25\"; "
#define DANE "level = \"dane\";"
#define INSECURE(domains) "insecure = [ \"" domains "\" ];"
#define HIPAA "profile = \"hipaa\"; "
#define LISTENER_HIPAA LISTENER HIPAA "require_tls = true; "
#define AUTH "auth = { mechanism = \"plain\"; user = \"u\"; password = \"p\"; };"

static const struct rule refused[] = {
    /* listeners */
    {{.more_listeners = ", { name = \"in\"; address = \"127.0.0.1:26\"; }"},
     "listeners[1].name",
     "a name that an earlier listener has"},
    {{.more_listeners = ", { name = \"in2\"; address = \"127.0.0.1:25\"; }"},
     "listeners[1].address",
     "an address that an earlier listener has"},
    {{.listener = "name = \"in\"; address = \"[::ffff:127.0.0.1]:9925\";"},
     "listeners[0].address",
     "gateway.metrics"},
    {{.tls = ""}, "listeners[0].certificates", "at least one certificate"},
    {{.listener = LISTENER "tls = \"none\"; require_tls = true;"},
     "listeners[0].require_tls",
     "nobody could send"},
    {{.listener = LISTENER "tls = \"none\"; client_cert = \"ask\";"},
     "listeners[0].client_cert",
     "certificates need TLS"},
    {{.listener = LISTENER "tls = \"none\"; groups = \"X25519\";"},
     "listeners[0].groups",
     "no effect"},
    {{.listener = LISTENER "tls = \"none\"; profile = \"modern\";"},
     "listeners[0].profile",
     "with tls = \"starttls\" or \"implicit\""},
    {{.listener = LISTENER "tls = \"none\"; certificates = ( { cert = \"c\"; } );"},
     "listeners[0].certificates",
     "no effect"},
    {{.listener = LISTENER "tls = \"none\"; client_ca = \"ca.pem\";"},
     "listeners[0].client_ca",
     "no effect"},
    {{.listener = LISTENER "tls = \"none\"; relay_certs = " HASH ";"},
     "listeners[0].relay_certs",
     "no effect"},
    {{.listener = LISTENER "client_ca = \"ca.pem\";"}, "listeners[0].client_ca", "no effect"},
    {{.listener = LISTENER "relay_certs = " HASH ";"}, "listeners[0].relay_certs", "no effect"},
    {{.listener = LISTENER "client_cert = \"require\";"},
     "listeners[0].client_cert",
     "require_tls = true"},
    {{.listener = LISTENER "client_cert = \"ask\"; relay_names = \"a.example\";"},
     "listeners[0].relay_names",
     "client_ca"},
    {{.listener = LISTENER "tls = \"none\"; relay_names = \"a.example\";"},
     "listeners[0].relay_names",
     "with tls"},
    {{.listener = LISTENER "require_auth = true;"}, "listeners[0].require_auth", "auth_users"},
    {{.listener = LISTENER "tls = \"none\"; auth_users = \"u\";"},
     "listeners[0].auth_users",
     "with tls"},
    /* routes */
    {{.route = ROUTE "listeners = [ \"im\" ];"}, "routes[0].listeners", "perhaps \"in\""},
    {{.route = ROUTE "listeners = \"elsewhere\";"}, "routes[0].listeners", "no listener is called"},
    {{.more_routes = ", { " ROUTE_MX " }"}, "routes[1].domain", "never be used"},
    {{.more_routes = ", { " ROUTE_MX " listeners = \"in\"; }"},
     "routes[1].domain",
     "never be used"},
    {{.route = ROUTE "mx_port = 26;"}, "routes[0].mx_port", "no effect"},
    {{.route = "domain = \"example.org\"; next_hop = [ \"mail.example:25\", \"mx\" ];"},
     "routes[0].next_hop",
     "\"mx\" alone"},
    {{.route = "domain = \"example.org\"; next_hop = \"127.0.0.1:25\";"},
     "routes[0].next_hop",
     "loop"},
    /* tls of routes */
    {{.route_tls = "level = \"pin\";"}, "routes[0].tls.level", "at least one pin"},
    {{.route_tls = PIN}, "routes[0].tls.spki", "no effect"},
    {{.route_tls = "pin_file = \"pins.conf\";"}, "routes[0].tls.pin_file", "no effect"},
    {{.route_tls = "level = \"verify\"; pin_file = \"pins.conf\";"},
     "routes[0].tls.pin_file",
     "no effect"},
    {{.route_tls = "level = \"pin\"; pin_file = \"pins.conf\"; " PIN},
     "routes[0].tls.pin_file",
     "one or the other"},
    {{.route_tls = "level = \"pin\"; pin_file = \"pins.conf\"; fingerprints = " HASH ";"},
     "routes[0].tls.pin_file",
     "one or the other"},
    {{.route_tls = "level = \"verify\"; fingerprints = " HASH ";"},
     "routes[0].tls.fingerprints",
     "no effect"},
    {{.route_tls = "level = \"encrypt\"; ca = \"ca.pem\";"}, "routes[0].tls.ca", "no effect"},
    {{.route_tls = "level = \"may\"; names = \"a.example\";"}, "routes[0].tls.names", "no effect"},
    {{.route = "domain = \"example.org\"; next_hop = \"192.0.2.1:25\";",
      .route_tls = "level = \"verify\";"},
     "routes[0].tls.names",
     "next_hop that is an address"},
    {{.route_tls = "level = \"none\"; sni = \"a.example\";"}, "routes[0].tls.sni", "no effect"},
    {{.route_tls = "level = \"encrypt\"; ratchet = \"hold\";"},
     "routes[0].tls.ratchet",
     "level \"may\" or \"auto\": others refuse what is less"},
    {{.route_tls = "level = \"dane\"; ratchet = \"warn\";",
      .route = "domain = \"a.example\"; next_hop = \"mx\";"},
     "routes[0].tls.ratchet",
     "no effect"},
    {{.route_tls = "level = \"none\"; groups = \"X25519\";"}, "routes[0].tls.groups", "no effect"},
    {{.route_tls = "level = \"none\"; profile = \"modern\";"},
     "routes[0].tls.profile",
     "a level above \"none\""},
    {{.route_tls = "level = \"none\"; mode = \"implicit\";"}, "routes[0].tls.mode", "no effect"},
    {{.route_tls = "level = \"none\"; client = { cert = \"c\"; };"},
     "routes[0].tls.client",
     "no effect"},
    {{.route_tls = "level = \"may\"; mode = \"implicit\";"},
     "routes[0].tls.mode",
     "knows no plaintext"},
    {{.route_tls = "level = \"auto\"; mode = \"implicit\";"},
     "routes[0].tls.mode",
     "knows no plaintext"},
    /* Levels that DNS and HTTPS decide. */
    {{.route_tls = "level = \"sts\";"}, "routes[0].tls.level", "a domain's mail exchangers"},
    {{.route = ROUTE_ADDRESS, .route_tls = "level = \"sts\";"},
     "routes[0].tls.level",
     "a domain's mail exchangers"},
    {{.route = ROUTE_ADDRESS, .route_tls = "level = \"dane\";"},
     "routes[0].tls.level",
     "an address has no TLSA records"},
    {{.route = ROUTE_ADDRESS, .route_tls = "level = \"auto\";"},
     "routes[0].tls.level",
     "an address has no TLSA records"},
    {{.resolver = INSECURE("mail.example"), .route_tls = DANE}, "routes[0].tls.level", "for ever"},
    {{.resolver = INSECURE("EXAMPLE"), .route_tls = DANE}, "routes[0].tls.level", "for ever"},
    {{.resolver = INSECURE("a.test\", \"example.org"), .route = ROUTE_MX, .route_tls = DANE},
     "routes[0].tls.level",
     "for ever"},
    {{.resolver = INSECURE("corp.test"),
      .route = "domain = \".in.corp.test\"; next_hop = \"mx\"; ",
      .route_tls = DANE},
     "routes[0].tls.level",
     "for ever"},
    {{.resolver = INSECURE("corp.test"),
      .route = "domain = \"*\"; next_hop = [ \"a.example:25\", \"b.corp.test:25\" ]; ",
      .route_tls = DANE},
     "routes[0].tls.level",
     "for ever"},
    {{.route_tls = "level = \"dane\"; ca = \"ca.pem\"; "},
     "routes[0].tls.ca",
     "\"verify\", \"sts\" or \"auto\""},
    {{.route_tls = "level = \"dane\"; names = \"a.example\"; "},
     "routes[0].tls.names",
     "no effect"},
    {{.route = ROUTE_MX, .route_tls = "level = \"sts\"; names = \"a.example\"; "},
     "routes[0].tls.names",
     "with level = \"verify\""},
    {{.route_tls = "level = \"auto\"; names = \"a.example\"; "},
     "routes[0].tls.names",
     "no effect"},
    {{.route_tls = "level = \"dane\"; " PIN}, "routes[0].tls.spki", "with level = \"pin\""},
    {{.route_tls = "level = \"auto\"; fingerprints = " HASH ";"},
     "routes[0].tls.fingerprints",
     "no effect"},
    {{.route_tls = "level = \"dane\"; sni = \"a.example\";"},
     "routes[0].tls.sni",
     "the host's own name"},
    {{.route = ROUTE_MX, .route_tls = "level = \"auto\"; sni = \"a.example\";"},
     "routes[0].tls.sni",
     "the host's own name"},
    /* Dataplanes that this version can't honour are refused, never weakened. */
    {{.gateway = "hostname = \"gw\"; kernel_fixes = \"ignore\";"},
     "gateway.kernel_fixes",
     "\"warn\""},
    {{.gateway = "hostname = \"gw\"; dataplane = \"dpdk\";"}, "gateway.dataplane", "DPDK"},
    {{.gateway = "hostname = \"gw\"; aead = \"libipsec\";"}, "gateway.aead", "\"ipsec-mb\""},
    /* Suites and versions, and a profile that asks more of who uses it. */
    {{.listener = LISTENER "tls = \"none\"; min_version = \"1.3\";"},
     "listeners[0].min_version",
     "no effect"},
    {{.listener = LISTENER "tls = \"none\"; suites = \"TLS_AES_128_GCM_SHA256\";"},
     "listeners[0].suites",
     "no effect"},
    {{.route_tls = "level = \"none\"; min_version = \"1.3\";"},
     "routes[0].tls.min_version",
     "no effect"},
    {{.route_tls = "level = \"none\"; suites = \"TLS_AES_128_GCM_SHA256\";"},
     "routes[0].tls.suites",
     "no effect"},
    {{.route_tls = "min_version = \"1.1\";"}, "routes[0].tls.min_version", "\"1.2\" or \"1.3\""},
    {{.listener = LISTENER "profile = \"hipaa\";"}, "listeners[0].require_tls", "nist-800-52r2"},
    {{.tls = "profile = \"hipaa\";",
      .listener = LISTENER "tls = \"none\";",
      .route_tls = "level = \"verify\";"},
     "listeners[0].tls",
     "\"starttls\" or \"implicit\""},
    {{.listener = LISTENER_HIPAA "groups = [ \"P-256\", \"X25519\" ];"},
     "listeners[0].groups",
     "NIST SP 800-52"},
    {{.listener = LISTENER_HIPAA "suites = \"TLS_CHACHA20_POLY1305_SHA256\";"},
     "listeners[0].suites",
     "NIST SP 800-52"},
    {{.route_tls = HIPAA}, "routes[0].tls.level", "\"dane\" or \"sts\""},
    {{.route_tls = HIPAA "level = \"may\";"}, "routes[0].tls.level", "any certificate, or none"},
    {{.route_tls = HIPAA "level = \"auto\";"}, "routes[0].tls.level", "any certificate, or none"},
    {{.route_tls = HIPAA "level = \"verify\"; suites = \"TLS_RSA_WITH_AES_128_GCM_SHA256\";"},
     "routes[0].tls.suites",
     "an ephemeral key"},
    {{.route_tls = HIPAA "level = \"verify\"; groups = \"X25519MLKEM768\";"},
     "routes[0].tls.groups",
     "P-521"},
    /* auth */
    {{.route = ROUTE AUTH, .route_tls = "level = \"may\";"},
     "routes[0].auth.mechanism",
     "without TLS"},
    {{.route = ROUTE AUTH, .route_tls = "level = \"none\";"},
     "routes[0].auth.mechanism",
     "without TLS"},
    {{.route = ROUTE AUTH, .route_tls = "level = \"auto\";"},
     "routes[0].auth.mechanism",
     "without TLS"},
    {{.route = ROUTE_MX AUTH}, "routes[0].auth.mechanism", "fixed next_hop"},
    {{.route = ROUTE "auth = { mechanism = \"plain\"; password = \"p\"; };"},
     "routes[0].auth.user",
     "a user name"},
    {{.route = ROUTE "auth = { mechanism = \"plain\"; user = \"u\"; };"},
     "routes[0].auth.password_file",
     "password_file or password"},
    {{.route = ROUTE
      "auth = { mechanism = \"plain\"; user = \"u\"; password = \"p\"; password_file = \"f\"; };"},
     "routes[0].auth.password",
     "one of them"},
    {{.route = ROUTE "auth = { user = \"u\"; };"}, "routes[0].auth.user", "no effect"},
    /* senders */
    {{.senders = "{ " SENDER "listeners = \"im\"; }"}, "senders[0].listeners", "perhaps \"in\""},
    {{.senders = "{ " SENDER "}, { " SENDER "}"}, "senders[1].domain", "never be used"},
    /* tlsrpt */
    {{.tlsrpt = REPORTER "send = { from = \"r@a.example\"; submission = \"127.0.0.1:25\"; };"},
     "tlsrpt.send.submission",
     "dkim_key and dkim_selector beside it"},
    {{.tlsrpt = REPORTER "send = { from = \"r@a.example\"; dkim_key = \"k.pem\"; };"},
     "tlsrpt.send.dkim_key",
     "with submission"},
    {{.tlsrpt = REPORTER "send = { from = \"r@a.example\"; dkim_selector = \"s\"; };"},
     "tlsrpt.send.dkim_selector",
     "with submission"},
    {{.tls = "", .listener = LISTENER "tls = \"none\";", .senders = "{ " SENDER "}"},
     "senders[0].level",
     "where a listener has TLS"},
    {{.senders = "{ " SENDER "level = \"verify\"; }"}, "senders[0].level", "client_cert"},
    {{.senders = "{ " SENDER "certs = " HASH "; }"}, "senders[0].level", "client_cert"},
    {{.senders = "{ " SENDER "pin_file = \"pins.conf\"; }"}, "senders[0].level", "client_cert"},
    {{.listener = LISTENER "client_cert = \"ask\";",
      .senders = "{ " SENDER "pin_file = \"pins.conf\"; certs = " HASH "; }"},
     "senders[0].pin_file",
     "one or the other"},
    {{.listener = LISTENER "client_cert = \"ask\";",
      .senders = "{ " SENDER "level = \"verify\"; }"},
     "senders[0].names",
     "client_ca"},
    {{.listener = LISTENER "client_cert = \"ask\";",
      .senders = "{ " SENDER "certs = " HASH "; names = \"a.example\"; }"},
     "senders[0].names",
     "client_ca"},
    {{.more_listeners = ", { name = \"in2\"; address = \"127.0.0.1:26\"; client_cert = \"ask\"; }",
      .senders = "{ " SENDER "certs = " HASH "; listeners = \"in\"; }"},
     "senders[0].level",
     "client_cert"},
    {{.senders = "{ " SENDER "users = \"anna\"; }"}, "senders[0].users", "auth_users"},
    /* limits */
    {{.limits = "hop_connect_timeout_s = 121;"}, "limits.hop_connect_timeout_s", "hop_budget_s"},
    {{.limits = "session_timeout_s = 10; handshake_timeout_s = 11;"},
     "limits.handshake_timeout_s",
     "session_timeout_s"},
    {{.limits = "max_message = 65536; max_header = 65537;"}, "limits.max_header", "max_message"},
};

static void every_rule_refuses(void **state)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct parsed p = parse_parts(&refused[i].parts);
        char path[128];
        snprintf(path, sizeof(path), " %s: found ", refused[i].path);
        if (p.errors.count != 1 || !strstr(p.errors.text, path) ||
            !strstr(p.errors.text, ", allowed ") || !strstr(p.errors.text, refused[i].within))
            fail_msg("rule %zu: expected %s ... %s, got: %s", i, path, refused[i].within,
                     p.errors.text);
        conf_free(p.conf);
    }
}

static const struct parts accepted[] = {
    {.more_listeners = ", { name = \"in2\"; address = \"0.0.0.0:25\"; }"},
    {.tls = "", .listener = LISTENER "tls = \"none\";"},
    {.tls = "", .listener = LISTENER "certificates = ( { cert = \"c\"; } );"},
    {.listener = LISTENER "client_cert = \"require\"; require_tls = true; relay_certs = " HASH ";"},
    {.listener = LISTENER "client_cert = \"require\"; tls = \"implicit\";"},
    {.more_listeners = ", { name = \"in2\"; address = \"127.0.0.1:26\"; }",
     .route = ROUTE "listeners = \"in\";",
     .more_routes = ", { " ROUTE_MX " listeners = [ \"in2\" ]; }, { " ROUTE_MX " }"},
    {.route = ROUTE_MX, .route_tls = "level = \"pin\"; fingerprints = " HASH ";"},
    {.route_tls = "level = \"pin\"; pin_file = \"pins.conf\";"},
    {.listener = LISTENER "client_cert = \"ask\";",
     .senders = "{ " SENDER "level = \"verify\"; pin_file = \"pins.conf\"; }"},
    {.route = ROUTE_MX, .route_tls = "level = \"verify\";"},
    {.route = "domain = \"*\"; next_hop = \"192.0.2.1:25\";",
     .route_tls = "level = \"verify\"; names = \"a.example\"; ca = \"ca.pem\";"},
    {.route_tls = "level = \"dane\"; mode = \"implicit\";"},
    {.route = ROUTE_MX, .route_tls = "level = \"dane\";"},
    {.route = ROUTE AUTH, .route_tls = "level = \"dane\";"},
    {.resolver = INSECURE("ail.example"), .route_tls = DANE},
    {.resolver = INSECURE("a.mail.example"), .route_tls = DANE},
    {.resolver = INSECURE("mail.example"), .route = ROUTE_MX, .route_tls = DANE},
    {.resolver = INSECURE("corp.test"),
     .route = "domain = \"*\"; next_hop = \"mx\"; ",
     .route_tls = DANE},
    {.resolver = INSECURE("corp.test"),
     .route = "domain = \".test\"; next_hop = \"mx\"; ",
     .route_tls = DANE},
    {.resolver = INSECURE("mail.example"), .route_tls = "level = \"auto\";"},
    {.resolver = INSECURE("mail.example") " trust_anchor = \"anchors\";", .route_tls = DANE},
    {.route = ROUTE_MX, .route_tls = "level = \"sts\"; ca = \"ca.pem\";"},
    {.route = ROUTE_MX,
     .route_tls = "level = \"auto\"; ca = \"ca.pem\"; client = { cert = \"c\"; };"},
    {.route_tls = "level = \"auto\";"},
    {.listener = LISTENER_HIPAA "suites = \"TLS_AES_256_GCM_SHA384\"; groups = \"P-521\";"},
    {.listener = LISTENER HIPAA "tls = \"implicit\";", .route_tls = HIPAA "level = \"dane\";"},
    {.route = ROUTE_MX, .route_tls = HIPAA "level = \"sts\"; min_version = \"1.3\";"},
    {.route_tls = "suites = [ \"TLS_AES_128_GCM_SHA256\", \"TLS_RSA_WITH_AES_128_GCM_SHA256\" ];"},
    {.route = ROUTE AUTH},
    {.route = ROUTE "auth = { };"},
    {.route_tls = "level = \"none\";"},
    {.listener = LISTENER "client_cert = \"ask\"; client_ca = \"ca.pem\"; relay_names = "
                          "[ \"a.example\", \".b.example\" ];"},
    {.listener = LISTENER "require_tls = true; auth_users = \"u\"; require_auth = true;",
     .senders = "{ " SENDER "level = \"verify\"; users = [ \"anna\", \"bert\" ]; }"},
    {.senders = "{ " SENDER "}, { domain = \".partner.example\"; refuse = \"temporary\"; }"},
    {.senders = "{ " SENDER "listeners = \"in\"; }, { " SENDER "}"},
    {.listener = LISTENER "client_cert = \"ask\";",
     .senders = "{ " SENDER "level = \"verify\"; certs = " HASH "; }"},
    {.more_listeners = ", { name = \"in2\"; address = \"127.0.0.1:26\"; client_cert = \"ask\"; "
                       "client_ca = \"ca.pem\"; }",
     .senders = "{ " SENDER "level = \"verify\"; names = \".partner.example\"; }"},
    {.limits = "hop_budget_s = 5; session_timeout_s = 5; max_message = 65536;"},
};

static void nothing_else_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
        assert_accepted(parse_parts(&accepted[i]));
}

/* Complaints of rules carry the line of what they are about. */
static void rules_tell_the_line(void **state)
{
    const struct parts parts = {.route_tls = "level = \"encrypt\";\n" PIN "\n"};

    assert_refused(parse_parts(&parts), "dir/postern.conf:7: routes[0].tls.spki: ", "no effect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_refuses),
        cmocka_unit_test(nothing_else_is_refused),
        cmocka_unit_test(rules_tell_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
