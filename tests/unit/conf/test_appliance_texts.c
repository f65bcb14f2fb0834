/* SPDX-License-Identifier: Apache-2.0 */
/* The base system's files, to the letter. */
#include "../cmocka_all.h"

#include "appliance.h"

#include <stdio.h>

static struct arena arena;
static struct appliance_texts texts;

static int set_up(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    arena_free(&arena);
    return 0;
}

static void make(const char *text, const char *first)
{
    struct conf_errors errors;
    struct appliance *a;

    if (appliance_parse(text, "appliance.conf", &a, &errors) != ERR_OK)
        fail_msg("%s: %s", text, errors.text);
    assert_int_equal(appliance_texts_make(a, first, &arena, &texts), ERR_OK);
    appliance_free(a);
}

static const char *text_of(const char *path)
{
    for (size_t i = 0; i < texts.len; i++) {
        if (strcmp(texts.items[i].path, path) == 0)
            return (const char *)texts.items[i].text.ptr;
    }
    return NULL;
}

static void expect(const char *path, const char *text)
{
    const char *found = text_of(path);

    if (!found)
        fail_msg("no %s", path);
    assert_string_equal(found, text);
}

#define HEAD "# Made from appliance.conf.\n"

static void nothing_said(void **state)
{
    make(appliance_default_text, "enp0s3");
    assert_int_equal(texts.len, 2);
    expect("systemd/network/100-postern.network",
           HEAD "[Match]\nName=enp0s3\n\n[Network]\nDHCP=yes\nLinkLocalAddressing=ipv6\n"
                "IPv6AcceptRA=yes\n\n[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\n"
                "UseTimezone=no\n");
    expect("postern-system/chrony/postern.sources",
           HEAD "server time.cloudflare.com iburst nts\nserver ptbtime1.ptb.de iburst nts\n"
                "server nts.netnod.se iburst nts\nserver ntppool1.time.nl iburst nts\n");
}

static void a_machine_without_an_interface_gets_none(void **state)
{
    make(appliance_default_text, NULL);
    assert_int_equal(texts.len, 1);
    make("hostname = \"mx\"; network = ( { interface = \"eno5\"; } );", NULL);
    assert_non_null(text_of("systemd/network/100-postern.network"));
}

static void addresses_names_time_and_keys(void **state)
{
    make(
        "hostname = \"mx\";\n"
        "network = ( { interface = \"52:54:00:AB:CD:EF\"; mtu = 9000;\n"
        "  addresses = [ \"192.0.2.25/24\", \"2001:db8::25/64\" ];\n"
        "  gateways = [ \"192.0.2.1\", \"fe80::1\" ]; } );\n"
        "dns = [ \"192.0.2.53\", \"2001:db8::53\" ]; search = [ \"corp.example\", \"b.example\" "
        "];\n"
        "ntp = ( { server = \"ntp.example\"; }, { server = \"192.0.2.123\"; nts = false; } );\n"
        "ssh_keys = [ \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmYuBv3mJt"
        "UO3Uv   anna at home\" ];\n",
        "eno1");
    assert_int_equal(texts.len, 4);
    expect("systemd/network/100-postern.network",
           HEAD "[Match]\nPermanentMACAddress=52:54:00:ab:cd:ef\n\n[Link]\nMTUBytes=9000\n\n"
                "[Network]\nDHCP=no\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n"
                "Address=192.0.2.25/24\nAddress=2001:db8::25/64\nGateway=192.0.2.1\n"
                "Gateway=fe80::1\n");
    expect("systemd/resolved.conf.d/50-postern.conf",
           HEAD "[Resolve]\nDNS=192.0.2.53\nDNS=2001:db8::53\nDomains=corp.example\n"
                "Domains=b.example\n");
    expect("postern-system/chrony/postern.sources",
           HEAD "server ntp.example iburst nts\nserver 192.0.2.123 iburst\n");
    expect("postern-system/ssh/authorized_keys",
           "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmYuBv3mJtUO3Uv "
           "anna at home\n");
}

static void names_of_dhcp_give_way(void **state)
{
    make("hostname = \"mx\"; network = ( { dhcp = \"ipv4\"; } ); dns = \"192.0.2.53\";", "eno1");
    expect("systemd/network/100-postern.network", HEAD
           "[Match]\nName=eno1\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n"
           "IPv6AcceptRA=no\n\n[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\nUseTimezone=no\n"
           "UseDNS=no\n\n[DHCPv6]\nUseDNS=no\n\n[IPv6AcceptRA]\nUseDNS=no\n");
}

static void vlans_of_a_bond(void **state)
{
    make(
        "hostname = \"mx\";\n"
        "network = (\n"
        "  { interface = \"bond0\"; bond = { members = [ \"eno1\", \"52:54:00:00:00:02\" ];\n"
        "      mode = \"802.3ad\"; }; vlan = 25; addresses = \"192.0.2.25/24\"; mtu = 1600; },\n"
        "  { interface = \"bond0\"; vlan = 99; dhcp = \"none\"; addresses = \"10.0.99.25/24\"; },\n"
        "  { interface = \"eno4\"; vlan = 25; } );\n",
        "eno1");
    expect("systemd/network/100-postern.netdev",
           HEAD "[NetDev]\nName=bond0\nKind=bond\n\n[Bond]\nMode=802.3ad\nMIIMonitorSec=100ms\n"
                "TransmitHashPolicy=layer3+4\n");
    expect("systemd/network/100-postern.network",
           HEAD "[Match]\nName=bond0\n\n[Link]\nMTUBytes=1600\nRequiredForOnline=no\n\n[Network]\n"
                "VLAN=vlan25\nVLAN=vlan99\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n");
    expect("systemd/network/101-postern.network",
           HEAD "[Match]\nName=eno1\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nBond=bond0\n");
    expect("systemd/network/102-postern.network",
           HEAD "[Match]\nPermanentMACAddress=52:54:00:00:00:02\n\n[Link]\nRequiredForOnline=no\n\n"
                "[Network]\nBond=bond0\n");
    expect("systemd/network/103-postern.netdev",
           HEAD "[NetDev]\nName=vlan25\nKind=vlan\n\n[VLAN]\nId=25\n");
    expect("systemd/network/103-postern.network",
           HEAD "[Match]\nName=vlan25\n\n[Link]\nMTUBytes=1600\n\n[Network]\nDHCP=no\n"
                "LinkLocalAddressing=no\nIPv6AcceptRA=no\nAddress=192.0.2.25/24\n");
    expect("systemd/network/104-postern.netdev",
           HEAD "[NetDev]\nName=vlan99\nKind=vlan\n\n[VLAN]\nId=99\n");
    expect("systemd/network/105-postern.network",
           HEAD "[Match]\nName=eno4\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nVLAN=vlan25-2\n"
                "DHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n");
    expect("systemd/network/106-postern.netdev",
           HEAD "[NetDev]\nName=vlan25-2\nKind=vlan\n\n[VLAN]\nId=25\n");
    assert_int_equal(texts.len, 4 + 1 + 6 + 1);
}

static void a_bond_may_have_addresses_itself(void **state)
{
    make("hostname = \"mx\"; network = ( { interface = \"b\"; bond = { members = \"eno1\"; }; } );",
         "eno1");
    expect("systemd/network/100-postern.netdev",
           HEAD "[NetDev]\nName=b\nKind=bond\n\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n");
    assert_non_null(strstr(text_of("systemd/network/100-postern.network"), "Name=b\n\n[Network]\n"
                                                                           "DHCP=yes\n"));
}

/* As many of everything as may be written. */
static void the_largest_has_room(void **state)
{
    static char text[65536];
    size_t n = (size_t)snprintf(text, sizeof(text), "hostname = \"mx\"; network = (");

    for (int i = 0; i < APPLIANCE_NETWORKS_MAX; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "%s{ interface = \"b%d\"; vlan = 7; bond = { members = [",
                              i ? "," : "", i);
        for (int j = 0; j < APPLIANCE_MEMBERS_MAX; j++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"e%dp%d\"", j ? "," : "", i, j);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "]; }; }");
    }
    snprintf(text + n, sizeof(text) - n, ");");
    make(text, "eno1");
    assert_int_equal(texts.len, APPLIANCE_LINKS_MAX + 2 * APPLIANCE_NETWORKS_MAX + 1);
    expect("systemd/network/410-postern.netdev",
           HEAD "[NetDev]\nName=b31\nKind=bond\n\n[Bond]\nMode=active-backup\nMIIMonitorSec=100ms\n"
                "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_machine_without_an_interface_gets_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(addresses_names_time_and_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_of_dhcp_give_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vlans_of_a_bond, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bond_may_have_addresses_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_largest_has_room, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
