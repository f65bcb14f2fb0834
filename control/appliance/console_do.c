/* SPDX-License-Identifier: Apache-2.0 */
/* What the console's menu has the machine do: its settings changed as a whole, as an import changes
 * them, or a program run. */
#include "appliance_gateway.h"
#include "console.h"
#include "settings.h"
#include "settings_apply.h"
#include "system_run.h"

#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_TIMEOUT_S = 120, INSTALL_TIMEOUT_S = 1800 };

static void say(struct buf *out, const char *text)
{
    (void)!buf_append(out, text, strlen(text));
}

/* --- settings --- */

/* What is to be taken, and what was there before. */
struct change {
    const char *root;
    struct appliance *a;
    struct appliance_route routes[APPLIANCE_ROUTES_MAX];
    size_t routes_len;
    bool own_gateway; /* postern.conf is the console's, or there is none */
    struct settings_files files;
    struct settings_report report;
};

static int change_open(struct change *c, const char *root, struct buf *out)
{
    char *gateway;

    memset(c, 0, sizeof(*c));
    c->root = root;
    if (settings_appliance_read(root, &c->a, &c->report.errors) != ERR_OK) {
        say(out, c->report.errors.text);
        say(out, "The settings are wrong: mend them by a stick labelled POSTERN.\n");
        return ERR_CONFIG;
    }
    gateway = settings_text_read(root, SETTINGS_GATEWAY);
    c->own_gateway =
        !gateway || appliance_gateway_read(gateway, &c->a->arena, c->routes, APPLIANCE_ROUTES_MAX,
                                           &c->routes_len) == ERR_OK;
    free(gateway);
    return ERR_OK;
}

static void change_close(struct change *c)
{
    settings_files_free(&c->files);
    appliance_free(c->a);
}

/* appliance.conf is written only where something of it changed: what an administrator wrote has his
 * comments. */
static int files_make(struct change *c, bool appliance)
{
    struct buf text;
    int err = ERR_OK;

    if (appliance) {
        buf_init(&text, APPLIANCE_TEXT_MAX);
        err = appliance_write(c->a, &text);
        if (!err)
            err = settings_files_set(&c->files, SETTINGS_APPLIANCE, buf_span(&text).ptr,
                                     buf_len(&text));
        buf_release(&text);
    }
    if (!err && c->own_gateway)
        err = settings_gateway_make(c->root, c->a->hostname, c->routes, c->routes_len, &c->files);
    return err;
}

static void change_take(struct change *c, bool appliance, struct buf *out)
{
    int err = files_make(c, appliance);

    if (err) {
        say(out, err_text(err));
        say(out, "\n");
        return;
    }
    if (settings_take(c->root, &c->files, NULL, &c->report) == SETTINGS_TAKE_REFUSED) {
        say(out, c->report.errors.text);
        say(out, "Nothing was changed.\n");
        return;
    }
    settings_configured_tell(c->root, c->a);
    if (appliance && settings_apply(c->root, c->a) != ERR_OK)
        say(out, "It could not be applied; a restart does that.\n");
    settings_services_tell(c->root, c->a);
    say(out, c->report.warnings.text);
    say(out, "Done.\n");
}

static void ip_add(const char *text, union net_addr *list, size_t *len)
{
    if (text[0] && net_addr_parse_ip(span_str(text), 0, &list[*len]) == ERR_OK)
        (*len)++;
}

static void prefix_add(const char *text, struct net_prefix *list, size_t *len)
{
    if (text[0] && net_prefix_parse(span_str(text), &list[*len]) == ERR_OK)
        (*len)++;
}

static void do_network(struct change *c, const struct console_values *v, struct buf *out)
{
    static struct net_prefix addresses[2];
    static union net_addr gateways[2], dns[1];
    static struct appliance_network network;

    network = (struct appliance_network){.interface = v->interface[0] ? v->interface : "first",
                                         .vlan = (unsigned)strtoul(v->vlan, NULL, 10),
                                         .addresses = addresses,
                                         .gateways = gateways};
    prefix_add(v->address, addresses, &network.addresses_len);
    prefix_add(v->address_2, addresses, &network.addresses_len);
    ip_add(v->gateway, gateways, &network.gateways_len);
    ip_add(v->gateway_2, gateways, &network.gateways_len);
    network.dhcp = network.addresses_len == 0 ? APPLIANCE_DHCP_BOTH : APPLIANCE_DHCP_NONE;
    c->a->networks = &network;
    c->a->networks_len = 1;
    if (v->hostname[0])
        c->a->hostname = v->hostname;
    c->a->dns = dns;
    c->a->dns_len = 0;
    ip_add(v->dns, dns, &c->a->dns_len);
    change_take(c, true, out);
}

static size_t route_find(const struct change *c, const char *domain)
{
    size_t i = 0;

    while (i < c->routes_len && strcasecmp(c->routes[i].domain, domain) != 0)
        i++;
    return i;
}

static void do_route(struct change *c, const struct console_values *v, bool remove, struct buf *out)
{
    struct appliance_route route;
    char why[256];
    size_t at = route_find(c, v->domain);

    if (!c->own_gateway) {
        say(out, "postern.conf was not made here: change it by a stick, or by SSH.\n");
        return;
    }
    if (remove && at == c->routes_len) {
        say(out, "There is no such route.\n");
        return;
    }
    if (remove) {
        memmove(&c->routes[at], &c->routes[at + 1],
                (c->routes_len - at - 1) * sizeof(c->routes[0]));
        c->routes_len--;
    } else if (at == APPLIANCE_ROUTES_MAX) {
        say(out, "There are 64 routes, which is as many as the console takes.\n");
        return;
    } else if (appliance_route_valid(v->domain, v->next_hop, v->level, &route, why, sizeof(why))) {
        c->routes[at] = route;
        c->routes_len += at == c->routes_len;
    }
    change_take(c, false, out);
}

static void do_password(struct change *c, const struct console_values *v, struct buf *out)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    char *salt = crypt_gensalt("$y$", 0, NULL, 0);
    const char *hash = data && salt ? crypt_r(v->secret, salt, data) : NULL;

    if (hash && hash[0] == '$') {
        c->a->admin_password = arena_strdup(&c->a->arena, span_str(hash));
        change_take(c, true, out);
    } else {
        say(out, "The password could not be hashed.\n");
    }
    if (data)
        explicit_bzero(data, sizeof(*data));
    free(data);
}

static void do_key(struct change *c, const struct console_values *v, struct buf *out)
{
    size_t len = c->a->ssh_keys.len;
    const char **keys = arena_alloc(&c->a->arena, (len + 1) * sizeof(*keys));

    if (!keys) {
        say(out, "out of memory\n");
        return;
    }
    for (size_t i = 0; i < len; i++)
        keys[i] = c->a->ssh_keys.items[i];
    keys[len] = v->key;
    c->a->ssh_keys = (struct conf_strings){keys, len + 1};
    change_take(c, true, out);
}

static void change(const char *root, enum console_act what, const struct console_values *v,
                   struct buf *out)
{
    static struct change c;

    if (change_open(&c, root, out) != ERR_OK) {
        change_close(&c);
        return;
    }
    if (what == CONSOLE_ACT_NETWORK) {
        do_network(&c, v, out);
    } else if (what == CONSOLE_ACT_ROUTE || what == CONSOLE_ACT_ROUTE_REMOVE) {
        do_route(&c, v, what == CONSOLE_ACT_ROUTE_REMOVE, out);
    } else if (what == CONSOLE_ACT_PASSWORD) {
        do_password(&c, v, out);
    } else if (what == CONSOLE_ACT_KEY) {
        do_key(&c, v, out);
    } else {
        c.a->ssh_keys.len = 0;
        change_take(&c, true, out);
    }
    change_close(&c);
}

/* --- programs --- */

/* Whether it ended well; out has what it said. */
static bool program(const char *root, int timeout_s, struct buf *out, const char *const *words)
{
    const struct system_run run = {
        .root = root, .words = words, .timeout_s = timeout_s, .out = out, .with_errors = true};
    int code = system_run(&run);
    char text[128];

    if (code == 0)
        return true;
    if (code < 0)
        snprintf(text, sizeof(text), "%s: %s\n", words[0], err_text(code));
    else
        snprintf(text, sizeof(text), "%s ended with %d\n", words[0], code);
    say(out, text);
    return false;
}

#define CTL "/usr/bin/posternctl"
#define STATE "/usr/lib/postern/state"
/* Without a word to logind, which an appliance has not. */
#define SYSTEMCTL "/usr/bin/systemctl", "--no-block", "--job-mode=replace-irreversibly", "start"
#define PROGRAM(timeout_s, ...)                                                                    \
    program(root, timeout_s, out, (const char *const[]){__VA_ARGS__, NULL})

void console_do(const char *root, enum console_act what, const struct console_values *v,
                struct buf *out)
{
    switch (what) {
    case CONSOLE_ACT_NETWORK:
    case CONSOLE_ACT_ROUTE:
    case CONSOLE_ACT_ROUTE_REMOVE:
    case CONSOLE_ACT_PASSWORD:
    case CONSOLE_ACT_KEY:
    case CONSOLE_ACT_KEYS_REMOVE:
        change(root, what, v, out);
        return;
    case CONSOLE_ACT_RECOVERY_KEY:
        PROGRAM(RUN_TIMEOUT_S, STATE, "recovery-key");
        return;
    case CONSOLE_ACT_WRITTEN_DOWN:
        if (PROGRAM(RUN_TIMEOUT_S, STATE, "written-down"))
            say(out, "Done.\n");
        return;
    case CONSOLE_ACT_STATUS:
        PROGRAM(RUN_TIMEOUT_S, CTL, "system", "status");
        PROGRAM(RUN_TIMEOUT_S, CTL, "status");
        return;
    case CONSOLE_ACT_DIAGNOSTICS:
        PROGRAM(RUN_TIMEOUT_S, CTL, "system", "diagnostics");
        return;
    case CONSOLE_ACT_INSTALL:
        PROGRAM(INSTALL_TIMEOUT_S, CTL, "system", "install", "--yes", v->disk);
        return;
    case CONSOLE_ACT_RESET:
        PROGRAM(RUN_TIMEOUT_S, CTL, "system", "reset", "--yes", "--reboot");
        return;
    case CONSOLE_ACT_RESTART:
        PROGRAM(RUN_TIMEOUT_S, SYSTEMCTL, "reboot.target");
        return;
    case CONSOLE_ACT_OFF:
        PROGRAM(RUN_TIMEOUT_S, SYSTEMCTL, "poweroff.target");
        return;
    case CONSOLE_ACT_NONE:
    case CONSOLE_ACT_VERIFY:
    case CONSOLE_ACT_SHELL:
        return;
    }
}
