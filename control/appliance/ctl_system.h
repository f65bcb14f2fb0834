/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system: the appliance. Its verbs are rows of the table in ctl_system.c; each verb's
 * function has its own file, ctl_system_*.c. They act on this machine, not over the control socket.
 *
 * Everything that they read or write is below root, which tests put elsewhere.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct ctl_system {
    bool json;
    const char *root; /* "" for the machine itself, else a folder that stands for it */
    bool yes;         /* nothing is asked */
    bool reboot;      /* update, rollback, reset: the machine restarts where that was done */
    bool allow_older; /* update */
    bool boot;        /* health: the check of a start, which waits for the gateway */
    bool fall_back;   /* health: that check has failed */
};

struct ctl_system_verb {
    const char *words; /* behind "posternctl system": one or two */
    const char *arguments;
    const char *help;
    int least, most; /* arguments */
    /* A sysexits code. */
    int (*act)(const struct ctl_system *sys, char **arguments);
    const char *more; /* help of its own, NULL if none */
};

/* words: what stands behind "system", with options among them; words[0] is "system" itself. */
int ctl_system_main(bool json, int count, char **words);

int ctl_system_settings_check(const struct ctl_system *sys, char **arguments);
int ctl_system_settings_import(const struct ctl_system *sys, char **arguments);
int ctl_system_settings_apply(const struct ctl_system *sys, char **arguments);
int ctl_system_settings_boot(const struct ctl_system *sys, char **arguments);
int ctl_system_settings_show(const struct ctl_system *sys, char **arguments);
int ctl_system_console(const struct ctl_system *sys, char **arguments);
int ctl_system_install(const struct ctl_system *sys, char **arguments);
int ctl_system_notices(const struct ctl_system *sys, char **arguments);
int ctl_system_certificate(const struct ctl_system *sys, char **arguments);
int ctl_system_diagnostics(const struct ctl_system *sys, char **arguments);
int ctl_system_firewall(const struct ctl_system *sys, char **arguments);
int ctl_system_health(const struct ctl_system *sys, char **arguments);
int ctl_system_reset(const struct ctl_system *sys, char **arguments);
int ctl_system_rollback(const struct ctl_system *sys, char **arguments);
int ctl_system_status(const struct ctl_system *sys, char **arguments);
int ctl_system_update(const struct ctl_system *sys, char **arguments);
