/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's password, which appliance.conf has as crypt(3) makes it: for the console, and for
 * a stick's settings at a start. Who asks takes the time that a wrong one costs.
 */
#pragma once

#include <stdbool.h>

enum { ADMIN_PASSWORD_DELAY_S = 3, ADMIN_PASSWORD_DELAY_MOST_S = 60 };

/* Whether there is one. Of settings that can't be read nobody knows: it is asked for. */
bool admin_password_is_set(const char *root);
/* False also where the settings can't be read. The comparison takes as long for any. */
bool admin_password_right(const char *root, const char *password);
