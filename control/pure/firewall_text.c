/* SPDX-License-Identifier: Apache-2.0 */
#include "firewall_text.h"

enum { SSH_PORT = 22 };

static bool is_any(const union net_addr *a)
{
    return net_addr_is_v6(a) ? IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr)
                             : a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Whom a packet comes to, in the words of nft; from: whom it comes from. */
static int place(struct buf *out, const union net_addr *a, const char *address, const char *port)
{
    char ip[NET_ADDR_TEXT];
    int err;

    if (is_any(a)) /* [::] takes IPv4, too */
        err = net_addr_is_v6(a) ? ERR_OK : buf_printf(out, "meta nfproto ipv4 ");
    else
        err = buf_printf(out, "%s %s %s ", net_addr_is_v6(a) ? "ip6" : "ip", address,
                         net_addr_ip_text(a, ip));
    return err ? err : buf_printf(out, "tcp %s %u ", port, net_addr_port(a));
}

/* A line of each of the open places. */
static int rules(struct buf *out, const struct firewall *f, const char *address, const char *port,
                 const char *verdict)
{
    int err = ERR_OK;

    for (size_t i = 0; i < f->open_len && !err; i++) {
        if (net_addr_is_loopback(&f->open[i]))
            continue;
        err = buf_printf(out, "        ");
        if (!err)
            err = place(out, &f->open[i], address, port);
        if (!err)
            err = buf_printf(out, "%s\n", verdict);
    }
    return err;
}

/* Many sessions at a time would fill the table of connections, and it is not needed for what is
 * open anyway: packets to and from listeners are not tracked. */
static int untracked(struct buf *out, const struct firewall *f)
{
    int err = buf_printf(out, "    chain before {\n"
                              "        type filter hook prerouting priority raw; policy accept;\n"
                              "        iif \"lo\" notrack\n");
    if (!err)
        err = rules(out, f, "daddr", "dport", "notrack");
    if (!err)
        err = buf_printf(out, "    }\n"
                              "    chain after {\n"
                              "        type filter hook output priority raw; policy accept;\n"
                              "        oif \"lo\" notrack\n");
    if (!err)
        err = rules(out, f, "saddr", "sport", "notrack");
    return err ? err : buf_printf(out, "    }\n");
}

int firewall_text(const struct firewall *f, struct buf *out)
{
    /* The first line makes a table where there is none, so that the second never fails. */
    int err =
        buf_printf(out, "table inet postern\n"
                        "delete table inet postern\n"
                        "table inet postern {\n"
                        "    set meanwhile {\n" /* for as long as a certificate is asked for */
                        "        type inet_service; flags timeout;\n"
                        "    }\n");
    if (!err)
        err = untracked(out, f);
    /* Of ICMPv6, what RFC 4890 section 4.4 wants of a host; DHCPv6 answers come from link-local
     * addresses. */
    if (!err)
        err = buf_printf(
            out,
            "    chain input {\n"
            "        type filter hook input priority filter; policy drop;\n"
            "        iif \"lo\" accept\n"
            "        ct state established,related accept\n"
            "        ct state invalid drop\n"
            "        icmp type { destination-unreachable, time-exceeded, parameter-problem } "
            "accept\n"
            "        icmp type echo-request limit rate 20/second accept\n"
            "        icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, "
            "parameter-problem } accept\n"
            "        icmpv6 type echo-request limit rate 20/second accept\n"
            "        icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 "
            "hoplimit 255 accept\n"
            "        icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, "
            "mld2-listener-report } ip6 saddr fe80::/10 accept\n"
            "        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n"
            "        tcp dport @meanwhile accept\n");
    if (!err && f->ssh) /* ten new connections a minute: guessing keys is no use, and makes noise */
        err = buf_printf(
            out, "        tcp dport %d ct state new limit rate 10/minute burst 20 packets accept\n",
            SSH_PORT);
    if (!err)
        err = rules(out, f, "daddr", "dport", "accept");
    return err ? err
               : buf_printf(out, "    }\n"
                                 "    chain forward {\n"
                                 "        type filter hook forward priority filter; policy drop;\n"
                                 "    }\n"
                                 "}\n");
}
