/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl system status and rollback: what is in the slots, and which comes next. */
#include "ctl_print.h"
#include "ctl_slots.h"
#include "ctl_system.h"
#include "slot_efi.h"
#include "system_notice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* --- status --- */

static const char *state_says(const struct slot *slot)
{
    switch (slot->state) {
    case SLOT_EMPTY:
        return "empty: an update goes there";
    case SLOT_INCOMPLETE:
        return "incomplete: an update was cut off; run it again";
    case SLOT_BAD:
        return "bad: it was tried, and never found healthy";
    case SLOT_TRIAL:
        return slot->runs ? "on trial: not found healthy yet"
                          : "new: its first start will be a trial";
    case SLOT_GOOD:
        return "good: was found healthy";
    }
    return "?";
}

static void slot_print(const struct slot *slot)
{
    printf("  %-14s %s", slot->version[0] ? slot->version : "-", state_says(slot));
    if (slot->has_uki && slot->uki.counted)
        printf(", %u tries left", slot->uki.left);
    printf("%s%s\n", slot->runs ? "; runs now" : "", slot->next ? "; starts next" : "");
}

static void status_print(const struct ctl_system *sys, const struct slots *s)
{
    static struct system_notice notices[SYSTEM_NOTICES_MAX];
    size_t len = system_notice_list(sys->root, notices, SYSTEM_NOTICES_MAX);

    printf("postern %s%s%s%s\n", s->running, s->trial ? ", on trial" : "",
           s->disk[0] ? ", on " : "", s->disk);
    for (size_t i = 0; i < s->len; i++)
        slot_print(&s->slots[i]);
    if (!s->disk[0])
        puts("  The disk that this machine was started from can't be found.");
    if (!s->esp[0])
        puts("  The EFI partition is not mounted: what starts next is not known.");
    if (s->chosen[0])
        printf("  Chosen by an administrator: %s\n", s->chosen);
    for (size_t i = 0; i < len; i++)
        printf("%s: %s\n", system_notice_level_text(notices[i].level), notices[i].text);
}

int ctl_system_status(const struct ctl_system *sys, char **arguments)
{
    static struct slots s;

    if (!ctl_slots_read(sys, &s))
        return EX_UNAVAILABLE;
    if (sys->json)
        ctl_print_json(ctl_slots_json(&s));
    else
        status_print(sys, &s);
    return 0;
}

/* --- rollback --- */

/* NULL where it may be started. */
static const char *why_not_back(const struct slots *s, const struct slot *other)
{
    if (!s->efi)
        return "this machine's firmware is no UEFI: choose the version in the boot menu";
    if (!s->esp[0])
        return "the EFI partition is not mounted: what is in the other slot is not known";
    if (!other)
        return "the other slot is empty: there is no version to go back to";
    switch (other->state) {
    case SLOT_EMPTY:
        return "the other slot is empty: there is no version to go back to";
    case SLOT_INCOMPLETE:
        return "the other slot is incomplete: an update to it was cut off";
    case SLOT_BAD:
        return "the version in the other slot was tried, and never found healthy";
    case SLOT_TRIAL:
        return "the version in the other slot is new and was never started: a restart starts it, "
               "and "
               "comes back by itself where it is not healthy";
    case SLOT_GOOD:
        break;
    }
    return NULL;
}

int ctl_system_rollback(const struct ctl_system *sys, char **arguments)
{
    static struct slots s;
    char why[256];

    if (!ctl_slots_read(sys, &s))
        return EX_UNAVAILABLE;
    const struct slot *other = slots_other(&s);
    const char *not_back = why_not_back(&s, other);
    if (not_back)
        return ctl_failed(sys->json, not_back, EX_UNAVAILABLE);
    if (slot_efi_write(sys->root, SLOT_EFI_LOADER, "LoaderEntryOneShot", "") != ERR_OK ||
        slot_efi_write(sys->root, SLOT_EFI_LOADER, "LoaderEntryDefault", other->uki_file) !=
            ERR_OK) {
        snprintf(why, sizeof(why), "the firmware does not take it: %s", strerror(errno));
        return ctl_failed(sys->json, why, EX_IOERR);
    }
    snprintf(why, sizeof(why), "version %s starts next, in place of %s", other->version, s.running);
    ctl_notice(sys, "slot", SYSTEM_NOTICE_WARNING, why);
    if (sys->json)
        ctl_print_json(json_pack("{s:s, s:s, s:b}", "version", s.running, "next", other->version,
                                 "reboot", sys->reboot));
    else
        printf("Version %s starts next, and from then on, in place of %s, until an update is "
               "installed.\nMail that is on its way is finished first%s\n",
               other->version, s.running,
               sys->reboot ? ". Restarting."
                           : "; to start it now: posternctl system rollback --reboot");
    return sys->reboot ? ctl_system_reboot(sys) : 0;
}
