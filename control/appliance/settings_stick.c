/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_stick.h"

#include "settings_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE "/dev/disk/by-label/" SETTINGS_STICK_LABEL
#define PLACE "/run/postern-system/stick"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

/* In this order: a disk of installation has both of the latter's marks. noload: nothing is written,
 * not even a journal. */
static const struct {
    const char *type, *options;
} types[] = {{"vfat", "utf8"}, {"ext4", "noload"}, {"iso9660", ""}};

static int stick_mount(const char *root, const char *device, char *why, size_t why_room)
{
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW;
    char place[PATH_MAX];
    int folder = settings_path_open(root, PLACE);

    if (folder < 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        snprintf(why, why_room, "it can't be opened here: %s", strerror(errno));
        if (folder >= 0)
            close(folder);
        return -1;
    }
    close(folder);
    snprintf(place, sizeof(place), "%s%s", root, PLACE);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (mount(device, place, types[i].type, flags, types[i].options) == 0)
            return open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    snprintf(why, why_room,
             "its file system can't be read; FAT (vfat), ext4 and iso9660 are allowed");
    return -1;
}

enum settings_stick settings_stick_open(const char *root, int *ret_folder, char *why,
                                        size_t why_room)
{
    char device[PATH_MAX];
    struct stat st;

    *ret_folder = -1;
    snprintf(device, sizeof(device), "%s%s", root, DEVICE);
    if (stat(device, &st) != 0)
        return SETTINGS_STICK_NONE;
    if (root[0] && S_ISDIR(st.st_mode))
        *ret_folder = open(device, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    else if (S_ISBLK(st.st_mode))
        *ret_folder = stick_mount(root, device, why, why_room);
    else
        snprintf(why, why_room, "it is no disk");
    return *ret_folder >= 0 ? SETTINGS_STICK_OPEN : SETTINGS_STICK_BAD;
}
