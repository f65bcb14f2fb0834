/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appliance's settings, /var/etc/postern, over changes of version. The file written-by in it
 * says which version wrote them last. A newer version keeps a snapshot of what it found in
 * /var/etc/postern.VERSION, changes a copy by the steps that lie between, and puts it in place at once.
 * An older one, after a rollback or a failed update, goes on with what it finds where it accepts that,
 * and else takes back the snapshot that is its own, keeping the newer settings as a snapshot.
 *
 * A power failure at any point leaves whole settings in place. Process: posternctl, as root, before
 * anything but the console reads the settings; settings.c's lock keeps those apart.
 */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <stddef.h>

#define SETTINGS_FOLDER "/var/etc/postern"

enum { SETTINGS_WHY = 512, SETTINGS_SNAPSHOTS_MAX = 4 };

/* What a version changed in the settings' form. */
struct settings_step {
    const char *version;
    /* folder: a copy of the settings, to be changed. Runs again on settings that went back and were
     * changed there. False: why says why. */
    bool (*act)(int folder, char *why, size_t why_room);
};

struct settings_migrate {
    const char *root;    /* "" for the machine, else a folder that stands for it */
    const char *running; /* version */
    const struct settings_step *steps; /* rising versions */
    size_t steps_len;
    /* Whether this version can run with the settings in that folder. */
    bool (*accepted)(void *user, const char *folder, char *why, size_t why_room);
    void *user;
};

enum settings_migrated {
    SETTINGS_NONE,    /* there are none yet */
    SETTINGS_SAME,    /* this version's own */
    SETTINGS_FORWARD, /* an older version's, brought up to this one */
    SETTINGS_KEPT,    /* a newer version's, which this one accepts */
    SETTINGS_BACK,    /* this version's own from before, in place of a newer one's */
};

struct settings_result {
    enum settings_migrated what;
    char written[64];        /* the version that they were from; "" unknown */
    char why[SETTINGS_WHY]; /* of a failure, or why a newer version's are not accepted */
};

/* ERR_CONFIG: the settings stay as they were, and this version does not accept them; ERR_IO. */
int settings_migrate(const struct settings_migrate *m, struct settings_result *ret) ERR_CHECK;

/* The same with this version's own steps and check, for the start of the machine; the notice
 * "settings-version" says what was done where an administrator should know. On a machine that is no
 * appliance nothing is done. A sysexits code. */
int settings_migrate_boot(const char *root);

/* For whoever writes settings: they are this version's from now on. ERR_IO; ERR_NOTFOUND: no
 * appliance. */
int settings_written_by_set(const char *root) ERR_CHECK;
