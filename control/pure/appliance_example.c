/* SPDX-License-Identifier: Apache-2.0 */
/* Complete files for the man page; a test parses each. */
#include "appliance.h"

#define KEY "AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmYuBv3mJtUO3Uv"

static const char *const examples[] = {
    "# The least that is useful: a name, and who may log in. The address comes by DHCP.\n"
    "hostname = \"mx.example.org\";\n"
    "ssh_keys = [ \"ssh-ed25519 " KEY " anna\" ];\n",

    "# Two interfaces as one, with mail in VLAN 25 and administration in VLAN 99; time from two\n"
    "# servers of its own, a certificate from Let's Encrypt.\n"
    "hostname = \"mx.example.org\";\n"
    "time_zone = \"Europe/Berlin\";\n"
    "network = (\n"
    "    {\n"
    "        interface = \"bond0\";\n"
    "        bond = { members = [ \"eno1\", \"eno2\" ]; mode = \"802.3ad\"; };\n"
    "        vlan = 25;\n"
    "        addresses = [ \"192.0.2.25/24\", \"2001:db8::25/64\" ];\n"
    "        gateways = [ \"192.0.2.1\", \"fe80::1\" ];\n"
    "    },\n"
    "    { interface = \"bond0\"; vlan = 99; addresses = [ \"10.0.99.25/24\" ]; }\n"
    ");\n"
    "dns = [ \"192.0.2.53\", \"2001:db8::53\" ];\n"
    "search = [ \"corp.example\" ];\n"
    "ntp = ( { server = \"ntp1.corp.example\"; }, { server = \"192.0.2.123\"; nts = false; } );\n"
    "ssh_keys = [ \"ssh-ed25519 " KEY " anna\" ];\n"
    "# openssl passwd -6\n"
    "admin_password = \"$6$Qf3tN7xkZbU2wPcM$\"\n"
    "    "
    "\"uF7dY4bQmV0pJhR9sLx2kWcT6nZaE1gO8iB5yD3vXqHfNjKrMtPwSzAlCuGeI7o4RkV2bYxQ9dJmT5hL0nWsE1\";\n"
    "acme = { email = \"postmaster@example.org\"; terms = \"agreed\"; };\n",
};

const char *appliance_example(size_t index)
{
    return index < sizeof(examples) / sizeof(examples[0]) ? examples[index] : NULL;
}
