/* SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include "admin_password.h"
#include "appliance_gateway.h"
#include "net_addr.h"
#include "settings.h"
#include "settings_apply.h"
#include "slot.h"
#include "system_notice.h"
#include "system_run.h"

#include <dirent.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    GATEWAY_EVERY_S = 30,
    GATEWAY_AWAITED_EVERY_S = 5, /* while it does not answer */
    GATEWAY_TIMEOUT_S = 3,
    SLOTS_EVERY_S = 60,
    TEXT_MAX = 4096,
};

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* --- addresses --- */

static unsigned prefix_of(const struct sockaddr *mask)
{
    const union net_addr *a = (const union net_addr *)mask;
    const uint8_t *bytes = !mask                          ? NULL
                           : a->any.sa_family == AF_INET6 ? a->v6.sin6_addr.s6_addr
                                                          : (const uint8_t *)&a->v4.sin_addr;
    size_t len = !mask ? 0 : a->any.sa_family == AF_INET6 ? 16 : 4;
    unsigned bits = 0;

    for (size_t i = 0; i < len; i++)
        bits += (unsigned)__builtin_popcount(bytes[i]);
    return bits;
}

static bool is_shown(const struct ifaddrs *at)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at->ifa_addr;

    if (!at->ifa_addr || (at->ifa_flags & IFF_LOOPBACK))
        return false;
    return at->ifa_addr->sa_family == AF_INET ||
           (at->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr));
}

static int address_order(const void *a, const void *b)
{
    const struct console_address *x = a, *y = b;
    int by_interface = strverscmp(x->interface, y->interface);
    bool six_x = strchr(x->text, ':'), six_y = strchr(y->text, ':');

    return by_interface != 0 ? by_interface
           : six_x != six_y  ? six_x - six_y
                             : strcmp(x->text, y->text);
}

static void addresses_read(struct console_state *ret)
{
    struct ifaddrs *all = NULL;
    char ip[NET_ADDR_TEXT];

    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *at = all; at && ret->addresses_len < CONSOLE_ADDRESSES_MAX;
         at = at->ifa_next) {
        struct console_address *a = &ret->addresses[ret->addresses_len];
        if (!is_shown(at))
            continue;
        snprintf(a->interface, sizeof(a->interface), "%s", at->ifa_name);
        snprintf(a->text, sizeof(a->text), "%.50s/%u",
                 net_addr_ip_text((const union net_addr *)at->ifa_addr, ip),
                 prefix_of(at->ifa_netmask));
        ret->addresses_len++;
    }
    freeifaddrs(all);
    qsort(ret->addresses, ret->addresses_len, sizeof(ret->addresses[0]), address_order);
}

/* --- the gateway --- */

/* It is asked by another process: one that hangs would hold the console up. Whoever is slow to
 * answer has what he had. */
static void gateway_read(const char *root, struct console_state *ret)
{
    const char *const words[] = {"/usr/bin/posternctl", "--json", "status", NULL};
    struct buf out;
    json_t *data, *listeners, *item;
    size_t i;
    int code;

    buf_init(&out, 1 << 20);
    const struct system_run run = {
        .root = root, .words = words, .timeout_s = GATEWAY_TIMEOUT_S, .out = &out};
    code = system_run(&run);
    data = code == 0 ? json_loadb((const char *)buf_span(&out).ptr, buf_len(&out), 0, NULL) : NULL;
    ret->listeners_len = code == ERR_TIMEOUT ? ret->listeners_len : 0;
    listeners = json_object_get(data, "listeners");
    json_array_foreach(listeners, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *address = json_string_value(json_object_get(item, "address"));
        if (!name || !address || ret->listeners_len == CONSOLE_LISTENERS_MAX)
            continue;
        struct console_listener *l = &ret->listeners[ret->listeners_len++];
        snprintf(l->name, sizeof(l->name), "%s", name);
        snprintf(l->address, sizeof(l->address), "%s", address);
    }
    json_decref(data);
    buf_release(&out);
}

static void listeners_read(const char *root, struct console_state *ret)
{
    static struct console_state last;
    static time_t next;

    if (now_s() >= next) {
        gateway_read(root, &last);
        next = now_s() + (last.listeners_len > 0 ? GATEWAY_EVERY_S : GATEWAY_AWAITED_EVERY_S);
    }
    memcpy(ret->listeners, last.listeners, sizeof(ret->listeners));
    ret->listeners_len = last.listeners_len;
}

/* --- the system --- */

/* Whether the disk may well be taken away again: a stick says so, a hard disk on USB does not. */
static bool is_portable(const char *root, const char *disk)
{
    char path[256], place[PATH_MAX], value = '0';
    const char *device;
    FILE *file;

    if (!disk[0])
        return false;
    snprintf(path, sizeof(path), "%.100s/sys/block/%.64s", root, disk);
    device = realpath(path, place) ? strstr(place, "/devices/") : NULL;
    if (device && strstr(device, "/usb"))
        return true;
    snprintf(path, sizeof(path), "%.100s/sys/block/%.64s/removable", root, disk);
    file = fopen(path, "re");
    if (file) {
        value = (char)fgetc(file);
        fclose(file);
    }
    return value == '1';
}

static void slots_show(const char *root, struct console_state *ret)
{
    static struct slots slots;
    static time_t next;
    static int err;
    const struct slot *running, *other;

    if (now_s() >= next) {
        err = slots_read(root, &slots);
        next = now_s() + SLOTS_EVERY_S;
    }

    snprintf(ret->version, sizeof(ret->version), "%s", POSTERN_VERSION);
    if (err)
        return;
    snprintf(ret->version, sizeof(ret->version), "%s", slots.running);
    ret->installable = is_portable(root, slots.disk);
    running = slots_running(&slots);
    other = slots_other(&slots);
    if (running && other)
        snprintf(ret->slots, sizeof(ret->slots), "%.40s runs (%s), %.40s is in the other slot (%s)",
                 slots.running, slot_state_text(running->state), other->version,
                 slot_state_text(other->state));
    else if (running)
        snprintf(ret->slots, sizeof(ret->slots), "%.40s runs (%s), the other slot is empty",
                 slots.running, slot_state_text(running->state));
}

/* "ready" is from the service that tries the gateway. */
static void notices_read(const char *root, struct console_state *ret)
{
    static struct system_notice notices[CONSOLE_NOTICES_MAX];
    size_t len = system_notice_list(root, notices, CONSOLE_NOTICES_MAX);

    ret->notices_len = len;
    for (size_t i = 0; i < len; i++) {
        struct console_notice *n = &ret->notices[i];
        snprintf(n->level, sizeof(n->level), "%s", system_notice_level_text(notices[i].level));
        snprintf(n->text, sizeof(n->text), "%s", notices[i].text);
        if (notices[i].level == SYSTEM_NOTICE_ERROR)
            ret->health = CONSOLE_DEGRADED;
        else if (strcmp(notices[i].name, "ready") == 0 && notices[i].level == SYSTEM_NOTICE_OK &&
                 ret->health == CONSOLE_STARTING)
            ret->health = CONSOLE_READY;
    }
}

void console_state_read(const char *root, struct console_state *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (gethostname(ret->hostname, sizeof(ret->hostname) - 1) != 0)
        ret->hostname[0] = '\0';
    slots_show(root, ret);
    addresses_read(ret);
    listeners_read(root, ret);
    notices_read(root, ret);
    ret->has_password = admin_password_is_set(root);
}

/* --- for questions --- */

static void put(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(char *text, const char *format, ...)
{
    size_t len = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + len, TEXT_MAX - len, format, args);
    va_end(args);
}

static void interfaces_text(const char *root, char *text)
{
    static struct settings_nic nics[SETTINGS_NICS_MAX];
    size_t len = settings_nics(root, nics, SETTINGS_NICS_MAX);

    for (size_t i = 0; i < len && i < 12; i++)
        put(text, "  %-15s %s\n", nics[i].name, nics[i].mac);
    if (len == 0)
        put(text, "  This machine has no network interface that the kernel knows.\n");
}

static void routes_text(const char *root, char *text)
{
    static struct appliance_route routes[APPLIANCE_ROUTES_MAX];
    char *gateway = settings_text_read(root, SETTINGS_GATEWAY);
    struct arena arena;
    size_t len = 0;

    arena_init(&arena, 0);
    if (gateway && appliance_gateway_read(gateway, &arena, routes, APPLIANCE_ROUTES_MAX, &len) != 0)
        put(text, "  postern.conf was not made here: change it by a stick, or by SSH.\n");
    for (size_t i = 0; i < len && i < 14; i++)
        put(text, "  %s: %s, TLS %s\n", routes[i].domain, routes[i].next_hop,
            conf_level_text(routes[i].level));
    if (len > 14)
        put(text, "  and %zu more\n", len - 14);
    arena_free(&arena);
    free(gateway);
}

/* Whole disks but the one that this system is on. */
static void disks_text(const char *root, char *text)
{
    static struct slots slots;
    char path[512], line[64];
    struct dirent *entry;

    slots.disk[0] = '\0';
    (void)!slots_read(root, &slots);
    snprintf(path, sizeof(path), "%.200s/sys/block", root);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (name[0] == '.' || strncmp(name, "dm-", 3) == 0 || strncmp(name, "loop", 4) == 0 ||
            strncmp(name, "ram", 3) == 0 || strncmp(name, "sr", 2) == 0 ||
            strcmp(name, slots.disk) == 0)
            continue;
        snprintf(path, sizeof(path), "%.200s/sys/block/%.64s/size", root, name);
        FILE *file = fopen(path, "re");
        if (file && fgets(line, sizeof(line), file))
            put(text, "  %-15s %llu GB\n", name, strtoull(line, NULL, 10) * 512 / 1000000000);
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
}

/* Where /usr/lib/postern/state keeps it until it is written down. */
static bool has_recovery_key(const char *root)
{
    char path[256];

    snprintf(path, sizeof(path), "%.200s/var/lib/postern-system/recovery-key", root);
    return access(path, F_OK) == 0;
}

void console_facts_read(const char *root, const struct console_state *state,
                        struct console_facts *ret)
{
    static char interfaces[TEXT_MAX], routes[TEXT_MAX], disks[TEXT_MAX];

    interfaces[0] = routes[0] = disks[0] = '\0';
    interfaces_text(root, interfaces);
    routes_text(root, routes);
    if (state->installable)
        disks_text(root, disks);
    *ret = (struct console_facts){.has_password = state->has_password,
                                  .installable = state->installable,
                                  .recovery_key = has_recovery_key(root),
                                  .interfaces = interfaces,
                                  .routes = routes,
                                  .disks = disks};
}
