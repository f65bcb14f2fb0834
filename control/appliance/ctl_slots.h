/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of posternctl system share that look at slots. */
#pragma once

#include "ctl_system.h"
#include "slot.h"
#include "system_notice.h"

/* False: it said why, and the exit code is EX_UNAVAILABLE. */
bool ctl_slots_read(const struct ctl_system *sys, struct slots *ret);
json_t *ctl_slots_json(const struct slots *s);
/* Restarts the machine, by the unit: there is no D-Bus, which systemctl reboot asks. A sysexits code. */
int ctl_system_reboot(const struct ctl_system *sys);
/* The same, and where systemd does not take it, without stopping what runs; at last without systemd. */
int ctl_system_reboot_hard(const struct ctl_system *sys);
/* As system_notice_set; where that fails it says so on standard error, and goes on. */
void ctl_notice(const struct ctl_system *sys, const char *name, enum system_notice_level level,
                const char *text);
