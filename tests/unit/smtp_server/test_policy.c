/* SPDX-License-Identifier: Apache-2.0 */
/* Does a recipient go where the administrator said, and only for clients with the right to it? */
#include "policy.h"

#include "cmocka_all.h"

static const char *const inside_only[] = {"inside"};
static struct conf_listener internet, inside;
static struct net_prefix relay_clients[1];
static struct conf_hash relay_certs[1];
static const char *const relay_names[] = {"mx.partner.example", ".below.example"};
static struct conf_route routes[] = {
    {.domain = "*", .mx = true, .listeners = {inside_only, 1}},
    {.domain = ".example.org"},
    {.domain = "example.org", .listeners = {inside_only, 1}},
    {.domain = "example.org"},
    {.domain = ".deep.example.org"},
    {.domain = "partner.example", .relay = true},
    {.domain = "[192.0.2.1]"},
    {.domain = "gw.example.net"},
};
static struct conf conf = {.gateway.hostname = "gw.example.net",
                           .routes = routes,
                           .routes_len = sizeof(routes) / sizeof(routes[0])};

static int prepare(void **state)
{
    internet = (struct conf_listener){.name = "internet"};
    inside = (struct conf_listener){.name = "inside",
                                    .relay_clients = relay_clients,
                                    .relay_clients_len = 1,
                                    .relay_certs = relay_certs,
                                    .relay_certs_len = 1,
                                    .relay_names = {relay_names, 2}};
    memset(relay_certs[0].sha256, 7, sizeof(relay_certs[0].sha256));
    assert_int_equal(net_prefix_parse(SPAN_LIT("10.0.0.0/8"), relay_clients), ERR_OK);
    return 0;
}

static struct policy_decision decide(const struct conf_listener *listener, const char *ip,
                                     const struct tls_facts *tls, const char *domain)
{
    union net_addr addr;
    struct policy_client client = {.listener = listener, .addr = &addr, .tls = tls};

    assert_int_equal(net_addr_parse_ip(span_str(ip), 1, &addr), ERR_OK);
    return policy_decide(&conf, &client, span_str(domain));
}

/* The most specific route wins, among equals the first that the listener may use. */
static void test_specific(void **state)
{
    assert_ptr_equal(decide(&internet, "192.0.2.1", NULL, "Example.ORG").route, &routes[3]);
    assert_ptr_equal(decide(&inside, "10.0.0.1", NULL, "example.org").route, &routes[2]);
    assert_ptr_equal(decide(&internet, "192.0.2.1", NULL, "a.example.org").route, &routes[1]);
    assert_ptr_equal(decide(&internet, "192.0.2.1", NULL, "a.Deep.example.org").route, &routes[4]);
    assert_ptr_equal(decide(&internet, "192.0.2.1", NULL, "deep.example.org").route, &routes[1]);
    assert_ptr_equal(decide(&internet, "192.0.2.1", NULL, "").route, &routes[7]);
    assert_int_equal(decide(&internet, "192.0.2.1", NULL, "notexample.org").verdict,
                     POLICY_NO_ROUTE);
    assert_int_equal(decide(&internet, "192.0.2.1", NULL, ".example.org").verdict, POLICY_ROUTE);
}

/* DESIGN: a route to elsewhere (*, or marked relay) also needs the client's right. */
static void test_right(void **state)
{
    struct tls_facts tls = {.verify = TLS_VERIFY_UNCHECKED};

    assert_int_equal(decide(&internet, "10.0.0.1", NULL, "else.example").verdict, POLICY_NO_ROUTE);
    assert_int_equal(decide(&inside, "192.0.2.1", NULL, "else.example").verdict, POLICY_NO_RIGHT);
    assert_ptr_equal(decide(&inside, "10.0.0.1", NULL, "else.example").route, &routes[0]);
    assert_int_equal(decide(&internet, "10.0.0.1", NULL, "partner.example").verdict,
                     POLICY_NO_RIGHT);
    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_NO_RIGHT);
    memset(tls.cert_sha256, 7, sizeof(tls.cert_sha256));
    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_ROUTE);
    /* No certificate, whatever the bytes say. */
    tls.verify = TLS_VERIFY_NONE;
    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_NO_RIGHT);
}

/* A name counts where client_ca vouches for the certificate, and nowhere else. */
static void test_right_by_name(void **state)
{
    struct tls_facts tls = {.verify = TLS_VERIFY_OK,
                            .cert_names = "other.example\0a.below.example\0"};

    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_ROUTE);
    assert_int_equal(decide(&internet, "192.0.2.1", &tls, "partner.example").verdict,
                     POLICY_NO_RIGHT);
    tls.verify = TLS_VERIFY_FAILED;
    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_NO_RIGHT);
    tls.verify = TLS_VERIFY_UNCHECKED;
    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_NO_RIGHT);
    tls = (struct tls_facts){.verify = TLS_VERIFY_OK, .cert_names = "other.example\0"};
    assert_int_equal(decide(&inside, "192.0.2.1", &tls, "else.example").verdict, POLICY_NO_RIGHT);
}

/* An address literal is never the wildcard's: the client would choose whom we connect to. */
static void test_literal(void **state)
{
    assert_int_equal(decide(&inside, "10.0.0.1", NULL, "[127.0.0.1]").verdict, POLICY_NO_ROUTE);
    assert_ptr_equal(decide(&inside, "10.0.0.1", NULL, "[192.0.2.1]").route, &routes[6]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specific),
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_right_by_name),
        cmocka_unit_test(test_literal),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
