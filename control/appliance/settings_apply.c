/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_apply.h"

#include "appliance_gateway.h"
#include "ascii.h"
#include "moment.h"
#include "settings.h"
#include "settings_tree.h"
#include "state_folder.h"
#include "system_notice.h"
#include "system_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The first line. Empty: there is none. */
static void line_read(const char *path, char *out, size_t room)
{
    FILE *file = fopen(path, "re");

    if (!file || !fgets(out, (int)room, file))
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (file)
        fclose(file);
}

/* --- interfaces --- */

static bool nic_read(const char *root, const char *name, struct settings_nic *ret)
{
    char path[PATH_MAX], type[16];
    struct stat st;

    snprintf(path, sizeof(path), "%s/sys/class/net/%s/device", root, name);
    if (strlen(name) >= sizeof(ret->name) || stat(path, &st) != 0)
        return false;
    snprintf(path, sizeof(path), "%s/sys/class/net/%s/type", root, name);
    line_read(path, type, sizeof(type));
    snprintf(path, sizeof(path), "%s/sys/class/net/%s/address", root, name);
    line_read(path, ret->mac, sizeof(ret->mac));
    ascii_lower_all(ret->mac);
    ascii_mask(ret->mac);
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    return strtoul(type, NULL, 10) == ARPHRD_ETHER;
}

static int nic_order(const void *a, const void *b)
{
    return strverscmp(((const struct settings_nic *)a)->name,
                      ((const struct settings_nic *)b)->name);
}

size_t settings_nics(const char *root, struct settings_nic *out, size_t room)
{
    char path[PATH_MAX];
    struct dirent *entry;
    size_t len = 0;

    snprintf(path, sizeof(path), "%s/sys/class/net", root);
    DIR *dir = opendir(path);
    while (dir && len < room && (entry = readdir(dir)))
        len += entry->d_name[0] != '.' && nic_read(root, entry->d_name, &out[len]);
    if (dir)
        closedir(dir);
    qsort(out, len, sizeof(*out), nic_order);
    return len;
}

static bool nic_is(const struct settings_nic *nics, size_t len, const char *interface)
{
    for (size_t i = 0; i < len; i++) {
        if (strcmp(nics[i].name, interface) == 0 || strcmp(nics[i].mac, interface) == 0)
            return true;
    }
    return false;
}

/* A bond, as some network describes it, is made and not found. */
static bool is_made(const struct appliance *a, const char *interface)
{
    for (size_t i = 0; i < a->networks_len; i++) {
        if (a->networks[i].bond.members.len > 0 && strcmp(a->networks[i].interface, interface) == 0)
            return true;
    }
    return false;
}

static const char *nic_missing(const struct appliance *a, const struct settings_nic *nics,
                               size_t len)
{
    for (size_t i = 0; i < a->networks_len; i++) {
        const struct appliance_network *n = &a->networks[i];
        if (strcmp(n->interface, "first") != 0 && !is_made(a, n->interface) &&
            !nic_is(nics, len, n->interface))
            return n->interface;
        for (size_t j = 0; j < n->bond.members.len; j++) {
            if (!nic_is(nics, len, n->bond.members.items[j]))
                return n->bond.members.items[j];
        }
    }
    return NULL;
}

static void nics_notice(const char *root, const struct appliance *a,
                        const struct settings_nic *nics, size_t len)
{
    const char *missing = nic_missing(a, nics, len);
    char text[SYSTEM_NOTICE_TEXT];
    size_t n = 0;

    system_notice_clear(root, "interfaces");
    if (len == 0) {
        (void)!system_notice_set(root, "interfaces", SYSTEM_NOTICE_ERROR,
                                 "no network interface: the kernel has a driver for none of this "
                                 "machine's; \"diagnostics\" lists its hardware");
        return;
    }
    if (!missing)
        return;
    n = (size_t)snprintf(
        text, sizeof(text),
        "appliance.conf names the interface %s, which this machine has not; it has", missing);
    for (size_t i = 0; i < len && n < sizeof(text) - 48; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s (%s)", i > 0 ? "," : "",
                              nics[i].name, nics[i].mac);
    (void)!system_notice_set(root, "interfaces", SYSTEM_NOTICE_WARNING, text);
}

/* --- files --- */

static int text_write(const char *root, const struct appliance_text *text)
{
    char path[PATH_MAX];
    const char *slash = strrchr(text->path, '/');

    snprintf(path, sizeof(path), "/run/%.*s", (int)(slash - text->path), text->path);
    int folder = settings_path_open(root, path);
    if (folder < 0)
        return ERR_IO;
    int err = state_folder_write(folder, slash + 1, text->text);
    /* networkd and others read them with no right of root's. */
    if (!err && fchmodat(folder, slash + 1, 0644, 0) != 0)
        err = ERR_IO;
    int error = errno;
    close(folder);
    errno = error;
    return err;
}

static bool texts_have(const struct appliance_texts *texts, const char *folder, const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    for (size_t i = 0; i < texts->len; i++) {
        if (strcmp(texts->items[i].path, path) == 0)
            return true;
    }
    return false;
}

/* What an earlier apply made and this one did not. */
static void stale_remove(const char *root, const char *folder, const char *within,
                         const struct appliance_texts *texts)
{
    char path[PATH_MAX];
    struct dirent *entry;

    snprintf(path, sizeof(path), "%s/run/%s", root, folder);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (strstr(entry->d_name, within) && !texts_have(texts, folder, entry->d_name))
            (void)!unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* /etc/localtime of the image leads to it. */
static void time_zone_set(const char *root, const char *zone)
{
    char path[PATH_MAX], target[PATH_MAX];
    int folder = settings_path_open(root, "/run/postern-system");
    struct stat st;

    snprintf(target, sizeof(target), "/usr/share/zoneinfo/%s", zone);
    snprintf(path, sizeof(path), "%s%s", root, target);
    system_notice_clear(root, "time-zone");
    if ((stat(path, &st) != 0 || !S_ISREG(st.st_mode)) && strcmp(zone, "UTC") != 0) {
        snprintf(path, sizeof(path),
                 "appliance.conf: time_zone: found \"%s\", which is not known; UTC it is", zone);
        (void)!system_notice_set(root, "time-zone", SYSTEM_NOTICE_WARNING, path);
        snprintf(target, sizeof(target), "/usr/share/zoneinfo/UTC");
    }
    if (folder < 0)
        return;
    (void)!unlinkat(folder, ".localtime", 0);
    if (symlinkat(target, folder, ".localtime") == 0)
        (void)!renameat(folder, ".localtime", folder, "localtime");
    close(folder);
}

void settings_configured_tell(const char *root, const struct appliance *a)
{
    char *appliance = settings_text_read(root, SETTINGS_APPLIANCE);
    char *gateway = settings_text_read(root, SETTINGS_GATEWAY);
    struct appliance_route route;
    struct arena arena;
    size_t routes = 1;

    arena_init(&arena, 0);
    if (gateway && appliance_gateway_is_ours(gateway) &&
        appliance_gateway_read(gateway, &arena, &route, 1, &routes) == ERR_FULL)
        routes = 1;
    system_notice_clear(root, "configured");
    if (!appliance && (!gateway || routes == 0))
        (void)!system_notice_set(root, "configured", SYSTEM_NOTICE_WARNING,
                                 "not configured: no settings were given; give them by a stick "
                                 "labelled POSTERN, or by the menu");
    else if (!gateway || routes == 0)
        (void)!system_notice_set(
            root, "configured", SYSTEM_NOTICE_WARNING,
            "not configured: there is no route, all mail is refused; give one by "
            "postern.conf on a stick labelled POSTERN, or by the menu");
    else if (a && !a->admin_password)
        (void)!system_notice_set(root, "configured", SYSTEM_NOTICE_WARNING,
                                 "no administrator's password is set: whoever stands before this "
                                 "machine may change its settings");
    arena_free(&arena);
    free(appliance);
    free(gateway);
}

int settings_apply(const char *root, const struct appliance *a)
{
    static struct settings_nic nics[SETTINGS_NICS_MAX];
    size_t nics_len = settings_nics(root, nics, SETTINGS_NICS_MAX);
    struct appliance_texts texts;
    struct arena arena;
    int err;

    arena_init(&arena, 0);
    err = appliance_texts_make(a, nics_len > 0 ? nics[0].name : NULL, &arena, &texts);
    for (size_t i = 0; !err && i < texts.len; i++)
        err = text_write(root, &texts.items[i]);
    if (!err) {
        stale_remove(root, APPLIANCE_NETWORKD, "-postern.", &texts);
        stale_remove(root, "systemd/resolved.conf.d", "50-postern.conf", &texts);
        stale_remove(root, "postern-system/ssh", "authorized_keys", &texts);
        time_zone_set(root, a->time_zone);
        nics_notice(root, a, nics, nics_len);
    }
    if (!err)
        settings_configured_tell(root, a);
    if (!err && !root[0] && sethostname(a->hostname, strlen(a->hostname)) != 0)
        err = ERR_IO;
    arena_free(&arena);
    return err;
}

/* --- services --- */

#define SYSTEMCTL "/usr/bin/systemctl"

enum { SYSTEMCTL_TIMEOUT_S = 90, SYSTEMCTL_SAYS = 4096 };

/* words: behind systemctl's own. What fails is told, and no reason to leave the others out. */
static void systemctl(const char *root, const char *const *words)
{
    const char *all[8] = {SYSTEMCTL};
    struct buf said;

    buf_init(&said, SYSTEMCTL_SAYS);
    for (size_t i = 0; words[i]; i++)
        all[i + 1] = words[i];
    const struct system_run run = {.root = root,
                                   .words = all,
                                   .timeout_s = SYSTEMCTL_TIMEOUT_S,
                                   .out = &said,
                                   .with_errors = true};
    int status = system_run(&run);
    struct span text = buf_span(&said);
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (status != 0) {
        fputs("posternctl: systemctl", stderr);
        for (size_t i = 0; words[i]; i++)
            fprintf(stderr, " %s", words[i]);
        fprintf(stderr, ": %s%.*s\n", status < 0 ? err_text(status) : "", (int)text.len,
                text.len > 0 ? (const char *)text.ptr : "");
    }
    buf_release(&said);
}

/* By systemctl, which asks the service manager itself: networkctl would ask D-Bus, which is not
 * there. The firewall has a unit that watches what it goes by. */
void settings_services_tell(const char *root, const struct appliance *a)
{
    const char *const networks[] = {"reload-or-restart", "systemd-networkd.service", NULL};
    const char *const ssh[] = {"--no-block", a->ssh_keys.len > 0 ? "start" : "stop", "ssh.service",
                               NULL};
    const char *const others[] = {"--no-block", "try-restart", "systemd-resolved.service",
                                  "chrony.service", NULL};
    const char *const gateway[] = {"--no-block", "reload-or-restart", "postern.service", NULL};
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/run/systemd/system", root);
    if (access(path, F_OK) != 0)
        return;
    systemctl(root, networks);
    systemctl(root, ssh);
    systemctl(root, others);
    systemctl(root, gateway);
}

/* --- clock --- */

/* systemd itself sets a clock that is behind the image, without a word: what the firmware's clock
 * said shows that it had to. */
void settings_clock_check(const char *root)
{
    char path[PATH_MAX], line[32], then[MOMENT_TEXT], text[SYSTEM_NOTICE_TEXT];
    struct stat image;
    int64_t now = (int64_t)time(NULL), firmware;

    snprintf(path, sizeof(path), "%s/usr/lib/os-release", root);
    if (stat(path, &image) != 0)
        return;
    snprintf(path, sizeof(path), "%s/sys/class/rtc/rtc0/since_epoch", root);
    line_read(path, line, sizeof(line));
    firmware = line[0] ? (int64_t)strtoll(line, NULL, 10) : now;
    system_notice_clear(root, "clock");
    if (firmware >= image.st_mtime && now >= image.st_mtime)
        return;
    moment_text(firmware < now ? firmware : now, then);
    snprintf(
        text, sizeof(text),
        "the clock of this machine said %s, which is before its image was made; it is set to that "
        "day until a time server answers: look at the machine's battery",
        then);
    (void)!system_notice_set(root, "clock", SYSTEM_NOTICE_WARNING, text);
    const struct timespec at = {.tv_sec = image.st_mtime};
    if (now < image.st_mtime && !root[0])
        (void)!clock_settime(CLOCK_REALTIME, &at);
}
