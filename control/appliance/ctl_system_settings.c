/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl system settings check|import|apply|boot|show. */
#include "appliance_gateway.h"
#include "ctl_print.h"
#include "ctl_system.h"
#include "settings.h"
#include "settings_apply.h"
#include "settings_stick.h"
#include "stick_right.h"
#include "system_notice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static struct settings_report report;

static int refused(const struct ctl_system *sys)
{
    return ctl_failed(sys->json, report.errors.text, EX_CONFIG);
}

/* --- notices --- */

enum { SETTINGS_NOTICES = 5 };

/* One a complaint, as many as a screen has room for, under the name of what they are about. Clears
 * those of before. */
static void errors_notice(const char *root, const char *name, const char *head,
                          const struct conf_errors *errors)
{
    char notice[SYSTEM_NOTICE_NAME], text[SYSTEM_NOTICE_TEXT];
    const char *line = errors ? errors->text : "";

    for (int i = 0; i <= SETTINGS_NOTICES; i++) {
        size_t len = strcspn(line, "\n");
        snprintf(notice, sizeof(notice), "%s-%d", name, i);
        system_notice_clear(root, notice);
        if (len == 0)
            continue;
        if (i == SETTINGS_NOTICES)
            snprintf(text, sizeof(text), "%s: there are %zu errors in all; mend these first", head,
                     errors->count);
        else
            snprintf(text, sizeof(text), "%s: %.*s", head, (int)len, line);
        (void)!system_notice_set(root, notice, SYSTEM_NOTICE_ERROR, text);
        line += len + (line[len] == '\n');
    }
}

/* --- check --- */

static int check_file(const struct ctl_system *sys, const char *path)
{
    const char *name = strrchr(path, '/');
    struct appliance *a = NULL;
    struct buf text;
    int err, fd;

    name = name ? name + 1 : path;
    if (strcmp(name, SETTINGS_APPLIANCE) != 0 && !strstr(name, "appliance"))
        return ctl_failed(sys->json,
                          "it is no appliance.conf; posternctl config check is for postern.conf",
                          EX_USAGE);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ctl_failed(sys->json, strerror(errno), EX_NOINPUT);
    buf_init(&text, APPLIANCE_TEXT_MAX + 2);
    uint8_t *room = buf_reserve(&text, APPLIANCE_TEXT_MAX + 1);
    ssize_t n = room ? read(fd, room, APPLIANCE_TEXT_MAX + 1) : -1;
    close(fd);
    if (n >= 0) {
        buf_commit(&text, (size_t)n);
        err = buf_append(&text, "", 1);
        if (!err)
            err = appliance_parse((const char *)buf_span(&text).ptr, path, &a, &report.errors);
        appliance_free(a);
    } else {
        err = ERR_IO;
        conf_errors_add(&report.errors, path, 0, "", "can't be read");
    }
    buf_release(&text);
    return err ? EX_CONFIG : 0;
}

int ctl_system_settings_check(const struct ctl_system *sys, char **arguments)
{
    char own[PATH_MAX];
    const char *path = arguments[0];
    struct stat st;
    int code;

    snprintf(own, sizeof(own), "%s%s", sys->root, SETTINGS_FOLDER);
    path = path ? path : own;
    if (stat(path, &st) != 0)
        return ctl_failed(sys->json, strerror(errno), EX_NOINPUT);
    if (S_ISDIR(st.st_mode))
        code = settings_check(sys->root, path, &report) == ERR_OK ? 0 : EX_CONFIG;
    else
        code = check_file(sys, path);
    if (report.errors.count > 0)
        return refused(sys);
    if (code != 0)
        return code;
    if (sys->json) {
        ctl_print_json(json_pack("{s:s, s:s*}", "settings", path, "warnings",
                                 report.warnings.count > 0 ? report.warnings.text : NULL));
        return 0;
    }
    fputs(report.warnings.text, stderr);
    printf("%s: accepted\n", path);
    return 0;
}

/* --- import --- */

enum source { SOURCE_NONE, SOURCE_READ, SOURCE_REFUSED };

/* The stick's, or else the firmware's. name: by which they are remembered. stick: the caller's to
 * close where they are the stick's, else -1. */
static enum source source_read(const struct ctl_system *sys, struct settings_files *files,
                               const char **ret_name, int *ret_stick)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    char why[256];
    int folder, err;

    *ret_name = "stick";
    *ret_stick = -1;
    switch (settings_stick_open(sys->root, &folder, why, sizeof(why))) {
    case SETTINGS_STICK_BAD:
        conf_errors_add(&report.errors, "POSTERN", 0, "", "%s", why);
        return SOURCE_REFUSED;
    case SETTINGS_STICK_OPEN:
        *ret_stick = folder;
        err = settings_files_read(folder, "stick POSTERN", files, &report.errors);
        if (!err && files->len == 0)
            conf_errors_add(&report.errors, "POSTERN", 0, "",
                            "found no settings, allowed are appliance.conf, postern.conf and the "
                            "folders tls, partners and secrets");
        return report.errors.count > 0 ? SOURCE_REFUSED : SOURCE_READ;
    case SETTINGS_STICK_NONE:
        break;
    }
    *ret_name = "credentials";
    folder = credentials ? open(credentials, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder < 0)
        return SOURCE_NONE;
    err = settings_credentials_read(folder, files, &report.errors);
    close(folder);
    return err ? SOURCE_REFUSED : files->len == 0 ? SOURCE_NONE : SOURCE_READ;
}

static const char *outcome_text(enum settings_outcome outcome)
{
    return outcome == SETTINGS_TAKE_DONE   ? "taken"
           : outcome == SETTINGS_TAKE_SAME ? "the same as were taken before"
                                           : "refused";
}

static int told_import(const struct ctl_system *sys, enum settings_outcome outcome,
                       const char *source)
{
    if (outcome == SETTINGS_TAKE_REFUSED)
        return refused(sys);
    if (sys->json)
        ctl_print_json(
            json_pack("{s:s, s:b}", "source", source, "changed", outcome == SETTINGS_TAKE_DONE));
    else
        printf("settings of %s: %s\n", source, outcome_text(outcome));
    return 0;
}

int ctl_system_settings_import(const struct ctl_system *sys, char **arguments)
{
    static struct settings_files files;
    const char *name = arguments[0];
    enum settings_outcome outcome = SETTINGS_TAKE_REFUSED;
    enum source source = SOURCE_READ;
    int stick = -1;

    if (name) {
        int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            return ctl_failed(sys->json, strerror(errno), EX_NOINPUT);
        if (settings_files_read(folder, name, &files, &report.errors) != ERR_OK)
            source = SOURCE_REFUSED;
        close(folder);
    } else {
        source = source_read(sys, &files, &name, &stick);
        if (stick >= 0)
            close(stick);
    }
    if (source == SOURCE_NONE || (source == SOURCE_READ && files.len == 0))
        return ctl_failed(sys->json, "no settings are there to be taken", EX_NOINPUT);
    if (source == SOURCE_READ)
        outcome = settings_take(sys->root, &files, arguments[0] ? NULL : name, &report);
    settings_files_free(&files);
    return told_import(sys, outcome, name);
}

/* --- apply --- */

static int apply(const struct ctl_system *sys, struct appliance **ret)
{
    if (settings_appliance_read(sys->root, ret, &report.errors) != ERR_OK)
        return refused(sys);
    if (settings_apply(sys->root, *ret) == ERR_OK)
        return 0;
    int error = errno;
    appliance_free(*ret);
    return ctl_failed(sys->json, strerror(error), EX_IOERR);
}

int ctl_system_settings_apply(const struct ctl_system *sys, char **arguments)
{
    struct appliance *a;
    int code = apply(sys, &a);

    if (code != 0)
        return code;
    settings_services_tell(sys->root, a);
    appliance_free(a);
    return 0;
}

/* --- boot --- */

/* What was taken once, and stays in, is asked nothing any more. */
static enum source stick_judge(const struct ctl_system *sys, int stick,
                               const struct settings_files *files, enum stick_right *ret_right)
{
    *ret_right = STICK_RIGHT_FREE;
    if (!settings_taken_before(sys->root, files, "stick"))
        *ret_right = stick_right_check(sys->root, stick, &report.errors);
    return *ret_right == STICK_RIGHT_NONE ? SOURCE_REFUSED : SOURCE_READ;
}

static void boot_import(const struct ctl_system *sys)
{
    static struct settings_files files;
    const char *name;
    enum settings_outcome outcome = SETTINGS_TAKE_REFUSED;
    enum stick_right right = STICK_RIGHT_FREE;
    int stick;
    enum source source = source_read(sys, &files, &name, &stick);
    const char *whose = strcmp(name, "stick") == 0 ? "stick POSTERN" : "machine's firmware";
    char head[160];

    if (source == SOURCE_READ && stick >= 0)
        source = stick_judge(sys, stick, &files, &right);
    if (source == SOURCE_READ)
        outcome = settings_take(sys->root, &files, name, &report);
    settings_files_free(&files);
    if (stick >= 0)
        close(stick);
    snprintf(head, sizeof(head), "settings of the %s are not taken", whose);
    errors_notice(sys->root, "import", head,
                  source != SOURCE_NONE && outcome == SETTINGS_TAKE_REFUSED ? &report.errors
                                                                            : NULL);
    system_notice_clear(sys->root, "imported");
    if (source == SOURCE_READ && outcome == SETTINGS_TAKE_DONE) {
        snprintf(head, sizeof(head), "settings of the %s were taken%s", whose,
                 right == STICK_RIGHT_PROVEN ? "; take the password or the key off it again" : "");
        (void)!system_notice_set(sys->root, "imported", SYSTEM_NOTICE_OK, head);
    }
}

/* What was never given: a gateway without routes, and a certificate of its own. A postern.conf of
 * the console's whose certificate names another host gets another one. */
static void boot_defaults(const struct ctl_system *sys)
{
    static struct settings_files files;
    static struct appliance_route routes[APPLIANCE_ROUTES_MAX];
    char *gateway = settings_text_read(sys->root, SETTINGS_GATEWAY);
    struct appliance *a = NULL;
    struct arena arena;
    size_t len = 0;
    int err = ERR_OK;

    arena_init(&arena, 0);
    if (gateway)
        err = appliance_gateway_read(gateway, &arena, routes, APPLIANCE_ROUTES_MAX, &len);
    if (!err)
        err = settings_appliance_read(sys->root, &a, &report.errors);
    if (!err)
        err = settings_gateway_make(sys->root, a->hostname, routes, len, &files);
    bool same = gateway && files.len == 1 && strcmp((char *)files.items[0].data, gateway) == 0;
    if (!err && !same && settings_take(sys->root, &files, NULL, &report) == SETTINGS_TAKE_REFUSED)
        errors_notice(sys->root, "defaults", "the machine's own settings", &report.errors);
    settings_files_free(&files);
    appliance_free(a);
    arena_free(&arena);
    free(gateway);
}

int ctl_system_settings_boot(const struct ctl_system *sys, char **arguments)
{
    struct appliance *a = NULL;
    bool back = false;

    settings_clock_check(sys->root);
    (void)settings_migrate_boot(
        sys->root); /* what it says is a notice; what is wrong is settled below */
    boot_import(sys);
    boot_defaults(sys);
    int err = settings_settle(sys->root, &back, &report);
    errors_notice(sys->root, "settings",
                  back ? "the last good settings are back, for" : "the settings are wrong",
                  back || err ? &report.errors : NULL);
    /* Without a good appliance.conf, too, the machine is to be reached. */
    if (settings_appliance_read(sys->root, &a, &report.errors) != ERR_OK &&
        appliance_parse(appliance_default_text, SETTINGS_APPLIANCE, &a, &report.errors) != ERR_OK)
        return refused(sys);
    err = settings_apply(sys->root, a);
    int error = errno;
    appliance_free(a);
    return err ? ctl_failed(sys->json, strerror(error), EX_IOERR) : 0;
}

/* --- show --- */

static json_t *network_json(const struct appliance_network *n)
{
    json_t *addresses = json_array(), *gateways = json_array();
    char text[NET_ADDR_TEXT], full[NET_ADDR_TEXT + 8];

    for (size_t i = 0; i < n->addresses_len; i++) {
        snprintf(full, sizeof(full), "%s/%u", net_addr_ip_text(&n->addresses[i].addr, text),
                 n->addresses[i].bits);
        json_array_append_new(addresses, json_string(full));
    }
    for (size_t i = 0; i < n->gateways_len; i++)
        json_array_append_new(gateways, json_string(net_addr_ip_text(&n->gateways[i], text)));
    return json_pack("{s:s, s:i, s:b, s:o, s:o}", "interface", n->interface, "vlan", (int)n->vlan,
                     "dhcp", n->dhcp != APPLIANCE_DHCP_NONE, "addresses", addresses, "gateways",
                     gateways);
}

static void show_text(const struct appliance *a)
{
    struct buf out;

    buf_init(&out, 0);
    if (appliance_write(a, &out) == ERR_OK)
        fwrite(buf_span(&out).ptr, 1, buf_len(&out), stdout);
    buf_release(&out);
}

/* The hash of the password is nobody's to read. */
int ctl_system_settings_show(const struct ctl_system *sys, char **arguments)
{
    json_t *networks;
    struct appliance *a;
    bool password;

    if (settings_appliance_read(sys->root, &a, &report.errors) != ERR_OK)
        return refused(sys);
    password = a->admin_password != NULL;
    a->admin_password = NULL;
    if (!sys->json) {
        show_text(a);
        printf("# admin_password is %sset\n", password ? "" : "not ");
        appliance_free(a);
        return 0;
    }
    networks = json_array();
    for (size_t i = 0; i < a->networks_len; i++)
        json_array_append_new(networks, network_json(&a->networks[i]));
    ctl_print_json(json_pack("{s:s, s:s, s:o, s:i, s:b, s:b}", "hostname", a->hostname, "time_zone",
                             a->time_zone, "network", networks, "ssh_keys", (int)a->ssh_keys.len,
                             "admin_password", password, "acme", a->acme.directory != NULL));
    appliance_free(a);
    return 0;
}
