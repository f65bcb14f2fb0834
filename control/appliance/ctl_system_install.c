/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system install: this appliance onto another disk. The work is systemd-repart's and
 * that of a script of the image, which has the terminal; this only hands over to it.
 */
#include "ctl_system.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PROGRAM "/usr/lib/postern/install"

int ctl_system_install(const struct ctl_system *sys, char **arguments)
{
    char path[PATH_MAX];
    char *words[4] = {path};
    size_t len = 1;

    if (snprintf(path, sizeof(path), "%s%s", sys->root, PROGRAM) >= (int)sizeof(path))
        return EX_USAGE;
    if (sys->yes)
        words[len++] = "--yes";
    words[len] = arguments[0];
    execv(path, words);
    fprintf(stderr, "posternctl: system install: %s: %s: this is no appliance\n", path,
            strerror(errno));
    return EX_UNAVAILABLE;
}
