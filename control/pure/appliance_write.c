/* SPDX-License-Identifier: Apache-2.0 */
/* appliance.conf from settings: what has its default is left out. */
#include "appliance.h"
#include "conf_priv.h"

struct writer {
    struct buf *out;
    int err; /* the first failure */
};

static void put(struct writer *w, const char *text)
{
    if (!w->err)
        w->err = buf_append(w->out, text, strlen(text));
}

static void put_string(struct writer *w, const char *text)
{
    if (!w->err)
        w->err = conf_string_write(text, w->out);
}

static void put_number(struct writer *w, unsigned value)
{
    if (!w->err)
        w->err = buf_printf(w->out, "%u", value);
}

static void put_setting(struct writer *w, const char *indent, const char *key, const char *value)
{
    if (!value)
        return;
    put(w, indent);
    put(w, key);
    put(w, " = ");
    put_string(w, value);
    put(w, ";\n");
}

static void put_count(struct writer *w, const char *indent, const char *key, unsigned value)
{
    if (value == 0)
        return;
    put(w, indent);
    put(w, key);
    put(w, " = ");
    put_number(w, value);
    put(w, ";\n");
}

static void put_strings(struct writer *w, const char *indent, const char *key,
                        const struct conf_strings *list)
{
    if (list->len == 0)
        return;
    put(w, indent);
    put(w, key);
    put(w, " = [ ");
    for (size_t i = 0; i < list->len; i++) {
        put(w, i > 0 ? ", " : "");
        put_string(w, list->items[i]);
    }
    put(w, " ];\n");
}

static void put_ips(struct writer *w, const char *indent, const char *key,
                    const union net_addr *ips, size_t len)
{
    char text[NET_ADDR_TEXT];

    for (size_t i = 0; i < len; i++) {
        put(w, i > 0 ? ", " : indent);
        put(w, i > 0 ? "" : key);
        put(w, i > 0 ? "" : " = [ ");
        put_string(w, net_addr_ip_text(&ips[i], text));
    }
    put(w, len > 0 ? " ];\n" : "");
}

static void put_addresses(struct writer *w, const struct appliance_network *n)
{
    char text[NET_ADDR_TEXT];

    for (size_t i = 0; i < n->addresses_len; i++) {
        put(w, i > 0 ? ", \"" : "        addresses = [ \"");
        put(w, net_addr_ip_text(&n->addresses[i].addr, text));
        put(w, "/");
        put_number(w, n->addresses[i].bits);
        put(w, "\"");
    }
    put(w, n->addresses_len > 0 ? " ];\n" : "");
}

static const char *word_of(enum conf_group group, const char *key, int value)
{
    return conf_word_text(conf_row_find(group, key)->words, value);
}

static void put_network(struct writer *w, const struct appliance_network *n)
{
    put(w, "    {\n");
    put_setting(w, "        ", "interface", n->interface);
    put_count(w, "        ", "vlan", n->vlan);
    if (n->bond.members.len > 0) {
        put(w, "        bond = {\n");
        put_strings(w, "            ", "members", &n->bond.members);
        put_setting(w, "            ", "mode", word_of(CONF_GROUP_BOND, "mode", (int)n->bond.mode));
        put(w, "        };\n");
    }
    put_setting(w, "        ", "dhcp", word_of(CONF_GROUP_NETWORK, "dhcp", (int)n->dhcp));
    put_addresses(w, n);
    put_ips(w, "        ", "gateways", n->gateways, n->gateways_len);
    put_count(w, "        ", "mtu", n->mtu);
    put(w, "    }");
}

static void put_ntp(struct writer *w, const struct appliance *a)
{
    for (size_t i = 0; i < a->ntp_len; i++) {
        put(w, i > 0 ? ",\n" : "ntp = (\n");
        put(w, "    { server = ");
        put_string(w, a->ntp[i].server);
        put(w, a->ntp[i].nts ? "; }" : "; nts = false; }");
    }
    put(w, a->ntp_len > 0 ? "\n);\n" : "");
}

static void put_acme(struct writer *w, const struct appliance_acme *acme)
{
    if (!acme->directory)
        return;
    put(w, "acme = {\n");
    put_setting(w, "    ", "directory", acme->directory);
    put_setting(w, "    ", "email", acme->email);
    put_strings(w, "    ", "names", &acme->names);
    put_setting(w, "    ", "ca", acme->ca);
    put(w, "    terms = \"agreed\";\n};\n");
}

int appliance_write(const struct appliance *a, struct buf *out)
{
    struct writer w = {.out = out};

    put(&w,
        "# Settings of the appliance; its console writes this file anew. See appliance.conf(5).\n");
    put_setting(&w, "", "hostname", a->hostname);
    put_setting(&w, "", "time_zone", a->time_zone);
    put(&w, "network = (\n");
    for (size_t i = 0; i < a->networks_len; i++) {
        put(&w, i > 0 ? ",\n" : "");
        put_network(&w, &a->networks[i]);
    }
    put(&w, "\n);\n");
    put_ips(&w, "", "dns", a->dns, a->dns_len);
    put_strings(&w, "", "search", &a->search);
    put_ntp(&w, a);
    put_strings(&w, "", "ssh_keys", &a->ssh_keys);
    put_setting(&w, "", "admin_password", a->admin_password);
    put_acme(&w, &a->acme);
    return w.err;
}
