/* SPDX-License-Identifier: Apache-2.0 */
/* appliance.conf: what no single setting can say is told by file, line and key; what is written is
 * read as it was; and the example file holds. */
#include "../cmocka_all.h"

#include "appliance.h"

#include <stdio.h>
#include <stdlib.h>

#define HEAD "hostname = \"mx\";\n"
#define NET(text) HEAD "network = (\n{ " text " }\n);\n"
#define HASH "$6$salt$0123456789abcdef"

static struct appliance *read_good(const char *text)
{
    struct conf_errors errors;
    struct appliance *a;

    if (appliance_parse(text, "appliance.conf", &a, &errors) != ERR_OK)
        fail_msg("%s: %s", text, errors.text);
    return a;
}

static void nothing_said_is_dhcp_on_the_first(void **state)
{
    struct appliance *a = read_good(appliance_default_text);

    assert_string_equal(a->hostname, "postern");
    assert_string_equal(a->time_zone, "UTC");
    assert_int_equal(a->networks_len, 1);
    assert_string_equal(a->networks[0].interface, "first");
    assert_int_equal(a->networks[0].dhcp, APPLIANCE_DHCP_BOTH);
    assert_null(a->admin_password);
    assert_null(a->acme.directory);
    assert_int_equal(a->ssh_keys.len, 0);
    appliance_free(a);
}

static void what_follows_is_filled_in(void **state)
{
    struct appliance *a =
        read_good(HEAD "network = ( { addresses = \"192.0.2.25/24\"; gateways = \"192.0.2.1\"; },\n"
                       "{ interface = \"52:54:00:AB:CD:EF\"; vlan = 7; dhcp = \"ipv6\"; } );\n"
                       "acme = { terms = \"agreed\"; };\n"
                       "ntp = ( { server = \"T.Example\"; } );\n");

    assert_int_equal(a->networks[0].dhcp, APPLIANCE_DHCP_NONE);
    assert_int_equal(a->networks[0].addresses[0].bits, 24);
    assert_string_equal(a->networks[1].interface, "52:54:00:ab:cd:ef");
    assert_int_equal(a->networks[1].dhcp, APPLIANCE_DHCP_IPV6);
    assert_string_equal(a->acme.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_int_equal(a->acme.names.len, 1);
    assert_string_equal(a->acme.names.items[0], "mx");
    assert_string_equal(a->ntp[0].server, "t.example");
    assert_true(a->ntp[0].nts);
    appliance_free(a);
}

static const struct {
    const char *text, *says;
} wrong[] = {
    {"", "appliance.conf: hostname: found nothing, it must be set: a host name"},
    {HEAD "listeners = ( );\n",
     "appliance.conf:2: listeners: found a key that does not belong here, "
     "it is one of postern.conf"},
    {HEAD "vlan = 7;\n", "vlan: found a key that does not belong here, it is one of network"},
    {HEAD "hostnam = \"x\";\n", "the nearest known one is \"hostname\""},
    {HEAD "xyzzyxyzzy = 1;\n", "found an unknown key, appliance.conf(5) lists the known ones"},
    {HEAD "x = {\n", "see appliance.conf(5)"},
    {HEAD "admin_password = \"secret\";\n",
     "appliance.conf:2: admin_password: found \"secret\", allowed a hash of a password"},
    {NET("} , {"), "appliance.conf:3: network[1].interface: found what an earlier network has"},
    {NET("vlan = 7; }, { vlan = 7;"), "network[1].interface: found what an earlier network has"},
    {NET("addresses = \"192.0.2.25/24\"; gateways = \"192.0.3.1\";"),
     "appliance.conf:3: network[0].gateways: found one that is in no network of addresses"},
    {NET("addresses = \"192.0.2.25/24\"; gateways = \"192.0.2.25\";"), "or is the machine itself"},
    {NET("gateways = \"192.0.2.1\";"), "found one that is in no network of addresses"},
    {NET("addresses = \"192.0.2.25/24\"; gateways = [ \"192.0.2.1\", \"192.0.2.2\" ];"),
     "network[0].gateways: found two of one kind"},
    {NET("bond = { members = \"eno1\"; };"), "network[0].interface: found no name for the bond"},
    {NET("interface = \"52:54:00:00:00:01\"; bond = { members = \"eno1\"; };"),
     "network[0].interface: found no name for the bond"},
    {NET("interface = \"vlan7\"; bond = { members = \"eno1\"; };"), "found a name that VLANs get"},
    {NET("interface = \"b\"; bond = { members = [ \"eno1\", \"eno1\" ]; };"),
     "network[0].bond: found a member twice"},
    {NET("interface = \"b\"; bond = { members = [ \"b\" ]; };"),
     "found a member that is an interface of a network by itself"},
    {NET("interface = \"b\"; bond = { members = \"eno1\"; }; }, { interface = \"eno1\"; vlan = 3;"),
     "found a member that is an interface of a network by itself"},
    {NET("interface = \"b\"; bond = { members = \"eno1\"; }; },\n"
         "{ interface = \"c\"; bond = { members = \"eno1\"; };"),
     "appliance.conf:4: network[1].bond: found a member of another bond"},
    {NET("interface = \"b\"; bond = { members = \"eno1\"; }; },\n"
         "{ interface = \"b\"; vlan = 3; bond = { members = \"eno2\"; };"),
     "network[1].bond: found a bond that an earlier network has described"},
    {HEAD "acme = { };\n",
     "appliance.conf:2: acme.terms: found nothing, it must be set: \"agreed\""},
};

static void what_is_wrong_is_told(void **state)
{
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct conf_errors errors;
        struct appliance *a;

        assert_int_equal(appliance_parse(wrong[i].text, "appliance.conf", &a, &errors), ERR_CONFIG);
        assert_null(a);
        assert_int_equal(errors.count, 1);
        if (!strstr(errors.text, wrong[i].says))
            fail_msg("%s: expected %s, got %s", wrong[i].text, wrong[i].says, errors.text);
    }
}

static char *written(const struct appliance *a)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(appliance_write(a, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    return (char *)out.data;
}

/* What is written twice is the same: a value that was lost on the way would be missing. */
static void rewrite(const char *text, const char *const *within)
{
    struct appliance *a = read_good(text), *b;
    char *first = written(a), *second;

    b = read_good(first);
    second = written(b);
    assert_string_equal(first, second);
    for (; *within; within++) {
        if (!strstr(second, *within))
            fail_msg("%s is not in %s", *within, second);
    }
    free(first);
    free(second);
    appliance_free(a);
    appliance_free(b);
}

static void what_is_written_is_read(void **state)
{
    static const char *const of_default[] = {"hostname = \"postern\";\n", "time_zone = \"UTC\";\n",
                                             "interface = \"first\";\n", "dhcp = \"both\";\n",
                                             NULL};
    static const char *const of_second[] = {
        "interface = \"bond0\";\n",
        "vlan = 25;\n",
        "members = [ \"eno1\", \"eno2\" ];\n",
        "mode = \"802.3ad\";\n",
        "addresses = [ \"192.0.2.25/24\", \"2001:db8::25/64\" ];\n",
        "gateways = [ \"192.0.2.1\", \"fe80::1\" ];\n",
        "dns = [ \"192.0.2.53\", \"2001:db8::53\" ];\n",
        "search = [ \"corp.example\" ];\n",
        "{ server = \"192.0.2.123\"; nts = false; }",
        "admin_password = \"$6$Qf3tN7xkZbU2wPcM$uF7dY4",
        "email = \"postmaster@example.org\";\n",
        "names = [ \"mx.example.org\" ];\n",
        "terms = \"agreed\";\n",
        NULL};
    static const char *const of_quotes[] = {"\\\"q\\\\\" ];\n", "mtu = 9000;\n", "ca = \"/x\\\\y\"",
                                            NULL};

    rewrite(appliance_default_text, of_default);
    rewrite(appliance_example(1), of_second);
    rewrite(HEAD
            "network = ( { mtu = 9000; } ); acme = { ca = \"/x\\\\y\"; terms = \"agreed\"; };\n"
            "ssh_keys = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmY"
            "uBv3mJtUO3Uv \\\"q\\\\\";\n",
            of_quotes);
}

static void the_example_file_holds(void **state)
{
    FILE *file = fopen(EXAMPLE_FILE, "r");
    char text[16384];

    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    struct appliance *a = read_good(text);
    assert_string_equal(a->hostname, "mx.example.org");
    appliance_free(a);
    /* And so do the settings that it has as comments. */
    for (char *at = text; (at = strstr(at, "\n#")); at++) {
        if (at[2] != ' ' || at[3] == ' ')
            at[1] = ' ';
    }
    a = read_good(text);
    assert_non_null(a->acme.directory);
    assert_non_null(a->admin_password);
    assert_int_equal(a->networks_len, 2);
    appliance_free(a);
}

static void single_values_are_judged(void **state)
{
    char why[256];

    assert_true(appliance_value_valid("hostname", "mx.example.org", why, sizeof(why)));
    assert_string_equal(why, "");
    assert_false(appliance_value_valid("hostname", "mx example", why, sizeof(why)));
    assert_string_equal(why, "a host name such as \"mx.example.org\"");
    assert_true(appliance_value_valid("network.addresses", "192.0.2.1/24", why, sizeof(why)));
    assert_false(appliance_value_valid("network.addresses", "192.0.2.1", why, sizeof(why)));
    assert_true(appliance_value_valid("network.gateways", "192.0.2.1", why, sizeof(why)));
    assert_false(appliance_value_valid("network.interface", "eno1\x1b", why, sizeof(why)));
    assert_true(appliance_value_valid("admin_password", HASH, why, sizeof(why)));
    assert_false(appliance_value_valid("ssh_keys", "ssh-rsa", why, sizeof(why)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_dhcp_on_the_first),
        cmocka_unit_test(what_follows_is_filled_in),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_example_file_holds),
        cmocka_unit_test(single_values_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
