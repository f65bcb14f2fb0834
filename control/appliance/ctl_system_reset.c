/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system reset: /var is erased at the next start, before anything reads it
 * (postern-state.service, which systemd-repart's own variable of the firmware tells so). The
 * versions in the slots stay.
 */
#include "ctl_print.h"
#include "ctl_slots.h"
#include "ctl_system.h"
#include "slot_efi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define VARIABLE "FactoryReset"
#define ANSWER "erase"

static bool confirmed(void)
{
    char line[64];

    fputs("This erases all that the machine was given and has kept: settings, certificates and "
          "their\n"
          "keys, SSH's key, the journal, what it learnt of other servers. It can't be undone.\n"
          "Type \"" ANSWER "\" to go on: ",
          stdout);
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return strcmp(line, ANSWER) == 0;
}

int ctl_system_reset(const struct ctl_system *sys, char **arguments)
{
    static struct slots slots;
    char why[160];

    if (!ctl_slots_read(sys, &slots))
        return EX_UNAVAILABLE;
    if (!slots.efi)
        return ctl_failed(sys->json,
                          "this machine's firmware is no UEFI: write the image to its disk anew",
                          EX_UNAVAILABLE);
    if (!sys->yes && !isatty(STDIN_FILENO))
        return ctl_failed(sys->json, "nobody can be asked here: --yes erases without a question",
                          EX_USAGE);
    if (!sys->yes && !confirmed())
        return ctl_failed(sys->json, "nothing is erased", EX_USAGE);
    if (slot_efi_write(sys->root, SLOT_EFI_SYSTEMD, VARIABLE, "yes") != ERR_OK) {
        snprintf(why, sizeof(why), "the firmware does not take it: %s", strerror(errno));
        return ctl_failed(sys->json, why, EX_IOERR);
    }
    ctl_notice(sys, "reset", SYSTEM_NOTICE_WARNING,
               "the next start erases the settings and all that is kept");
    if (sys->json)
        ctl_print_json(json_pack("{s:b, s:b}", "reset", 1, "reboot", sys->reboot));
    else
        puts(sys->reboot ? "Erased at this restart."
                         : "Erased at the next start: systemctl start reboot.target");
    return sys->reboot ? ctl_system_reboot(sys) : 0;
}
