/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system firewall: opens what the configuration's listeners need, and SSH where somebody
 * has a key for it. Where the configuration is not accepted, what was open before stays so: the
 * gateway serves on with the one before, too.
 */
#include "appliance.h"
#include "ctl_print.h"
#include "ctl_slots.h"
#include "ctl_system.h"
#include "firewall_text.h"
#include "plan.h"
#include "settings.h"
#include "state_folder.h"
#include "system_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define FOLDER "/run/postern-system"
#define RULES "firewall.nft" /* what was loaded last */
#define NFT "/usr/sbin/nft"

enum { RULES_MAX = 65536, TIMEOUT_S = 30 };

static bool exists(const struct ctl_system *sys, const char *path)
{
    char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s%s", sys->root, path);
    return access(full, F_OK) == 0;
}

/* What is open to others; false: the configuration is not accepted. */
static bool open_places(const struct ctl_system *sys, union net_addr *out, size_t *ret_len)
{
    static struct plan_verdict verdict;
    char path[PATH_MAX];

    *ret_len = 0;
    if (!exists(sys, SETTINGS_GATEWAY_FILE))
        return true;
    snprintf(path, sizeof(path), "%s" SETTINGS_GATEWAY_FILE, sys->root);
    plan_try(path, PLAN_CHECK_FOR, NULL, &verdict);
    if (!verdict.accepted) {
        fputs(verdict.errors.text, stderr);
        return false;
    }
    *ret_len = plan_open(&verdict.plan, out);
    return true;
}

/* A sysexits code; why: what failed. */
static int rules_load(const struct ctl_system *sys, const struct firewall *f, char *why,
                      size_t room)
{
    char path[PATH_MAX];
    struct buf text, said;
    int code = 0;

    snprintf(path, sizeof(path), "%s" FOLDER, sys->root);
    (void)mkdir(path, 0755);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        snprintf(why, room, FOLDER ": %s", strerror(errno));
        return EX_CANTCREAT;
    }
    buf_init(&text, RULES_MAX);
    buf_init(&said, RULES_MAX);
    int err = firewall_text(f, &text);
    if (!err)
        err = state_folder_write(folder, RULES ".next", buf_span(&text));
    snprintf(path, sizeof(path), "%s" FOLDER "/" RULES ".next", sys->root);
    const char *const words[] = {NFT, "-f", path, NULL};
    const struct system_run run = {.root = sys->root,
                                   .words = words,
                                   .timeout_s = TIMEOUT_S,
                                   .out = &said,
                                   .with_errors = true};
    int status = err ? err : system_run(&run);
    if (status != 0) {
        code = EX_OSERR;
        snprintf(why, room, "nft: %s%.*s", status < 0 ? err_text(status) : "", (int)buf_len(&said),
                 buf_len(&said) ? (const char *)buf_span(&said).ptr : "");
    } else if (renameat(folder, RULES ".next", folder, RULES) != 0) {
        code = EX_CANTCREAT;
        snprintf(why, room, FOLDER ": %s", strerror(errno));
    }
    buf_release(&text);
    buf_release(&said);
    close(folder);
    return code;
}

static void told(const struct ctl_system *sys, const struct firewall *f)
{
    json_t *rows = json_array();
    char text[NET_ADDR_TEXT];

    for (size_t i = 0; i < f->open_len; i++)
        json_array_append_new(rows, json_string(net_addr_text(&f->open[i], text)));
    if (sys->json) {
        ctl_print_json(json_pack("{s:O, s:b}", "open", rows, "ssh", f->ssh));
    } else {
        for (size_t i = 0; i < f->open_len; i++)
            printf("open: %s\n", net_addr_text(&f->open[i], text));
        printf("ssh: %s\n", f->ssh ? "open" : "closed, for no key is given");
    }
    json_decref(rows);
}

int ctl_system_firewall(const struct ctl_system *sys, char **arguments)
{
    union net_addr open[PLAN_OPEN_MAX];
    struct firewall f = {.open = open, .ssh = exists(sys, "/run/" APPLIANCE_SSH_KEYS)};
    bool accepted = open_places(sys, open, &f.open_len), before = exists(sys, FOLDER "/" RULES);
    char why[400] = "", text[SYSTEM_NOTICE_TEXT];

    if (!accepted && before)
        return ctl_failed(
            sys->json, "the configuration is not accepted: the firewall stays as it is", EX_CONFIG);
    /* Without any rules yet, nothing is open to others for the gateway, which does not start
     * either. */
    int code = rules_load(sys, &f, why, sizeof(why));
    if (code != 0) {
        snprintf(text, sizeof(text), "the firewall can't be loaded, %s. %s",
                 before ? "the one of before stays"
                        : "and none was before: all that listens is open",
                 why);
        ctl_notice(sys, "firewall", SYSTEM_NOTICE_ERROR, text);
        return ctl_failed(sys->json, text, code);
    }
    system_notice_clear(sys->root, "firewall");
    told(sys, &f);
    return accepted ? 0 : EX_CONFIG;
}
