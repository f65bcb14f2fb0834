/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings made true: the base system's files below /run, the machine's name, its clock. At boot that is
 * before anything reads them; on a running machine its services are told.
 */
#pragma once

#include "appliance.h"

#include <stdint.h>

struct settings_nic {
    char name[16];
    char mac[18];
};
enum { SETTINGS_NICS_MAX = 64 };

/* The Ethernet interfaces that are hardware, in the order of their names ("eno2" before "eno10").
 * Returns how many. */
size_t settings_nics(const char *root, struct settings_nic *out, size_t room);

/* Writes the files, removes those of before, sets the name (of the machine itself only: root is "").
 * Notices say what does not fit this machine, and what it was not given. ERR_IO; errno says why. ERR_NOMEM. */
int settings_apply(const char *root, const struct appliance *a) ERR_CHECK;
/* A notice of what the machine was not given yet: routes, or an administrator's password. */
void settings_configured_tell(const char *root, const struct appliance *a);
/* Has a running machine's services read their files again; what fails is told on standard error. */
void settings_services_tell(const char *root, const struct appliance *a);

/* A clock that stands before the image was made is wrong: it is set to then, and a notice says so until
 * the next boot. */
void settings_clock_check(const char *root);
