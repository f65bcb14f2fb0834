/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of an appliance, in /var/etc/postern: appliance.conf, postern.conf and the files that
 * they name. They change as a whole: what is new is made beside them, checked as `posternd -n` checks,
 * and takes their place in one step; what was there before is kept as /var/etc/postern-before. What a
 * boot found right is kept as /var/etc/postern-good, and comes back where a later one finds it wrong;
 * the wrong one is then /var/etc/postern-refused.
 *
 * Process: posternctl, as root; a lock keeps two of them apart.
 */
#pragma once

#include "appliance.h"
#include "settings_files.h"
#include "settings_migrate.h"

#include <limits.h>

#define SETTINGS_PARENT "/var/etc"
#define SETTINGS_GATEWAY_FILE "/etc/postern/postern.conf" /* as the gateway is told it */

struct settings_report {
    struct conf_errors errors, warnings;
};

/* Checks the folder as it would be in SETTINGS_FOLDER, where this process may try that (names of files
 * in it may begin with /etc/postern), else where it is. ERR_CONFIG after complaints; what is not there
 * is fine. */
int settings_check(const char *root, const char *folder, struct settings_report *ret) ERR_CHECK;
/* The folder's appliance.conf, the default where there is none. ERR_CONFIG, ERR_NOMEM. */
int settings_appliance_read(const char *root, struct appliance **ret,
                            struct conf_errors *errors) ERR_CHECK;
/* What the gateway goes by, loaded as it does that. ERR_NOTFOUND: there is none yet; ERR_CONFIG after
 * complaints. */
int settings_gateway_load(const char *root, struct conf **ret, struct conf_errors *errors) ERR_CHECK;
/* A file of the folder as text; NULL: there is none. The caller frees it. */
char *settings_text_read(const char *root, const char *name);

enum settings_outcome { SETTINGS_TAKE_DONE, SETTINGS_TAKE_SAME, SETTINGS_TAKE_REFUSED };

/* Whether they are what was taken last from that source. */
bool settings_taken_before(const char *root, const struct settings_files *files,
                           const char *source);
/* Takes files over those that are there. source: under which name what was taken is remembered; what
 * equals that is SAME and changes nothing. NULL: nothing is remembered. REFUSED has complaints,
 * also where the disk fails. */
enum settings_outcome settings_take(const char *root, const struct settings_files *files,
                                    const char *source, struct settings_report *ret);

/* postern.conf as the console makes it, and a certificate where there is none, for settings_take.
 * ERR_NOMEM, ERR_SYSTEM, ERR_FULL. */
struct appliance_route;
int settings_gateway_make(const char *root, const char *hostname, const struct appliance_route *routes,
                          size_t len, struct settings_files *files) ERR_CHECK;

/* At boot: the folder is checked and kept as good, or the last good one takes its place. ERR_CONFIG:
 * there is none either. *ret_back: it was put back. */
int settings_settle(const char *root, bool *ret_back, struct settings_report *ret) ERR_CHECK;
