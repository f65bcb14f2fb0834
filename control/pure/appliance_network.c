/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks as systemd-networkd reads them: a .network file for each interface, and a .netdev file
 * for each that is made, a bond or a VLAN. A network's addresses belong to its topmost interface:
 * the VLAN where it is one.
 */
#include "appliance.h"

#include <stdio.h>

enum link_kind { LINK_PHYSICAL, LINK_BOND, LINK_VLAN };

struct link {
    enum link_kind kind;
    const char *interface;                /* as it is written; of a VLAN its name */
    const struct appliance_network *net;  /* whose addresses it has; NULL: of none */
    const struct appliance_network *bond; /* of LINK_BOND: who says its members */
    const char *master;                   /* the bond that it is a member of */
    unsigned vlan;
    unsigned mtu;
    char name[16]; /* of LINK_VLAN */
};

struct links {
    const struct appliance *a;
    const char *first;
    struct link items[APPLIANCE_LINKS_MAX];
    size_t len;
};

/* The name that networkd gives the interface of a network that is a VLAN. */
static const char *vlan_name(const struct appliance *a, size_t network, char out[16])
{
    bool other = false;

    for (size_t i = 0; i < network; i++)
        other = other || a->networks[i].vlan == a->networks[network].vlan;
    if (other) /* the same number on another interface */
        snprintf(out, 16, "vlan%u-%u", a->networks[network].vlan % 4096, (unsigned)network % 100);
    else
        snprintf(out, 16, "vlan%u", a->networks[network].vlan % 4096);
    return out;
}

static struct link *link_of(struct links *l, const char *interface)
{
    for (size_t i = 0; i < l->len; i++) {
        if (l->items[i].kind != LINK_VLAN && strcmp(l->items[i].interface, interface) == 0)
            return &l->items[i];
    }
    l->items[l->len] = (struct link){.interface = interface};
    return &l->items[l->len++];
}

static void links_add(struct links *l, size_t index)
{
    const struct appliance_network *n = &l->a->networks[index];
    struct link *base = link_of(l, n->interface);

    if (n->bond.members.len > 0) {
        base->kind = LINK_BOND;
        base->bond = n;
    }
    /* Frames of a VLAN leave through it. */
    base->mtu = n->mtu > base->mtu ? n->mtu : base->mtu;
    for (size_t i = 0; i < n->bond.members.len; i++)
        link_of(l, n->bond.members.items[i])->master = n->interface;
    if (n->vlan == 0) {
        base->net = n;
        return;
    }
    struct link *vlan = &l->items[l->len++];
    *vlan = (struct link){.kind = LINK_VLAN, .net = n, .vlan = n->vlan, .mtu = n->mtu};
    vlan_name(l->a, index, vlan->name);
    vlan->interface = vlan->name;
}

static bool is_mac(const char *interface)
{
    return strchr(interface, ':') != NULL;
}

/* NULL: no such interface is there. */
static const char *match_of(const struct links *l, const struct link *link)
{
    return strcmp(link->interface, "first") == 0 ? l->first : link->interface;
}

static const char head[] = "# Made from appliance.conf.\n";

static int netdev_write(const struct link *link, struct buf *out)
{
    static const char *const modes[] = {
        [APPLIANCE_BOND_ACTIVE_BACKUP] = "active-backup",
        [APPLIANCE_BOND_802_3AD] = "802.3ad",
        [APPLIANCE_BOND_BALANCE_XOR] = "balance-xor",
    };

    if (link->kind == LINK_VLAN)
        return buf_printf(out, "%s[NetDev]\nName=%s\nKind=vlan\n\n[VLAN]\nId=%u\n", head,
                          link->name, link->vlan);
    return buf_printf(
        out, "%s[NetDev]\nName=%s\nKind=bond\n\n[Bond]\nMode=%s\nMIIMonitorSec=100ms\n%s", head,
        link->interface, modes[link->bond->bond.mode],
        link->bond->bond.mode == APPLIANCE_BOND_ACTIVE_BACKUP ? ""
                                                              : "TransmitHashPolicy=layer3+4\n");
}

static int addresses_write(const struct appliance_network *n, struct buf *out)
{
    char text[NET_ADDR_TEXT];
    int err = ERR_OK;

    for (size_t i = 0; i < n->addresses_len && !err; i++)
        err = buf_printf(out, "Address=%s/%u\n", net_addr_ip_text(&n->addresses[i].addr, text),
                         n->addresses[i].bits);
    for (size_t i = 0; i < n->gateways_len && !err; i++)
        err = buf_printf(out, "Gateway=%s\n", net_addr_ip_text(&n->gateways[i], text));
    return err;
}

static bool has_v6(const struct appliance_network *n)
{
    bool v6 = n->dhcp == APPLIANCE_DHCP_BOTH || n->dhcp == APPLIANCE_DHCP_IPV6;

    for (size_t i = 0; i < n->addresses_len; i++)
        v6 = v6 || net_addr_is_v6(&n->addresses[i].addr);
    return v6;
}

/* DHCP by the MAC address, so that what a server has reserved for it is given. */
static int network_addresses_write(const struct appliance *a, const struct appliance_network *n,
                                   struct buf *out)
{
    static const char *const dhcp[] = {
        [APPLIANCE_DHCP_AUTO] = "no",   [APPLIANCE_DHCP_BOTH] = "yes",
        [APPLIANCE_DHCP_IPV4] = "ipv4", [APPLIANCE_DHCP_IPV6] = "ipv6",
        [APPLIANCE_DHCP_NONE] = "no",
    };
    bool asks_v6 = n->dhcp == APPLIANCE_DHCP_BOTH || n->dhcp == APPLIANCE_DHCP_IPV6;
    int err = buf_printf(out, "DHCP=%s\nLinkLocalAddressing=%s\nIPv6AcceptRA=%s\n", dhcp[n->dhcp],
                         has_v6(n) ? "ipv6" : "no", asks_v6 ? "yes" : "no");

    if (!err)
        err = addresses_write(n, out);
    if (err || n->dhcp == APPLIANCE_DHCP_NONE)
        return err;
    err = buf_printf(out, "\n[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\nUseTimezone=no\n");
    if (!err && a->dns_len > 0)
        err = buf_printf(out, "UseDNS=no\n\n[DHCPv6]\nUseDNS=no\n\n[IPv6AcceptRA]\nUseDNS=no\n");
    return err;
}

static int network_write(const struct links *l, const struct link *link, struct buf *out)
{
    const char *match = match_of(l, link);
    bool idle = !link->net;
    char vlan[16];
    int err = buf_printf(out, "%s[Match]\n%s=%s\n", head,
                         is_mac(match) ? "PermanentMACAddress" : "Name", match);

    if (!err && (link->mtu > 0 || idle))
        err = buf_printf(out, "\n[Link]\n");
    if (!err && link->mtu > 0)
        err = buf_printf(out, "MTUBytes=%u\n", link->mtu);
    if (!err && idle)
        err = buf_printf(out, "RequiredForOnline=no\n");
    if (!err)
        err = buf_printf(out, "\n[Network]\n");
    if (!err && link->master)
        return buf_printf(out, "Bond=%s\n", link->master);
    for (size_t i = 0; i < l->a->networks_len && !err && link->kind != LINK_VLAN; i++) {
        const struct appliance_network *n = &l->a->networks[i];
        if (n->vlan > 0 && strcmp(n->interface, link->interface) == 0)
            err = buf_printf(out, "VLAN=%s\n", vlan_name(l->a, i, vlan));
    }
    if (!err && idle)
        return buf_printf(out, "DHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n");
    return err ? err : network_addresses_write(l->a, link->net, out);
}

/* Numbers come first in the names: they are read in that order, and the first match counts. */
static int link_texts(const struct links *l, size_t index, struct arena *arena,
                      struct appliance_texts *out)
{
    const struct link *link = &l->items[index];
    char path[sizeof(out->items[0].path)];
    struct buf text;
    int err = ERR_OK;

    if (!match_of(l, link))
        return ERR_OK;
    buf_init(&text, 0);
    if (link->kind != LINK_PHYSICAL) {
        snprintf(path, sizeof(path), "%s/%03zu-postern.netdev", APPLIANCE_NETWORKD, index + 100);
        err = netdev_write(link, &text);
        if (!err)
            err = appliance_text_add(out, arena, path, &text);
        buf_clear(&text);
    }
    snprintf(path, sizeof(path), "%s/%03zu-postern.network", APPLIANCE_NETWORKD, index + 100);
    if (!err)
        err = network_write(l, link, &text);
    if (!err)
        err = appliance_text_add(out, arena, path, &text);
    buf_release(&text);
    return err;
}

int appliance_network_make(const struct appliance *a, const char *first, struct arena *arena,
                           struct appliance_texts *out)
{
    struct links *l = arena_alloc(arena, sizeof(*l));
    int err = l ? ERR_OK : ERR_NOMEM;

    if (err)
        return err;
    l->a = a;
    l->first = first;
    for (size_t i = 0; i < a->networks_len; i++)
        links_add(l, i);
    for (size_t i = 0; i < l->len && !err; i++)
        err = link_texts(l, i, arena, out);
    return err;
}
