/* SPDX-License-Identifier: Apache-2.0 */
/* appliance.conf: read by the table of settings, checked as a whole, and written. */
#include "appliance.h"
#include "conf_priv.h"

#include <stdio.h>
#include <stdlib.h>

const char appliance_default_text[] = "hostname = \"postern\";\n";

static bool has_name(const struct appliance_network *n)
{
    return strcmp(n->interface, "first") != 0 && !strchr(n->interface, ':');
}

static bool is_bond(const struct appliance_network *n)
{
    return n->bond.members.len > 0;
}

/* --- bonds --- */

static bool bond_has(const struct appliance_network *n, const char *interface, size_t before)
{
    for (size_t i = 0; i < n->bond.members.len && i < before; i++) {
        if (n->bond.members.items[i] && strcmp(n->bond.members.items[i], interface) == 0)
            return true;
    }
    return false;
}

static void member_check(const struct conf_place *p, const struct appliance *a, size_t own,
                         size_t index)
{
    const char *member = a->networks[own].bond.members.items[index];

    if (!member)
        return;
    if (bond_has(&a->networks[own], member, index))
        conf_refuse(p, "bond", "a member twice", "each interface once");
    for (size_t i = 0; i < a->networks_len; i++) {
        const struct appliance_network *other = &a->networks[i];
        if (other->interface && strcmp(other->interface, member) == 0)
            conf_refuse(p, "bond", "a member that is an interface of a network by itself",
                        "interfaces that nothing else uses");
        if (i < own && bond_has(other, member, SIZE_MAX))
            conf_refuse(p, "bond", "a member of another bond", "interfaces that nothing else uses");
    }
}

static void bond_check(const struct conf_place *p, const struct appliance *a, size_t own)
{
    const struct appliance_network *n = &a->networks[own];
    size_t digits =
        strncmp(n->interface, "vlan", 4) == 0 ? strspn(n->interface + 4, "0123456789") : 0;

    if (!is_bond(n))
        return;
    if (!has_name(n))
        conf_refuse(p, "interface", "no name for the bond", "a name such as \"bond0\"");
    if (digits > 0)
        conf_refuse(p, "interface", "a name that VLANs get", "a name such as \"bond0\"");
    for (size_t i = 0; i < n->bond.members.len; i++)
        member_check(p, a, own, i);
    for (size_t i = 0; i < own; i++) {
        if (is_bond(&a->networks[i]) && a->networks[i].interface &&
            strcmp(a->networks[i].interface, n->interface) == 0)
            conf_refuse(p, "bond", "a bond that an earlier network has described",
                        "its members in one of the groups that name it");
    }
}

/* --- addresses --- */

/* The network's own address and, in IPv4, that for all in it are no machine's. */
static bool is_of_network(const struct net_prefix *p)
{
    bool v6 = net_addr_is_v6(&p->addr);
    const uint8_t *bytes =
        v6 ? p->addr.v6.sin6_addr.s6_addr : (const uint8_t *)&p->addr.v4.sin_addr;
    unsigned max = v6 ? 128 : 32;
    bool zeros = true, ones = true;

    for (unsigned bit = p->bits; bit < max; bit++) {
        bool set = bytes[bit / 8] >> (7 - bit % 8) & 1;
        zeros = zeros && !set;
        ones = ones && set;
    }
    return max - p->bits >= 2 && (zeros || (ones && !v6));
}

static void addresses_check(const struct conf_place *p, const struct appliance_network *n)
{
    for (size_t i = 0; i < n->addresses_len; i++) {
        if (n->addresses[i].bits == 0) /* refused already */
            continue;
        if (is_of_network(&n->addresses[i]))
            conf_refuse(p, "addresses", "an address that stands for the whole network",
                        "the machine's own in it");
        for (size_t j = 0; j < i; j++) {
            if (n->addresses[j].bits > 0 &&
                net_addr_same_ip(&n->addresses[i].addr, &n->addresses[j].addr))
                conf_refuse(p, "addresses", "an address twice", "each once");
        }
    }
}

static bool is_link_local(const union net_addr *a)
{
    return net_addr_is_v6(a) && a->v6.sin6_addr.s6_addr[0] == 0xfe &&
           (a->v6.sin6_addr.s6_addr[1] & 0xc0) == 0x80;
}

static bool within(const struct appliance_network *n, const union net_addr *gateway)
{
    for (size_t i = 0; i < n->addresses_len; i++) {
        if (n->addresses[i].bits > 0 && net_prefix_contains(&n->addresses[i], gateway) &&
            !net_addr_same_ip(&n->addresses[i].addr, gateway))
            return true;
    }
    return is_link_local(gateway);
}

static void gateways_check(const struct conf_place *p, const struct appliance_network *n)
{
    for (size_t i = 0; i < n->gateways_len; i++) {
        if (n->gateways[i].any.sa_family == AF_UNSPEC) /* refused already */
            continue;
        if (!within(n, &n->gateways[i]))
            conf_refuse(p, "gateways",
                        "one that is in no network of addresses, or is the machine itself",
                        "another machine's address in one of them");
        if (i > 0 && net_addr_is_v6(&n->gateways[0]) == net_addr_is_v6(&n->gateways[i]))
            conf_refuse(p, "gateways", "two of one kind", "one for IPv4 and one for IPv6");
    }
}

static void network_check(struct conf_reader *r, const config_setting_t *root, size_t index)
{
    struct appliance *a = r->appliance;
    struct appliance_network *n = &a->networks[index];
    struct conf_place p = conf_place_of(r, root, "network", index);

    if (!n->interface) /* refused already */
        return;
    for (size_t i = 0; i < index; i++) {
        if (a->networks[i].interface && a->networks[i].vlan == n->vlan &&
            strcmp(a->networks[i].interface, n->interface) == 0)
            conf_refuse(&p, "interface", "what an earlier network has",
                        "another interface, or a vlan");
    }
    bond_check(&p, a, index);
    addresses_check(&p, n);
    gateways_check(&p, n);
    if (n->dhcp == APPLIANCE_DHCP_AUTO)
        n->dhcp = n->addresses_len == 0 ? APPLIANCE_DHCP_BOTH : APPLIANCE_DHCP_NONE;
}

/* --- the whole --- */

static void networks_default(struct conf_reader *r)
{
    struct appliance *a = r->appliance;

    if (a->networks_len > 0)
        return;
    a->networks = arena_alloc(r->arena, sizeof(*a->networks));
    if (!a->networks) {
        r->out_of_memory = true;
        return;
    }
    a->networks[0].interface = "first";
    a->networks[0].dhcp = APPLIANCE_DHCP_BOTH;
    a->networks_len = 1;
}

static void acme_check(struct conf_reader *r, const config_setting_t *root)
{
    struct appliance *a = r->appliance;
    const config_setting_t *acme = config_setting_get_member(root, "acme");

    if (!acme || a->acme.names.len > 0 || !a->hostname)
        return;
    const char **names = arena_alloc(r->arena, sizeof(*names));
    if (!names) {
        r->out_of_memory = true;
        return;
    }
    names[0] = a->hostname;
    a->acme.names.items = names;
    a->acme.names.len = 1;
}

static void appliance_check(struct conf_reader *r, const config_setting_t *root)
{
    for (size_t i = 0; i < r->appliance->networks_len; i++)
        network_check(r, root, i);
    networks_default(r);
    acme_check(r, root);
}

int appliance_parse(const char *text, const char *file, struct appliance **ret,
                    struct conf_errors *errors)
{
    struct appliance *a = calloc(1, sizeof(*a));
    struct conf_reader r = {.file = file, .errors = errors, .appliance = a};

    *ret = NULL;
    *errors = (struct conf_errors){0};
    if (!a)
        return ERR_NOMEM;
    arena_init(&a->arena, 0);
    r.arena = &a->arena;
    int result = conf_read(&r, text, APPLIANCE_TEXT_MAX, CONF_GROUP_APPLIANCE, a, appliance_check);
    if (result == ERR_OK)
        *ret = a;
    else
        appliance_free(a);
    return result;
}

void appliance_free(struct appliance *a)
{
    if (!a)
        return;
    arena_free(&a->arena);
    free(a);
}

bool appliance_value_valid(const char *key, const char *value, char *why, size_t why_room)
{
    const char *dot = strchr(key, '.');
    enum conf_group group = dot ? CONF_GROUP_NETWORK : CONF_GROUP_APPLIANCE;
    const struct conf_row *row = conf_row_find(group, dot ? dot + 1 : key);
    char allowed[CONF_ALLOWED_TEXT];
    struct conf_reader r = {.file = ""};
    struct arena arena;
    union {
        const char *text;
        union net_addr addr;
        struct net_prefix prefix;
    } out;

    arena_init(&arena, 0);
    r.arena = &arena;
    int err = conf_value_convert(&r, row, value, &out);
    arena_free(&arena);
    snprintf(why, why_room, "%s", err ? conf_row_allowed(row, allowed) : "");
    return !err;
}
