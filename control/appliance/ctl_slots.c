/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_slots.h"

#include "ctl_print.h"
#include "system_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { TIMEOUT_S = 60 };

bool ctl_slots_read(const struct ctl_system *sys, struct slots *ret)
{
    if (slots_read(sys->root, ret) == ERR_OK)
        return true;
    (void)ctl_failed(sys->json,
                     "this machine is no postern appliance: its os-release has no "
                     "IMAGE_ID=postern",
                     EX_UNAVAILABLE);
    return false;
}

static json_t *slot_json(const struct slot *slot)
{
    json_t *row =
        json_pack("{s:s, s:b, s:b, s:I, s:I}", "state", slot_state_text(slot->state), "runs",
                  slot->runs, "next", slot->next, "root_bytes", (json_int_t)slot->root_bytes,
                  "verity_bytes", (json_int_t)slot->verity_bytes);

    if (row && slot->version[0])
        json_object_set_new(row, "version", json_string(slot->version));
    if (row && slot->has_uki) {
        json_object_set_new(row, "uki", json_string(slot->uki_file));
        if (slot->uki.counted) {
            json_object_set_new(row, "tries_left", json_integer(slot->uki.left));
            json_object_set_new(row, "tries_done", json_integer(slot->uki.done));
        }
    }
    return row;
}

json_t *ctl_slots_json(const struct slots *s)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < s->len; i++)
        json_array_append_new(rows, slot_json(&s->slots[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:o}", "version", s->running, "disk", s->disk,
                     "esp", s->esp, "chosen", s->chosen, "efi", s->efi, "trial", s->trial, "slots",
                     rows);
}

int ctl_system_reboot(const struct ctl_system *sys)
{
    static const char *const words[] = {"/usr/bin/systemctl", "--no-block", "start",
                                        "reboot.target", NULL};
    const struct system_run run = {.root = sys->root, .words = words, .timeout_s = TIMEOUT_S};
    char why[128];
    int status = system_run(&run);

    if (status == 0)
        return 0;
    snprintf(why, sizeof(why), "the machine does not restart: systemctl start reboot.target: %s",
             status < 0 ? err_text(status) : "failed");
    return ctl_failed(sys->json, why, EX_OSERR);
}

int ctl_system_reboot_hard(const struct ctl_system *sys)
{
    static const char *const by_force[][5] = {
        {"/usr/bin/systemctl", "--force", "reboot", NULL},
        {"/usr/bin/systemctl", "--force", "--force", "reboot", NULL},
    };
    int status = ctl_system_reboot(sys);

    for (size_t i = 0; status != 0 && i < sizeof(by_force) / sizeof(by_force[0]); i++) {
        const struct system_run run = {
            .root = sys->root, .words = by_force[i], .timeout_s = TIMEOUT_S};
        status = system_run(&run) == 0 ? 0 : EX_OSERR;
    }
    return status;
}

void ctl_notice(const struct ctl_system *sys, const char *name, enum system_notice_level level,
                const char *text)
{
    if (system_notice_set(sys->root, name, level, text) != ERR_OK)
        fprintf(stderr, "posternctl: the notice can't be written: %s\n", strerror(errno));
}
