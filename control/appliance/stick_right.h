/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a start may take the settings of a stick. Who puts one in has the machine's USB ports and its
 * power, no more: where there is an administrator's password, the stick has to have it, in a file
 * "password", or else the recovery key of /var, in a file "recovery-key". Both are looked at here and
 * nowhere else, and kept nowhere.
 */
#pragma once

#include "conf.h"

enum stick_right {
    STICK_RIGHT_FREE,   /* there is no password to be asked for */
    STICK_RIGHT_PROVEN, /* the stick has what opens the machine */
    STICK_RIGHT_NONE,
};

/* folder: the stick. NONE has complaints that say what to do, and takes its time where something was
 * wrong. */
enum stick_right stick_right_check(const char *root, int folder, struct conf_errors *errors);
