/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stick, or partition, that is labelled POSTERN: mounted in a view of the file system that only
 * this process has, readable and nothing else, and gone with it.
 */
#pragma once

#include <stddef.h>

#define SETTINGS_STICK_LABEL "POSTERN"

enum settings_stick { SETTINGS_STICK_NONE, SETTINGS_STICK_OPEN, SETTINGS_STICK_BAD };

/* *ret_folder is the caller's where OPEN; why: where BAD. Below a root, a folder may stand for the
 * stick's device. */
enum settings_stick settings_stick_open(const char *root, int *ret_folder, char *why, size_t why_room);
