/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of settings, opened step by step, and compared as a whole. Links are never followed.
 */
#pragma once

#include "errcode.h"

#include <stddef.h>

enum { SETTINGS_HASH_TEXT = 65 };

/* SHA-256 of names and contents, in hex; owners and modes do not count. ERR_IO. */
int settings_tree_hash(int folder, char out[SETTINGS_HASH_TEXT]) ERR_CHECK;
/* The folder parent/name, made where it is missing. -1 with errno. */
int settings_tree_open(int parent, const char *name);
/* The same of a path, whose folders are all made. */
int settings_path_open(const char *root, const char *path);
