/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partner's pin file as posternctl finds and replaces it: whole or not at all, and nothing that is
 * not that partner's pin file.
 */
#pragma once

#include "conf.h"

/* What is there: ret is all zeros where there is no file, and its strings are in arena. A sysexits
 * code, with why, for a symbolic link, for anything else than a file, for a file that is not the
 * partner's pin file. */
int ctl_pin_file_read(const char *file, const char *partner, struct arena *arena,
                      struct conf_pins *ret, char *why, size_t why_room);
/* In one step, and on disk; a file that is new is everybody's to read, for it holds no secret. What
 * the gateway would refuse is not written. A sysexits code, with why. */
int ctl_pin_file_write(const char *file, const struct conf_pins *pins, char *why, size_t why_room);
