/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's menu: a line that was typed gives the next question, or something to do. Where the
 * machine has an administrator's password, whatever changes it asks for that first, each time; a shell
 * is only to be had with one. Pure: who drives it checks passwords and does what is to be done.
 */
#pragma once

#include "console_line.h"

enum {
    CONSOLE_VALUE = 320, /* what is valid is shorter */
    CONSOLE_SAYS = 1024,
    CONSOLE_PASSWORD_LEAST = 10, /* characters */
};

enum console_step {
    CONSOLE_STEP_MENU,
    CONSOLE_STEP_PASSWORD,
    CONSOLE_STEP_HOSTNAME,
    CONSOLE_STEP_INTERFACE,
    CONSOLE_STEP_VLAN,
    CONSOLE_STEP_ADDRESS, /* the first; none is DHCP */
    CONSOLE_STEP_GATEWAY,
    CONSOLE_STEP_ADDRESS_2,
    CONSOLE_STEP_GATEWAY_2,
    CONSOLE_STEP_DNS,
    CONSOLE_STEP_NETWORK_YES,
    CONSOLE_STEP_DOMAIN,
    CONSOLE_STEP_HOP,
    CONSOLE_STEP_LEVEL,
    CONSOLE_STEP_ROUTE_YES,
    CONSOLE_STEP_ADMIN,
    CONSOLE_STEP_NEW_PASSWORD,
    CONSOLE_STEP_NEW_AGAIN,
    CONSOLE_STEP_KEY,
    CONSOLE_STEP_WRITTEN_YES, /* with the recovery key on the screen */
    CONSOLE_STEP_DISK,
    CONSOLE_STEP_INSTALL_YES,
    CONSOLE_STEP_RESET_YES,
    CONSOLE_STEP_RESTART_YES,
    CONSOLE_STEP_OFF_YES,
    CONSOLE_STEP_PAUSE, /* until Enter */
};

enum console_act {
    CONSOLE_ACT_NONE,
    CONSOLE_ACT_VERIFY, /* the line against the administrator's password: console_menu_verified */
    CONSOLE_ACT_NETWORK,
    CONSOLE_ACT_ROUTE,
    CONSOLE_ACT_ROUTE_REMOVE,
    CONSOLE_ACT_PASSWORD,
    CONSOLE_ACT_KEY,
    CONSOLE_ACT_KEYS_REMOVE,
    CONSOLE_ACT_RECOVERY_KEY,
    CONSOLE_ACT_WRITTEN_DOWN,
    CONSOLE_ACT_STATUS,
    CONSOLE_ACT_DIAGNOSTICS,
    CONSOLE_ACT_INSTALL,
    CONSOLE_ACT_RESET,
    CONSOLE_ACT_RESTART,
    CONSOLE_ACT_OFF,
    CONSOLE_ACT_SHELL,
};

/* What was typed; "" where nothing was. All of it is valid by itself. */
struct console_values {
    char hostname[CONSOLE_VALUE], interface[32], vlan[8];
    char address[CONSOLE_VALUE], gateway[CONSOLE_VALUE];
    char address_2[CONSOLE_VALUE], gateway_2[CONSOLE_VALUE];
    char dns[CONSOLE_VALUE];
    char domain[CONSOLE_VALUE], next_hop[CONSOLE_VALUE], level[16];
    char secret[CONSOLE_LINE_MAX]; /* a new password */
    char key[CONSOLE_LINE_MAX];
    char disk[64];
};

/* What the machine is like when an item is chosen. Texts of some lines, "" for none. */
struct console_facts {
    bool has_password, installable;
    bool recovery_key; /* is on the disk, to be written down */
    const char *interfaces, *routes, *disks;
};

struct console_menu {
    enum console_step step;
    char wanted; /* the item that the password is for */
    struct console_values values;
};

struct console_answer {
    enum console_act act;
    char says[CONSOLE_SAYS]; /* to be shown before the next question; lines end with "\n" */
};

/* A line at the present step. After an act but VERIFY, what came of it is shown, and the step is
 * PAUSE, or after RECOVERY_KEY the question about it. */
void console_menu_feed(struct console_menu *m, const char *line, const struct console_facts *facts,
                       struct console_answer *ret);
/* What the password was. */
void console_menu_verified(struct console_menu *m, bool good, const struct console_facts *facts,
                           struct console_answer *ret);
/* Back to the menu; what was typed is wiped. */
void console_menu_cancel(struct console_menu *m);
/* What the present step asks. */
const char *console_menu_prompt(const struct console_menu *m);
/* Whether what is typed is not to be seen. */
bool console_menu_secret(const struct console_menu *m);
