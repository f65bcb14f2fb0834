/* SPDX-License-Identifier: Apache-2.0 */
#include "console_menu.h"

#include "appliance.h"
#include "appliance_gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const prompts[] = {
    [CONSOLE_STEP_MENU] = "> ",
    [CONSOLE_STEP_PASSWORD] = "Administrator's password: ",
    [CONSOLE_STEP_HOSTNAME] = "Name of this machine (Enter: as it is): ",
    [CONSOLE_STEP_INTERFACE] = "Interface (Enter: the first): ",
    [CONSOLE_STEP_VLAN] = "VLAN (Enter: none): ",
    [CONSOLE_STEP_ADDRESS] = "Address, such as 192.0.2.25/24 (Enter: by DHCP): ",
    [CONSOLE_STEP_GATEWAY] = "Its gateway (Enter: none): ",
    [CONSOLE_STEP_ADDRESS_2] = "Another address, such as 2001:db8::25/64 (Enter: none): ",
    [CONSOLE_STEP_GATEWAY_2] = "Its gateway (Enter: none): ",
    [CONSOLE_STEP_DNS] = "Name server (Enter: as DHCP says): ",
    [CONSOLE_STEP_NETWORK_YES] = "Set this up? (yes or no): ",
    [CONSOLE_STEP_DOMAIN] = "Domain of the recipients (\"remove DOMAIN\" takes its route away): ",
    [CONSOLE_STEP_HOP] = "Its mail server, as host:port, or mx: ",
    [CONSOLE_STEP_LEVEL] = "TLS towards it (may, encrypt, verify, dane, sts, auto): ",
    [CONSOLE_STEP_ROUTE_YES] = "Set this up? (yes or no): ",
    [CONSOLE_STEP_ADMIN] = "1 set the password   2 add an SSH key   3 remove all SSH keys: ",
    [CONSOLE_STEP_NEW_PASSWORD] = "New password: ",
    [CONSOLE_STEP_NEW_AGAIN] = "The same again: ",
    [CONSOLE_STEP_KEY] = "Public key, such as ssh-ed25519 AAAA...: ",
    [CONSOLE_STEP_WRITTEN_YES] = "Is it written down? (yes: it goes from the disk): ",
    [CONSOLE_STEP_DISK] = "Disk: ",
    [CONSOLE_STEP_INSTALL_YES] = "All that is on it goes. Type INSTALL to go on: ",
    [CONSOLE_STEP_RESET_YES] = "Settings, mail's evidence and logs go. Type RESET to go on: ",
    [CONSOLE_STEP_RESTART_YES] = "Restart the machine? (yes or no): ",
    [CONSOLE_STEP_OFF_YES] = "Power the machine off? (yes or no): ",
    [CONSOLE_STEP_PAUSE] = "Press Enter: ",
};

const char *console_menu_prompt(const struct console_menu *m)
{
    return prompts[m->step];
}

bool console_menu_secret(const struct console_menu *m)
{
    return m->step == CONSOLE_STEP_PASSWORD || m->step == CONSOLE_STEP_NEW_PASSWORD ||
           m->step == CONSOLE_STEP_NEW_AGAIN;
}

void console_menu_cancel(struct console_menu *m)
{
    explicit_bzero(m, sizeof(*m));
}

static void say(struct console_answer *ret, const char *text)
{
    size_t len = strlen(ret->says);

    snprintf(ret->says + len, sizeof(ret->says) - len, "%s%s", text,
             text[0] && text[strlen(text) - 1] != '\n' ? "\n" : "");
}

/* --- the menu --- */

static void item_enter(struct console_menu *m, const struct console_facts *facts,
                       struct console_answer *ret);

static bool item_changes(char item)
{
    return strchr("1236789", item) != NULL;
}

static void menu_feed(struct console_menu *m, const char *line, const struct console_facts *facts,
                      struct console_answer *ret)
{
    char item = line[0];

    if (item == '\0')
        return;
    if (line[1] != '\0' || item < '0' || item > '9' || (item == '6' && !facts->installable)) {
        say(ret, "Type one of the numbers.");
        m->step = CONSOLE_STEP_PAUSE;
        return;
    }
    if (item == '0' && !facts->has_password) {
        say(ret, "There is a shell only once an administrator's password is set: 3.");
        m->step = CONSOLE_STEP_PAUSE;
        return;
    }
    m->wanted = item;
    if (facts->has_password && (item == '0' || item_changes(item)))
        m->step = CONSOLE_STEP_PASSWORD;
    else
        item_enter(m, facts, ret);
}

static void act(struct console_menu *m, enum console_act what, struct console_answer *ret)
{
    ret->act = what;
    m->step = CONSOLE_STEP_PAUSE;
}

static void item_enter(struct console_menu *m, const struct console_facts *facts,
                       struct console_answer *ret)
{
    switch (m->wanted) {
    case '1':
        say(ret, "Network: what is typed here takes the place of all networks that are set up.");
        say(ret, facts->interfaces);
        m->step = CONSOLE_STEP_HOSTNAME;
        return;
    case '2':
        say(ret, "Routes: where mail for a domain goes.");
        say(ret, facts->routes);
        m->step = CONSOLE_STEP_DOMAIN;
        return;
    case '3':
        if (facts->recovery_key)
            say(ret, "4 shows the recovery key of /var: write it down, and keep it elsewhere.");
        m->step = CONSOLE_STEP_ADMIN;
        return;
    case '4':
        act(m, CONSOLE_ACT_STATUS, ret);
        return;
    case '5':
        act(m, CONSOLE_ACT_DIAGNOSTICS, ret);
        return;
    case '6':
        say(ret, facts->disks);
        m->step = CONSOLE_STEP_DISK;
        return;
    case '7':
        m->step = CONSOLE_STEP_RESET_YES;
        return;
    case '8':
        m->step = CONSOLE_STEP_RESTART_YES;
        return;
    case '9':
        m->step = CONSOLE_STEP_OFF_YES;
        return;
    default:
        act(m, CONSOLE_ACT_SHELL, ret);
        return;
    }
}

/* --- values --- */

/* Keeps what was typed where it is right for the key, and says else what is allowed. */
static bool keep(const char *key, const char *line, char *out, size_t room,
                 struct console_answer *ret)
{
    char why[320], text[400];

    if (line[0] && (!appliance_value_valid(key, line, why, sizeof(why)) || strlen(line) >= room)) {
        snprintf(text, sizeof(text), "That is not it; allowed is %s.", why);
        say(ret, text);
        return false;
    }
    snprintf(out, room, "%s", line);
    return true;
}

static bool vlan_keep(const char *line, char *out, size_t room, struct console_answer *ret)
{
    size_t digits = strspn(line, "0123456789");
    unsigned long number = strtoul(line, NULL, 10);

    if (line[0] && (line[digits] || digits > 4 || number < 1 || number > 4094)) {
        say(ret, "That is not it; allowed is a number from 1 to 4094.");
        return false;
    }
    out[0] = '\0';
    if (line[0])
        snprintf(out, room, "%lu", number % 4095);
    return true;
}

static const char *or_text(const char *value, const char *otherwise)
{
    return value[0] ? value : otherwise;
}

static void network_sum(const struct console_values *v, struct console_answer *ret)
{
    char text[900];

    snprintf(text, sizeof(text),
             "Name %.70s, interface %.20s, VLAN %.8s,\naddress %.60s, gateway %.60s,\n"
             "address %.60s, gateway %.60s,\nname server %.60s",
             or_text(v->hostname, "as it is"), or_text(v->interface, "first"),
             or_text(v->vlan, "none"), or_text(v->address, "by DHCP"), or_text(v->gateway, "none"),
             or_text(v->address_2, "none"), or_text(v->gateway_2, "none"),
             or_text(v->dns, "as DHCP says"));
    say(ret, text);
}

static void network_feed(struct console_menu *m, const char *line, struct console_answer *ret)
{
    struct console_values *v = &m->values;
    enum console_step next = m->step;

    if (m->step == CONSOLE_STEP_HOSTNAME && keep("hostname", line, v->hostname, 254, ret))
        next = CONSOLE_STEP_INTERFACE;
    if (m->step == CONSOLE_STEP_INTERFACE &&
        keep("network.interface", line, v->interface, sizeof(v->interface), ret))
        next = CONSOLE_STEP_VLAN;
    if (m->step == CONSOLE_STEP_VLAN && vlan_keep(line, v->vlan, sizeof(v->vlan), ret))
        next = CONSOLE_STEP_ADDRESS;
    if (m->step == CONSOLE_STEP_ADDRESS &&
        keep("network.addresses", line, v->address, sizeof(v->address), ret))
        next = line[0] ? CONSOLE_STEP_GATEWAY : CONSOLE_STEP_DNS;
    if (m->step == CONSOLE_STEP_GATEWAY &&
        keep("network.gateways", line, v->gateway, sizeof(v->gateway), ret))
        next = CONSOLE_STEP_ADDRESS_2;
    if (m->step == CONSOLE_STEP_ADDRESS_2 &&
        keep("network.addresses", line, v->address_2, sizeof(v->address_2), ret))
        next = line[0] ? CONSOLE_STEP_GATEWAY_2 : CONSOLE_STEP_DNS;
    if (m->step == CONSOLE_STEP_GATEWAY_2 &&
        keep("network.gateways", line, v->gateway_2, sizeof(v->gateway_2), ret))
        next = CONSOLE_STEP_DNS;
    if (m->step == CONSOLE_STEP_DNS && keep("dns", line, v->dns, sizeof(v->dns), ret)) {
        next = CONSOLE_STEP_NETWORK_YES;
        network_sum(v, ret);
    }
    m->step = next;
}

/* The three are judged as they come: what is not typed yet is taken as good. */
static bool route_keep(const char *domain, const char *hop, const char *level,
                       struct console_answer *ret)
{
    struct appliance_route route;
    char why[320], text[400];

    if (appliance_route_valid(domain, hop, level, &route, why, sizeof(why)))
        return true;
    snprintf(text, sizeof(text), "That is not it; allowed is %s.", why);
    say(ret, text);
    return false;
}

static void route_feed(struct console_menu *m, const char *line, struct console_answer *ret)
{
    static const char removing[] = "remove ";
    struct console_values *v = &m->values;
    char text[800];

    if (m->step == CONSOLE_STEP_DOMAIN) {
        bool remove = strncmp(line, removing, strlen(removing)) == 0;
        const char *domain = remove ? line + strlen(removing) : line;
        if (!route_keep(domain, "mx", "may", ret))
            return;
        snprintf(v->domain, sizeof(v->domain), "%s", domain);
        m->step = CONSOLE_STEP_HOP;
        if (remove)
            act(m, CONSOLE_ACT_ROUTE_REMOVE, ret);
    } else if (m->step == CONSOLE_STEP_HOP) {
        if (!route_keep(v->domain, line, "may", ret))
            return;
        snprintf(v->next_hop, sizeof(v->next_hop), "%s", line);
        m->step = CONSOLE_STEP_LEVEL;
    } else {
        if (!route_keep(v->domain, v->next_hop, line, ret))
            return;
        snprintf(v->level, sizeof(v->level), "%s", line);
        snprintf(text, sizeof(text), "Mail for %s goes to %s, TLS: %s", v->domain, v->next_hop,
                 v->level);
        say(ret, text);
        m->step = CONSOLE_STEP_ROUTE_YES;
    }
}

static void admin_feed(struct console_menu *m, const char *line, const struct console_facts *facts,
                       struct console_answer *ret)
{
    if (strcmp(line, "1") == 0) {
        m->step = CONSOLE_STEP_NEW_PASSWORD;
    } else if (strcmp(line, "2") == 0) {
        m->step = CONSOLE_STEP_KEY;
    } else if (strcmp(line, "3") == 0) {
        act(m, CONSOLE_ACT_KEYS_REMOVE, ret);
    } else if (strcmp(line, "4") == 0 && facts->recovery_key) {
        act(m, CONSOLE_ACT_RECOVERY_KEY, ret);
        m->step = CONSOLE_STEP_WRITTEN_YES;
    } else if (line[0]) {
        say(ret, facts->recovery_key ? "Type 1, 2, 3 or 4." : "Type 1, 2 or 3.");
    } else {
        console_menu_cancel(m);
    }
}

static void password_feed(struct console_menu *m, const char *line, struct console_answer *ret)
{
    struct console_values *v = &m->values;

    if (m->step == CONSOLE_STEP_NEW_PASSWORD) {
        if (strlen(line) < CONSOLE_PASSWORD_LEAST) {
            say(ret, "That is too short; allowed are 10 characters or more.");
            return;
        }
        snprintf(v->secret, sizeof(v->secret), "%s", line);
        m->step = CONSOLE_STEP_NEW_AGAIN;
        return;
    }
    if (strcmp(v->secret, line) == 0) {
        act(m, CONSOLE_ACT_PASSWORD, ret);
        return;
    }
    explicit_bzero(v->secret, sizeof(v->secret));
    say(ret, "The two were not the same.");
    m->step = CONSOLE_STEP_NEW_PASSWORD;
}

static void key_feed(struct console_menu *m, const char *line, struct console_answer *ret)
{
    if (!line[0])
        console_menu_cancel(m);
    else if (keep("ssh_keys", line, m->values.key, sizeof(m->values.key), ret))
        act(m, CONSOLE_ACT_KEY, ret);
}

/* A device's own name, without a path. */
static void disk_feed(struct console_menu *m, const char *line, struct console_answer *ret)
{
    size_t len = strlen(line);

    if (len == 0) {
        console_menu_cancel(m);
    } else if (len >= sizeof(m->values.disk) ||
               strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789") != len) {
        say(ret, "That is not it; allowed is one of the names above.");
    } else {
        snprintf(m->values.disk, sizeof(m->values.disk), "%s", line);
        m->step = CONSOLE_STEP_INSTALL_YES;
    }
}

/* --- the last word --- */

static void confirm(struct console_menu *m, const char *line, const char *word,
                    enum console_act what, struct console_answer *ret)
{
    if (strcmp(line, word) == 0) {
        act(m, what, ret);
        return;
    }
    console_menu_cancel(m);
    say(ret, "Nothing was changed.");
    m->step = CONSOLE_STEP_PAUSE;
}

void console_menu_feed(struct console_menu *m, const char *line, const struct console_facts *facts,
                       struct console_answer *ret)
{
    *ret = (struct console_answer){.act = CONSOLE_ACT_NONE};
    switch (m->step) {
    case CONSOLE_STEP_MENU:
        menu_feed(m, line, facts, ret);
        return;
    case CONSOLE_STEP_PASSWORD:
        ret->act = CONSOLE_ACT_VERIFY;
        return;
    case CONSOLE_STEP_HOSTNAME:
    case CONSOLE_STEP_INTERFACE:
    case CONSOLE_STEP_VLAN:
    case CONSOLE_STEP_ADDRESS:
    case CONSOLE_STEP_GATEWAY:
    case CONSOLE_STEP_ADDRESS_2:
    case CONSOLE_STEP_GATEWAY_2:
    case CONSOLE_STEP_DNS:
        network_feed(m, line, ret);
        return;
    case CONSOLE_STEP_NETWORK_YES:
        confirm(m, line, "yes", CONSOLE_ACT_NETWORK, ret);
        return;
    case CONSOLE_STEP_DOMAIN:
    case CONSOLE_STEP_HOP:
    case CONSOLE_STEP_LEVEL:
        if (line[0])
            route_feed(m, line, ret);
        else
            console_menu_cancel(m);
        return;
    case CONSOLE_STEP_ROUTE_YES:
        confirm(m, line, "yes", CONSOLE_ACT_ROUTE, ret);
        return;
    case CONSOLE_STEP_ADMIN:
        admin_feed(m, line, facts, ret);
        return;
    case CONSOLE_STEP_NEW_PASSWORD:
    case CONSOLE_STEP_NEW_AGAIN:
        password_feed(m, line, ret);
        return;
    case CONSOLE_STEP_KEY:
        key_feed(m, line, ret);
        return;
    case CONSOLE_STEP_WRITTEN_YES:
        confirm(m, line, "yes", CONSOLE_ACT_WRITTEN_DOWN, ret);
        return;
    case CONSOLE_STEP_DISK:
        disk_feed(m, line, ret);
        return;
    case CONSOLE_STEP_INSTALL_YES:
        confirm(m, line, "INSTALL", CONSOLE_ACT_INSTALL, ret);
        return;
    case CONSOLE_STEP_RESET_YES:
        confirm(m, line, "RESET", CONSOLE_ACT_RESET, ret);
        return;
    case CONSOLE_STEP_RESTART_YES:
        confirm(m, line, "yes", CONSOLE_ACT_RESTART, ret);
        return;
    case CONSOLE_STEP_OFF_YES:
        confirm(m, line, "yes", CONSOLE_ACT_OFF, ret);
        return;
    case CONSOLE_STEP_PAUSE:
        console_menu_cancel(m);
        return;
    }
}

void console_menu_verified(struct console_menu *m, bool good, const struct console_facts *facts,
                           struct console_answer *ret)
{
    *ret = (struct console_answer){.act = CONSOLE_ACT_NONE};
    if (m->step != CONSOLE_STEP_PASSWORD)
        return;
    if (good) {
        item_enter(m, facts, ret);
        return;
    }
    console_menu_cancel(m);
    say(ret, "That is not the administrator's password.");
    m->step = CONSOLE_STEP_PAUSE;
}
